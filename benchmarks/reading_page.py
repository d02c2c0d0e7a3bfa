"""The page docs/measurements/reading.md, made from benchmarks/results/reading.json and reading_speed.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from digitlab.evaluation.axes import nice_axis
from digitlab.evaluation.markup import percent
from measured import markdown_table
from reading_origins import LIMITS, ORIGINS
from reading_scores import COVERAGES
from readme import README, filled
from spread_chart import BOTTOM, LEFT, RIGHT, TOP, Dot, Scale, Trace, spread_chart

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "reading.json"
SPEED = ROOT / "benchmarks" / "results" / "reading_speed.json"
PAGE = ROOT / "docs" / "measurements" / "reading.md"
CHART = ROOT / "docs" / "images" / "reading-coverage.svg"
FAILURES = ROOT / "docs" / "images" / "reading-failures.png"

_QUIET_LOAD = 0.5
_LEAST_DRAWN = 20  # a line through fewer pictures would tell nothing
WAYS = {"digit": "as one digit", "photo": "as a photo"}


def figures(result: dict[str, Any]) -> str:
    """Return the tables, for the terminal and for the page."""
    parts = [
        "## Accuracy",
        _accuracy(result),
        "*Digits*: of the digits that stand there, those read and in place, in the alignment with the fewest edits; "
        "*extra*: what was read besides. *Whole*: pictures on which all digits and nothing else was read. *As one "
        "digit* is the way of `digitlab predict`, *as a photo* that of `digitlab read`, which may find several digits "
        "or none.",
    ]
    if result["refusals"]:
        parts += [
            "## Refusing",
            _refusals(result),
            "How well the probability of *not a digit* parts the two, whatever the threshold; and how much of what is "
            "to be refused is, with the threshold at which 1 % of the digits are lost.",
        ]
    if any("coverage" in entry for entry in result["entries"]):
        parts += [
            "## Coverage against accuracy",
            "The share of pictures right as a whole among the surest answers, when only this share of all pictures is "
            "answered; the rest would be looked at by people.",
            _coverage(result),
        ]
    if result.get("trust", {"n": 0})["n"]:
        parts += ["## Can a confidence be trusted?", _trust(result["trust"])]
    if result.get("cases"):
        parts += ["## Situations that people report", _cases(result["cases"])]
    if result.get("bars"):
        parts += ["## What is asked for, and what is reached", _bars(result["bars"])]
    return "\n\n".join(parts)


def page(result: dict[str, Any], speed: dict[str, Any] | None) -> str:
    """Return docs/measurements/reading.md."""
    machine = result["environment"]
    parts = [
        "# Reading what people write",
        "How well digitlab reads pictures that it has not learned from: its network has learned from MNIST's training "
        f"images alone. Read with {result['model']}; as one digit, a mark is refused where *not a digit* has a "
        f"probability above {result['refuse_above']:g}, on a photo also where its best digit has less than "
        f"{result['min_confidence']:g}. In brackets: 95 % Wilson intervals. These pictures were looked at while the "
        "way was built, so others may be read less well; none of them is part of digitlab.",
        _origins(result),
        figures(result),
        f"![Accuracy over coverage](../images/{CHART.name})",
    ]
    if speed is not None:
        parts += ["## Speed", _speed(speed)]
    parts += [
        "## Known limits",
        LIMITS,
        "What fails among the composed numbers, the surest mistakes first: what stands there, what was read, and its "
        "confidence. The digits are MNIST's test digits, by Yann LeCun and Corinna Cortes, CC BY-SA 3.0.",
        f"![Numbers that are read wrongly](../images/{FAILURES.name})",
        f"digitlab {machine['digitlab']}, Python {machine['python']}, {machine['threads']} threads of "
        f"{machine['processor']}. Made by `{result['command']}` on {result['date'][:10]}; with folders of your own, "
        "the same command tells how well yours are read." + busy(result["load"], machine["threads"]),
    ]
    return "\n\n".join(parts) + "\n"


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
    y_axis = nice_axis((lowest, 100.0), BOTTOM, TOP, n_ticks=6)
    x_axis = nice_axis((100.0 * min(COVERAGES), 100.0), LEFT, RIGHT, n_ticks=6)
    return spread_chart(
        traces,
        Scale(x_axis, x_axis.ticks, log=False),
        Scale(y_axis, y_axis.ticks, log=False),
        title="The surest answers first",
        x_label="Pictures answered, % of all",
        y_label="Right as a whole, %",
    )


def readme_table(result: dict[str, Any], speed: dict[str, Any] | None) -> str:
    """Return the README's short table."""
    rows = []
    for entry in result["entries"]:
        if entry["way"] == "digit" or entry["n"] < _LEAST_DRAWN:
            continue
        kind = {"digit": "whole", "digits": "whole", "letter": "refused"}.get(entry["kind"], "digits")
        told = {"whole": "right", "refused": "refused, as they should be", "digits": "of the digits right"}[kind]
        what = ORIGINS[entry["name"]][0] if entry["name"] in ORIGINS else entry["name"]
        rows.append([what, f"{_share(entry[kind])} {told}", str(entry[kind]["n"])])
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
    """Write results, page and chart."""
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    speed = json.loads(SPEED.read_text("utf-8")) if SPEED.exists() else None
    PAGE.write_text(page(result, speed), "utf-8")
    CHART.write_text(coverage_chart(result), "utf-8")
    README.write_text(filled(README.read_text("utf-8"), {"reading": readme_table(result, speed)}), "utf-8")


