"""Pictures without any digit: pages of text, and scenes such as a phone takes by mistake."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from composed_photos import (
    GROUNDS,
    Composed,
    ground,
    inked,
    laid,
    lit,
    paper,
    pen_color,
    photographed,
    ruled,
    smooth_noise,
    tilted,
)
from digitlab.training.letters import BUILT_IN, Font, find_fonts, penned_letter

_TEXT = """
the quick brown fox jumps over lazy dogs while many people watch from garden benches and nobody says a word about
weather because every window stands open to let fresh morning air into rooms where children read old letters that
their grandmother wrote with blue ink on thin paper after long journeys through quiet valleys near the northern
coast please return this form before Friday otherwise your request cannot be handled by our office thank you very
much for waiting Name Street Town Country Remarks Signature Milk Bread Butter Apples Honey Paper Pencil Ruler Monday
Tuesday Wednesday Meeting Agenda Minutes Budget Notes Draft Private Confidential Warning Kitchen Garage
"""
_WORDS = _TEXT.split()
_NO_LETTERS = re.compile("D050000L|Dingbat", re.IGNORECASE)


@cache
def _fonts() -> tuple[Font, ...]:
    """The fonts that this machine has, so printed pages differ between machines; Pillow's own is everywhere."""
    return tuple(font for font in find_fonts() if not _NO_LETTERS.search(font.name))


