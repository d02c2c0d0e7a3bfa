"""Papers: the ground that ink stands on, what covers it, the light, and the camera."""

from __future__ import annotations

import math

import numpy as np

from digitlab.engine.cpu.chance import between, bits, chance, draw, even, normal, one_of
from digitlab.engine.cpu.compiled import kernel
from digitlab.engine.drawing.sketching import CONTRAST

_ONE, _ZERO, _HALF = np.float32(1.0), np.float32(0.0), np.float32(0.5)
_GRAIN_MASK = np.uint64(0xFFFF)
# Edges bow by so much of a crop; on a page that is larger, by the same part of it.
_CROP = 144.0


@kernel
def cloud(stream, lattice, plane, cells):
    """Write a smooth random field, 0-1, with so many cells on a side, at most 72."""
    side = plane.shape[0]
    n = cells + 2
    for k in range(n * n):
        lattice[k] = np.float32(draw(stream))
    row = lattice[n * n : n * n + n]
    step = np.float32(cells / side)
    for y in range(side):
        v = np.float32(y) * step
        i = int(v)
        t = v - np.float32(i)
        t = t * t * (np.float32(3.0) - np.float32(2.0) * t)
        for k in range(n):
            row[k] = lattice[i * n + k] * (_ONE - t) + lattice[(i + 1) * n + k] * t
        for x in range(side):
            u = np.float32(x) * step
            j = int(u)
            s = u - np.float32(j)
            s = s * s * (np.float32(3.0) - np.float32(2.0) * s)
            plane[y, x] = row[j] + s * (row[j + 1] - row[j])


@kernel
def _step(distance, softness):
    """From 0 to 1 across an edge so soft."""
    return min(max(np.float32(0.5) + distance / softness, _ZERO), _ONE)


@kernel
def lay_paper(stream, desk, is_clean):
    """Write the paper's grey into ``light``; return its level."""
    paper, spare = desk.light, desk.spare
    side = paper.shape[0]
    level = between(stream, 0.45, 1.0)
    if is_clean:
        level = 1.0 if chance(stream, 0.6) else level
    paper[:, :] = np.float32(level)
    if is_clean:
        return level
    for kind in range(3):
        if kind > 0 and not chance(stream, 0.3):
            continue
        # Grain of all sizes: enlarged pages show that of the camera, many pixels wide.
        cells = int(
            even(stream, 24.0, 72.0)
            if kind == 0
            else even(stream, 40.0, 72.0)
            if kind == 1
            else even(stream, 6.0, 30.0)
        )
        strength = np.float32(level * between(stream, 0.0, 0.16 if kind == 0 else 0.2 if kind == 1 else 0.24))
        cloud(stream, desk.lattice, spare, cells)
        for y in range(side):
            for x in range(side):
                paper[y, x] += (spare[y, x] - _HALF) * strength
    if chance(stream, 0.08):  # a crease
        turn, off = between(stream, 0.0, 6.3), between(stream, -0.4, 0.4) * side
        a, b = np.float32(math.cos(turn)), np.float32(math.sin(turn))
        c = np.float32(off - 0.5 * side * (a + b))
        rise, width = np.float32(between(stream, -0.25, 0.25)), np.float32(even(stream, 1.0, 10.0))
        for y in range(side):
            for x in range(side):
                d = (a * x + b * y + c) / width
                if -_ONE < d < _ONE:
                    paper[y, x] *= _ONE + rise * (_ONE - d * d) * (d if width > 4 else _ONE)
    return level


