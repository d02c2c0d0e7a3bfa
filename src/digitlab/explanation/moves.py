"""Moves: what an optimizer makes of the gradient of one weight, in numbers.

The formulas are those of the papers (Kingma and Ba 2015, algorithm 1; Sutskever et al. 2013), which the engine computes
in another order, float32 and for all weights at once: ``engine/cpu/update.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from digitlab.engine.optimizers import Adam, Optimizer
from digitlab.values import Value

#: What an optimizer makes of a gradient g at step t.
ADAM_FORMULA = (
    "m = β₁ × m + (1 − β₁) × g; v = β₂ × v + (1 − β₂) × g²; m̂ = m / (1 − β₁ᵗ); v̂ = v / (1 − β₂ᵗ); "
    "change = −rate × m̂ / (√v̂ + ε′) with ε′ = ε / √(1 − β₂ᵗ)"
)
SGD_FORMULA = "change = −rate × g"
MOMENTUM_FORMULA = "change = velocity = momentum × velocity − rate × g"
NESTEROV_FORMULA = "change = momentum × velocity − rate × g, where velocity = momentum × velocity − rate × g"


@dataclass(frozen=True, slots=True)
class AdamUpdate(Value):
    """What Adam made of a gradient at step ``t``: its running means, and those corrected for their start at 0."""

    t: int
    beta_1: float
    beta_2: float
    mean_before: float
    mean: float
    square_before: float
    square: float
    corrected_mean: float
    corrected_square: float
    corrected_epsilon: float


@dataclass(frozen=True, slots=True)
class SgdUpdate(Value):
    """What SGD made of a gradient; the velocities are those of momentum."""

    momentum: float
    nesterov: bool
    velocity_before: float
    velocity: float


def moved(
    optimizer: Optimizer, t: int, rate: float, gradient: float, moments: tuple[float, float]
) -> tuple[AdamUpdate | SgdUpdate, float, str]:
    """Return what step ``t``, from 1, makes of a gradient, how far it moves the weight, and the formula.

    ``moments`` are the optimizer's two numbers of before. Weight decay is not among it.
    """
    (m, v), g = moments, gradient
    if isinstance(optimizer, Adam):
        beta_1, beta_2 = optimizer.beta_1, optimizer.beta_2
        mean, square = beta_1 * m + (1.0 - beta_1) * g, beta_2 * v + (1.0 - beta_2) * g * g
        m_hat, v_hat = mean / (1.0 - beta_1**t), square / (1.0 - beta_2**t)
        # Keras adds epsilon before it corrects, which is the same as a larger one behind.
        epsilon = optimizer.epsilon / math.sqrt(1.0 - beta_2**t)
        move = -rate * m_hat / (math.sqrt(v_hat) + epsilon)
        return AdamUpdate(t, beta_1, beta_2, m, mean, v, square, m_hat, v_hat, epsilon), move, ADAM_FORMULA
    velocity = optimizer.momentum * m - rate * g
    update = SgdUpdate(optimizer.momentum, optimizer.nesterov, m, velocity)
    if optimizer.nesterov:
        return update, optimizer.momentum * velocity - rate * g, NESTEROV_FORMULA
    return update, velocity, MOMENTUM_FORMULA if optimizer.momentum else SGD_FORMULA
