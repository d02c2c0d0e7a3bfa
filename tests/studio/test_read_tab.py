"""The tab Read: drawings and files as a browser sends them, what is shown of them, and what is kept."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from nicegui import ui
from PIL import Image, ImageDraw

from digitlab.reading.change import Change
from digitlab.reading.reading import Alternative, Box, Refused
from digitlab.runs.listing import list_runs
from digitlab.studio.lesson import LessonLink
from digitlab.studio.page import Page
from digitlab.studio.tabs import read_desk as desks
from digitlab.studio.tabs import readers
from digitlab.studio.tabs import sheet as sheets
from digitlab.studio.tabs.read_desk import Desk, find_desk
from digitlab.studio.tabs.read_elements import (
    DrawnAnswer,
    DrawPad,
    NumbersTable,
    PhotoSource,
    PhotoView,
    StepsView,
    as_change,
    number_rows,
    records,
)
from digitlab.studio.tabs.read_tab import LEAST_CONFIDENCES, CorrectionList, ReadTab
from digitlab.studio.tabs.readers import SHIPPED, TRAINED, of_run
from digitlab.studio.tabs.sheet import Mark, answer_of
from digitlab.studio.trainer import Trainer
from digitlab.studio.widgets.controls import LiveSlider
from digitlab.training.corrections import NOT_A_DIGIT_LABEL, Corrections
from digitlab.training.fine_tuning import Figure, FineTuningOptions
from digitlab.training.pages import compose_page
from tests.studio.steered import SMALL, wait_for_state
from tests.studio.visiting import User, only, until, visit

# A page filled with tiles that are a thousandth of a point apart: PDFium draws for hours.
ENDLESS = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R/Resources<</Pattern<</P 5 0 R>>>>>>"
    b"endobj\n4 0 obj<</Length 35>>stream\n/Pattern cs /P scn 0 0 200 200 re f\nendstream endobj\n"
    b"5 0 obj<</Type/Pattern/PatternType 1/PaintType 1/TilingType 1/BBox[0 0 1 1]/XStep 0.001/YStep 0.001"
    b"/Resources<<>>/Length 16>>stream\n0.2 0 0.5 1 re f\nendstream endobj\ntrailer<</Root 1 0 R/Size 6>>\n%%EOF"
)

Scenario = Callable[[User, ReadTab, Page], Awaitable[None]]


def read_on_page(trainer: Trainer, scenario: Scenario) -> None:
    built: list[tuple[ReadTab, Page]] = []

    def root() -> None:
        desks.add_read_routes()
        page = Page(trainer, trainer.data, ui.context.client, LessonLink(tab="read"))
        built.append((ReadTab(page), page))
        page.follow()

    async def go(user: User) -> None:
        await scenario(user, *built[0])

    visit(root, go)


def drawn(*digits: int, width: int = 360, height: int = 200) -> np.ndarray:
    """Draw digits side by side, as a pen would: uint8, 0 for ink."""
    image = Image.new("L", (width, height), 255)
    pen = ImageDraw.Draw(image)
    shapes = {
        1: [(40, 30), (40, 160)],
        3: [(15, 40), (50, 22), (72, 45), (60, 80), (35, 95), (62, 108), (75, 140), (48, 168), (10, 155)],
        7: [(10, 35), (75, 32), (40, 165)],
    }
    for k, digit in enumerate(digits):
        pen.line([(x + 20 + 110 * k, y) for x, y in shapes[digit]], fill=0, width=11, joint="curve")
    return np.asarray(image)


async def send_drawing(user: User, desk: Desk, picture: np.ndarray) -> Any:
    path = f"/read/{desk.key}/drawing?width={picture.shape[1]}"
    return await user.http_client.post(path, content=picture.tobytes())


async def send_file(user: User, desk: Desk, content: bytes, name: str = "photo.png") -> Any:
    return await user.http_client.post(f"/read/{desk.key}/file", content=content, headers={"X-File-Name": name})


def png(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def example(trainer: Trainer, seed: int = 1) -> tuple[bytes, tuple[str, ...]]:
    page = compose_page(trainer.data.test, seed=seed)
    return png(page.pixels), page.numbers


def said(sheet: Any, mark: int, value: str | None) -> dict[str, Any]:
    return {"serial": sheet.serial, "box": list(sheet.marks[mark].found.box), "value": value, "isNumber": False}


def steps_of(user: User) -> list[dict[str, Any]]:
    return list(only(user, StepsView).props["steps"])


# ---- drawings ----


def test_a_drawn_digit_is_answered_with_eleven_probabilities(trainer: Trainer) -> None:
    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        answer = (await send_drawing(user, tab.desk, drawn(3))).json()
        assert answer["text"] == "3"
        assert answer["says"].startswith("3, ")
        (mark,) = answer["marks"]
        assert mark["value"] == 3
        assert len(mark["probabilities"]) == 11
        assert sum(mark["probabilities"]) == pytest.approx(1, abs=0.002)
        await until(lambda: len(steps_of(user)) == 9)

    read_on_page(trainer, scenario)


def test_an_empty_sheet_is_no_answer(trainer: Trainer) -> None:
    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        answer = (await send_drawing(user, tab.desk, drawn())).json()
        assert (answer["text"], answer["marks"], answer["probabilities"]) == ("", [], [0.0] * 11)
        assert answer["says"] == "Draw a digit: it is answered while you draw."
        assert answer_of(None)["says"] == answer["says"]

    read_on_page(trainer, scenario)


def test_ink_that_is_no_digit_is_answered_so_and_likened_to_none_that_it_is_not_like(trainer: Trainer) -> None:
    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        sheet = np.full((200, 360), 255, np.uint8)
        sheet[95:105, 20:340] = 0
        answer = (await send_drawing(user, tab.desk, sheet)).json()
        assert answer["text"] == ""
        assert answer["says"].startswith("No digit here.")
        assert ": 0 %" not in answer["says"]
        assert answer["probabilities"][10] == max(answer["probabilities"])

    read_on_page(trainer, scenario)
    refused = Refused(Box(0, 0, 9, 9), "not-a-digit", best=Alternative(0, 0.0004))
    assert "Most like" not in Mark(refused, refused, (*[0.0] * 10, 1.0), None).to_page()["says"]
    refused = Refused(Box(0, 0, 9, 9), "not-a-digit", best=Alternative(6, 0.25))
    assert "Most like 6: 25.0 %." in Mark(refused, refused, (*[0.0] * 10, 1.0), None).to_page()["says"]

    read_on_page(trainer, scenario)


def test_digits_side_by_side_are_a_number(trainer: Trainer) -> None:
    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        answer = (await send_drawing(user, tab.desk, drawn(3, 1, 7))).json()
        assert answer["text"] == "317"
        assert "3 digits" in answer["says"]
        lefts = [mark["box"][0] for mark in answer["marks"]]
        assert lefts == sorted(lefts)

    read_on_page(trainer, scenario)


@pytest.mark.parametrize(
    ("width", "n_bytes"), [(360, 17), (0, 0), (-5, 100), (360, 0), (10**9, 10**3), (4, 4 * 100), (360, 360 * 1001)]
)
def test_what_is_no_drawing_is_told_in_a_sentence(trainer: Trainer, width: int, n_bytes: int) -> None:
    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        path = f"/read/{tab.desk.key}/drawing?width={width}"
        reply = await user.http_client.post(path, content=b"\0" * n_bytes)
        assert reply.status_code == 422
        assert reply.json()["sentence"].endswith(".")
        assert tab.desk.drawn is None

    read_on_page(trainer, scenario)


def test_who_does_not_know_the_key_finds_nothing(trainer: Trainer) -> None:
    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        await send_file(user, tab.desk, png(drawn(3)))
        assert (await user.http_client.get(f"/read/{tab.desk.key}/photo/0")).status_code == 200
        for path in ("drawing?width=10", "file"):
            assert (await user.http_client.post(f"/read/another/{path}", content=b"x")).status_code == 404
        assert (await user.http_client.get("/read/another/photo/0")).status_code == 404
        assert (await user.http_client.get(f"/read/{tab.desk.key}/photo/1")).status_code == 404

    read_on_page(trainer, scenario)


# ---- photos ----


def test_a_photo_shows_its_marks_and_lists_its_numbers(trainer: Trainer) -> None:
    content, numbers = example(trainer)

    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        reply = await send_file(user, tab.desk, content, "page%201.png")
        assert (reply.status_code, reply.json()) == (200, {"sentence": ""})
        (sheet,) = tab.desk.sheets
        assert sheet.title == "page 1.png"
        view = only(user, PhotoView)
        assert (view.props["width"], view.props["height"]) == (900, 560)
        shown = [mark for mark in view.props["marks"] if mark["value"] is not None]
        assert sheet.reading.text.split() == ["".join(str(m["value"]) for m in shown)[a:b] for a, b in spans(sheet)]
        right = sum(a == b for a, b in zip(sheet.reading.text.split(), numbers, strict=False))
        assert right >= 4
        user.find(kind=PhotoView).trigger("correct", said(sheet, 0, ""))
        assert view.props["marks"][-1]["says"].startswith("Not a digit, as you say")
        (sheet,) = tab.desk.sheets
        n = len(sheet.reading.refused)
        await user.should_see(f"{n} mark{'' if n == 1 else 's'} refused")
        columns, rows = number_rows(tab.desk.sheets)
        assert [row[columns.index("digits")] for row in rows] == sheet.reading.text.split()
        assert [row["value"] for row in only(user, NumbersTable).props["rows"]] == sheet.reading.text.split()
        picture = await user.http_client.get(view.props["src"])
        assert Image.open(io.BytesIO(picture.content)).size == (900, 560)

    read_on_page(trainer, scenario)


def spans(sheet: Any) -> list[tuple[int, int]]:
    ends = np.cumsum([0, *(len(number.value) for number in sheet.reading.numbers)]).tolist()
    return list(pairwise(ends))


@pytest.mark.slow
def test_a_page_on_its_side_is_shown_upright(trainer: Trainer) -> None:
    page_of_many = compose_page(trainer.data.test, numbers=(4, 3, 5, 2) * 7, digit_px=42)
    turned = np.rot90(page_of_many.pixels)

    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        await send_file(user, tab.desk, png(turned))
        assert tab.desk.sheets[0].reading.turned == 90
        picture = await user.http_client.get(only(user, PhotoView).props["src"])
        assert Image.open(io.BytesIO(picture.content)).size == turned.shape
        await user.should_see("after turning it by 90°")

    read_on_page(trainer, scenario)


@pytest.mark.parametrize(
    "content", [b"", b"not an image", b"%PDF-1.4 broken", png(drawn(3))[:-60], b"\x89PNG\r\n\x1a\n" + b"\0" * 100]
)
def test_a_bad_file_is_told_in_a_sentence_with_its_name(trainer: Trainer, content: bytes) -> None:
    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        reply = await send_file(user, tab.desk, content, "%2E%2E%2Fevil.png")
        assert reply.status_code == 422
        assert reply.json()["sentence"].endswith(".")
        assert "evil.png" in reply.json()["sentence"]
        assert ".." not in reply.json()["sentence"]
        assert tab.desk.sheets == []

    read_on_page(trainer, scenario)


def test_files_are_bounded_whatever_their_header_says(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desks._FILES, "max_bytes", 1000)

    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        async def endless() -> Any:
            for _ in range(100):
                yield b"\0" * 100

        for content in (b"\0" * 2000, endless()):
            reply = await user.http_client.post(f"/read/{tab.desk.key}/file", content=content)
            assert reply.status_code == 413
            assert "Save the photo smaller" in reply.json()["sentence"]

    read_on_page(trainer, scenario)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["PDF", "TIFF"])
def test_pages_of_a_document_are_shown_one_by_one_and_no_more_than_are_kept(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(desks, "MOST_SHEETS", 2)
    pages = [Image.fromarray(drawn(digit)) for digit in (1, 3, 7)]
    file = io.BytesIO()
    pages[0].save(file, kind, save_all=True, append_images=pages[1:])

    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        reply = await send_file(user, tab.desk, file.getvalue(), "three.x")
        assert reply.json()["sentence"].startswith("The first 2 pages of three.x are read here")
        assert [sheet.title for sheet in tab.desk.sheets] == ["three.x", "three.x, page 2"]
        await tab.desk.show(1)
        assert only(user, PhotoView).props["name"] == "three.x, page 2"
        await send_file(user, tab.desk, png(drawn(7)), "new.png")
        assert [sheet.title for sheet in tab.desk.sheets] == ["three.x, page 2", "new.png"]
        tab.desk.clear()
        assert not tab._photos.view.visible

    read_on_page(trainer, scenario)


@pytest.mark.slow
def test_an_example_is_shown_to_who_has_no_photo(trainer: Trainer) -> None:
    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        for n in (1, 2):
            user.find(kind=PhotoSource).trigger("example")
            await until(lambda n=n: len(tab.desk.sheets) == n)
        assert tab.desk.sheets[0].reading.text != tab.desk.sheets[1].reading.text

    read_on_page(trainer, scenario)


# ---- several photos, and what is done to them ----


@pytest.mark.slow
def test_the_photos_of_several_files_stand_in_one_table(trainer: Trainer, kept: Corrections) -> None:
    pages = [Image.fromarray(drawn(digit)) for digit in (1, 3)]
    file = io.BytesIO()
    pages[0].save(file, "PDF", save_all=True, append_images=pages[1:])

    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        await send_file(user, tab.desk, file.getvalue(), "two.pdf")
        await send_file(user, tab.desk, png(drawn(7)), "one.png")
        _, rows = await tab._numbers._rows()
        assert [row[:5] for row in rows] == [
            ("two.pdf", 1, 1, 1, "1"), ("two.pdf", 2, 1, 1, "3"), ("one.png", 1, 1, 1, "7"),
        ]  # fmt: skip
        table = only(user, NumbersTable)
        assert (table.props["at"], table.props["hasFiles"]) == (2, True)
        hidden = table.props["rows"][1]
        # A photo that is not shown is corrected in the table, and stays where it is.
        user.find(kind=NumbersTable).trigger(
            "correct", {"serial": hidden["serial"], "box": hidden["box"], "value": "8", "isNumber": True}
        )
        assert [record["text"] for record in await tab._numbers._records()] == ["1", "8", "7"]
        assert tab.desk.at == 2
        user.find(kind=NumbersTable).trigger("show", 1)
        await until(lambda: only(user, PhotoView).props["name"] == "two.pdf, page 2")
        assert only(user, PhotoView).props["marks"][0]["value"] == 8
        assert tab._numbers._content.content == "8"

    read_on_page(trainer, scenario)


@pytest.mark.slow
def test_all_photos_are_read_again_by_another_network_and_each_once(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    by_heart = desks.read_sheet

    def noted(photo: Any, *args: Any, **more: Any) -> Any:
        read.append(photo.source)
        return by_heart(photo, *args, **more)

    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        for name in ("a.png", "b.png"):
            await send_file(user, tab.desk, png(drawn(3)), name)
        monkeypatch.setattr(desks, "read_sheet", noted)
        await tab.desk.show(0)
        assert read == []
        await tab.desk.choose(TRAINED)
        sheets = await tab.desk.catch_up()
        reader = tab.desk.readers.reader(TRAINED)
        assert [sheet.reader is reader for sheet in sheets] == [True, True]
        assert sorted(read) == ["a.png", "b.png"]

    read_on_page(trainer, scenario)


@pytest.mark.slow
def test_a_photo_is_turned_by_hand_and_not_turned_back(trainer: Trainer) -> None:
    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        await send_file(user, tab.desk, png(drawn(3, 1, 7)))
        sizes = []
        for kind in ("left", "left", "reset"):
            serial = tab.desk.shown.serial
            user.find(kind=PhotoView).trigger("edit", {"serial": serial, "kind": kind})
            await until(lambda serial=serial: tab.desk.shown.serial != serial)
            reading = tab.desk.shown.reading
            sizes.append((reading.width, reading.height, reading.turned))
        assert sizes == [(200, 360, 0), (360, 200, 0), (360, 200, 0)]
        assert tab.desk.shown.reading.text == "317"
        assert only(user, PhotoView).props["isEdited"] is False

    read_on_page(trainer, scenario)


def test_what_is_cropped_away_or_left_out_is_not_read(trainer: Trainer) -> None:
    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        desk = tab.desk
        await send_file(user, desk, png(drawn(3, 1, 7)), "three.png")
        one = desk.shown.marks[1].found.box
        desk.correct(desk.shown, Change(desk.shown.marks[0].found.box, "8"))
        around = [one.left - 20, 0, 360, 200]
        for kind, text in (("hide", "8"), ("reset", "317"), ("crop", "17")):
            serial = desk.shown.serial
            user.find(kind=PhotoView).trigger("edit", {"serial": serial, "kind": kind, "box": around})
            await until(lambda serial=serial: desk.shown.serial != serial)
            assert desk.shown.reading.text == text
        assert desk.shown.reading.width == 360 - around[0]
        assert desk.shown.title == "three.png"
        picture = await user.http_client.get(only(user, PhotoView).props["src"])
        assert Image.open(io.BytesIO(picture.content)).size == (360 - around[0], 200)
        await until(lambda: only(user, StepsView).props["text"] == "17")

    read_on_page(trainer, scenario)


@pytest.mark.parametrize(
    "args",
    [None, {}, {"kind": "left"}, {"kind": "melt"}, {"kind": "crop"}, {"kind": "crop", "box": [0, 0, 0, 9]},
     {"kind": "hide", "box": [1, 2, 3, "4"]}, {"kind": "crop", "box": [0, 0, 2, 2]},
     {"kind": "crop", "box": [900, 900, 999, 999]}],
)  # fmt: skip
def test_what_cannot_be_done_to_a_photo_leaves_it_as_it_is(trainer: Trainer, args: Any) -> None:
    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        await send_file(user, tab.desk, png(drawn(3)))
        await tab.desk.catch_up()
        before = tab.desk.shown
        told = args | {"serial": before.serial} if args and args.get("kind") != "left" else args
        user.find(kind=PhotoView).trigger("edit", told)
        if args and args.get("box") and all(type(n) is int for n in args["box"]) and args["box"][2]:
            await user.should_see("This rectangle is too small.")
        await tab.desk.catch_up()
        assert tab.desk.shown is before

    read_on_page(trainer, scenario)


# ---- steps and networks ----


def test_steps_are_shown_without_reading_twice_and_are_the_same_if_it_must(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_read: list[Any] = []
    by_heart = sheets.read_page
    monkeypatch.setattr(sheets, "read_page", lambda *args: (n_read.append(args), by_heart(*args))[1])

    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        await until(lambda: n_read)  # the warming up
        sheet = await tab.desk.take_drawing(drawn(3))
        await until(lambda: steps_of(user))
        n_read.clear()
        first = sheets.steps_of_sheet(sheet)
        assert n_read == []
        sheets.forget_ways()
        again = sheets.steps_of_sheet(sheet)
        assert len(n_read) == 1
        for one, other in zip(first, again, strict=True):
            np.testing.assert_array_equal(one.picture, other.picture)

    read_on_page(trainer, scenario)


def test_switching_a_step_off_changes_what_the_network_sees(trainer: Trainer) -> None:
    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        await send_drawing(user, tab.desk, drawn(3))
        await until(lambda: steps_of(user))
        assert [step["name"] for step in steps_of(user)] == [
            "original", "grey", "contrast", "pyramid", "heat", "second-look", "candidates", "lines", "frames",
        ]  # fmt: skip
        before = steps_of(user)[-1]
        seen = tab.desk.drawn.marks[0].image
        user.find(kind=StepsView).trigger("switch", {"name": "center", "on": False})
        await until(lambda: steps_of(user)[-1]["src"] != before["src"])
        assert steps_of(user)[-1]["switches"] == [{"name": "center", "label": "Centre each digit", "on": False}]
        corner = tab.desk.drawn.marks[0].image
        assert np.argwhere(corner).mean(axis=0).sum() < np.argwhere(seen).mean(axis=0).sum() - 4
        user.find(kind=StepsView).trigger("switch", {"name": "invert", "on": False})
        await until(lambda: tab.desk.options.invert == "never")
        await until(lambda: not np.array_equal(tab.desk.drawn.marks[0].image, corner))
        for name in ("center", "invert"):
            user.find(kind=StepsView).trigger("switch", {"name": name, "on": True})
        await until(lambda: tab.desk.drawn.reading.text == "3")

    read_on_page(trainer, scenario)


@pytest.mark.slow
def test_threshold_refuses_without_reading_again_and_counts(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    content, _ = example(trainer)

    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        desk = tab.desk
        await send_drawing(user, desk, drawn(3))
        await send_file(user, desk, content)
        assert desk.shown is not None
        assert desk.drawn is not None
        serial, confidences = desk.shown.serial, [digit.confidence for digit in desk.shown.whole.digits]
        with monkeypatch.context() as patch:
            patch.setattr(desks, "read_sheet", None)
            for least in (0.0, 0.98, 0.999):
                n = sum(confidence >= least for confidence in confidences)
                user.find(kind=LiveSlider).trigger("slide", LEAST_CONFIDENCES.index(least))
                await until(lambda n=n: len(desk.shown.found.digits) == n)
                sheet = desk.shown
                assert sheet.serial == serial
                assert len(sheet.marks) == len(sheet.seen)
                assert sum(mark.value is None for mark in sheet.marks) == len(sheet.found.refused)
                told = tab._refused.text
                assert f"{n} of {len(confidences)} digits answered, {len(confidences) - n} refused" in told
            await until(lambda: desk.drawn is not None and desk.drawn.options.min_confidence == 0.999)
        # Corrections tell how many are right.
        user.find(kind=LiveSlider).trigger("slide", 0)
        await until(lambda: len(desk.shown.found.digits) == len(confidences))
        wrong = str((desk.shown.found.digits[0].value + 1) % 10)
        desk.correct(desk.shown, Change(desk.shown.found.digits[0].box, wrong))
        n = len(confidences)
        assert desk.shown.n_right == n - 1
        assert f"{n - 1} of them are right" in tab._refused.text

    read_on_page(trainer, scenario)


@pytest.mark.parametrize("args", [None, 3, {}, {"name": "min_confidence", "on": False}, {"name": "__class__"}])
def test_only_what_has_a_switch_can_be_switched(trainer: Trainer, args: Any) -> None:
    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        before = tab.desk.options
        user.find(kind=StepsView).trigger("switch", args)
        await send_drawing(user, tab.desk, drawn(3))
        assert tab.desk.options == before

    read_on_page(trainer, scenario)


def test_the_network_trained_here_reads_with_the_weights_of_now(trainer: Trainer) -> None:
    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        await send_drawing(user, tab.desk, drawn(3))
        await tab.desk.choose(TRAINED)
        await user.should_see("has not been trained yet")
        trainer.start(SMALL)
        wait_for_state(trainer, "finished")
        await until(lambda: page.trainer.state == "finished" and "after 12 batches" in tab._about.text)
        sheet = await tab.desk.take_drawing(drawn(3))
        assert sheet.reader is tab.desk.readers.reader(TRAINED)
        for read, trained in zip(sheet.reader.answers.model.get_weights(), trainer.moment(None).weights, strict=True):
            np.testing.assert_array_equal(read, trained)
        assert tab.desk.readers.reader(TRAINED).answers.knows_not_a_digit is False

    read_on_page(trainer, scenario)


def test_a_run_reads_and_one_that_is_gone_is_told(trainer: Trainer) -> None:
    trainer.start(SMALL)
    wait_for_state(trainer, "finished")
    run = trainer.run
    assert run is not None

    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        await until(lambda: of_run(run.name) in tab._names)
        tab._model.set_value(of_run(run.name))
        await until(lambda: tab.desk.choice == of_run(run.name))
        await tab._change(of_run("nobody"))
        await user.should_see("There is no run 'nobody'")
        assert tab.desk.choice == of_run(run.name)
        await until(lambda: tab._model.value == of_run(run.name))

    read_on_page(trainer, scenario)


# ---- corrections ----


@pytest.fixture
def kept(trainer: Trainer) -> Corrections:
    found = readers.corrections_of(trainer)
    assert found is not None
    assert trainer.out is not None
    assert found.folder == trainer.out.parent / "corrections"
    return found


@pytest.mark.slow
def test_a_corrected_digit_is_kept_as_the_network_saw_it(trainer: Trainer, kept: Corrections) -> None:
    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        sheet = await tab.desk.take_drawing(drawn(3))
        image = sheet.marks[0].image
        user.find(kind=DrawnAnswer).trigger("correct", said(sheet, 0, "5"))
        await until(lambda: len(kept) == 1)
        (one,) = kept.entries()
        assert one.label == 5
        np.testing.assert_array_equal(one.image, image)
        await user.should_see("1 correction kept.")
        assert only(user, CorrectionList).props["items"] == [{"number": 0, "label": 5}]
        await send_file(user, tab.desk, example(trainer)[0])
        user.find(kind=PhotoView).trigger("correct", said(tab.desk.shown, 0, ""))
        await until(lambda: "2 corr" in tab._kept._says.text)
        await user.should_see("2 corrections kept, 1 of them not a digit.")
        user.find(kind=CorrectionList).trigger("remove", 0)
        await until(lambda: [c.label for c in kept.entries()] == [NOT_A_DIGIT_LABEL])

    read_on_page(trainer, scenario)


def test_a_correction_changes_the_result_everywhere_and_can_be_taken_back(trainer: Trainer, kept: Corrections) -> None:
    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        desk = tab.desk
        await send_file(user, desk, example(trainer)[0])
        before = desk.shown
        first = before.reading.numbers[0].value
        wrong = f"{(int(first[0]) + 1) % 10}{first[1:]}"
        user.find(kind=PhotoView).trigger("correct", said(before, 0, wrong[0]))
        await until(lambda: len(kept) == 1)
        sheet = desk.shown
        assert sheet.serial == before.serial
        assert sheet.reading.text.split()[0] == wrong
        assert only(user, PhotoView).props["marks"][0]["value"] == int(wrong[0])
        assert only(user, PhotoView).props["marks"][0]["says"] == f"{wrong[0]}, as you say; it was read as {first[0]}."
        assert only(user, NumbersTable).props["rows"][0]["value"] == wrong
        assert tab._numbers._content.content.split()[0] == wrong
        columns, rows = number_rows(desk.sheets)
        told = dict(zip(columns, rows[0], strict=True))
        assert (told["digits"], told["corrected"], rows[1][columns.index("corrected")]) == (wrong, "yes", "")
        (record,) = records(desk.sheets)
        number = record["lines"][0]["numbers"][0]
        assert (number["value"], number["corrected"], number["digits"][0]["confidence"]) == (wrong, True, 1.0)
        assert record["text"].split()[0] == wrong
        await until(lambda: only(user, StepsView).props["text"])
        assert only(user, StepsView).props["corrected"].startswith(wrong)
        assert only(user, StepsView).props["text"].startswith(first)

        user.find(kind=PhotoView).trigger("correct", said(sheet, 0, None))
        await until(lambda: len(kept) == 0)
        assert desk.shown.reading == before.reading
        assert only(user, StepsView).props["corrected"] is None

    read_on_page(trainer, scenario)


@pytest.mark.slow
def test_a_number_is_typed_over_and_only_its_wrong_digits_are_learned(trainer: Trainer, kept: Corrections) -> None:
    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        await send_file(user, tab.desk, example(trainer)[0])
        row = only(user, NumbersTable).props["rows"][0]
        changed = f"{row['value'][:-1]}{(int(row['value'][-1]) + 1) % 10}"
        given = {"serial": row["serial"], "box": row["box"], "isNumber": True}
        user.find(kind=NumbersTable).trigger("correct", given | {"value": changed})
        await until(lambda: len(kept) == 1)
        assert [c.label for c in kept.entries()] == [int(changed[-1])]
        user.find(kind=NumbersTable).trigger("correct", given | {"value": "123456789"})
        await until(lambda: only(user, NumbersTable).props["rows"][0]["value"] == "123456789")
        assert len(kept) == 1
        assert tab.desk.shown.marks[8].image is None

    read_on_page(trainer, scenario)


def test_corrections_are_carried_over_to_another_network(trainer: Trainer) -> None:
    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        sheet = await tab.desk.take_drawing(drawn(3))
        user.find(kind=DrawnAnswer).trigger("correct", said(sheet, 0, "5"))
        assert tab.desk.drawn.reading.text == "5"
        await tab.desk.choose(TRAINED)
        assert tab.desk.drawn.serial != sheet.serial
        assert tab.desk.drawn.reading.text == "5"

    read_on_page(trainer, scenario)


BOX = [0, 0, 400, 400]


@pytest.mark.parametrize(
    "change",
    [{"serial": -1}, {"serial": "1"}, {"box": BOX}, {"box": [1, 2]}, {"box": None}, {"value": "11a"}, {"value": 7}],
)
def test_what_is_said_of_another_sheet_or_is_no_correction_changes_nothing(
    trainer: Trainer, kept: Corrections, change: dict[str, Any]
) -> None:
    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        sheet = await tab.desk.take_drawing(drawn(3))
        given = said(sheet, 0, "4") | change
        told = as_change(given)
        assert told is None or told[0] != sheet.serial or not sheet.has(told[1])  # type: ignore[arg-type]
        user.find(kind=DrawnAnswer).trigger("correct", given)
        assert tab.desk.drawn is sheet
        user.find(kind=DrawnAnswer).trigger("correct", said(sheet, 0, "9"))
        await until(lambda: len(kept) == 1)
        assert kept.entries()[0].label == 9

    read_on_page(trainer, scenario)


@pytest.mark.slow
def test_a_network_that_learned_reads_where_it_is_no_worse_and_can_be_left_again(
    trainer: Trainer, kept: Corrections
) -> None:
    trainer.start(SMALL)
    wait_for_state(trainer, "finished")
    before = {info.name for info in list_runs(trainer.out or "")}

    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        learner = readers.learning_of(trainer)
        learner.options = FineTuningOptions(replay_images=100, epochs=1, learning_rate=1e-12)
        sheet = await tab.desk.take_drawing(drawn(3))
        user.find(kind=DrawnAnswer).trigger("correct", said(sheet, 0, "5"))
        await until(lambda: tab._kept._learn.enabled)
        await tab.desk.choose(TRAINED)
        user.find("Learn from my corrections").click()
        await until(lambda: learner.choice)
        await until(lambda: tab.desk.choice == learner.choice)
        (new,) = {info.name for info in list_runs(trainer.out or "")} - before
        assert learner.choice == of_run(new)
        assert next(info for info in list_runs(trainer.out or "") if info.name == new).test_accuracy is not None
        assert learner.tuned is not None
        await until(lambda: tab._kept._back.visible)
        await user.should_see("Go back to the network trained here")
        await user.should_not_see("Use it all the same")
        assert f"{learner.tuned.corrections.right_after} of\N{NO-BREAK SPACE}1" in tab._kept._result.content
        user.find("Go back to the network trained here").click()
        await until(lambda: tab.desk.choice == TRAINED)

    read_on_page(trainer, scenario)


def test_what_stands_here_is_judged_as_it_was_corrected(trainer: Trainer, kept: Corrections) -> None:
    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        sheet = await tab.desk.take_drawing(drawn(3))
        user.find(kind=DrawnAnswer).trigger("correct", said(sheet, 0, "5"))
        await until(lambda: len(kept) == 1)
        (known,) = tab.desk.known_photos()
        assert known.marks == ((sheet.marks[0].found.box, 5),)
        assert not known.options.turn

    read_on_page(trainer, scenario)


@pytest.mark.slow
def test_a_network_that_reads_worse_is_used_only_if_somebody_says_so(
    trainer: Trainer, kept: Corrections, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.add(trainer.data.test.images[0], 1)
    options = FineTuningOptions(replay_images=100, epochs=1, learning_rate=1e-12)
    start = readers.learning_of(trainer)._readers.checkpoint(SHIPPED)
    worse = replace(readers.fine_tune(start, *kept.arrays(), trainer.data, options), page=Figure(98, 90, 88))
    monkeypatch.setattr(readers, "fine_tune", lambda *args, **more: worse)

    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        learner = readers.learning_of(trainer)
        await until(lambda: tab._kept._learn.enabled)
        for way in ("Drop it", "Use it all the same"):
            user.find("Learn from my corrections").click()
            await until(lambda: tab._kept._take.visible)
            assert "worse than before" in tab._kept._result.content
            assert "88 of\N{NO-BREAK SPACE}98 ↓" in tab._kept._result.content
            assert (learner.choice, tab.desk.choice, list_runs(trainer.out or "")) == ("", SHIPPED, ())
            user.find(way).click()
            await until(lambda: not tab._kept._take.visible)
        await until(lambda: learner.choice and tab.desk.choice == learner.choice)
        assert "reads some of these worse than before" in tab._kept._result.content
        assert len(list_runs(trainer.out or "")) == 1

    read_on_page(trainer, scenario)


def test_learning_that_is_cancelled_or_fails_leaves_nothing(trainer: Trainer, kept: Corrections) -> None:
    learner = readers.learning_of(trainer)
    thread = learner.start(SHIPPED)
    thread.join()
    assert learner.message == "There is no correction to learn from; correct a wrong answer first."
    kept.add(trainer.data.test.images[0], 1)
    learner._note = lambda step, n_steps: (learner.cancel(), readers.Learning._note(learner, step, n_steps))[0]  # type: ignore[method-assign]
    learner.start(TRAINED).join()
    assert learner.message == "Cancelled; nothing was kept."
    assert (learner.choice, learner.is_running) == ("", False)
    assert list_runs(trainer.out or "") == ()


def test_a_studio_without_a_folder_keeps_nothing_and_says_so(trainer: Trainer) -> None:
    without = Trainer(trainer.data, None)

    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        await user.should_see("This Studio keeps nothing")
        assert only(user, DrawnAnswer).props["keeps"] is False
        sheet = await tab.desk.take_drawing(drawn(3))
        assert sheet.reading.text == "3"
        user.find(kind=DrawnAnswer).trigger("correct", said(sheet, 0, "5"))
        assert tab.desk.drawn.reading.text == "5"

    read_on_page(without, scenario)
    without.close()


# ---- the page as a whole ----


@pytest.mark.slow
def test_document_that_never_ends_is_given_up_and_the_next_photo_is_read(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(desks.PROCESSES, "seconds", 0.5)
            reply = await send_file(user, tab.desk, ENDLESS, "a.pdf")
        assert reply.status_code == 422
        assert "a.pdf was given up" in reply.json()["sentence"]
        assert tab.desk.sheets == []
        assert (await send_file(user, tab.desk, png(drawn(3)))).status_code == 200
        assert len(tab.desk.sheets) == 1

    read_on_page(trainer, scenario)


def test_what_was_read_is_forgotten_with_the_page(trainer: Trainer) -> None:
    left: list[Desk] = []

    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        await send_file(user, tab.desk, png(drawn(3)))
        left.append(tab.desk)
        page.client.delete()
        assert find_desk(tab.desk.key) is None
        assert tab.desk.sheets == []
        assert not sheets._WAYS

    read_on_page(trainer, scenario)


def test_every_part_has_its_card(trainer: Trainer) -> None:
    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        assert only(user, DrawPad).props["answer"] == only(user, DrawnAnswer).id
        for title in ("Draw", "Answer", "Read a Photo", "Numbers", "From Paper to 28 × 28", "Corrections"):
            await user.should_see(title)
        for button in user.find(kind=ui.button).elements:
            assert button.text or button.props.get("aria-label") or button.props.get("icon")

    read_on_page(trainer, scenario)