def busy(load: float, n_threads: int) -> str:
    """Return a sentence where other programs made times too long, from the load average before the measurement."""
    if load < _QUIET_LOAD:
        return ""
    return f" Other programs were running (load {load:.1f} on {n_threads} threads), so times are too long."


def _title(entry: dict[str, Any], result: dict[str, Any]) -> str:
    is_twice = sum(other["name"] == entry["name"] for other in result["entries"]) > 1
    return f"{entry['name']}, {WAYS[entry['way']]}" if is_twice else entry["name"]


def _origins(result: dict[str, Any]) -> str:
    names = list(dict.fromkeys(entry["name"] for entry in result["entries"]))
    rows = [[f"`{name}`", *ORIGINS[name]] for name in names if name in ORIGINS]
    return markdown_table(["folder", "what", "from", "licence"], rows) if rows else ""


def _share(figures: dict[str, Any] | None) -> str:
    if figures is None:
        return ""
    low, high = figures["interval"]
    return f"{percent(figures['share'], 1)} [{100 * low:.1f}, {100 * high:.1f}]"


def _accuracy(result: dict[str, Any]) -> str:
    rows = []
    for entry in result["entries"]:
        digits = entry.get("digits")
        rows.append(
            [
                _title(entry, result),
                str(entry["n"]),
                _share(digits),
                "" if digits is None else str(digits["n_extra"]),
                _share(entry.get("whole")),
                _share(entry.get("refused")),
                f"{1000 * entry['median_s']:.1f}",
            ]
        )
    return markdown_table(["", "pictures", "digits", "extra", "whole", "refused rightly", "ms a picture"], rows)


def _refusals(result: dict[str, Any]) -> str:
    rows = [
        [
            f"{found['refuse']} ({found['n_refuse']})",
            f"{found['keep']} ({found['n_keep']})",
            f"{found['area']:.4f}",
            percent(found["refused_at_1"], 1),
        ]
        for found in result["refusals"]
    ]
    return markdown_table(["to be refused", "against digits of", "area under the ROC", "refused at 1 % lost"], rows)


def _coverage(result: dict[str, Any]) -> str:
    entries = [entry for entry in result["entries"] if "coverage" in entry]
    shares = [f"{100 * point['coverage']:.0f} %" for point in entries[0]["coverage"]] if entries else []
    rows = [[_title(entry, result), *(percent(point["share"], 1) for point in entry["coverage"])] for entry in entries]
    return markdown_table(["answered", *shares], rows)


def _trust(trust: dict[str, Any]) -> str:
    bins = [
        [f"{100 * part['low']:g} to {100 * part['high']:g} %", str(part["n"]), *_claimed(part)]
        for part in reversed(trust["bins"])
    ]
    claims = [
        [f"{100 * claim['least']:g} % and more", str(claim["n"]), _share(claim if claim["n"] else None)]
        for claim in trust["claims"]
    ]
    return "\n\n".join(
        [
            "A *confidence* is the probability that all digits of a number are right. Of all numbers read as photos:",
            markdown_table(["confidence", "numbers", "claimed on average", "right"], bins),
            markdown_table(["claiming", "numbers", "right"], claims),
            f"Where no digit stands, {trust['n_where_nothing_stands']} were read, "
            f"{trust['n_certain_where_nothing_stands']} of them at 99.9 % and more; beside digits that stand there, "
            f"{trust['n_certain_extra']} more were read so surely. A number is right if its digits stand there in a "
            "row, and none before or after them was left out.",
        ]
    )


def _claimed(part: dict[str, Any]) -> list[str]:
    return [percent(part["confidence"], 1), _share(part)] if part["n"] else ["", ""]


def _cases(cases: Sequence[dict[str, Any]]) -> str:
    rows = [
        [row["case"], f"`{row['file']}`", row["ask"], row["right"], row["read"] or "nothing", _mark(row["is_right"])]
        for row in cases
    ]
    # A line's end would end a cell.
    rows = [[cell.replace("|", " / ") for cell in row] for row in rows]
    return markdown_table(["case", "picture", "asked", "right", "read", ""], rows)


def _bars(bars: Sequence[dict[str, Any]]) -> str:
    rows = [[bar["what"], bar["asked"], bar["reached"], _mark(bar["is_reached"])] for bar in bars]
    n_reached = sum(bar["is_reached"] for bar in bars)
    return markdown_table(["", "asked", "reached", ""], rows) + f"\n\n{n_reached} of {len(bars)} are reached."


def _mark(is_right: bool) -> str:
    return "yes" if is_right else "**no**"


def _speed(speed: dict[str, Any]) -> str:
    rows = [
        [entry["title"], str(entry["n"]), entry["median"], entry["range"], entry["processor"]]
        for entry in speed["entries"]
    ]
    return (
        markdown_table(["", "n", "median", "smallest to largest", "processor time"], rows)
        + f"\n\n{speed['note']} Made by `{speed['command']}` on {speed['date'][:10]}."
        + busy(speed["load"], speed["environment"]["threads"])
    )
