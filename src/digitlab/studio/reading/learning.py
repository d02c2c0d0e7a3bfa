"""Learning: a network goes on learning from the corrections, in a thread, and becomes a run where it is taken."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from weakref import WeakKeyDictionary

from digitlab.data.mnist import MnistData
from digitlab.errors import DigitlabError, RunError
from digitlab.reading.apart import Apart
from digitlab.studio.reading.readers import Readers, of_run, readers_of
from digitlab.studio.trainer import Trainer
from digitlab.training.corrections import Corrections
from digitlab.training.fine_tuning import FineTuned, FineTuningOptions, KnownPhoto, fine_tune
from digitlab.training.keeping_fine_tuned import keep_fine_tuned

__all__ = ["Learning", "corrections_of", "learning_of"]

_LOG = logging.getLogger(__name__)


class _CancelledError(Exception):
    """Somebody does not want it any more."""


class Learning:
    """One fine-tuning at a time in this process. Attributes may be read from any thread.

    Parameters
    ----------
    data : MnistData
        What is replayed, and tested with.
    out : Path or None
        The folder of runs.
    corrections : Corrections
        What is learned from.
    readers : Readers
        Where the networks come from.
    folder : str, optional
        Where the data is, if it is not the packaged one.

    Attributes
    ----------
    is_running : bool
        Whether it is under way.
    fraction : float
        How much of it is done, 0-1.
    message : str
        A sentence: what failed, or that it was cancelled.
    origin : str
        The choice that it began with; see ``Readers``.
    tuned : FineTuned or None
        What came of the last one.
    choice : str
        The choice that it became; empty while it is not taken. What reads worse is taken only by ``take``.
    options : FineTuningOptions
        How it is done.
    """

    def __init__(
        self,
        data: MnistData,
        out: Path | None,
        corrections: Corrections | None,
        readers: Readers,
        folder: str | None = None,
    ) -> None:
        self._folder = folder
        self._data, self._out, self._corrections, self._readers = data, out, corrections, readers
        self._lock = threading.Lock()
        self._is_cancelled = False
        self.is_running, self.fraction, self.message = False, 0.0, ""
        self.origin, self.choice = "", ""
        self.tuned: FineTuned | None = None
        self.options = FineTuningOptions()

    def start(self, choice: str, photos: Sequence[KnownPhoto] = (), apart: Apart | None = None) -> threading.Thread:
        """Let the network of a choice learn, and see how it reads photos then, apart; returns at once.

        Raises
        ------
        RunError
            If one is learning already, or this Studio keeps no runs.
        """
        if self._out is None or self._corrections is None:
            raise RunError("This Studio keeps no runs; start it with a folder for them: digitlab studio --out runs")
        with self._lock:
            if self.is_running:
                raise RunError("A network is learning from the corrections already; wait for it, or cancel it.")
            self.is_running, self._is_cancelled = True, False
        self.fraction, self.message, self.origin, self.choice, self.tuned = 0.0, "", choice, "", None
        thread = threading.Thread(
            target=self._run, args=(choice, self._corrections, photos, apart), name="digitlab-learning", daemon=True
        )
        thread.start()
        return thread

    def cancel(self) -> None:
        """End it at the next step; nothing is kept."""
        self._is_cancelled = True

    def take(self) -> None:
        """Keep what was learned as a run of its own, whether or not it reads worse.

        Raises
        ------
        RunError
            If there is nothing to take.
        StorageError
            If it cannot be written.
        """
        with self._lock:
            if self.tuned is None or self._out is None or self.choice:
                raise RunError("There is nothing to take; let a network learn from the corrections first.")
            origin = self._readers.name(self.origin)
            run = keep_fine_tuned(self.tuned, self._data, self._out, origin=origin, folder=self._folder)
            self.choice = of_run(run.name)

    def drop(self) -> None:
        """Forget what was learned and not taken."""
        if not self.choice:
            self.tuned = None

    def _run(self, choice: str, corrections: Corrections, photos: Sequence[KnownPhoto], apart: Apart | None) -> None:
        try:
            images, labels = corrections.arrays()
            start = self._readers.checkpoint(choice)
            self.tuned = fine_tune(
                start, images, labels, self._data, self.options, photos=photos, apart=apart, on_step=self._note
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


_CORRECTIONS: WeakKeyDictionary[Trainer, Corrections] = WeakKeyDictionary()
_LEARNING: WeakKeyDictionary[Trainer, Learning] = WeakKeyDictionary()


def corrections_of(trainer: Trainer) -> Corrections | None:
    """Return the corrections beside a trainer's folder of runs; None where nothing is written."""
    if trainer.out is None:
        return None
    return _CORRECTIONS.setdefault(trainer, Corrections(trainer.out.absolute().parent / "corrections"))


def learning_of(trainer: Trainer) -> Learning:
    """Return what learns in this process."""
    return _LEARNING.setdefault(
        trainer,
        Learning(trainer.data, trainer.out, corrections_of(trainer), readers_of(trainer), trainer.config.data),
    )