@kernel
def put_ink(stream, desk, level, is_clean):
    """Lay what was printed and written over the paper."""
    paper, ink, printed, spare = desk.light, desk.ink, desk.print, desk.spare
    side = paper.shape[0]
    depth = between(stream, 0.55, 0.97) if chance(stream, 0.55) else between(stream, 0.2, 0.95)
    printed_depth = between(stream, 0.4, 0.95)
    if is_clean:
        depth = between(stream, 0.75, 1.0) if chance(stream, 0.85) else between(stream, 0.08, 0.75)
    # A pen's ink varies along the stroke; a pencil's is grainy.
    uneven, grainy = 0.0, 0.0
    if not is_clean:
        uneven = between(stream, 0.0, 0.4)
        if chance(stream, 0.2):
            grainy = between(stream, 0.2, 0.9)
            depth = between(stream, 0.15, 0.6)
    if uneven > 0.0:
        cloud(stream, desk.lattice, spare, 24)
        for y in range(side):
            for x in range(side):
                ink[y, x] *= _ONE - np.float32(uneven) * spare[y, x]
    if grainy > 0.0:
        cloud(stream, desk.lattice, spare, 72)
        for y in range(side):
            for x in range(side):
                ink[y, x] *= _ONE - np.float32(grainy) * spare[y, x]
    desk.habits[CONTRAST] = depth * level
    d, e = np.float32(depth), np.float32(printed_depth)
    for y in range(side):
        for x in range(side):
            paper[y, x] *= (_ONE - e * printed[y, x]) * (_ONE - d * ink[y, x])


@kernel
def _blur(plane, spare, weight):
    """Mix every pixel with its neighbors: (weight, 1, weight) across and down."""
    side = plane.shape[0]
    w = np.float32(weight)
    scale = _ONE / (_ONE + w + w)
    for y in range(side):
        spare[y, 0] = (plane[y, 0] * (_ONE + w) + w * plane[y, 1]) * scale
        for x in range(1, side - 1):
            spare[y, x] = (plane[y, x] + w * (plane[y, x - 1] + plane[y, x + 1])) * scale
        spare[y, side - 1] = (plane[y, side - 1] * (_ONE + w) + w * plane[y, side - 2]) * scale
    for y in range(side):
        above, below = max(y - 1, 0), min(y + 1, side - 1)
        for x in range(side):
            plane[y, x] = (spare[y, x] + w * (spare[above, x] + spare[below, x])) * scale


@kernel
def threshold(stream, desk, level):
    """Make the page black and white, or nearly, as some scanners and programs do."""
    image, spare = desk.light, desk.spare
    side = image.shape[0]
    _blur(image, spare, between(stream, 0.1, 0.5))
    cut = np.float32(level - between(stream, 0.25, 0.5) * desk.habits[CONTRAST])
    gain = np.float32(even(stream, 3.0, 40.0))
    for y in range(side):
        for x in range(side):
            image[y, x] = min(max((image[y, x] - cut) * gain + _HALF, _ZERO), _ONE)


@kernel
def ground(stream, desk, plane):
    """Write what may lie beyond a sheet: wood, cloth, squares, stripes, something flat, something unknown."""
    side = plane.shape[0]
    level, strength = between(stream, 0.02, 0.95), between(stream, 0.0, 0.6)
    kind = one_of(stream, 6)
    turn = between(stream, 0.0, 3.1416)
    c, s = np.float32(math.cos(turn)), np.float32(math.sin(turn))
    base, rise = np.float32(level), np.float32(level * strength)
    if kind <= 1:  # flat, or clouds
        cloud(stream, desk.lattice, plane, 3 + one_of(stream, 3) if kind == 0 else int(even(stream, 4.0, 60.0)))
        for y in range(side):
            for x in range(side):
                plane[y, x] = base + rise * (plane[y, x] - _HALF)
        return
    if kind == 2:  # wood
        cloud(stream, desk.lattice, plane, 4)
        pitch, bends = np.float32(6.283 / even(stream, 3.0, 24.0)), np.float32(between(stream, 2.0, 30.0))
        for y in range(side):
            for x in range(side):
                along = c * x + s * y
                plane[y, x] = base + _HALF * rise * np.float32(math.sin((along + bends * plane[y, x]) * pitch))
        return
    pitch = even(stream, 4.0, 50.0)
    if kind == 3:  # cloth
        wave = np.float32(6.283 / (0.3 * pitch + 1.5))
        for y in range(side):
            for x in range(side):
                u, v = c * x + s * y, c * y - s * x
                plane[y, x] = base + _HALF * rise * np.float32(math.sin(u * wave)) * np.float32(math.sin(v * wave))
        return
    inverse, share = np.float32(1.0 / pitch), np.float32(between(stream, 0.05, 0.6))
    for y in range(side):
        for x in range(side):
            u, v = (c * x + s * y) * inverse, (c * y - s * x) * inverse
            u, v = u - np.float32(math.floor(u)), v - np.float32(math.floor(v))
            inside = u < share if kind == 4 else (u < share) != (v < share)
            plane[y, x] = base + (rise if inside else -rise)


