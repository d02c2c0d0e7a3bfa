"""Material: the images that a session learns from and watches, with what is no digit among them where it is wanted."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.data.mnist import MnistData, Split, choose_images
from digitlab.engine.augmentation import AUGMENTATIONS, augmented
from digitlab.engine.fitting import LabelledImages
from digitlab.engine.inputs import wrap_labelled
from digitlab.errors import ConfigError
from digitlab.network.architecture import Architecture
from digitlab.training.config import TrainConfig
from digitlab.values import CLASS_NAMES

__all__ = ["Material", "gather_material", "strength"]

# From the middle of the run on, changes become smaller, down to this part of them: the network first sees what digits
# may be, and ends near what they mostly are.
_LEAST_STRENGTH = 0.25


@dataclass(frozen=True, eq=False)
class Material:
    """What a session works with.

    Attributes
    ----------
    training, validation : LabelledImages, LabelledImages or None
        As they are before any change: digits, variants of them, then what is none, with the label after the last
        digit's.
    of_epoch : callable or None
        Gives the training images as an epoch, from 1, sees them; None where every epoch sees them as they are.
    nondigits : dict or None
        How many, their digest and the fonts of their letters: what ``config.json`` says of them.
    """

    training: LabelledImages
    validation: LabelledImages | None
    of_epoch: Callable[[int], LabelledImages] | None
    nondigits: dict[str, Any] | None


def gather_material(config: TrainConfig, data: MnistData, architecture: Architecture) -> Material:
    """Choose images as a config says, and make the variants and those that are no digit.

    Raises
    ------
    InputError
        If there are not so many images, or the network has no output for what is no digit.
    """
    n_digits = len(CLASS_NAMES)
    if config.not_a_digit and architecture.n_classes != n_digits + 1:
        raise ConfigError(
            f"not_a_digit needs a network with {n_digits + 1} outputs, such as reader_cnn; {architecture.name} has "
            f"{architecture.n_classes}."
        )
    if config.learns_from == "candidates":
        return _candidates(config, data, architecture)
    made: list[tuple[str, tuple[str, ...]]] = []

    def chosen(split: Split, n: int) -> LabelledImages:
        source = split.at(choose_images(split, n, config.seed))
        images, labels = [source.images], [source.labels]
        n_all = n / (1 - config.not_a_digit - config.variants)
        if config.variants:
            from digitlab.training.variants import make_variants

            more_images, more_labels = make_variants(round(n_all * config.variants), source, seed=config.seed)
            images, labels = [*images, more_images], [*labels, more_labels]
        if config.not_a_digit:
            from digitlab.training.nondigits import make_nondigits

            others = make_nondigits(max(1, round(n_all * config.not_a_digit)), source, seed=config.seed)
            made.append((others.digest, others.fonts))
            images, labels = [*images, others.images], [*labels, np.full(len(others), n_digits, np.uint8)]
        if len(images) == 1:
            return wrap_labelled(architecture, images[0], labels[0])  # as it is, perhaps on disk
        return wrap_labelled(architecture, np.concatenate(images), np.concatenate(labels))

    training = chosen(data.training, config.train_images)
    validation = chosen(data.validation, config.validation_images) if config.validation_images else None
    nondigits = None
    if made:
        digest = hashlib.sha256("".join(one for one, _ in made).encode()).hexdigest()
        nondigits = {"n_training": int((training.labels == n_digits).sum()), "digest": digest, "fonts": made[0][1]}
    return Material(training, validation, _changes(config, training), nondigits)


def _candidates(config: TrainConfig, data: MnistData, architecture: Architecture) -> Material:
    """What the shipped finder takes for a digit; every epoch on other pages."""
    from digitlab.reading.finder import SHIPPED_FINDER, shipped
    from digitlab.training.candidates import compose_candidates
    from digitlab.training.fonts import find_fonts
    from digitlab.training.nondigits import fonts_for
    from digitlab.training.practice_bank import bank_digest, make_bank

    fonts = find_fonts()
    bank = make_bank(data.training, seed=config.seed, fonts=fonts, threads=config.threads)

    composer = ThreadPoolExecutor(1, "digitlab-composing")
    ahead: dict[int, Future[LabelledImages]] = {}

    def of_set(number: int) -> LabelledImages:
        # A crop has some ten candidates, so that no crop comes twice.
        patches, labels = compose_candidates(
            bank, config.train_images, shipped(), seed=config.seed, first=number * config.train_images, threads=1
        )
        return wrap_labelled(architecture, patches, labels)

    def of_epoch(epoch: int) -> LabelledImages:
        # Each set is learned from twice, and the next one is composed meanwhile.
        number = (epoch - 1) // 2
        for wanted in (number, min(number + 1, (config.epochs - 1) // 2)):
            if wanted not in ahead:
                ahead[wanted] = composer.submit(of_set, wanted)
        for done in [one for one in ahead if one < number]:
            del ahead[done]
        return ahead[number].result()

    validation = None
    if config.validation_images:
        of_validation = make_bank(data.validation, seed=config.seed, fonts=fonts, threads=config.threads)
        made = compose_candidates(of_validation, config.validation_images, shipped(), seed=config.seed)
        validation = wrap_labelled(architecture, *made)
    finder = hashlib.sha256(SHIPPED_FINDER.read_bytes()).hexdigest()
    digest = hashlib.sha256(f"{bank_digest(bank)}{finder}".encode()).hexdigest()
    nondigits = {
        "n_training": len(bank.images) - bank.n_digits,
        "digest": digest,
        "fonts": tuple(font.name for font in fonts_for(data.training, fonts)),
    }
    return Material(of_epoch(1), validation, of_epoch, nondigits)


def strength(epoch: int, n_epochs: int) -> float:
    """Return how far an epoch's images are changed, as a part of the augmentation's ranges.

    Examples
    --------
    >>> [strength(epoch, 9) for epoch in range(1, 10)]
    [1.0, 1.0, 1.0, 1.0, 1.0, 0.8125, 0.625, 0.4375, 0.25]
    """
    done = (epoch - 1) / max(1, n_epochs - 1)
    return 1.0 - (1.0 - _LEAST_STRENGTH) * max(0.0, 2.0 * done - 1.0)


def _changes(config: TrainConfig, training: LabelledImages) -> Callable[[int], LabelledImages] | None:
    augmentation = AUGMENTATIONS[config.augmentation]
    if augmentation is None:
        return None
    rows = training.images.as_bytes
    images: NDArray[np.uint8] = rows.reshape(-1, 28, 28)

    def of_epoch(epoch: int) -> LabelledImages:
        ranges = augmentation.times(strength(epoch, config.epochs))
        changed = augmented(images, ranges, seed=config.seed, epoch=epoch, threads=config.threads)
        return LabelledImages(type(training.images).from_array(changed, rows.shape[1]), training.labels)

    return of_epoch
