"""The finder's loss of a batch of crops, as ``cpu.finder_loss`` defines it, for all marks at once."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from digitlab.engine.crops import CENTERS, DIGITS, IGNORED, PLACES, PRIOR_LOGIT, SEPARATOR_MAPS, SIZES, STRIDE, USUAL_PX

# As in cpu.finder_loss.
_SIGMA, _LEAST_SIGMA, _LEAST_WIDTH = 0.16, 0.6, 0.35
_IGNORED_ABOVE, _LEARNED_FROM = 0.3, 0.9
_BETA, _LEAST_PX, _LEAST_EXPONENT = 0.2, 1.0, -40.0

_N_DIGITS = DIGITS.stop - DIGITS.start


class Marks(NamedTuple):
    """The marks of a batch's crops, as many rows a crop as the most have.

    ``boxes`` float32 (crops, marks, 4), ``labels`` int32 (crops, marks), ``is_there`` bool (crops, marks): whether the
    row is a mark; ``is_crop`` bool (crops,): whether the crop is one, and not there to fill the batch.
    """

    boxes: Any
    labels: Any
    is_there: Any
    is_crop: Any


def finder_loss(maps: Any, marks: Marks, smoothing: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return what is made small of maps (crops, height, width, N_MAPS); and the losses that are told.

    Those are centres, classes without smoothing, places, how many marks are called rightly, and how many there are.
    """
    _, height, width, _ = maps.shape
    left, top, right, bottom = (marks.boxes[..., k] / STRIDE for k in range(4))
    x, y, w, h = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
    column, row = jnp.floor(x).astype(jnp.int32), jnp.floor(y).astype(jnp.int32)
    is_inside = marks.is_there & (row >= 0) & (row < height) & (column >= 0) & (column < width)
    row, column = jnp.where(is_inside, row, 0), jnp.where(is_inside, column, 0)
    is_learned = is_inside & (marks.labels != IGNORED)
    n_marks = is_learned.sum()
    scale = 1.0 / jnp.maximum(1, n_marks)
    targets, ignored = _painted(x, y, w, h, row, column, is_inside, marks.labels, height, width)
    centers = _centers(maps[..., CENTERS] + PRIOR_LOGIT, targets, ignored)
    centers = jnp.where(marks.is_crop[:, None, None, None], centers, 0.0).sum() * scale

    own = maps[jnp.arange(len(maps))[:, None], row, column]
    softened, told, is_right = _classes(own, marks.labels, smoothing)
    size_px = jnp.maximum(jnp.stack([w, h], -1) * STRIDE, _LEAST_PX)
    truth = jnp.concatenate([jnp.stack([x - column - 0.5, y - row - 0.5], -1), jnp.log(size_px / USUAL_PX)], -1)
    errors = _smooth_error(jnp.concatenate([own[..., PLACES], own[..., SIZES]], -1) - truth).sum(-1)
    softened, told, places = (jnp.where(is_learned, each, 0.0).sum() * scale for each in (softened, told, errors))
    return centers + softened + places, (centers, told, places, (is_right & is_learned).sum(), n_marks)


def _painted(
    x: Any, y: Any, w: Any, h: Any, row: Any, column: Any, is_inside: Any, labels: Any, height: int, width: int
) -> tuple[Any, Any]:
    """Return the targets of the two heat maps, (crops, height, width, 2), and the ignored marks' largest Gaussian."""
    sigma_x = jnp.maximum(_LEAST_SIGMA, _SIGMA * jnp.maximum(w, _LEAST_WIDTH * h))
    sigma_y = jnp.maximum(_LEAST_SIGMA, _SIGMA * h)
    across, down = (
        _gaussian(jnp.arange(n) + 0.5 - at[..., None], sigma[..., None])
        for n, at, sigma in ((width, x, sigma_x), (height, y, sigma_y))
    )
    each = down[..., :, None] * across[..., None, :]  # crops, marks, height, width

    def of_kind(kind: Any) -> Any:
        return jnp.where((is_inside & kind)[..., None, None], each, 0.0).max(1)

    is_ignored, is_separator = labels == IGNORED, labels >= _N_DIGITS
    targets = []
    for kind in (~is_ignored & ~is_separator, is_separator):
        painted = of_kind(kind)
        crops = jnp.broadcast_to(jnp.arange(len(x))[:, None], row.shape)
        certain = jnp.where(is_inside & kind, 1.0, 0.0)
        targets.append(painted.at[crops, row, column].max(certain))
    return jnp.stack(targets, -1), of_kind(is_ignored)


def _gaussian(distance: Any, sigma: Any) -> Any:
    exponent = -0.5 * (distance / sigma) ** 2
    return jnp.where(exponent > _LEAST_EXPONENT, jnp.exp(exponent), 0.0)


def _centers(logits: Any, targets: Any, ignored: Any) -> Any:
    p, q = jax.nn.sigmoid(logits), jax.nn.sigmoid(-logits)
    there, not_there = q**2 * jax.nn.softplus(-logits), (1.0 - targets) ** 4 * p**2 * jax.nn.softplus(logits)
    counts = ~((ignored[..., None] > _IGNORED_ABOVE) & (targets < _LEARNED_FROM))
    return jnp.where(counts, jnp.where(targets == 1.0, there, not_there), 0.0)


def _classes(own: Any, labels: Any, smoothing: Any) -> tuple[Any, Any, Any]:
    """Return the cross-entropies of marks, with smoothing and without, and whether the largest logit is the label's."""
    of_kind = []
    for maps, label in ((own[..., DIGITS], labels), (own[..., SEPARATOR_MAPS], labels - _N_DIGITS)):
        logs = jax.nn.log_softmax(maps)
        known = jnp.clip(label, 0, maps.shape[-1] - 1)
        told = -jnp.take_along_axis(logs, known[..., None], -1)[..., 0]
        softened = (1.0 - smoothing) * told - smoothing * logs.mean(-1)
        of_kind.append((softened, told, maps.argmax(-1) == known))
    digits, separators = of_kind
    return tuple(jnp.where(labels < _N_DIGITS, a, b) for a, b in zip(digits, separators, strict=True))  # type: ignore[return-value]


def _smooth_error(error: Any) -> Any:
    size = jnp.abs(error)
    return jnp.where(size < _BETA, 0.5 * error * error / _BETA, size - 0.5 * _BETA)