@kernel
def _lay_beyond(stream, desk, turn, off, softness):
    """Cover what lies beyond an edge with what is in ``spare``."""
    image, hidden, spare = desk.light, desk.hidden, desk.spare
    side = image.shape[0]
    a, b = np.float32(math.cos(turn)), np.float32(math.sin(turn))
    c = np.float32(-0.5 * side * (a + b) - off)
    bow = np.float32(between(stream, -0.0006, 0.0006) * _CROP / side) if chance(stream, 0.4) else _ZERO
    rim = np.float32(between(stream, 0.0, 0.8)) if chance(stream, 0.6) else _ZERO
    rim_width = np.float32(even(stream, 0.7, 12.0))
    if chance(stream, 0.3):
        rim = -_HALF * rim  # the sheet's thickness in the light
    shift = np.float32(between(stream, -0.5, 1.0)) * rim_width
    soft = np.float32(softness)
    for y in range(side):
        for x in range(side):
            d = a * x + b * y + c
            t = b * x - a * y
            d += bow * t * t
            cover = _step(d, soft)
            if cover > _ZERO:
                image[y, x] += (spare[y, x] - image[y, x]) * cover
                if cover > hidden[y, x]:
                    hidden[y, x] = cover
            q = (d - shift) / rim_width
            if rim != _ZERO and -_ONE < q < _ONE:
                image[y, x] *= _ONE - rim * (_ONE - q * q)


@kernel
def lay_beyond_line(stream, desk, x1, y1, x2, y2):
    """Cover what lies to the left of a line from one point to another with what is in ``spare``."""
    side = desk.light.shape[0]
    turn = math.atan2(-(x2 - x1), y2 - y1)
    a, b = math.cos(turn), math.sin(turn)
    off = a * (x1 - 0.5 * side) + b * (y1 - 0.5 * side)
    _lay_beyond(stream, desk, turn, off, between(stream, 0.8, 2.0))


@kernel
def _lay_disc(stream, desk, x, y, wide, high, turn, softness, level):
    """Cover an ellipse with one grey."""
    image, hidden = desk.light, desk.hidden
    side = image.shape[0]
    c, s = math.cos(turn), math.sin(turn)
    a, b, e, f = np.float32(c / wide), np.float32(s / wide), np.float32(-s / high), np.float32(c / high)
    slope = np.float32(between(stream, -0.3, 0.3))
    reach = np.float32(min(wide, high) / softness)
    reachpx = max(wide, high) + softness
    for py in range(max(0, int(y - reachpx)), min(side, int(y + reachpx) + 1)):
        for px in range(max(0, int(x - reachpx)), min(side, int(x + reachpx) + 1)):
            dx, dy = np.float32(px - x), np.float32(py - y)
            u, v = a * dx + b * dy, e * dx + f * dy
            d = (_ONE - np.float32(math.sqrt(u * u + v * v))) * reach
            cover = min(max(d + _HALF, _ZERO), _ONE)
            if cover > _ZERO:
                image[py, px] += (np.float32(level) * (_ONE + slope * u) - image[py, px]) * cover
                if cover > hidden[py, px]:
                    hidden[py, px] = cover


