"""Letters, words and digits to put on paper: printed, in the fonts that this machine happens to have, and penned.

Strokes become ink, and letters come from the course of their strokes.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

#: The font inside Pillow itself, for a machine without any.
BUILT_IN = "Pillow's own"

_FONT_PX = 64
_SUFFIXES = (".ttf", ".otf")
# Their letters are signs.
_NOT_LETTERS = re.compile(
    r"symbol|emoji|dingbat|math|euterpe|braille|barcode|icon|cmex|cmsy|msam|msbm|bullets|webdings", re.IGNORECASE
)
_INK = 0.3

# Strokes are drawn on a canvas so large, words on a strip so high and wide; its capitals are so high.
_CANVAS_PX = 96
_MARGIN_PX = 14
_STRIP = (32, 320)
_CAPITAL_PX = 17
_WORD_PX = 23
_MIDDLE = 16.0

# How people write them: strokes separated by "|", points "x,y" in a square of 10 (y down), "~" before a curved stroke.
# A letter is left out if people write it as they write a digit: O o I l i S s Z z B b q g D Q.
COURSES: dict[str, tuple[str, ...]] = {
    "A": ("0,10 5,0 10,10|2,6 8,6", "~0,10 2,5 5,0 6,0 8,5 10,10|~1,6 5,6 9,6", "~1,10 2,3 5,0 8,3 9,10|1,6 9,6"),
    "C": ("~9,2 6,0 2,2 0,5 2,9 6,10 9,8", "~8,1 4,0 1,3 1,7 4,10 9,9", "~7,2 8,0 4,0 0,5 1,9 5,10 10,7"),
    "E": ("9,0 1,0 1,10 9,10|1,5 7,5", "0,0 0,10|0,0 8,0|0,5 6,5|0,10 8,10", "~8,1 4,0 1,2 4,5 6,5 3,5 0,8 4,10 9,8"),
    "F": ("9,0 1,0 1,10|1,5 7,5", "~0,1 4,0 9,0|~5,0 4,6 2,10 0,9|1,5 7,5", "0,0 0,10|0,0 9,1|0,5 6,5"),
    "G": ("~9,2 6,0 2,2 0,5 2,9 6,10 9,8|9,8 9,5 5,5", "~8,1 4,0 0,4 1,8 5,10 8,8|5,6 9,6|8,6 8,10",
          "~8,1 3,0 0,5 3,9 8,8 8,5 4,5"),
    "H": ("1,0 1,10|9,0 9,10|1,5 9,5", "~1,0 0,5 1,10|~9,0 8,5 9,10|~0,5 5,4 9,5", "2,0 0,10|10,0 8,10|1,6 9,4"),
    "J": ("2,0 10,0|~6,0 6,6 5,9 3,10 0,8", "~8,0 8,6 6,10 2,10 0,7", "~1,1 5,0 9,0|~7,0 6,7 4,11 1,10 2,7 8,6"),
    "K": ("1,0 1,10|9,0 1,6 9,10", "0,0 0,10|8,0 1,5|2,4 9,10", "~1,0 0,5 1,10|~9,0 4,4 1,5 5,6 9,10"),
    "L": ("1,0 1,10 9,10", "~3,0 1,5 0,10 4,9 9,9", "~6,2 5,0 3,1 3,7 1,10 0,9 3,9 7,10 10,8"),
    "M": ("0,10 1,0 5,7 9,0 10,10", "~0,10 2,0 3,1 5,9 7,1 8,0 10,10", "0,0 0,10|0,0 5,6 10,0 10,10"),
    "N": ("0,10 0,0 9,10 9,0", "~0,10 1,1 2,0 7,10 8,9 9,0", "0,10 1,0|1,0 8,10|8,10 9,0"),
    "P": ("1,10 1,0|~1,0 6,0 9,2 6,5 1,5", "~2,10 2,1 1,2 4,0 9,1 8,4 3,5"),
    "R": ("1,10 1,0|~1,0 6,0 9,2 6,5 1,5|4,5 9,10", "~2,10 2,1 0,2 4,0 9,1 8,4 3,5 6,7 10,10"),
    "T": ("0,0 10,0|5,0 5,10", "~0,1 5,0 10,1|~5,0 5,6 4,10", "~0,2 1,0 10,0|~6,0 5,8 3,10 1,9"),
    "U": ("~1,0 1,7 3,10 7,10 9,7 9,0", "~1,0 0,6 3,10 7,9 9,0|~9,0 8,7 10,10"),
    "V": ("0,0 5,10 10,0", "~0,1 2,1 5,10 7,3 10,0"),
    "W": ("0,0 2,10 5,3 8,10 10,0", "~0,0 1,8 3,10 5,4 6,9 8,10 10,0"),
    "X": ("0,0 9,10|9,0 0,10", "~0,0 5,5 9,10|~9,0 4,5 0,10", "~0,1 2,0 7,10 10,9|9,0 0,10"),
    "Y": ("0,0 5,5 5,10|10,0 5,5", "0,0 5,5|10,0 3,10"),
    "a": ("~8,1 4,0 0,4 1,9 4,10 8,6 8,1|~8,1 8,7 10,10", "~9,2 5,0 0,5 3,10 8,7 9,1|~9,1 8,8 10,10 13,8",
          "~1,2 5,0 8,2 8,10|~8,5 3,5 0,8 4,10 8,8"),
    "c": ("~8,1 4,0 0,5 3,10 9,8", "~7,2 7,0 2,1 0,6 3,10 8,9 11,6", "~0,1 3,0 6,1|~7,1 3,1 1,6 4,10 10,8"),
    "d": ("~7,5 4,4 0,7 2,10 6,9 7,6|~8,0 7,5 7,9 9,10", "~6,5 2,4 0,8 3,10 7,6 9,0|~9,0 7,7 8,10 11,9",
          "9,0 9,10|~9,5 4,4 1,7 4,10 9,9"),
    "e": ("~1,6 8,5 7,1 4,0 0,5 3,10 9,8", "~0,9 6,5 7,1 4,0 1,4 2,9 6,10 11,7", "1,5 9,5|~9,5 7,0 2,1 0,6 4,10 9,8"),
    "f": ("~8,1 6,0 4,2 4,10|1,4 7,4", "~0,6 5,3 7,0 5,0 4,5 3,13 1,14 2,9 7,6", "~9,1 6,0 5,3 4,13 2,15 0,13|1,5 9,5"),
    "h": ("1,0 1,10|~1,6 4,4 7,5 7,10", "~0,8 4,2 3,0 2,2 2,10 5,5 7,6 7,9 10,9", "2,0 0,10|~1,7 4,5 6,6 6,10"),
    "j": ("~6,4 6,11 4,14 1,13|6,1 6.4,1.2", "~3,6 7,4 6,12 3,15 1,13 4,10 9,8|7,0 7.4,0.3"),
    "k": ("1,0 1,10|7,4 1,7 7,10", "~0,8 4,2 3,0 2,3 2,10|~2,7 6,4 6,6 3,7 7,10 9,9"),
    "m": ("~0,4 1,5 1,10|~1,6 3,4 5,5 5,10|~5,6 7,4 9,5 9,10", "~0,10 1,4 2,5 2,10 4,4 5,5 5,10 8,4 9,5 9,9 11,9",
          "~0,5 1,9 3,4 4,9 6,4 7,9 9,4 10,10"),
    "n": ("~1,4 1,10|~1,6 4,4 7,5 7,10", "~0,6 2,4 2,10 4,5 6,4 7,6 7,9 10,9", "0,4 0,10 6,4 6,10"),
    "p": ("1,4 1,14|~1,5 4,4 7,6 5,9 1,9", "~0,7 3,3 2,8 1,14|~2,6 5,3 8,5 6,9 2,9",
          "~0,8 3,3 1,15 3,6 6,4 7,7 4,10 2,9"),
    "r": ("~1,4 1,10|~1,7 3,4 6,4", "~0,9 2,4 3,5 6,5 5,9 8,10", "~0,5 2,4 2,10|~2,7 4,4 7,5", "~0,6 2,3 4,5 7,4 6,9"),
    "t": ("~4,0 4,8 6,10 8,9|1,3 7,3", "~0,8 4,1 4,0 3,8 5,10 9,8|1,3 8,3", "4,0 4,10|0,3 8,3",
          "~1,10 5,0 4,9 7,10|0,4 9,2"),
    "u": ("~1,4 1,8 3,10 6,8|~7,4 7,8 9,10", "~0,6 2,4 1,9 4,10 7,4 6,9 8,10 11,8", "~0,4 0,9 4,10 7,8 7,4"),
    "v": ("0,4 4,10 8,4", "~0,5 2,4 4,10 7,5 7,3 10,4", "~0,4 2,9 4,10 6,4 9,5"),
    "w": ("0,4 2,10 5,5 8,10 10,4", "~0,4 0,9 3,10 5,5 5,9 8,10 10,5 9,3 12,4", "~0,5 1,9 3,9 5,4 6,9 8,9 10,4"),
    "x": ("0,4 7,10|7,4 0,10", "~0,5 2,4 6,10 8,9|~8,4 4,6 0,10", "~0,4 3,5 3,9 0,10|~8,4 5,5 5,9 8,10"),
    "y": ("~0,4 1,8 4,8 7,4|~7,4 6,10 4,14 1,13", "~0,5 2,4 2,9 5,9 7,4|~8,4 6,12 3,15 1,13 5,10 11,8"),
    "&": ("~9,10 3,3 3,0 6,0 6,3 0,7 2,10 6,9 9,6",),
    "#": ("3,0 2,10|7,0 6,10|0,3 10,3|0,7 10,7",),
    "+": ("5,1 5,9|1,5 9,5",),
    "=": ("1,3 9,3|1,7 9,7",),
    "*": ("5,0 5,10|1,2 9,8|9,2 1,8",),
    "%": ("9,0 1,10|~3,0 1,1 2,3 4,2 3,0|~8,7 6,8 7,10 9,9 8,7",),
    "?": ("~1,2 3,0 7,0 8,3 5,6 4.5,7.5|4.5,9.5 4.8,9.8",),
}  # fmt: skip

_LETTERS = tuple(sorted(COURSES))

# Letters of words, by how often English has them, about.
_OFTEN = "eeeeeeeeeeeetttttttttaaaaaaaaooooooooiiiiiiinnnnnnnsssssshhhhhhrrrrrrddddllllccuummmwwffggyyppbbvkjxqz"
# Letters that only stand in words: alone they may be digits.
_WITHIN_WORDS: dict[str, tuple[str, ...]] = {
    "o": ("~5,4 1,5 1,9 5,10 7,7 5,4 9,5",),
    "i": ("~0,7 2,4 2,9 4,10 5,8|2,1.5 2.3,1.7",),
    "l": ("~0,8 3,2 3,0 1,2 1,8 3,10 5,8",),
    "s": ("~0,9 3,4 5,8 3,10 1,9|5,9 7,8",),
    "b": ("~0,8 3,2 2,0 1,3 1,9 3,10 5,7 3,5",),
    "g": ("~6,5 3,4 1,7 3,9 6,6|~6,5 6,12 3,14 2,12 8,8",),
    "z": ("~0,5 3,4 5,5 2,9 4,10 3,14 1,13 8,8",),
}


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
def _opened(font: Font, size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    if font.path is None:
        return ImageFont.load_default(size_px)
    # The basic layout: ligatures and swashes of script fonts need the neighbors that a single letter has not.
    return ImageFont.truetype(font.path, size_px, layout_engine=ImageFont.Layout.BASIC)


def _printed(
    text: str, font: Font, size_px: int, shape: tuple[int, int], at: tuple[float, float], anchor: str
) -> NDArray[np.uint8]:
    """Print a text on paper of a shape: uint8, bright on dark; all 0 if the font cannot."""
    image = Image.new("L", shape[::-1])
    try:
        ImageDraw.Draw(image).text(at, text, fill=255, font=_opened(font, size_px), anchor=anchor)
    except (OSError, ValueError, UnicodeError):  # a damaged font, or one without outlines
        return np.zeros(shape, np.uint8)
    return np.array(image)


def draw_letter(font: Font, letter: str) -> NDArray[np.float32]:
    """Draw a letter: float32 (128, 128), 0-1, bright on dark, in the middle; all 0 if the font cannot."""
    side = 2 * _FONT_PX
    drawn = _printed(letter, font, _FONT_PX, (side, side), (_FONT_PX, _FONT_PX), "mm")
    return drawn.astype(np.float32) / np.float32(255)


def has_letter(font: Font, letter: str) -> bool:
    """Tell whether a font draws this letter, and not the box that stands for what it does not have."""
    drawn = draw_letter(font, letter)
    return bool(drawn.any()) and not np.array_equal(drawn, draw_letter(font, "\uffff"))


@dataclass(frozen=True, eq=False)
class Stroke:
    """Points that a pen passes without being lifted: float64 (n, 2), x and y; in a curve or in straight lines."""

    points: NDArray[np.float64]
    is_curved: bool = False


def smooth(points: NDArray[np.float64], n: int = 8) -> NDArray[np.float64]:
    """Return the curve through the points (Catmull and Rom 1974), ``n`` points for each part of it."""
    if len(points) < 3:
        return points
    p = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    t = np.arange(n)[:, None, None] / n
    a, b, c, d = p[:-3], p[1:-2], p[2:-1], p[3:]
    curve = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    return np.concatenate([curve.swapaxes(0, 1).reshape(-1, 2), points[-1:]])


def draw_strokes(
    strokes: Sequence[Stroke],
    rng: np.random.Generator,
    *,
    turn: float = 0.2,
    slant: tuple[float, float] = (-0.2, 0.6),
    stretch: float = 0.35,
) -> NDArray[np.float32]:
    """Draw strokes, in any unit, with some pen in some hand: float32 (h, w), 0-1, bright on dark.

    ``turn`` is in radians, either way; ``slant`` the least and most pixels to the right for each pixel up; ``stretch``
    the logarithm of the largest change of width by height.
    """
    angle, ratio = rng.uniform(-turn, turn), np.exp(rng.uniform(-stretch, stretch) / 2)
    shear = np.array([[1.0, -rng.uniform(*slant)], [0.0, 1.0]])
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = rotation @ shear @ np.diag([ratio, 1 / ratio])
    moved = [s.points @ matrix.T for s in strokes]
    everything = np.concatenate(moved)
    low = everything.min(0)
    size = max(float((everything.max(0) - low).max()), 1e-6)
    scale = (_CANVAS_PX - 2 * _MARGIN_PX) / size
    shape = np.ceil((everything.max(0) - low) * scale).astype(int) + 2 * _MARGIN_PX
    image = np.zeros((int(shape[1]), int(shape[0])), np.uint8)
    width_px = round(float(np.exp(rng.uniform(np.log(4), np.log(13)))))
    for points in moved:
        draw_line(image, (points - low) * scale + _MARGIN_PX, max(2, width_px + int(rng.integers(-1, 2))))
    return image.astype(np.float32) / np.float32(255)


def draw_line(image: NDArray[np.uint8], points: NDArray[np.float64], width_px: int, level: int = 255) -> None:
    """Draw a line through points, (n, 2), which may lie between pixels, onto an image."""
    fixed = np.round(points * 16).astype(np.int32)
    cv2.polylines(image, [fixed], False, level, width_px, cv2.LINE_AA, 4)


def cropped(ink: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the box around the ink; the whole image if there is none."""
    rows, columns = np.flatnonzero(ink.max(1) > _INK), np.flatnonzero(ink.max(0) > _INK)
    if len(rows) == 0 or len(columns) == 0:
        return ink
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def penned_letter(rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw a letter as somebody might write it: float32 (h, w), 0-1, bright on dark."""
    letter = _LETTERS[rng.integers(len(_LETTERS))]
    courses = COURSES[letter]
    strokes = _strokes(courses[rng.integers(len(courses))])
    own_hand = rng.uniform(0.1, 0.75)  # how far points go astray, in tenths of the letter
    strokes = [Stroke(s.points + rng.normal(0, own_hand, s.points.shape), s.is_curved) for s in strokes]
    if letter.islower() and rng.random() < 0.5:
        strokes = _joined_up(strokes, rng)
    if rng.random() < 0.2:
        strokes.append(_stray(rng))
    strokes = [Stroke(smooth(s.points) if s.is_curved else s.points, False) for s in strokes]
    return draw_strokes(strokes, rng)


def _strokes(course: str) -> list[Stroke]:
    found = []
    for text in course.split("|"):
        points = [tuple(float(number) for number in point.split(",")) for point in text.removeprefix("~").split()]
        found.append(Stroke(np.array(points, np.float64), text.startswith("~")))
    return found


def _joined_up(strokes: list[Stroke], rng: np.random.Generator) -> list[Stroke]:
    """Add the lines by which a letter hangs together with those before and after it, or one of them."""
    base = max(float(s.points[:, 1].max()) for s in strokes) if rng.random() < 0.3 else 10.0
    first, last = strokes[0].points[0], strokes[-1].points[-1]
    which = rng.integers(3)
    added = []
    if which != 1:
        start = np.array([first[0] - rng.uniform(1.5, 5), base - rng.uniform(-1, 3)])
        bend = (start + first) / 2 + rng.normal(0, 0.8, 2) + [0.5, 0.8]
        added.append(Stroke(np.array([start, bend, first]), True))
    if which != 0:
        end = np.array([last[0] + rng.uniform(1.5, 5), base - rng.uniform(0, 6)])
        bend = (end + last) / 2 + rng.normal(0, 0.8, 2) + [0.5, 0.8]
        added.append(Stroke(np.array([last, bend, end]), True))
    return strokes + added


def _stray(rng: np.random.Generator) -> Stroke:
    """Part of a letter beside this one, or of a line."""
    side = -2.5 if rng.random() < 0.5 else 11.5
    y = rng.uniform(0, 10)
    points = np.array([side, y]) + rng.uniform(-2.5, 2.5, (3, 2))
    return Stroke(points, True)


def printed_digits(fonts: Sequence[Font]) -> NDArray[np.uint8]:
    """Return the ten digits of every font, and of displays of seven bars: uint8 (n, 10, 28, 28)."""
    printed = [np.stack([_framed(draw_letter(font, str(k))) for k in range(10)]) for font in fonts]
    return np.stack(printed + [_display(lean, wide) for lean in (0, 2) for wide in (3, 5)])


def _display(lean: int, wide: int) -> NDArray[np.uint8]:
    """The ten digits as a display of seven bars shows them: uint8 (10, 28, 28)."""
    digits = np.zeros((10, 28, 28), np.uint8)
    left, right, gap = 7, 20, 1
    # Which bars are lit: top, upper left and right, middle, lower left and right, bottom.
    bars = "1110111 0010010 1011101 1011011 0111010 1101011 1101111 1010010 1111111 1111011"
    half = wide // 2
    for digit, lit in zip(digits, bars.split(), strict=True):
        for bar in np.flatnonzero([one == "1" for one in lit]):
            if bar in (0, 3, 6):
                y = (4, 14, 23)[bar // 3]
                shift = lean * (14 - y) // 10
                digit[y - half : y - half + wide - 1, left + half + gap + shift : right - half - gap + shift] = 255
            else:
                rows = np.arange(4 + gap, 14 - gap) if bar < 3 else np.arange(14 + gap, 24 - gap)
                x = left if bar in (1, 4) else right
                for row in rows:
                    digit[row, x - half + lean * (14 - row) // 10 :][: wide - 1] = 255
    return digits


def _framed(drawn: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A printed sign 20 pixels high, or wide, in the middle of 28 x 28."""
    image = np.zeros((28, 28), np.uint8)
    if drawn.max() <= _INK:
        return image
    ink = cropped(drawn)
    scale = 20 / max(ink.shape)
    high, wide = max(1, round(ink.shape[0] * scale)), max(1, round(ink.shape[1] * scale))
    small = cv2.resize(ink, (wide, high), interpolation=cv2.INTER_AREA)
    top, left = (28 - high) // 2, (28 - wide) // 2
    image[top : top + high, left : left + wide] = np.round(np.clip(small, 0, 1) * 255)
    return image


def _word(rng: np.random.Generator, letters: str) -> str:
    n = int(rng.integers(2, 11))
    text = "".join(letters[int(rng.integers(len(letters)))] for _ in range(n))
    if all(letter in "oilszbgq" for letter in text):
        text += "am"
    return text


def printed_word(font: Font, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Print a word in a font: uint8 ``_STRIP``; all 0 if the font cannot."""
    text = _word(rng, _OFTEN)
    form = rng.random()
    text = text.upper() if form < 0.2 else text.capitalize() if form < 0.5 else text
    text += str(rng.choice(["", "", "", "", ".", ",", ":", " &"]))
    return _printed(text, font, _WORD_PX, _STRIP, (1, _MIDDLE + _CAPITAL_PX / 2), "ls")


def penned_word(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Write a word in joined-up or loose handwriting: uint8 ``_STRIP``."""
    known = COURSES | _WITHIN_WORDS
    text = _word(rng, "".join(letter for letter in _OFTEN if letter in known))
    if rng.random() < 0.4:
        capitals = [letter for letter in known if letter.isupper()]
        text = capitals[int(rng.integers(len(capitals)))] + text[1:]
    image = np.zeros(_STRIP, np.uint8)
    unit = _CAPITAL_PX / 10
    x, width_px = 3.0, max(1, round(float(np.exp(rng.uniform(np.log(1.2), np.log(3.6))))))
    narrow, slant, hand = rng.uniform(0.5, 1.0), rng.uniform(-0.1, 0.5), rng.uniform(0.1, 0.7)
    is_joined, last = rng.random() < 0.6, None
    for letter in text:
        right = 0.0
        for k, stroke in enumerate(_strokes(known[letter][int(rng.integers(len(known[letter])))])):
            points, is_curved = stroke.points + rng.normal(0, hand, stroke.points.shape), stroke.is_curved
            across = x + unit * (narrow * points[:, 0] + slant * (10 - points[:, 1]))
            placed = np.stack([across, _MIDDLE - _CAPITAL_PX / 2 + unit * points[:, 1]], 1)
            if k == 0 and last is not None and is_joined and letter.islower():
                placed, is_curved = np.concatenate([last[None], placed]), True
            if is_curved:
                placed = smooth(placed)
            draw_line(image, placed, width_px)
            right = max(right, float(points[:, 0].max()))
            if k == 0:
                last = placed[-1]
        x += unit * narrow * (right + rng.uniform(0.5, 3))
        if x > _STRIP[1] - 30:
            break
    return image
