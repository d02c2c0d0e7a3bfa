"""Composing: practice crops and sheets for the finder, each from a stream of random numbers of its own.

In plain words, for every crop::

    a view of the page: turned a little, slanted, seen at an angle
    rows of numbers, or a form, or text, or no digits at all;  rules, doodles, marks across
    paper, ink, what hides it, light, a camera
    the marks that remain: hidden, tiny and giant ones are not learned

*Sheets* are whole practice pages: sheets of paper on a table with lines of numbers, and what is written where. What
crops are for learning, sheets are for judging: whoever reads one can be told line by line what was right.
"""

from __future__ import annotations

import math

import numpy as np

from digitlab.engine.cpu.chance import begin_stream, between, chance, draw, even, normal, one_of
from digitlab.engine.cpu.compiled import entry_point, kernel
from digitlab.engine.drawing.clutter import doodle, giant_strokes, print_text, scatter_marks, small_print, strew_dots
from digitlab.engine.drawing.forms import fill_form, frame_box, rule_page
from digitlab.engine.drawing.papers import (
    cloud,
    cover_up,
    ground,
    lay_beyond_line,
    lay_paper,
    photograph,
    put_ink,
    shapes_instead,
    shine,
    threshold,
)
from digitlab.engine.drawing.sketching import clear_box, line, through
from digitlab.engine.drawing.writing import (
    ASPECT_SPREAD,
    BEND,
    FONT,
    GAP_LEAST,
    GAP_MOST,
    HEIGHT_SPREAD,
    PRESENT,
    RADIUS,
    SLANT_SPREAD,
    STRENGTH,
    TURN_SPREAD,
    any_separator,
    choose_hand,
    sign,
    write_row,
    write_separator,
)

#: Digits are this high, in pixels.
LEAST_PX, MOST_PX = 14.0, 34.0
# Below and above these a digit is not learned; and far beyond them it is no digit.
_LEAST_LEARNED, _MOST_LEARNED, _LEAST_IGNORED, _MOST_IGNORED = 12.0, 42.0, 9.0, 60.0
# A mark with less than this part hidden is learned; with more than that it is none.
_HIDDEN_LEARNED, _HIDDEN_IGNORED = 0.2, 0.75
# Ink is this much darker than what is around it, of 1, and by so many of that's standard deviations.
_LEAST_APART, _LEAST_SPREADS = 0.012, 1.4
_IGNORED, _GONE = -1, -2
_ROWS, _FORM, _FEW, _TEXT, _NONE = range(5)
# Of 1: crops beyond have no digits.
_FIRST_NONE = 0.76


@kernel
def _choose_view(stream, view, side, turned):
    """Choose from where the page is seen; return how often it was turned by a quarter, as so many pages are."""
    turn = 0.06 * normal(stream)
    if chance(stream, 0.2):
        turn = between(stream, -0.35, 0.35)
    quarters = 0
    if chance(stream, turned):
        quarters = 1 + one_of(stream, 3)
    angle = turn + 1.5707963 * quarters
    sine, cosine = math.sin(angle), math.cos(angle)
    shear, flat = 0.04 * normal(stream), math.exp(0.04 * normal(stream))
    # (turn) x (shear and stretch)
    view[0], view[1] = cosine * flat, cosine * shear - sine / flat
    view[2], view[3] = sine * flat, sine * shear + cosine / flat
    steep = 0.0012 if chance(stream, 0.3) else 0.0004
    view[4], view[5] = steep * normal(stream), steep * normal(stream)
    view[6] = view[7] = 0.5 * side
    return quarters


