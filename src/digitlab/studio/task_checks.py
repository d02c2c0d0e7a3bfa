"""Whether a task of the guided path is done: found out from records, runs, evaluations and drawings, never asked."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from digitlab.evaluation.alike import NetworkResult, fair_pair, unlike_settings
from digitlab.evaluation.comparison import TestAnswers
from digitlab.evaluation.confusion import MISTAKES
from digitlab.network.architecture import Architecture
from digitlab.reading.reading import Digit
from digitlab.runs.history import Record
from digitlab.studio.run_list import results_here
from digitlab.studio.tabs.sheet import Sheet
from digitlab.studio.trainer import Trainer
from digitlab.text import counted, listed, percent
from digitlab.training.config import TrainConfig
from digitlab.training.material import network_for
from digitlab.values import EpochRecord, Evaluation, StepRecord

# As good as guessing: half as much again as one of all classes.
_CHANCE = 1.5
# A loss that has jumped, not one that falls slowly.
_JUMP = 1.2
_GOAL = 0.99


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out, in a sentence for whoever does the task, and whether the task is done by it."""

    sentence: str
    is_done: bool = False


# ---- raise the rate until it breaks ----


def check_rate(records: Sequence[Record], rate: float, n_classes: int, *, diverged: bool, ended: bool) -> Finding:
    """Tell whether a run with a higher learning rate than the codelab's has learned nothing.

    ``rate`` is what its last step was asked to be trained with, ``diverged`` whether it ended for that, and ``ended``
    whether it is over.
    """
    steps = [record for record in records if isinstance(record, StepRecord)]
    epochs = [record for record in records if isinstance(record, EpochRecord)]
    highest = max([rate, *(record.learning_rate for record in steps)])
    usual = TrainConfig().learning_rate
    if highest <= usual or not ended:
        return Finding(f"Waiting for a run with a higher rate than the codelab's {usual:g}.")
    told = f"With a rate of {highest:g}"
    if diverged:
        return Finding(f"{told} the loss was no number any more, or hopelessly large.", True)
    if not steps or not epochs:
        return Finding(f"{told} the run was stopped too early to tell. Let it go on to the end.")
    first, last = steps[0].loss, epochs[-1]
    most = max(record.loss for record in steps)
    told += f" the loss was {first:.2f} at the first batch, {most:.2f} at its highest and {last.loss:.2f} in the end"
    part = f"{percent(last.accuracy, 1)} of the training images right"
    is_stuck = last.accuracy <= _CHANCE / n_classes and most > _JUMP * first
    if not math.isfinite(last.loss) or last.loss > first or is_stuck:
        guess = ", no better than guessing" if last.accuracy <= _CHANCE / n_classes else ""
        return Finding(f"{told}; it got {part}{guess}.", True)
    return Finding(f"{told}; it got {part}, so it still learns. Go higher.")


# ---- take a layer away ----


def check_layer(trainer: Trainer, smaller: Architecture | None) -> Finding:
    """Tell whether a network with fewer layers than the codelab's, and that one, were trained alike; it reads files."""
    codelab = network_for(TrainConfig(), trainer.data)
    if smaller is None:
        return Finding(f"Waiting for a run of a network with fewer than {len(codelab.layers)} layers.")
    found = results_here(trainer, [codelab, smaller])
    n_classes = len(trainer.data.class_names)
    a, b, is_fair = fair_pair(*([each for each in results if _has_learned(each, n_classes)] for results in found))
    if b is None and found[1]:
        return Finding(
            "That run has learned nothing, so it tells nothing about the layer. Train with a lower rate: the codelab's "
            f"is {TrainConfig().learning_rate:g}."
        )
    if b is None:
        return Finding("That run is not complete; let it go on to the end.")
    if a is None:
        return Finding("Now train the codelab's network with the same settings.")
    if not is_fair:
        return Finding(
            f"It was trained, and the codelab's network, too, but not alike: they differ in "
            f"{listed(unlike_settings(a, b))}. Train both with the same settings."
        )
    return Finding(f"{_result(smaller, b, a)}; {_result(codelab, a, b)}, trained alike.", True)


def _has_learned(result: NetworkResult, n_classes: int) -> bool:
    """Whether a run is known to be better than guessing; one of which nothing is known may be."""
    known = [each for each in (result.val_accuracy, result.test_accuracy) if each is not None]
    return not known or max(known) > _CHANCE / n_classes


def _result(network: Architecture, result: NetworkResult, other: NetworkResult) -> str:
    # The same images for both.
    has_test = result.test_accuracy is not None and other.test_accuracy is not None
    accuracy, images = (result.test_accuracy, "test") if has_test else (result.val_accuracy, "validation")
    share = "nobody knows how many" if accuracy is None else percent(accuracy)
    return f"{len(network.layers)} layers: {share} of the {images} images"


# ---- beat 99 % ----


def check_accuracy(evaluation: Evaluation | None, n_all: int) -> Finding:
    """Tell whether a finished run is right on 99 % of all test images."""
    if evaluation is None or evaluation.n_images < n_all:
        return Finding("Waiting for a run that is finished.")
    told = f"This run is right on {percent(evaluation.accuracy)} of all {n_all:,} test images"
    missing = math.ceil(_GOAL * n_all - 1e-6) - round(evaluation.accuracy * n_all)
    return Finding(f"{told}.", True) if missing <= 0 else Finding(f"{told}; {counted(missing, 'image')} to go.")


