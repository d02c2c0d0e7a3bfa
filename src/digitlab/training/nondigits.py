"""What is no digit: letters, marks, pieces and joins of digits, made from a seed and framed as the reader frames.

A straight line that stands, or leans to the right, is how people write a one. So lines by themselves are
near-horizontal here, or lean to the left, and blots are not taller than wide. A tent without a floor is a one with a
long flag.

Whoever cuts touching digits apart tries many cuts, and all but one are wrong; so the network is shown wrong ones. A
piece of a digit may be a digit, though: the left part of a four is a one, half an eight is a nought or a three.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from digitlab.data.frame import frame
from digitlab.data.mnist import Split
from digitlab.training.letters import (
    Font,
    Stroke,
    cropped,
    draw_letter,
    draw_strokes,
    find_fonts,
    penned_letter,
    smooth,
)

#: Kinds with their shares; they sum to 1.
KINDS: dict[str, float] = {
    "printed letter": 0.22,
    "penned letter": 0.25,
    "pair": 0.13,
    "triple": 0.04,
    "torn pair": 0.1,
    "piece": 0.04,
    "scribble": 0.05,
    "line": 0.05,
    "sign": 0.06,
    "dot": 0.03,
    "texture": 0.03,
}
#: Signs that no digit looks like, in most hands and fonts.
PRINTED = "ACEFGHJKLMNPRTUVWXYacdefhkmnprtuvwxy" + "&@#%+=*~<€"

# One of the streams that come from a seed: see engine/augmentation.py for the others.
_STREAM = 5
# Every fifth font is for validation only, by its name, so that it is the same one on every machine.
_VALIDATION_FONTS = 5
_SIDE_PX = 28
# Where a line across and one down meet, in tenths. The upper right corner is left out, which is a seven, and a line on
# a foot, which is a one.
_CROSSINGS = ((0.0, 0.0), (0.0, 10.0), (10.0, 10.0), (5.0, 0.0), (4.0, 6.0))
# Ink narrower than this part of its height may be a one.
_NARROW = 0.6
_INK = 0.3
_HEIGHT_PX = 40
_MOST_TRIES = 20
# How often a digit of a torn pair is torn; where neither is, both are.
_TORN = 0.4
# Of 40 that a digit is high.
_LEAST_PX = 6


@dataclass(frozen=True, eq=False)
class Nondigits:
    """Images that are no digit."""

    images: NDArray[np.uint8]  # (n, 28, 28), ink bright on dark
    kinds: NDArray[np.int64]  # (n,): the position of each image's kind in ``KINDS``
    fonts: tuple[str, ...]  # names of those that letters were drawn from

    def __len__(self) -> int:
        return len(self.images)

    @property
    def digest(self) -> str:
        """SHA-256 of the images, in hexadecimal: another machine may have other fonts."""
        return hashlib.sha256(self.images.tobytes()).hexdigest()


def make_nondigits(n: int, digits: Split, *, seed: int = 0, fonts: Sequence[Font] | None = None) -> Nondigits:
    """Make images that are no digit, the pieces and pairs of a split's; for validation, of fonts that training lacks.

    Image ``i`` depends on the seed, the split's name and images, the fonts and ``i``: fewer are the first of more.
    """
    found = find_fonts() if fonts is None else fonts
    own = fonts_for(digits, found)
    images = np.zeros((n, 28, 28), np.uint8)
    kinds = np.zeros(n, np.int64)
    bounds = np.cumsum(list(KINDS.values()))
    bounds[-1] = 1.0
    makers = _makers(digits, own)
    key = zlib.crc32(digits.name.encode())
    for i in range(n):
        rng = np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(_STREAM, key, i)))
        kinds[i] = min(int(np.searchsorted(bounds, rng.random(), side="right")), len(KINDS) - 1)
        images[i] = np.round(makers[kinds[i]](rng) * 255)
    return Nondigits(images, kinds, tuple(font.name for font in own))


def fonts_for(digits: Split, fonts: Sequence[Font]) -> list[Font]:
    """Return the fonts of a split: what is drawn for the validation split is from fonts that training never sees."""
    return [font for font in fonts if _is_for_validation(font) == (digits.name != "training")] or list(fonts)


def _is_for_validation(font: Font) -> bool:
    return zlib.crc32(font.name.encode()) % _VALIDATION_FONTS == 0


def _makers(digits: Split, fonts: Sequence[Font]) -> list[Callable[[np.random.Generator], NDArray[np.float32]]]:
    images, labels = digits.images, digits.labels

    def printed(rng: np.random.Generator) -> NDArray[np.float32]:
        for _ in range(_MOST_TRIES):
            drawn = draw_letter(fonts[int(rng.integers(len(fonts)))], PRINTED[int(rng.integers(len(PRINTED)))])
            if drawn.any():
                return _bent(drawn, rng)
        return penned_letter(rng)

    makers: dict[str, Callable[[np.random.Generator], NDArray[np.float32]]] = {
        "printed letter": printed,
        "penned letter": penned_letter,
        "pair": lambda rng: join(images, rng, 2),
        "triple": lambda rng: join(images, rng, 3),
        "torn pair": lambda rng: torn_join(images, rng),
        "piece": lambda rng: piece(images, labels, rng),
        "scribble": scribble,
        "line": line,
        "sign": sign,
        "dot": dot,
    }
    framed = {name: (lambda rng, make=make: frame(make(rng))) for name, make in makers.items()}
    return [framed.get(name, texture) for name in KINDS]


def _bent(ink: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Warp a printed letter as strongly as hands differ from print, and let its strokes be thicker or thinner."""
    side = len(ink)
    y, x = np.mgrid[:side, :side].astype(np.float32)
    arrows = rng.normal(0, 1, (2, 5, 5)).astype(np.float32) * np.float32(rng.uniform(0, side * 0.05))
    bend_x, bend_y = (cv2.resize(a, (side, side), interpolation=cv2.INTER_CUBIC) for a in arrows)
    slant = np.float32(rng.uniform(-0.3, 0.5))
    warped = cv2.remap(ink, x + slant * (y - side / 2) + bend_x, y + bend_y, cv2.INTER_LINEAR)
    change = int(rng.integers(-2, 5))
    if change > 0:
        warped = cv2.dilate(warped, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (change + 1, change + 1)))
    return np.asarray(warped, np.float32)


