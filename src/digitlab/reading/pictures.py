"""Pictures: the photo with boxes, and every step of the way, as files to look at."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from digitlab.errors import StorageError
from digitlab.reading.reading import Reading

if TYPE_CHECKING:
    from digitlab.reading.steps import Explained

__all__ = ["INDEX", "write_overlay", "write_steps"]

#: The page that shows the steps one below the other.
INDEX = "index.html"

_JPEG = (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo")
_QUALITY = 90

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
img {{ max-width: 100%; min-width: min(14rem, 100%); border: 1px solid #8888; image-rendering: auto }}
h2 {{ margin: 2rem 0 0 }} p {{ margin: .3rem 0 .7rem }} pre {{ font-size: 1.2rem }}
</style></head><body><h1>{title}</h1>
<p>{summary}</p>{text}
{steps}
</body></html>
"""


def write_overlay(reading: Reading, photo: str | bytes, target: Path, *, numbered: bool = False) -> Path:
    """Write the photo with boxes and values.

    Parameters
    ----------
    reading : Reading
        What was read.
    photo : str or bytes
        The photo's path, or what is in it.
    target : Path
        Without extension: the picture is JPEG if the photo is, else PNG. Missing folders are made.
    numbered : bool
        Add the page's number to the name.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    is_jpeg = isinstance(photo, str) and photo.lower().endswith(_JPEG)
    name = f"{target.name}-page-{reading.page}" if numbered else target.name
    path = target.with_name(f"{name}.{'jpg' if is_jpeg else 'png'}")
    _save(reading.render(photo), path)
    return path


def write_steps(explained: Explained, folder: Path, title: str) -> Path:
    """Write a picture of every step and a page that shows and explains them.

    Parameters
    ----------
    explained : Explained
        The reading and its steps.
    folder : Path
        Made if it is missing; pictures of the same names in it are replaced.
    title : str
        What the page is headed with: the photo's name.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    StorageError
        If something cannot be written.
    """
    parts = []
    for number, step in enumerate(explained.steps, start=1):
        file = f"{number:02d}-{step.name}.png"
        _save(Image.fromarray(step.picture), folder / file)
        parts.append(
            f"<h2>{number}. {escape(step.title)}</h2>\n<p>{escape(step.sentence)}</p>\n"
            f'<img src="{escape(file)}" alt="{escape(step.title)}">'
        )
    reading = explained.reading
    n_digits, n_refused = len(reading.digits), len(reading.refused)
    summary = (
        f"{n_digits or 'No'} digit{'' if n_digits == 1 else 's'} read, "
        f"{n_refused} mark{'' if n_refused == 1 else 's'} refused."
    )
    text = f"<pre>{escape(reading.text)}</pre>" if reading.text else ""
    page = _PAGE.format(title=escape(title), summary=summary, text=text, steps="\n".join(parts))
    path = folder / INDEX
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(page, "utf-8", errors="backslashreplace")
    except OSError as error:
        raise _cannot(path, error) from None
    return path


def _save(picture: Image.Image, path: Path) -> None:
    spare = path.with_name(f".{path.name}.new{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            picture.save(spare, quality=_QUALITY)
            os.replace(spare, path)
        finally:
            spare.unlink(missing_ok=True)
    except OSError as error:
        raise _cannot(path, error) from None


def _cannot(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{path} cannot be written: {error.strerror or error}. Make room or name another folder, and give the same "
        "command again."
    )
