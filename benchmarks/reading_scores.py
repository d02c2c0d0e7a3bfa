"""Figures of merit for reading: digits in place, whole numbers, refusals, coverage, trust in a confidence, the bars."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from digitlab.metrics import wilson_interval
from digitlab.reading.reading import Reading

#: What is known of the folders that are measured on, by name; which cases there are, and what is told where.
KNOWN: dict[str, Any] = tomllib.loads(Path(__file__).with_name("reading.toml").read_text("utf-8"))
#: Shares of the pictures to answer, at which the accuracy of the surest answers is told.
COVERAGES = (1.0, 0.99, 0.98, 0.95, 0.9, 0.8, 0.7, 0.5)
#: Bounds of the ten bins of confidence: narrow where most numbers are, and where it matters.
BOUNDS = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)
#: Claims that are told by themselves: of the numbers that claim at least so much, how many are right.
CLAIMS = (0.9, 0.99, 0.999)
#: Where nothing stands, nothing is to be read as surely as this.
CERTAIN = 0.999
#: Of the numbers that claim 99 %, so many are right.
TRUSTED = 0.985


@dataclass(frozen=True)
class Answer:
    """What was read on one picture."""

    file: str  # its name
    truth: str  # the digits that stand there, a space between lines
    text: str  # those that were read
    told: str  # the truth as people told it, for letters
    confidence: float  # the probability that all of it is right, in [0, 1]; 0 without an answer
    refusal: float  # how surely there is no digit, in [0, 1]
    seconds: float  # from the file to the answer
    reading: Reading | None = None  # all that was read, for pictures that were read as photos

    @property
    def is_right(self) -> bool:
        """Whether all digits were read, and nothing else."""
        return self.text == self.truth


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
    """Return how often one of ``positive`` (n,) is higher than one of ``negative`` (m,), ties counting half.

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


@dataclass(frozen=True)
class ReadNumber:
    """A number that was read: on which picture, its digits, its confidence in [0, 1], and whether it stands there."""

    file: str
    value: str
    confidence: float
    is_right: bool


def numbers_of(answers: Iterable[Answer]) -> list[ReadNumber]:
    """Return the numbers of pictures that were read as photos, judged by ``judged``."""
    found = []
    for answer in answers:
        if answer.reading is None:
            continue
        lines = [[number.value for number in line.numbers] for line in answer.reading.lines]
        verdicts = judged(answer.truth.split(" "), lines)
        found += [
            ReadNumber(answer.file, number.value, number.confidence, is_right)
            for number, is_right in zip(answer.reading.numbers, verdicts, strict=True)
        ]
    return found


def judged(truth: Sequence[str], lines: Sequence[Sequence[str]]) -> list[bool]:
    """Return which numbers stand there.

    Truth tells the digits of lines, not where numbers end. So a number is right if its digits follow each other on a
    line of the truth, and the digits before and after them there were read as well. Where digits stand apart (three or
    more numbers on a line, each of one digit), a digit that was not read is held against none of them.

    Examples
    --------
    >>> judged(["2250"], [["2250"]]), judged(["2250"], [["225"]]), judged(["2250"], [["22", "50"]])
    ([True], [False], [True, True])
    >>> judged(["123", "45"], [["12", "3"], ["4"]])
    [True, True, False]
    """
    stands = "|".join(truth)
    places = aligned(stands, "|".join("".join(numbers) for numbers in lines))
    met = {place for place in places if place is not None}
    verdicts, start = [], 0
    for numbers in lines:
        apart = len(numbers) >= 3 and all(len(number) == 1 for number in numbers)
        for number in numbers:
            own = places[start : start + len(number)]
            start += len(number)
            first = own[0]
            is_right = first is not None and own == list(range(first, first + len(number)))
            if is_right and first is not None:
                last = first + len(number)
                is_right = stands[first:last] == number
                around = [place for place in (first - 1, last) if 0 <= place < len(stands) and stands[place] != "|"]
                is_right = is_right and (apart or all(place in met for place in around))
            verdicts.append(is_right)
        start += 1  # the line's end
    return verdicts


