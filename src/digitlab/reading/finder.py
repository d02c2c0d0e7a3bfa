"""Finder: where digits are on a page, how large, which way up, and which; likewise what parts two numbers.

A small convolutional network, trained on crops of practice pages (``training/pages.py``), is slid over the page: what
the codelab's network does once for an image, it does at every place (``engine/crops.py`` says what its maps mean). It
knows digits of 14 to 34 pixels. So the page is made smaller and smaller, a *pyramid*, and every digit is found on the
levels where it has that size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from digitlab.engine.crops import CENTERS, DIGITS, PLACES, PRIOR_LOGIT, SEPARATOR_MAPS, SIZES, STRIDE, USUAL_PX
from digitlab.engine.sequential import Sequential
from digitlab.reading.light import local_contrast
from digitlab.runs.listing import open_model

# Heights, in pixels of a level, of the digits that the finder knows.
_LEAST_PX, _MOST_PX = 14.0, 34.0
# From level to level. Every digit has a size that the finder knows on three or four levels, which say together more
# surely what it is.
_STEP = 1.25
_SMALL_PAGE = 40_000  # pixels
# Pixels of the largest level at most, and how far a page, and a small one, is enlarged for its smallest digits.
_MOST_PIXELS = 1_100_000
_MOST_ENLARGED = (1.5, 2.5)
# Around every level its border goes on, so that a digit near it is seen with something around.
_MARGIN_PX = 24
_SAME = 0.35  # of what both cover: a digit and a separator that share so much are the same ink
_ALIKE = 1.6  # the higher of two that are the same digit is at most so many times as high as the other
_LEAST_P = 0.15  # less than this is no candidate
_CLEAR = 0.7  # in a picture of one digit a candidate so sure ends the search
_MOST_OF_ONE = 4
_FEWEST_OF_A_SIZE = 3  # marks that may tell of another size of digits
_ONE_WAY, _TELLING = [2, 3, 4, 5, 7], 0.1  # digits that are none on their heads; a fifth of a sure one
# Where less of what is found on a turned page is a digit, it is words on their heads.
_MOSTLY = 0.62
# So much for one turn, and so many times as much as for the next, leaves no doubt.
_CLEAR_TURN = (1.5, 2.0)


@dataclass(frozen=True, eq=False)
class Marks:
    """Candidates for digits or separators; parallel arrays.

    Attributes
    ----------
    x, y, width, height : ndarray
        float64 (n,): centre and size, in pixels of the page.
    p : ndarray
        float64 (n,), 0-1: that there is one.
    answers : ndarray
        float64 (n, classes), 0-1: which, given that there is one; rows sum to 1.
    support : ndarray
        float64 (n,): the sum of what other levels say of the same mark. A digit has a size that is known on several,
        and what only looks like one in one size has little.
    rival : ndarray
        float64 (n,), 0-1: how probably there is a separator instead.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    width: NDArray[np.float64]
    height: NDArray[np.float64]
    p: NDArray[np.float64]
    answers: NDArray[np.float64]
    support: NDArray[np.float64]
    rival: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, chosen: Any) -> Marks:
        return Marks(*(getattr(self, field.name)[chosen] for field in dataclasses.fields(self)))

    def box(self, mark: int) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom of one."""
        x, y, w, h = (float(values[mark]) for values in (self.x, self.y, self.width, self.height))
        return x - w / 2, y - h / 2, x + w / 2, y + h / 2


@dataclass(frozen=True, eq=False)
class Level:
    """One level of the pyramid: its pixels a pixel of the page, its local contrast without the margin, and its heat.

    ``heat``, float32 (h / 4, w / 4), 0-1, is the probability that a digit's centre is here.
    """

    scale: float
    contrast: NDArray[np.float32]
    heat: NDArray[np.float32]


Network = Callable[[NDArray[np.float32]], NDArray[np.float32]]

#: The finder that the package brings.
SHIPPED_FINDER = Path(__file__).parent / "model" / "finder.safetensors"


@cache
def shipped(device: str = "cpu") -> Network:
    """Return the finder that the package brings, loaded once for each device."""
    model = Sequential.from_checkpoint(open_model(SHIPPED_FINDER))
    model.use_device(device)
    return lambda contrast: model.predict(contrast[None, :, :, None])[0]


def scales(height: int, width: int) -> list[float]:
    """Return the scales of a page's pyramid, the finest first."""
    is_small = height * width <= _SMALL_PAGE
    finest = min(_MOST_ENLARGED[is_small], (_MOST_PIXELS / (height * width)) ** 0.5)
    # On the coarsest a digit as high as the page still has a size that is known.
    coarsest = min(finest, _MOST_PX / (1.15 * min(height, width)))
    step = _STEP
    n = int(np.ceil(np.log(finest / coarsest) / np.log(step))) + 1
    return [finest / step**k for k in range(n)]