@kernel
def _write_rows(stream, bank, desk, height):
    side = desk.ink.shape[0]
    pitch = height * (between(stream, 1.12, 1.8) if chance(stream, 0.55) else between(stream, 1.5, 4.0))
    y = -40.0 + between(stream, 0.0, 1.0) * pitch
    starts = between(stream, -70.0, 40.0)
    aligned = chance(stream, 0.5)
    changes = chance(stream, 0.2)
    skips = between(stream, 0.0, 0.5) if chance(stream, 0.3) else 0.0
    falls = 0.02 * normal(stream)
    # Rules that run into what is written, or through it.
    runs_in = chance(stream, 0.14)
    rule, rule_strength = 0.5 * even(stream, 0.5, 2.2), between(stream, 0.3, 1.0)
    while y < side + 40.0:
        x = starts if aligned else between(stream, -70.0, 50.0)
        if changes and chance(stream, 0.5):
            choose_hand(stream, bank, desk.habits, height)
        if not chance(stream, skips):
            if runs_in and chance(stream, 0.7):
                end = x + between(stream, 0.0, 0.5) * side if chance(stream, 0.6) else side + 60.0
                at = y + height * between(stream, -0.35, 0.5)
                line(desk.print, desk.lens, -60.0, at, end, at + normal(stream), rule, rule_strength)
            write_row(stream, bank, desk, desk.ink, x, y, height, side + 40.0)
        y += pitch * (1.0 + falls)


@kernel
def _write_few(stream, bank, desk, height):
    """A number or two in the middle of much that is empty."""
    side = desk.ink.shape[0]
    desk.habits[PRESENT] = 1.0
    for _ in range(1 + one_of(stream, 3)):
        x, y = between(stream, 0.0, 0.85) * side, between(stream, 0.05, 0.95) * side
        right = x + height * (0.4 if chance(stream, 0.4) else between(stream, 0.5, 5.0))
        write_row(stream, bank, desk, desk.ink, x, y, height, right)


@kernel
def _draw_none(stream, bank, desk, height):
    """A page without digits; return whether it is no page at all."""
    side = desk.ink.shape[0]
    radius, strength = desk.habits[RADIUS], desk.habits[STRENGTH]
    which = draw(stream)
    if which < 0.45:
        for _ in range(1 + one_of(stream, 4)):
            own = even(stream, 6.0, 70.0)
            x, y = between(stream, 0.0, side), between(stream, 0.0, side)
            doodle(stream, desk, desk.ink, x, y, own, 0.5 * even(stream, 0.9, 6.0), strength)
    elif which < 0.74:
        print_text(stream, bank, desk, -30.0, side + 30.0, even(stream, 5.0, 34.0))
    elif which < 0.77:
        for _ in range(2 + one_of(stream, 4)):
            x, y = between(stream, 0.0, side), between(stream, 0.0, side)
            doodle(stream, desk, desk.ink, x, y, height, radius, strength)
            strew_dots(stream, desk)
    elif which < 0.81:
        rule_page(stream, desk, height)
        rule_page(stream, desk, height)
    elif which < 0.86:
        giant_strokes(stream, bank, desk)
    elif which < 0.95:
        return True
    return False  # what is left is an empty page


@kernel
def _is_turnable(label, quarters):
    """Tell whether a digit on its side, or its head, may be a digit still."""
    if label == 0 or label == 1 or label == 8:
        return True
    return quarters == 2 and (label == 2 or label == 5 or label == 6 or label == 9)


@kernel
def _hidden_part(desk, n):
    """The part of a mark's box that is covered, or beyond the crop."""
    side = desk.hidden.shape[0]
    marks = desk.marks
    total, covered = 0.0, 0.0
    wide, high = marks[n, 2] - marks[n, 0], marks[n, 3] - marks[n, 1]
    for i in range(6):
        y = math.floor(marks[n, 1] + (i + 0.5) / 6 * high)
        for j in range(6):
            x = math.floor(marks[n, 0] + (j + 0.5) / 6 * wide)
            total += 1.0
            covered += desk.hidden[y, x] if 0 <= y < side and 0 <= x < side else 1.0
    return covered / total


@kernel
def _is_legible(desk, image, n):
    """Tell whether a mark's ink stands out from what is around it: nobody could learn where nothing is seen."""
    side = image.shape[0]
    marks = desk.marks
    left, top = max(0, math.floor(marks[n, 0]) - 2), max(0, math.floor(marks[n, 1]) - 2)
    right, bottom = min(side, math.ceil(marks[n, 2]) + 2), min(side, math.ceil(marks[n, 3]) + 2)
    inked, n_inked, bare, squares, n_bare = 0.0, 0, 0.0, 0.0, 0
    for y in range(top, bottom):
        for x in range(left, right):
            cover, value = max(desk.ink[y, x], desk.print[y, x]), float(image[y, x])
            if cover > 0.4:
                inked += value
                n_inked += 1
            elif cover < 0.1:
                bare += value
                squares += value * value
                n_bare += 1
    if n_inked == 0 or n_bare == 0:
        return n_inked > 0
    bare /= n_bare
    apart = abs(inked / n_inked - bare)
    spread = math.sqrt(max(squares / n_bare - bare * bare, 0.0))
    return apart > _LEAST_APART + _LEAST_SPREADS * spread


