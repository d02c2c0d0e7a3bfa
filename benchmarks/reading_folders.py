"""What is read: folders of pictures with a ``truth.tsv``, and situations that people report.

The first column is ``file``; the second names the kind of truth:

=========  =======================================================================================
``digit``  one digit 0-9, or ``blank`` where nothing stands
``digits``  the digits of one number, in order
``lines``  the lines of a page, joined by ``|``
``letter``  what no digit looks like: to be refused
=========  =======================================================================================

Pictures are answered as one digit or as photos, in one process or several.
"""

from __future__ import annotations

import csv
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from digitlab.errors import DigitlabError
from digitlab.reading.reader import Reader
from digitlab.reading.reading import Reading, ReadingOptions
from reading_scores import KNOWN, Answer

KINDS = ("digit", "digits", "lines", "letter")
TRUTH = "truth.tsv"
BLANK = "blank"


class TruthError(ValueError):
    """A folder has no truth that can be used; the message says what to do."""


@dataclass(frozen=True)
class Item:
    """One picture: its file, the digits on it (a space between lines, empty for none), and the truth as it is told."""

    path: Path
    digits: str
    told: str


@dataclass(frozen=True)
class Truth:
    """A folder: its name, the kind of its truth, and its pictures."""

    name: str
    kind: str
    items: tuple[Item, ...]


def read_truth(folder: Path) -> Truth:
    """Read a folder's ``truth.tsv``; every file in it must be there.

    Raises
    ------
    TruthError
        In a sentence.
    """
    path = folder / TRUTH
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file, delimiter="\t"))
    except (OSError, UnicodeDecodeError) as error:
        raise TruthError(f"{path} cannot be read: {error}. A folder to score holds pictures and {TRUTH}.") from None
    if not rows or rows[0][:1] != ["file"] or len(rows[0]) != 2 or rows[0][1] not in KINDS:
        raise TruthError(f"{path} begins with {rows[:1]}; the headings are 'file' and one of {', '.join(KINDS)}.")
    kind = rows[0][1]
    items = []
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != 2:
            raise TruthError(f"Line {number} of {path} has {len(row)} columns; 2 were expected.")
        if not (folder / row[0]).is_file():
            raise TruthError(f"{path} names {row[0]}, and there is no such file. Take the line out, or add the file.")
        digits = _digits(kind, row[1])
        if not (digits.replace(" ", "") or "0").isdecimal() or (kind == "digit" and len(digits) > 1):
            raise TruthError(f"Line {number} of {path} says {row[1]!r}; that is no {kind}.")
        items.append(Item(folder / row[0], digits, row[1]))
    if not items:
        raise TruthError(f"{path} names no files. Add a line for each picture.")
    return Truth(folder.resolve().name, kind, tuple(items))


def _digits(kind: str, told: str) -> str:
    if kind == "letter" or (kind == "digit" and told == BLANK):
        return ""
    return told.replace("|", " ") if kind == "lines" else told


#: The ways to answer, by the kind of truth.
WAYS = {"digit": ("digit", "photo"), "letter": ("digit", "photo"), "digits": ("photo",), "lines": ("photo",)}

#: Answers pictures in one way.
Asker = Callable[[Sequence[Item], str], list[Answer]]

_AT_ONCE = 4  # pictures that a process takes at a time

_own_reader: Reader  # of this process, where there are several


def text_of(reading: Reading) -> str:
    """Return the digits of a reading, a space between lines; gaps and separators within a line do not count."""
    return " ".join("".join(number.value for number in line.numbers) for line in reading.lines)


def answer_one(reader: Reader, item: Item, way: str) -> Answer:
    """Answer one picture; what cannot be opened is told, and no answer."""
    ask = {"digit": _as_digit, "photo": _as_photo}[way]
    began = time.perf_counter()
    try:
        text, confidence, refusal, reading = ask(reader, item)
    except DigitlabError as error:
        print(f"{item.path.name}: {error}", file=sys.stderr)
        text, confidence, refusal, reading = "", 0.0, 1.0, None
    seconds = time.perf_counter() - began
    return Answer(item.path.name, item.digits, text, item.told, confidence, refusal, seconds, reading)


