"""Fit how three opinions and their surroundings make a confidence, on composed pages of MNIST's validation digits.

Prints the constants of ``reading/confidence.py`` and, for pages that were not fitted on, how many of the digits and
numbers that claim so much are right.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.data.mnist import MnistData
from digitlab.reading import confidence
from digitlab.reading.page import read_page
from digitlab.reading.photo import open_photo
from digitlab.reading.reader import Reader
from digitlab.reading.reading import Box, ReadingOptions
from digitlab.training.pages import PracticeSheet, compose_sheet, make_bank

_SEED = 2_026
_BINS = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1.0001)
_LEAST = 1e-5


@dataclass(frozen=True, eq=False)
class Seen:
    """The candidates of some pages: evidence, whether each is a digit, opinions on which (n, 3, 10), the truth."""

    evidence: NDArray[np.float64]
    is_digit: NDArray[np.bool_]
    opinions: NDArray[np.float64]
    values: NDArray[np.int64]


def matched(sheet: PracticeSheet, way: Any) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Say of each candidate which digit it is, -1 for none, and whether it counts: a digit's second one does not."""
    marks = way.marks
    truth = np.full(len(marks), -1)
    counts = np.ones(len(marks), np.bool_)
    for sign in (sign for line in sheet.lines for number in line for sign in number if sign.text.isdigit()):
        left, top, right, bottom = sign.box
        wide, high = right - left, bottom - top
        near = (np.abs(marks.x - (left + right) / 2) < 0.35 * max(wide, 0.5 * high)) & (
            np.abs(marks.y - (top + bottom) / 2) < 0.3 * high
        )
        near &= (marks.height > 0.55 * high) & (marks.height < 1.8 * high)
        found = np.flatnonzero(near & (truth < 0))
        if len(found):
            best = found[np.argmax(marks.p[found])]
            truth[best] = int(sign.text)
            counts[found[found != best]] = False
    return truth, counts


def look(indices: range, reader: Reader, bank: Any) -> tuple[Seen, list[tuple[float, bool]]]:
    """Read sheets; return their candidates, and how sure of each number the reader is, with whether it is right."""
    options = ReadingOptions(turn=False, straighten=False)
    parts: list[list[NDArray[Any]]] = [[], [], [], []]
    numbers: list[tuple[float, bool]] = []
    for index in indices:
        sheet = compose_sheet(bank, index, seed=_SEED)
        reading, way = read_page(open_photo(sheet.image), options, reader.answers)
        truth, counts = matched(sheet, way)
        chosen = counts & (way.marks.p > 0.15)
        opinions = np.stack([way.marks.answers, way.said[:, :10], way.again[:, :10]], 1)
        evidence = confidence.evidence(way.marks, way.said, way.again)
        for part, values in zip(parts, (evidence, truth >= 0, np.maximum(opinions, _LEAST), truth), strict=True):
            part.append(values[chosen])
        signs = [sign for line in sheet.lines for number in line for sign in number if sign.text.isdigit()]
        for number in reading.numbers:
            numbers.append((number.confidence, _is_right([digit.box for digit in number.digits], number.value, signs)))
        print(f"\r{index - indices[0] + 1} of {len(indices)} sheets", end="", file=sys.stderr)
    print(file=sys.stderr)
    return Seen(*(np.concatenate(part) for part in parts)), numbers


def _is_right(boxes: list[Box], value: str, signs: list[Any]) -> bool:
    """Whether every digit of a number stands where a digit of its value does, and none between them is missed."""
    found = []
    for box, digit in zip(boxes, value, strict=True):
        x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
        at = [k for k, sign in enumerate(signs) if sign.box[0] <= x <= sign.box[2] and sign.box[1] <= y <= sign.box[3]]
        right = [k for k in at if signs[k].text == digit]
        if not right:
            return False
        found.append(right[0])
    return found == list(range(found[0], found[0] + len(found)))


