"""Pictures of charts, put beside each other into one file."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

from PIL import Image

from digitlab.errors import StorageError

__all__ = ["png_side_by_side", "svg_side_by_side"]

_SIZE = re.compile(r'<svg\b[^>]*?\bwidth="([\d.]+)"[^>]*?\bheight="([\d.]+)"')


def png_side_by_side(pictures: Sequence[bytes]) -> bytes:
    """Return PNG files as one, from left to right.

    Raises
    ------
    StorageError
        If one is no picture.
    """
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

    Raises
    ------
    StorageError
        If one has no size.

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
