"""Softmax and categorical cross-entropy: from sums to probabilities, and how wrong they are.

In plain words, for one image with sums z and true class c::

    p[k]   = exp(z[k] - max z) / sum over j of exp(z[j] - max z)
    loss   = -log p[c] = log(sum over j of exp(z[j] - max z)) - (z[c] - max z)
    d z[k] = p[k] - t[k],    t[k] = (1 - smoothing if k == c else 0) + smoothing / n_classes

Subtracting the largest sum changes nothing but keeps ``exp`` from overflowing, and the loss is computed from the sums,
not from the rounded probabilities, so that a very sure wrong answer still has a finite loss.

With label smoothing (Szegedy et al. 2016) a part of the truth is spread over all classes, so that being ever surer does
not pay. The loss that is told stays the one above, of the true class, to be compared with that of other images.
"""

from __future__ import annotations

import math

import numpy as np

from digitlab.engine.cpu.compiled import kernel
from digitlab.engine.cpu.tiles import LANES


@kernel
def loss_and_gradient(memory, logits, d_logits, n_classes, labels, first, n_images, scale, smoothing):
    """Compute the loss and accuracy of one block and the gradients of its sums.

    Returns the summed loss in nats and the number of right answers among the ``n_images`` lanes in use. The gradients
    are multiplied by ``scale`` (1 / batch size); those of unused lanes are zero.
    """
    elsewhere = smoothing / np.float32(n_classes)
    loss = 0.0
    n_correct = 0
    for lane in range(LANES):
        if lane >= n_images:
            for k in range(n_classes):
                memory[d_logits + k * LANES + lane] = 0.0
            continue
        largest, answer = memory[logits + lane], 0
        for k in range(1, n_classes):
            value = memory[logits + k * LANES + lane]
            if value > largest:
                largest, answer = value, k
        total = np.float32(0.0)
        for k in range(n_classes):
            exponential = math.exp(memory[logits + k * LANES + lane] - largest)
            memory[d_logits + k * LANES + lane] = exponential
            total += exponential
        label = labels[first + lane]
        loss += math.log(total) - (memory[logits + label * LANES + lane] - largest)
        n_correct += answer == label
        for k in range(n_classes):
            at = d_logits + k * LANES + lane
            truth = np.float32(1.0) - smoothing + elsewhere if k == label else elsewhere
            memory[at] = (memory[at] / total - truth) * scale
    return loss, n_correct


@kernel
def probabilities(memory, logits, n_classes, out, first, n_images):
    """Write the probabilities of one block to ``out``, float32 (n, n_classes), from row ``first`` on."""
    for lane in range(n_images):
        largest = memory[logits + lane]
        for k in range(1, n_classes):
            largest = max(largest, memory[logits + k * LANES + lane])
        total = np.float32(0.0)
        for k in range(n_classes):
            exponential = math.exp(memory[logits + k * LANES + lane] - largest)
            out[(first + lane) * n_classes + k] = exponential
            total += exponential
        for k in range(n_classes):
            out[(first + lane) * n_classes + k] /= total
