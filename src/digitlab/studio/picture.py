"""Pictures to save: SVG that stands on its own, and the same as PNG, drawn by the browser that shows it."""

from __future__ import annotations

import binascii
import json
import re
from base64 import b64decode
from collections.abc import Sequence
from html import escape

from nicegui import ui

from digitlab.errors import InputError

__all__ = ["matrix_svg", "png_of_svg", "standalone_svg"]

_PREFIX = "data:image/png;base64,"
_CELL, _LEFT, _TOP = 56, 92, 84
# The shades of the light page, for a picture that is put on paper; see evaluation.css.
_FILLS = {
    "right": ("#ffffff", "#e3ecf9", "#cadcf4", "#b3cdee"),
    "wrong": ("#ffffff", "#fff0e2", "#ffdfc2", "#fdc894", "#f8a862", "#e8823a", "#b9551a", "#86360b"),
    "less": ("#ffffff", "#dbe8fb", "#b0cdf5", "#5f97e3", "#1f57ad"),
    "more": ("#ffffff", "#ffe9d3", "#fdc894", "#e8823a", "#9c4211"),
}
_DEEP = {"wrong-6", "wrong-7", "more-4", "less-4"}


def matrix_svg(title: str, names: Sequence[str], cells: Sequence[Sequence[dict[str, str]]]) -> str:
    """Draw a confusion matrix from the cells of ``digitlab.studio.matrix``; returns one ``<svg>`` element."""
    n = len(names)
    width, height = _LEFT + n * _CELL + 16, _TOP + n * _CELL + 16
    middle = _LEFT + n * _CELL / 2
    parts = [
        f'<text x="{_LEFT}" y="24" font-size="16" font-weight="600">{escape(title)}</text>',
        f'<text x="{middle:g}" y="50" text-anchor="middle">prediction</text>',
        f'<text transform="translate(18 {_TOP + n * _CELL / 2:g}) rotate(-90)" text-anchor="middle">label</text>',
    ]
    for k, name in enumerate(names):
        parts.append(
            f'<text x="{_LEFT + (k + 0.5) * _CELL:g}" y="{_TOP - 8}" text-anchor="middle">{escape(name)}</text>'
            f'<text x="{_LEFT - 8}" y="{_TOP + (k + 0.5) * _CELL + 4:g}" text-anchor="end">{escape(name)}</text>'
        )
    for r, row in enumerate(cells):
        for c, cell in enumerate(row):
            shade = cell["shade"].split()[0]
            kind, step = shade.split("-")
            x, y = _LEFT + c * _CELL, _TOP + r * _CELL
            middle, line = x + _CELL / 2, y + (27 if cell["part"] else 33)
            ink = "#ffffff" if shade in _DEEP else "#16181d"
            parts.append(
                f'<g fill="{ink}" text-anchor="middle"><title>{escape(cell["says"])}</title>'
                f'<rect x="{x + 1}" y="{y + 1}" width="{_CELL - 2}" height="{_CELL - 2}" rx="5" '
                f'fill="{_FILLS[kind][int(step)]}" stroke="#dfe3ea"/>'
                f'<text x="{middle:g}" y="{line}" font-size="15">{escape(cell["n"])}</text>'
                f'<text x="{middle:g}" y="{y + 43}" font-size="11">{escape(cell["part"])}</text></g>'
            )
    return standalone_svg(
        f'<svg viewBox="0 0 {width} {height}" font-family="system-ui, sans-serif" font-size="13" '
        f'fill="#16181d">{"".join(parts)}</svg>'
    )


def standalone_svg(svg: str) -> str:
    """Return an ``<svg>`` element with a ``viewBox`` as a file of its own, dark on white.

    Examples
    --------
    >>> standalone_svg('<svg viewBox="0 0 40 20"><path d="M0 0"/></svg>')[:72]
    '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20" style="co'
    """
    found = re.match(r'<svg\b([^>]*?\bviewBox="0 0 ([0-9.]+) ([0-9.]+)"[^>]*)>', svg)
    if found is None:
        raise InputError("The picture is no <svg> element with a viewBox; draw it with digitlab.evaluation.charts.")
    attributes, width, height = found.groups()
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" style="color: #16181d"{attributes}>'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>{svg[found.end() :]}\n'
    )


async def png_of_svg(svg: str, *, scale: int = 2) -> bytes:
    """Let the browser draw an SVG file and return it as PNG, with ``scale`` pixels for each unit.

    Raises
    ------
    InputError
        If it did not.
    """
    answer = await ui.run_javascript(_RASTERIZE % (json.dumps(svg), scale), timeout=10.0)
    try:
        if isinstance(answer, str) and answer.startswith(_PREFIX):
            return b64decode(answer.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        pass
    raise InputError("The browser could not draw the picture; save it as SVG instead.")


_RASTERIZE = """
return await (async (svg, scale) => {
  const image = new Image();
  image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(svg);
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = image.naturalWidth * scale;
  canvas.height = image.naturalHeight * scale;
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/png");
})(%s, %d);
"""
