"""What the page is told of a drawing: the number, its digits, and eleven probabilities for each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.errors import DataError
from digitlab.studio.reading.sheet import Sheet

__all__ = ["BLANK", "answer_of", "as_drawing"]

#: The probabilities where there is no ink: of no digit, and surely none.
BLANK = (*[0.0] * 10, 1.0)

_MOST_MARKS = 60
_LEAST_PX, _MOST_PX = 16, 1000


def as_drawing(content: bytes, width: int) -> NDArray[np.uint8]:
    """Return what a browser sent as a picture: uint8 (h, width), 0-255, ink dark on bright.

    Raises
    ------
    DataError
        If it is none.
    """
    height = len(content) // max(width, 1)
    if not (_LEAST_PX <= width <= _MOST_PX and _LEAST_PX <= height <= _MOST_PX) or len(content) != width * height:
        raise DataError("This drawing did not arrive whole. Draw on, or reload the page.")
    return np.frombuffer(content, np.uint8).reshape(height, width)


def answer_of(sheet: Sheet | None) -> dict[str, Any]:
    """Return the answer to a drawing, as plain JSON types.

    Returns
    -------
    dict
        ``serial``: the sheet's; ``text``: the digits, numbers parted by spaces, empty where there is none; ``says``: a
        sentence;
        ``marks``: every digit and refused mark, with its eleven probabilities; ``probabilities``: those to show while
        no mark is chosen.
    """
    marks = [] if sheet is None else [mark.to_page() for mark in sheet.marks[:_MOST_MARKS]]
    digits = [mark for mark in marks if mark["value"] is not None]
    text = "" if sheet is None else sheet.reading.text.replace("\n", " ")
    if not marks:
        says = "No digit here."
    elif not digits:
        says = f"No digit here. {marks[0]['says']}"
    elif len(digits) == 1:
        says = digits[0]["says"]
    else:
        least = min(digits, key=lambda mark: mark["probabilities"][mark["value"]])
        says = f"{text}, {len(digits)} digits. The least sure is {least['says']}"
    shown = (digits or marks or [{"probabilities": list(BLANK)}])[-1]
    serial = 0 if sheet is None else sheet.serial
    return {"serial": serial, "text": text, "says": says, "marks": marks, "probabilities": shown["probabilities"]}
