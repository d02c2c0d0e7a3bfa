"""Clutter: what lies or stands on a page and is no digit, whatever its size."""

from __future__ import annotations

import math

from digitlab.engine.cpu.chance import between, chance, draw, even, normal, one_of
from digitlab.engine.cpu.compiled import kernel
from digitlab.engine.drawing.sketching import add_mark, clear_box, curve, disc, grow_box, line, through, word
from digitlab.engine.drawing.writing import FONT, OTHERS, PRESENT, RADIUS, STRENGTH, sign, write_row

_IGNORED = -1


@kernel
def _at(points, n, x, y):
    points[n, 0], points[n, 1] = x, y


@kernel
def _ring(stream, desk, plane, x, y, wide, high, radius, strength):
    """Draw a closed round curve that a hand might draw."""
    n = 8 + one_of(stream, 5)
    waver = between(stream, 0.0, 0.08)
    for k in range(n):
        turn = 6.2832 * k / n
        far = 1.0 + waver * normal(stream)
        _at(desk.points, k, x + far * wide * math.cos(turn), y + far * high * math.sin(turn))
    curve(plane, desk.lens, desk.points, n, radius, strength, True, desk.box)


@kernel
def _star(stream, desk, plane, x, y, size, radius, strength):
    n = 4 + one_of(stream, 4)
    inner = between(stream, 0.35, 0.6)
    turn = between(stream, 0.0, 6.3)
    last_x, last_y = x + size * math.cos(turn), y + size * math.sin(turn)
    for k in range(1, 2 * n + 1):
        far = size * (inner if k % 2 else 1.0)
        angle = turn + 3.14159 * k / n
        here_x, here_y = x + far * math.cos(angle), y + far * math.sin(angle)
        line(plane, desk.lens, last_x, last_y, here_x, here_y, radius, strength)
        last_x, last_y = here_x, here_y


@kernel
def _polygon(stream, desk, plane, x, y, size, radius, strength):
    n = 3 + one_of(stream, 4)
    turn, flat = between(stream, 0.0, 6.3), even(stream, 0.5, 2.0)
    first_x, first_y, last_x, last_y = 0.0, 0.0, 0.0, 0.0
    for k in range(n):
        far = size * between(stream, 0.8, 1.2)
        here_x = x + far * flat * math.cos(turn + 6.2832 * k / n)
        here_y = y + far / flat * math.sin(turn + 6.2832 * k / n)
        if k:
            line(plane, desk.lens, last_x, last_y, here_x, here_y, radius, strength)
        else:
            first_x, first_y = here_x, here_y
        last_x, last_y = here_x, here_y
    line(plane, desk.lens, last_x, last_y, first_x, first_y, radius, strength)


@kernel
def _heart(desk, plane, x, y, size, radius, strength):
    for k in range(16):
        t = 6.2832 * k / 16
        _at(
            desk.points,
            k,
            x + size * math.sin(t) ** 3,
            y - size * (0.81 * math.cos(t) - 0.31 * math.cos(2 * t) - 0.12 * math.cos(3 * t)),
        )
    curve(plane, desk.lens, desk.points, 16, radius, strength, True, desk.box)


@kernel
def _wander(stream, desk, plane, x, y, size, radius, strength):
    """Draw a smooth line that goes on turning."""
    n = 6 + one_of(stream, 18)
    heading, bends = between(stream, 0.0, 6.3), between(stream, 0.3, 1.3)
    for k in range(n):
        _at(desk.points, k, x, y)
        heading += bends * normal(stream)
        x += size * 0.5 * math.cos(heading)
        y += size * 0.5 * math.sin(heading)
    curve(plane, desk.lens, desk.points, n, radius, strength, chance(stream, 0.3), desk.box)


@kernel
def _oval(stream, desk, plane, x, y, wide, high, turn, part, radius, strength):
    """Draw so much of an oval, turned about its middle: all of it, or an arc."""
    n = 9
    begins, waver = between(stream, 0.0, 6.3), between(stream, 0.0, 0.05)
    sine, cosine = math.sin(turn), math.cos(turn)
    for k in range(n):
        angle = begins + 6.2832 * part * k / (n if part >= 1.0 else n - 1)
        far = 1.0 + waver * normal(stream)
        dx, dy = far * wide * math.cos(angle), far * high * math.sin(angle)
        _at(desk.points, k, x + cosine * dx - sine * dy, y + sine * dx + cosine * dy)
    curve(plane, desk.lens, desk.points, n, radius, strength, part >= 1.0, desk.box)


