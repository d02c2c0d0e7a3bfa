"""Figures of merit for reading: digits right and in place, whole numbers right, refusals, coverage against accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from digitlab.metrics import wilson_interval
from digitlab.reading.reading import Reading

#: Shares of the pictures to answer, at which the accuracy of the surest answers is told.
COVERAGES = (1.0, 0.99, 0.98, 0.95, 0.9, 0.8, 0.7, 0.5)


@dataclass(frozen=True)
class Answer:
    """What was read on one picture.

    Attributes
    ----------
    file : str
        Its name.
    truth, text : str
        The digits that stand there and those that were read; a space between lines.
    told : str
        The truth as people told it, for letters.
    confidence : float
        The probability that all of it is right, in [0, 1]; 0 without an answer.
    refusal : float
        How surely there is no digit, in [0, 1].
    seconds : float
        From the file to the answer.
    reading : Reading or None
        All that was read, for pictures that were read as photos.
    also : tuple of str
        What would be right as well.
    """

    file: str
    truth: str
    text: str
    told: str
    confidence: float
    refusal: float
    seconds: float
    reading: Reading | None = None
    also: tuple[str, ...] = ()

    @property
    def is_right(self) -> bool:
        """Whether all digits were read, and nothing else."""
        return self.text in (self.truth, *self.also)


def score(answers: Sequence[Answer]) -> dict[str, Any]:
    """Return the figures of one folder, with 95 % Wilson intervals."""
    answered = [answer for answer in answers if answer.truth]
    empty = [answer for answer in answers if not answer.truth]
    figures: dict[str, Any] = {"n": len(answers)}
    if answered:
        n_digits = sum(len(_plain(answer.truth)) for answer in answered)
        n_right = sum(n_matched(_plain(answer.truth), _plain(answer.text)) for answer in answered)
        n_read = sum(len(_plain(answer.text)) for answer in answered)
        figures["digits"] = share(n_right, n_digits) | {"n_read": n_read, "n_extra": n_read - n_right}
        figures["whole"] = share(sum(answer.is_right for answer in answered), len(answered))
        figures["coverage"] = coverage(answered)
    if empty:
        figures["refused"] = share(sum(not answer.text for answer in empty), len(empty))
    seconds = [answer.seconds for answer in answers]
    return figures | {"median_s": median(seconds), "p95_s": float(np.quantile(seconds, 0.95))}


def share(n_right: int, n: int) -> dict[str, Any]:
    """Return a proportion with its interval."""
    return {"n": n, "n_right": n_right, "share": n_right / n, "interval": list(wilson_interval(n_right, n))}


def n_matched(truth: str, text: str) -> int:
    """Return how many digits of ``truth`` are in ``text`` in their order, in the alignment with the fewest edits.

    Of all alignments with the fewest insertions, deletions and substitutions (Levenshtein 1966), the one with the most
    matches counts.

    Examples
    --------
    >>> n_matched("2250", "225"), n_matched("100", "1100"), n_matched("12", "21")
    (3, 3, 1)
    """
    return sum(i is not None and truth[i] == text[j] for j, i in enumerate(aligned(truth, text)))


def aligned(truth: str, text: str) -> list[int | None]:
    """Return for every character of ``text`` its place in ``truth``, None where it stands between, as ``n_matched``.

    A place may hold another character than was read. A line's end, ``|``, stands only for a line's end.

    Examples
    --------
    >>> aligned("2250", "225"), aligned("10|1", "110|7")
    ([0, 1, 2], [None, 0, 1, 2, 3])
    """
    # A cell holds (edits, -matches), of which the smallest is best.
    rows = [[(k, 0) for k in range(len(text) + 1)]]
    for i, true in enumerate(truth, start=1):
        before, row = rows[-1], [(i, 0)]
        for j, read in enumerate(text, start=1):
            row.append(min(_stepped(before[j - 1], true, read), _added(before[j]), _added(row[j - 1])))
        rows.append(row)
    places: list[int | None] = [None] * len(text)
    i, j = len(truth), len(text)
    while i and j:
        if rows[i][j] == _stepped(rows[i - 1][j - 1], truth[i - 1], text[j - 1]):
            i, j = i - 1, j - 1
            places[j] = i
        elif rows[i][j] == _added(rows[i - 1][j]):
            i -= 1
        else:
            j -= 1
    return places


def _stepped(cell: tuple[int, int], true: str, read: str) -> tuple[int, int]:
    """The price after one character of both; two ends of lines for one cost as much as leaving both out."""
    if true == read:
        return (cell[0], cell[1] - 1)
    return (cell[0] + (2 if "|" in (true, read) else 1), cell[1])


def _added(cell: tuple[int, int]) -> tuple[int, int]:
    return (cell[0] + 1, cell[1])


def coverage(answers: Sequence[Answer]) -> list[dict[str, float]]:
    """Return, for each share of the pictures, the accuracy of the surest answers and how sure the last of them is."""
    ranked = sorted(answers, key=lambda answer: -answer.confidence)
    points = []
    for wanted in COVERAGES:
        k = max(1, round(wanted * len(ranked)))
        n_right = sum(answer.is_right for answer in ranked[:k])
        points.append({"coverage": wanted, "confidence": ranked[k - 1].confidence} | share(n_right, k))
    return points


def area_under_roc(positive: ArrayLike, negative: ArrayLike) -> float:
    """Return the probability that a positive's score is higher than a negative's, ties counting half.

    Parameters
    ----------
    positive, negative : float (n,), (m,), n and m >= 1
        Scores.

    References
    ----------
    J. A. Hanley and B. J. McNeil (1982), "The meaning and use of the area under a receiver operating characteristic
    (ROC) curve", Radiology 143, 29-36.

    Examples
    --------
    >>> area_under_roc([0.9, 0.4], [0.1, 0.4])
    0.875
    """
    high, low = np.asarray(positive, np.float64), np.sort(np.asarray(negative, np.float64))
    below = np.searchsorted(low, high, "left")
    ties = np.searchsorted(low, high, "right") - below
    return float((below + ties / 2).sum() / (high.size * low.size))


def refused_at(lost: float, positive: ArrayLike, negative: ArrayLike) -> float:
    """Return the share of positives above the threshold that a share ``lost`` of the negatives exceeds, at most.

    Examples
    --------
    >>> refused_at(0.25, [0.9, 0.5, 0.1], [0.6, 0.4, 0.3, 0.2])
    0.6666666666666666
    """
    high, low = np.asarray(positive, np.float64), np.sort(np.asarray(negative, np.float64))
    threshold = low[low.size - 1 - int(lost * low.size)]
    return float((high > threshold).mean())


def _plain(text: str) -> str:
    return text.replace(" ", "")
