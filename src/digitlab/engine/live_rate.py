"""The learning rate while ``fit`` runs: what the schedule says, or what a callback has set."""

from __future__ import annotations

import math

from digitlab.engine.optimizers import scheduled_rate
from digitlab.errors import ConfigError

__all__ = ["LiveRate"]


class LiveRate:
    """What callbacks know as ``model.optimizer``.

    Parameters
    ----------
    name : str
        The optimizer's.
    schedule, peak, n_steps
        As for ``scheduled_rate``.
    """

    def __init__(self, name: str, schedule: str, peak: float, n_steps: int) -> None:
        self.name = name
        self._schedule, self._peak, self._n_steps = schedule, peak, n_steps
        self._step = 0
        self._set: float | None = None

    def of_step(self, step: int) -> float:
        """Return the rate of the step that comes after ``step`` others."""
        self._step = step
        return self.learning_rate

    @property
    def learning_rate(self) -> float:
        """The rate of the step that was taken last, or is taken now; what is set here holds from the next one on."""
        return scheduled_rate(self._schedule, self._peak, self._step, self._n_steps) if self._set is None else self._set

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        if not 0.0 < float(rate) < math.inf:
            raise ConfigError(f"learning_rate must be a finite number above 0; got {rate}.")
        self._set = float(rate)