@kernel
def _hatching(stream, desk, plane, x, y, size, radius, strength):
    """Draw strokes side by side: fur, bricks, strings, rays."""
    n = 3 + one_of(stream, 8)
    turn, apart = between(stream, 0.0, 3.14), size * between(stream, 0.1, 0.45)
    sine, cosine = math.sin(turn), math.cos(turn)
    spread = between(stream, -0.25, 0.25) if chance(stream, 0.5) else 0.0
    for k in range(n):
        across = (k - 0.5 * n) * apart
        long = 0.5 * size * between(stream, 0.7, 1.1)
        lean = spread * (k - 0.5 * n)
        mx, my = x - sine * across, y + cosine * across
        ex, ey = long * math.cos(turn + lean), long * math.sin(turn + lean)
        line(plane, desk.lens, mx - ex, my - ey, mx + ex, my + ey, radius, strength)


@kernel
def _thing(stream, desk, plane, x, y, size, radius, strength):
    """Draw a thing as people draw it: ovals, arcs, lines and hatching, each begun where another ends."""
    ax, ay = x, y
    kind_of_all, stays = one_of(stream, 6), chance(stream, 0.4)
    for _ in range(3 + one_of(stream, 9)):
        own = size * even(stream, 0.15, 1.2)
        turn = between(stream, 0.0, 6.3)
        which = kind_of_all if stays and chance(stream, 0.6) else one_of(stream, 6)
        if which == 0:  # fruits, wheels, eyes, petals
            wide, high = own, own * even(stream, 0.3, 1.0)
            _oval(stream, desk, plane, ax, ay, wide, high, turn, 1.0, radius, strength)
            if chance(stream, 0.25):
                _oval(stream, desk, plane, ax, ay, 0.5 * wide, 0.5 * high, turn, 1.0, radius, strength)
            if chance(stream, 0.15):
                disc(plane, desk.lens, ax, ay, 0.3 * high, strength, desk.box)
            angle = between(stream, 0.0, 6.3)
            ax, ay = ax + 1.6 * wide * math.cos(angle), ay + 1.6 * wide * math.sin(angle)
        elif which == 1:  # mouths, handles, wings
            part = between(stream, 0.2, 0.8)
            _oval(stream, desk, plane, ax, ay, own, own * even(stream, 0.4, 1.2), turn, part, radius, strength)
            ax, ay = ax + own * math.cos(turn), ay + own * math.sin(turn)
        elif which == 2 or which == 3:  # what is straight, with corners
            for _ in range(1 + one_of(stream, 4)):
                bx, by = ax + own * math.cos(turn), ay + own * math.sin(turn)
                line(plane, desk.lens, ax, ay, bx, by, radius, strength)
                ax, ay = bx, by
                turn += 1.5708 if chance(stream, 0.6) else between(stream, -2.6, 2.6)
        elif which == 4:
            _hatching(stream, desk, plane, ax, ay, own, radius, strength)
            ax, ay = ax + own * math.cos(turn), ay + own * math.sin(turn)
        else:
            _wander(stream, desk, plane, ax, ay, 0.6 * own, radius, strength)
        if abs(ax - x) > 2.0 * size or abs(ay - y) > 2.0 * size:
            ax, ay = x + 0.4 * size * normal(stream), y + 0.4 * size * normal(stream)


@kernel
def _spotted(stream, desk, plane, x, y, size, radius, strength):
    """Draw small ovals in a row or all over, mostly within something: windows, teeth, seeds, spots, eyes."""
    if chance(stream, 0.8):
        _oval(stream, desk, plane, x, y, 1.3 * size, size * between(stream, 0.6, 1.3), 0.0, 1.0, radius, strength)
    own, n = size * even(stream, 0.08, 0.35), 2 + one_of(stream, 16)
    flat, turn = between(stream, 0.45, 1.0), between(stream, 0.0, 3.14)
    is_row = chance(stream, 0.45)
    for k in range(n):
        far, angle = size * math.sqrt(draw(stream)), between(stream, 0.0, 6.3)
        at_x, at_y = x + 1.1 * far * math.cos(angle), y + 0.8 * far * math.sin(angle)
        if is_row:
            at_x, at_y = x + (k - 0.5 * n) * own * 2.3, y + 0.1 * own * normal(stream)
            if abs(at_x - x) > 1.5 * size:
                continue
        leans = turn + 0.2 * normal(stream)
        _oval(stream, desk, plane, at_x, at_y, own, own * flat, leans, 1.0, radius, strength)
        if chance(stream, 0.1):
            disc(plane, desk.lens, at_x, at_y, 0.5 * own * flat, strength, desk.box)


