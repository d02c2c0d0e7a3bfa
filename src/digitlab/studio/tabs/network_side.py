"""A side of the tab Network: which network it shows, at which moment, and what its browser was shown of it."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.engine.sequential import Sequential
from digitlab.explanation.inside import Inside, look_inside
from digitlab.explanation.inside_frames import account_of, first_unit, frame_of, plan_of
from digitlab.network.architecture import Architecture
from digitlab.network.checkpoint import Checkpoint
from digitlab.runs.run import MODEL
from digitlab.studio.page import Page
from digitlab.studio.run_list import open_run
from digitlab.studio.tabs.readers import SHIPPED, TRAINED, of_run, readers_of
from digitlab.studio.trainer import Remembered, Trainer
from digitlab.text import percent
from digitlab.training.material import class_names_for

#: Choices besides those of the readers: the training here before its first batch, and at a step of its own.
START, STEP = "start", "step"

_MOST_KEPT = 8


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A network at a moment; ``who`` answers, ``when`` in the training. Another ``key`` means other numbers."""

    key: tuple[Any, ...]
    who: str
    when: str
    architecture: Architecture
    weights: list[NDArray[np.float32]]
    class_names: tuple[str, ...] | None

    def model(self) -> Sequential:
        """Return it as a model that knows the classes' names."""
        return Sequential.from_architecture(self.architecture, self.weights, threads=1, class_names=self.class_names)


def _kept(_: Trainer) -> Remembered:
    return Remembered(_MOST_KEPT)


def subject_of(page: Page, choice: str, step: int | None = None) -> Subject:
    """Return the network of a choice: of ``Readers``, ``START``, or ``STEP`` with its step. To be called in a thread.

    Before the first training, the training here is that of the next start.
    """
    trainer = page.trainer
    if choice not in (TRAINED, START, STEP):
        return _kept_network(trainer, choice)
    if trainer.state == "idle":
        network, seed = page.network, page.config.seed
        weights = network.initial_weights(seed)
        names = class_names_for(network, page.data)
        return Subject((network, seed), "The network", "before the first batch", network, weights, names)
    at = {TRAINED: page.cursor, START: 0, STEP: step}[choice]
    moment = trainer.moment(at)
    when = f"after batch {moment.step:,}" if moment.step else "before the first batch"
    names = class_names_for(moment.architecture, page.data)
    return Subject((moment.generation, moment.step), "The network", when, moment.architecture, moment.weights, names)


def _kept_network(trainer: Trainer, choice: str) -> Subject:
    readers = readers_of(trainer)
    stamp = 0
    if choice != SHIPPED:
        path = open_run(trainer, choice.removeprefix(of_run(""))).path / MODEL
        stamp = path.stat().st_mtime_ns if path.exists() else 0
    found: Checkpoint = trainer.own(_kept).get((choice, stamp), lambda: readers.checkpoint(choice))
    who = readers.name(choice)
    return Subject((choice, stamp), who, "", found.architecture, list(found.weights), found.class_names)


@dataclass(slots=True)
class Choice:
    """The number that is taken apart, of a layer by its position, and of which map what it reads is told.

    Sides that show the same network share one, so that the same number is taken apart on both.
    """

    architecture: Architecture
    layer: int
    unit: tuple[int, ...]
    read: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """What a browser has been shown: of which network, which image, and the way of the image."""

    subject: Subject
    image: NDArray[np.uint8]
    title: str
    inside: Inside

    @property
    def about(self) -> str:
        """What it is about, in words."""
        return ", ".join(filter(None, (self.title, self.subject.when or self.subject.who)))


@dataclass(slots=True)
class Side:
    """One of the two. ``choice`` is what ``subject_of`` takes; empty where there is nothing."""

    choice: str
    step: int = 0
    shown: Shown | None = field(default=None)
    chosen: Choice | None = field(default=None)

    def forget(self) -> None:
        """Take note that the browser has nothing of it."""
        self.shown = None

    def computed(self, page: Page, image: NDArray[np.uint8], title: str, other: Side) -> tuple[Any, ...] | None:
        """Return what is sent: plan, frame, image and words, the first and the third where they are other ones.

        None where the browser has it all.
        """
        subject, before = subject_of(page, self.choice, self.step), self.shown
        is_same_image = before is not None and np.array_equal(before.image, image) and before.title == title
        if before is not None and is_same_image and before.subject.key == subject.key:
            return None
        inside = way_of(subject, image)
        is_same_network = before is not None and before.subject.architecture == subject.architecture
        chosen = self._chosen_in(inside, other)
        frame = frame_of(inside, chosen.layer, chosen.unit, chosen.read)
        if chosen.read is None:
            chosen.read = frame["account"]["read"]
        self.shown = Shown(subject, image, title, inside)
        plan = None if is_same_network else plan_of(inside)
        pixels = (
            None
            if is_same_image and is_same_network
            else b64encode(np.rint(inside.image * 255).astype(np.uint8).tobytes()).decode()
        )
        answer = f"{inside.class_names[inside.label]}, {percent(float(inside.probabilities[inside.label]), 1)}"
        when = f", {subject.when}" if subject.when else ""
        return plan, frame, pixels, f"{title}. {subject.who} answers {answer}{when}."

    def _chosen_in(self, inside: Inside, other: Side) -> Choice:
        for known in (self.chosen, other.chosen):
            if known is not None and known.architecture == inside.network:
                self.chosen = known
                return known
        self.chosen = made = Choice(inside.network, *first_unit(inside))
        return made

    def choose(self, layer: int, unit: tuple[int, ...], read: int | None) -> dict[str, Any] | None:
        """Take another number apart; return its account. An InputError if there is none."""
        if self.shown is None or not 0 <= layer < len(self.shown.inside.layers):
            return None
        account = account_of(self.shown.inside, layer, unit, read)
        if self.chosen is not None:
            self.chosen.layer, self.chosen.unit, self.chosen.read = layer, unit, account["read"]
        return account


def way_of(subject: Subject, image: NDArray[np.uint8]) -> Inside:
    """Send an image, uint8 (28, 28), through a network; one for rows of pixels gets a row."""
    is_row = len(subject.architecture.input_shape) == 1
    return look_inside(subject.model(), image.reshape(-1) if is_row else image)
