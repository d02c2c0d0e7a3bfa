"""What reading a photo gives: lines of numbers of digits, each with its place and how sure it is, and what was refused.

All boxes are in pixels of the upright photo: the photo as its file stores it, turned as its EXIF data says, then by
``turned`` degrees, then straightened by ``skew`` degrees.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from digitlab.errors import ConfigError
from digitlab.text import counted
from digitlab.values import Value

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Reading", "ReadingOptions"]

_MOST_CELLS = 50  # a side


@dataclass(frozen=True, slots=True)
class ReadingOptions(Value):
    r"""How a photo is read. The defaults read; the switches show why each step is there.

    Attributes
    ----------
    min_confidence : float
        The least confidence of a digit, in [0, 1]; less is refused as "unsure".
    digits : int or None
        Every number has exactly so many digits, from 1 to 100.
    expect : str or None
        Every number matches this regular expression as a whole, for instance ``\d{4}``.
    turn : bool
        Recognise pages turned by 90, 180 or 270 degrees.
    straighten : bool
        Straighten pages that are skewed by up to 20 degrees.
    invert : str
        ``"auto"`` decides whether the ink is darker or brighter than the paper, ``"always"`` takes it for darker and
        inverts the photo, ``"never"`` takes it for brighter, as MNIST has it.
    flatten : bool
        See every place by its contrast to what is around it, so that shadows and uneven light do not matter.
    center : bool
        Put a glyph's centre of mass in the middle of its 28 x 28 image.
    grid : (int, int) or None
        The page is a grid of so many rows and columns of boxes, a sudoku's say: every line then is one row of it, with
        all its cells.
    most_pages : int
        How many pages of a document are read at most.

    Raises
    ------
    ConfigError
        If a value cannot be used.
    """

    min_confidence: float = 0.4
    digits: int | None = None
    expect: str | None = None
    turn: bool = True
    straighten: bool = True
    invert: str = "auto"
    flatten: bool = True
    center: bool = True
    grid: tuple[int, int] | None = None
    most_pages: int = 200

    def __post_init__(self) -> None:
        if not 0 <= self.min_confidence <= 1:
            raise ConfigError(f"min_confidence must be a probability from 0 to 1; got {self.min_confidence}.")
        if self.digits is not None and not 1 <= self.digits <= 100:
            raise ConfigError(f"digits must be a whole number from 1 to 100; got {self.digits}.")
        if self.invert not in ("auto", "always", "never"):
            raise ConfigError(f'invert must be "auto", "always" or "never"; got {self.invert!r}.')
        if self.grid is not None and not (
            len(self.grid) == 2 and all(isinstance(n, int) and 2 <= n <= _MOST_CELLS for n in self.grid)
        ):
            raise _no_grid(self.grid)
        if self.most_pages < 1:
            raise ConfigError(f"most_pages must be at least 1; got {self.most_pages}.")
        if self.expect is not None:
            try:
                re.compile(self.expect)
            except (re.error, TypeError, RecursionError, OverflowError) as error:
                raise ConfigError(f"expect is no regular expression: {error}. Try \\d{{4}} for four digits.") from None


def grid_of(text: str) -> tuple[int, int]:
    """Return the rows and columns that a text names.

    Raises
    ------
    ConfigError
        If it names none, or fewer than 2 or more than 50.

    Examples
    --------
    >>> grid_of("9x9")
    (9, 9)
    """
    found = re.fullmatch(r"(\d{1,3}) ?[x×,] ?(\d{1,3})", text.strip().lower())
    if found is None or not all(2 <= int(side) <= _MOST_CELLS for side in found.groups()):
        raise _no_grid(text)
    return int(found[1]), int(found[2])


def _no_grid(given: object) -> ConfigError:
    return ConfigError(f"A grid has rows and columns, each from 2 to {_MOST_CELLS}, such as 9x9; got {given!r:.100}.")


#: Why a mark was not taken for a digit, by the short name that files use.
REASONS = {
    "not-a-digit": "It does not look like a digit.",
    "unsure": "Its best answer is less sure than the least confidence that was asked for.",
    "too-small": "It is much smaller than the digits of the page.",
    "unexpected": "The numbers that were expected have no place for it.",
}


class Box(NamedTuple):
    """A rectangle in pixels of the upright photo, half-open: the first column and row in it and the first beyond it.

    Its JSON form is the list of the four.
    """

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    def around(self, other: Box) -> Box:
        """Return the smallest box that holds both."""
        return Box(
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
        )


@dataclass(frozen=True, slots=True)
class Alternative(Value):
    """Another digit that it may be, and its probability in [0, 1]."""

    value: int
    probability: float


@dataclass(frozen=True, slots=True)
class Digit(Value):
    """One digit.

    Attributes
    ----------
    value : int
        0 to 9.
    box : Box
        Where its ink is.
    confidence : float
        Its calibrated probability, in [0, 1].
    alternatives : tuple of Alternative
        The other digits it may be, the likeliest first.
    """

    value: int
    box: Box
    confidence: float
    alternatives: tuple[Alternative, ...]


@dataclass(frozen=True, slots=True)
class Refused(Value):
    """Ink that is no digit, or none that can be answered for.

    Attributes
    ----------
    box : Box
        Where it is.
    reason : str
        A key of ``REASONS``.
    best : Alternative or None
        The digit it resembles most, where the network was asked.
    """

    box: Box
    reason: str
    best: Alternative | None = None


@dataclass(frozen=True, slots=True)
class Number(Value):
    """Digits that stand together.

    Attributes
    ----------
    value : str
        The digits.
    box : Box
        Around all of them.
    confidence : float
        The calibrated probability that all of them are right, in [0, 1].
    digits : tuple of Digit
        From left to right.
    separator : str
        What is written between this number and the next of its line: one of ``/ - . , : x =``; empty for a gap, and
        after the last.
    """

    value: str
    box: Box
    confidence: float
    digits: tuple[Digit, ...]
    separator: str = ""


@dataclass(frozen=True, slots=True)
class Cell(Value):
    """One box of a form or a grid.

    Attributes
    ----------
    box : Box
        Between its borders.
    value : str
        The digit in it; empty where there is none: nothing, a dash, a cross.
    """

    box: Box
    value: str


@dataclass(frozen=True, slots=True)
class Line(Value):
    """Numbers side by side, from left to right.

    Attributes
    ----------
    box : Box
        Around all of them.
    numbers : tuple of Number
        From left to right.
    cells : tuple of Cell
        The boxes that the digits stand in, where the line is in boxes, the empty ones among them.
    """

    box: Box
    numbers: tuple[Number, ...]
    cells: tuple[Cell, ...] = ()

    @property
    def text(self) -> str:
        """The numbers, between them what is written there, or a space."""
        return "".join(
            number.value + (number.separator or " ") if k < len(self.numbers) - 1 else number.value
            for k, number in enumerate(self.numbers)
        )

    @property
    def row(self) -> str:
        """What stands in each of its cells, a dot for an empty one; empty where the line is not in boxes."""
        return "".join(cell.value or "." for cell in self.cells)


@dataclass(frozen=True, slots=True)
class Reading(Value):
    """What stands on one photo or page.

    Attributes
    ----------
    source : str
        The file's name, or "image" for an array.
    page : int
        From 1; photos have one.
    width, height : int
        Of the upright photo, in pixels.
    turned : int
        By how many degrees the photo was turned clockwise to stand upright: 0, 90, 180 or 270.
    skew : float
        By how many degrees it was then straightened, clockwise.
    lines : tuple of Line
        In reading order.
    refused : tuple of Refused
        What is no digit, and why.
    """

    source: str
    page: int
    width: int
    height: int
    turned: int
    skew: float
    lines: tuple[Line, ...]
    refused: tuple[Refused, ...]

    def __repr__(self) -> str:
        text = " / ".join(line.text for line in self.lines[:4]) + (" / ..." if len(self.lines) > 4 else "")
        page = f", page {self.page}" if self.page > 1 else ""
        return f"<Reading of {self.source[:80]}{page}: {text[:200]!r}, {counted(len(self.digits), 'digit')}>"

    def _repr_html_(self) -> str:
        from digitlab.notebook import reading_html

        return reading_html(self)

    @property
    def text(self) -> str:
        """The lines, one below the other; empty where there is no digit."""
        return "\n".join(line.text for line in self.lines)

    @property
    def numbers(self) -> tuple[Number, ...]:
        """All numbers in reading order."""
        return tuple(number for line in self.lines for number in line.numbers)

    @property
    def digits(self) -> tuple[Digit, ...]:
        """All digits in reading order."""
        return tuple(digit for number in self.numbers for digit in number.digits)

    def render(self, photo: Any) -> Image:
        """Draw boxes and values on the photo that was read; see ``digitlab.reading.render``."""
        from digitlab.reading.render import render

        return render(photo, self)

    def to_dict(self) -> dict[str, Any]:
        """Return the reading as plain JSON types, with its text and each line's."""
        plain = Value.to_dict(self)
        for line, described in zip(self.lines, plain["lines"], strict=True):
            described["text"] = line.text
        return plain | {"text": self.text}
