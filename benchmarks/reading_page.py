"""The page docs/measurements/reading.md, made from benchmarks/results/reading.json and reading_speed.json.

    python benchmarks/reading_page.py

makes page, charts and the README's table anew from what was measured, for instance when words were changed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from digitlab.evaluation.svg import Dot, Trace, spread_chart
from reading_origins import LIMITS, ORIGINS, README_ROWS, REASONS, SHOWN
from reading_scores import COVERAGES
from reading_tables import figures, share
from readme import README, filled
from tables import markdown_table

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "reading.json"
SPEED = ROOT / "benchmarks" / "results" / "reading_speed.json"
PAGE = ROOT / "docs" / "measurements" / "reading.md"
IMAGES = ROOT / "docs" / "images"
COVERAGE = IMAGES / "reading-coverage.svg"
RELIABILITY = IMAGES / "reading-reliability.svg"

_QUIET_LOAD = 0.5
_LEAST_DRAWN = 20  # a line through fewer pictures would tell nothing
_LEAST_OF_BIN = 5  # and so would a dot of fewer numbers


def page(result: dict[str, Any], speed: dict[str, Any] | None) -> str:
    """Return docs/measurements/reading.md."""
    machine = result["environment"]
    parts = [
        "# Reading what people write",
        "How well digitlab reads pictures that it has not learned from: its networks have learned from MNIST's "
        f"training images and from what digitlab draws itself. Read with {result['model']}; as one digit, a mark is "
        f"refused where *not a digit* has a probability above {result['refuse_above']:g}, on a photo also where its "
        f"best digit has less than {result['min_confidence']:g}. In brackets: 95 % Wilson intervals. These pictures "
        "were looked at while the way was built, so others may be read less well; none of them is part of digitlab.",
        _origins(result),
        figures(result),
        f"![Accuracy over coverage](../images/{COVERAGE.name})",
    ]
    if result["trust"]["n"]:
        parts.append(f"![How many of the numbers that claim so much are right](../images/{RELIABILITY.name})")
    missed = [bar["what"] for bar in result["bars"] if not bar["is_reached"]]
    if missed:
        parts += ["## Why some is not reached", "\n".join(f"- *{what}*: {_reason(what)}" for what in missed)]
    if speed is not None:
        parts += ["## Speed", _speed(speed)]
    parts += ["## Known limits", LIMITS]
    if result["shown"]:
        parts += [
            "## What is read wrongly",
            "The surest mistakes first. Green: right; red: wrong; violet: read where nothing stands; yellow: refused. "
            "Below each: what stands there, what was read, and its confidence. Shown are pictures whose licence allows "
            "it, and composed ones.",
        ]
    parts += [_shown(shown) for shown in result["shown"]]
    parts.append(
        f"digitlab {machine['digitlab']}, Python {machine['python']}, {machine['threads']} threads of "
        f"{machine['processor']}. Made by `{result['command']}` on {result['date'][:10]}; with folders of your own, "
        "the same command tells how well yours are read." + busy(result["load"], machine["threads"])
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def coverage_chart(result: dict[str, Any]) -> str:
    """Return accuracy over coverage as SVG: a line a folder, read as photos."""
    entries = [entry for entry in result["entries"] if "coverage" in entry and entry["way"] == "photo"]
    traces = [
        Trace(
            entry["name"],
            [
                Dot(100 * point["coverage"], *(100 * value for value in (point["share"], *point["interval"])))
                for point in entry["coverage"]
            ],
            joined=True,
        )
        for entry in entries
        if entry["n"] >= _LEAST_DRAWN
    ]
    lowest = min((dot.min for trace in traces for dot in trace.dots), default=0.0)
    return spread_chart(
        traces,
        x_range=(100.0 * min(COVERAGES), 100.0),
        y_range=(lowest, 100.0),
        title="The surest answers first",
        x_label="Pictures answered, % of all",
        y_label="Right as a whole, %",
    )


def reliability_chart(result: dict[str, Any]) -> str:
    """Return what numbers claim against how many of them are right, as SVG; on the dashed line both agree."""
    dots = [
        Dot(
            *(100 * value for value in (part["confidence"], part["share"], *part["interval"])), label=f"n = {part['n']}"
        )
        for part in result["trust"]["bins"]
        if part["n"] >= _LEAST_OF_BIN
    ]
    ends = [Dot.on_line(0.0, 0.0), Dot.on_line(100.0, 100.0)]
    return spread_chart(
        [Trace("numbers read on photos", dots), Trace("as claimed", ends, measured=False)],
        x_range=(0.0, 100.0),
        y_range=(0.0, 100.0),
        title="What numbers claim, and how many are right",
        x_label="Confidence, %",
        y_label="Right, %",
    )


def readme_table(result: dict[str, Any], speed: dict[str, Any] | None) -> str:
    """Return the README's short table."""
    entries = {(entry["name"], entry["way"]): entry for entry in result["entries"]}
    rows = []
    for name, way, measure in README_ROWS:
        entry = entries.get((name, way))
        if entry is not None:
            told = {"whole": "right", "refused": "refused, as they should be", "digits": "of the digits right"}[measure]
            rows.append([ORIGINS[name][0], f"{share(entry[measure])} {told}", str(entry[measure]["n"])])
    parts = [markdown_table(["pictures that it has not learned from", "", "n"], rows)]
    if speed is not None:
        told = (
            f"{entry['title'][0].upper()}{entry['title'][1:]}: {entry['median']}." for entry in speed["entries"][:2]
        )
        parts.append(" ".join(told) + busy(speed["load"], speed["environment"]["threads"]))
    parts.append(
        "In brackets: 95 % intervals. All figures, what is refused, and known limits: "
        "[reading what people write](docs/measurements/reading.md)."
    )
    return "\n\n".join(parts)


