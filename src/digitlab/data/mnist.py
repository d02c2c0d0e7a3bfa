"""MnistData: handwritten digits in three splits, handed out in batches as a network takes them."""

from __future__ import annotations

import operator
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from digitlab.data.packaged import read_packaged
from digitlab.data.sources import read_set
from digitlab.errors import ConfigError, DataError, MissingNameError
from digitlab.metrics import class_numbers
from digitlab.values import CLASS_NAMES

_PARTS = "The parts of a set are data.training, data.validation and data.test"


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Images and their labels, for one purpose: training, validation or test.

    ``images`` is uint8 (n, 28, 28), 0-255, ink bright on dark, C-contiguous; ``labels`` uint8 (n,), 0-9, or as many
    as the set has classes.
    """

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> NoReturn:
        raise DataError(f"A split is images and labels: x, y = data.{self.name}.images, data.{self.name}.labels.")

    def at(self, places: NDArray[np.intp]) -> Split:
        """Return the images at these places, for the same purpose; all of them in their order without a copy."""
        if np.array_equal(places, np.arange(len(self))):
            return self
        return Split(self.name, self.images[places], self.labels[places])


class MnistData:
    """The three splits of a set of digits, letters or anything else, and their batches in a seeded random order.

    Parameters
    ----------
    training, validation, test : Split
        At least one image each.
    source : str
        Where they come from, for people.
    digest : str
        What they are: the same for the same images and labels in any form, in hexadecimal (see `DigitFiles`).
    seed : int
        0 or more; says the order of the batches.
    class_names : sequence of str
        What the classes are called, in the order of their labels; the ten digits by default.
    notes : sequence of str
        Sentences on what was made of what was found, such as that images were turned.
    has_test : bool
        Whether the test images were told apart by whoever made the set, and not here.
    """

    def __init__(
        self,
        training: Split,
        validation: Split,
        test: Split,
        *,
        source: str,
        digest: str,
        seed: int = 0,
        class_names: Sequence[str] = CLASS_NAMES,
        notes: Sequence[str] = (),
        has_test: bool = True,
    ) -> None:
        self.training, self.validation, self.test = training, validation, test
        self.source, self.digest = source, digest
        self.class_names, self.notes, self.has_test = tuple(class_names), tuple(notes), has_test
        self.seed = _whole_number("seed", seed, at_least=0)
        # A generator a split, so that drawing from one does not change the order of another.
        for_train, for_validation, for_test = map(np.random.default_rng, np.random.SeedSequence(self.seed).spawn(3))
        n_classes = len(self.class_names)
        self._train_batches = _Batches(training, for_train, n_classes)
        self._validation_batches = _Batches(validation, for_validation, n_classes)
        self._test_batches = _Batches(test, for_test, n_classes)

    @classmethod
    def load(
        cls, folder: str | os.PathLike[str] | None = None, *, seed: int = 0, validation_images: int = 5000
    ) -> Self:
        """Load the packaged MNIST, or another set in any of the forms that people have them in.

        The packaged set needs no network. Its first load unpacks it into the user's cache (see
        `cache_folder`), from where later loads map it into memory.

        Parameters
        ----------
        folder : str or path, optional
            A folder, zip archive or file: IDX files under the names of MNIST, Fashion-MNIST, KMNIST, EMNIST or QMNIST,
            plain, ``.gz`` or ``.xz``; ``.npz`` or ``.npy`` with ``x_train``, ``y_train``, ``x_test``, ``y_test``; CSV
            of a label and pixels; Parquet as Hugging Face has it; or folders of pictures, one a class, such as
            ``train/0`` to ``train/9``. The packaged MNIST if left out. ``notes`` says what was made of it.
        seed : int
            0 or more; says the order of the batches.
        validation_images : int
            1 or more: how many of the last training images are kept apart for validation. Where that is more
            than half of them, a tenth is (but at least one), so that a small set keeps its training images. A set that
            has images for validation keeps those.

        Returns
        -------
        MnistData
            For MNIST: 55,000 training, 5,000 validation and 10,000 test images.

        Raises
        ------
        DataError
            If the set is missing, damaged, of no form that is known, or has fewer than 2 training images; or if there
            are several, and which one is meant is not clear.
        ConfigError
            If ``seed`` or ``validation_images`` is out of range.
        """
        wanted = _whole_number("validation_images", validation_images, at_least=1)
        _whole_number("seed", seed, at_least=0)
        files = read_packaged() if folder is None else read_set(folder)
        images, labels = files.training_images, files.training_labels
        if len(images) < 2:
            raise DataError(
                f"{files.source} has 1 training image; at least 2 were expected, one to learn from and one for "
                "validation. Add images to the set."
            )
        n_validation = files.n_validation
        if n_validation is None:
            n_validation = wanted if 2 * wanted <= len(images) else max(1, len(images) // 10)
        return cls(
            Split("training", images[:-n_validation], labels[:-n_validation]),
            Split("validation", images[-n_validation:], labels[-n_validation:]),
            Split("test", files.test_images, files.test_labels),
            source=files.source,
            digest=files.digest,
            seed=seed,
            class_names=files.class_names,
            notes=files.notes,
            has_test=files.has_test,
        )

    def next_train_batch(self, n: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the next training images, float32 (n, 28, 28, 1) in [0, 1], and labels, one-hot, float32 (n, 10),
        or as many as there are classes.

        Each image comes once before any comes again; then the same order begins anew. ``n`` may be more than there are.
        """
        return self._train_batches.next(n)

    def next_validation_batch(self, n: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the next validation images and labels, as `next_train_batch` does."""
        return self._validation_batches.next(n)

    def next_test_batch(self, n: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the next test images and labels, as `next_train_batch` does."""
        return self._test_batches.next(n)

    def everything(self) -> Split:
        """Return the images of all splits as test images, for a set in which those were not told apart."""
        splits = (self.training, self.validation, self.test)
        return Split("test", np.concatenate([s.images for s in splits]), np.concatenate([s.labels for s in splits]))

    def __iter__(self) -> NoReturn:
        raise DataError(f"{_PARTS}, as in x_train, y_train = data.training.images, data.training.labels.")

    if not TYPE_CHECKING:  # type checkers shall miss what is missing

        def __getattr__(self, name: str) -> NoReturn:
            raise MissingNameError(f"MnistData has no attribute {name!r}. {_PARTS}, each with images and labels.")

    def __repr__(self) -> str:
        sizes = f"{len(self.training):,} training, {len(self.validation):,} validation, {len(self.test):,} test"
        return f"<MnistData: {self.source}; {sizes}>"


def as_float(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Normalize uint8 (n, 28, 28), 0-255, as every network here takes it: float32 (n, 28, 28, 1), value / 255."""
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape[1:] != (28, 28):
        found = f"{images.dtype} {images.shape}" if isinstance(images, np.ndarray) else type(images).__name__
        raise DataError(
            f"Images are {found}; uint8 (n, 28, 28), 0-255, was expected. For one image, pass image[np.newaxis]."
        )
    return np.divide(images, np.float32(255), dtype=np.float32)[..., np.newaxis]


def one_hot(labels: ArrayLike, n_classes: int = 10) -> NDArray[np.float32]:
    """Turn integers (n,) below ``n_classes`` into float32 (n, n_classes), with a one in the label's place.

    >>> one_hot([2, 0], n_classes=3)
    array([[0., 0., 1.],
           [1., 0., 0.]], dtype=float32)
    """
    n_classes = _whole_number("n_classes", n_classes, at_least=1)
    values = class_numbers(labels, n_classes)
    rows = np.zeros((len(values), n_classes), np.float32)
    rows[np.arange(len(values)), values] = 1
    return rows


class _Batches:
    """A split in one random order, and how far it has been handed out."""

    def __init__(self, split: Split, random: np.random.Generator, n_classes: int) -> None:
        self._split, self._n_classes = split, n_classes
        self._order = random.permutation(len(split))
        self._position = 0

    def next(self, n: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        n = _whole_number("The number of images in a batch", n, at_least=1)
        chosen = self._order[np.arange(self._position, self._position + n) % len(self._order)]
        self._position = (self._position + n) % len(self._order)
        return as_float(self._split.images[chosen]), one_hot(self._split.labels[chosen], self._n_classes)


def _whole_number(name: str, value: Any, *, at_least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool | np.bool_) or number < at_least:
        raise ConfigError(f"{name} is {value!r}; a whole number, {at_least} or more, was expected. Pass such a number.")
    return number


# One of the streams that come from a seed: 0 draws weights, 1 the order of an epoch, 2 dropout.
_STREAM = 3


def choose_images(split: Split, n: int, seed: int) -> NDArray[np.intp]:
    """Choose ``n`` images of a split at random, without replacement; all of them in their order if ``n`` is the number.

    For a seed, fewer images are the first of more. Returns intp (n,), their places in the split.
    """
    if n < 1:
        raise ConfigError(f"At least 1 of the {split.name} images must be asked for; got {n}.")
    if n > len(split):
        raise ConfigError(
            f"There are {len(split):,} {split.name} images; {n:,} were asked for. Ask for at most {len(split):,}."
        )
    if n == len(split):
        return np.arange(n)
    rng = np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(_STREAM,)))
    return rng.permutation(len(split))[:n]