@kernel
def _judge(desk, quarters, image, boxes, labels):
    """Write the marks that are learned, or ignored; return how many there are."""
    side = desk.hidden.shape[0]
    n_kept = 0
    for n in range(desk.n_marks[0]):
        label, height = desk.labels[n], desk.marks[n, 4]
        left, top, right, bottom = desk.marks[n, 0], desk.marks[n, 1], desk.marks[n, 2], desk.marks[n, 3]
        if right <= 0.0 or bottom <= 0.0 or left >= side or top >= side:
            continue
        hidden = _hidden_part(desk, n)
        if hidden > _HIDDEN_IGNORED or height < _LEAST_IGNORED or height > _MOST_IGNORED:
            continue
        is_between = height < _LEAST_LEARNED or height > _MOST_LEARNED
        if is_between or hidden > _HIDDEN_LEARNED or not _is_legible(desk, image, n):
            label = _IGNORED
        elif quarters and label >= 0:
            label = _IGNORED if label >= 10 or _is_turnable(label, quarters) else _GONE
        if label != _GONE:
            boxes[n_kept, 0], boxes[n_kept, 1] = np.float32(left), np.float32(top)
            boxes[n_kept, 2], boxes[n_kept, 3] = np.float32(right), np.float32(bottom)
            labels[n_kept] = label
            n_kept += 1
    return n_kept


@entry_point
def compose_crop(bank, desk, seed, index, image, boxes, labels):
    """Compose crop number ``index`` of a seed into ``image``, float32 (144, 144), 0-1, grey before local contrast.

    ``boxes`` and ``labels``, float32 (MOST_MARKS, 4) and int64 (MOST_MARKS,), are written; how many is returned. The
    desk is this thread's memory. The same seed and index give the same crop.
    """
    stream = desk.stream
    begin_stream(stream, seed, index)
    side = desk.ink.shape[0]
    for y in range(side):
        for x in range(side):
            desk.ink[y, x] = desk.print[y, x] = desk.hidden[y, x] = np.float32(0.0)
    desk.n_marks[0] = 0
    which = draw(stream)
    # Words are to be none whichever way the page lies: which way is up is told by where its digits are surest.
    quarters = _choose_view(stream, desk.lens, side, 0.6 if which >= _FIRST_NONE else 0.05)
    height = even(stream, LEAST_PX, MOST_PX)
    choose_hand(stream, bank, desk.habits, height)
    kind = _ROWS if which < 0.5 else _FORM if which < 0.64 else _FEW if which < 0.71 else _TEXT
    if which >= _FIRST_NONE:
        kind = _NONE
    is_clean = chance(stream, 0.35 if kind == _NONE else 0.18)
    is_no_page = False
    if kind == _ROWS:
        _write_rows(stream, bank, desk, height)
    elif kind == _FORM:
        fill_form(stream, bank, desk, height)
    elif kind == _FEW:
        _write_few(stream, bank, desk, height)
    elif kind == _TEXT:
        parts = between(stream, 0.2, 0.8) * side
        print_text(stream, bank, desk, -30.0, parts, height * between(stream, 0.5, 1.2))
        desk.habits[PRESENT] = 1.0
        x, right = between(stream, -20.0, 60.0), side + 30.0
        write_row(stream, bank, desk, desk.ink, x, parts + height * between(stream, 0.7, 1.5), height, right)
    else:
        is_no_page = _draw_none(stream, bank, desk, height)
    if kind != _FORM or chance(stream, 0.15):
        rule_page(stream, desk, height)
    if chance(stream, 0.16):
        scatter_marks(stream, desk, height)
    if chance(stream, 0.1):
        own, radius = even(stream, 5.0, 50.0), 0.5 * even(stream, 0.9, 5.0)
        doodle(stream, desk, desk.ink, between(stream, 0.0, side), between(stream, 0.0, side), own, radius, 1.0)
    if chance(stream, 0.07):
        giant_strokes(stream, bank, desk)
    if chance(stream, 0.08):
        small_print(stream, bank, desk)
    if chance(stream, 0.16):
        strew_dots(stream, desk)
    if is_no_page:
        shapes_instead(stream, desk)
        desk.n_marks[0] = 0
    else:
        level = lay_paper(stream, desk, is_clean)
        is_scan = chance(stream, 0.05)
        put_ink(stream, desk, level, is_clean or is_scan)
        if is_scan:
            threshold(stream, desk, level)
            is_clean = True
    if not is_clean:
        cover_up(stream, desk)
        shine(stream, desk)
    photograph(stream, desk, is_clean, height, image)
    return _judge(desk, quarters, image, boxes, labels)