def answer_all(reader: Reader, items: Sequence[Item], way: str) -> list[Answer]:
    """Answer pictures in this process."""
    answer_one(reader, items[0], way)  # kernels are loaded here and not within what is measured
    return [answer_one(reader, item, way) for item in items]


@contextmanager
def asking(reader: Reader, model: Any, n_processes: int) -> Iterator[Asker]:
    """Give what answers pictures: this process's reader, or several processes with one core and one reader each."""
    if n_processes == 1:
        yield lambda items, way: answer_all(reader, items, way)
        return
    context = multiprocessing.get_context("spawn")
    cores = context.SimpleQueue()
    for core in sorted(os.sched_getaffinity(0))[:n_processes]:
        cores.put(core)
    with ProcessPoolExecutor(n_processes, context, _begin, (model, cores)) as pool:

        def ask(items: Sequence[Item], way: str) -> list[Answer]:
            return list(pool.map(_answer, items, [way] * len(items), chunksize=_AT_ONCE))

        yield ask


def _begin(model: Any, cores: Any) -> None:
    """Take a core, so that the processes' threads do not wait for each other, and open a reader."""
    global _own_reader
    os.sched_setaffinity(0, {cores.get()})
    import cv2

    cv2.setNumThreads(1)
    _own_reader = Reader(model)


def _answer(item: Item, way: str) -> Answer:
    return answer_one(_own_reader, item, way)


def _as_digit(reader: Reader, item: Item) -> tuple[str, float, float, Reading | None]:
    """What was read on a picture of one digit, how surely, and how surely it is none."""
    probabilities, p_not_a_digit = reader.read_digit(item.path)
    if p_not_a_digit > reader.answers.refuse_above:
        return "", 0.0, p_not_a_digit, None
    best = int(probabilities.argmax())
    return str(best), float(probabilities[best]) * (1 - p_not_a_digit), p_not_a_digit, None


def _as_photo(reader: Reader, item: Item) -> tuple[str, float, float, Reading | None]:
    """What was read on a picture as on a photo of anything; as ``_as_digit``."""
    reading = reader.read(item.path, ReadingOptions())
    confidence = 1.0
    for number in reading.numbers:
        confidence *= number.confidence
    surest = max((digit.confidence for digit in reading.digits), default=0.0)
    return text_of(reading), confidence if reading.numbers else 0.0, 1 - surest, reading


def plain(reading: Reading) -> str:
    """Return numbers parted by spaces and lines by ``|``; separators are no digits."""
    return "|".join(" ".join(number.value for number in line.numbers) for line in reading.lines)


def predicted(reader: Reader, path: Path) -> str:
    """Return the answer to a picture of one digit, nothing where it is refused."""
    probabilities, p_not_a_digit = reader.read_digit(path)
    return "" if p_not_a_digit > reader.answers.refuse_above else str(int(probabilities.argmax()))


ASKS: dict[str, Callable[[Reader, Path], str]] = {
    "read": lambda reader, path: plain(reader.read(path)),
    "read --digits 4": lambda reader, path: plain(reader.read(path, ReadingOptions(digits=4))),
    "predict": predicted,
}


def measure_cases(folder: Path, reader: Reader) -> list[dict[str, Any]]:
    """Ask all cases of ``reading.toml`` that are in a folder; a row each: what is right, what was read.

    A case has a folder of its own there, whose name begins with its number.
    """
    rows = []
    for case, ask in ((each, ask) for each in KNOWN["cases"] for ask in each["ask"]):
        path = next(folder.glob(f"{case['number']}-*/{case['file']}"), None)
        if path is None:
            continue
        try:
            text = ASKS[ask](reader, path)
        except DigitlabError as error:
            text = f"error: {error}"
        told = " or ".join(repr(right) if right else "nothing" for right in case["right"])
        row = {"case": case["number"], "file": case["file"], "ask": ask, "right": told, "read": text}
        rows.append(row | {"is_right": text in case["right"]})
    return rows
