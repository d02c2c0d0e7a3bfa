"""Options: what a reader is asked to do with a photo."""

from __future__ import annotations

import re
from dataclasses import dataclass

from digitlab.errors import ConfigError
from digitlab.values import Value

__all__ = ["ReadingOptions", "grid_of"]

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
