"""Pictures to save: SVG drawn as PNG by the browser that shows it, and several put beside each other into one file."""

from __future__ import annotations

import binascii
import io
import json
import re
from base64 import b64decode
from collections.abc import Sequence

from nicegui import ui
from PIL import Image

from digitlab.errors import InputError, StorageError

_PREFIX = "data:image/png;base64,"
_SIZE = re.compile(r'<svg\b[^>]*?\bwidth="([\d.]+)"[^>]*?\bheight="([\d.]+)"')
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


async def png_of_svg(svg: str, *, scale: int = 2) -> bytes:
    """Let the browser draw an SVG file and return it as PNG, with ``scale`` pixels for each unit."""
    answer = await ui.run_javascript(_RASTERIZE % (json.dumps(svg), scale), timeout=10.0)
    try:
        if isinstance(answer, str) and answer.startswith(_PREFIX):
            return b64decode(answer.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        pass
    raise InputError("The browser could not draw the picture; save it as SVG instead.")


def png_side_by_side(pictures: Sequence[bytes]) -> bytes:
    """Return PNG files as one, from left to right."""
    try:
        images = [Image.open(io.BytesIO(picture), formats=["PNG"]).convert("RGB") for picture in pictures]
    except OSError as error:
        raise StorageError(f"The browser gave a picture that cannot be read ({error}); try again.") from None
    whole = Image.new(
        "RGB", (sum(image.width for image in images), max(image.height for image in images)), images[0].getpixel((0, 0))
    )
    left = 0
    for image in images:
        whole.paste(image, (left, 0))
        left += image.width
    file = io.BytesIO()
    whole.save(file, "PNG")
    return file.getvalue()


def svg_side_by_side(pictures: Sequence[str]) -> str:
    """Return SVG pictures as one, from left to right.

    Examples
    --------
    >>> one = '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="5"></svg>'
    >>> svg_side_by_side([one, one]).count('<svg')
    3
    """
    parts, left, height = [], 0.0, 0.0
    for picture in pictures:
        found = _SIZE.search(picture)
        if found is None:
            raise StorageError("The browser gave a picture without a size; try again.")
        parts.append(picture[found.start() :].replace("<svg", f'<svg x="{left:g}"', 1))
        left, height = left + float(found[1]), max(height, float(found[2]))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left:g}" height="{height:g}">\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )
