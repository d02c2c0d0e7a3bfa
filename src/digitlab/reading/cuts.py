"""Cuts: everywhere that ink may be parted into digits, along seams that go round the strokes where they can.

A seam is the cheapest way from the top to the bottom of the ink, where ink costs and paper is nearly free (the idea of
seam carving, Avidan and Shamir 2007, eq. 2). It follows the gap of slanted writing, slips between loops that touch,
and is what drop-fall and contour cuts try to be. Which of the cuts are right is not decided here but by what the
network says of the pieces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digitlab.reading.reading import Box
from digitlab.reading.strokes import Stroke

__all__ = ["Part", "parted"]

_SPACING = 0.09  # of the height of writing, between the places where seams are looked for
_REACH = 0.45  # of the height: how far a seam may lean to either side
_MOST_STROKES = 2.6  # a seam that crosses more ink than this many strokes parts nothing
_CUTS = 5.0  # at most, for a width as the height: the cheapest


@dataclass(frozen=True, eq=False)
class Part:
    """A piece of a stroke between two cuts.

    Attributes
    ----------
    stroke : Stroke
        Its ink.
    source : int
        Which connected stroke it is of.
    cut : float
        How many strokes' widths of ink the cut on its left goes through; 0 for the first piece of a stroke.
    is_foreign : bool
        Whether most of the word that it stands in is no digit.
    """

    stroke: Stroke
    source: int
    cut: float = 0.0
    is_foreign: bool = False


def parted(stroke: Stroke, source: int, height: float, stroke_px: float, is_foreign: bool = False) -> list[Part]:
    """Cut a stroke at every sensible place.

    Parameters
    ----------
    stroke : Stroke
        Connected ink.
    source : int
        Its number, for the parts.
    height : float
        The height of the writing around, in pixels.
    stroke_px : float
        Usual width of a stroke, in pixels.
    is_foreign : bool
        For the parts.

    Returns
    -------
    list of Part
        From left to right; all of the ink is in one of them.
    """
    seams = _seams(stroke.soft, height, stroke_px)
    if not seams:
        return [Part(stroke, source, is_foreign=is_foreign)]
    columns = np.arange(stroke.soft.shape[1])[None, :]
    parts: list[Part] = []
    done = np.zeros(stroke.soft.shape, np.bool_)
    cost = 0.0
    for next_cost, seam in [*seams, (0.0, None)]:
        mask = np.ones_like(done) if seam is None else columns < seam[:, None]
        piece = _cropped(stroke, mask & ~done)
        if piece is not None:
            parts.append(Part(piece, source, cost if parts else 0.0, is_foreign))
        cost = next_cost
        done |= mask
    return parts or [Part(stroke, source, is_foreign=is_foreign)]


def _cropped(stroke: Stroke, mask: NDArray[np.bool_]) -> Stroke | None:
    soft = np.where(mask, stroke.soft, np.float32(0))
    rows, columns = np.flatnonzero(soft.max(1) > 0.3), np.flatnonzero(soft.max(0) > 0.3)
    if rows.size == 0 or columns.size == 0:
        return None
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    x, y = stroke.box.left, stroke.box.top
    return Stroke(Box(x + left, y + top, x + right, y + bottom), soft[top:bottom, left:right])


def _seams(soft: NDArray[np.float32], height: float, stroke_px: float) -> list[tuple[float, NDArray[np.int64]]]:
    """The cheapest seams and their costs in strokes' widths, from left to right, each parting the ink differently."""
    high, wide = soft.shape
    margin = max(2.0, 0.12 * height)
    n_places = int((wide - 2 * margin) / max(1.0, _SPACING * height)) + 1
    if wide <= 2 * margin or n_places < 1:
        return []
    places = np.linspace(margin, wide - margin, n_places)
    half = max(2, round(_REACH * height))
    offsets = np.arange(-half, half + 1)
    columns = np.clip(np.round(places).astype(np.int64)[:, None] + offsets, 0, wide - 1)
    # Leaning costs a little, and so does lying away from the place: else all seams would be the one cheapest.
    pull = (0.02 * stroke_px / half) * np.abs(offsets)[None, :].astype(np.float32)
    total = soft[0][columns] + pull
    steps = np.zeros((high, *columns.shape), np.int8)
    lean = np.float32(0.06)
    for row in range(1, high):
        left = np.full_like(total, np.inf)
        right = np.full_like(total, np.inf)
        left[:, 1:] = total[:, :-1] + lean
        right[:, :-1] = total[:, 1:] + lean
        best = np.minimum(left, right)
        step = np.where(left <= right, -1, 1)
        straight = total <= best
        steps[row] = np.where(straight, 0, step)
        total = np.where(straight, total, best) + soft[row][columns] + pull
    ends = np.argmin(total, axis=1)
    found: list[tuple[float, NDArray[np.int64]]] = []
    each = np.arange(n_places)
    path = np.zeros((n_places, high), np.int64)
    at = ends
    for row in range(high - 1, -1, -1):
        path[:, row] = columns[each, at]
        at = at + steps[row][each, at]
    ink = soft[np.arange(high)[None, :], path].sum(1) / max(stroke_px, 1.0)
    cumulative = np.cumsum(soft, axis=1)
    everything = float(cumulative[:, -1].sum())
    least = max(0.02 * everything, 0.5 * stroke_px**2)
    order = np.argsort(ink, kind="stable")
    shares: list[float] = []
    most = max(2, round(_CUTS * wide / height))
    for k in order:
        if ink[k] > _MOST_STROKES or len(found) >= most:
            break
        share = float(cumulative[np.arange(high), np.maximum(path[k] - 1, 0)].sum())
        if share < least or everything - share < least or any(abs(share - other) < least for other in shares):
            continue
        shares.append(share)
        found.append((float(ink[k]), path[k]))
    return [found[k] for k in np.argsort(shares)]
