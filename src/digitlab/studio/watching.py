"""What everybody may see of the training, from any thread and as often as they like."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digitlab.network.architecture import Architecture
from digitlab.runs.history import Record
from digitlab.runs.run import Run
from digitlab.studio.job import Job
from digitlab.studio.recording import Recording
from digitlab.training.config import TrainConfig
from digitlab.values import Evaluation

__all__ = ["Moment", "Watched"]


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """A network at one step of one training; ``weights`` in Keras' order and layout, not to be changed."""

    generation: int
    step: int
    architecture: Architecture
    weights: list[NDArray[np.float32]]


class Watched:
    """The training of this process, to look at.

    Nobody is called back: who wants to know asks ``records_since``, which costs next to nothing. Whoever shows another
    training of this process replaces ``_job``, with ``_changed`` held.

    Parameters
    ----------
    job : Job
        The training, or one that is not begun yet.
    changed : threading.Condition
        Told of everything that changes.
    """

    def __init__(self, job: Job, changed: threading.Condition) -> None:
        self._job, self._changed = job, changed
        self._n_records_before = 0  # those of earlier trainings: cursors grow for as long as the process lives

    @property
    def state(self) -> str:
        """``idle``, ``training``, ``paused``, ``finished``, ``stopped`` or ``failed``."""
        return self._job.state

    @property
    def message(self) -> str:
        """A sentence for people: empty, or what failed and what to do."""
        return self._job.message

    @property
    def owner(self) -> str:
        """Who began the training; empty when there is none."""
        return self._job.owner

    @property
    def generation(self) -> int:
        """Grows with every start and reset: what was drawn before is another training's."""
        return self._job.generation

    @property
    def config(self) -> TrainConfig:
        """The settings of the training; before the first one, the defaults."""
        return self._job.config

    @property
    def architecture(self) -> Architecture:
        """The network of the training, which may be another than ``config.network`` names."""
        return self._job.session.model.architecture

    @property
    def n_steps(self) -> int:
        """Batches of the whole training."""
        return self._job.session.n_steps

    @property
    def step_done(self) -> int:
        """Batches done."""
        return self._job.session.progress.step

    @property
    def best_epoch(self) -> int | None:
        """The epoch whose weights the finished network has; None where they are those of the last batch."""
        return self._job.session.best_epoch if self.config.best_weights else None

    @property
    def run(self) -> Run | None:
        """The training's directory."""
        return self._job.session.run

    @property
    def recording(self) -> Recording:
        """The weights by step, from the first on."""
        return self._job.recording

    @property
    def evaluation(self) -> Evaluation | None:
        """The finished run's evaluation on all test images, a moment after it is finished; None without a run."""
        return self._job.evaluation

    @property
    def speed(self) -> float | None:
        """Batches a second, at most; None for full speed."""
        return self._job.speed

    @property
    def learning_rate(self) -> float:
        """The rate (its peak, where there is a schedule) that the next batch is trained with."""
        return self._job.learning_rate

    def records_since(self, cursor: int) -> tuple[list[Record], int]:
        """Return the records of this training that came after a cursor, and the new cursor; begin with 0.

        A cursor from an earlier training gives all records of this one.
        """
        with self._changed:
            records, before = self._job.records, self._n_records_before
            new = records[max(0, cursor - before) :]
            return new, before + len(records)

    def moment(self, step: int | None = None) -> Moment:
        """Return the network at the nearest recorded step at or before ``step``; the newest for None."""
        with self._changed:
            job = self._job
        real_step, flat = job.recording.at(step)
        architecture = job.session.model.architecture
        return Moment(job.generation, real_step, architecture, _in_layers(flat, architecture))

    def weights_at(self, step: int | None) -> tuple[int, list[NDArray[np.float32]]]:
        """Return the nearest recorded step at or before ``step``, and its weights; the newest for None."""
        moment = self.moment(step)
        return moment.step, moment.weights

    def wait(self, until: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """Block until something holds, asked whenever anything has changed; tell whether it does."""
        with self._changed:
            return self._changed.wait_for(until, timeout_s)


def _in_layers(flat: NDArray[np.float32], architecture: Architecture) -> list[NDArray[np.float32]]:
    arrays, start = [], 0
    for shape in architecture.weight_shapes:
        size = math.prod(shape)
        arrays.append(flat[start : start + size].reshape(shape))
        start += size
    return arrays
