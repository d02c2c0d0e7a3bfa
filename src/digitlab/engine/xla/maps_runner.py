"""The runner of networks that answer with maps, on XLA: it does what ``cpu.maps_runner.MapsRunner`` does."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from digitlab.engine.cpu.maps_program import build_maps_network, plan_page
from digitlab.engine.cpu.maps_runner import FinderLosses, check_finder
from digitlab.engine.crops import IGNORED, Crops
from digitlab.engine.optimizers import OptimizerStep
from digitlab.engine.xla.devices import telling_failures
from digitlab.engine.xla.finder_loss import Marks, finder_loss
from digitlab.engine.xla.layers import activated, convolved, moved
from digitlab.engine.xla.learning import scaled
from digitlab.engine.xla.state import DeviceRunner, State, are_finite, lying, put, stepped
from digitlab.network.architecture import Architecture
from digitlab.network.layers import Conv2D, MaxPooling2D

# Pages are filled up to sizes of which there are few, since each is compiled: eight to a doubling, and whole poolings.
_STEPS_TO_DOUBLE, _LEAST_STEP = 8, 32
_FEWEST_MARKS = 8


def _maps(architecture: Architecture, weights: Any, pages: Any, height: Any, width: Any, dtype: Any) -> Any:
    """Answer pages ``(n, rows, columns, channels)`` of which the first ``height`` rows and ``width`` columns count.

    What a layer writes beyond them is made zero again, which is what ``same`` adds at the page's own border.
    """
    x, left = pages.astype(dtype), list(weights)
    for layer, shape in zip(architecture.layers, architecture.input_shapes, strict=True):
        if isinstance(layer, Conv2D):
            kernel, *bias = (left.pop(0).astype(dtype) for _ in layer.weight_shapes(shape))
            x = activated(convolved(x, kernel, layer) + (bias[0] if bias else 0), layer)
            if layer.padding == "valid":
                height, width = height - layer.kernel[0] + 1, width - layer.kernel[1] + 1
        elif isinstance(layer, MaxPooling2D):
            x = moved(x, layer)
            height, width = height // 2, width // 2  # an odd row's window is none
        rows, columns = jnp.arange(x.shape[1]) < height, jnp.arange(x.shape[2]) < width
        x = jnp.where((rows[:, None] & columns)[..., None], x, 0)
    return x.astype(jnp.float32)


@partial(jax.jit, static_argnums=(0, 1))
def _answered(architecture: Architecture, dtype: Any, weights: Any, page: Any, height: Any, width: Any) -> Any:
    return _maps(architecture, weights, scaled(page)[None], height, width, dtype)[0]


def _loss(weights: Any, architecture: Architecture, dtype: Any, images: Any, marks: Marks, smoothing: Any) -> Any:
    maps = _maps(architecture, weights, images, images.shape[1], images.shape[2], dtype)
    return finder_loss(maps, marks, smoothing)


@partial(jax.jit, static_argnums=(0, 1))
def _losses(architecture: Architecture, dtype: Any, weights: Any, images: Any, marks: Marks) -> Any:
    return _loss(weights, architecture, dtype, images, marks, 0.0)[1]


def _learn(
    architecture: Architecture,
    dtype: Any,
    rule: int,
    state: State,
    images: Any,
    marks: Marks,
    rates: Any,
    smoothing: Any,
    clip_norm: Any,
) -> tuple[State, Any, Any]:
    """Take one step; gradients whose norm is longer than ``clip_norm`` are shortened to it, unless that is 0."""
    slope = jax.value_and_grad(_loss, has_aux=True)
    (_, told), gradients = slope(state.weights, architecture, dtype, images, marks, smoothing)
    norm = jnp.sqrt(sum((one * one).sum() for one in gradients))
    factor = jnp.where((clip_norm > 0.0) & (norm > clip_norm), clip_norm / norm, 1.0)
    after = stepped(state, [one * factor for one in gradients], rule, rates)
    return after, told, are_finite(after)


class XlaMapsRunner(DeviceRunner):
    """Runs one fully convolutional network, with 2 x 2 max-poolings, on devices that JAX knows.

    The crops of a batch are shared out among all of them, as ``XlaRunner`` shares out images.
    """

    def __init__(self, architecture: Architecture, device: str, precision: str = "float32") -> None:
        self.network = build_maps_network(architecture)
        super().__init__(architecture, device, precision)
        self._shared = lying(self._everywhere, "images")
        self._learn = jax.jit(_learn, static_argnums=(0, 1, 2), out_shardings=self.whole)
        self._older: list[State] = []

    def predict(self, page: NDArray[Any]) -> NDArray[np.float32]:
        """Return the maps, float32 (height, width, maps), of a page, uint8 or float32 (height, width, channels)."""
        height, width = page.shape[:2]
        rows, columns, _ = plan_page(self.network, height, width).out_shape
        room = np.zeros((_roomy(height), _roomy(width), page.shape[2]), page.dtype)
        room[:height, :width] = page
        sizes = (put(np.asarray(one, np.int32), self._whole_here) for one in (height, width))
        room = put(room, self._whole_here)
        with telling_failures():
            maps = _answered(self.architecture, self.dtype, self._weights_here(), room, *sizes)
            return np.asarray(maps)[:rows, :columns].copy()

    def start_training(self) -> None:
        """Forget the optimizer's moments; NetworkError if the maps are not the finder's."""
        check_finder(self.architecture, self.network)
        self.forget_moments()
        self.remember()

    def remember(self) -> None:
        """Make the present weights those that ``take_back`` finds where fewer batches were learned."""
        self._older = [self._state] * 2

    def take_back(self, n_batches: int) -> None:
        """Put the state in place that was there before the last batch or, for 2, before the one before it, too."""
        self._state = self._older[-n_batches]

    def train_batch(
        self,
        crops: Crops,
        chosen: NDArray[np.int64],
        step: OptimizerStep,
        label_smoothing: float = 0.0,
        clip_norm: float = 0.0,
    ) -> FinderLosses:
        """Learn from one batch, as ``MapsRunner.train_batch`` does."""
        numbers = np.array([step.rate, *step.settings], np.float32)
        told = (put(np.asarray(one, np.float32), self.whole) for one in (numbers, label_smoothing, clip_norm))
        is_all = np.array_equal(chosen, np.arange(len(crops)))
        images, marks = self._laid_out(crops if is_all else crops.take(chosen))
        self._older = [*self._older[-1:], self._state]
        with telling_failures():
            self._state, given, finite = self._learn(
                self.architecture, self.dtype, step.rule, self._state, images, marks, *told
            )
            self.is_finite = bool(finite)
            return _as_losses(given)

    def losses(self, crops: Crops) -> FinderLosses:
        """Return the losses on crops without learning from them."""
        check_finder(self.architecture, self.network)
        images, marks = self._laid_out(crops)
        return _as_losses(_losses(self.architecture, self.dtype, self._state.weights, images, marks))

    def _laid_out(self, crops: Crops) -> tuple[Any, Marks]:
        """Crops and marks as arrays of one size, filled up to what the devices can share out evenly."""
        n, counts = len(crops), np.diff(crops.starts)
        n_rows = -(-n // self._n_devices) * self._n_devices
        n_marks = max(_FEWEST_MARKS, 1 << (int(counts.max(initial=1)) - 1).bit_length())
        images = np.zeros((n_rows, *crops.images.shape[1:]), np.float32)
        images[:n] = crops.images
        there = np.zeros((n_rows, n_marks), bool)
        there[:n] = np.arange(n_marks) < counts[:, None]
        boxes = np.zeros((n_rows, n_marks, 4), np.float32)
        labels = np.full((n_rows, n_marks), IGNORED, np.int32)
        first, last = crops.starts[0], crops.starts[-1]
        boxes[there], labels[there] = crops.boxes[first:last], crops.labels[first:last]
        marks = Marks(*(put(one, self._shared) for one in (boxes, labels, there, np.arange(n_rows) < n)))
        return put(images, self._shared), marks


def _as_losses(given: Any) -> FinderLosses:
    centers, classes, places, n_right, n_marks = jax.device_get(given)
    return FinderLosses(float(centers), float(classes), float(places), int(n_right), int(n_marks))


def _roomy(size: int) -> int:
    step = max(_LEAST_STEP, 1 << max(0, size.bit_length() - _STEPS_TO_DOUBLE.bit_length()))
    return -(-size // step) * step
