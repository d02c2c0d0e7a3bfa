"""From an empty process to a training under way while the page is already served, and what the terminal hears of it."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import closing, suppress
from pathlib import Path

from digitlab.data.mnist import MnistData
from digitlab.errors import DigitlabError
from digitlab.studio.trainer import Trainer
from digitlab.studio.turns import Turns
from digitlab.text import percent
from digitlab.training.config import TrainConfig
from digitlab.training.material import fitted
from digitlab.training.session import TrainingSession
from digitlab.values import EpochRecord

_LOG = logging.getLogger(__name__)

# How long the codelab's run waits for somebody to watch it.
_WAIT_FOR_PAGE_S = 10.0
# Longer than loading kernels that were compiled before.
_COMPILING_AFTER_S = 1.5


class Opening:
    """Loads the digits, makes the trainer, compiles the kernels and starts the first run, in this order.

    Everything heavy happens in threads; the rest, and all attributes, belong to the event loop. The first run waits
    some seconds for a page that ``expects_page``. ``failure`` is why it cannot go on, as a sentence; ``is_ready`` says
    whether the kernels are compiled. All trainings of the process share the cores by ``turns``.
    """

    def __init__(self, out: Path, data: str | None = None, *, autostart: bool, expects_page: bool) -> None:
        self._data = data
        self.turns = Turns()
        self._out, self._autostart, self._expects_page = out, autostart, expects_page
        self.trainer: Trainer | None = None
        self.failure = ""
        self.is_ready = False
        self._has_trainer, self._has_page = asyncio.Event(), asyncio.Event()
        self._began: float | None = None

    @property
    def sentence(self) -> str:
        """What people see while they wait; empty when there is nothing to wait for."""
        if self.failure or self.is_ready:
            return self.failure
        if not self.is_compiling:
            return "Loading the digits and the kernels."
        waited = f"{self._waited_s:.0f} s of some 10"
        return f"Compiling the kernels for this processor, once: {waited}. Later starts take no time."

    @property
    def is_compiling(self) -> bool:
        """Whether it takes longer than loading what was compiled before."""
        return not self.is_ready and not self.failure and self._waited_s > _COMPILING_AFTER_S

    @property
    def _waited_s(self) -> float:
        return 0.0 if self._began is None else time.monotonic() - self._began

    def note_page(self) -> None:
        """Be told that a browser shows the page."""
        self._has_page.set()

    async def trainer_made(self) -> Trainer | None:
        """Wait until there is a trainer; None if it could not be made."""
        await self._has_trainer.wait()
        return self.trainer

    async def open(self) -> None:
        """Do all of it; what fails is told in ``failure``."""
        try:
            self._began = time.monotonic()
            self.trainer = trainer = await asyncio.to_thread(self._made_trainer)
            self._has_trainer.set()
            await asyncio.to_thread(_compile, trainer.data)
            self.is_ready = True
            if self._autostart:
                await self._start(trainer)
        except DigitlabError as error:
            self.failure = str(error)
        except Exception as error:
            _LOG.exception("The Studio could not be opened.")
            self.failure = f"The Studio could not be opened ({error!r:.200}). Start it again."
        finally:
            self._has_trainer.set()

    async def close(self) -> None:
        """Stop the training at a batch boundary, save it, and wait for that."""
        if self.trainer is not None:
            await asyncio.to_thread(self.trainer.close)

    def _made_trainer(self) -> Trainer:
        return Trainer(MnistData.load(self._data), self._out, data_folder=self._data, turns=self.turns)

    async def _start(self, trainer: Trainer) -> None:
        if self._expects_page:
            with suppress(TimeoutError):  # if nobody comes, it is shown to whoever comes later
                await asyncio.wait_for(self._has_page.wait(), _WAIT_FOR_PAGE_S)
        if trainer.generation == 0:  # unless somebody was quicker
            await asyncio.to_thread(trainer.start, TrainConfig())


def _compile(data: MnistData) -> None:
    """Train one small batch and validate, which compiles all kernels or loads those that were compiled before."""
    session = TrainingSession(TrainConfig(train_images=32, validation_images=32, batch_size=32, epochs=1), data)
    with closing(session.records()) as records:
        for _ in records:
            pass


_SECONDS_BETWEEN_LOOKS = 0.2


def say(line: str) -> None:
    """Print a line at once; if nobody reads any more, the Studio goes on without a word."""
    with suppress(OSError, ValueError):
        print(line, flush=True)


async def announce(opening: Opening) -> None:
    """Print what happens, until cancelled."""
    has_said = False
    while not (opening.is_ready or opening.failure):
        if opening.is_compiling and not has_said:
            has_said = True
            say("Compiling the kernels for this processor, once: some 10 seconds. Later starts take no time.")
        await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
    if opening.trainer is None or opening.failure:
        say(f"Error: {opening.failure}")
        return
    for note in (*opening.trainer.data.notes, *fitted(TrainConfig(), opening.trainer.data)[1]):
        say(note)
    await _watch(opening.trainer)


async def _watch(trainer: Trainer) -> None:
    began, cursor, state, has_evaluation = 0, 0, "idle", False
    said: dict[int, EpochRecord] = {}
    while True:
        if trainer.began != began:
            began, cursor, state, has_evaluation, said = trainer.began, 0, "idle", False, {}
            if trainer.state != "idle":
                name, n_epochs = trainer.architecture.name, trainer.config.epochs
                say(f"Training {name}: {n_epochs} epochs, {trainer.n_steps:,} batches.")
        records, cursor = trainer.records_since(cursor)
        for record in records:
            # Where a batch was undone, all are told once more.
            if isinstance(record, EpochRecord) and said.get(record.epoch) != record:
                said[record.epoch] = record
                say(record.line(trainer.config.epochs))
        if trainer.state != state:
            state = trainer.state
            if sentence := _sentence(trainer, state):
                say(sentence)
        if trainer.evaluation is not None and not has_evaluation:
            has_evaluation = True
            evaluation = trainer.evaluation
            say(
                f"Accuracy on {evaluation.n_images:,} test images: {percent(evaluation.accuracy)}. The run is in "
                f"{trainer.run and trainer.run.path}"
            )
        await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)


def _sentence(trainer: Trainer, state: str) -> str:
    if state == "failed":
        return f"Error: {trainer.message}"
    if state == "stopped":
        resume = "" if trainer.run is None else f" Go on with it by: {trainer.run.resume_command()}"
        return f"Stopped after batch {trainer.step_done:,} of {trainer.n_steps:,}.{resume}"
    return ""