# ---- draw a digit that fools it ----


def check_drawing(sheet: Sheet | None, said: int | None, reader: str) -> Finding:
    """Tell whether a drawing that somebody says is a digit is read as another one; ``reader`` is what reads it."""
    if said is None:
        return Finding("Say which digit you have drawn.")
    if sheet is None or not sheet.seen:
        return Finding("Nothing is drawn yet. Draw a digit in the tab Read.")
    if len(sheet.seen) > 1:
        return Finding(f"It sees {len(sheet.seen)} marks. Draw a single digit, in one piece.")
    read = sheet.seen[0].read
    if not isinstance(read, Digit):
        return Finding(f"{reader} refuses to answer, which is careful, not wrong. Make it look more like a digit.")
    sure = percent(min(read.confidence, 1.0), 1)
    if read.value == said:
        return Finding(f"{reader} reads a {said}, too, {sure} sure. Try again.")
    return Finding(f"You drew a {said}; {reader[0].lower()}{reader[1:]} reads a {read.value}, {sure} sure.", True)


# ---- predict before you see ----


@dataclass(slots=True)
class Predictions:
    """Some test images and what one network answered to them, shown one at a time, after somebody has said what.

    Of the images some are mistakes and some answers that the network was unsure of: those tell more than what is plain.
    """

    answers: TestAnswers
    chosen: tuple[int, ...]
    #: Whether each answer was foretold, and by how many points its sureness was missed.
    said: list[tuple[bool, float]] = field(default_factory=list)

    @classmethod
    def of(cls, answers: TestAnswers, seed: int, n_images: int = 5) -> Predictions:
        """Choose images by chance: two mistakes, one that was nearly one, and others."""
        rng = random.Random(seed)
        predicted, sureness = answers.probabilities.argmax(axis=1), answers.probabilities.max(axis=1)
        wrong = np.flatnonzero(predicted != answers.labels)
        right = np.flatnonzero(predicted == answers.labels)
        unsure = right[np.argsort(sureness[right])][: max(1, len(right) // 10)]
        chosen: list[int] = []
        for pool, n in ((wrong, 2), (unsure, 1), (right, n_images), (np.arange(len(predicted)), n_images)):
            left = [int(place) for place in pool if int(place) not in chosen]
            chosen += rng.sample(left, min(n, len(left), n_images - len(chosen)))
        rng.shuffle(chosen)
        return cls(answers, tuple(chosen))

    @property
    def at(self) -> int | None:
        """The image to be answered next; None when all are."""
        return self.chosen[len(self.said)] if len(self.said) < len(self.chosen) else None

    def answer(self, digit: int, sure_percent: float) -> tuple[int, float]:
        """Take what somebody says of the next image, and return what the network answered and how sure, 0-1."""
        assert self.at is not None
        row = self.answers.probabilities[self.at]
        predicted, sureness = int(row.argmax()), float(row.max())
        self.said.append((digit == predicted, abs(100 * sureness - sure_percent)))
        return predicted, sureness

    def score(self) -> Finding:
        """Tell how well the network was foretold."""
        n, n_right = len(self.said), sum(is_right for is_right, _ in self.said)
        if n == 0:
            return Finding(f"{counted(len(self.chosen), 'image')} to foretell.")
        off = sum(points for _, points in self.said) / n
        told = f"Foretold: {n_right} of {n}; its sureness missed by {counted(round(off), 'point')} on average."
        return Finding(told, n == len(self.chosen))


# ---- find the mistake that you make, too ----


@dataclass(slots=True)
class SharedMistakes:
    """The images that one network got wrong, the surest first, and what somebody sees in them."""

    answers: TestAnswers
    order: NDArray[np.intp]
    n_seen: int = 0
    n_shared: int = 0

    @classmethod
    def of(cls, answers: TestAnswers) -> SharedMistakes:
        """Begin with the surest mistake."""
        return cls(answers, MISTAKES.indices(answers.labels, answers.probabilities))

    @property
    def at(self) -> int | None:
        """The image that is looked at; None when there is none any more."""
        return int(self.order[self.n_seen]) if self.n_seen < len(self.order) else None

    def answer(self, digit: int) -> tuple[int, float, int]:
        """Take what somebody sees; return the network's answer, how sure it was, 0-1, and the label."""
        assert self.at is not None
        row, label = self.answers.probabilities[self.at], int(self.answers.labels[self.at])
        predicted = int(row.argmax())
        self.n_seen += 1
        self.n_shared += digit == predicted
        return predicted, float(row[predicted]), label

    def score(self) -> Finding:
        """Tell how many mistakes were shared."""
        if len(self.order) == 0:
            return Finding("This network made no mistake. Train one that does.")
        seen = f"Looked at {self.n_seen} of {counted(len(self.order), 'mistake')}"
        return Finding(f"{seen}; {self.n_shared} of them are yours, too.", self.n_shared > 0)


def smaller_than_codelab(trainer: Trainer) -> Architecture | None:
    """Return the network of the training where it has fewer layers than the codelab's."""
    codelab = network_for(TrainConfig(), trainer.data)
    return trainer.architecture if len(trainer.architecture.layers) < len(codelab.layers) else None


def with_ten_times_the_rate(config: TrainConfig) -> TrainConfig:
    """Return settings with ten times the learning rate, as short a number as can be."""
    return dataclasses.replace(config, learning_rate=float(f"{10 * config.learning_rate:.6g}"))
