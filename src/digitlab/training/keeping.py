"""Keeping a training in its run directory while it goes on: the history, the state to resume from, the model."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

from digitlab.errors import RunError, TrainingDivergedError
from digitlab.runs.history import HistoryFile, Record, Steering
from digitlab.runs.run import CONFIG, ENVIRONMENT, MODEL, STATE, Run
from digitlab.training.environment import environment
from digitlab.training.interrupts import interrupts_deferred
from digitlab.values import EpochRecord, RateChange, Resumption, StepRecord

if TYPE_CHECKING:
    from digitlab.training.session import TrainingSession

__all__ = ["kept"]

# Saving costs a few milliseconds: nothing for a run of minutes, a lot for one of half a second.
_SECONDS_BETWEEN_SAVES = 5.0
_SECONDS_BETWEEN_WRITES = 1.0


def kept(session: TrainingSession, run: Run) -> Generator[Record, None, None]:
    """Train, keep everything in the run, and yield the records.

    Whatever ends the iteration early (the consumer, an error, Ctrl-C), the state is saved if the weights are those
    between two batches; and whatever cannot be saved leaves the last state as it was.
    """
    if session.finished:
        return
    with ExitStack() as stack:
        is_ours = session.lock is not None
        lock = session.lock or run.lock()
        session.lock = None
        stack.callback(lock.release)
        _begin(session, run, is_ours)
        keeper = _Keeper(session, run)
        stack.callback(keeper.close)
        training = session.train()
        try:
            while True:
                with interrupts_deferred():
                    record = keeper.advance(training)
                if record is None:
                    return
                yield record
        finally:
            training.close()
            with interrupts_deferred():
                keeper.end()


def _begin(session: TrainingSession, run: Run, is_ours: bool) -> None:
    if session.has_state:
        if not is_ours:
            session.restore(run.load_state())  # it may have gone on elsewhere since this session was interrupted
        return
    if run.has(STATE) or run.has(MODEL):
        raise RunError(f"{run.path} holds a training already. Go on with it by: {run.resume_command()}")
    run.write_json(CONFIG, session.describe())
    run.write_json(ENVIRONMENT, environment(session.runner.n_threads))


class _Keeper:
    """What is written when: the history always before the state that knows of it."""

    def __init__(self, session: TrainingSession, run: Run) -> None:
        self._session, self._run = session, run
        self._history: HistoryFile = run.open_history(session.progress.step + session.progress.epochs_done)
        self._pending: list[Record | Steering] = []
        self._resumed_at = session.progress.step
        self._written = self._saved = time.monotonic()
        # False while a batch is under way: weights that took half a step are never saved.
        self._is_between_batches = True
        self._has_ended = False

    def advance(self, training: Iterator[Record]) -> Record | None:
        """Train one batch, or end the run, and write what is due."""
        self._is_between_batches = False
        try:
            record = next(training, None)
        except TrainingDivergedError:
            self._save_model()
            raise
        self._is_between_batches = True
        if record is None:
            self._save_model()
            return None
        if isinstance(record, StepRecord):
            self._note_steering(record.step - 1)
        self._pending.append(record)
        now = time.monotonic()
        if isinstance(record, EpochRecord) or now - self._written > _SECONDS_BETWEEN_WRITES:
            self._write_history()
        if now - self._saved > _SECONDS_BETWEEN_SAVES:
            self._save_state()
        return record

    def end(self) -> None:
        """Save the state, unless the run has ended or stopped in the middle of a batch."""
        if self._is_between_batches and not self._has_ended:
            self._save_state()

    def close(self) -> None:
        """Close the history."""
        self._history.close()

    def _note_steering(self, n_steps_before: int) -> None:
        """Write what counts from the present step on: before it, so that neither is there without the other."""
        if n_steps_before == self._resumed_at > 0:
            self._pending.append(Resumption(n_steps_before))
        changes = [RateChange(since, rate) for since, rate in self._session.progress.rates if since == n_steps_before]
        self._pending += changes[-1:]

    def _write_history(self) -> None:
        self._history.append(self._pending)
        self._pending.clear()
        self._written = time.monotonic()

    def _save_state(self) -> None:
        self._write_history()
        self._history.sync()
        self._run.save(STATE, self._session.state_checkpoint())
        self._session.has_state = True
        self._saved = time.monotonic()

    def _save_model(self) -> None:
        self._write_history()
        self._history.sync()
        self._run.save(MODEL, self._session.model_checkpoint())
        self._run.remove_state()
        self._session.has_state = False
        self._has_ended = True
