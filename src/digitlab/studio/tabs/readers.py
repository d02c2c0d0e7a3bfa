"""Which network reads, the shipped one, the one trained here or that of a run; and how one goes on learning."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from digitlab.engine.sequential import Sequential
from digitlab.errors import DigitlabError, RunError
from digitlab.evaluation.finish import evaluate_and_report
from digitlab.network.checkpoint import Checkpoint, load_checkpoint
from digitlab.network.pixels import OWN
from digitlab.reading.answers import SHIPPED as SHIPPED_FILE
from digitlab.reading.apart import Apart
from digitlab.reading.reader import Reader
from digitlab.runs.run import MODEL, Run
from digitlab.studio.run_list import NO_RUNS, open_run, run_lines
from digitlab.studio.trainer import Remembered, Trainer
from digitlab.training.corrections import Corrections
from digitlab.training.fine_tuning import FineTuned, FineTuningOptions, KnownPhoto, fine_tune, keep_fine_tuned
from digitlab.training.material import class_names_for
from digitlab.values import CLASS_NAMES

#: The network that comes with digitlab, and the one of the training on this page.
SHIPPED, TRAINED = "shipped", "trained"

_RUN = "run "
_MOST_KEPT = 4
_LOG = logging.getLogger(__name__)
# Learning takes every core and much memory: those of other rooms wait.
_LEARNING = threading.Lock()


def of_run(name: str) -> str:
    """Return the choice that means a run."""
    return _RUN + name


class Readers:
    """Gives readers, and keeps those that were asked for lately; safe to call from any thread.

    A choice is ``SHIPPED``, ``TRAINED`` or what ``of_run`` gives. Runs are read from files: ask off the event loop.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer, self._kept = trainer, Remembered(_MOST_KEPT)

    def choices(self) -> dict[str, str]:
        """Return what there is to choose, with its name for people."""
        of_runs = {of_run(line.name): f"Run {line.called}" for line in run_lines(self._trainer) if line.has_model}
        return {choice: self.name(choice) for choice in (SHIPPED, TRAINED)} | of_runs

    def name(self, choice: str, *, in_sentence: bool = False) -> str:
        """Return what people call a choice, at the beginning of a sentence or within."""
        names = {SHIPPED: "The shipped reader", TRAINED: "The network trained here"}
        name = names.get(choice) or f"Run {choice.removeprefix(_RUN)}"
        return name[0].lower() + name[1:] if in_sentence else name

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
        """Return the network and weights of a choice."""
        if choice == SHIPPED:
            return load_checkpoint(SHIPPED_FILE)
        if choice == TRAINED:
            model = self._trained()
            return Checkpoint(model.architecture, tuple(model.get_weights()), model.class_names)
        return self._run(choice).load_model()

    def reader(self, choice: str) -> Reader:
        """Return what reads."""
        if choice == SHIPPED:
            return self._kept.get(choice, Reader)
        if choice == TRAINED:
            key = choice, self._trainer.generation, self._trainer.step_done
            return self._kept.get(key, lambda: Reader(self._trained()))
        path = self._run(choice).path / MODEL
        written_ns = path.stat().st_mtime_ns if path.exists() else 0
        return self._kept.get((choice, written_ns), lambda: Reader(path, pixels=OWN.text))

    def _trained(self) -> Sequential:
        moment = self._trainer.moment(None)
        return Sequential.from_architecture(
            moment.architecture,
            moment.weights,
            threads=1,
            class_names=class_names_for(moment.architecture, self._trainer.data),
        )

    def _run(self, choice: str) -> Run:
        return open_run(self._trainer, choice.removeprefix(_RUN))


def readers_of(trainer: Trainer) -> Readers:
    """Return the readers of a trainer; all pages share them."""
    return trainer.own(Readers)


class _CancelledError(Exception):
    """Somebody does not want it any more."""


class Learning:
    """One fine-tuning at a time; in a class, one at a time of all rooms. Attributes may be read from any thread.

    ``origin`` is the choice that the last one began with, ``tuned`` what came of it, and ``choice`` what it became:
    empty while it is not taken, since what reads worse is taken only by ``take``. ``fraction`` of it is done, and
    ``message`` says what failed.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer, self._readers = trainer, readers_of(trainer)
        self._lock = threading.Lock()
        self._is_cancelled = False
        self.is_running, self.fraction, self.message = False, 0.0, ""
        self.origin, self.choice = "", ""
        self.tuned: FineTuned | None = None
        self.options = FineTuningOptions()

    def start(self, choice: str, photos: Sequence[KnownPhoto] = (), apart: Apart | None = None) -> threading.Thread:
        """Let the network of a choice learn, and see how it reads photos then, apart; returns at once."""
        corrections = corrections_of(self._trainer)
        if corrections is None:
            raise RunError(NO_RUNS)
        with self._lock:
            if self.is_running:
                raise RunError("A network is learning from the corrections already; wait for it, or cancel it.")
            self.is_running, self._is_cancelled = True, False
        self.fraction, self.message, self.origin, self.choice, self.tuned = 0.0, "", choice, "", None
        arguments = (choice, corrections, photos, apart)
        thread = threading.Thread(target=self._run, args=arguments, name="digitlab-learning", daemon=True)
        thread.start()
        return thread

    def cancel(self) -> None:
        """End it at the next step; nothing is kept."""
        self._is_cancelled = True

    def take(self) -> None:
        """Keep what was learned as a run of its own, whether or not it reads worse."""
        trainer = self._trainer
        with self._lock:
            if self.tuned is None or trainer.out is None or self.choice:
                raise RunError("There is nothing to take; let a network learn from the corrections first.")
            origin = self._readers.name(self.origin)
            run = keep_fine_tuned(self.tuned, trainer.data, trainer.out, origin=origin, folder=trainer.config.data)
            evaluate_and_report(run, trainer.data)
            self.choice = of_run(run.name)

    def drop(self) -> None:
        """Forget what was learned and not taken."""
        if not self.choice:
            self.tuned = None

    def _run(self, choice: str, corrections: Corrections, photos: Sequence[KnownPhoto], apart: Apart | None) -> None:
        try:
            images, labels = corrections.arrays()
            start, data = self._readers.checkpoint(choice), self._trainer.data
            with _LEARNING:
                self.tuned = fine_tune(
                    start, images, labels, data, self.options, photos=photos, apart=apart, on_step=self._note
                )
            if not self.tuned.is_worse:
                self.take()
        except _CancelledError:
            self.message = "Cancelled; nothing was kept."
        except DigitlabError as error:
            self.message = str(error)
        except Exception as error:
            _LOG.exception("Learning from corrections failed.")
            self.message = f"Learning ended with an unforeseen error: {error!r:.200}. Nothing was kept."
        finally:
            self.is_running = False

    def _note(self, step: int, n_steps: int) -> None:
        if self._is_cancelled:
            raise _CancelledError
        self.fraction = step / n_steps


def learning_of(trainer: Trainer) -> Learning:
    """Return what learns in this process."""
    return trainer.own(Learning)


def corrections_of(trainer: Trainer) -> Corrections | None:
    """Return the corrections beside a trainer's folder of runs; None where nothing is written."""
    return trainer.own(_corrections_beside)


def _corrections_beside(trainer: Trainer) -> Corrections | None:
    return None if trainer.out is None else Corrections(trainer.out.absolute().parent / "corrections")