@kernel
def _winged(stream, desk, plane, x, y, size, radius, strength):
    """Draw lobes that are alike on the left and the right of a body: butterflies, trees, ears, arms of a crab."""
    n = 1 + one_of(stream, 3)
    for k in range(n):
        dx, dy = size * between(stream, 0.3, 1.0), size * between(stream, -1.0, 1.0)
        wide, high = size * between(stream, 0.2, 0.8), size * between(stream, 0.2, 0.8)
        turn, part = between(stream, -1.0, 1.0), 1.0 if chance(stream, 0.5) else between(stream, 0.4, 0.9)
        for side in (-1.0, 1.0):
            _oval(stream, desk, plane, x + side * dx, y + dy, wide, high, side * turn, part, radius, strength)
        if k == 0 and chance(stream, 0.6):
            _oval(stream, desk, plane, x, y, 0.15 * size, size, 0.0, 1.0, radius, strength)
    for side in (-1.0, 1.0):
        if chance(stream, 0.4):
            end_x, end_y = x + side * size * between(stream, 0.1, 0.8), y - size * between(stream, 1.0, 1.6)
            line(plane, desk.lens, x, y - 0.8 * size, end_x, end_y, radius, strength)


@kernel
def doodle(stream, desk, plane, x, y, size, radius, strength):
    """Draw a thing of several lines: size is about half of its height, in pixels."""
    which = one_of(stream, 22)
    view = desk.lens
    clear_box(desk.box)
    if which >= 14:
        _thing(stream, desk, plane, x, y, size, radius, strength)
    elif which >= 12:
        _spotted(stream, desk, plane, x, y, size, radius, strength)
    elif which == 10:
        _winged(stream, desk, plane, x, y, size, radius, strength)
    elif which == 0:  # a face, or a clock, or a wheel
        _ring(stream, desk, plane, x, y, size, size * between(stream, 0.8, 1.2), radius, strength)
        if chance(stream, 0.6):
            eye = size * between(stream, 0.25, 0.4)
            own = size * between(stream, 0.05, 0.14)
            disc(plane, view, x - eye, y - eye, own, strength, desk.box)
            disc(plane, view, x + eye, y - eye, own, strength, desk.box)
            for k in range(4):
                across = (k - 1.5) * 0.3 * size
                _at(
                    desk.points, k, x + across, y + 0.5 * size - 0.25 * across * across / size * between(stream, 0.5, 3)
                )
            curve(plane, view, desk.points, 4, radius, strength, False, desk.box)
        else:
            n = 2 + one_of(stream, 6)
            for k in range(n):
                turn = 3.1416 * k / n
                dx, dy = size * math.cos(turn), size * math.sin(turn)
                line(plane, view, x - dx, y - dy, x + dx, y + dy, radius, strength)
    elif which == 1:
        _star(stream, desk, plane, x, y, size, radius, strength)
    elif which == 2:
        _heart(desk, plane, x, y, size, radius, strength)
    elif which == 3:
        _polygon(stream, desk, plane, x, y, size, radius, strength)
        if chance(stream, 0.5):
            _polygon(stream, desk, plane, x, y - size, size * between(stream, 0.4, 1.0), radius, strength)
    elif which == 4:  # a house, a car, a box with things in it
        wide, high = size * even(stream, 0.7, 1.8), size * between(stream, 0.5, 1.0)
        for k in range(4):
            sx, sy = (-1.0 if k in (0, 3) else 1.0), (-1.0 if k < 2 else 1.0)
            tx, ty = (-1.0 if k in (3, 2) else 1.0), (-1.0 if k in (0, 3) else 1.0)
            line(plane, view, x + sx * wide, y + sy * high, x + tx * wide, y + ty * high, radius, strength)
        if chance(stream, 0.5):
            line(plane, view, x - wide, y - high, x, y - 2 * high, radius, strength)
            line(plane, view, x, y - 2 * high, x + wide, y - high, radius, strength)
        else:
            for side in (-1.0, 1.0):
                own = 0.35 * size
                _ring(stream, desk, plane, x + side * 0.6 * wide, y + high + 0.3 * own, own, own, radius, strength)
                disc(plane, view, x + side * 0.6 * wide, y + high + 0.3 * own, 0.3 * own, strength, desk.box)
    elif which == 5:  # a flower
        n = 4 + one_of(stream, 5)
        far = size * 0.6
        for k in range(n):
            turn = 6.2832 * k / n
            at_x, at_y = x + far * math.cos(turn), y + far * math.sin(turn)
            _ring(stream, desk, plane, at_x, at_y, 0.35 * size, 0.35 * size, radius, strength)
        line(plane, view, x, y + size, x + 0.2 * size * normal(stream), y + 2.4 * size, radius, strength)
    elif which == 6:  # round and round
        n = 20 + one_of(stream, 40)
        grows = between(stream, 0.1, 0.9)
        for k in range(n):
            far = size * (grows + (1.0 - grows) * k / n)
            _at(desk.points, k, x + far * math.cos(0.7 * k) + 0.05 * size * normal(stream), y + far * math.sin(0.7 * k))
        curve(plane, view, desk.points, n, radius, strength, False, desk.box)
    elif which == 7:  # to and fro
        n = 6 + one_of(stream, 14)
        last_x, last_y = x, y
        step = size * between(stream, 0.1, 0.5)
        lean = between(stream, -0.5, 0.8)
        for k in range(1, n):
            up = size * between(stream, 0.6, 1.0) * (1.0 if k % 2 else -1.0)
            here_x, here_y = x + k * step + lean * up, y - up
            line(plane, view, last_x, last_y, here_x, here_y, radius, strength)
            last_x, last_y = here_x, here_y
    elif which == 8:  # an arrow
        turn, long = between(stream, 0.0, 6.3), size * between(stream, 1.0, 2.5)
        tip_x, tip_y = x + long * math.cos(turn), y + long * math.sin(turn)
        line(plane, view, x - long * math.cos(turn), y - long * math.sin(turn), tip_x, tip_y, radius, strength)
        barb, open_ = long * between(stream, 0.25, 0.6), between(stream, 0.3, 0.8)
        for hand in (-1.0, 1.0):
            back = turn + 3.1416 + hand * open_
            end_x, end_y = tip_x + barb * math.cos(back), tip_y + barb * math.sin(back)
            line(plane, view, tip_x, tip_y, end_x, end_y, radius, strength)
    elif which == 9:  # a man of sticks
        head = 0.3 * size
        _ring(stream, desk, plane, x, y - size - head, head, head, radius, strength)
        line(plane, view, x, y - size, x, y + 0.3 * size, radius, strength)
        for side in (-1.0, 1.0):
            line(
                plane, view, x, y + 0.3 * size, x + side * size * between(stream, 0.2, 0.7), y + size, radius, strength
            )
            reach = size * between(stream, -0.8, 0.6)
            line(plane, view, x, y - 0.6 * size, x + side * 0.7 * size, y - 0.4 * size + reach, radius, strength)
    else:
        for _ in range(1 + one_of(stream, 4)):
            at_x, at_y = x + size * normal(stream), y + size * normal(stream)
            _wander(stream, desk, plane, at_x, at_y, size * even(stream, 0.4, 1.5), radius, strength)