def _font(rng: np.random.Generator, size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    fonts = _fonts()
    font = fonts[rng.integers(len(fonts))]
    return ImageFont.load_default(size_px) if font.name == BUILT_IN else ImageFont.truetype(font.path, size_px)


def _sentence(rng: np.random.Generator, most: int) -> str:
    words = [str(rng.choice(_WORDS)) for _ in range(rng.integers(2, 9))]
    text = " ".join(words)
    text = text[0].upper() + text[1:] + str(rng.choice([".", "", "!", ","]))
    while len(text) > most and " " in text:  # whole words: half a letter may be a digit
        text = text.rpartition(" ")[0]
    return text


def printed(rng: np.random.Generator) -> Composed:
    """A printed page, a headline, or a sign with light letters."""
    size_px = int(rng.choice([14, 18, 24, 32, 44, 60]))
    height, width = int(rng.integers(260, 460)), int(rng.integers(380, 620))
    letters = Image.new("L", (width, height))
    draw, font = ImageDraw.Draw(letters), _font(rng, size_px)
    pitch, left = size_px * rng.uniform(1.3, 1.9), round(size_px * rng.uniform(0.6, 1.5))
    for top in np.arange(0.8 * size_px, height - 1.6 * size_px, pitch):
        if rng.random() < 0.85:
            draw.text((left, round(top)), _sentence(rng, round((width - left) / (0.62 * size_px))), 255, font)
    ink = np.asarray(letters, np.float32) / 255
    if rng.random() < 0.2:  # a sign
        sheet = ground("dark", (height, width), rng)
        picture = sheet * (1 - ink[..., None]) + np.float32(rng.uniform(0.7, 0.95)) * ink[..., None]
    else:
        picture = inked(paper((height, width), rng), ink, np.full(3, rng.uniform(0.05, 0.3)), rng)
    return Composed(photographed(lit(picture, rng), rng, blur=rng.uniform(0.3, 0.8)), kind="printed text")


def handwritten(rng: np.random.Generator) -> Composed:
    """Words of letters as a pen draws them."""
    height_px = rng.uniform(20, 54)
    size = (int(rng.integers(260, 460)), int(rng.integers(380, 620)))
    ink = np.zeros(size, np.float32)
    pitch = height_px * rng.uniform(1.8, 2.4)
    sheet = paper(size, rng)
    if rng.random() < 0.4:
        ruled(sheet, pitch, height_px * 1.7, rng)
    is_joined = rng.random() < 0.5
    for base in np.arange(1.7 * height_px, size[0] - height_px, pitch):
        left = height_px * rng.uniform(0.5, 1)
        while left < size[1] - 2.5 * height_px:
            for _ in range(int(rng.integers(2, 8))):
                letter = penned_letter(rng)
                scale = height_px * rng.uniform(0.75, 1.05) / max(letter.shape)
                glyph = cv2.resize(letter, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
                if left + glyph.shape[1] > size[1] - 5:
                    break
                top = round(base - glyph.shape[0] + rng.normal(0, 0.04) * height_px)
                part = ink[top : top + glyph.shape[0], round(left) : round(left) + glyph.shape[1]]
                np.maximum(part, glyph[: part.shape[0], : part.shape[1]], out=part)
                left += glyph.shape[1] + height_px * (rng.uniform(-0.12, 0.02) if is_joined else rng.uniform(0.03, 0.2))
            left += height_px * rng.uniform(0.4, 0.9)
    picture = lit(inked(sheet, ink, pen_color(rng), rng), rng)
    return Composed(photographed(picture, rng, blur=rng.uniform(0.4, 0.9)), kind="handwritten text")


def text_page(rng: np.random.Generator) -> Composed:
    """A page of text, printed or by hand."""
    return printed(rng) if rng.random() < 0.6 else handwritten(rng)


def named_scene(name: str, rng: np.random.Generator) -> Composed:
    """A scene of ``SCENES``."""
    size = (420, 560) if rng.random() < 0.7 else (560, 420)
    picture = SCENES[name](size, rng)
    return Composed(photographed(lit(picture, rng, hard=rng.random() < 0.3), rng), kind=name)


def _table(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    return ground(str(rng.choice(GROUNDS)), size, rng)


def _blank_sheet(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """An empty sheet on a table, sometimes ruled, with a finger, a clip or a pen on it."""
    high, wide = round(0.8 * size[0]), round(0.75 * size[1])
    sheet = paper((high, wide), rng)
    what = rng.integers(4)
    if what == 0:
        ruled(sheet, rng.uniform(18, 40), 40, rng)
    photo = laid(sheet, _table(size, rng), tilted((wide, high), size[::-1], 12, rng.normal(0, 6), rng), rng)
    if what == 1:  # a finger holds it
        x, y = int(rng.uniform(0.3, 0.7) * size[1]), size[0] - 40
        finger = np.zeros(size, np.float32)
        cv2.ellipse(finger, (x, y), (34, 110), rng.uniform(-25, 25), 0, 360, 1.0, -1, cv2.LINE_8)
        finger = cv2.GaussianBlur(finger, (0, 0), 2)[..., None]
        skin = np.array([0.8, 0.58, 0.46]) * rng.uniform(0.5, 1.1)
        photo = photo * (1 - finger) + skin * finger
    elif what == 2:  # staples, a clip
        for _ in range(int(rng.integers(1, 4))):
            a = rng.uniform(0.25, 0.75, 2) * size[::-1]
            b = a + rng.normal(0, 1, 2) * 16
            cv2.line(photo, tuple(map(int, a)), tuple(map(int, b)), (0.35, 0.35, 0.38), 2, cv2.LINE_8)
    elif what == 3:  # a pen lies there
        a, b = rng.uniform(0.2, 0.8, (2, 2)) * size[::-1]
        cv2.line(photo, tuple(map(int, a)), tuple(map(int, b)), tuple(rng.uniform(0.05, 0.5, 3)), 9, cv2.LINE_8)
    return photo.astype(np.float32)


def _empty_form(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Boxes and rules without anything in them."""
    sheet = paper(size, rng)
    ink = np.zeros(size, np.float32)
    y = 40
    while y < size[0] - 70:
        high, wide, left = int(rng.integers(24, 56)), int(rng.integers(20, 52)), int(rng.integers(30, 120))
        for k in range(min(int(rng.integers(1, 10)), (size[1] - left - 20) // wide)):
            cv2.rectangle(ink, (left + k * wide, y), (left + (k + 1) * wide, y + high), rng.uniform(0.3, 1), 2)
        y += high + int(rng.integers(12, 60))
    return inked(sheet, ink, np.full(3, 0.15), rng)


def _hills(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Sky and hills, with soft shapes before them."""
    picture = np.linspace(0.9, 0.5, size[0])[:, None, None] * np.array([0.7, 0.85, 1.0]) * np.ones((*size, 3))
    for k in range(4):
        edge = size[0] * (0.35 + 0.15 * k) + 40 * smooth_noise(rng, (2, size[1]), (2, 120))[0]
        picture[np.arange(size[0])[:, None] > edge] = np.array([0.3, 0.45, 0.25]) * rng.uniform(0.4, 1.3)
    texture = 1 + 0.12 * smooth_noise(rng, size, (5, 5)) + 0.1 * smooth_noise(rng, size, (25, 25))
    return (picture * texture[..., None]).astype(np.float32)


def _leaves(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    picture = np.full((*size, 3), 0.12, np.float32)
    for _ in range(260):
        center = tuple(int(v) for v in rng.uniform(0, 1, 2) * size[::-1])
        axes = (int(rng.integers(10, 40)), int(rng.integers(4, 14)))
        color = tuple(np.array([0.35, 0.55, 0.2]) * rng.uniform(0.4, 1.5))
        cv2.ellipse(picture, center, axes, rng.uniform(0, 180), 0, 360, color, -1)
    return picture


def _bricks(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    high, wide = rng.uniform(20, 46), rng.uniform(60, 120)
    y, x = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32)
    row = np.floor(y / high)
    across = x / wide + 0.5 * (row % 2)
    is_joint = ((y / high) % 1 < 0.1) | (across % 1 < 0.05)
    tone = np.random.default_rng(7).uniform(0.7, 1.2, 4096)[((row * 57 + np.floor(across) * 13) % 4096).astype(int)]
    level = tone * (1 + 0.12 * smooth_noise(rng, size, (3, 3)))
    brick = np.array([0.6, 0.3, 0.22]) * level[..., None]
    return np.where(is_joint[..., None], 0.72, brick).astype(np.float32)


def _windows(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """A house front."""
    picture = np.ones((*size, 3), np.float32) * rng.uniform(0.4, 0.85, 3).astype(np.float32)
    high, wide = int(rng.integers(50, 90)), int(rng.integers(30, 60))
    for y in range(30, size[0] - high, int(1.7 * high)):
        for x in range(30, size[1] - wide, int(1.9 * wide)):
            cv2.rectangle(picture, (x, y), (x + wide, y + high), (0.93, 0.93, 0.93), 4)
            cv2.rectangle(picture, (x, y), (x + wide, y + high), tuple(rng.uniform(0.05, 0.35, 3)), -1)
            cv2.line(picture, (x + wide // 2, y), (x + wide // 2, y + high), (0.9, 0.9, 0.9), 2)
    return picture * (1 + 0.05 * smooth_noise(rng, size, (4, 4)))[..., None]


def _fence(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Bars, or the stripes of a bar code."""
    picture = _hills(size, rng) if rng.random() < 0.6 else paper(size, rng)
    x = 20.0
    color = tuple(rng.uniform(0.05, 0.3, 3)) if picture.mean() > 0.5 else tuple(rng.uniform(0.6, 0.9, 3))
    top, bottom = int(rng.uniform(0.05, 0.3) * size[0]), int(rng.uniform(0.7, 0.98) * size[0])
    while x < size[1] - 20:
        width = float(rng.uniform(3, 14))
        cv2.rectangle(picture, (int(x), top), (int(x + width), bottom), color, -1)
        x += width + rng.uniform(4, 40)
    return picture


def _grass(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Blades of grass, hair, or hatching."""
    picture = np.ones((*size, 3), np.float32) * rng.uniform(0.1, 0.3, 3).astype(np.float32)
    lean = rng.uniform(-0.6, 0.6)
    for _ in range(1200):
        x, y = rng.uniform(0, 1, 2) * size[::-1]
        length, bend = rng.uniform(20, 70), rng.normal(lean, 0.35)
        points = [(x + bend * t * t * length, y - t * length) for t in (0, 0.33, 0.66, 1)]
        color = tuple(np.array([0.4, 0.6, 0.25]) * rng.uniform(0.4, 1.4))
        cv2.polylines(picture, [np.array(points, np.int32)], False, color, int(rng.integers(1, 4)))
    return picture


def _crumpled(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Paper with folds."""
    y, x = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32)
    level = np.full(size, 0.85, np.float32)
    for _ in range(int(rng.integers(6, 20))):
        turn, off = rng.uniform(0, np.pi), rng.uniform(0.1, 0.9) * max(size)
        across = x * np.cos(turn) + y * np.sin(turn) - off
        level += rng.normal(0, 0.06) * np.tanh(across / rng.uniform(1, 6))
    return (level[..., None] * np.array([1, 0.98, 0.94])).astype(np.float32)


def _cables(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Cables and strings lie on a table; they cross, and none is closed."""
    picture = _table(size, rng)
    for _ in range(int(rng.integers(2, 6))):
        n = 60
        walk = np.cumsum(rng.normal(0, 0.16, n))
        turn = rng.uniform(0, 2 * np.pi) + walk
        steps = np.column_stack([np.cos(turn), np.sin(turn)]) * rng.uniform(9, 16)
        points = np.cumsum(steps, 0) + rng.uniform(0.1, 0.9, 2) * size[::-1]
        color = tuple(rng.uniform(0, 0.9, 3))
        cv2.polylines(picture, [points.astype(np.int32)], False, color, int(rng.integers(3, 9)), cv2.LINE_8)
    return picture


def _keys(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Keys of a keyboard or a piano without letters."""
    picture = np.ones((*size, 3), np.float32) * np.float32(rng.uniform(0.1, 0.3))
    side, gap = int(rng.integers(34, 60)), int(rng.integers(5, 10))
    color = tuple(np.full(3, rng.choice([0.2, 0.85]) + rng.uniform(-0.05, 0.05)))
    for row, y in enumerate(range(20, size[0] - side, side + gap)):
        for x in range(10 + (row * 17) % side, size[1] - side, side + gap):
            cv2.rectangle(picture, (x, y), (x + side, y + side), color, -1)
            cv2.rectangle(picture, (x, y), (x + side, y + side), (0.05, 0.05, 0.05), 1)
    return picture


def _clouds(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    level = sum(smooth_noise(rng, size, (cell, 1.6 * cell)) * cell / 120 for cell in (120, 60, 30, 15))
    cover = np.clip(0.5 + 0.5 * level, 0, 1)[..., None]
    return (cover * np.array([0.95, 0.95, 0.97]) + (1 - cover) * np.array([0.35, 0.55, 0.85])).astype(np.float32)


#: Makers of scenes: size (h, w) and random numbers in, float32 (h, w, 3), 0-1 out.
SCENES: dict[str, Callable[[tuple[int, int], np.random.Generator], NDArray[np.float32]]] = {
    "table": _table,
    "blank sheet": _blank_sheet,
    "empty form": _empty_form,
    "hills": _hills,
    "leaves": _leaves,
    "bricks": _bricks,
    "windows": _windows,
    "fence": _fence,
    "grass": _grass,
    "crumpled paper": _crumpled,
    "cables": _cables,
    "keys": _keys,
    "clouds": _clouds,
}
