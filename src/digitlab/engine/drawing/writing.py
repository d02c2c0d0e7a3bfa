"""Writing: rows of digits, separators, letters and words, in one hand and with one pen.

A hand's *habits* are numbers by which the same person writes all signs of a row.
"""

from __future__ import annotations

import math

from digitlab.engine.cpu.chance import between, chance, draw, even, normal, one_of
from digitlab.engine.cpu.compiled import kernel
from digitlab.engine.drawing.sketching import (
    add_mark,
    clear_box,
    curve,
    disc,
    stamped_sign,
    stretch_sign,
    stroked_sign,
    through,
    word,
)

# Which habit stands where.
STROKED, RADIUS, THRESHOLD, SOFTNESS, SLANT, SLANT_SPREAD, TURN_SPREAD, ASPECT = range(8)
LONGER, STRENGTH, BRUSH, BRUSH_TURN, HEIGHT_SPREAD, BEND, FONT, STRAIGHT_ONES = range(8, 16)
ASPECT_SPREAD, GAP_LEAST, GAP_MOST, ENDS, SEPARATES, OTHERS, PRESENT, WAVERS = range(16, 24)
WORDS, TRAILS, TURNED, SMALL_ZEROS, FLAT_ZEROS, JOINS, ROUND = range(24, 31)

_SLASH, _DASH, _POINT, _COMMA, _COLON, _TIMES, _EQUALS = range(10, 17)
_IGNORED = -1
_MOST_TRIES = 40  # to find a nought among the digits, one in ten


@kernel
def choose_hand(stream, bank, habits, height):
    """Choose who writes, with what, and what."""
    habits[STROKED] = 1.0 if chance(stream, 0.55) else 0.0
    width = even(stream, 0.035, 0.2)
    habits[THRESHOLD] = 0.4 if chance(stream, 0.35) else between(stream, 0.14, 0.7)
    habits[SOFTNESS] = between(stream, 0.03, 0.14)
    if not habits[STROKED]:
        width = 0.17 - 0.13 * habits[THRESHOLD]
    habits[RADIUS] = max(0.4, 0.5 * width * height)
    habits[SLANT] = 0.16 * normal(stream) if chance(stream, 0.7) else between(stream, -0.3, 0.65)
    habits[SLANT_SPREAD] = between(stream, 0.0, 0.1)
    habits[TURN_SPREAD] = between(stream, 0.0, 0.1)
    habits[ASPECT] = 0.18 * normal(stream)
    habits[ASPECT_SPREAD] = between(stream, 0.0, 0.1)
    habits[LONGER] = 0.6 if chance(stream, 0.4) else 0.08
    habits[STRENGTH] = between(stream, 0.8, 1.0)
    habits[BRUSH] = between(stream, 0.2, 0.75) if chance(stream, 0.2) else 0.0
    habits[BRUSH_TURN] = between(stream, 0.0, math.pi)
    habits[HEIGHT_SPREAD] = between(stream, 0.02, 0.2)
    habits[BEND] = between(stream, 0.0, 0.05)
    habits[FONT] = -1.0
    if chance(stream, 0.1):
        habits[FONT] = one_of(stream, len(bank.printed))
        habits[HEIGHT_SPREAD] = habits[TURN_SPREAD] = habits[SLANT_SPREAD] = habits[BEND] = 0.0
        habits[SLANT] = habits[ASPECT_SPREAD] = habits[BRUSH] = 0.0
        habits[THRESHOLD], habits[SOFTNESS] = between(stream, 0.35, 0.65), 0.08
        habits[RADIUS] = max(0.4, 0.05 * height)
    habits[STRAIGHT_ONES] = 1.0 if chance(stream, 0.6) else 0.0
    which = draw(stream)
    if which < 0.25:
        habits[GAP_LEAST], habits[GAP_MOST] = -0.16, 0.05
    elif which < 0.6:
        habits[GAP_LEAST], habits[GAP_MOST] = 0.03, 0.3
    else:
        habits[GAP_LEAST], habits[GAP_MOST] = 0.2, 1.1
    habits[ENDS] = between(stream, 0.05, 0.4) if chance(stream, 0.7) else 0.02
    habits[SEPARATES] = between(stream, 0.08, 0.45) if chance(stream, 0.45) else 0.0
    habits[TRAILS] = 0.3 if chance(stream, 0.2) else 0.03
    habits[OTHERS] = between(stream, 0.0, 1.0) if chance(stream, 0.2) else 0.0
    if chance(stream, 0.05):
        habits[OTHERS] = 1.0
    habits[PRESENT] = between(stream, 0.05, 0.75) if chance(stream, 0.2) else 0.98
    habits[WAVERS] = between(stream, 0.0, 0.1)
    habits[WORDS] = between(stream, 0.05, 0.4) if chance(stream, 0.12) else 0.0
    # Whoever writes amounts in a hurry makes noughts small and flat, and joins them.
    habits[SMALL_ZEROS] = between(stream, 0.3, 1.0) if chance(stream, 0.25) else 0.0
    habits[FLAT_ZEROS] = between(stream, 0.3, 1.0) if chance(stream, 0.25) else 0.0
    habits[JOINS] = between(stream, 0.1, 0.6) if chance(stream, 0.2) else 0.0
    # Round amounts end in noughts.
    habits[ROUND] = between(stream, 0.2, 0.7) if chance(stream, 0.2) else 0.0