def scribble(rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw a scribble: float32 (h, w), 0-1."""
    kind = rng.integers(3)
    if kind == 0:  # to and fro
        n = int(rng.integers(6, 14))
        points = np.stack([np.arange(n) * rng.uniform(0.5, 3), np.where(np.arange(n) % 2, 10.0, 0.0)], 1)
        points += rng.normal(0, 1.2, points.shape)
    elif kind == 1:  # round and round
        t = np.linspace(0, rng.uniform(2.2, 5) * 2 * np.pi, int(rng.integers(18, 40)))
        radius = 5 + rng.choice([-1, 1]) * rng.uniform(0.15, 0.35) * t  # a spiral: one circle would be a nought
        points = np.stack([radius * np.cos(t) + rng.uniform(0, 0.8) * t, radius * np.sin(t)], 1)
        points += rng.normal(0, 0.7, points.shape)
    else:  # anywhere
        points = rng.uniform(0, 10, (int(rng.integers(7, 14)), 2))
    return draw_strokes([Stroke(smooth(points))], rng, turn=np.pi)


def line(rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw dashes, crossings, corners and pieces of grids: float32 (h, w), 0-1."""
    kind = rng.integers(6)
    if kind <= 1:  # a dash, perhaps with a bend
        points = np.array([[0, 0], [5, rng.normal(0, 0.8)], [10, rng.uniform(-3, 3)]])
        strokes = [Stroke(smooth(points))]
        return draw_strokes(strokes, rng, turn=0.1, slant=(0, 0), stretch=0.0)
    if kind == 2:  # a wave
        t = np.linspace(0, rng.uniform(1, 3) * 2 * np.pi, 40)
        strokes = [Stroke(np.stack([t * rng.uniform(1, 2.5), np.sin(t) * rng.uniform(0.5, 2)], 1))]
        return draw_strokes(strokes, rng, turn=0.3)
    if kind == 3:  # a corner of a frame, a T or a cross
        x, y = _CROSSINGS[rng.integers(len(_CROSSINGS))]
        strokes = [Stroke(np.array([[0, y], [10, y]])), Stroke(np.array([[x, 0], [x, 10]]))]
        return draw_strokes(strokes, rng, turn=0.1, slant=(-0.1, 0.1))
    if kind == 4:  # several side by side
        n = int(rng.integers(2, 5))
        strokes = [Stroke(np.array([[0, 4.0 * k], [10, 4.0 * k]]) + rng.normal(0, 0.6, (2, 2))) for k in range(n)]
        return draw_strokes(strokes, rng, turn=0.3)
    n, m = int(rng.integers(2, 4)), int(rng.integers(2, 4))  # a grid
    across = [Stroke(np.array([[-2, 5.0 * k], [5.0 * m - 3, 5.0 * k]]) + rng.normal(0, 0.3, (2, 2))) for k in range(n)]
    down = [Stroke(np.array([[5.0 * k, -2], [5.0 * k, 5.0 * n - 3]]) + rng.normal(0, 0.3, (2, 2))) for k in range(m)]
    return draw_strokes([*across, *down], rng, turn=0.2)


def sign(rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw a slash that leans too far for a one, a bracket, a tick, an arrow, a star or a triangle: float32 (h, w)."""
    kind = rng.integers(8)
    turn = 0.08
    if kind == 0:  # a slash that nearly lies
        angle = np.radians(rng.uniform(14, 32))
        strokes = [Stroke(np.array([[0, 0], [10 * np.cos(angle), -10 * np.sin(angle)]]))]
    elif kind == 1:  # a backslash
        angle = np.radians(rng.uniform(25, 65))
        strokes = [Stroke(np.array([[0, 0], [10 * np.cos(angle), 10 * np.sin(angle)]]))]
    elif kind == 2:  # a round bracket, or a wide arc; an arc over a foot would be a two or a seven
        t = np.linspace(-1, 1, 12)
        bulge = rng.uniform(2.2, 4.5) * rng.choice([-1, 1])
        arc = np.stack([bulge * (1 - t**2), 5 * t], 1)
        strokes = [Stroke(arc if rng.random() < 0.6 else arc[:, ::-1])]
    elif kind == 3:  # a square bracket, open to the right, to the top or to the bottom; to the left it is a seven
        half = rng.uniform(1.5, 5)
        points = np.array([[half, -5], [0, -5], [0, 5], [half, 5]])
        if rng.random() < 0.4:
            points = points[:, ::-1] * [1, rng.choice([-1, 1])]
        strokes = [Stroke(points)]
    elif kind == 4:  # a tick
        low = np.array([rng.uniform(2, 4.5), 10])
        strokes = [Stroke(np.array([[0, rng.uniform(5, 8)], low, [10, rng.uniform(-1, 4)]]))]
    elif kind == 5:  # an arrow, in any direction but up, where its head is a flag
        angle = np.radians(rng.uniform(-35, 215))
        rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        head = np.array([[6, -rng.uniform(1.5, 3)], [10, 0], [6, rng.uniform(1.5, 3)]])
        strokes = [Stroke(np.array([[0, 0], [10, rng.normal(0, 0.5)]]) @ rotation), Stroke(head @ rotation)]
    elif kind == 6:  # a star
        t = np.pi / 2 + np.arange(6) * 4 * np.pi / 5
        strokes = [Stroke(np.stack([5 * np.cos(t), -5 * np.sin(t)], 1))]
        turn = 0.3
    else:  # a triangle
        corners = np.array([[0, 10], [rng.uniform(2, 8), 0], [10, rng.uniform(8, 10)]])
        strokes = [Stroke(corners[[0, 1, 2, 0]])]
        turn = np.pi
    strokes = [Stroke(stroke.points + rng.normal(0, 0.25, stroke.points.shape)) for stroke in strokes]
    return draw_strokes(strokes, rng, turn=turn, slant=(-0.1, 0.2), stretch=0.3)


def dot(rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw a blot, or a few dots: float32 (h, w), 0-1."""
    image = np.zeros((96, 96), np.uint8)
    for _ in range(int(rng.choice([1, 1, 1, 2, 3, 6]))):
        center = tuple(int(v) for v in rng.integers(28, 68, 2))
        high = rng.uniform(5, 24)
        wide = high * np.exp(rng.uniform(-0.15, 0.9))
        if rng.random() < 0.7:
            cv2.ellipse(image, center, (int(wide), int(high)), 0, 0, 360, 255, -1, cv2.LINE_AA)
        else:
            corners = rng.uniform(-1, 1, (int(rng.integers(5, 9)), 2)) * [wide, high] + center
            cv2.fillPoly(image, [cv2.convexHull(corners.astype(np.int32))], 255, cv2.LINE_AA)
    return image.astype(np.float32) / np.float32(255)


def texture(rng: np.random.Generator) -> NDArray[np.float32]:
    """Make paper, noise or nothing: float32 (28, 28), 0-1, not to be framed."""
    kind = rng.integers(6)
    shape = (_SIDE_PX, _SIDE_PX)
    if kind == 0:  # blank: one level everywhere
        return np.full(shape, rng.choice([0.0, 0.0, 1.0, rng.random()]), np.float32)
    noise = rng.normal(0, 1, shape).astype(np.float32)
    if kind == 1:
        return _limited(rng.uniform(0, 0.5) + noise * rng.uniform(0.05, 0.5))
    if kind == 2:  # clouds, soft or with edges
        clouds = np.asarray(cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.7, 3)))
        steepness = rng.choice([0.5, 4.0]) / max(float(np.abs(clouds).max()), 1e-6)
        return _limited(0.5 + clouds * steepness - rng.uniform(0, 0.5))
    if kind == 3:  # hatching
        y, x = np.mgrid[:_SIDE_PX, :_SIDE_PX]
        angle, period = rng.uniform(0, np.pi), rng.uniform(3, 8)
        waves = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period + rng.uniform(0, 6))
        return _limited(0.5 + waves * rng.choice([0.5, 3.0]))
    if kind == 4:  # specks
        return (rng.random(shape) < rng.uniform(0.01, 0.4)).astype(np.float32)
    side = _SIDE_PX * (rng.random() < 0.5)  # a shadow, or dark from one edge
    ramp = np.linspace(rng.random(), rng.random(), _SIDE_PX, dtype=np.float32)
    image = np.tile(ramp, (_SIDE_PX, 1)) if side else np.tile(ramp[:, None], (1, _SIDE_PX))
    if rng.random() < 0.5:
        image = (image > rng.uniform(0.2, 0.8)).astype(np.float32)
    return image


