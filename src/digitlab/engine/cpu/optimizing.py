"""Optimizer steps on a range of parameters, with Keras' definitions.

Adam (Kingma and Ba 2015), in plain words, for the gradient g of one parameter at step t::

    m += (1 - beta_1) * (g - m)                     the mean of past gradients
    v += (1 - beta_2) * (g * g - v)                 the mean of their squares
    parameter -= rate * sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (sqrt(v) + epsilon)

AdamW (Loshchilov and Hutter 2019) first shrinks the parameter by ``rate * weight_decay`` of itself.
SGD with momentum: ``m = momentum * m - rate * g; parameter += m``, and with Nesterov's look-ahead
``parameter += momentum * m - rate * g``.

Every parameter is computed by itself, so the result does not depend on how the range is cut among threads.
"""

from __future__ import annotations

import numpy as np

from digitlab.engine.cpu.compiled import kernel
from digitlab.engine.optimizers import ADAM_RULE

__all__ = ["optimize"]


@kernel
def optimize(params, before, gradients, m, v, begin, end, rule, rates):
    """Take one step on ``params[begin:end]``, and write what they were to ``before``.

    ``rates`` (float32) are the rate and the settings of ``digitlab.engine.optimizers.OptimizerStep``. Returns how many
    of the new parameters and moments are not finite.
    """
    rate, a, b, epsilon, shrink = rates[0], rates[1], rates[2], rates[3], rates[4]
    n_bad = 0
    if rule == ADAM_RULE:
        for i in range(begin, end):
            before[i] = params[i]
            g = gradients[i]
            m[i] += (g - m[i]) * a
            v[i] += (g * g - v[i]) * b
            params[i] -= params[i] * shrink
            params[i] -= m[i] * rate / (np.sqrt(v[i]) + epsilon)
    else:
        for i in range(begin, end):
            before[i] = params[i]
            m[i] = m[i] * a - gradients[i] * rate
            params[i] -= params[i] * shrink
            params[i] += m[i] * a - gradients[i] * rate if b > 0.0 else m[i]
    for i in range(begin, end):
        n_bad += not (np.isfinite(params[i]) and np.isfinite(m[i]) and np.isfinite(v[i]))
    return n_bad
