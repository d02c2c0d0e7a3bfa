"""State: weights and the optimizer's means on JAX's devices, and how arrays lie there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpy.typing import NDArray

from digitlab.engine.cpu.runner import RunnerState
from digitlab.engine.optimizers import ADAM_RULE
from digitlab.engine.xla.devices import devices_of
from digitlab.network.architecture import Architecture


class State(NamedTuple):
    """Weights and the optimizer's two means, each a tuple of float32 arrays in Keras' order."""

    weights: tuple[Any, ...]
    first_moment: tuple[Any, ...]
    second_moment: tuple[Any, ...]


def stepped(state: State, gradients: Sequence[Any], rule: int, rates: Any) -> State:
    """Take one step of the optimizer, as ``cpu.update`` does it."""
    rate, a, b, epsilon, shrink = rates
    weights, first, second = [], [], []
    for w, m, v, g in zip(*state, gradients, strict=True):
        if rule == ADAM_RULE:
            m, v = m + (g - m) * a, v + (g * g - v) * b
            w = w - w * shrink
            w = w - m * rate / (jnp.sqrt(v) + epsilon)
        else:
            m = m * a - g * rate
            w = w - w * shrink
            w = w + jnp.where(b > 0.0, m * a - g * rate, m)
        weights.append(w)
        first.append(m)
        second.append(v)
    return State(tuple(weights), tuple(first), tuple(second))


def are_finite(state: State) -> Any:
    """Tell whether all numbers of a state are finite."""
    return jnp.stack([jnp.isfinite(array).all() for array in jax.tree.leaves(state)]).all()


def put(array: NDArray[Any], sharding: NamedSharding) -> Any:
    """Lay an array onto devices; every host has all of it, and gives its own devices their parts."""
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


def lying(devices: Sequence[Any], *axes: str | None) -> NamedSharding:
    """How arrays lie whose axis "images" is shared out among the devices; without it, each has all of them."""
    return NamedSharding(Mesh(np.array(devices), ("images",)), PartitionSpec(*axes))


class DeviceRunner:
    """What runners on XLA have in common, which is what those on the processor have.

    The state is on every device of every host. ``is_finite``: whether all its numbers were finite after the last batch.
    ``batch_seconds``: how long that took, 0 where whoever asks for it can tell. ``n_threads`` is 0: none of the
    processor's are this runner's.
    """

    batch_seconds = 0.0
    n_threads = 0

    def __init__(self, architecture: Architecture, device: str, precision: str) -> None:
        self.architecture, self.device, self.precision = architecture, device, precision
        self.is_finite = True
        #: Seconds that compiling took so far.
        self.compile_seconds = 0.0
        everywhere, here = devices_of(device, of_all_hosts=True), devices_of(device)
        self._n_devices, self._n_here, self._is_alone = len(everywhere), len(here), len(everywhere) == len(here)
        self.whole, self._whole_here = lying(everywhere), lying(here)
        self._everywhere, self._here = everywhere, here
        self.dtype = jnp.dtype(precision)
        self._state = self._placed([np.zeros(shape, np.float32) for shape in architecture.weight_shapes])

    def _placed(self, weights: Sequence[NDArray[np.float32]]) -> State:
        zeros = [np.zeros_like(one) for one in weights]
        return State(*(tuple(put(one, self.whole) for one in part) for part in (weights, zeros, zeros)))

    def _now(self) -> State:
        """The state after the step that was asked for last."""
        return self._state

    def _seen(self) -> State:
        """The same for whoever looks at it on this host alone, without the others' help."""
        return self._state

    def _set(self, state: State) -> None:
        self._state = state

    @property
    def where(self) -> dict[str, str]:
        """What ``environment.json`` says of the devices."""
        kind = f"{self._n_devices} x {self._everywhere[0].device_kind}, {self.precision}"
        return {"device": f"{self.device} ({kind})", "jax": jax.__version__}

    @property
    def parameters(self) -> NDArray[np.float32]:
        """A copy of all weights as one flat float32 array, in Keras' order."""
        return _flat(self._seen().weights)

    @parameters.setter
    def parameters(self, values: NDArray[np.float32]) -> None:
        self._set(self._now()._replace(weights=self._placed(self._parted(values)).weights))

    @property
    def first_moment(self) -> NDArray[np.float32]:
        """A copy of the optimizer's means of the gradients, in the order of ``parameters``."""
        return _flat(self._seen().first_moment)

    @property
    def second_moment(self) -> NDArray[np.float32]:
        """A copy of its means of their squares."""
        return _flat(self._seen().second_moment)

    def set_moments(self, first: NDArray[np.float32], second: NDArray[np.float32]) -> None:
        """Set the optimizer's two means, in the order of ``parameters``."""
        moments = self._placed(self._parted(first)), self._placed(self._parted(second))
        self._set(State(self._now().weights, *(one.weights for one in moments)))

    def forget_moments(self) -> None:
        """Set the optimizer's means to zero, as before the first step."""
        zeros = self._placed([np.zeros(shape, np.float32) for shape in self.architecture.weight_shapes])
        self._set(zeros._replace(weights=self._now().weights))

    def _parted(self, flat: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        shapes = self.architecture.weight_shapes
        ends = np.cumsum([math.prod(shape) for shape in shapes])
        parts = np.split(np.asarray(flat, np.float32), ends[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]

    def weights(self) -> list[NDArray[np.float32]]:
        """Return copies of all weights, in Keras' order and layout."""
        return [np.array(one) for one in self._seen().weights]

    def set_weights(self, weights: Sequence[NDArray[np.float32]]) -> None:
        """Set all weights, in Keras' order and layout."""
        self.parameters = np.concatenate([np.ravel(one) for one in weights]).astype(np.float32)

    def state(self) -> RunnerState:
        """Return copies of all that learning changes, between two batches."""
        weights = self.parameters
        return RunnerState(weights, self.first_moment, self.second_moment, np.stack([weights] * 2), 0)

    def go_back(self, state: RunnerState) -> None:
        """Learn on from a state, as the runner did whose it was."""
        self.parameters = state.parameters
        self.set_moments(state.first_moment, state.second_moment)
        self.is_finite = True

    def _weights_here(self) -> list[Any]:
        """The weights on this host's devices alone, for answers that the other hosts do not ask for."""
        own = self._seen().weights
        return list(own) if self._is_alone else [put(np.asarray(one), self._whole_here) for one in own]

    def seal(self) -> None:
        """Nothing is to be sealed: JAX keeps what it compiled by itself."""


def _flat(arrays: Sequence[Any]) -> NDArray[np.float32]:
    return np.concatenate([np.asarray(one, np.float32).ravel() for one in arrays])
