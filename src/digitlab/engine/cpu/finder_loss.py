"""The finder's loss on one crop, and its gradient: centres, what stands there, where and how large it is.

Centres, for every cell of the two heat maps (Zhou, Wang and Krähenbühl 2019, *Objects as Points*, equation 1), with the
target t and the network's p = sigmoid(logit + ``PRIOR_LOGIT``)::

    t = 1:  -(1 - p)**2 * log(p)             else:  -(1 - t)**4 * p**2 * log(1 - p)

t is the largest of the marks' Gaussians there, and 1 in the cell of a mark's centre. Around ignored marks it is left
out. In the cell of every mark there is the cross-entropy of its digits' or its separators' logits, and the smooth
absolute error (Girshick 2015, *Fast R-CNN*, equation 3) of place and size. All of it is divided by the number of marks.
"""

from __future__ import annotations

import math

import numpy as np

from digitlab.engine.cpu.compiled import kernel
from digitlab.engine.crops import CENTERS, DIGITS, IGNORED, PLACES, PRIOR_LOGIT, SEPARATOR_MAPS, SIZES, STRIDE, USUAL_PX

# The Gaussian around a mark: parts of its width and height, and cells, that its sigma is; the least width as a part of
# the height, for ones.
_SIGMA, _LEAST_SIGMA, _LEAST_WIDTH = 0.16, 0.6, 0.35
# Ignored marks: around them where their Gaussian is above this, unless a learned mark is this sure to be there.
_IGNORED_ABOVE, _LEARNED_FROM = 0.3, 0.9
# Up to this error, in cells or as a logarithm, the absolute error is a parabola.
_BETA = 0.2
_LEAST_PX = 1.0

_N_DIGITS, _N_SEPARATORS = DIGITS.stop - DIGITS.start, SEPARATOR_MAPS.stop - SEPARATOR_MAPS.start
_CENTER_MAPS, _DIGIT_MAPS, _SEPARATOR_MAPS = CENTERS.start, DIGITS.start, SEPARATOR_MAPS.start
_PLACE_MAPS, _SIZE_MAPS = PLACES.start, SIZES.start
_PRIOR = np.float64(PRIOR_LOGIT)


def n_room(height: int, width: int) -> int:
    """Return how many float32 numbers the loss of maps of this size needs for itself."""
    return 3 * height * width + height + width


@kernel
def _cell(boxes, mark, height, width):
    """Return row and column of a mark's centre, and that centre in cells; the row is -1 outside of the map."""
    x = (np.float64(boxes[mark, 0]) + np.float64(boxes[mark, 2])) / (2.0 * STRIDE)
    y = (np.float64(boxes[mark, 1]) + np.float64(boxes[mark, 3])) / (2.0 * STRIDE)
    column, row = math.floor(x), math.floor(y)
    if row < 0 or row >= height or column < 0 or column >= width:
        row = -1
    return row, column, x, y


@kernel
def count_marks(boxes, labels, starts, chosen, height, width):
    """Return how many marks there are to learn in the chosen crops, whose maps have this size."""
    n = 0
    for i in range(len(chosen)):
        for mark in range(starts[chosen[i]], starts[chosen[i] + 1]):
            if labels[mark] != IGNORED and _cell(boxes, mark, height, width)[0] >= 0:
                n += 1
    return n