def logistic(evidence: NDArray[np.float64], truth: NDArray[np.bool_], ridge: float = 1.0) -> NDArray[np.float64]:
    """Fit powers and a constant by Newton's method: what is most probable, with a little weight on small powers."""
    columns = np.concatenate([evidence, np.ones((len(evidence), 1))], 1)
    powers = np.zeros(columns.shape[1])
    penalty = np.full(len(powers), ridge)
    penalty[-1] = 0
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(columns @ powers, -30, 30)))
        gradient = columns.T @ (p - truth) + penalty * powers
        hessian = (columns * (p * (1 - p))[:, None]).T @ columns + np.diag(penalty + 1e-9)
        step = np.linalg.solve(hessian, gradient)
        powers -= step
        if np.abs(step).max() < 1e-8:
            break
    return powers


def which_powers(seen: Seen) -> tuple[float, ...]:
    """Find the powers of the opinions on which digit it is, by the likelihood of what it is."""
    digits = seen.is_digit
    logs, truth = np.log(seen.opinions[digits]), seen.values[digits]
    steps = np.arange(0, 1.25, 0.1)

    def loss(powers: tuple[float, ...]) -> float:
        both = np.tensordot(logs, np.array(powers), (1, 0))
        both -= both.max(1, keepdims=True)
        return float((np.log(np.exp(both).sum(1)) - both[np.arange(len(truth)), truth]).mean())

    best = min(itertools.product(steps, repeat=logs.shape[1]), key=loss)
    return tuple(round(float(power), 2) for power in best)


def table(claims: NDArray[np.float64], right: NDArray[np.bool_]) -> str:
    """Say how many of those that claim so much are right."""
    lines = []
    for low, high in pairwise(_BINS):
        inside = (claims >= low) & (claims < high)
        if inside.any():
            lines.append(f"  {low:.3f} to {min(high, 1):.3f}: {right[inside].mean():8.4f} right of {inside.sum()}")
    sure = claims >= 0.99
    if sure.any():
        lines.append(f"  0.99 and more: {right[sure].mean():.4f} right of {sure.sum()}")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Fit, print, and check on other sheets."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sheets", type=int, default=120, help="to fit on; half as many to check on")
    parser.add_argument("--model", help="a run or a .safetensors file instead of the shipped reader")
    options = parser.parse_args(argv)
    reader = Reader(options.model)
    bank = make_bank(MnistData.load().validation)
    seen, _ = look(range(options.sheets), reader, bank)
    confidence._POWERS = tuple(np.round(logistic(seen.evidence, seen.is_digit), 3))
    # What surrounds a mark is judged by the powers, so that they are fitted twice.
    confidence._WHICH = which_powers(seen)
    confidence._NUMBER = (1.0, 0.0)
    seen, numbers = look(range(options.sheets), reader, bank)
    confidence._POWERS = tuple(np.round(logistic(seen.evidence, seen.is_digit), 3))
    claims, right = np.array([c for c, _ in numbers]), np.array([r for _, r in numbers])
    kept = np.clip(claims, 1e-4, 1 - 1e-4)
    scale, constant = logistic(np.log(kept / (1 - kept))[:, None], right, 0.1)
    confidence._NUMBER = (round(float(scale), 3), round(float(constant), 3))
    print(f"_POWERS = {tuple(float(p) for p in confidence._POWERS)}")
    print(f"_WHICH = {confidence._WHICH}")
    print(f"_NUMBER = {confidence._NUMBER}")
    print(f"{seen.is_digit.sum()} digits and {(~seen.is_digit).sum()} others on {options.sheets} sheets")
    seen, numbers = look(range(options.sheets, options.sheets + options.sheets // 2), reader, bank)
    odds = confidence.digit_odds(seen.evidence)
    print("On other sheets: a digit at all")
    print(table(1 / (1 + np.exp(-odds)), seen.is_digit))
    print("On other sheets: a number as a whole")
    print(table(np.array([c for c, _ in numbers]), np.array([r for _, r in numbers])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
