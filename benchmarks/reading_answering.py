"""Answering folders of pictures, as one digit or as photos, in one process or several."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

from digitlab.errors import DigitlabError
from digitlab.reading.options import ReadingOptions
from digitlab.reading.reader import Reader
from digitlab.reading.reading import Reading
from reading_scores import Answer
from reading_truth import Item

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
