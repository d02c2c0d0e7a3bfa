"""What lies under and over a sheet when it is photographed: tables, light, shadows, perspective, a camera."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

GROUNDS = ("dark", "wood", "checks", "stripes", "granite", "cloth", "tiles")


@dataclass(frozen=True)
class Mark:
    """A digit, and where it is: left, top, right and bottom of its ink in pixels."""

    value: str
    box: tuple[float, float, float, float]

    @property
    def center(self) -> tuple[float, float]:
        """The middle of its ink, x and y."""
        left, top, right, bottom = self.box
        return (left + right) / 2, (top + bottom) / 2


@dataclass(frozen=True, eq=False)
class Composed:
    """A composed picture with its truth."""

    pixels: NDArray[np.uint8]  # (h, w, 3)
    lines: tuple[str, ...] = ()  # what stands on it, a text a line, with separators; empty where there is no digit
    marks: tuple[Mark, ...] = ()  # the digits in reading order, with their places in the upright picture
    turned: int = 0  # by how many degrees it has to be turned clockwise to stand upright
    cells: tuple[tuple[str, ...], ...] = ()  # of forms: what is in each row of boxes, empty text where no digit is
    kind: str = ""  # what it is, for people

    def turn(self, times: int) -> Composed:
        """Return it lying on its side or head: ``times`` quarters counterclockwise."""
        return replace(self, pixels=np.ascontiguousarray(np.rot90(self.pixels, times)), turned=90 * times)


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cell: tuple[float, float]) -> NDArray[np.float32]:
    """Return noise with waves of about ``cell`` (high, wide) pixels, mean 0 and spread 1: float32 ``shape``."""
    coarse = (max(2, int(shape[0] / cell[0]) + 1), max(2, int(shape[1] / cell[1]) + 1))
    noise = rng.standard_normal(coarse, np.float32)
    large = cv2.resize(noise, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray((large - large.mean()) / (large.std() + 1e-6), np.float32)


def ground(kind: str, shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a table's surface, float32 (h, w, 3), 0-1."""
    height, width = shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    turn = rng.uniform(0, np.pi)
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    fine = 0.03 * smooth_noise(rng, shape, (2, 2))
    if kind == "dark":
        color, level = rng.uniform(0.03, 0.2, 3), 1 + 0.1 * smooth_noise(rng, shape, (height / 3, width / 3)) + fine
    elif kind == "wood":
        color = np.array([0.55, 0.36, 0.2]) * rng.uniform(0.5, 1.2)
        warp = 25 * smooth_noise(rng, shape, (height / 2, width / 2))
        rings = np.sin((v + warp) / rng.uniform(6, 14)) + 0.6 * np.sin((v + warp) / rng.uniform(2.5, 5))
        level = 1 + 0.1 * rings + 0.08 * smooth_noise(rng, shape, (3, 90)) + fine
        plank = np.abs((v / rng.uniform(120, 240)) % 1 - 0.5) > 0.492
        level = np.where(plank, 0.45, level)
    elif kind == "checks":
        side = rng.uniform(30, 70)
        a, b = (u / side) % 1 < 0.5, (v / side) % 1 < 0.5
        color, level = np.array([1.0, 1.0, 1.0]), 1 + fine
        ink = rng.uniform(0.1, 0.7, 3)
        level = level[..., None] * np.where((a & b)[..., None], ink, np.where((a ^ b)[..., None], (1 + ink) / 2, 0.93))
        return np.clip(level, 0, 1).astype(np.float32)
    elif kind == "stripes":
        side = rng.uniform(14, 60)
        one, other = rng.uniform(0.1, 0.9, 3), rng.uniform(0.1, 0.9, 3)
        stripes = np.where(((u / side) % 1 < rng.uniform(0.25, 0.6))[..., None], one, other)
        return np.clip(stripes * (1 + fine)[..., None], 0, 1).astype(np.float32)
    elif kind == "granite":
        color = rng.uniform(0.25, 0.6, 3)
        level = 1 + 0.3 * smooth_noise(rng, shape, (4, 4)) + 0.2 * smooth_noise(rng, shape, (12, 12))
    elif kind == "cloth":
        color, step = rng.uniform(0.1, 0.5, 3), rng.uniform(3, 6)
        level = 1 + 0.14 * np.sin(2 * np.pi * u / step) * np.sin(2 * np.pi * v / step)
        level = level + 0.2 * smooth_noise(rng, shape, (height / 4, width / 4)) + fine
    else:
        side, joint = rng.uniform(90, 180), rng.uniform(0.012, 0.03)
        color = rng.uniform(0.3, 0.8, 3)
        is_joint = np.minimum((u / side) % 1, (v / side) % 1) < joint
        level = np.where(is_joint, rng.choice([0.4, 1.5]), 1 + 0.05 * smooth_noise(rng, shape, (20, 20)) + fine)
    return np.clip(np.float32(color) * np.asarray(level, np.float32)[..., None], 0, 1)


