"""How well does digitlab read? Any folders of pictures with a ``truth.tsv``, scored in one run.

    python benchmarks/reading.py FOLDER... [--model RUN] [--out reading.json] [--pictures DIR]

Prints the accuracy of digits and of whole numbers with 95 % intervals, what was refused, coverage against accuracy and
seconds a picture. ``--out`` keeps all figures as JSON, ``--publish`` makes docs/measurements/reading.md from them, and
``--pictures`` writes a sheet of what failed. Columns of ``truth.tsv``: see ``reading_truth.py``.

Pictures of one digit are answered twice: as one digit (``Reader.read_digit``, the way of ``digitlab predict``) and as a
photo (``Reader.read``, the way of ``digitlab read``).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from digitlab.errors import DigitlabError
from digitlab.reading.options import ReadingOptions
from digitlab.reading.reader import Reader
from digitlab.reading.reading import Reading
from digitlab.training.environment import environment
from reading_page import figures, publish
from reading_scores import Answer, area_under_roc, refused_at, score
from reading_sheet import write_sheet
from reading_truth import Item, Truth, TruthError, read_truth

#: The ways to answer, by the kind of truth.
WAYS = {"digit": ("digit", "photo"), "letter": ("digit", "photo"), "digits": ("photo",), "lines": ("photo",)}


def as_digit(reader: Reader, item: Item) -> tuple[str, float, float]:
    """Answer a picture of one digit; return what was read, how surely, and how surely it is none."""
    probabilities, p_not_a_digit = reader.read_digit(item.path)
    if p_not_a_digit > reader.answers.refuse_above:
        return "", 0.0, p_not_a_digit
    best = int(probabilities.argmax())
    return str(best), float(probabilities[best]) * (1 - p_not_a_digit), p_not_a_digit


def as_photo(reader: Reader, item: Item) -> tuple[str, float, float]:
    """Read a picture as a photo of anything."""
    reading = reader.read(item.path, ReadingOptions())
    confidence = 1.0
    for number in reading.numbers:
        confidence *= number.confidence
    surest = max((digit.confidence for digit in reading.digits), default=0.0)
    return text_of(reading), confidence if reading.numbers else 0.0, 1 - surest


def text_of(reading: Reading) -> str:
    """Return the digits of a reading, with a space between lines; gaps within a line do not count."""
    return " ".join(line.text.replace(" ", "") for line in reading.lines)


def answer_all(truth: Truth, reader: Reader, way: str) -> list[Answer]:
    """Answer all pictures of a folder."""
    ask: Callable[[Reader, Item], tuple[str, float, float]] = {"digit": as_digit, "photo": as_photo}[way]
    ask(reader, truth.items[0])  # kernels are loaded here and not within what is measured
    answers = []
    for item in truth.items:
        began = time.perf_counter()
        try:
            text, confidence, refusal = ask(reader, item)
        except DigitlabError as error:
            print(f"{item.path.name}: {error}", file=sys.stderr)
            text, confidence, refusal = "", 0.0, 1.0
        seconds = time.perf_counter() - began
        answers.append(Answer(item.path.name, item.digits, text, item.told, confidence, refusal, seconds))
    return answers


def refusals(answered: dict[str, list[Answer]]) -> list[dict[str, Any]]:
    """Return the area under the ROC of every folder with something to refuse against every folder with digits."""
    found = []
    for refused_name, refused in answered.items():
        scores = [answer.refusal for answer in refused if not answer.truth]
        for digits_name, digits in answered.items():
            others = [answer.refusal for answer in digits if answer.truth]
            if scores and others:
                pair = {"refuse": refused_name, "n_refuse": len(scores), "keep": digits_name, "n_keep": len(others)}
                area = area_under_roc(scores, others)
                found.append(pair | {"area": area, "refused_at_1": refused_at(0.01, scores, others)})
    return found


def measure(truths: Sequence[Truth], reader: Reader, model: str, pictures: Path | None) -> dict[str, Any]:
    """Answer and score all folders."""
    load = os.getloadavg()[0]
    entries: list[dict[str, Any]] = []
    as_digits: dict[str, list[Answer]] = {}
    for truth in truths:
        for way in WAYS[truth.kind]:
            answers = answer_all(truth, reader, way)
            entries.append({"name": truth.name, "kind": truth.kind, "way": way} | score(answers))
            entries[-1]["failed"] = [
                {"file": answer.file, "truth": answer.told, "read": answer.text}
                for answer in answers
                if not answer.is_right
            ]
            if way == "digit":
                as_digits[truth.name] = answers
            if pictures is not None:
                paths = {item.path.name: item.path for item in truth.items}
                write_sheet(answers, paths, pictures / f"{truth.name}-{way}.png")
    names = " ".join(truth.name for truth in truths)
    return {
        "entries": entries,
        "refusals": refusals(as_digits),
        "model": model,
        "refuse_above": reader.answers.refuse_above,
        "min_confidence": ReadingOptions().min_confidence,
        "load": load,
        "environment": environment(os.cpu_count() or 1),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": f"python benchmarks/reading.py {names}",
    }


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="pictures and a truth.tsv")
    parser.add_argument("--model", help="a run or a .safetensors file instead of the shipped reader")
    parser.add_argument("--out", type=Path, help="where to write the figures as JSON")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="where to write sheets of what failed")
    parser.add_argument("--publish", action="store_true", help="make docs/measurements/reading.md of it")
    options = parser.parse_args(argv)
    try:
        truths = [read_truth(folder) for folder in options.folders]
        reader = Reader(options.model)
    except (TruthError, DigitlabError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    model = "the shipped reader" if options.model is None else Path(options.model).name
    result = measure(truths, reader, model, options.pictures)
    if options.out is not None:
        options.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    if options.publish:
        publish(result)
    print(figures(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
