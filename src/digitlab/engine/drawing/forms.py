"""Forms: boxes, combs, grids and ruled lines, and what stands in them."""

from __future__ import annotations

import math

from digitlab.engine.cpu.chance import between, chance, draw, even, normal, one_of
from digitlab.engine.cpu.compiled import kernel
from digitlab.engine.drawing.sketching import clear_box, curve, line
from digitlab.engine.drawing.writing import FONT, RADIUS, STRENGTH, choose_hand, sign

# What stands around the cells.
_GRID, _BOXES, _COMB, _DOTTED, _SUDOKU, _NOTHING = range(6)


@kernel
def frame_box(desk, plane, left, top, right, bottom, radius, strength):
    """Draw the four sides of a box of the page."""
    view = desk.lens
    line(plane, view, left, top, right, top, radius, strength)
    line(plane, view, right, top, right, bottom, radius, strength)
    line(plane, view, left, bottom, right, bottom, radius, strength)
    line(plane, view, left, top, left, bottom, radius, strength)


@kernel
def _shade(desk, left, top, right, bottom, strength):
    y = top + 1.0
    while y < bottom:
        line(desk.print, desk.lens, left + 1.0, y, right - 1.0, y, 0.8, strength)
        y += 1.0


@kernel
def _dotted(desk, x1, y1, x2, y2, radius, strength, step):
    length = math.sqrt((x2 - x1) ** 2 + (y2 - y1) ** 2)
    n = int(length / step)
    for k in range(n):
        a, b = k / n, (k + 0.45) / n
        line(
            desk.print,
            desk.lens,
            x1 + a * (x2 - x1),
            y1 + a * (y2 - y1),
            x1 + b * (x2 - x1),
            y1 + b * (y2 - y1),
            radius,
            strength,
        )


@kernel
def _frames(stream, desk, style, left, top, wide, high, n_rows, n_columns, radius, strength, thick):
    """Draw what stands around the cells."""
    right, bottom = left + n_columns * wide, top + n_rows * high
    plane, view = desk.print, desk.lens
    gap = between(stream, 0.04, 0.22) * wide
    step = between(stream, 2.5, 6.0)
    tick = between(stream, 0.12, 0.5) * high
    for r in range(n_rows + 1):
        y = top + r * high
        if style in (_GRID, _SUDOKU):
            own = thick if style == _SUDOKU and r % 3 == 0 else radius
            line(plane, view, left, y, right, y, own, strength)
        elif style == _DOTTED:
            _dotted(desk, left, y, right, y, radius, strength, step)
        elif style == _COMB and r > 0:
            line(plane, view, left, y - gap, right, y - gap, radius, strength)
            for c in range(n_columns + 1):
                line(plane, view, left + c * wide, y - gap - tick, left + c * wide, y - gap, radius, strength)
    for c in range(n_columns + 1):
        x = left + c * wide
        if style in (_GRID, _SUDOKU):
            own = thick if style == _SUDOKU and c % 3 == 0 else radius
            line(plane, view, x, top, x, bottom, own, strength)
        elif style == _DOTTED:
            _dotted(desk, x, top, x, bottom, radius, strength, step)
    if style == _BOXES:
        for r in range(n_rows):
            for c in range(n_columns):
                x, y = left + c * wide, top + r * high
                inner = 0.5 * gap
                frame_box(desk, plane, x + inner, y + inner, x + wide - inner, y + high - inner, radius, strength)


@kernel
def _cross_out(stream, desk, x, y, size):
    """Draw a cross, a dash or a tick in a cell: no digit, and no separator."""
    habits, points, box = desk.habits, desk.points, desk.box
    radius, strength = habits[RADIUS], habits[STRENGTH]
    which = one_of(stream, 4)
    clear_box(box)
    if which <= 1:
        for k in range(2):
            side = 1.0 if k else -1.0
            points[0, 0], points[0, 1] = (
                x - side * size * between(stream, 0.3, 0.6),
                y - size * between(stream, 0.3, 0.6),
            )
            points[1, 0], points[1, 1] = x + 0.08 * size * normal(stream), y + 0.08 * size * normal(stream)
            points[2, 0], points[2, 1] = (
                x + side * size * between(stream, 0.3, 0.6),
                y + size * between(stream, 0.3, 0.6),
            )
            curve(desk.ink, desk.lens, points, 3, radius, strength, False, box)
    elif which == 2:
        fall = size * between(stream, -0.35, 0.08)
        points[0, 0], points[0, 1] = x - size * between(stream, 0.25, 0.5), y - fall
        points[1, 0], points[1, 1] = x + size * between(stream, 0.25, 0.5), y + fall
        curve(desk.ink, desk.lens, points, 2, radius, strength, False, box)
    else:
        points[0, 0], points[0, 1] = x - size * between(stream, 0.3, 0.5), y + size * between(stream, -0.2, 0.1)
        points[1, 0], points[1, 1] = x - size * between(stream, 0.05, 0.2), y + size * between(stream, 0.3, 0.5)
        points[2, 0], points[2, 1] = x + size * between(stream, 0.3, 0.7), y - size * between(stream, 0.4, 0.7)
        line(desk.ink, desk.lens, points[0, 0], points[0, 1], points[1, 0], points[1, 1], radius, strength)
        line(desk.ink, desk.lens, points[1, 0], points[1, 1], points[2, 0], points[2, 1], radius, strength)


