"""Put what was measured between the marks ``<!-- generated:NAME -->``, and fill the contests' pages.

    python benchmarks/readme.py

The README has one table of three rows; the others are in ``docs/measurements/index.md``. Reads
``benchmarks/results/codelab.json``, and what else was measured; the contests and the roofline also become pages of
``docs/measurements``. Tests compare README and pages with what this would write.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import finder_page
import inference
import roofline
import startup
import time_to_accuracy
from codelab import readme_table
from measuring import PAGES, RESULTS, ROOT, read_json, write
from tables import markdown_table, mean_text, paired_ratio

README = ROOT / "README.md"
#: The page with all tables.
TABLES = PAGES / "index.md"

#: What is written from which JSON: the page, who makes it, and what the README calls it.
WRITTEN: dict[str, tuple[str, Callable[[dict[str, Any]], str], str]] = {
    "roofline": ("roofline.md", roofline.to_markdown, "kernels and peak"),
    "inference": ("inference.md", inference.to_markdown, "answering images"),
    "finder_page": ("finder-page.md", finder_page.to_markdown, "answering a page"),
    "startup": ("startup.md", startup.to_markdown, "whole processes"),
    "time_to_accuracy": ("time-to-accuracy.md", time_to_accuracy.to_markdown, "seconds to an accuracy"),
}
#: digitlab's other commands in the startup contest, which have a line of their own.
_KIN = {"digitlab-help": "`digitlab --help`", startup.FIRST: "`digitlab train`, the first run ever"}


def held() -> dict[str, dict[str, Any]]:
    """Return what has been measured, by the name of its JSON."""
    return {name: result for name in WRITTEN if (result := read_json(RESULTS / f"{name}.json"))}


def write_pages(results: dict[str, dict[str, Any]]) -> None:
    """Write the page of everything that has been measured."""
    for name, result in results.items():
        file, to_markdown, _ = WRITTEN[name]
        write(PAGES / file, to_markdown(result))


def bench_table(results: dict[str, dict[str, Any]]) -> str:
    """Return the table of what has been measured, a line a question; empty where nothing has."""
    rows_of = (
        ("roofline", _roofline_rows),
        ("inference", _inference_rows),
        ("finder_page", lambda result: _line(result, "page_ms", "a page of 1024 x 768 answered with maps", "ms", 0)),
        ("startup", _startup_rows),
        ("time_to_accuracy", _accuracy_rows),
    )
    rows = [row for name, rows in rows_of if name in results for row in rows(results[name])]
    if not rows:
        return ""
    links = ", ".join(f"[{w[2]}]({w[0]})" for name, w in WRITTEN.items() if name in results)
    table = markdown_table(["", "digitlab", "others, as a multiple of it"], rows)
    return f"{table}\n\nMedians, contestants in turn on the same cores; spread, versions and commands: {links}."


def _roofline_rows(result: dict[str, Any]) -> list[list[str]]:
    cores = result["cores"]
    networks = [entry["network"] for entry in result["entries"] if entry["name"] == roofline.BATCH]
    shares = {name: roofline.share(result, name, cores) for name in networks if name != "dense_baseline"}
    told = ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares.items())
    return [[f"training, share of the peak of {cores} cores", told, ""]]


def _inference_rows(result: dict[str, Any]) -> list[list[str]]:
    rows = []
    for key, title in inference.NETWORKS.items():
        rows += _line(result, f"{key}_images_per_s", f"test images answered, {title}", "images/s", 0)
        rows += _line(result, f"{key}_median_us", f"one image answered, {title}", "µs", 0)
    return rows


def _startup_rows(result: dict[str, Any]) -> list[list[str]]:
    rows = _line(result, "command_s", "`digitlab train`, whole process", "s", 1, without=tuple(_KIN))
    for entry in result["entries"]:
        if entry["name"] in _KIN and entry["n"]:
            rows.append([_KIN[entry["name"]], f"{entry['summary']['command_s']['median']:.2g} s", ""])
    return rows


def _accuracy_rows(result: dict[str, Any]) -> list[list[str]]:
    rows: list[list[str]] = []
    for entry in result["entries"]:
        if entry["name"].startswith("digitlab-") and entry["n"]:
            preset = entry["name"].removeprefix("digitlab-")
            # The published examples have no recipe of digitlab's to stand beside; they are told with the first preset.
            beside = [f"torch-{preset}", *([] if rows else time_to_accuracy.EXAMPLE_EPOCHS)]
            own = entry["summary"]["training_s"]["median"]
            others = [
                f"{other['title']} {ratio:.1f} x ({mean_text(other, 'test_accuracy')})"
                for other in result["entries"]
                if other["name"] in beside and (ratio := paired_ratio(other, entry, "training_s"))
            ]
            cell = f"{own:.1f} s, {mean_text(entry, 'test_accuracy')}"
            rows.append([f"training with `--preset {preset}`, test accuracy", cell, ", ".join(others)])
    return rows


def _line(
    result: dict[str, Any], key: str, what: str, unit: str, digits: int, without: Sequence[str] = ()
) -> list[list[str]]:
    """Return a row of the baseline's median and the others' ratios to it; none without a run of digitlab's."""
    baseline, *others = result["entries"]
    if not baseline["n"] or not baseline["name"].startswith("digitlab"):
        return []
    told = [
        f"{other['title']} {other['ratios'][key]['median']:.2f} x"
        for other in others
        if key in other["ratios"] and other["name"] not in without
    ]
    return [[what, f"{baseline['summary'][key]['median']:,.{digits}f} {unit}", ", ".join(told)]]