def pyramid(
    grey: NDArray[np.float32], network: Network, chosen: Sequence[float] | None = None, flatten: bool = True
) -> tuple[Marks, Marks, list[Level]]:
    """Run the finder over the levels of a page, float32 (h, w), 0-1: all candidates, the same digit several times.

    ``chosen`` are scales other than the usual ones; without ``flatten`` there is one light and one spread for the whole
    page. Returns digits, separators and the levels, for showing them.
    """
    wanted = scales(*grey.shape) if chosen is None else list(chosen)
    levels: list[Level] = []
    found: tuple[list[Marks], list[Marks]] = ([], [])
    source = grey
    for k, scale in enumerate(wanted):
        # Small levels are made of a smaller page, which costs less and comes to the same.
        while scale * grey.shape[1] < 0.4 * source.shape[1] and min(source.shape) > 64:
            half = (source.shape[1] // 2, source.shape[0] // 2)
            source = np.asarray(cv2.resize(source, half, interpolation=cv2.INTER_AREA), np.float32)
        contrast, fx, fy = _level(grey.shape, source, scale, flatten)
        maps = network(contrast)
        heat = _sigmoid(maps[..., CENTERS] + np.float32(PRIOR_LOGIT))
        for kind, classes in enumerate((DIGITS, SEPARATOR_MAPS)):
            marks = _peaks(heat[..., kind], maps, classes, fx, fy)
            on_page = (marks.x > 0) & (marks.x < grey.shape[1]) & (marks.y > 0) & (marks.y < grey.shape[0])
            marks = marks[on_page]
            if kind == 0:
                # What is larger or smaller than the finder knows is left to another level where there is one.
                high = marks.height * scale
                fits = (high > 0.8 * _LEAST_PX) | (k == 0)
                fits &= (high < 1.25 * _MOST_PX) | (k == len(wanted) - 1)
                marks = marks[fits]
            found[kind].append(marks)
        m = _MARGIN_PX
        c = m // STRIDE
        levels.append(Level(scale, contrast[m : contrast.shape[0] - m, m : contrast.shape[1] - m], heat[c:-c, c:-c, 0]))
    return together(found[0]), together(found[1]), levels


def find_marks(grey: NDArray[np.float32], network: Network, flatten: bool = True) -> tuple[Marks, Marks, list[Level]]:
    """Find digits and separators; each once. As ``pyramid``."""
    digits, separators, levels = pyramid(grey, network, flatten=flatten)
    digits, separators = _each_once(digits), _each_once(separators)
    # A slash may look like a one, and a one like a slash.
    common = common_area(digits, separators)
    together = (digits.width * digits.height)[:, None] + separators.width * separators.height - common
    same = common > _SAME * together
    rival = np.where(same, separators.p, 0.0).max(1, initial=0.0)
    return dataclasses.replace(digits, rival=rival), separators, levels


def common_area(one: Marks, other: Marks) -> NDArray[np.float64]:
    """Return the area that each two boxes share: float64 (n, m), square pixels."""
    across, down = (
        np.minimum((p + s / 2)[:, None], q + t / 2) - np.maximum((p - s / 2)[:, None], q - t / 2)
        for p, s, q, t in ((one.x, one.width, other.x, other.width), (one.y, one.height, other.y, other.height))
    )
    return np.asarray(np.maximum(across, 0) * np.maximum(down, 0), np.float64)


def find_one(light: NDArray[np.float32], network: Network, flatten: bool = True) -> tuple[Marks, list[Level]]:
    """Find the digit of a picture that holds one, from the largest it may be to the smallest; the surest first.

    The finer levels, which cost the most, are looked at only where the coarser show nothing that is clear.
    """
    coarse_first = scales(*light.shape)[::-1]
    found: list[Marks] = []
    levels: list[Level] = []
    for k, scale in enumerate(coarse_first):
        digits, _, level = pyramid(light, network, [scale], flatten)
        found.append(digits)
        levels += level
        if k and len(found[-2]) and found[-2].p.max() > _CLEAR:
            break
    marks = _each_once(together(found))
    # Of two that are nearly as sure, the larger is the digit and the other a part of it.
    return marks[np.argsort(-marks.p * marks.height**0.25, kind="stable")[:_MOST_OF_ONE]], levels


def find_turn(
    grey: NDArray[np.float32],
    network: Network,
    digits: Marks,
    flatten: bool = True,
    look: Callable[[Sequence[Level], Marks], NDArray[np.float64]] | None = None,
) -> int:
    """Say by how many quarters a page is to be turned clockwise so that its digits stand upright.

    ``digits`` were found on the page as it lies: upside-down ones are found too, only less surely. ``look`` says how
    probably each candidate is a digit, 0-1: letters that lie on their side are less like letters.
    """
    windows = _windows((grey.shape[0], grey.shape[1]), digits)
    sums, one_way, all_sure = np.zeros(4), np.zeros(4), np.full(4, 1e-9)
    mean_share = np.zeros(4)
    for left, top, right, bottom, scale in windows:
        part = grey[top:bottom, left:right]
        for turn in range(4):
            turned = np.ascontiguousarray(np.rot90(part, -turn))
            found, _, levels = pyramid(turned, network, [scale, scale / _STEP], flatten)
            marks = _each_once(found)
            # In words that stand on their head some letters are like digits, and most are not.
            likely = marks.p if look is None else marks.p * look(levels, marks)
            share = float(likely.sum()) / max(float(marks.p.sum()), 1e-9)
            sure = np.maximum(marks.p - 0.5, 0) * likely / marks.p * marks.answers.max(1, initial=0)
            sums[turn] += share**2 * float(sure.sum())
            one_way[turn] += share**2 * float(sure @ marks.answers[:, _ONE_WAY].sum(1))
            mean_share[turn] += share * float(sure.sum())
            all_sure[turn] += float(sure.sum())
        # Most pages are clear after the first window.
        second, best = np.sort(sums)[-2:]
        if best > _CLEAR_TURN[0] and best > _CLEAR_TURN[1] * second:
            break
    # A page lies as it should unless much speaks against it. On its head a 6 is a 9, and 0, 1 and 8 stay what they are:
    # that it stands there is told by the others alone.
    sums[0] = 1.1 * sums[0] + 0.3
    if one_way[2] - one_way[0] < _TELLING:
        sums[2] = 0
    sums[1:][(mean_share / all_sure)[1:] < _MOSTLY] = 0
    return int(np.argmax(sums))


def _windows(shape: tuple[int, int], digits: Marks) -> list[tuple[int, int, int, int, float]]:
    """Parts of the page where the turn is looked for: where most is found, and at the size that most of it has."""
    height, width = shape
    if len(digits) == 0:
        scale = min(scales(height, width)[0], 512 / max(height, width))
        return [(0, 0, width, height, scale)]
    # Small doubtful ones are many everywhere: the surer and the larger, the more a mark says of the usual size.
    weights = digits.p**3 * digits.height
    usual = _weighted_median(digits.height, weights)
    chosen = _windows_at(shape, digits, weights, usual, 4)
    # On a page that lies on its side something large may seem surest; its digits are smaller then, or larger.
    for others in (digits.height < usual / 2, digits.height > 2 * usual):
        if others.sum() >= _FEWEST_OF_A_SIZE:
            chosen += _windows_at(shape, digits, weights, _weighted_median(digits.height[others], weights[others]), 2)
    return chosen


def _windows_at(
    shape: tuple[int, int], digits: Marks, weights: NDArray[np.float64], usual: float, most: int
) -> list[tuple[int, int, int, int, float]]:
    """Parts of the page where most of a size is found."""
    height, width = shape
    scale = min(scales(height, width)[0], 26.0 / usual)
    side = 300 / scale
    free = weights * ((digits.height > usual / 2) & (digits.height < 2 * usual))
    windows: list[tuple[int, int, int, int, float]] = []
    mass_of_first = 0.0
    for _ in range(most):
        near = (np.abs(digits.x[:, None] - digits.x) < side / 2) & (np.abs(digits.y[:, None] - digits.y) < side / 2)
        mass = near @ free
        best = int(np.argmax(mass))
        mass_of_first = mass_of_first or float(mass[best])
        if windows and mass[best] < 0.1 * mass_of_first:
            break
        left, top = max(0, int(digits.x[best] - side / 2)), max(0, int(digits.y[best] - side / 2))
        right, bottom = min(width, int(left + side)), min(height, int(top + side))
        windows.append((left, top, right, bottom, scale))
        free[near[best]] = 0
    return windows


def _weighted_median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    order = np.argsort(values)
    summed = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(summed, summed[-1] / 2)])