@kernel
def giant_strokes(stream, bank, desk):
    """Write something so large that only parts of it are in view; at this scale it is no digit."""
    side = desk.ink.shape[0]
    radius = desk.habits[RADIUS]
    own = even(stream, 44.0, 170.0)
    desk.habits[RADIUS] = own * even(stream, 0.02, 0.09)
    for _ in range(1 + one_of(stream, 2)):
        x, y = between(stream, -0.2, 1.2) * side, between(stream, -0.2, 1.2) * side
        index = one_of(stream, bank.n_digits) if chance(stream, 0.75) else one_of(stream, len(bank.images))
        sign(stream, bank, desk, desk.ink, index, x, y, own, False, True)
    desk.habits[RADIUS] = radius


@kernel
def small_print(stream, bank, desk):
    """Print words and numbers too small to be read at this scale."""
    habits = desk.habits
    side = desk.ink.shape[0]
    radius, font, others, present = habits[RADIUS], habits[FONT], habits[OTHERS], habits[PRESENT]
    habits[FONT] = float(one_of(stream, len(bank.printed))) if chance(stream, 0.6) else -1.0
    own = even(stream, 3.5, 9.0)
    habits[RADIUS] = max(0.4, 0.05 * own)
    n = 1 + one_of(stream, 4)
    x, y = between(stream, -0.3, 0.8) * side, between(stream, 0.0, 1.0) * side
    for k in range(n):
        right = x + own * between(stream, 2.0, 25.0)
        write_row(stream, bank, desk, desk.print, x, y + 1.7 * own * k, own, right)
    habits[RADIUS], habits[FONT], habits[OTHERS], habits[PRESENT] = radius, font, others, present