_PLAIN, _BOXES, _WORDS = range(3)
_MOST_DIGITS = 10


@kernel
def _write_number(stream, bank, desk, x, y, height, right, separates):
    """Write a number of up to ten digits, perhaps with separators in it; return where it ends."""
    habits = desk.habits
    n = 1 + one_of(stream, _MOST_DIGITS)
    which = any_separator(stream)
    for k in range(n):
        if k and x + 1.2 * height > right:
            return x
        if k:
            if separates and chance(stream, 0.3):
                x += height * between(stream, 0.05, 0.25)
                x += write_separator(stream, desk, desk.ink, which, which, x, y, height, height)
                x += height * between(stream, 0.08, 0.25)
            else:
                x += height * between(stream, habits[GAP_LEAST], min(habits[GAP_MOST], 0.4))
        own = height * math.exp(habits[HEIGHT_SPREAD] * normal(stream))
        at = y + 0.04 * height * normal(stream)
        x += sign(stream, bank, desk, desk.ink, one_of(stream, bank.n_digits), x, at, own, True, True)
    return x


@kernel
def _fill_boxes(stream, bank, desk, x, y, height, right):
    """Write a number into a row of boxes; return where the row ends."""
    wide, high = height * between(stream, 1.15, 1.8), height * between(stream, 1.3, 1.9)
    apart = 0.0 if chance(stream, 0.5) else between(stream, 0.05, 0.3) * wide
    radius, strength = 0.5 * even(stream, 0.8, 3.0), between(stream, 0.3, 1.0)
    n = 2 + one_of(stream, 8)
    for k in range(n):
        if x + wide > right:
            return x
        frame_box(desk, desk.print, x, y - 0.5 * high, x + wide, y + 0.5 * high, radius, strength)
        at_x, at_y = x + 0.5 * wide + 0.06 * height * normal(stream), y + 0.05 * height * normal(stream)
        own = height * math.exp(0.08 * normal(stream))
        sign(stream, bank, desk, desk.ink, one_of(stream, bank.n_digits), at_x, at_y, own, False, True)
        x += wide + (apart if k < n - 1 else 0.0)
    return x


@kernel
def _note(desk, first, line_number, number, lines, numbers):
    for k in range(first, desk.n_marks[0]):
        lines[k], numbers[k] = line_number, number


@kernel
def _choose_camera(stream, view, wide, high):
    angle = 0.02 * normal(stream) if chance(stream, 0.75) else between(stream, -0.12, 0.12)
    sine, cosine = math.sin(angle), math.cos(angle)
    view[0], view[1], view[2], view[3] = cosine, -sine, sine, cosine
    steep = 0.0
    if chance(stream, 0.5):
        steep = between(stream, 0.0, 0.26) / (0.5 * max(wide, high))  # a tilt of up to 15 degrees, seen from near
    turn = between(stream, 0.0, 6.2832)
    view[4], view[5] = steep * math.cos(turn), steep * math.sin(turn)
    view[6], view[7] = 0.5 * wide, 0.5 * high


@kernel
def _lay_table(stream, desk, left, top, right, bottom):
    """Cover all that lies beyond the sheet's four edges."""
    view = desk.lens
    ground(stream, desk, desk.spare)
    a, b = through(view, left, top)
    c, d = through(view, right, top)
    e, f = through(view, right, bottom)
    g, h = through(view, left, bottom)
    lay_beyond_line(stream, desk, a, b, c, d)
    lay_beyond_line(stream, desk, c, d, e, f)
    lay_beyond_line(stream, desk, e, f, g, h)
    lay_beyond_line(stream, desk, g, h, a, b)


