"""One block of images, trained on once, with everything that the kernels left in their worker's memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.engine.cpu.program import POOL
from digitlab.engine.cpu.runner import CpuRunner
from digitlab.engine.cpu.tiles import LANES
from digitlab.engine.images import Images
from digitlab.engine.optimizers import SGD, Optimizer
from digitlab.network import Architecture

Array = NDArray[Any]


class OneBlock:
    """A network after one step on at most ``LANES`` images.

    Attributes
    ----------
    ops : list
        The operations as the engine runs them: a 2 x 2 pooling belongs to the convolution before it.
    weights : list of ndarray
        From before the step.
    gradients : list of ndarray
        Of the weights, cut up as they are.
    loss, n_correct : float, int
        What the engine reported.
    """

    def __init__(
        self,
        network: Architecture,
        images: Array,
        labels: NDArray[np.int64],
        optimizer: Optimizer | None = None,
        weights: list[Array] | None = None,
        salt: int = 0,
    ) -> None:
        assert len(labels) <= LANES
        self.network, self.runner, self.n = network, CpuRunner(network, 1), len(labels)
        self.weights = network.initial_weights(seed=3) if weights is None else weights
        self.runner.set_weights(self.weights)
        self.runner.start_training(self.n)
        rows = Images.from_array(images, math.prod(network.input_shape))
        chosen = SGD(0.1) if optimizer is None else optimizer
        step = chosen.step(1, chosen.learning_rate)
        self.loss, self.n_correct = self.runner.train_batch(rows, labels, np.arange(self.n), step, salt)
        self.ops = list(self.runner.program.ops)
        ends = np.cumsum([w.size for w in self.weights])[:-1]
        split = np.split(self.runner.gradients, ends)
        self.gradients = [g.reshape(w.shape) for g, w in zip(split, self.weights, strict=True)]
        self.memory: NDArray[np.float32] = self.runner._training_memory[0].values

    def _map(self, first: int, row: int, height: int, width: int, channels: int) -> Array:
        vectors = [self.memory[first + y * row :][: width * channels * LANES] for y in range(height)]
        return np.stack(vectors).reshape(height, width, channels, LANES).transpose(3, 0, 1, 2)

    def block(self) -> Array:
        """What was gathered, of all lanes: float32 (LANES, values)."""
        layout = self.runner.program.layout
        rows = self._map(layout["image"], layout["image_row"], layout["image_height"], 1, layout["image_width"])
        return rows.reshape(LANES, -1)

    def read(self, op: Any) -> Array:
        """What an operation read: float32 (n, height, width, channels)."""
        # A same convolution begins in the border, which is kept out here; a pooling's border is not in memory.
        border = op["border_top"] * op["x_row"] + op["border_left"] * op["channels"] * LANES
        first = op["x"] + border * (op["kind"] != POOL)
        return self._map(first, op["x_row"], op["in_height"], op["in_width"], op["channels"])[: self.n]

    def written(self, op: Any) -> Array:
        """What it wrote."""
        return self._map(op["y"], op["y_row"], op["out_height"], op["out_width"], op["filters"])[: self.n]

    def d_written(self, op: Any, lanes: int | None = None) -> Array:
        """The gradient of what it wrote, after its own ReLU unless it pools."""
        row = op["out_width"] * op["filters"] * LANES
        return self._map(op["dy"], row, op["out_height"], op["out_width"], op["filters"])[: lanes or self.n]

    def d_read(self, op: Any) -> Array:
        """The gradient of what it read."""
        row = op["in_width"] * op["channels"] * LANES
        return self._map(op["dx"], row, op["in_height"], op["in_width"], op["channels"])[: self.n]