@kernel
def print_text(stream, bank, desk, top, bottom, capital):
    """Fill a part of the page with lines of words, printed or written, whose capitals are so high."""
    if len(bank.strips) == 0:
        return
    side = desk.print.shape[0]
    scale = capital / 17.0
    pitch = capital * between(stream, 1.5, 2.6)
    is_printed = chance(stream, 0.6)
    # A paragraph is of one font: words of neighboring numbers in the bank are.
    n_all = bank.n_printed if is_printed else len(bank.strips) - bank.n_printed
    if n_all == 0:
        return
    base = one_of(stream, n_all)
    strength = between(stream, 0.3, 1.0)
    left = between(stream, -60.0, 60.0)
    right = side + 60.0 if chance(stream, 0.7) else between(stream, left + 20.0, side + 60.0)
    space = capital * between(stream, 0.3, 0.8)
    y = top
    while y < bottom:
        x = left
        while x < right:
            index = (base + one_of(stream, 12)) % n_all + (0 if is_printed else bank.n_printed)
            width = bank.strip_widths[index]
            a, b = through(desk.lens, x + 0.5 * width * scale, y)
            if -width * scale < a < side + width * scale and -20.0 < b < side + 20.0:
                word(desk.print, desk.lens, bank.strips[index], width, x, y, scale, 0.0, strength)
            x += width * scale + space
        y += pitch


@kernel
def _bracket(stream, desk, x, y, high, radius, strength):
    """Draw a bracket, a brace or a bar, higher than digits are."""
    points = desk.points
    side = 1.0 if chance(stream, 0.5) else -1.0
    deep = high * between(stream, 0.08, 0.3) * side
    which = one_of(stream, 4)
    if which == 0:
        _at(points, 0, x + deep, y - 0.5 * high)
        _at(points, 1, x, y)
        _at(points, 2, x + deep, y + 0.5 * high)
        curve(desk.ink, desk.lens, points, 3, radius, strength, False, desk.box)
    elif which == 1:
        line(desk.ink, desk.lens, x, y - 0.5 * high, x, y + 0.5 * high, radius, strength)
        line(desk.ink, desk.lens, x, y - 0.5 * high, x + deep, y - 0.5 * high, radius, strength)
        line(desk.ink, desk.lens, x, y + 0.5 * high, x + deep, y + 0.5 * high, radius, strength)
    elif which == 2:
        _at(points, 0, x + deep, y - 0.5 * high)
        _at(points, 1, x + 0.3 * deep, y - 0.4 * high)
        _at(points, 2, x + 0.4 * deep, y - 0.1 * high)
        _at(points, 3, x - 0.4 * deep, y)
        _at(points, 4, x + 0.4 * deep, y + 0.1 * high)
        _at(points, 5, x + 0.3 * deep, y + 0.4 * high)
        _at(points, 6, x + deep, y + 0.5 * high)
        curve(desk.ink, desk.lens, points, 7, radius, strength, False, desk.box)
    else:
        long = high * between(stream, 1.2, 2.5)
        line(desk.ink, desk.lens, x, y - 0.5 * long, x, y + 0.5 * long, radius, strength)