def trust(answers: Sequence[Answer]) -> dict[str, Any]:
    """Return the reliability of the numbers read on all these pictures, and what was read where nothing stands."""
    numbers = numbers_of(answers)
    bins = []
    for low, high in itertools.pairwise(BOUNDS):
        within = [n for n in numbers if low <= n.confidence < high or (high == 1.0 and n.confidence == 1.0)]
        told: dict[str, Any] = {"low": low, "high": high, "n": len(within)}
        if within:
            told |= {"confidence": sum(number.confidence for number in within) / len(within)} | _right(within)
        bins.append(told)
    claims = []
    for least in CLAIMS:
        sure = [number for number in numbers if number.confidence >= least]
        claims.append({"least": least, "n": len(sure)} | (_right(sure) if sure else {}))
    empty = [
        digit
        for answer in answers
        if answer.reading is not None and not answer.truth
        for digit in answer.reading.digits
    ]
    return {
        "n": len(numbers),
        "bins": bins,
        "claims": claims,
        "n_where_nothing_stands": len(empty),
        "n_certain_where_nothing_stands": sum(digit.confidence >= CERTAIN for digit in empty),
        "n_certain_extra": sum(_certain_extra(answer) for answer in answers if answer.truth),
        "sure_and_wrong": [
            asdict(number)
            for number in sorted(numbers, key=lambda number: -number.confidence)
            if number.confidence >= 0.99 and not number.is_right
        ],
    }


def _right(numbers: Sequence[ReadNumber]) -> dict[str, Any]:
    return share(sum(number.is_right for number in numbers), len(numbers))


def _certain_extra(answer: Answer) -> int:
    """How many digits are certain that stand beside those of the truth."""
    if answer.reading is None:
        return 0
    digits = answer.reading.digits
    places = aligned(answer.truth.replace(" ", ""), "".join(str(digit.value) for digit in digits))
    return sum(place is None and digit.confidence >= CERTAIN for place, digit in zip(places, digits, strict=True))


def bars_of(name: str) -> list[tuple[str, str, float]]:
    """Return what is asked of a folder: answered in this way, this measure is at least (``extra``: at most) so much."""
    return [tuple(bar) for bar in KNOWN["folders"].get(name, {}).get("bars", ())]


def verdicts(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each bar that was measured: what, asked, reached, and whether that is enough."""
    rows = []
    entries = {(entry["name"], entry["way"]): entry for entry in result["entries"]}
    for name, way, measure, asked in ((folder, *bar) for folder in KNOWN["folders"] for bar in bars_of(folder)):
        if (entry := entries.get((name, way))) is None:
            continue
        what = f"{name}, {measure}" + (", as one digit" if way == "digit" else "")
        if measure == "extra":
            reached = entry["digits"]["n_extra"]
            rows.append(_row(what, f"<= {asked:g}", str(reached), reached <= asked))
        else:
            found = entry[measure]
            reached = f"{100 * found['share']:.1f} % ({found['n_right']} of {found['n']})"
            rows.append(_row(what, f">= {100 * asked:g} %", reached, found["share"] >= asked))
    for number in dict.fromkeys(row["case"] for row in result["cases"]):
        right = [row["is_right"] for row in result["cases"] if row["case"] == number]
        rows.append(_row(f"case {number}", "all", f"{sum(right)} of {len(right)}", all(right)))
    trust = result["trust"]
    claim = next(claim for claim in trust["claims"] if claim["least"] == 0.99)
    if claim["n"]:
        reached = f"{100 * claim['share']:.2f} % ({claim['n_right']} of {claim['n']})"
        asked = f">= {100 * TRUSTED:g} %"
        rows.append(_row("numbers that claim 99 %, right", asked, reached, claim["share"] >= TRUSTED))
    n_certain = trust["n_certain_where_nothing_stands"]
    told = f"{n_certain} of {trust['n_where_nothing_stands']} read there"
    rows.append(_row("read at 99.9 % where nothing stands", "none", told, n_certain == 0))
    return rows


def _row(what: str, asked: str, reached: str, is_reached: bool) -> dict[str, Any]:
    return {"what": what, "asked": asked, "reached": reached, "is_reached": is_reached}
