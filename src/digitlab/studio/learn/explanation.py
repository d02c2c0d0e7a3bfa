"""Explanation: a short text about one thing, in general and for the network and settings at hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape

from digitlab.studio.learn.facts import Facts

__all__ = ["Explanation", "Topic"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """What to say; plain text throughout.

    Attributes
    ----------
    text : tuple of str
        Paragraphs that hold for every network.
    here : tuple of str
        Paragraphs with the numbers of the network and settings at hand.
    formula : str
        One line, or nothing.
    """

    text: tuple[str, ...]
    here: tuple[str, ...] = ()
    formula: str = ""

    def to_text(self) -> str:
        """Return the paragraphs, an empty line between them."""
        formula = (self.formula,) if self.formula else ()
        return "\n\n".join((self.text[0], *formula, *self.text[1:], *self.here))

    def to_html(self) -> str:
        """Return the paragraphs as HTML, everything in them escaped."""
        parts = [f"<p>{escape(paragraph)}</p>" for paragraph in self.text]
        if self.formula:
            parts.insert(1, f'<p class="learn-formula">{escape(self.formula)}</p>')
        if self.here:
            inner = "".join(f"<p>{escape(paragraph)}</p>" for paragraph in self.here)
            parts.append(f'<div class="learn-here"><h3>In your network</h3>{inner}</div>')
        return "".join(parts)


@dataclass(frozen=True, slots=True)
class Topic:
    """A title, what to say, and which other topics lead on."""

    title: str
    explain: Callable[[Facts], Explanation]
    see: tuple[str, ...] = ()
