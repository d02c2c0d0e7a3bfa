"""Material: what a session learns from and watches: digits, with what is none among them, candidates, or pages."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from digitlab.data.mnist import MnistData, Split, choose_images
from digitlab.engine.augmentation import AUGMENTATIONS, augmented
from digitlab.engine.crops import Crops
from digitlab.engine.images import LabelledImages, wrap_labelled
from digitlab.errors import ConfigError
from digitlab.network.architecture import Architecture
from digitlab.network.layers import Dense
from digitlab.training.config import TrainConfig
from digitlab.values import CLASS_NAMES

# What draws digits and pages is imported where it is needed: most trainings need none of it.
if TYPE_CHECKING:
    from digitlab.engine.drawing.sketching import Bank

Composed = TypeVar("Composed")

_N_DIGITS = len(CLASS_NAMES)
# From the middle of the run on, changes become smaller, down to this part of them: the network first sees what digits
# may be, and ends near what they mostly are.
_LEAST_STRENGTH = 0.25


@dataclass(frozen=True, eq=False)
class Material:
    """What a session learns single images from."""

    #: As they are before any change: digits, variants of them, then what is none, labelled after the last digit.
    training: LabelledImages
    validation: LabelledImages | None
    #: Gives the training images as an epoch, from 1, sees them; None where every epoch sees them as they are.
    of_epoch: Callable[[int], LabelledImages] | None
    #: How many are no digit, their digest and the fonts of their letters: what ``config.json`` says of them.
    nondigits: dict[str, Any] | None


@dataclass(frozen=True, eq=False)
class Practice:
    """What a finder's session learns from: the crops of an epoch, validation crops, the bank's digest and fonts."""

    training: PracticeCrops
    validation: Crops | None
    nondigits: dict[str, Any]


@dataclass(frozen=True, eq=False)
class PracticeCrops:
    """Crops that are composed when they are needed, ``n`` an epoch; the next epoch has others."""

    bank: Bank
    n: int
    batch_size: int
    seed: int

    def __len__(self) -> int:
        return self.n

    def of_batch(self, step: int) -> Crops:
        """Return the crops of the step after ``step`` others."""
        from digitlab.training.pages import compose

        epoch, batch = divmod(step, -(-self.n // self.batch_size))
        first = batch * self.batch_size
        n = min(self.batch_size, self.n - first)
        return compose(self.bank, n, seed=self.seed, first=epoch * self.n + first, threads=1)


def fitted(config: TrainConfig, data: MnistData) -> tuple[TrainConfig, tuple[str, ...]]:
    """Return the settings for as many images as there are, and sentences on what that changed."""
    if config.loss == "finder" or config.learns_from == "candidates":
        return config, ()  # which are composed, as many as one likes
    n_training = min(config.train_images, len(data.training))
    n_validation = min(config.validation_images, len(data.validation))
    changed = replace(config, train_images=n_training, validation_images=n_validation)
    if changed == config:
        return config, ()
    return changed, (
        f"{data.source} has {len(data.training):,} images for training and {len(data.validation):,} for validation; "
        f"{config.train_images:,} and {config.validation_images:,} were asked for. It trains with what there is.",
    )


def network_for(config: TrainConfig, data: MnistData) -> Architecture:
    """Return the network that a config names; one of the zoo's ends in as many classes as the data has."""
    network, n = config.build_architecture(), len(data.class_names)
    is_file = config.network.lower().endswith(".json")
    if is_file or network.answers_maps or data.class_names == CLASS_NAMES or config.learns_from == "candidates":
        return network
    *layers, last = network.layers
    assert isinstance(last, Dense)
    return replace(network, layers=(*layers, replace(last, units=n)))


def class_names_for(architecture: Architecture, data: MnistData) -> tuple[str, ...] | None:
    """Return what a network's classes are called that learns from this data; None for what they are by default.

    ConfigError if there are more classes than it tells apart.
    """
    if architecture.answers_maps or data.class_names == CLASS_NAMES:
        return None
    n, names = architecture.n_classes, data.class_names
    if n < len(names):
        raise ConfigError(
            f"{data.source} has {len(names)} classes, {names[0]} to {names[-1]}, and {architecture.name} tells {n} "
            f"apart. Give its last layer {len(names)} units."
        )
    return (*names, *(str(k) for k in range(len(names), n)))


def gather_material(config: TrainConfig, data: MnistData, architecture: Architecture) -> Material | Practice:
    """Choose images as a config says, or compose them, and make the variants and those that are no digit.

    InputError if there are not so many images, or the network has no output for what is no digit.
    """
    is_drawn = config.not_a_digit or config.variants or config.loss == "finder" or config.learns_from == "candidates"
    if is_drawn and data.class_names != CLASS_NAMES:
        raise ConfigError(
            f"{data.source} has the classes {data.class_names[0]} to {data.class_names[-1]}, and finders, second "
            "looks, not_a_digit and variants are made of digits. Use a set of the ten digits, or leave those out."
        )
    if config.loss == "finder":
        return _pages(config, data)
    if config.learns_from == "candidates":
        return _candidates(config, data, architecture)
    return _digits(config, data, architecture)