def _level(
    shape: tuple[int, ...], grey: NDArray[np.float32], scale: float, flatten: bool
) -> tuple[NDArray[np.float32], float, float]:
    """The local contrast of a page at a scale, with its margin, and the true scales across and down."""
    height, width = shape
    size = (max(4, round(width * scale)), max(4, round(height * scale)))
    if size != (grey.shape[1], grey.shape[0]):
        how = cv2.INTER_AREA if size[0] < grey.shape[1] else cv2.INTER_CUBIC
        grey = np.asarray(cv2.resize(grey, size, interpolation=how), np.float32)
    m = _MARGIN_PX
    wide, high = m + (-size[0]) % STRIDE, m + (-size[1]) % STRIDE
    padded = cv2.copyMakeBorder(grey, m, high, m, wide, cv2.BORDER_REPLICATE)
    if flatten:
        contrast = local_contrast(np.asarray(padded, np.float32))
    else:
        contrast = np.asarray((padded - padded.mean()) / (padded.std() + 0.02), np.float32)
    return contrast, size[0] / width, size[1] / height


def candidates(maps: NDArray[np.float32], least_p: float) -> NDArray[np.float64]:
    """Return where a finder's maps of one level say that digits are: float64 (n, 4), centres and sizes in pixels."""
    heat = _sigmoid(maps[..., CENTERS.start] + np.float32(PRIOR_LOGIT))
    rows, columns = _tops(heat, least_p)
    places, sizes = _boxes(maps[rows, columns].astype(np.float64), rows, columns)
    return np.concatenate([places, sizes], 1)