def paper(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a sheet, float32 (h, w, 3), 0-1: white to yellowish, with a grain; sometimes ruled or squared."""
    level = 0.93 + 0.012 * smooth_noise(rng, shape, (2, 2)) + 0.01 * smooth_noise(rng, shape, (40, 40))
    tint = 1 - np.array([0, 0.02, 0.09]) * rng.uniform(0, 1)
    return level[..., None] * np.float32(tint)


def ruled(sheet: NDArray[np.float32], pitch: float, first: float, rng: np.random.Generator) -> None:
    """Print rules on a sheet, pale blue or grey, sometimes with a margin."""
    color = np.array([0.55, 0.66, 0.85]) if rng.random() < 0.7 else np.full(3, 0.7)
    width = int(rng.integers(1, 3))
    for y in np.arange(first, sheet.shape[0], pitch):
        sheet[round(y) : round(y) + width] *= color
    if rng.random() < 0.4:
        x = int(rng.uniform(0.05, 0.09) * sheet.shape[1])
        sheet[:, x : x + 2] *= [0.95, 0.55, 0.55]


def inked(
    sheet: NDArray[np.float32], ink: NDArray[np.float32], color: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Put ink of a colour on a sheet; a pen gives more here and less there."""
    flow = np.clip(rng.uniform(0.8, 0.97) + 0.06 * smooth_noise(rng, ink.shape, (9, 9)), 0, 1)
    cover = (ink * flow).astype(np.float32)[..., None]
    return sheet * (1 - cover * np.float32(1 - color))


def pen_color(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return what a pen leaves of the light: black, blue, red now and then, or pencil."""
    kinds = ([0.1, 0.1, 0.12], [0.12, 0.16, 0.5], [0.08, 0.1, 0.35], [0.4, 0.4, 0.42], [0.65, 0.13, 0.13])
    return np.array(kinds[rng.choice(len(kinds), p=[0.35, 0.25, 0.2, 0.14, 0.06])])


def tilted(
    size: tuple[int, int],
    frame: tuple[int, int],
    tilt: float,
    roll: float,
    rng: np.random.Generator,
    fill: float = 0.86,
) -> NDArray[np.float64]:
    """Return the homography (3, 3) from a sheet to a photo that a camera takes from an angle.

    ``size`` and ``frame`` are width and height of sheet and photo in pixels; ``tilt`` and ``roll`` degrees between the
    camera's axis and the sheet's normal, in any direction, and within the picture; ``fill`` is how much of the photo
    the sheet fills, at most, along width or height.
    """
    direction = rng.uniform(0, 2 * np.pi)
    axis = np.array([np.cos(direction), np.sin(direction), 0]) * np.deg2rad(tilt)
    turn = cv2.Rodrigues(axis)[0] @ cv2.Rodrigues(np.array([0, 0, np.deg2rad(roll)]))[0]
    width, height = size
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
    there = np.column_stack([corners - [width / 2, height / 2], np.zeros(4)]) @ turn.T
    depth = there[:, 2] + 1.4 * max(size)  # a phone is held about so far away
    seen = there[:, :2] / depth[:, None]
    low, high = seen.min(0), seen.max(0)
    scale = fill * min(np.array(frame) / (high - low))
    room = np.array(frame) - scale * (high - low)
    seen = (seen - low) * scale + room * rng.uniform(0.35, 0.65, 2)
    return cv2.getPerspectiveTransform(corners.astype(np.float32), seen.astype(np.float32))


def laid(
    sheet: NDArray[np.float32], table: NDArray[np.float32], matrix: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Lay a sheet on a table, with its shadow and a bright or dark rim where the paper was cut."""
    height, width = table.shape[:2]
    flags = cv2.INTER_AREA if sheet.shape[0] > height else cv2.INTER_LINEAR
    seen = cv2.warpPerspective(sheet, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.warpPerspective(np.ones(sheet.shape[:2], np.float32), matrix, (width, height))
    reach = rng.uniform(2, 12)
    moved = np.float32([[1, 0, reach * rng.normal(0, 0.7)], [0, 1, reach * rng.normal(0, 0.7)]])
    shadow = cv2.GaussianBlur(cv2.warpAffine(mask, moved, (width, height)), (0, 0), reach)
    under = table * (1 - rng.uniform(0.2, 0.6) * shadow)[..., None]
    rim = np.clip(mask - cv2.erode(mask, np.ones((3, 3))), 0, 1)[..., None]
    seen = seen * (1 + rng.uniform(-0.15, 0.1) * rim)
    return np.asarray(under * (1 - mask[..., None]) + seen * mask[..., None], np.float32)


def lit(picture: NDArray[np.float32], rng: np.random.Generator, *, hard: bool = False) -> NDArray[np.float32]:
    """Light a picture from one side, with a vignette; ``hard`` adds the shadow of a hand or a phone."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    turn = rng.uniform(0, 2 * np.pi)
    light = 1 - rng.uniform(0.05, 0.3) * (1 + x * np.cos(turn) + y * np.sin(turn)) / 2
    light *= 1 - rng.uniform(0, 0.3) * (x**2 + y**2) / 2
    if hard:
        side = rng.uniform(0, 2 * np.pi)
        edge = x * np.cos(side) + y * np.sin(side) + 0.15 * np.sin(3 * x) + rng.uniform(-0.2, 0.5)
        light *= 1 - rng.uniform(0.2, 0.5) / (1 + np.exp(-edge * rng.uniform(30, 200)))
    warm = 1 - np.array([0, 0.04, 0.14]) * rng.uniform(-0.4, 1)
    return picture * (light.astype(np.float32)[..., None] * np.float32(warm * rng.uniform(0.75, 1.0)))


def photographed(
    picture: NDArray[np.float32],
    rng: np.random.Generator,
    *,
    blur: float = 0.8,
    noise: float = 0.012,
    quality: int = 85,
) -> NDArray[np.uint8]:
    """Take a photo: the lens' blur in pixels, the sensor's noise, JPEG; uint8 (h, w, 3)."""
    soft = cv2.GaussianBlur(picture, (0, 0), blur) if blur > 0.2 else picture
    grain = np.float32(noise) * rng.standard_normal(soft.shape[:2], np.float32)[..., None]
    pixels = np.clip(255 * (soft + grain), 0, 255).astype(np.uint8)
    _, coded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1])


def moved(marks: list[Mark], matrix: NDArray[np.float64]) -> tuple[Mark, ...]:
    """Return marks where a homography brings them."""
    found = []
    for mark in marks:
        left, top, right, bottom = mark.box
        corners = np.float32([[[left, top], [right, top], [right, bottom], [left, bottom]]])
        seen = cv2.perspectiveTransform(corners, matrix)[0]
        low, high = seen.min(0), seen.max(0)
        found.append(Mark(mark.value, (float(low[0]), float(low[1]), float(high[0]), float(high[1]))))
    return tuple(found)
