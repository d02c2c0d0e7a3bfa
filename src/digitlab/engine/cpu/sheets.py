"""Sheets: whole practice pages, sheets of paper on a table with lines of numbers, and what is written where.

What crops are for learning, sheets are for judging: whoever reads one can be told line by line what was right.
"""

from __future__ import annotations

import math

import numpy as np

from digitlab.engine.cpu.chance import begin_stream, between, chance, even, normal, one_of
from digitlab.engine.cpu.clutter import doodle, print_text
from digitlab.engine.cpu.compiled import entry_point, kernel
from digitlab.engine.cpu.forms import frame_box
from digitlab.engine.cpu.papers import cloud, ground, lay_beyond_line, photograph, put_ink, shine
from digitlab.engine.cpu.sketching import clear_box, line, through
from digitlab.engine.cpu.writing import (
    ASPECT_SPREAD,
    BEND,
    FONT,
    GAP_LEAST,
    GAP_MOST,
    HEIGHT_SPREAD,
    RADIUS,
    SLANT_SPREAD,
    TURN_SPREAD,
    any_separator,
    choose_hand,
    sign,
    write_separator,
)

__all__ = ["compose_sheet"]

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
    """Compose one sheet.

    Parameters
    ----------
    bank : Bank
        What it is composed of.
    desk : Desk
        Its planes are at least as large as the image, and square.
    seed, index : int
        Which sheet it is: the same ones give the same.
    height : float
        Of its digits, in pixels, about.
    image : ndarray
        float32 (side, side), 0-1, written.
    boxes, labels, lines, numbers : ndarray
        float32 (MOST_MARKS, 4), and int64 (MOST_MARKS,): written for every digit and separator, its line, from 0, and
        its number within the line.

    Returns
    -------
    int
        How many digits and separators there are.
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