@kernel
def _softplus(x):
    """log(1 + exp(x)), for any x."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


@kernel
def _gaussian(distance, sigma):
    exponent = -0.5 * (distance / sigma) ** 2
    return np.float32(math.exp(exponent)) if exponent > -40.0 else np.float32(0.0)


@kernel
def _paint(boxes, labels, begin, end, height, width, room):
    """Write the targets of the two heat maps, and the largest Gaussian of the ignored marks."""
    n = height * width
    room[: 3 * n] = 0.0
    for mark in range(begin, end):
        row, column, x, y = _cell(boxes, mark, height, width)
        if row < 0:
            continue
        w, h = (boxes[mark, 2] - boxes[mark, 0]) / STRIDE, (boxes[mark, 3] - boxes[mark, 1]) / STRIDE
        sigma_x, sigma_y = max(_LEAST_SIGMA, _SIGMA * max(w, _LEAST_WIDTH * h)), max(_LEAST_SIGMA, _SIGMA * h)
        for k in range(width):
            room[3 * n + k] = _gaussian(k + 0.5 - x, sigma_x)
        target = 2 if labels[mark] == IGNORED else 1 if labels[mark] >= _N_DIGITS else 0
        for i in range(height):
            across = _gaussian(i + 0.5 - y, sigma_y)
            if across > 0.0:
                at = target * n + i * width
                for k in range(width):
                    room[at + k] = max(room[at + k], across * room[3 * n + k])
        if target < 2:
            room[target * n + row * width + column] = 1.0


@kernel
def _centers(values, at, row, d_at, d_row, step, height, width, room, scale):
    """Return the loss of the heat maps, and write its gradient."""
    n, loss = height * width, 0.0
    for y in range(height):
        for x in range(width):
            ignored = room[2 * n + y * width + x] > _IGNORED_ABOVE
            for k in range(2):
                target = np.float64(room[k * n + y * width + x])
                if ignored and target < _LEARNED_FROM:
                    continue
                logit = np.float64(values[at + y * row + x * step + _CENTER_MAPS + k]) + _PRIOR
                # softplus(-z) = -log(p), softplus(z) = -log(1 - p)
                p, q = 1.0 / (1.0 + math.exp(-logit)), 1.0 / (1.0 + math.exp(logit))
                if target == 1.0:
                    log = _softplus(-logit)
                    loss += q * q * log
                    slope = -2.0 * p * q * q * log - q * q * q
                else:
                    log, weight = _softplus(logit), (1.0 - target) ** 4
                    loss += weight * p * p * log
                    slope = weight * (2.0 * p * p * q * log + p * p * p)
                values[d_at + y * d_row + x * step + _CENTER_MAPS + k] = slope * scale
    return loss


@kernel
def _class_loss(values, at, d_at, n, label, smoothing, scale):
    """Return the cross-entropy of ``n`` logits, without smoothing, and whether the largest is the label's."""
    largest, best = values[at], 0
    for k in range(1, n):
        if values[at + k] > largest:
            largest, best = values[at + k], k
    total = 0.0
    for k in range(n):
        total += math.exp(np.float64(values[at + k]) - largest)
    for k in range(n):
        truth = (1.0 - smoothing if k == label else 0.0) + smoothing / n
        values[d_at + k] += (math.exp(np.float64(values[at + k]) - largest) / total - truth) * scale
    return math.log(total) + largest - values[at + label], best == label


@kernel
def _distance_loss(values, at, d_at, truth, scale):
    """Return the smooth absolute error of one number."""
    error = np.float64(values[at]) - truth
    if abs(error) < _BETA:
        values[d_at] += error / _BETA * scale
        return 0.5 * error * error / _BETA
    values[d_at] += scale if error > 0.0 else -scale
    return abs(error) - 0.5 * _BETA


@kernel
def finder_loss(
    values, at, row, d_at, d_row, step, height, width, boxes, labels, begin, end, n_marks, smoothing, room, losses
):
    """Write the gradient of one crop's maps, and its share of the loss; return how many marks are called rightly.

    Parameters
    ----------
    values : ndarray
        float32: logits from ``at`` on, rows of the map ``row`` and its pixels ``step`` numbers apart; their gradients
        from ``d_at`` on, written.
    height, width : int
        Of the maps, in cells.
    boxes, labels, begin, end
        Marks, and which of them are this crop's.
    n_marks : int
        What losses and gradients are divided by.
    smoothing : float
        Part of the truth that is spread over all classes; the gradients follow it, the loss does not.
    room : ndarray
        float32 (n_room(height, width),).
    losses : ndarray
        float64 (3,), written: centres, classes, places and sizes.
    """
    scale = 1.0 / n_marks
    for y in range(height):
        for i in range(width * step):
            values[d_at + y * d_row + i] = 0.0
    _paint(boxes, labels, begin, end, height, width, room)
    losses[0] = _centers(values, at, row, d_at, d_row, step, height, width, room, scale) * scale
    losses[1] = losses[2] = 0.0
    n_right = 0
    for mark in range(begin, end):
        line, column, x, y = _cell(boxes, mark, height, width)
        if labels[mark] == IGNORED or line < 0:
            continue
        own, d_own = at + line * row + column * step, d_at + line * d_row + column * step
        if labels[mark] < _N_DIGITS:
            first, n, label = _DIGIT_MAPS, _N_DIGITS, labels[mark]
        else:
            first, n, label = _SEPARATOR_MAPS, _N_SEPARATORS, labels[mark] - _N_DIGITS
        loss, is_right = _class_loss(values, own + first, d_own + first, n, label, smoothing, scale)
        losses[1] += loss * scale
        n_right += is_right
        w, h = boxes[mark, 2] - boxes[mark, 0], boxes[mark, 3] - boxes[mark, 1]
        loss = _distance_loss(values, own + _PLACE_MAPS, d_own + _PLACE_MAPS, x - column - 0.5, scale)
        loss += _distance_loss(values, own + _PLACE_MAPS + 1, d_own + _PLACE_MAPS + 1, y - line - 0.5, scale)
        for k, size in enumerate((w, h)):
            truth = math.log(max(np.float64(size), _LEAST_PX) / USUAL_PX)
            loss += _distance_loss(values, own + _SIZE_MAPS + k, d_own + _SIZE_MAPS + k, truth, scale)
        losses[2] += loss * scale
    return n_right
