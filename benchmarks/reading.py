"""How well does digitlab read? Any folders of pictures with a ``truth.tsv``, scored in one run.

    python benchmarks/reading.py FOLDER... [--cases DIR] [--quick] [--jobs 2] [--check]
        [--model RUN] [--out reading.json] [--against earlier.json] [--pictures DIR] [--failed] [--publish]

Prints the accuracy of digits and of whole pictures with 95 % intervals, what was refused, whether confidence can be
trusted, and which of the bars in ``reading.toml`` are reached; ``--check`` makes the exit code 1 where one is not.
``--quick`` answers at most 100 pictures a folder, in the ways that have a bar. ``--out`` keeps all figures as JSON,
``--against`` tells what became right or wrong since, ``--publish`` makes docs/measurements/reading.md from them, and
``--pictures`` writes sheets of what failed, with what was read drawn on the photos. Columns of ``truth.tsv``: see
``reading_folders.py``; files beside the folders are passed over.

Pictures of one digit are answered twice: as one digit (``Reader.read_digit``, the way of ``digitlab predict``) and as a
photo (``Reader.read``, the way of ``digitlab read``). ``--cases`` asks the situations of ``reading.toml`` as well.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from digitlab.errors import DigitlabError
from digitlab.reading.reader import Reader
from digitlab.reading.reading import ReadingOptions
from digitlab.training.keeping import environment
from measuring import say, write_json
from reading_folders import WAYS, Asker, Item, Truth, TruthError, asking, measure_cases, read_truth
from reading_page import failures_image, figures, may_be_shown, publish, write_sheet
from reading_scores import Answer, area_under_roc, bars_of, refused_at, score, trust, verdicts

#: Pictures a folder with ``--quick``; more where a hundred would hide what is asked for.
QUICK = 100
QUICK_OF = {"kaggle_90x140": 400}
#: Pictures of a folder or kind on a sheet of the documents.
MOST_SHOWN = 12

#: Writes sheets of what failed: name, way, answers, and the photos by the answers' file.
Writer = Callable[[str, str, Sequence[Answer], Mapping[str, Any]], None]


def part_of(truth: Truth, most: int) -> tuple[Item, ...]:
    """Return pictures at even steps: the same in every run, and of every kind where files are sorted by kind."""
    n = min(len(truth.items), most)
    return tuple(truth.items[k * len(truth.items) // n] for k in range(n))


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


def measure(
    truths: Sequence[Truth], ask: Asker, write: Writer, *, quick: bool = False, most: int | None = None
) -> dict[str, Any]:
    """Answer and score all folders, ``most`` pictures of each; a line each tells how far it is."""
    load = os.getloadavg()[0]
    entries: list[dict[str, Any]] = []
    as_digits: dict[str, list[Answer]] = {}
    as_photos: list[Answer] = []
    for truth in truths:
        with_bars = {way for way, _, _ in bars_of(truth.name)}
        items = part_of(truth, most or (QUICK_OF.get(truth.name, QUICK) if quick else len(truth.items)))
        for way in WAYS[truth.kind]:
            if quick and with_bars and way not in with_bars:
                continue
            began = time.perf_counter()
            answers = ask(items, way)
            entries.append({"name": truth.name, "kind": truth.kind, "way": way} | score(answers))
            wrong = [answer for answer in answers if not answer.is_right]
            entries[-1]["failed"] = [
                {"file": answer.file, "truth": answer.told, "read": answer.text} for answer in wrong
            ]
            if way == "digit":
                as_digits[truth.name] = answers
            else:
                as_photos += answers
            write(truth.name, way, answers, {item.path.name: item.path for item in items})
            seconds = time.perf_counter() - began
            say(f"{truth.name}, {way}: {len(answers) - len(wrong)} of {len(answers)} right, {seconds:.1f} s")
    return {
        "entries": entries,
        "refusals": refusals(as_digits),
        "trust": trust(as_photos),
        "min_confidence": ReadingOptions().min_confidence,
        "load": load,
        "environment": environment(os.cpu_count() or 1),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def writer(pictures: Path | None, shown: list[dict[str, Any]] | None) -> Writer:
    """Return what writes sheets of what failed: into a folder, and of what may be shown into docs/images."""

    def write(name: str, way: str, answers: Sequence[Answer], photos: Mapping[str, Any]) -> None:
        if pictures is not None:
            write_sheet(answers, photos, pictures / f"{name}-{way}.png")
        if shown is None or way == "digit":
            return
        free = [answer for answer in answers if may_be_shown(name, answer.file)]
        n_wrong = write_sheet(free, photos, failures_image(name), n_most=MOST_SHOWN)
        if n_wrong:
            shown.append({"name": name, "n": len(free), "n_wrong": n_wrong})

    return write


def failed(result: dict[str, Any]) -> str:
    """Return what was read wrongly, a line each."""
    lines = [
        f"{entry['name']}, {entry['way']}: {wrong['file']}: {wrong['truth']} -> {wrong['read'] or 'nothing'}"
        for entry in result["entries"]
        for wrong in entry["failed"]
    ]
    lines += [
        f"case {row['case']}: {row['file']}, {row['ask']}: {row['right']} -> {row['read'] or 'nothing'}"
        for row in result["cases"]
        if not row["is_right"]
    ]
    return "\n".join(lines)


def changed(before: dict[str, Any], after: dict[str, Any]) -> str:
    """Return which pictures of both measurements became right (+) or wrong (-), a line each."""
    lines = []
    old = {(entry["name"], entry["way"]): entry for entry in before["entries"]}
    for entry in after["entries"]:
        known = old.get((entry["name"], entry["way"]))
        if known is None or known["n"] != entry["n"]:
            continue
        was, now = ({wrong["file"]: wrong for wrong in part["failed"]} for part in (known, entry))
        for file in sorted(was.keys() ^ now.keys()):
            sign, wrong = ("-", now[file]) if file in now else ("+", was[file])
            lines.append(f"{sign} {entry['name']}, {entry['way']}: {file}: {wrong['truth']}, wrongly {wrong['read']!r}")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("folders", type=Path, nargs="+", metavar="FOLDER", help="pictures and a truth.tsv")
    add("--cases", type=Path, metavar="DIR", help="a folder of cases to ask as well")
    add("--model", help="a run or a .safetensors file instead of the shipped reader")
    add("--quick", action="store_true", help="at most 100 pictures a folder, in the ways with a bar")
    add("--jobs", type=int, default=1, metavar="N", help="processes, one core each (default 1, all cores)")
    add("--most", type=int, metavar="N", help="at most so many pictures a folder")
    add("--check", action="store_true", help="exit code 1 where a bar is not reached")
    add("--failed", action="store_true", help="list what was read wrongly")
    add("--against", type=Path, metavar="JSON", help="list what changed since an earlier --out")
    add("--out", type=Path, help="where to write the figures as JSON")
    add("--pictures", type=Path, metavar="DIR", help="where to write sheets of what failed")
    add("--publish", action="store_true", help="make docs/measurements/reading.md of it")
    options = parser.parse_args(argv)
    before = json.loads(options.against.read_text("utf-8")) if options.against else None
    try:
        truths = [read_truth(folder) for folder in options.folders if not folder.is_file()]
        reader = Reader(options.model)
    except (TruthError, DigitlabError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    shown: list[dict[str, Any]] = []
    write = writer(options.pictures, shown if options.publish else None)
    with asking(reader, options.model, options.jobs) as ask:
        result = measure(truths, ask, write, quick=options.quick, most=options.most)
    switches = [truth.name for truth in truths] + ["--quick"] * options.quick
    switches += [f"--most {options.most}"] if options.most else []
    switches += ["--cases cases"] if options.cases else []
    result |= {
        "shown": shown,
        "cases": measure_cases(options.cases, reader) if options.cases else [],
        "model": Path(options.model).name if options.model else "the shipped reader",
        "refuse_above": reader.answers.refuse_above,
        "command": f"python benchmarks/reading.py {' '.join(switches)}",
    }
    result["bars"] = verdicts(result)
    if options.out is not None:
        write_json(options.out, result)
    if options.publish:
        publish(result)
    print(figures(result))
    if options.failed:
        print(f"\n## Read wrongly\n\n{failed(result)}")
    if before is not None:
        print(f"\n## Changed\n\n{changed(before, result)}")
    return int(options.check and not all(row["is_reached"] for row in result["bars"]))


if __name__ == "__main__":
    sys.exit(main())
