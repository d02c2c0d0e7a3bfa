r"""What numbers are expected, in words that cannot keep a server busy.

``digitlab read --expect`` takes any regular expression, and some take longer than the universe to say no. Over HTTP
only a small part of them is taken: digits, ``\d``, each exactly once or exactly ``{n}`` times, and ``|`` between
alternatives. A text is tried against those in one pass each.
"""

from __future__ import annotations

import re

from digitlab.errors import DataError

__all__ = ["PATTERN", "checked_expectation"]

_PART = r"(?:\\d|[0-9])(?:\{[1-9][0-9]?\})?"
#: What such an expectation looks like, as a regular expression.
PATTERN = rf"^(?:{_PART})+(?:\|(?:{_PART})+)*$"
_MOST_CHARACTERS = 200


def checked_expectation(expect: str | None) -> str | None:
    r"""Return an expectation if it is harmless.

    Raises
    ------
    DataError
        If it is another regular expression.

    Examples
    --------
    >>> checked_expectation(r"20\d\d|\d{6}")
    '20\\d\\d|\\d{6}'
    """
    if expect is not None and (len(expect) > _MOST_CHARACTERS or not re.match(PATTERN, expect, re.ASCII)):
        raise DataError(
            r"Over HTTP expect knows digits, \d, exact counts and alternatives, as in \d{4} or 20\d\d|\d{6}; other "
            "regular expressions are for the command: digitlab read --expect"
        )
    return expect
