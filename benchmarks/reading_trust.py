"""Can a number's confidence be trusted? Of the numbers that claim so much, how many are right."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from reading_scores import Answer, aligned, share

#: Bounds of the ten bins of confidence: narrow where most numbers are, and where it matters.
BOUNDS = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)
#: Claims that are told by themselves: of the numbers that claim at least so much, how many are right.
CLAIMS = (0.9, 0.99, 0.999)
#: Where nothing stands, nothing is to be read as surely as this.
CERTAIN = 0.999


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
        truths = [text.split(" ") for text in (answer.truth, *answer.also)]
        verdicts = max((judged(truth, lines) for truth in truths), key=sum)
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

    Parameters
    ----------
    truth : sequence of str
        The digits of each line.
    lines : sequence of sequence of str
        The numbers that were read, line by line.

    Returns
    -------
    list of bool
        One a number, in reading order.

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
        if answer.reading is not None and not answer.truth and "" not in answer.also
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
