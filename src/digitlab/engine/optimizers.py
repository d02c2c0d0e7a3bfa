"""Optimizers and learning rate schedules, with Keras' names, defaults and definitions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from digitlab.errors import ConfigError, did_you_mean

__all__ = ["SGD", "Adam", "AdamW"]

#: Numbers by which the kernels know the two families of update rules.
ADAM_RULE, SGD_RULE = 0, 1


@dataclass(frozen=True, slots=True)
class OptimizerStep:
    """One step as the kernels take it.

    ``rule`` is ``ADAM_RULE`` or ``SGD_RULE``; ``rate`` the learning rate, for Adam with the bias correction multiplied
    in; ``settings`` is (1 - beta_1, 1 - beta_2, epsilon, shrink) or (momentum, 1 if Nesterov else 0, unused, shrink),
    where ``shrink`` is learning rate x weight decay.
    """

    rule: int
    rate: float
    settings: tuple[float, float, float, float]


def _check(condition: bool, sentence: str) -> None:
    if not condition:
        raise ConfigError(sentence)


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba 2015): every parameter has a step size of its own, from the history of its gradients.

    Attributes
    ----------
    learning_rate : float
        Step size.
    beta_1, beta_2 : float
        How slowly the means of the gradients and of their squares change, in [0, 1).
    epsilon : float
        Keeps the division finite.
    weight_decay : float
        Fraction of each parameter, times the learning rate, taken away at every step (AdamW).
    """

    learning_rate: float = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    weight_decay: float = 0.0
    name: ClassVar[str] = "adam"

    def __post_init__(self) -> None:
        _check_rate(self.learning_rate)
        for name in ("beta_1", "beta_2"):
            _check(0.0 <= getattr(self, name) < 1.0, f"{name} must be from 0 to below 1; got {getattr(self, name)}.")
        _check(self.epsilon > 0.0, f"epsilon must be above 0; got {self.epsilon}.")
        _check(0.0 <= self.weight_decay < math.inf, f"weight_decay must be 0 or more; got {self.weight_decay}.")

    def step(self, t: int, learning_rate: float) -> OptimizerStep:
        """Return step ``t``, from 1, at the given learning rate."""
        correction = math.sqrt(1.0 - self.beta_2**t) / (1.0 - self.beta_1**t)
        settings = (1.0 - self.beta_1, 1.0 - self.beta_2, self.epsilon, learning_rate * self.weight_decay)
        return OptimizerStep(ADAM_RULE, learning_rate * correction, settings)


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

    weight_decay: float = 0.004
    name: ClassVar[str] = "adamw"


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent, with momentum and Nesterov's look-ahead if wanted (Sutskever et al. 2013).

    Attributes
    ----------
    learning_rate : float
        Step size.
    momentum : float
        Part of the last step that is taken again, in [0, 1).
    nesterov : bool
        Whether the gradient's step is taken from where momentum leads.
    weight_decay : float
        As for ``Adam``.
    """

    learning_rate: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    name: ClassVar[str] = "sgd"

    def __post_init__(self) -> None:
        _check_rate(self.learning_rate)
        _check(0.0 <= self.momentum < 1.0, f"momentum must be from 0 to below 1; got {self.momentum}.")
        _check(0.0 <= self.weight_decay < math.inf, f"weight_decay must be 0 or more; got {self.weight_decay}.")

    def step(self, t: int, learning_rate: float) -> OptimizerStep:
        """Return step ``t``, from 1, at the given learning rate."""
        settings = (self.momentum, float(self.nesterov), 0.0, learning_rate * self.weight_decay)
        return OptimizerStep(SGD_RULE, learning_rate, settings)


Optimizer = Adam | SGD

#: Learning rates as functions of the step.
SCHEDULES = ("constant", "cosine", "one-cycle")

# One-cycle as Smith and Topin (2018) describe it: up and down in straight lines. The share of the way up was chosen on
# validation images (docs/decisions/0004-presets.md).
_WARM_UP = 0.15
_START_DIVISOR = 25.0


def scheduled_rate(schedule: str, peak: float, step: int, n_steps: int) -> float:
    """Return the learning rate of one step.

    Parameters
    ----------
    schedule : {"constant", "cosine", "one-cycle"}
        ``cosine`` falls from ``peak`` to 0 along half a cosine (Loshchilov and Hutter 2017). ``one-cycle`` rises in a
        straight line from peak / 25 to ``peak`` in the first 15 % of the steps, and falls in one to 0 at the end (Smith
        and Topin 2018).
    peak : float
        The largest rate.
    step, n_steps : int
        Steps done before this one, and steps in all.

    Raises
    ------
    ConfigError
        If there is no such schedule.

    Examples
    --------
    >>> [round(scheduled_rate("cosine", 1.0, step, 4), 3) for step in range(4)]
    [1.0, 0.854, 0.5, 0.146]
    """
    if schedule == "constant":
        return peak
    if schedule == "cosine":
        return peak * 0.5 * (1.0 + math.cos(math.pi * step / n_steps))
    if schedule == "one-cycle":
        top = _WARM_UP * n_steps
        if step < top:
            return peak * (1.0 + (_START_DIVISOR - 1.0) * step / top) / _START_DIVISOR
        return peak * (n_steps - step) / (n_steps - top)
    hint = did_you_mean(schedule, SCHEDULES)
    raise ConfigError(f"There is no learning rate schedule {schedule!r}.{hint} There are {', '.join(SCHEDULES)}.")


def _check_rate(rate: float) -> None:
    _check(0.0 < rate < math.inf, f"learning_rate must be a finite number above 0; got {rate}.")


class LiveRate:
    """What callbacks know as ``model.optimizer``: the rate that the schedule says, or that a callback has set."""

    def __init__(self, name: str, schedule: str, peak: float, n_steps: int) -> None:
        self.name = name
        self._schedule, self._peak, self._n_steps = schedule, peak, n_steps
        self._step = 0
        #: The rate that a callback has set, if one has.
        self.rate_set: float | None = None

    def of_step(self, step: int) -> float:
        """Return the rate of the step that comes after ``step`` others."""
        self._step = step
        return self.learning_rate

    @property
    def learning_rate(self) -> float:
        """The rate of the step that was taken last, or is taken now; what is set here holds from the next one on."""
        return (
            scheduled_rate(self._schedule, self._peak, self._step, self._n_steps)
            if self.rate_set is None
            else self.rate_set
        )

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        if not 0.0 < float(rate) < math.inf:
            raise ConfigError(f"learning_rate must be a finite number above 0; got {rate}.")
        self.rate_set = float(rate)

    #: As older versions of Keras call it.
    lr = learning_rate
