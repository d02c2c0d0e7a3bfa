"""Readers: which network reads, the shipped one, the one of the training here, or that of a run."""

from __future__ import annotations

import threading
from weakref import WeakKeyDictionary

from digitlab.engine.sequential import Sequential
from digitlab.errors import RunError
from digitlab.network.checkpoint import Checkpoint, load_checkpoint
from digitlab.reading.answers import SHIPPED as SHIPPED_FILE
from digitlab.reading.reader import Reader
from digitlab.runs.listing import check_name, run_in
from digitlab.runs.run import MODEL, Run
from digitlab.studio.run_list import run_lines
from digitlab.studio.trainer import Trainer
from digitlab.values import CLASS_NAMES

__all__ = ["SHIPPED", "TRAINED", "Readers", "of_run", "readers_of"]

#: The network that comes with digitlab, and the one of the training on this page.
SHIPPED, TRAINED = "shipped", "trained"

_RUN = "run "
_MOST_KEPT = 4


def of_run(name: str) -> str:
    """Return the choice that means a run."""
    return _RUN + name


class Readers:
    """Gives readers, and keeps those that were asked for lately; safe to call from any thread.

    A choice is ``SHIPPED``, ``TRAINED`` or what ``of_run`` gives.

    Parameters
    ----------
    trainer : Trainer
        Whose training and whose folder of runs.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._lock = threading.Lock()
        self._kept: dict[tuple[object, ...], Reader] = {}

    def choices(self) -> dict[str, str]:
        """Return what there is to choose, with its name for people; reads files, so do it off the event loop.

        Raises
        ------
        StorageError
            If the folder of runs cannot be read.
        """
        found = {SHIPPED: self.name(SHIPPED), TRAINED: self.name(TRAINED)}
        return found | {of_run(line.name): self.name(of_run(line.name)) for line in run_lines(self._trainer)
                        if line.has_model}  # fmt: skip

    def name(self, choice: str) -> str:
        """Return what people call a choice."""
        if choice.startswith(_RUN):
            return f"Run {choice.removeprefix(_RUN)}"
        return {SHIPPED: "The shipped reader", TRAINED: "The network trained here"}[choice]

    def about(self, choice: str) -> str:
        """Say in a sentence what one has to know of a choice."""
        if choice != TRAINED:
            return ""
        network, step = self._trainer.architecture, self._trainer.step_done
        if step == 0:
            return f"{network.name} has not been trained yet, so it guesses."
        eleventh = "" if network.n_classes > len(CLASS_NAMES) else ' It has no answer "not a digit".'
        return f"{network.name} after {step:,} batches.{eleventh}"

    def checkpoint(self, choice: str) -> Checkpoint:
        """Return the network and weights of a choice.

        Raises
        ------
        RunError
            If there is no such run, or it is damaged.
        """
        if choice == SHIPPED:
            return load_checkpoint(SHIPPED_FILE)
        if choice == TRAINED:
            moment = self._trainer.moment(None)
            model = Sequential.from_architecture(moment.architecture, moment.weights, threads=1)
            return Checkpoint(moment.architecture, tuple(moment.weights), model.class_names)
        return self._run(choice).load_model()

    def reader(self, choice: str) -> Reader:
        """Return what reads.

        Raises
        ------
        RunError
            If there is no such run, or it is damaged.
        NetworkError
            If its network is not one for digits.
        """
        key = self._key(choice)
        with self._lock:
            kept = self._kept.pop(key, None)
        made = kept if kept is not None else self._made(choice)
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > _MOST_KEPT:
                self._kept.pop(next(iter(self._kept)))
        return made

    def _made(self, choice: str) -> Reader:
        if choice == SHIPPED:
            return Reader()
        if choice == TRAINED:
            moment = self._trainer.moment(None)
            return Reader(Sequential.from_architecture(moment.architecture, moment.weights, threads=1))
        return Reader(self._run(choice).path / MODEL)

    def _run(self, choice: str) -> Run:
        if self._trainer.out is None or not choice.startswith(_RUN):
            raise RunError("This Studio keeps no runs; choose another network.")
        return run_in(self._trainer.out, check_name(choice.removeprefix(_RUN)))

    def _key(self, choice: str) -> tuple[object, ...]:
        if choice == TRAINED:
            return choice, self._trainer.generation, self._trainer.step_done
        if choice == SHIPPED:
            return (choice,)
        path = self._run(choice).path / MODEL
        return choice, path.stat().st_mtime_ns if path.exists() else 0


_READERS: WeakKeyDictionary[Trainer, Readers] = WeakKeyDictionary()


def readers_of(trainer: Trainer) -> Readers:
    """Return the readers of a trainer; all pages share them."""
    return _READERS.setdefault(trainer, Readers(trainer))