def first_table() -> str:
    """Return the README's table: time to learn, accuracy, photos read."""
    codelab, accuracy, reading = (
        read_json(RESULTS / f"{name}.json") for name in ("codelab", "time_to_accuracy", "reading")
    )
    (own, *others), machine = codelab["entries"], codelab["machine"]
    ratios = [
        f"{entry['title']} {entry['ratios']['training_s']['median']:.1f} times as long"
        for entry in others
        if "training_s" in entry["ratios"]
    ]
    learned = (
        f"**{own['summary']['training_s']['median']:.2f} s** for the codelab's run on {machine['cores']} cores of "
        f"{machine['cpu']}; {', '.join(ratios)}"
    )
    (entry,) = [entry for entry in accuracy["entries"] if entry["name"] == "digitlab-accurate"]
    reached = (
        f"**{mean_text(entry, 'test_accuracy')}** of MNIST's 10,000 test images after "
        f"{entry['summary']['training_s']['median']:.0f} s of `--preset accurate`; mean of {entry['n']} seeds"
    )
    # Pictures of single digits are asked as such, too; they are no photos of numbers.
    single = {entry["name"] for entry in reading["entries"] if entry["way"] == "digit"}
    photos = [entry for entry in reading["entries"] if "digits" in entry and entry["name"] not in single]
    n, whole = (sum(entry["whole"][key] for entry in photos) for key in ("n", "n_right"))
    n_digits, right, extra = (sum(entry["digits"][key] for entry in photos) for key in ("n", "n_right", "n_extra"))
    read = (
        f"**{right / n_digits:.1%}** of {n_digits:,} digits that people wrote on {n:,} photos and scans, and {extra:,} "
        f"read where none stands; {whole:,} without a mistake, **{n - whole:,} ({1 - whole / n:.0%}) with one or more**"
    )
    rows = [["time to learn", learned], ["accuracy", reached], ["photos read", read]]
    return markdown_table(["", "measured"], [[name, re.sub(r"(\d)%", r"\1 %", text)] for name, text in rows])


def filled(readme: str, tables: dict[str, str]) -> str:
    """Return a text with every marked block replaced."""
    for name, table in tables.items():
        begin, end = f"<!-- generated:{name} -->", f"<!-- /generated:{name} -->"
        block = re.compile(rf"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        readme = block.sub(lambda _, text=f"{begin}\n{table}\n{end}": text, readme)
    return readme


def write_first() -> None:
    """Write the README's table."""
    write(README, filled(README.read_text("utf-8"), {"first": first_table()}))


def main() -> None:
    """Rewrite README, tables and pages in place."""
    results = held()
    tables = {"codelab": readme_table(read_json(RESULTS / "codelab.json")), "bench": bench_table(results)}
    write(TABLES, filled(TABLES.read_text("utf-8"), tables))
    write_first()
    write_pages(results)


if __name__ == "__main__":
    main()