def _tops(heat: NDArray[np.float32], least_p: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows and columns of the cells that are surer than the eight around them."""
    highest = cv2.dilate(heat, np.ones((3, 3), np.uint8))
    rows, columns = np.nonzero((heat >= highest) & (heat > least_p))
    return rows, columns


def _boxes(
    at: NDArray[np.float64], rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres and sizes, each float64 (n, 2): x before y, in pixels of the level with its margin."""
    centers = np.stack([columns, rows], 1) + 0.5 + at[:, PLACES]
    return centers * STRIDE, USUAL_PX * np.exp(np.clip(at[:, SIZES], -4, 3))


def _peaks(heat: NDArray[np.float32], maps: NDArray[np.float32], classes: slice, fx: float, fy: float) -> Marks:
    """The candidates of a level, in pixels of the page."""
    rows, columns = _tops(heat, _LEAST_P)
    at = maps[rows, columns].astype(np.float64)
    places, sizes = _boxes(at, rows, columns)
    logits = at[:, classes]
    answers = np.exp(logits - logits.max(1, keepdims=True, initial=-1e9))
    return Marks(
        (places[:, 0] - _MARGIN_PX) / fx,
        (places[:, 1] - _MARGIN_PX) / fy,
        sizes[:, 0] / fx,
        sizes[:, 1] / fy,
        heat[rows, columns].astype(np.float64),
        answers / answers.sum(1, keepdims=True),
        np.zeros(len(rows)),
        np.zeros(len(rows)),
    )


def together(marks: Sequence[Marks]) -> Marks:
    """Return the marks of several as one."""
    return Marks(*(np.concatenate([getattr(one, field.name) for one in marks]) for field in dataclasses.fields(Marks)))


def _each_once(marks: Marks) -> Marks:
    """Keep the surest of those that are the same digit on two levels, and let the others speak too on which it is."""
    order = np.argsort(-marks.p, kind="stable")
    marks = marks[order]
    n = len(marks)
    area = marks.width * marks.height
    is_free = np.ones(n, np.bool_)
    kept, answers, support = [], [], []
    for k in range(n):
        if not is_free[k]:
            continue
        shared = common_area(marks[k : k + 1], marks)[0]
        same = shared > 0.4 * (area + area[k] - shared)
        narrow = np.minimum(marks.width, marks.width[k]) * 0.5 + 0.1 * marks.height[k]
        low = np.minimum(marks.height, marks.height[k])
        near = (np.abs(marks.x - marks.x[k]) < 0.7 * narrow) & (np.abs(marks.y - marks.y[k]) < 0.35 * low)
        near &= np.maximum(marks.height, marks.height[k]) < _ALIKE * low
        alike = (same | near) & is_free
        is_free &= ~alike
        support.append(float(marks.p[alike].sum() - marks.p[k]))
        alike[k] = True
        weights = marks.p[alike] ** 2
        logs = np.log(np.maximum(marks.answers[alike], 1e-6))
        mean = np.exp((weights[:, None] * logs).sum(0) / weights.sum())
        kept.append(k)
        answers.append(mean / mean.sum())
    chosen = marks[np.array(kept, np.int64)]
    if not kept:
        return chosen
    return dataclasses.replace(chosen, answers=np.array(answers), support=np.array(support))


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -60, 60))), np.float32)