@kernel
def _is_near(desk, x, y, height):
    """Tell whether something at a point of the page may be seen at all."""
    a, b = through(desk.lens, x, y)
    side = desk.ink.shape[0]
    return -height < a < side + height and -height < b < side + height


@kernel
def _lean(habits, stream, form):
    form[6] = habits[SLANT] + habits[SLANT_SPREAD] * normal(stream)
    turn = habits[TURN_SPREAD] * normal(stream)
    form[7], form[8] = math.sin(turn), math.cos(turn)


@kernel
def sign(stream, bank, desk, plane, index, x, y, height, is_left, marked):
    """Write a sign of the bank, or its printed like, so high; mark it; return its width in pixels of the page.

    ``x`` is its left end if ``is_left``, else its middle; ``y`` is its middle.
    """
    habits, form, box = desk.habits, desk.form, desk.box
    label = bank.labels[index]
    font = int(habits[FONT])
    is_printed = font >= 0 and label >= 0
    limits = bank.printed_boxes[font, label] if is_printed else bank.boxes[index]
    own_high, own_wide = float(limits[3] - limits[1]), float(limits[2] - limits[0])
    size = max(own_high, 0.9 * own_wide) if label >= 0 else max(own_high, own_wide, 12.0)
    scale = height / size
    aspect = math.exp(habits[ASPECT] + habits[ASPECT_SPREAD] * normal(stream))
    if is_printed:
        aspect = 1.0
    elif label == 0 and chance(stream, habits[FLAT_ZEROS]):
        aspect *= between(stream, 1.1, 1.9)
    form[2], form[3] = scale * aspect, scale
    width = own_wide * form[2]
    form[0], form[1] = (x + 0.5 * width if is_left else x), y
    if not _is_near(desk, form[0], form[1], 1.3 * max(height, width)):
        return width
    _lean(habits, stream, form)
    if label == 1 and habits[STRAIGHT_ONES] and not is_printed:
        form[6] -= 0.85 * bank.slants[index]
    if is_printed or label < 0:
        form[4] = form[5] = 1.0
    else:
        stretch_sign(stream, label, habits[LONGER], form)
        both = 2.0 / (form[4] + form[5])
        if chance(stream, 0.5):
            form[4] *= both
            form[5] *= both
    form[9] = habits[BEND] * height * normal(stream)
    form[10] = between(stream, 1.0, 4.0) / height
    form[11] = between(stream, 0.0, 6.3)
    middle_x, middle_y = 0.5 * (limits[0] + limits[2]), 0.5 * (limits[1] + limits[3])
    strength = habits[STRENGTH] * between(stream, 0.85, 1.0)
    clear_box(box)
    if is_printed or not habits[STROKED]:
        image = bank.printed[font, label] if is_printed else bank.images[index]
        reach = 0.5 * max(own_high, own_wide)
        softness = max(habits[SOFTNESS], 0.06 / max(scale, 0.3))
        cut, soft = habits[THRESHOLD], softness
        stamped_sign(plane, desk.lens, image, middle_x, middle_y, form, reach, cut, soft, strength, box)
    else:
        edges = bank.edges[bank.starts[index] : bank.starts[index + 1]]
        radius = min(habits[RADIUS], 0.14 * height)
        brush, brush_turn = habits[BRUSH], habits[BRUSH_TURN]
        stroked_sign(plane, desk.lens, edges, middle_x, middle_y, form, radius, brush, brush_turn, strength, box)
    if marked and label >= 0:
        add_mark(desk, label, box, box[3] - box[1])
    return width


