"""The tables of a measurement of reading, for the terminal and for docs/measurements/reading.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from digitlab.evaluation.markup import percent
from tables import markdown_table

WAYS = {"digit": "as one digit", "photo": "as a photo"}


def figures(result: dict[str, Any]) -> str:
    """Return the tables of a measurement."""
    parts = [
        "## Accuracy",
        accuracy(result),
        "*Digits*: of the digits that stand there, those read and in place, in the alignment with the fewest edits; "
        "*extra*: what was read besides. *Whole*: pictures on which all digits and nothing else was read. *As one "
        "digit* is the way of `digitlab predict`, *as a photo* that of `digitlab read`, which may find several digits "
        "or none. Commas, slashes and other separators are no digits.",
    ]
    if result["refusals"]:
        parts += [
            "## Refusing",
            refusals(result),
            "How well the probability of *not a digit* parts the two, whatever the threshold; and how much of what is "
            "to be refused is, with the threshold at which 1 % of the digits are lost.",
        ]
    if any("coverage" in entry for entry in result["entries"]):
        parts += [
            "## Coverage against accuracy",
            "The share of pictures right as a whole among the surest answers, when only this share of all pictures is "
            "answered; the rest would be looked at by people.",
            coverage(result),
        ]
    if result["trust"]["n"]:
        parts += ["## Can a confidence be trusted?", trust(result["trust"])]
    if result["composed"]:
        parts += ["## Composed pictures", composed(result["composed"])]
    if result["cases"]:
        parts += ["## Situations that people report", cases(result["cases"])]
    if result["bars"]:
        parts += ["## What is asked for, and what is reached", bars(result["bars"])]
    return "\n\n".join(parts)


def share(figures: dict[str, Any] | None) -> str:
    """Return a proportion with its interval; nothing where there is none."""
    if figures is None:
        return ""
    low, high = figures["interval"]
    return f"{percent(figures['share'], 1)} [{100 * low:.1f}, {100 * high:.1f}]"


def accuracy(result: dict[str, Any]) -> str:
    """Return the accuracy of every folder."""
    rows = []
    for entry in result["entries"]:
        digits = entry.get("digits")
        rows.append(
            [
                _title(entry, result),
                str(entry["n"]),
                share(digits),
                "" if digits is None else str(digits["n_extra"]),
                share(entry.get("whole")),
                share(entry.get("refused")),
                f"{1000 * entry['median_s']:.1f}",
            ]
        )
    return markdown_table(["", "pictures", "digits", "extra", "whole", "refused rightly", "ms a picture"], rows)


def refusals(result: dict[str, Any]) -> str:
    """Return how well what is no digit is told from digits."""
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


def coverage(result: dict[str, Any]) -> str:
    """Return the accuracy of the surest answers."""
    entries = [entry for entry in result["entries"] if "coverage" in entry]
    shares = [f"{100 * point['coverage']:.0f} %" for point in entries[0]["coverage"]] if entries else []
    rows = [[_title(entry, result), *(percent(point["share"], 1) for point in entry["coverage"])] for entry in entries]
    return markdown_table(["answered", *shares], rows)


def trust(found: dict[str, Any]) -> str:
    """Return how many of the numbers that claim so much are right."""
    bins = [
        [f"{100 * part['low']:g} to {100 * part['high']:g} %", str(part["n"]), *_claimed(part)]
        for part in reversed(found["bins"])
    ]
    claims = [
        [f"{100 * claim['least']:g} % and more", str(claim["n"]), share(claim if claim["n"] else None)]
        for claim in found["claims"]
    ]
    return "\n\n".join(
        [
            "A number's *confidence* is the probability that all of its digits are right. Of all numbers that were "
            "read on these folders as photos, and of those that claim at least so much:",
            markdown_table(["confidence", "numbers", "claimed on average", "right"], bins),
            markdown_table(["claiming", "numbers", "right"], claims),
            f"Where no digit stands, {found['n_where_nothing_stands']} were read, "
            f"{found['n_certain_where_nothing_stands']} of them at 99.9 % and more; beside digits that stand there, "
            f"{found['n_certain_extra']} more were read so surely. A number is right if its digits stand there in a "
            "row, and none before or after them was left out.",
        ]
    )


def composed(kinds: dict[str, dict[str, Any]]) -> str:
    """Return how well composed pictures were read, whose digits' places are known."""
    rows = []
    for kind, found in kinds.items():
        n = found["n_pictures"]
        rows.append(
            [
                kind,
                str(n),
                *(_of(found[name], found[of]) for name, of in (("n_right", "n_digits"), ("n_whole", "n_lines"))),
                f"{found['n_extra'] / n:.2f}",
                _of(found["n_texts"], found["n_lines"]) if kind == "separated" else "",
                _of(found["n_cells_right"], found["n_cells"]),
                "" if found["n_digits"] else _of(found["n_empty"], n),
                f"{100 * found['surest_extra']:.2f} %" if found["n_extra"] else "",
            ]
        )
    headings = ["", "pictures", "digits right and in place", "lines whole", "extra a picture", "texts with separators"]
    return "\n\n".join(
        [
            "Written with MNIST's test digits by `benchmarks/reading_composed.py`; every digit's place is known.",
            markdown_table([*headings, "boxes", "empty", "surest of the extra"], rows),
        ]
    )


def cases(rows: Sequence[dict[str, Any]]) -> str:
    """Return what was read in situations that people report."""
    cells = [
        [row["case"], f"`{row['file']}`", row["ask"], row["right"], row["read"] or "nothing", _mark(row["is_right"])]
        for row in rows
    ]
    # A line's end would end a cell.
    cells = [[cell.replace("|", " / ") for cell in row] for row in cells]
    return markdown_table(["case", "picture", "asked", "right", "read", ""], cells)


def bars(rows: Sequence[dict[str, Any]]) -> str:
    """Return what is asked and what is reached."""
    n_reached = sum(bar["is_reached"] for bar in rows)
    table = markdown_table(
        ["", "asked", "reached", ""],
        [[bar["what"], bar["asked"], bar["reached"], _mark(bar["is_reached"])] for bar in rows],
    )
    return f"{table}\n\n{n_reached} of {len(rows)} are reached."


def _title(entry: dict[str, Any], result: dict[str, Any]) -> str:
    is_twice = sum(other["name"] == entry["name"] for other in result["entries"]) > 1
    return f"{entry['name']}, {WAYS[entry['way']]}" if is_twice else entry["name"]


def _claimed(part: dict[str, Any]) -> list[str]:
    return [percent(part["confidence"], 1), share(part)] if part["n"] else ["", ""]


def _of(n: int, of: int) -> str:
    return f"{percent(n / of, 1)} of {of}" if of else ""


def _mark(is_right: bool) -> str:
    return "yes" if is_right else "**no**"