def _limited(values: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(np.clip(values, 0, 1), np.float32)


def _drawn(images: NDArray[np.uint8], rng: np.random.Generator) -> tuple[NDArray[np.float32], int]:
    index = int(rng.integers(len(images)))
    return cropped(images[index].astype(np.float32) / np.float32(255)), index


def piece(images: NDArray[np.uint8], labels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return part of a digit that is not a digit itself, as far as its shape tells: float32 (h, w), 0-1.

    A straight cut near the middle takes the rest away. What remains is used if it is not narrow, as a one is, and has
    no closed loop, as a nought, a six and a nine have.
    """
    for _ in range(_MOST_TRIES):
        ink, index = _drawn(images, rng)
        label = int(labels[index])
        if label == 1:
            continue
        height, width = ink.shape
        y, x = np.mgrid[:height, :width]
        angle = rng.choice([0.0, np.pi / 2, np.pi, 1.5 * np.pi]) + rng.normal(0, 0.25)
        if label == 7 and np.sin(angle) > 0.5:
            continue  # the upper part of a seven is a seven
        side = (x - width / 2) * np.cos(angle) - (y - height / 2) * np.sin(angle)
        rest = cropped(np.where(side > rng.uniform(-0.05, 0.25) * max(height, width), ink, 0).astype(np.float32))
        if min(rest.shape) < 5 or rest.max() < _INK or _is_like_one(rest) or _has_loop(rest):
            continue
        return rest
    return np.maximum(np.eye(9, dtype=np.float32), np.eye(9, dtype=np.float32)[::-1])  # a cross: no piece would do


def _is_like_one(ink: NDArray[np.float32]) -> bool:
    if ink.shape[1] < _NARROW * ink.shape[0]:
        return True
    points = np.argwhere(ink > _INK)[:, ::-1].astype(np.float32)
    _, size, _ = cv2.minAreaRect(points)
    is_lying = ink.shape[0] < 0.4 * ink.shape[1]
    return not is_lying and min(size) + 1 < _NARROW * (max(size) + 1)


def _has_loop(ink: NDArray[np.float32]) -> bool:
    paper = np.pad((ink < _INK).astype(np.uint8), 1, constant_values=1)
    return int(cv2.connectedComponents(paper, connectivity=4)[0]) > 2


def join(images: NDArray[np.uint8], rng: np.random.Generator, n: int = 2) -> NDArray[np.float32]:
    """Return ``n`` digits side by side that touch, or nearly do: float32 (h, w), 0-1."""
    return _side_by_side(images, rng, n)[0]


def torn_join(images: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return two digits that touch without the outer part of one, or of both: float32 (h, w), 0-1.

    What is left of a torn one is so much that nobody would take it for a speck beside the other.
    """
    for _ in range(_MOST_TRIES):
        ink, (first, second) = _side_by_side(images, rng, 2)
        width = ink.shape[1]
        cuts_left, cuts_right = rng.random(2) < _TORN
        if not cuts_left and not cuts_right:
            cuts_left = cuts_right = True
        left = first[0] + round(rng.uniform(0.25, 0.55) * (first[1] - first[0])) if cuts_left else 0
        right = second[1] - round(rng.uniform(0.25, 0.55) * (second[1] - second[0])) if cuts_right else width
        rest = cropped(ink[:, left:right])
        # The digits' own parts, up to where the other begins.
        of_first, of_second = min(first[1], second[0]) - left, right - max(first[1], second[0])
        if min(of_first, of_second) >= _LEAST_PX and rest.shape[1] >= _NARROW * rest.shape[0]:
            return rest
    return join(images, rng)


def _side_by_side(
    images: NDArray[np.uint8], rng: np.random.Generator, n: int
) -> tuple[NDArray[np.float32], list[tuple[int, int]]]:
    digits = []
    for _ in range(n):
        ink, _ = _drawn(images, rng)
        height = round(_HEIGHT_PX * float(np.exp(rng.uniform(-0.25, 0.1))))
        width = max(2, round(ink.shape[1] * height / ink.shape[0] * float(np.exp(rng.uniform(-0.25, 0.15)))))
        resized = np.clip(cv2.resize(ink, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)
        digits.append(np.asarray(resized, np.float32))
    room = sum(digit.shape[1] for digit in digits) + 8 * n
    image = np.zeros((_HEIGHT_PX + 24, room), np.float32)
    places: list[tuple[int, int]] = []
    x = 0
    for digit in digits:
        height, width = digit.shape
        top = min(max(0, 8 + (_HEIGHT_PX - height) // 2 + int(rng.integers(-6, 7))), image.shape[0] - height)
        if places:
            # Pushed together until the ink touches, then a little on, or left a little apart.
            x = _touching(image, digit, top, x) - int(rng.integers(-3, 6))
            x = max(0, x, places[-1][0] + 2)
        part = image[top : top + height, x : x + width]
        np.maximum(part, digit[:, : part.shape[1]], out=part)
        places.append((x, x + width))
        x += width
    return cropped(image), places


def _touching(image: NDArray[np.float32], digit: NDArray[np.float32], top: int, x: int) -> int:
    """Return how far to the left a digit can go before its ink meets what is there."""
    own = np.where((digit > _INK).any(1), (digit > _INK).argmax(1), digit.shape[1])
    there = image[top : top + len(digit)] > _INK
    last = np.where(there.any(1), there.shape[1] - there[:, ::-1].argmax(1), -digit.shape[1])
    return min(x + 4, max(0, int((last - own).max())))
