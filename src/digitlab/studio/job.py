"""Job: one training in a thread of its own, steered between two batches, and the recording of its weights."""

from __future__ import annotations

import logging
import math
import threading
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from digitlab.errors import DigitlabError, RunError
from digitlab.evaluation.finish import compile_seconds, finish, keep_timings
from digitlab.runs.history import Record
from digitlab.runs.run import FILES, Run
from digitlab.studio.turns import Share, Turns
from digitlab.training.config import TrainConfig
from digitlab.training.position import Position, go_back, position_of
from digitlab.training.session import TrainingSession
from digitlab.values import Evaluation, StepRecord


class Recording:
    """Snapshots of a network's weights by step.

    Every step is kept while there is room. Then only every 2nd, 4th, 8th ... is, besides the first, the newest and the
    ends of the epochs; if those alone are too many, the ends of every 2nd, 4th ... epoch. Adding a snapshot costs the
    same however many there are, and what was thinned is spread evenly over the run. All methods may be called from any
    thread. The first and the newest are kept even where they do not fit ``budget_bytes``.

    >>> recording = Recording(budget_bytes=4 * 4)
    >>> for step in range(10):
    ...     recording.add(step, np.full(1, step, np.float32))
    >>> recording.steps()
    [0, 4, 8, 9]
    >>> recording.at(7)
    (4, array([4.], dtype=float32))
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._lock = threading.Lock()
        self._steps: list[int] = []
        self._weights: list[NDArray[np.float32]] = []
        self._epoch_ends: dict[int, int] = {}  # step -> epoch
        self._n_bytes = 0
        self._stride = self._epoch_stride = 1

    def add(self, step: int, weights: NDArray[np.float32]) -> None:
        """Keep a snapshot of a step after those before; ``weights``, float32 (n,), must not change any more."""
        with self._lock:
            if self._steps and step <= self._steps[-1]:
                raise ValueError(f"Step {step} does not come after step {self._steps[-1]}.")
            if len(self._steps) > 1 and not self._is_kept(self._steps[-1]):
                self._n_bytes -= self._weights[-1].nbytes
                del self._steps[-1], self._weights[-1]
            self._steps.append(step)
            self._weights.append(weights)
            self._n_bytes += weights.nbytes
            while self._n_bytes > self._budget_bytes and len(self._steps) > 2:
                self._thin()

    def end_epoch(self, epoch: int) -> None:
        """Say that the newest snapshot is that of an epoch's end, from 1."""
        with self._lock:
            self._epoch_ends[self._steps[-1]] = epoch

    def go_back(self, step: int, weights: NDArray[np.float32]) -> None:
        """Forget the snapshots behind a step, whose own are ``weights``."""
        with self._lock:
            n = bisect_right(self._steps, step)
            del self._steps[n:], self._weights[n:]
            self._epoch_ends = {end: epoch for end, epoch in self._epoch_ends.items() if end <= step}
            if not self._steps or self._steps[-1] != step:  # it was thinned
                self._steps.append(step)
                self._weights.append(weights)
            self._n_bytes = sum(kept.nbytes for kept in self._weights)

    def steps(self) -> list[int]:
        """Return the steps that are kept, in order; 0 is before the first batch."""
        with self._lock:
            return self._steps.copy()

    def at(self, step: int | None = None) -> tuple[int, NDArray[np.float32]]:
        """Return the nearest step at or before one (or the first; None: the newest) and its weights, float32 (n,)."""
        with self._lock:
            position = len(self._steps) - 1 if step is None else max(0, bisect_right(self._steps, step) - 1)
            return self._steps[position], self._weights[position]

    @property
    def n_bytes(self) -> int:
        """Memory that the snapshots take."""
        return self._n_bytes

    def _is_kept(self, step: int) -> bool:
        epoch = self._epoch_ends.get(step)
        return step % self._stride == 0 or (epoch is not None and epoch % self._epoch_stride == 0)

    def _thin(self) -> None:
        # Each call doubles a stride, so that there are few calls in a run, however long it is.
        if self._stride <= self._steps[-1]:
            self._stride *= 2
        else:
            self._epoch_stride *= 2
        newest = len(self._steps) - 1
        kept = [i for i, step in enumerate(self._steps) if i in (0, newest) or self._is_kept(step)]
        self._steps = [self._steps[i] for i in kept]
        self._weights = [self._weights[i] for i in kept]
        self._n_bytes = sum(weights.nbytes for weights in self._weights)
        self._epoch_ends = {step: epoch for step, epoch in self._epoch_ends.items() if self._is_kept(step)}


_LOG = logging.getLogger(__name__)