@kernel
def _point(points, n, x, y):
    points[n, 0], points[n, 1] = x, y


@kernel
def write_separator(stream, desk, plane, which, label, x, y, height, hint):
    """Write a separator from ``x`` to the right; mark it with the label; return its width."""
    habits, box, points, view = desk.habits, desk.box, desk.points, desk.lens
    radius, strength, slant = habits[RADIUS], habits[STRENGTH], habits[SLANT]
    clear_box(box)
    width = 0.0
    if which == _SLASH:
        high = height * between(stream, 1.12, 1.75)
        lean = slant + between(stream, 0.15, 0.85)
        width = high * abs(lean)
        middle = y + height * between(stream, -0.12, 0.14)
        bow = 0.06 * high * normal(stream)
        left = x if lean > 0 else x + width
        _point(points, 0, left, middle + 0.5 * high)
        _point(points, 1, left + 0.5 * high * lean + bow, middle + 0.3 * bow)
        _point(points, 2, left + high * lean, middle - 0.5 * high)
        curve(plane, view, points, 3, radius, strength, False, box)
    elif which == _DASH:
        width = height * between(stream, 0.25, 0.75)
        middle = y + height * between(stream, -0.12, 0.16)
        _point(points, 0, x, middle + 0.04 * height * normal(stream))
        _point(points, 1, x + 0.5 * width, middle + 0.02 * height * normal(stream))
        _point(points, 2, x + width, middle + 0.04 * height * normal(stream))
        curve(plane, view, points, 3, radius, strength, False, box)
    elif which in (_POINT, _COLON):
        own = max(0.7, radius * between(stream, 0.8, 1.5))
        width = 2.0 * own
        bottom = y + height * between(stream, 0.36, 0.52)
        if which == _COLON:
            bottom = y + height * between(stream, 0.12, 0.4)
            top = bottom - max(height * between(stream, 0.28, 0.6), 3.5 * own)
            disc(plane, view, x + own + slant * (bottom - top), top, own, strength, box)
        if chance(stream, 0.3):  # drawn a little
            _point(points, 0, x + own, bottom)
            _point(points, 1, x + own + 0.07 * height * normal(stream), bottom + 0.07 * height * normal(stream))
            curve(plane, view, points, 2, own, strength, False, box)
        else:
            disc(plane, view, x + own, bottom, own, strength, box)
    elif which == _COMMA:
        top = y + height * between(stream, 0.25, 0.48)
        high = height * (between(stream, 0.16, 0.4) if chance(stream, 0.75) else between(stream, 0.35, 0.65))
        lean = 0.5 * slant + between(stream, 0.0, 0.7)
        width = high * lean
        bow = between(stream, 0.0, 0.25) * high
        _point(points, 0, x + width, top)
        _point(points, 1, x + 0.6 * width + bow, top + 0.5 * high)
        _point(points, 2, x, top + high)
        curve(plane, view, points, 3, radius, strength, False, box)
        width = max(width, 2.0 * radius)
    elif which == _TIMES:
        width = height * between(stream, 0.35, 0.75)
        high = width * between(stream, 0.8, 1.2)
        middle = y + height * between(stream, -0.02, 0.28)
        for k in range(2):
            top, bottom = middle - 0.5 * high, middle + 0.5 * high
            left, right = (x, x + width) if k else (x + width, x)
            _point(points, 0, left + 0.06 * width * normal(stream), top + 0.06 * high * normal(stream))
            _point(points, 1, 0.5 * (left + right) + 0.06 * width * normal(stream), middle)
            _point(points, 2, right + 0.06 * width * normal(stream), bottom + 0.06 * high * normal(stream))
            curve(plane, view, points, 3, radius, strength, False, box)
    else:
        width = height * between(stream, 0.4, 0.8)
        apart = max(height * between(stream, 0.16, 0.36), 3.0 * radius)
        middle = y + height * between(stream, -0.08, 0.16)
        for k in range(2):
            at = middle + (k - 0.5) * apart
            _point(points, 0, x + 0.05 * width * normal(stream), at + 0.03 * height * normal(stream))
            _point(points, 1, x + width * between(stream, 0.85, 1.1), at + 0.03 * height * normal(stream))
            curve(plane, view, points, 2, radius, strength, False, box)
    add_mark(desk, label, box, hint)
    return width