@kernel
def cover_up(stream, desk):
    """Lay over the page what hides it: the ground beyond its edges, a folded corner, holes, fingers."""
    side = desk.light.shape[0]
    if chance(stream, 0.33):
        turn = between(stream, 0.0, 6.2832)
        if chance(stream, 0.5):
            turn = 1.5708 * one_of(stream, 4) + 0.12 * normal(stream)
        softness = even(stream, 0.8, 6.0) if chance(stream, 0.3) else between(stream, 0.8, 1.8)
        ground(stream, desk, desk.spare)
        _lay_beyond(stream, desk, turn, between(stream, 0.1, 0.5) * side, softness)
        if chance(stream, 0.35):  # a corner
            turn += 1.5708 + 0.08 * normal(stream)
            _lay_beyond(stream, desk, turn, between(stream, 0.05, 0.5) * side, softness)
    if chance(stream, 0.03):  # a corner turned over
        desk.spare[:, :] = np.float32(between(stream, 0.4, 1.0))
        _lay_beyond(stream, desk, between(stream, 0.0, 6.2832), between(stream, 0.2, 0.55) * side, 1.2)
    if chance(stream, 0.03):  # punched holes
        level, radius = between(stream, 0.02, 0.9), even(stream, 4.0, 16.0)
        x, y, apart = between(stream, 0.0, side), between(stream, 0.0, side), even(stream, 25.0, 90.0)
        for k in range(1 + one_of(stream, 3)):
            _lay_disc(stream, desk, x, y + k * apart, radius, radius * between(stream, 0.9, 1.1), 0.0, 1.2, level)
    if chance(stream, 0.06):  # a finger, a cup, a pen
        turn = between(stream, 0.0, 6.2832)
        x, y = side * (0.5 + 0.6 * math.cos(turn)), side * (0.5 + 0.6 * math.sin(turn))
        wide, high = even(stream, 8.0, 60.0), even(stream, 20.0, 120.0)
        level = between(stream, 0.05, 0.9)
        softness = even(stream, 1.0, 8.0)
        _lay_disc(stream, desk, x, y, wide, high, turn + 1.5708 + 0.4 * normal(stream), softness, level)


@kernel
def shapes_instead(stream, desk):
    """Write a picture of things instead of a page: shapes of any grey before clouds of any size."""
    image, spare = desk.light, desk.spare
    side = image.shape[0]
    ground(stream, desk, image)
    if chance(stream, 0.5):
        cells, share = 3, 0.5
        for _ in range(4):
            cloud(stream, desk.lattice, spare, cells)
            for y in range(side):
                for x in range(side):
                    image[y, x] += np.float32(share) * (spare[y, x] - _HALF)
            cells, share = min(72, cells * 3), share * between(stream, 0.3, 0.8)
    n = one_of(stream, 7)
    for _ in range(n):
        softness = even(stream, 0.8, 12.0)
        if chance(stream, 0.5):
            x, y = between(stream, 0.0, side), between(stream, 0.0, side)
            wide, high = even(stream, 4.0, 80.0), even(stream, 4.0, 80.0)
            turn = between(stream, 0.0, 3.1416)
            _lay_disc(stream, desk, x, y, wide, high, turn, min(softness, 0.5 * min(wide, high)), draw(stream))
        else:
            ground(stream, desk, spare)
            _lay_beyond(stream, desk, between(stream, 0.0, 6.2832), between(stream, -0.3, 0.6) * side, softness)


@kernel
def shine(stream, desk):
    """Let light fall: slopes, clouds, a vignette, shadows with hard and soft edges."""
    image, spare = desk.light, desk.spare
    side = image.shape[0]
    if chance(stream, 0.75):
        depth = np.float32(between(stream, 0.0, 0.65) if chance(stream, 0.5) else between(stream, 0.0, 0.2))
        cloud(stream, desk.lattice, spare, 2 + one_of(stream, 2))
        for y in range(side):
            for x in range(side):
                image[y, x] *= _ONE - depth * spare[y, x]
    if chance(stream, 0.2):  # a vignette: the crop is part of a larger photo
        x, y = between(stream, -1.5, 2.5) * side, between(stream, -1.5, 2.5) * side
        far = between(stream, 1.2, 3.5) * side
        depth = np.float32(between(stream, 0.3, 1.0))
        inverse = np.float32(1.0 / (far * far))
        for py in range(side):
            for px in range(side):
                dx, dy = np.float32(px - x), np.float32(py - y)
                image[py, px] *= max(np.float32(0.1), _ONE - depth * min((dx * dx + dy * dy) * inverse, _ONE))
    n_shadows = 0 if chance(stream, 0.78) else 1 + one_of(stream, 2)
    for _ in range(n_shadows):
        turn, off = between(stream, 0.0, 6.2832), between(stream, -0.5, 0.5) * side
        a, b = np.float32(math.cos(turn)), np.float32(math.sin(turn))
        c = np.float32(-0.5 * side * (a + b) + off)
        depth, soft = np.float32(between(stream, 0.1, 0.6)), np.float32(even(stream, 0.8, 30.0))
        bow = np.float32(between(stream, -0.004, 0.004) * _CROP / side) if chance(stream, 0.5) else _ZERO
        is_band, width = chance(stream, 0.25), np.float32(even(stream, 4.0, 60.0))
        for y in range(side):
            for x in range(side):
                t = b * x - a * y
                d = a * x + b * y + c + bow * t * t
                cover = _step(d, soft)
                if is_band:
                    cover -= _step(d - width, soft)
                image[y, x] *= _ONE - depth * cover
    total = 0.0
    for y in range(side):
        for x in range(side):
            total += image[y, x]
    mean = total / (side * side)
    if mean < 0.15:  # a camera would expose it longer
        longer = np.float32(0.15 / max(mean, 0.01))
        for y in range(side):
            for x in range(side):
                image[y, x] *= longer


