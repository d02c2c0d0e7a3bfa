"""Learning: many steps as one XLA program. Images stay on the device; a loop gathers each batch, and takes its step.

In plain words, for one batch with the weights p, and its optimizer's means m and v::

    loss(p)  = mean over the images of the cross-entropy, softened by label smoothing
    gradient = d loss / d p                       JAX derives it from ``layers.answer``
    p, m, v  = the step of ``cpu.update``, with the rates of ``optimizers.OptimizerStep``

Nothing returns to Python before the last step of a chunk is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from digitlab.engine.loop import Step
from digitlab.engine.xla.layers import answer
from digitlab.engine.xla.state import State, are_finite, stepped
from digitlab.network.architecture import Architecture


class Batches(NamedTuple):
    """What the steps of a chunk learn from, one row a step.

    ``order`` and ``labels`` are int32 (steps, images of a batch), which images and what they are; ``counts`` int32
    (steps,), how many of them count, as an epoch's last batch may be smaller; ``rates`` float32 (steps, 5), the rate
    and the settings of an ``OptimizerStep``; ``salts`` uint32 (steps,), what dropout asks for.
    """

    order: Any
    labels: Any
    counts: Any
    rates: Any
    salts: Any


class Results(NamedTuple):
    """What the steps gave: mean cross-entropies, right answers, and whether all weights were finite afterwards."""

    losses: Any
    corrects: Any
    finite: Any


def rows_of(steps: Sequence[Step], batch_size: int, n_rows: int) -> Batches:
    """Return what some steps learn from, as NumPy's arrays with ``n_rows`` rows; those behind the steps are empty."""
    order, labels = np.zeros((2, n_rows, batch_size), np.int32)
    counts, salts, rates = np.ones(n_rows, np.int32), np.zeros(n_rows, np.uint32), np.zeros((n_rows, 5), np.float32)
    for k, (own_labels, own_order, numbers, salt) in enumerate(steps):
        counts[k], salts[k], rates[k] = len(own_order), salt, (numbers.rate, *numbers.settings)
        order[k, : counts[k]], labels[k, : counts[k]] = own_order, own_labels
    return Batches(order, labels, counts, rates, salts)


def scaled(images: Any) -> Any:
    """Return shares of ink: bytes, 0-255, become 0-1, and floats stay as they are."""
    return images.astype(jnp.float32) * (1.0 / 255.0) if images.dtype == jnp.uint8 else images


def _loss(
    weights: Sequence[Any],
    architecture: Architecture,
    dtype: Any,
    images: Any,
    labels: Any,
    count: Any,
    salt: Any,
    smoothing: Any,
) -> tuple[Any, tuple[Any, Any]]:
    """Return what is made small; and, of the images that count, the mean cross-entropy and the right answers."""
    images = scaled(images).reshape(-1, *architecture.input_shape)
    sums = answer(architecture, weights, images, dtype, salt)
    counts = jnp.arange(len(labels)) < count
    logs = jax.nn.log_softmax(sums)
    of_truth = jnp.take_along_axis(logs, labels[:, None], 1)[:, 0]
    softened = (1.0 - smoothing) * of_truth + smoothing * logs.mean(1)
    loss, told = (-jnp.where(counts, each, 0.0).sum() / count for each in (softened, of_truth))
    return loss, (told, (counts & (sums.argmax(1) == labels)).sum())


def learn(
    architecture: Architecture,
    dtype: Any,
    rule: int,
    has_dropout: bool,
    state: State,
    images: Any,
    batches: Batches,
    smoothing: Any,
    n_steps: Any,
) -> tuple[State, Results]:
    """Take the first ``n_steps`` steps of a chunk; the rows behind them are not looked at.

    ``images`` are all images, uint8 or float32 (n, values). The first four arguments are fixed when it is compiled.
    """
    slope = jax.value_and_grad(_loss, has_aux=True)

    def step(k: Any, carry: tuple[State, Results]) -> tuple[State, Results]:
        before, results = carry
        batch = Batches(*(lax.dynamic_index_in_dim(rows, k, keepdims=False) for rows in batches))
        salt = batch.salts if has_dropout else None
        (_, (loss, n_correct)), gradients = slope(
            before.weights, architecture, dtype, images[batch.order], batch.labels, batch.counts, salt, smoothing
        )
        after = stepped(before, gradients, rule, batch.rates)
        given = Results(loss, n_correct.astype(jnp.int32), are_finite(after))
        return after, Results(*(rows.at[k].set(one) for rows, one in zip(results, given, strict=True)))

    n = len(batches.counts)
    results = Results(jnp.zeros(n, jnp.float32), jnp.zeros(n, jnp.int32), jnp.zeros(n, bool))
    return lax.fori_loop(0, n_steps, step, (state, results))  # type: ignore[no-any-return]


@partial(jax.jit, static_argnums=(0, 1))
def probabilities(architecture: Architecture, dtype: Any, weights: Sequence[Any], images: Any) -> Any:
    """Answer images, uint8 or float32 (n, values), with probabilities, float32 (n, n_classes)."""
    images = scaled(images).reshape(-1, *architecture.input_shape)
    return jax.nn.softmax(answer(architecture, weights, images, dtype))