@kernel
def fill_form(stream, bank, desk, height):
    """Draw cells over the whole crop and fill them."""
    side = desk.ink.shape[0]
    habits = desk.habits
    which = draw(stream)
    style = _GRID if which < 0.3 else _BOXES if which < 0.55 else _COMB if which < 0.66 else _DOTTED
    if which > 0.72:
        style = _SUDOKU if which < 0.92 else _NOTHING
    wide, high = height * between(stream, 1.0, 2.3), height * between(stream, 1.12, 2.6)
    if style == _SUDOKU:
        wide = height * between(stream, 1.3, 2.4)
        high = wide * between(stream, 0.9, 1.1)
    if style in (_BOXES, _COMB):
        high *= between(stream, 1.0, 1.8)
    left, top = -40.0 - between(stream, 0.0, 1.0) * wide, -40.0 - between(stream, 0.0, 1.0) * high
    n_columns, n_rows = int((side + 80.0 - left) / wide) + 1, int((side + 80.0 - top) / high) + 1
    first_row, last_row, first_column, last_column = 0, n_rows, 0, n_columns
    if chance(stream, 0.45):  # an end of it is in view
        first_row = one_of(stream, max(1, n_rows - 1))
        last_row = min(n_rows, first_row + 1 + one_of(stream, 5))
        first_column = one_of(stream, max(1, n_columns // 2))
        last_column = min(n_columns, first_column + 2 + one_of(stream, 8))
    x0, y0 = left + first_column * wide, top + first_row * high
    radius, strength = 0.5 * even(stream, 0.5, 2.8), between(stream, 0.15, 1.0)
    thick = radius * between(stream, 1.0, 3.0)
    rows, columns = last_row - first_row, last_column - first_column
    is_shaded = chance(stream, 0.15)
    # A third of the sheets have printed digits in some of their cells.
    own_font = habits[FONT]
    font = float(one_of(stream, len(bank.printed)))
    prints = between(stream, 0.1, 0.7) if style == _SUDOKU and chance(stream, 0.6) else 0.0
    if prints > 0.0:
        own_font = -1.0
    fills = between(stream, 0.2, 1.0) if chance(stream, 0.5) else 0.95
    crosses = between(stream, 0.0, 0.4) if chance(stream, 0.25) else 0.0
    letters = between(stream, 0.0, 0.6) if chance(stream, 0.12) else 0.0
    small = chance(stream, 0.12)
    astray = between(stream, 0.02, 0.16) * height
    spread = between(stream, 0.02, 0.15)
    if is_shaded:
        shade = between(stream, 0.08, 0.4)
        for r in range(rows):
            for c in range(columns):
                if chance(stream, 0.25):
                    x, y = x0 + c * wide, y0 + r * high
                    _shade(desk, x, y, x + wide, y + high, shade)
    _frames(stream, desk, style, x0, y0, wide, high, rows, columns, radius, strength, thick)
    for r in range(rows):
        for c in range(columns):
            x, y = x0 + (c + 0.5) * wide, y0 + (r + 0.5) * high
            if not (-60.0 < x < side + 60.0 and -60.0 < y < side + 60.0):
                continue
            if small and chance(stream, 0.4):  # a clue, or how many points there are
                habits[FONT] = font
                tiny = min(height * between(stream, 0.2, 0.38), 8.5)
                at_x, at_y = x - 0.5 * wide + tiny, y - 0.5 * high + tiny
                sign(stream, bank, desk, desk.print, one_of(stream, bank.n_digits), at_x, at_y, tiny, False, True)
            habits[FONT] = own_font
            if not chance(stream, fills):
                continue
            if chance(stream, crosses):
                _cross_out(stream, desk, x, y, height * between(stream, 0.6, 1.2))
                continue
            x, y = x + astray * normal(stream), y + astray * normal(stream)
            own = height * math.exp(spread * normal(stream))
            if chance(stream, letters):
                index = bank.n_digits + one_of(stream, len(bank.images) - bank.n_digits)
                sign(stream, bank, desk, desk.ink, index, x, y, own, False, False)
                continue
            index = one_of(stream, bank.n_digits)
            if chance(stream, prints):
                habits[FONT] = font
                sign(stream, bank, desk, desk.print, index, x, y, height, False, True)
            else:
                sign(stream, bank, desk, desk.ink, index, x, y, own, False, True)
    habits[FONT] = own_font
    if chance(stream, 0.1):  # something of another hand
        choose_hand(stream, bank, habits, height)


@kernel
def rule_page(stream, desk, height):
    """Rule the page: lines across, lines down, squares, fine waves, now and then."""
    side = desk.print.shape[0]
    plane, view, points, box = desk.print, desk.lens, desk.points, desk.box
    reach = 50.0
    kind = draw(stream)
    if kind < 0.2 or 0.26 < kind < 0.34:
        apart = even(stream, 7.0, 90.0)
        radius, strength = 0.5 * even(stream, 0.4, 2.6), between(stream, 0.12, 1.0)
        falls = between(stream, -0.03, 0.03)
        y = -reach + apart * draw(stream)
        while y < side + reach:
            line(plane, view, -reach, y - falls * 120, side + reach, y + falls * 120, radius, strength)
            y += apart
    if 0.2 < kind < 0.34:
        apart = even(stream, 9.0, 120.0)
        radius, strength = 0.5 * even(stream, 0.4, 2.6), between(stream, 0.12, 1.0)
        x = -reach + apart * draw(stream)
        while x < side + reach:
            line(plane, view, x, -reach, x, side + reach, radius, strength)
            x += apart
    if 0.34 < kind < 0.4:  # squared paper
        apart = even(stream, 6.0, 30.0)
        radius, strength = 0.5 * even(stream, 0.4, 1.2), between(stream, 0.08, 0.5)
        at = -reach + apart * draw(stream)
        while at < side + reach:
            line(plane, view, at, -reach, at, side + reach, radius, strength)
            line(plane, view, -reach, at, side + reach, at, radius, strength)
            at += apart
    if 0.4 < kind < 0.5:  # fine waves, as on cheques
        apart, length, rise = even(stream, 3.0, 14.0), even(stream, 12.0, 80.0), between(stream, 0.5, 9.0)
        strength, phase = between(stream, 0.06, 0.4), between(stream, 0.0, 6.3)
        turn = between(stream, 0.0, 3.14) if chance(stream, 0.4) else 0.0
        drift = between(stream, -0.3, 0.3)
        sine, cosine = math.sin(turn), math.cos(turn)
        v = -30.0
        while v < side + 30.0:
            n = 0
            u = -30.0
            while u <= side + 30.0 and n < 90:
                w = v + rise * math.sin(6.283 * u / length + phase)
                points[n, 0] = 72.0 + (u - 72.0) * cosine - (w - 72.0) * sine
                points[n, 1] = 72.0 + (u - 72.0) * sine + (w - 72.0) * cosine
                u += max(length / 8.0, 2.4)
                n += 1
            for k in range(n - 1):
                line(plane, view, points[k, 0], points[k, 1], points[k + 1, 0], points[k + 1, 1], 0.4, strength)
            phase += drift
            v += apart
    if 0.5 < kind < 0.56:  # rings around a far middle
        middle_x, middle_y = between(stream, -60.0, 200.0), between(stream, -60.0, 200.0)
        apart, strength = even(stream, 4.0, 12.0), between(stream, 0.06, 0.4)
        radius = between(stream, 5.0, 15.0)
        while radius < 150.0:
            for k in range(16):
                points[k, 0] = middle_x + radius * math.cos(k * 0.3927) * 1.3
                points[k, 1] = middle_y + radius * math.sin(k * 0.3927)
            curve(plane, view, points, 16, 0.4, strength, True, box)
            radius += apart
    if 0.56 < kind < 0.63:  # a line or two, wherever; also through what is written
        for _ in range(1 + one_of(stream, 2)):
            radius, strength = 0.5 * even(stream, 0.5, 3.0), between(stream, 0.2, 1.0)
            if chance(stream, 0.7):
                y = between(stream, 0.0, side)
                line(plane, view, -reach, y, side + reach, y + 3.0 * normal(stream), radius, strength)
            else:
                x = between(stream, 0.0, side)
                line(plane, view, x, -reach, x + 3.0 * normal(stream), side + reach, radius, strength)
