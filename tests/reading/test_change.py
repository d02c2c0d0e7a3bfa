"""Change: a reading as somebody says it is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from digitlab.errors import InputError
from digitlab.reading.change import Change, corrected
from digitlab.reading.reading import Alternative, Box, Cell, Digit, Line, Number, Reading, Refused


def digit(value: int, left: int, top: int = 100, confidence: float = 0.8) -> Digit:
    return Digit(value, Box(left, top, left + 30, top + 40), confidence, (Alternative((value + 1) % 10, 0.1),))


def number(*digits: Digit) -> Number:
    box = Box(digits[0].box.left, digits[0].box.top, digits[-1].box.right, digits[-1].box.bottom)
    return Number("".join(str(d.value) for d in digits), box, round(0.8 ** len(digits), 6), digits)


def line(*numbers: Number) -> Line:
    return Line(numbers[0].box.around(numbers[-1].box), numbers)


def reading(*lines: Line, refused: tuple[Refused, ...] = ()) -> Reading:
    return Reading("a.png", 1, 800, 600, 0, 0.0, lines, refused)


# Two lines, "48 1" with a mark that was refused where the gap is, and "305".
FOUR, EIGHT, ONE = digit(4, 100), digit(8, 140), digit(1, 220)
Z = Refused(Box(180, 102, 212, 140), "not-a-digit", Alternative(2, 0.3))
SPECK = Refused(Box(125, 130, 130, 136), "too-small")
BELOW = line(number(digit(3, 100, 300), digit(0, 140, 300), digit(5, 180, 300)))
READ = reading(line(number(FOUR, EIGHT), number(ONE)), BELOW, refused=(SPECK, Z))


# ---- a reading as somebody says it is ----


def test_a_corrected_digit_changes_its_number_text_and_confidence_and_nothing_else() -> None:
    told = corrected(READ, [Change(EIGHT.box, "3")])
    assert told.text == "43 1\n305"
    first = told.numbers[0]
    assert (first.value, first.box) == ("43", READ.numbers[0].box)
    assert READ.numbers[0].confidence < first.confidence < 1
    assert first.digits[1] == Digit(3, EIGHT.box, 1.0, ())
    assert told.numbers[1:] == READ.numbers[1:]
    assert told.to_dict()["lines"][0]["text"] == "43 1"
    assert READ.text == "48 1\n305"


def test_what_is_said_to_be_no_digit_is_refused_and_an_empty_number_and_line_go() -> None:
    told = corrected(READ, [Change(EIGHT.box, "")])
    assert told.text == "4 1\n305"
    assert told.lines[0].numbers[0].box == FOUR.box
    assert told.refused[-1] == Refused(EIGHT.box, "not-a-digit", Alternative(8, 0.8))
    rest = corrected(READ, [Change(d.box, "") for d in (FOUR, EIGHT, ONE)])
    assert rest.text == "305"
    assert len(rest.refused) == len(READ.refused) + 3


def test_a_refused_mark_takes_its_place_and_joins_what_it_stands_close_to() -> None:
    told = corrected(READ, [Change(Z.box, "2")])
    assert told.text == "4821\n305"
    assert told.refused == (SPECK,)
    assert told.numbers[0].digits[2] == Digit(2, Z.box, 1.0, ())


@pytest.mark.parametrize(
    ("box", "text"),
    [
        (Box(600, 100, 630, 140), "48 1 7\n305"),
        (Box(20, 100, 50, 140), "7 48 1\n305"),
        (Box(262, 105, 290, 140), "48 17\n305"),
        (Box(100, 20, 130, 60), "7\n48 1\n305"),
        (Box(100, 200, 130, 240), "48 1\n7\n305"),
        (Box(100, 500, 130, 540), "48 1\n305\n7"),
    ],
)
def test_a_refused_mark_far_from_any_digit_is_a_number_or_a_line_of_its_own(box: Box, text: str) -> None:
    told = corrected(reading(*READ.lines, refused=(Refused(box, "unsure"),)), [Change(box, "7")])
    assert told.text == text
    assert told.refused == ()


def test_a_mark_may_turn_out_to_be_several_digits() -> None:
    told = corrected(READ, [Change(EIGHT.box, "13"), Change(Z.box, "25")])
    assert told.text == "413251\n305"
    boxes = [d.box for d in told.numbers[0].digits]
    assert boxes[1] == Box(140, 100, 155, 140)
    assert [box.left for box in boxes] == sorted(box.left for box in boxes)


def test_digits_of_a_number_follow_where_there_are_as_many() -> None:
    told = corrected(READ, [Change(BELOW.numbers[0].box, "306", is_number=True)])
    assert [d.box for d in told.numbers[-1].digits] == [d.box for d in READ.numbers[-1].digits]
    assert (told.numbers[-1].value, told.numbers[-1].confidence) == ("306", 1.0)


def test_a_number_typed_with_what_was_refused_in_it_takes_that_for_a_digit_and_no_speck() -> None:
    both = number(FOUR, EIGHT, ONE)
    read = reading(line(both), refused=(SPECK, Z))
    told = corrected(read, [Change(both.box, "4821", is_number=True)])
    assert [d.box for d in told.digits] == [FOUR.box, EIGHT.box, Z.box, ONE.box]
    assert told.refused == (SPECK,)


@pytest.mark.parametrize("value", ["7", "40812"])
def test_a_number_of_another_length_is_replaced(value: str) -> None:
    told = corrected(READ, [Change(READ.numbers[0].box, value, is_number=True)])
    assert told.text == f"{value} 1\n305"
    assert told.numbers[0].box == READ.numbers[0].box
    assert told.refused == READ.refused
    gone = corrected(READ, [Change(READ.numbers[0].box, "", is_number=True)])
    assert gone.text == "1\n305"
    assert [r.box for r in gone.refused] == [SPECK.box, Z.box, FOUR.box, EIGHT.box]


def test_the_last_word_counts_and_no_digit_can_be_a_digit_again() -> None:
    assert corrected(READ, [Change(EIGHT.box, v) for v in ("3", "", "9")]).text == "49 1\n305"
    edited = [Change(BELOW.box, "777", is_number=True), Change(BELOW.numbers[0].digits[1].box, "2")]
    assert corrected(READ, edited).numbers[-1].value == "727"


def test_changes_are_carried_over_to_another_reading_and_what_fits_nothing_is_passed_over() -> None:
    moved = reading(line(number(digit(4, 102), digit(9, 143))))
    assert corrected(moved, [Change(EIGHT.box, "3"), Change(Box(700, 1, 710, 9), "5")]).text == "43"
    assert corrected(reading(), [Change(EIGHT.box, "3"), Change(EIGHT.box, "3", is_number=True)]) == reading()


def test_what_parts_numbers_stays_between_those_that_stay() -> None:
    parted = [replace(number(digit(v, x)), separator=s) for v, x, s in ((1, 100, "/"), (2, 200, "-"), (3, 300, ""))]
    read = reading(line(*parted))
    assert read.text == "1/2-3"
    boxes = [n.box for n in parted]
    assert corrected(read, [Change(boxes[1], "7")]).text == "1/7-3"
    assert corrected(read, [Change(boxes[1], "")]).text == "1/3"
    assert corrected(read, [Change(boxes[2], "")]).text == "1/2"
    assert corrected(read, [Change(boxes[0], "")]).text == "2-3"
    # A slash that was a 1 after all.
    slash = Refused(Box(140, 100, 170, 140), "not-a-digit")
    joined = corrected(replace(read, refused=(slash,)), [Change(slash.box, "1")])
    assert joined.text == "112-3"


def test_boxes_of_a_form_hold_what_is_said_and_a_row_without_digits_stays() -> None:
    cells = tuple(Cell(Box(x, 90, x + 50, 150), value) for x, value in ((90, "4"), (140, ""), (190, "")))
    read = reading(
        replace(line(number(digit(4, 100))), cells=cells), refused=(Refused(Box(150, 100, 180, 140), "unsure"),)
    )
    told = corrected(read, [Change(read.refused[0].box, "8")])
    assert [cell.value for cell in told.lines[0].cells] == ["4", "8", ""]
    assert told.text == "48"
    empty = corrected(read, [Change(Box(100, 100, 130, 140), "")])
    assert [cell.value for cell in empty.lines[0].cells] == ["", "", ""]
    again = corrected(empty, [Change(read.refused[0].box, "8")])
    assert [cell.value for cell in again.lines[0].cells] == ["", "8", ""]


@pytest.mark.parametrize("value", ["x", "1.5", "²", "٣", " 1", "1" * 61])
def test_only_digits_can_be_said(value: str) -> None:
    with pytest.raises(InputError, match="at most 60 digits"):
        Change(EIGHT.box, value)


# ---- what is kept ----