class Job:
    """One training: its thread, its records, its recording, and what people want of it.

    The commands are given with ``changed`` held, which is told of everything that changes. ``config`` is how it was
    asked for; the session's may name a file with the network instead. ``state`` is ``idle`` before ``begin``, then
    ``training`` or ``paused``, and in the end ``finished``, ``stopped`` or ``failed``; ``message`` says to people what
    failed and what to do. ``records`` grow by about 230 bytes a batch, until a batch is undone: then they are others,
    of another ``generation``, ``n_forgotten`` behind those that were told before. ``evaluation`` is on all test images,
    once the finished run has it. ``step_from`` is where the training stood before its last batch, if that was one by
    itself.
    """

    def __init__(
        self,
        session: TrainingSession,
        config: TrainConfig,
        recording: Recording,
        changed: threading.Condition,
        *,
        generation: int = 0,
        owner: str = "",
        speed: float | None = None,
        turns: Turns | None = None,
    ) -> None:
        self.session, self.config, self.recording = session, config, recording
        # Others may train in this process as well.
        self._turns, self._share = turns or Turns(), Share()
        self._most_threads = session.runner.n_threads
        self.generation = self.began = generation
        self.owner = owner
        self.state, self.message = "idle", ""
        self.records: list[Record] = []
        self.n_forgotten = 0
        self.step_from: Position | None = None
        self.evaluation: Evaluation | None = None
        self.speed = speed
        self.is_stopping = False
        self._changed = changed
        self._batches_left: int | None = None  # before it pauses; None for no pause
        self._rate: float | None = None  # from the next batch on
        self._stands: Position | None = None  # before a batch that is trained by itself
        self._rates_before: Sequence[tuple[int, float]] = ()
        self._is_undoing = self._is_trying = False
        self._batch_began = -math.inf
        recording.add(session.progress.step, session.model.runner.parameters)

    @property
    def is_active(self) -> bool:
        """Whether it trains, or waits to go on."""
        return self.state in ("training", "paused")

    @property
    def learning_rate(self) -> float:
        """The rate of the next batch, or its peak where there is a schedule."""
        return self.session.learning_rate if self._rate is None else self._rate

    def begin(self, *, paused: bool = False) -> threading.Thread:
        """Train in a thread, or go on with a training that was stopped."""
        self._batches_left = 0 if paused else None
        self.is_stopping = self._is_undoing = False
        self.step_from = None
        self.state, self.message = ("paused" if paused else "training"), ""
        thread = threading.Thread(target=self._run, name=f"digitlab-training-{self.generation}", daemon=True)
        thread.start()
        self._changed.notify_all()
        return thread

    def limit(self, n_batches: int | None) -> None:
        """Pause after so many batches, or never."""
        if self.is_active:
            self._batches_left = n_batches
            self.state = "training" if n_batches is None else "paused"
            self._changed.notify_all()

    def stop(self) -> None:
        """End at the next batch boundary."""
        if self.is_active:
            self.is_stopping = True
            self._changed.notify_all()

    @property
    def can_undo(self) -> bool:
        """Whether the last batch can be taken back."""
        return self.state == "paused" and self._batches_left == 0 and self.step_from is not None

    def undo(self) -> None:
        """Take the last batch back, which was trained by itself."""
        if not self.can_undo:
            raise RunError("There is no step to undo. Pause the training, and step one batch first.")
        self._is_undoing, self._batches_left = True, 0
        self._changed.notify_all()

    def try_rate(self, rate: float) -> None:
        """Take it back, unless it is, and train it with another rate."""
        if self.state != "paused" or self._batches_left:
            raise RunError("A rate is tried with one batch. Pause the training first.")
        self.set_learning_rate(rate)
        self._is_undoing = self.can_undo
        self._batches_left, self._is_trying = 1, True
        self._changed.notify_all()

    def set_speed(self, batches_per_s: float | None) -> None:
        """Train so many batches a second, at most."""
        self.speed = batches_per_s
        self._changed.notify_all()

    def set_learning_rate(self, rate: float) -> None:
        """Use another rate from the next batch on; the peak, where there is a schedule."""
        if not self.is_active:
            raise RunError("Nothing is being trained now; set the learning rate and start a training.")
        self._rate = self.session.checked_rate(rate)

    def _run(self) -> None:
        began_at = len(self.records)
        self._turns.enter()
        state, message = "stopped", ""
        try:
            with closing(self.session.records()) as records:
                while self._may_go_on():
                    with self._turn():
                        record = next(records, None)
                    if record is None:
                        state = "finished"
                        break
                    self._keep(record)
        except DigitlabError as error:
            state, message = "failed", str(error)
        except Exception as error:
            _LOG.exception("The training failed.")
            state, message = "failed", f"The training ended with an unforeseen error: {error!r}. Start another one."
        if state == "stopped" and not self.records:
            state = "idle"
            self._leave_nothing()
        with self._changed:
            self.state, self.message = state, message
            self._changed.notify_all()
        if self.session.run is not None and state in ("finished", "stopped"):
            with self._turn():
                self._complete(self.session.run, self.records[began_at:])
        self._turns.leave(self._share)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with self._turns.of(self._share) as n_cores:
            self.session.runner.n_threads = min(self._most_threads, n_cores)
            yield

    def _leave_nothing(self) -> None:
        """Remove the directory of a run without a batch, or with all of them undone: there is nothing to go on with."""
        if self.session.lock is not None:
            self.session.lock.release()
        if self.session.run is not None:
            with suppress(OSError):
                for name in FILES:
                    (self.session.run.path / name).unlink(missing_ok=True)
                self.session.run.path.rmdir()
            self.session.run = None

    def _may_go_on(self) -> bool:
        """Wait until the next batch may begin; tell False to stop instead."""
        if self._is_between_epochs():
            return True
        while True:
            with self._changed:
                is_single = self._wait_for_batch()
                is_stopping = self.is_stopping
                position = self.step_from if self._is_undoing and not is_stopping else None
                if position is None:
                    rate, self._rate, self.step_from = self._rate, None, None
                    break
            self._go_back(position)
        rates = self.session.progress.rates
        if rate is not None:
            # Before it stops, too: the state that is saved then goes on with it.
            self.session.set_learning_rate(rate)
        if is_stopping:
            return False
        # Batches that follow each other are not taken back, and cost nothing for it.
        self._stands = position_of(self.session) if is_single and not self.session.is_finder else None
        # A rate that is tried is undone with the step, and one that was set before it is not.
        self._rates_before = rates if self._is_trying else self.session.progress.rates
        self._is_trying = False
        self._batch_began = time.monotonic()
        return True

    def _wait_for_batch(self) -> bool:
        """Wait, with ``changed`` held, until something is to be done; tell whether it is one batch by itself."""
        while not self.is_stopping and not self._is_undoing:
            wait_s: float | None = None
            if self._batches_left is None:
                due = self._batch_began + 1.0 / self.speed if self.speed else 0.0
                wait_s = due - time.monotonic()
                if wait_s <= 0.0:
                    return False
            elif self._batches_left > 0:
                self._batches_left -= 1
                return True
            self._changed.wait(wait_s)
        return False

    def _go_back(self, position: Position) -> None:
        """Take the last batch back, with its record and that of the epoch that it ended."""
        progress = replace(position.progress, rates=self._rates_before)
        go_back(self.session, replace(position, progress=progress))
        self.recording.go_back(progress.step, position.runner.parameters)
        with self._changed:
            self.n_forgotten += len(self.records)
            self.records = self.records[: progress.step + progress.epochs_done]
            self.generation += 1
            self.step_from, self._is_undoing = None, False
            self._changed.notify_all()

    def _is_between_epochs(self) -> bool:
        # The record of an epoch belongs to its last batch, and the end of the run to its last epoch.
        progress, config = self.session.progress, self.session.config
        n_batches = self.session.n_steps // config.epochs
        return progress.step > 0 and (
            progress.step == (progress.epochs_done + 1) * n_batches or progress.epochs_done == config.epochs
        )

    def _keep(self, record: Record) -> None:
        if isinstance(record, StepRecord):
            self.recording.add(record.step, self.session.model.runner.parameters)
        else:
            self.recording.end_epoch(record.epoch)
        with self._changed:
            self.records.append(record)
            if isinstance(record, StepRecord):
                self.step_from = self._stands
            self._changed.notify_all()

    def _complete(self, run: Run, records: list[Record]) -> None:
        """Write what a run made at the terminal has too: timings and, if it is finished, evaluation and report."""
        try:
            seconds = [record.n_images / record.images_per_s for record in records if isinstance(record, StepRecord)]
            compiling = compile_seconds(seconds)
            timings = {"compile": compiling, "train": sum(seconds) - compiling}
            if not self.session.finished:
                keep_timings(run, timings, add=True)
            else:
                evaluation, _ = finish(self.session, timings)
                with self._changed:
                    self.evaluation = evaluation
                    self._changed.notify_all()
        except DigitlabError as error:
            self._tell(f"The network is trained and kept, but not its report. {error}")
        except Exception as error:
            _LOG.exception("The evaluation failed.")
            self._tell(f"The network is trained and kept, but its evaluation failed: {error!r}.")

    def _tell(self, message: str) -> None:
        with self._changed:
            self.message = message
            self._changed.notify_all()
