"""Marks: scribbles, lines, signs, dots, texture and nothing at all.

A straight line that stands, or leans to the right, is how people write a one. So lines by themselves are
near-horizontal here, or lean to the left, and blots are not taller than wide. A tent without a floor is a one with a
long flag.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from digitlab.training.nondigits.pen import Stroke, draw_strokes, smooth

__all__ = ["dot", "line", "scribble", "sign", "texture"]

_SIDE_PX = 28
# Where a line across and one down meet, in tenths. The upper right corner is left out, which is a seven, and a line on
# a foot, which is a one.
_CROSSINGS = ((0.0, 0.0), (0.0, 10.0), (10.0, 10.0), (5.0, 0.0), (4.0, 6.0))


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
