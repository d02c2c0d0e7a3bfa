"""Paths: the best way to take the pieces of a line for digits and for what is none, by dynamic programming.

Every run of a few neighbouring pieces is a candidate for one digit. A path takes each piece once, as part of a
candidate or as refused; its score is the sum of the logarithms of the network's probabilities and of what is known of
the size and spacing of digits. All constants are natural logarithms of probabilities: -0.1 is "9 times out of 10".
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digitlab.reading.cuts import Part
from digitlab.reading.strokes import Stroke, joined

__all__ = ["STRANGERS", "Candidate", "Piece", "best_paths", "candidates"]

_MOST_PARTS = 11  # in one digit: as many as a digit that is as wide as high may be cut into, and a few strokes
_MOST_WIDTH = 1.75  # times the height of writing
_LEAST = -9.0  # below this a probability tells nothing more

#: How much rarer what is no digit is in a line of writing than among what the network learned from; and the same among
#: candidates, where most runs of pieces are none.
STRANGERS = 0.05
_STRANGE_RUNS = 0.4
_JOINED = (0.15, 4.0)  # for one digit of two strokes: always, and for a gap as wide as the height
_CUT = (0.12, 0.6)  # on either side of a cut: always, and for each stroke's width of ink beyond the first half
_FOREIGN_CUT = 0.8  # besides, in a word of which most is no digit: pieces of letters often look like some
_REFUSED = (0.5, 2.0)  # for refusing a tall stroke: always, and for each digit's width
_DIGIT_WIDTH = 0.7  # of the height, usually


@dataclass(frozen=True, eq=False)
class Candidate:
    """A run of pieces that may be one digit: ``parts[start:stop]``, and its ink."""

    start: int
    stop: int
    stroke: Stroke
    prior: float


@dataclass(frozen=True, eq=False)
class Piece:
    """One step of a path: a candidate read as a digit, or refused where ``value`` is None."""

    start: int
    stop: int
    value: int | None
    candidate: int


def candidates(parts: Sequence[Part], height: float) -> list[Candidate]:
    """List every run of neighbouring pieces that has the size of one digit.

    Parameters
    ----------
    parts : sequence of Part
        The pieces of a line, from left to right.
    height : float
        The height of its writing, in pixels.
    """
    found = []
    for start in range(len(parts)):
        box = parts[start].stroke.box
        right = box.right
        prior = 0.0
        for stop in range(start + 1, min(start + _MOST_PARTS, len(parts)) + 1):
            last = parts[stop - 1]
            if stop > start + 1:
                gap = (last.stroke.box.left - right) / height
                if gap > 0.3:
                    break
                box = box.around(last.stroke.box)
                right = max(right, last.stroke.box.right)
                # Joining strokes of one digit is an exception, and the more so the wider the gap.
                prior += 0.0 if last.source == parts[stop - 2].source else -_JOINED[0] - _JOINED[1] * max(0.0, gap)
            if box.width > _MOST_WIDTH * height:
                break
            stroke = joined([part.stroke for part in parts[start:stop]])
            found.append(Candidate(start, stop, stroke, prior + _shape(stroke, height) + _cuts(parts, start, stop)))
    return found


def best_paths(
    parts: Sequence[Part],
    found: Sequence[Candidate],
    probabilities: NDArray[np.float32],
    height: float,
    digits: int | None = None,
    accepts: Callable[[str], bool] | None = None,
) -> list[Piece] | None:
    """Choose the best path.

    Parameters
    ----------
    parts, found, height
        As for ``candidates``, and what it returned.
    probabilities : ndarray
        float32 (n_candidates, 11): of each digit, and last that it is none; rows sum to 1.
    digits : int, optional
        How many digits the path must have.
    accepts : callable, optional
        Whether the digits of a path are as expected; of the likeliest paths the first that is.

    Returns
    -------
    list of Piece or None
        From left to right; None where no path is as expected.
    """
    width = 40 if accepts is not None else 1
    strange = np.array([1.0 if parts[candidate.start].is_foreign else _STRANGE_RUNS for candidate in found])
    corrected = probabilities[:, :10] / (1 - (1 - strange[:, None]) * probabilities[:, 10:])  # Bayes' rule
    logs = np.log(np.maximum(corrected, math.exp(_LEAST)))
    ranked = np.argsort(-logs, axis=1)[:, : 3 if accepts is not None or digits is not None else 1]
    starting: list[list[int]] = [[] for _ in parts]
    alone: dict[tuple[int, int], int] = {}
    for k, candidate in enumerate(found):
        starting[candidate.start].append(k)
        alone[candidate.start, candidate.stop] = k
    # A path: score, text, steps as a linked list. Kept apart by number of digits where that matters.
    beams: list[dict[int, list[tuple[float, str, tuple[object, Piece] | None]]]] = [{} for _ in range(len(parts) + 1)]
    beams[0] = {0: [(0.0, "", None)]}
    for start in range(len(parts)):
        steps = [
            (float(logs[k, value]) + found[k].prior, Piece(start, found[k].stop, int(value), k))
            for k in starting[start]
            for value in ranked[k]
        ]
        steps += _refusals(parts, start, alone, probabilities, height)
        for n, paths in beams[start].items():
            for gain, piece in steps:
                more = n + (piece.value is not None and digits is not None)
                if digits is not None and more > digits:
                    continue
                kept = beams[piece.stop].setdefault(more, [])
                for score, text, path in paths:
                    kept.append((score + gain, text if piece.value is None else f"{text}{piece.value}", (path, piece)))
                _prune(kept, width)
    ends = beams[-1].get(digits or 0, [])
    for _, text, path in sorted(ends, key=lambda end: -end[0]):
        if accepts is None or accepts(text):
            return _unlinked(path)
    return None


def _prune(paths: list[tuple[float, str, tuple[object, Piece] | None]], width: int) -> None:
    if width == 1:
        if len(paths) > 1:
            paths[:] = [max(paths, key=lambda path: path[0])]
        return
    best: dict[str, tuple[float, str, tuple[object, Piece] | None]] = {}
    for path in paths:
        if path[1] not in best or path[0] > best[path[1]][0]:
            best[path[1]] = path
    paths[:] = heapq.nlargest(width, best.values(), key=lambda path: path[0])


def _unlinked(path: tuple[object, Piece] | None) -> list[Piece]:
    pieces = []
    link: object = path
    while isinstance(link, tuple):
        link, piece = link
        pieces.append(piece)
    return pieces[::-1]


def _shape(stroke: Stroke, height: float) -> float:
    """What the size of a digit tells: much smaller or wider than the others it is less likely one."""
    high, wide = stroke.box.height / height, stroke.box.width / height
    small = -6 * max(0.0, 0.5 - high)
    flat = -1.5 * max(0.0, wide / max(high, 0.1) - 1.5)
    # A disk or a leaf is as full as no digit but a 1, which is narrow.
    solid = -6.0 if wide > 0.5 * high and float(stroke.soft.mean()) > 0.68 else 0.0
    return solid + small + flat - 2.5 * max(0.0, wide - 1.1) - 3 * max(0.0, high - 1.7)


def _cuts(parts: Sequence[Part], start: int, stop: int) -> float:
    """What a cut costs: more where it goes through much ink. Half of it is paid on either side."""
    price = 0.0
    for edge in (start, stop):
        if 0 < edge < len(parts) and parts[edge].source == parts[edge - 1].source:
            price -= (
                _CUT[0] + _CUT[1] * max(0.0, parts[edge].cut - 0.5) + (_FOREIGN_CUT if parts[edge].is_foreign else 0.0)
            )
    return price


def _refusals(
    parts: Sequence[Part],
    start: int,
    alone: dict[tuple[int, int], int],
    probabilities: NDArray[np.float32],
    height: float,
) -> list[tuple[float, Piece]]:
    """What it costs to refuse a whole stroke, or only the next piece of one."""
    source = parts[start].source
    stop = start + 1
    first = start == 0 or parts[start - 1].source != source
    while stop < len(parts) and parts[stop].source == source:
        stop += 1
    steps = []
    if first:
        whole = joined([part.stroke for part in parts[start:stop]]).box
        high, wide = whole.height / height, whole.width / height
        k = alone.get((start, stop), -1)
        none = float(probabilities[k, 10]) if k >= 0 else 1.0
        if high < 0.33 and wide < 0.4:
            price = -0.02  # a dot
        elif high < 0.4 and wide > 1.5 * high:
            price = -0.15  # a dash
        elif high < 0.5:
            price = -0.3 + 0.5 * math.log(max(none, 0.02))
        else:
            # Two digits that touch are no digit either: the wider, the rather it is to be cut than to be refused.
            price = math.log(max(none, 0.004)) - _REFUSED[0]
            price -= 0.0 if parts[start].is_foreign else _REFUSED[1] * wide / _DIGIT_WIDTH
        steps.append((price, Piece(start, stop, None, k)))
    if not first or stop > start + 1:
        # The rest of a stroke is a comma or a ruled line that touches a digit: a rare thing.
        high = parts[start].stroke.box.height / height
        piece = Piece(start, start + 1, None, alone.get((start, start + 1), -1))
        steps.append((-1.5 - 4 * high, piece))
    return steps
