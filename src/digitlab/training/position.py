"""Position: where a training stands between two batches, and going back to it as if nothing had come after.

A step is undone by it: weights, moments, sums of the epoch, learning rates and the files of the run are what they were,
bit for bit. All chance in a training comes from the seed and the number of the step, and so is put back with them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from digitlab.engine.cpu.runner import RunnerState
from digitlab.engine.loop import Progress
from digitlab.training.keeping import BestWeights
from digitlab.training.session import TrainingSession


@dataclass(frozen=True, eq=False)
class Position:
    """Where a session stood; nothing in it changes any more."""

    progress: Progress
    best: BestWeights | None
    runner: RunnerState


def position_of(session: TrainingSession) -> Position:
    """Return where a session stands, between two records; copies five numbers a parameter."""
    return Position(replace(session.progress), session.best, session.runner.state())


def go_back(session: TrainingSession, position: Position) -> None:
    """Put a session, whose records may be iterated meanwhile and wait, to where it stood; in its run, too.

    StorageError if the run cannot be written.
    """
    # In place: the generator of records holds it.
    vars(session.progress).update(vars(position.progress))
    session.best = position.best
    session.runner.go_back(position.runner)
    if session.keeper is not None:
        session.keeper.go_back()
