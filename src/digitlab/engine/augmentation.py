"""Augmentation: how far images may be changed while a network learns, and the changed images of an epoch."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digitlab.engine.cpu.augmenting import N_DRAWS, RANGES, SIDE, augment_images
from digitlab.engine.cpu.threads import available_threads, share
from digitlab.errors import ConfigError, DataError

# One of the streams that come from a seed: 0 draws weights, 1 the order of an epoch, 2 dropout, 3 chosen images.
_STREAM = 4
_TASK = 512


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How far images are changed; each image by a random part of it. All zero changes nothing.

    Attributes
    ----------
    rotation : float
        Degrees, either way.
    shear : float
        Slant, either way: pixels sideways for each pixel down.
    scale, aspect : float
        Logarithm of the largest change of size, and of width by height: 0.1 is about 10 %.
    shift : float
        Pixels, either way, in both directions.
    elastic : float
        Pixels that an arrow of the elastic grid is long at most; points move by about a quarter of it.
    thicken, thin : float
        Pixels by which a stroke grows, or is eaten away, on each side.
    blur : float
        Part of a pixel, 0-1, that its neighbors replace.
    contrast : float
        Part of the ink, 0-1, that fades; and edges become up to 1 + 4 x contrast times as steep.
    background : float
        Level of the paper, 0-1: a grey, a slope, a faint line.
    noise : float
        Standard deviation, 0-1.
    cut, gap, neighbor : float
        Share of images, 0-1, that lose an edge, have a broken stroke, or have part of another at their side.
    """

    rotation: float = 0.0
    shear: float = 0.0
    scale: float = 0.0
    aspect: float = 0.0
    shift: float = 0.0
    elastic: float = 0.0
    thicken: float = 0.0
    thin: float = 0.0
    blur: float = 0.0
    contrast: float = 0.0
    background: float = 0.0
    noise: float = 0.0
    cut: float = 0.0
    gap: float = 0.0
    neighbor: float = 0.0

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if not 0.0 <= value < math.inf:
                raise ConfigError(f"{name} must be a finite number of at least 0; got {value!r}.")

    def times(self, part: float) -> Augmentation:
        """Return the augmentation that goes only a part of the way, and so often."""
        return Augmentation(**{name: part * value for name, value in dataclasses.asdict(self).items()})

    def as_ranges(self) -> np.void:
        """Return the record that the kernel takes, angles in radians."""
        values = dataclasses.asdict(self) | {"rotation": math.radians(self.rotation)}
        record = np.zeros(1, RANGES)
        record[0] = tuple(values[name] for name in RANGES.names or ())
        return record[0]  # type: ignore[no-any-return]


#: Augmentations by name. The reader's was chosen on validation images (``docs/decisions/0006-the-readers-network.md``).
AUGMENTATIONS: dict[str, Augmentation | None] = {
    "none": None,
    "reader": Augmentation(
        rotation=12.0,
        shear=0.25,
        scale=0.12,
        aspect=0.2,
        shift=2.0,
        elastic=4.5,
        thicken=0.8,
        thin=0.4,
        blur=0.5,
        contrast=0.3,
        background=0.1,
        noise=0.05,
        cut=0.05,
        gap=0.06,
        neighbor=0.1,
    ),
}


def augmented(
    images: NDArray[np.uint8], augmentation: Augmentation, *, seed: int, epoch: int, threads: int | None = None
) -> NDArray[np.uint8]:
    """Return the images, uint8 (n, 28, 28), 0-255, as one epoch sees them.

    What becomes of an image depends on its place, the seed and the epoch (and, where a neighbor reaches in, on the
    other images), and on nothing else. Raises ``DataError`` if ``images`` has another dtype or shape.
    """
    if images.dtype != np.uint8 or images.shape[1:] != (SIDE, SIDE):
        raise DataError(
            f"Only images of uint8 (n, {SIDE}, {SIDE}) can be augmented; got {images.dtype} {images.shape}."
        )
    n = len(images)
    source = images if images.flags.writeable and images.flags.c_contiguous else images.copy()
    rng = np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(_STREAM, epoch)))
    draws = rng.random((n, N_DRAWS), np.float32)
    out = np.empty((n, SIDE, SIDE), np.uint8)
    ranges = augmentation.as_ranges()
    n_workers = min(threads or available_threads(), max(1, -(-n // _TASK)))
    memory = [(np.zeros(32, np.float32), *np.zeros((2, SIDE, SIDE), np.float32)) for _ in range(n_workers)]

    def task(worker: int, i: int) -> None:
        augment_images(source, i * _TASK, min(n, (i + 1) * _TASK), ranges, draws, *memory[worker], out)

    share(task, -(-n // _TASK), n_workers)
    return out
