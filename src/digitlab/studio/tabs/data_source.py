"""The card that says where the digits come from and what one may do with them."""

from __future__ import annotations

from html import escape

from nicegui import ui

from digitlab.studio.card import card
from digitlab.studio.page import Page

__all__ = ["build_source_card"]

_LICENCE = "https://creativecommons.org/licenses/by-sa/3.0/"


def build_source_card(page: Page) -> None:
    """Build the card into the current container."""
    with card("About the Data", help="data_source"):
        ui.html(_facts(page), sanitize=False)


def _facts(page: Page) -> str:
    data = page.data
    is_packaged = page.trainer.config.data is None
    facts = [("Source", escape(data.source))]
    if is_packaged:
        facts = [
            ("Title", "The MNIST database of handwritten digits"),
            ("Authors", "Yann LeCun and Corinna Cortes"),
            (
                "Licence",
                f'<a href="{_LICENCE}" target="_blank" rel="noopener noreferrer">Creative Commons '
                "Attribution-ShareAlike 3.0</a>; files recompressed, bytes unchanged",
            ),
            ("Here", "In the package; nothing is fetched from a network"),
        ]
    n_splits = (len(data.training), len(data.validation), len(data.test))
    facts += [
        ("Images", "{:,} training, {:,} validation, {:,} test; 28 × 28 pixels, 0 to 255".format(*n_splits)),
        ("Fingerprint", f'<code title="{escape(data.digest)}">{escape(data.digest[:16])}</code>'),
    ]
    return f'<dl class="facts">{"".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts)}</dl>'
