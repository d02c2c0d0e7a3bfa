"""Situations that people report, each with the answers that are right: forms, dates, screenshots, displays.

A folder of cases has a folder for each, whose name begins with its number. What is asked of a picture is what a person
would type: ``read``, ``read --digits 4`` or ``predict``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from digitlab.errors import DigitlabError
from digitlab.reading.reader import Reader
from digitlab.reading.reading import Reading, ReadingOptions

NOTHING = ""


@dataclass(frozen=True)
class Case:
    """A picture: the number of its case, its file, what is asked, and what is right.

    ``right`` holds texts: numbers parted by spaces, lines by ``|``, nothing where it may be refused.
    """

    number: str
    file: str
    ask: str
    right: tuple[str, ...]


CASES = (
    *(
        Case("06", f"{name}.{kind}", ask, (text,))
        for name, kind, text in (
            ("a_thick_grid", "png", "4821"),
            ("c_thin_grey_grid", "png", "4821"),
            ("d_separate_boxes", "png", "4821"),
            ("e_comb_ticks", "png", "4821"),
            ("f_separators_only", "png", "4821"),
            ("p_pink_form", "png", "4821"),
            ("h_eight_cells", "png", "12345678"),
            ("n_page_form", "png", "4821|90210|7"),
            ("o_scan_form", "jpg", "4821|90210|7"),
        )
        for ask in (("read", "read --digits 4") if text == "4821" else ("read",))
    ),
    Case("18", "j_3slash4.png", "read", ("3 4",)),
    Case("18", "date.png", "read", ("12 05 2024",)),
    Case("18", "k_date.png", "read", ("12 05 2024",)),
    *(
        Case("19", name, ask, ("5", NOTHING))
        for name in ("screenshot5.png", "screenshot_blackcanvas5.png")
        for ask in ("read", "predict")
    ),
    Case("23", "sevenseg3829.png", "read", ("3829", NOTHING)),
    Case("23", "sevenseg1205.png", "read", ("1205", NOTHING)),
    *(Case("24", f"5_{size}.png", ask, ("5",)) for size in ("040", "060", "080") for ask in ("read", "predict")),
)


def plain(reading: Reading) -> str:
    """Return numbers parted by spaces and lines by ``|``; separators are no digits."""
    return "|".join(" ".join(number.value for number in line.numbers) for line in reading.lines)


def predicted(reader: Reader, path: Path) -> str:
    """Return the answer to a picture of one digit, nothing where it is refused."""
    probabilities, p_not_a_digit = reader.read_digit(path)
    return NOTHING if p_not_a_digit > reader.answers.refuse_above else str(int(probabilities.argmax()))


ASKS: dict[str, Callable[[Reader, Path], str]] = {
    "read": lambda reader, path: plain(reader.read(path)),
    "read --digits 4": lambda reader, path: plain(reader.read(path, ReadingOptions(digits=4))),
    "predict": predicted,
}


def measure_cases(folder: Path, reader: Reader) -> list[dict[str, Any]]:
    """Ask all cases that are in a folder; a row each: what is right, what was read."""
    rows = []
    for case in CASES:
        path = next(folder.glob(f"{case.number}-*/{case.file}"), None)
        if path is None:
            continue
        try:
            text = ASKS[case.ask](reader, path)
        except DigitlabError as error:
            text = f"error: {error}"
        told = " or ".join(repr(right) if right else "nothing" for right in case.right)
        row = {"case": case.number, "file": case.file, "ask": case.ask, "right": told, "read": text}
        rows.append(row | {"is_right": text in case.right})
    return rows