@kernel
def _coarsen(plane, spare, factor, keeps_blocks):
    """Take the picture with fewer pixels, and enlarge it again: between them, or in blocks."""
    side = plane.shape[0]
    n = max(8, int(side / factor))
    step = side / n
    for i in range(n):
        y0, y1 = int(i * step), max(int(i * step) + 1, int((i + 1) * step))
        for j in range(n):
            x0, x1 = int(j * step), max(int(j * step) + 1, int((j + 1) * step))
            total = _ZERO
            for y in range(y0, min(y1, side)):
                for x in range(x0, min(x1, side)):
                    total += plane[y, x]
            spare[i, j] = total / np.float32((min(y1, side) - y0) * (min(x1, side) - x0))
    for y in range(side):
        v = (y + 0.5) / step - (0.0 if keeps_blocks else 0.5)
        i = min(max(math.floor(v), 0), n - 1)
        t = np.float32(min(max(v - i, 0.0), 1.0))
        below = min(i + 1, n - 1)
        for x in range(side):
            u = (x + 0.5) / step - (0.0 if keeps_blocks else 0.5)
            j = min(max(math.floor(u), 0), n - 1)
            if keeps_blocks:
                plane[y, x] = spare[i, j]
                continue
            s = np.float32(min(max(u - j, 0.0), 1.0))
            right = min(j + 1, n - 1)
            top = spare[i, j] + s * (spare[i, right] - spare[i, j])
            low = spare[below, j] + s * (spare[below, right] - spare[below, j])
            plane[y, x] = top + t * (low - top)


@kernel
def photograph(stream, desk, is_clean, height, out):
    """Take the picture: blur, coarse pixels, noise, negative; 0-1 into ``out``."""
    image, spare = desk.light, desk.spare
    side = image.shape[0]
    if is_clean:
        if chance(stream, 0.3):
            _blur(image, spare, between(stream, 0.0, 0.5))
    else:
        _blur(image, spare, between(stream, 0.0, 0.5))
        n = 0 if chance(stream, 0.7) else 1 + one_of(stream, 1 + int(height > 17.0) + int(height > 22.0))
        for _ in range(n):
            _blur(image, spare, 0.5)
    if chance(stream, 0.14):
        _coarsen(image, spare, between(stream, 1.3, 2.4), False)
    elif chance(stream, 0.05):
        _coarsen(image, spare, between(stream, 1.3, 3.2), True)
    noise = 0.0
    if not is_clean or chance(stream, 0.3):
        # Noise as strong as the ink would leave nothing to read.
        noise = min(between(stream, 0.0, 0.07) * draw(stream), 0.2 * desk.habits[CONTRAST])
    if noise > 0.0:
        strength = np.float32(noise * 1.7320508 / 65535.0)
        for y in range(side):
            for x in range(side):
                value = bits(stream)
                total = np.int64(value & _GRAIN_MASK) + np.int64((value >> np.uint64(16)) & _GRAIN_MASK)
                total += np.int64((value >> np.uint64(32)) & _GRAIN_MASK) + np.int64(value >> np.uint64(48))
                image[y, x] += np.float32(total - 131070) * strength
    is_negative = chance(stream, 0.2)
    for y in range(side):
        for x in range(side):
            value = np.float32(math.floor(min(max(image[y, x], _ZERO), _ONE) * 255.0 + 0.5)) * np.float32(1 / 255)
            out[y, x] = _ONE - value if is_negative else value