@kernel
def _join(stream, desk, plane, left, right, y, height):
    """Join a digit with the next by a stroke that the pen did not leave out."""
    points, at = desk.points, y + height * between(stream, -0.5, 0.5)
    falls, bow = height * between(stream, -0.3, 0.3), height * between(stream, -0.15, 0.2)
    first, last = left - height * between(stream, 0.0, 0.3), right + height * between(stream, 0.0, 0.3)
    _point(points, 0, first, at)
    _point(points, 1, 0.5 * (first + last), at + 0.5 * falls + bow)
    _point(points, 2, last, at + falls)
    clear_box(desk.box)
    curve(plane, desk.lens, points, 3, desk.habits[RADIUS], desk.habits[STRENGTH], False, desk.box)


@kernel
def any_separator(stream):
    which = draw(stream)
    if which < 0.22:
        return _SLASH
    if which < 0.38:
        return _DASH
    if which < 0.56:
        return _POINT
    if which < 0.76:
        return _COMMA
    if which < 0.86:
        return _COLON
    return _TIMES if which < 0.94 else _EQUALS


@kernel
def write_row(stream, bank, desk, plane, x, y, height, right):
    """Write numbers, letters and words along a row of the page, from ``x`` to ``right``; ``y`` is the row's middle."""
    habits = desk.habits
    usual = any_separator(stream)
    after_digit, needs_digit = False, False
    for _ in range(48):
        if x > right:
            return
        gap = between(stream, habits[GAP_LEAST], habits[GAP_MOST]) * height
        own = height * math.exp(habits[HEIGHT_SPREAD] * normal(stream))
        at = y + habits[WAVERS] * height * normal(stream)
        if needs_digit or (not chance(stream, habits[OTHERS]) and not chance(stream, habits[WORDS])):
            if not needs_digit and not chance(stream, habits[PRESENT]):
                x += height * between(stream, 0.5, 1.5)
                after_digit = False
                continue
            if after_digit and not needs_digit and chance(stream, habits[ENDS]):
                if chance(stream, habits[TRAILS]):
                    x += height * between(stream, 0.02, 0.3)
                    x += write_separator(stream, desk, plane, any_separator(stream), _IGNORED, x, at, height, height)
                x += height * between(stream, 0.4, 2.0)
            index = one_of(stream, bank.n_digits)
            if after_digit and chance(stream, habits[ROUND]):
                for _ in range(_MOST_TRIES):
                    if bank.labels[index] == 0:
                        break
                    index = one_of(stream, bank.n_digits)
            if bank.labels[index] == 0 and habits[FONT] < 0.0 and chance(stream, habits[SMALL_ZEROS]):
                own *= between(stream, 0.5, 0.85)
            # What is smaller stands on the line, more or less.
            at += 0.5 * (height - own) * between(stream, -0.3, 1.0)
            if after_digit and chance(stream, habits[JOINS]):
                _join(stream, desk, plane, x, x + gap, at, own)
            x += gap
            x += sign(stream, bank, desk, plane, index, x, at, own, True, True)
            after_digit, needs_digit = True, False
            if chance(stream, habits[SEPARATES]):
                which = usual if chance(stream, 0.7) else any_separator(stream)
                x += height * between(stream, 0.0, 0.22)
                x += write_separator(stream, desk, plane, which, which, x, at, height, height)
                x += height * (between(stream, 0.0, 0.22) - min(0.0, habits[GAP_LEAST]))
                needs_digit = True
        elif chance(stream, 0.35 if habits[WORDS] == 0.0 else 0.8) and len(bank.strips) > 0:
            is_printed = chance(stream, 0.5)
            n = bank.n_printed
            index = one_of(stream, n) if is_printed else n + one_of(stream, len(bank.strips) - n)
            scale = own * between(stream, 0.7, 1.3) / 17.0
            x += max(gap, 0.3 * height)
            width = bank.strip_widths[index]
            strip = bank.strips[index]
            word(plane, desk.lens, strip, width, x, at, scale, 0.0, habits[STRENGTH])
            x += width * scale + 0.3 * height
            after_digit = False
        else:
            if chance(stream, 0.4):
                own *= even(stream, 0.2, 1.2)
            x += gap
            index = bank.n_digits + one_of(stream, len(bank.images) - bank.n_digits)
            x += sign(stream, bank, desk, plane, index, x, at, own, True, False)
            after_digit = False
