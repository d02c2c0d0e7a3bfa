"""Lines: which strokes stand side by side, and in what order they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from digitlab.reading.reading import Box
from digitlab.reading.strokes import Stroke, usual_height

__all__ = ["StrokeLine", "group_lines"]

_TALL = 0.5  # of the usual height: what is smaller does not make a line, it belongs to one
_LEAST_PX = 9  # nothing lower can be told from a speck, not even by eye
_CORNER = 0.08  # of the short side: what is so small at the border is a rest of something beyond it
_TOO_LARGE = 4.0  # times the usual height


@dataclass(frozen=True, eq=False)
class StrokeLine:
    """Strokes side by side, from left to right, and the height of the writing in pixels."""

    strokes: tuple[Stroke, ...]
    height: float


def group_lines(strokes: Sequence[Stroke], size: tuple[int, int]) -> tuple[list[StrokeLine], list[tuple[Stroke, str]]]:
    """Group strokes into lines, in reading order.

    Parameters
    ----------
    strokes : sequence of Stroke
        All of a page, from left to right.
    size : tuple of int
        Width and height of the page in pixels.

    Returns
    -------
    lines : list of StrokeLine
        From top to bottom.
    refused : list of (Stroke, str)
        What stands in no line, and the reason: a key of ``REASONS``.
    """
    refused: list[tuple[Stroke, str]] = []
    kept: list[Stroke] = []
    usual = _usual(strokes, size)
    for stroke in strokes:
        reason = _reason(stroke.box, usual, size)
        if reason is None:
            kept.append(stroke)
        else:
            refused.append((stroke, reason))
    usual = usual_height([stroke.box for stroke in kept], usual)
    rows: list[list[Stroke]] = []
    for stroke in kept:
        if stroke.box.height >= _TALL * usual:
            row = _row_of(stroke.box, rows, usual)
            if row is None:
                rows.append([stroke])
            else:
                row.append(stroke)
    rows = _united(rows)
    tall = [list(row) for row in rows]
    for stroke in kept:
        if stroke.box.height < _TALL * usual:
            nearest = _nearest(stroke.box, tall)
            if nearest is None:
                refused.append((stroke, "too-small"))
            else:
                rows[nearest].append(stroke)
    lines = []
    for row, high in zip(rows, tall, strict=True):
        ordered = sorted(row, key=lambda stroke: stroke.box.left + stroke.box.right)
        lines.append(StrokeLine(tuple(ordered), usual_height([stroke.box for stroke in high], usual)))
    return sorted(lines, key=_top), refused


def _usual(strokes: Sequence[Stroke], size: tuple[int, int]) -> float:
    inner = [stroke for stroke in strokes if not _along_edge(stroke.box, size)]
    held, everything = (sum(float(stroke.soft.sum()) for stroke in some) for some in (inner, strokes))
    # In a narrow crop all digits together may reach its border; then only specks would be left to judge by.
    chosen = inner if held > 0.2 * everything or min(size) > 0.5 * max(size) else strokes
    return usual_height([stroke.box for stroke in chosen], 0.5 * size[1])


def _top(line: StrokeLine) -> float:
    # The middle of the line's left part, so that lines that still rise or fall a little keep their order.
    return sum(stroke.box.top + stroke.box.bottom for stroke in line.strokes[:3]) / len(line.strokes[:3])


def _at_edge(box: Box, size: tuple[int, int]) -> bool:
    return box.left <= 1 or box.top <= 1 or box.right >= size[0] - 1 or box.bottom >= size[1] - 1


def _along_edge(box: Box, size: tuple[int, int]) -> bool:
    """Whether a stroke runs along the picture's border or around it: nothing that heights may be judged by."""
    width, height = size
    if (box.left <= 1 or box.right >= width - 1) and box.width < 0.2 * box.height:
        return True
    if (box.top <= 1 or box.bottom >= height - 1) and (box.height < 0.5 * box.width or box.height < 0.2 * height):
        return True
    return _at_edge(box, size) and box.width > 0.8 * width and box.height > 0.8 * height


def _reason(box: Box, usual: float, size: tuple[int, int]) -> str | None:
    width, height = size
    if _at_edge(box, size):
        along_side = (box.left <= 1 or box.right >= width - 1) and box.width < 0.25 * usual and box.height > box.width
        along_top = (box.top <= 1 or box.bottom >= height - 1) and box.height < 0.45 * usual
        if along_side or along_top:
            return "edge"
        if max(box.width, box.height) < _CORNER * min(size):
            return "edge"
        if box.width > 0.8 * width and box.height > 0.8 * height and min(size) > 3 * usual:
            return "edge"
    if max(box.height, usual) < _LEAST_PX:
        return "too-small"
    if box.height > _TOO_LARGE * usual or box.width > 12 * usual:
        return "too-large"
    return None


def _row_of(box: Box, rows: Sequence[list[Stroke]], usual: float) -> list[Stroke] | None:
    """The row whose last strokes stand at the same level and nearest."""
    best: tuple[float, list[Stroke]] | None = None
    for row in rows:
        last = row[-3:]
        top = sum(stroke.box.top for stroke in last) / len(last)
        bottom = sum(stroke.box.bottom for stroke in last) / len(last)
        common = min(bottom, box.bottom) - max(top, box.top)
        gap = box.left - max(stroke.box.right for stroke in last)
        if common < 0.4 * min(bottom - top, box.height) or gap > 14 * usual:
            continue
        distance = max(gap, 0) + 3 * abs((top + bottom) / 2 - (box.top + box.bottom) / 2)
        if best is None or distance < best[0]:
            best = (distance, row)
    return None if best is None else best[1]


def _united(rows: list[list[Stroke]]) -> list[list[Stroke]]:
    """Unite rows of one level that lie beside each other or inside each other: parts of one broken row."""
    united: list[list[Stroke]] = []
    for row in sorted(rows, key=len, reverse=True):
        top, bottom, left, right = _extent(row)
        for other in united:
            a, b, c, d = _extent(other)
            common = min(b, bottom) - max(a, top)
            apart = max(left - d, c - right)
            if common > 0.6 * min(b - a, bottom - top) and apart < 4 * (b - a):
                other.extend(row)
                other.sort(key=lambda stroke: stroke.box.left)
                break
        else:
            united.append(row)
    return united


def _extent(row: Sequence[Stroke]) -> tuple[float, float, int, int]:
    """Mean top and bottom, and left and right, of a row."""
    n = len(row)
    return (
        sum(stroke.box.top for stroke in row) / n,
        sum(stroke.box.bottom for stroke in row) / n,
        min(stroke.box.left for stroke in row),
        max(stroke.box.right for stroke in row),
    )


def _nearest(box: Box, rows: Sequence[Sequence[Stroke]]) -> int | None:
    """The row that a small stroke belongs to: within its height and near one of its strokes."""
    best: tuple[float, int] | None = None
    middle = (box.top + box.bottom) / 2
    for k, row in enumerate(rows):
        for stroke in row:
            high = stroke.box.height
            if not stroke.box.top - 0.4 * high <= middle <= stroke.box.bottom + 0.4 * high:
                continue
            apart = max(stroke.box.left - box.right, box.left - stroke.box.right, 0)
            if apart < 1.5 * high and (best is None or apart < best[0]):
                best = (apart, k)
    return None if best is None else best[1]