@entry_point
def compose_sheet(bank, desk, seed, index, height, image, boxes, labels, lines, numbers):
    """Compose sheet number ``index`` of a seed, its digits about ``height`` pixels high, into ``image``, 0-1.

    The desk's planes are as large as the image, float32 (side, side). ``boxes``, float32 (MOST_MARKS, 4), and
    ``labels``, ``lines`` and ``numbers``, int64 (MOST_MARKS,), are written for every digit and separator: its line,
    from 0, and its number within the line. How many there are is returned.
    """
    stream = desk.stream
    begin_stream(stream, seed, index)
    side = desk.ink.shape[0]
    desk.ink[:, :] = np.float32(0.0)
    desk.print[:, :] = np.float32(0.0)
    desk.hidden[:, :] = np.float32(0.0)
    desk.n_marks[0] = 0
    _choose_camera(stream, desk.lens, side, side)
    habits = desk.habits
    choose_hand(stream, bank, habits, height)
    habits[FONT] = -1.0
    habits[HEIGHT_SPREAD] = min(habits[HEIGHT_SPREAD], 0.1)
    habits[RADIUS] = max(habits[RADIUS], 0.025 * height, 0.6)
    habits[GAP_LEAST], habits[GAP_MOST] = max(habits[GAP_LEAST], 0.0), min(habits[GAP_MOST], 0.4)
    habits[TURN_SPREAD], habits[SLANT_SPREAD] = 0.04, 0.04
    habits[ASPECT_SPREAD], habits[BEND] = 0.05, 0.01
    margin = between(stream, 0.06, 0.16) * side if chance(stream, 0.7) else -0.2 * side
    inner = max(margin, 0.0) + 0.07 * side + 0.6 * height
    left, right, bottom = inner, side - inner, side - inner
    pitch = height * between(stream, 1.7, 3.2)
    style = _PLAIN if chance(stream, 0.6) else _BOXES if chance(stream, 0.6) else _WORDS
    separates = chance(stream, 0.35)
    ruled = chance(stream, 0.3) and style != _BOXES
    rule, strength = 0.5 * even(stream, 0.7, 2.5), between(stream, 0.15, 0.8)
    if style == _BOXES:
        pitch = max(pitch, 2.2 * height)
    y, line_number = inner, 0
    while y < bottom and desk.n_marks[0] < len(labels) - 40:
        if ruled:
            at = y + 0.62 * height
            line(desk.print, desk.lens, left - 0.05 * side, at, right + 0.05 * side, at, rule, strength)
        x = left + between(stream, 0.0, 0.25) * (right - left)
        if style == _WORDS and chance(stream, 0.5):
            print_text(stream, bank, desk, y, y + 1.0, height * between(stream, 0.5, 0.9))
            y += pitch
            continue
        for number in range(1 + one_of(stream, 3)):
            if x + 1.5 * height > right:
                break
            first = desk.n_marks[0]
            if style == _BOXES:
                x = _fill_boxes(stream, bank, desk, x, y, height, right)
            else:
                x = _write_number(stream, bank, desk, x, y, height, right, separates)
            _note(desk, first, line_number, number, lines, numbers)
            x += height * between(stream, 1.7, 3.5)
        line_number += 1
        y += pitch
    if margin < 0.0 and chance(stream, 0.3):
        clear_box(desk.box)
        doodle(stream, desk, desk.ink, 0.08 * side, 0.05 * side, 0.03 * side, 1.2, 1.0)
    level = between(stream, 0.6, 0.98)
    desk.light[:, :] = np.float32(level)
    cloud(stream, desk.lattice, desk.spare, 72)
    rough = np.float32(between(stream, 0.0, 0.08))
    for py in range(side):
        for px in range(side):
            desk.light[py, px] += rough * (desk.spare[py, px] - np.float32(0.5))
    put_ink(stream, desk, level, chance(stream, 0.2))
    if margin > 0.0:
        _lay_table(stream, desk, margin, margin, side - margin, side - margin)
    shine(stream, desk)
    photograph(stream, desk, False, height, image)
    n = desk.n_marks[0]
    for k in range(n):
        labels[k] = desk.labels[k]
        for c in range(4):
            boxes[k, c] = np.float32(desk.marks[k, c])
    return n
