"""Options that several commands have: numbers, of which 2.5 is not taken for 2, and --json."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from cyclopts import Parameter, Token


def _converter(kind: type[int] | type[float], words: str) -> Callable[[Any, Sequence[Token]], int | float]:
    def convert(_: Any, tokens: Sequence[Token]) -> int | float:
        try:
            return kind(tokens[0].value)
        except ValueError:
            raise ValueError(f"{words} was expected, not {tokens[0].value!r}.") from None

    return convert


#: Converters for ``cyclopts.Parameter``; its own would round 2.5 to 2 where a whole number is wanted.
WHOLE_NUMBER, NUMBER = _converter(int, "a whole number"), _converter(float, "a number")

WholeNumber = Annotated[int, Parameter(converter=WHOLE_NUMBER)]
AsJson = Annotated[bool, Parameter(name="--json", negative="", show_default=False)]
