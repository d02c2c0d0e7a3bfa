"""What explanations count with: a network, how it is trained and on what; and numbers as their sentences have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from digitlab.data.mnist import MnistData
from digitlab.network.architecture import Architecture
from digitlab.network.cost import Cost, cost_of
from digitlab.network.layers import Layer, Shape
from digitlab.training.config import TrainConfig

L_co = TypeVar("L_co", bound=Layer, covariant=True)


@dataclass(frozen=True)
class Placed(Generic[L_co]):
    """A layer where it stands: what goes in, what comes out, what it costs."""

    layer: L_co
    input_shape: Shape
    output_shape: Shape
    n_parameters: int
    multiply_adds: int

    @property
    def name(self) -> str:
        """The layer's name."""
        return self.layer.name


@dataclass(frozen=True)
class Facts:
    """A network, how it is trained, and on what."""

    architecture: Architecture
    config: TrainConfig
    data: MnistData

    @cached_property
    def cost(self) -> Cost:
        """What one image costs."""
        return cost_of(self.architecture)

    def placed(self, kind: type[L_co]) -> list[Placed[L_co]]:
        """Return all layers of a kind, from input to output."""
        network = self.architecture
        return [
            Placed(layer, before, after, cost.n_parameters, cost.multiply_adds)
            for layer, before, after, cost in zip(
                network.layers, network.input_shapes, network.shapes, self.cost.layers, strict=True
            )
            if isinstance(layer, kind)
        ]

    def class_counts(self, split: Literal["training", "test"]) -> NDArray[np.int64]:
        """Return how many images of each class a split has, int64 (n_classes,)."""
        return np.bincount(getattr(self.data, split).labels, minlength=len(self.data.class_names))

    @property
    def n_training(self) -> int:
        """Images to learn from."""
        return min(self.config.train_images, len(self.data.training))

    @property
    def n_validation(self) -> int:
        """Images to watch."""
        return min(self.config.validation_images, len(self.data.validation))

    @property
    def batch_size(self) -> int:
        """Images in a full batch."""
        return min(self.config.batch_size, self.n_training)

    @property
    def n_batches(self) -> int:
        """Batches in an epoch."""
        return -(-self.n_training // self.batch_size)

    @property
    def n_last(self) -> int:
        """Images in the last batch of an epoch."""
        return self.n_training - (self.n_batches - 1) * self.batch_size

    @property
    def n_steps(self) -> int:
        """Batches in the whole run."""
        return self.config.epochs * self.n_batches


def times(shape: Sequence[int]) -> str:
    """Return a shape for people.

    >>> times((24, 24, 8))
    '24 × 24 × 8'
    """
    return " × ".join(f"{size:,}" for size in shape)


def plural(n: int, word: str, several: str = "") -> str:
    """Return a number with its noun.

    >>> plural(1, "batch", "batches"), plural(11, "batch", "batches"), plural(5994, "number")
    ('1 batch', '11 batches', '5,994 numbers')
    """
    return f"{n:,} {word if n == 1 else several or word + 's'}"
