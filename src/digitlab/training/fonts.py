"""Fonts: the letter shapes that this machine happens to have."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

#: The font inside Pillow itself, for a machine without any.
BUILT_IN = "Pillow's own"

_SIZE_PX = 64
_SUFFIXES = (".ttf", ".otf")
# Their letters are signs.
_NOT_LETTERS = re.compile(
    r"symbol|emoji|dingbat|math|euterpe|braille|barcode|icon|cmex|cmsy|msam|msbm|bullets|webdings", re.IGNORECASE
)


@dataclass(frozen=True)
class Font:
    """A font: its file's name without the folder, for people, and the file; none for Pillow's own."""

    name: str
    path: str | None = None


def _folders() -> list[Path]:
    home = Path.home()
    if sys.platform == "win32":
        return [Path(os.environ.get("WINDIR", "C:/Windows")) / "Fonts"]
    if sys.platform == "darwin":
        return [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts"]
    return [Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), home / ".local/share/fonts", home / ".fonts"]


def find_fonts(folders: Sequence[Path] | None = None) -> tuple[Font, ...]:
    """Find the fonts that have Latin letters, in folders and below; Pillow's own is always among them."""
    found: dict[str, Font] = {}
    for folder in _folders() if folders is None else folders:
        for path in sorted(folder.rglob("*")) if folder.is_dir() else []:
            if path.suffix.lower() in _SUFFIXES and not _NOT_LETTERS.search(path.name) and path.name not in found:
                font = Font(path.name, str(path))
                if all(has_letter(font, letter) for letter in "AEMRaemr"):
                    found[path.name] = font
    return (Font(BUILT_IN), *(found[name] for name in sorted(found)))


@lru_cache(maxsize=512)
def _opened(font: Font) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    if font.path is None:
        return ImageFont.load_default(_SIZE_PX)
    # The basic layout: ligatures and swashes of script fonts need the neighbors that a single letter has not.
    return ImageFont.truetype(font.path, _SIZE_PX, layout_engine=ImageFont.Layout.BASIC)


def draw_letter(font: Font, letter: str) -> NDArray[np.float32]:
    """Draw a letter: float32 (128, 128), 0-1, bright on dark, in the middle; all 0 if the font cannot."""
    image = Image.new("L", (2 * _SIZE_PX, 2 * _SIZE_PX))
    try:
        ImageDraw.Draw(image).text((_SIZE_PX, _SIZE_PX), letter, fill=255, font=_opened(font), anchor="mm")
    except (OSError, ValueError, UnicodeError):  # a damaged font, or one without outlines
        return np.zeros((2 * _SIZE_PX, 2 * _SIZE_PX), np.float32)
    return np.asarray(image, np.float32) / np.float32(255)


def has_letter(font: Font, letter: str) -> bool:
    """Tell whether a font draws this letter, and not the box that stands for what it does not have."""
    drawn = draw_letter(font, letter)
    return bool(drawn.any()) and not np.array_equal(drawn, draw_letter(font, "\uffff"))
