"""What reading is asked to reach on the development data, and whether it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Bar:
    """What is asked of a folder: answered in this way, this measure is at least (``extra``: at most) so much."""

    name: str
    way: str
    measure: str
    asked: float


BARS = (
    Bar("aiano_photos", "photo", "digits", 0.97),
    Bar("kenya_tallies", "photo", "digits", 0.97),
    Bar("kenya_tallies", "photo", "whole", 0.60),
    Bar("wicht_sudoku", "photo", "digits", 0.97),
    Bar("wicht_sudoku", "photo", "extra", 10),
    Bar("notepad_marks", "photo", "digits", 0.92),
    Bar("notepad_marks", "photo", "whole", 0.80),
    Bar("few_pages_dev", "photo", "digits", 0.99),
    Bar("few_strings_dev", "photo", "digits", 0.99),
    Bar("tgtony_pages", "photo", "digits", 0.99),
    Bar("pages", "photo", "digits", 0.99),
    Bar("strings", "photo", "digits", 0.96),
    Bar("strings", "photo", "whole", 0.85),
    Bar("cells", "photo", "digits", 0.99),
    Bar("cells", "photo", "refused", 1.0),
    Bar("drawn", "digit", "digits", 0.995),
    Bar("webcam_drawn", "digit", "digits", 0.995),
    Bar("drawn_dev", "digit", "digits", 0.985),
    Bar("kaggle_90x140", "digit", "digits", 0.98),
    Bar("doodles", "photo", "refused", 0.95),
    Bar("letters", "photo", "refused", 0.92),
    Bar("math_signs", "photo", "refused", 1.0),
)
#: Of the numbers that claim 99 %, so many are right.
TRUSTED = 0.985


def ways_with_bars(name: str) -> set[str]:
    """Return how a folder has to be answered for its bars."""
    return {bar.way for bar in BARS if bar.name == name}


def verdicts(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each bar that was measured: what, asked, reached, and whether that is enough."""
    rows = []
    entries = {(entry["name"], entry["way"]): entry for entry in result["entries"]}
    for bar in BARS:
        entry = entries.get((bar.name, bar.way))
        if entry is None:
            continue
        what = f"{bar.name}, {bar.measure}" + (", as one digit" if bar.way == "digit" else "")
        if bar.measure == "extra":
            reached = entry["digits"]["n_extra"]
            rows.append(_row(what, f"<= {bar.asked:g}", str(reached), reached <= bar.asked))
            continue
        found = entry[bar.measure]
        rows.append(
            _row(
                what,
                f">= {100 * bar.asked:g} %",
                f"{100 * found['share']:.1f} % ({found['n_right']} of {found['n']})",
                found["share"] >= bar.asked,
            )
        )
    for number in dict.fromkeys(row["case"] for row in result["cases"]):
        asked = [row for row in result["cases"] if row["case"] == number]
        n_right = sum(row["is_right"] for row in asked)
        rows.append(_row(f"case {number}", "all", f"{n_right} of {len(asked)}", n_right == len(asked)))
    rows += _trusted(result["trust"])
    return rows


def _trusted(trust: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    claim = next(claim for claim in trust["claims"] if claim["least"] == 0.99)
    if claim["n"]:
        reached = f"{100 * claim['share']:.2f} % ({claim['n_right']} of {claim['n']})"
        rows.append(
            _row("numbers that claim 99 %, right", f">= {100 * TRUSTED:g} %", reached, claim["share"] >= TRUSTED)
        )
    n_certain = trust["n_certain_where_nothing_stands"]
    told = f"{n_certain} of {trust['n_where_nothing_stands']} read there"
    rows.append(_row("read at 99.9 % where nothing stands", "none", told, n_certain == 0))
    return rows


def _row(what: str, asked: str, reached: str, is_reached: bool) -> dict[str, Any]:
    return {"what": what, "asked": asked, "reached": reached, "is_reached": is_reached}