def _digits(config: TrainConfig, data: MnistData, architecture: Architecture) -> Material:
    """Digits of the set, with variants and what is no digit among them."""
    if config.not_a_digit and architecture.n_classes != _N_DIGITS + 1:
        raise ConfigError(
            f"not_a_digit needs a network with {_N_DIGITS + 1} outputs, such as reader_cnn; {architecture.name} has "
            f"{architecture.n_classes}."
        )
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
            images, labels = [*images, others.images], [*labels, np.full(len(others), _N_DIGITS, np.uint8)]
        if len(images) == 1:
            return wrap_labelled(architecture, images[0], labels[0])  # as it is, perhaps on disk
        return wrap_labelled(architecture, np.concatenate(images), np.concatenate(labels))

    training = chosen(data.training, config.train_images)
    validation = chosen(data.validation, config.validation_images) if config.validation_images else None
    nondigits = None
    if made:
        digest = hashlib.sha256("".join(one for one, _ in made).encode()).hexdigest()
        nondigits = {"n_training": int((training.labels == _N_DIGITS).sum()), "digest": digest, "fonts": made[0][1]}
    return Material(training, validation, _changes(config, training), nondigits)


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


def _candidates(config: TrainConfig, data: MnistData, architecture: Architecture) -> Material:
    """What the shipped finder takes for a digit; every second epoch on other pages."""
    from digitlab.reading.finder import SHIPPED_FINDER, shipped
    from digitlab.training.candidates import compose_candidates

    bank, of_validation, nondigits = _banks(config, data)

    def of_set(number: int) -> LabelledImages:
        # A crop has some ten candidates, so that no crop comes twice.
        first = number * config.train_images
        made = compose_candidates(bank, config.train_images, shipped(), seed=config.seed, first=first, threads=1)
        return wrap_labelled(architecture, *made)

    # Each set is learned from twice, and the next one is composed meanwhile.
    set_of = composed_ahead(ThreadPoolExecutor(1, "digitlab-composing"), of_set, -(-config.epochs // 2))

    def of_epoch(epoch: int) -> LabelledImages:
        return set_of((epoch - 1) // 2)

    validation = None
    if of_validation is not None:
        made = compose_candidates(of_validation, config.validation_images, shipped(), seed=config.seed)
        validation = wrap_labelled(architecture, *made)
    finder = hashlib.sha256(SHIPPED_FINDER.read_bytes()).hexdigest()
    digest = hashlib.sha256(f"{nondigits['digest']}{finder}".encode()).hexdigest()
    return Material(of_epoch(1), validation, of_epoch, nondigits | {"digest": digest})


def _pages(config: TrainConfig, data: MnistData) -> Practice:
    """Practice crops, other ones in every step."""
    from digitlab.training.pages import compose

    bank, of_validation, nondigits = _banks(config, data)
    validation = None
    if of_validation is not None:
        validation = compose(of_validation, config.validation_images, seed=config.seed, threads=config.threads)
    return Practice(PracticeCrops(bank, config.train_images, config.batch_size, config.seed), validation, nondigits)


def _banks(config: TrainConfig, data: MnistData) -> tuple[Bank, Bank | None, dict[str, Any]]:
    """What pages are composed of, for training and for validation, and what ``config.json`` says of it."""
    from digitlab.training.letters import find_fonts
    from digitlab.training.nondigits import fonts_for
    from digitlab.training.pages import bank_digest, make_bank

    fonts = find_fonts()

    def bank_of(split: Split) -> Bank:
        return make_bank(split, seed=config.seed, fonts=fonts, threads=config.threads)

    bank = bank_of(data.training)
    nondigits = {
        "n_training": len(bank.images) - bank.n_digits,
        "digest": bank_digest(bank),
        "fonts": tuple(font.name for font in fonts_for(data.training, fonts)),
    }
    return bank, bank_of(data.validation) if config.validation_images else None, nondigits


def composed_ahead(
    composer: ThreadPoolExecutor, compose: Callable[[int], Composed], n: int
) -> Callable[[int], Composed]:
    """Return what gives the composed of a number below ``n``, never of a smaller one than before.

    The one after it is composed meanwhile.
    """
    ahead: dict[int, Future[Composed]] = {}

    def composed(number: int) -> Composed:
        for wanted in range(number, min(number + 2, n)):
            if wanted not in ahead:
                ahead[wanted] = composer.submit(compose, wanted)
        for done in [one for one in ahead if one < number]:
            del ahead[done]
        return ahead[number].result()

    return composed