def publish(result: dict[str, Any]) -> None:
    """Write results, page, charts and the README's table."""
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    write_again()


def write_again() -> None:
    """Write page, charts and the README's table from the results."""
    result = json.loads(RESULTS.read_text("utf-8"))
    speed = json.loads(SPEED.read_text("utf-8")) if SPEED.exists() else None
    PAGE.write_text(page(result, speed), "utf-8")
    COVERAGE.write_text(coverage_chart(result), "utf-8")
    if result["trust"]["n"]:
        RELIABILITY.write_text(reliability_chart(result), "utf-8")
    README.write_text(filled(README.read_text("utf-8"), {"reading": readme_table(result, speed)}), "utf-8")


def failures_image(name: str) -> Path:
    """Return where the sheet of a folder's or a kind's failures is."""
    return IMAGES / f"reading-failures-{name}.jpg"


def may_be_shown(name: str, file: str) -> bool:
    """Tell whether the licence of a folder's picture allows to show it."""
    return name in SHOWN and (not SHOWN[name] or file in SHOWN[name])


def busy(load: float, n_threads: int) -> str:
    """Return a sentence where other programs made times too long, from the load average before the measurement."""
    if load < _QUIET_LOAD:
        return ""
    return f" Other programs were running (load {load:.1f} on {n_threads} threads), so times are too long."


def _origins(result: dict[str, Any]) -> str:
    names = list(dict.fromkeys(entry["name"] for entry in result["entries"]))
    rows = [[f"`{name}`", *ORIGINS[name]] for name in names if name in ORIGINS]
    return markdown_table(["folder", "what", "from", "licence"], rows) if rows else ""


def _reason(what: str) -> str:
    return REASONS.get(what, "not looked into.")


def _shown(shown: dict[str, Any]) -> str:
    """A sheet of failures with whose pictures they are."""
    name = shown["name"]
    if name in ORIGINS:
        what, origin, licence = ORIGINS[name]
        told = f"`{name}`: {what}; from {origin}, {licence}."
    else:
        told = f"Composed, {name}. The digits are MNIST's test digits, by Yann LeCun and Corinna Cortes, CC BY-SA 3.0."
    n_wrong = f"{shown['n_wrong']} of {shown['n']} pictures are not read as a whole."
    return f"{told} {n_wrong}\n\n![What is read wrongly: {name}](../images/{failures_image(name).name})"


def _speed(speed: dict[str, Any]) -> str:
    rows = [
        [entry["title"], str(entry["n"]), entry["median"], entry["range"], entry["processor"], _weight(entry)]
        for entry in speed["entries"]
    ]
    return (
        markdown_table(["", "n", "median", "smallest to largest", "processor time", "peak memory"], rows)
        + f"\n\n{speed['note']} Made by `{speed['command']}` on {speed['date'][:10]}."
        + busy(speed["load"], speed["environment"]["threads"])
    )


def _weight(entry: dict[str, Any]) -> str:
    return f"{entry['peak_bytes'] / 1e6:.0f} MB" if entry.get("peak_bytes") else ""


if __name__ == "__main__":
    write_again()