@kernel
def scatter_marks(stream, desk, height):
    """Strew brackets, slashes, underlines, ticks, arrows, rings around numbers, staples."""
    side = desk.ink.shape[0]
    radius, strength = desk.habits[RADIUS], desk.habits[STRENGTH]
    view, points, box = desk.lens, desk.points, desk.box
    for _ in range(1 + one_of(stream, 3)):
        x, y = between(stream, 0.0, side), between(stream, 0.0, side)
        which = one_of(stream, 8)
        clear_box(box)
        if which == 0:
            _bracket(stream, desk, x, y, height * between(stream, 1.25, 2.2), radius, strength)
        elif which == 1:  # a slash that parts nothing: long
            long, lean = height * between(stream, 1.4, 4.0), between(stream, 0.35, 1.4)
            side_lean = lean if chance(stream, 0.75) else -lean
            dx, dy = 0.5 * long * math.sin(side_lean), 0.5 * long * math.cos(side_lean)
            line(desk.ink, view, x - dx, y + dy, x + dx, y - dy, radius, strength)
        elif which == 2:  # underlined, once or twice
            long = height * between(stream, 1.0, 6.0)
            for k in range(1 + one_of(stream, 2)):
                at = y + k * height * 0.25
                _at(points, 0, x, at)
                _at(points, 1, x + 0.5 * long, at + 0.06 * height * normal(stream))
                _at(points, 2, x + long, at + 0.12 * height * normal(stream))
                curve(desk.ink, view, points, 3, radius, strength, False, box)
        elif which == 3:  # a tick
            own = height * between(stream, 0.6, 1.8)
            line(desk.ink, view, x, y, x + 0.35 * own, y + 0.5 * own, radius, strength)
            line(desk.ink, view, x + 0.35 * own, y + 0.5 * own, x + own, y - 0.6 * own, radius, strength)
        elif which == 4:  # a ring around something
            wide, high = height * between(stream, 0.9, 3.0), height * between(stream, 0.85, 1.3)
            _ring(stream, desk, desk.ink, x, y, wide, high, radius, strength)
        elif which == 5:  # a staple: bright and dark side by side comes from its shadow
            turn, long = between(stream, -0.6, 0.6), between(stream, 15.0, 45.0)
            dx, dy = 0.5 * long * math.cos(turn), 0.5 * long * math.sin(turn)
            line(desk.ink, view, x - dx, y - dy, x + dx, y + dy, between(stream, 0.8, 2.0), 1.0)
        elif which == 6:  # a lone dash
            long = height * between(stream, 0.3, 1.2)
            line(desk.ink, view, x, y, x + long, y + 0.1 * height * normal(stream), radius, strength)
        else:  # a stroke that crosses what is written
            turn, long = 0.2 * normal(stream), height * between(stream, 1.5, 7.0)
            dx, dy = 0.5 * long * math.cos(turn), 0.5 * long * math.sin(turn)
            _at(points, 0, x - dx, y - dy)
            _at(points, 1, x + 0.05 * long * normal(stream), y + 0.05 * long * normal(stream))
            _at(points, 2, x + dx, y + dy)
            curve(desk.ink, view, points, 3, radius * between(stream, 0.7, 1.6), strength, False, box)


@kernel
def strew_dots(stream, desk):
    """Strew specks and blots, and round spots that may be noughts to somebody: those are not learned."""
    side = desk.ink.shape[0]
    box = desk.box
    if chance(stream, 0.6):
        for _ in range(1 + one_of(stream, 25)):
            clear_box(box)
            own = even(stream, 0.4, 2.2)
            x, y = between(stream, 0.0, side), between(stream, 0.0, side)
            disc(desk.ink, desk.lens, x, y, own, between(stream, 0.3, 1.0), box)
    elif chance(stream, 0.5):
        for _ in range(1 + one_of(stream, 3)):
            clear_box(box)
            own = even(stream, 2.5, 14.0)
            x, y = between(stream, 0.0, side), between(stream, 0.0, side)
            disc(desk.ink, desk.lens, x, y, own, between(stream, 0.4, 1.0), box)
    else:
        x, y = between(stream, 0.0, side), between(stream, 0.0, side)
        own = even(stream, 7.0, 70.0)
        clear_box(box)
        _ring(stream, desk, desk.print, x, y, own, own, even(stream, 0.4, 4.0), between(stream, 0.15, 0.9))
        if own < 24.0:
            a, b = through(desk.lens, x, y)
            grow_box(box, a, b, 0.0)
            add_mark(desk, _IGNORED, box, 20.0)
