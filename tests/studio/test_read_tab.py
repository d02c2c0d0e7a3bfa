"""The tab Read: drawings and files as a browser sends them, what is shown of them, and what is kept."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from nicegui import ui
from PIL import Image, ImageDraw
from steered import SMALL, wait_for_state
from visiting import User, only, until, visit

from digitlab.engine.sequential import Sequential
from digitlab.reading.corrections import NOT_A_DIGIT_LABEL, Corrections
from digitlab.runs.listing import list_runs
from digitlab.studio.lesson import LessonLink
from digitlab.studio.page import Page
from digitlab.studio.reading import desk as desks
from digitlab.studio.reading import learning, routes
from digitlab.studio.reading.corrections_card import CorrectionList
from digitlab.studio.reading.desk import Desk, find_desk
from digitlab.studio.reading.elements import Corrected, DrawnAnswer, DrawPad, PhotoSource, PhotoView
from digitlab.studio.reading.example import example_page
from digitlab.studio.reading.numbers_card import number_rows
from digitlab.studio.reading.readers import SHIPPED, TRAINED, of_run
from digitlab.studio.reading.steps_view import StepsView
from digitlab.studio.tabs.read import ReadTab
from digitlab.studio.trainer import Trainer
from digitlab.training.fine_tuning import FineTuningOptions

Scenario = Callable[[User, ReadTab, Page], Awaitable[None]]


def read_on_page(trainer: Trainer, scenario: Scenario) -> None:
    built: list[tuple[ReadTab, Page]] = []

    def root() -> None:
        routes.add_read_routes()
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
        await until(lambda: len(steps_of(user)) == 6)

    read_on_page(trainer, scenario)


def test_a_blank_sheet_holds_no_digit(trainer: Trainer) -> None:
    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        answer = (await send_drawing(user, tab.desk, drawn())).json()
        assert (answer["text"], answer["says"], answer["marks"]) == ("", "No digit here.", [])
        assert answer["probabilities"] == [0.0] * 10 + [1.0]

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
    content, numbers = example_page(trainer.data.test, seed=1)

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
        assert any(mark["value"] is None and mark["says"].startswith("Refused. It is") for mark in view.props["marks"])
        await user.should_see("refused")
        columns, rows = number_rows(tab.desk.sheets)
        assert [row[columns.index("digits")] for row in rows] == sheet.reading.text.split()
        picture = await user.http_client.get(view.props["src"])
        assert Image.open(io.BytesIO(picture.content)).size == (900, 560)

    read_on_page(trainer, scenario)


def spans(sheet: Any) -> list[tuple[int, int]]:
    ends = np.cumsum([0, *(len(number.value) for number in sheet.reading.numbers)]).tolist()
    return list(pairwise(ends))


def test_a_page_on_its_side_is_shown_upright(trainer: Trainer) -> None:
    content, _ = example_page(trainer.data.test, seed=1)
    turned = np.rot90(np.asarray(Image.open(io.BytesIO(content))))

    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        await send_file(user, tab.desk, png(turned))
        assert tab.desk.sheets[0].reading.turned == 90
        picture = await user.http_client.get(only(user, PhotoView).props["src"])
        assert Image.open(io.BytesIO(picture.content)).size == (900, 560)
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
    monkeypatch.setattr(routes, "MOST_BYTES", 1000)

    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        async def endless() -> Any:
            for _ in range(100):
                yield b"\0" * 100

        for content in (b"\0" * 2000, endless()):
            reply = await user.http_client.post(f"/read/{tab.desk.key}/file", content=content)
            assert reply.status_code == 422
            assert "Save it smaller first." in reply.json()["sentence"]

    read_on_page(trainer, scenario)


def test_pages_of_a_document_are_shown_one_by_one_and_no_more_than_are_kept(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desks, "MOST_SHEETS", 2)
    pages = [Image.fromarray(drawn(digit)) for digit in (1, 3, 7)]
    file = io.BytesIO()
    pages[0].save(file, "PDF", save_all=True, append_images=pages[1:])

    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        reply = await send_file(user, tab.desk, file.getvalue(), "three.pdf")
        assert reply.json()["sentence"].startswith("The first 2 pages of three.pdf are read here")
        assert [sheet.title for sheet in tab.desk.sheets] == ["three.pdf", "three.pdf, page 2"]
        await tab.desk.show(1)
        assert only(user, PhotoView).props["name"] == "three.pdf, page 2"
        await send_file(user, tab.desk, png(drawn(7)), "new.png")
        assert [sheet.title for sheet in tab.desk.sheets] == ["three.pdf, page 2", "new.png"]
        tab.desk.clear()
        assert not tab._photos.view.visible

    read_on_page(trainer, scenario)


def test_an_example_is_shown_to_who_has_no_photo(trainer: Trainer) -> None:
    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        for n in (1, 2):
            user.find(kind=PhotoSource).trigger("example")
            await until(lambda n=n: len(tab.desk.sheets) == n)
        assert tab.desk.sheets[0].reading.text != tab.desk.sheets[1].reading.text

    read_on_page(trainer, scenario)


# ---- steps and networks ----


def test_switching_a_step_off_changes_what_the_network_sees(trainer: Trainer) -> None:
    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        await send_drawing(user, tab.desk, drawn(3))
        await until(lambda: steps_of(user))
        assert [step["name"] for step in steps_of(user)] == [
            "original", "grey", "flat-light", "ink", "glyphs", "frames",
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
        await until(lambda: tab.desk.drawn.reading.text != "3")
        for name in ("center", "invert"):
            user.find(kind=StepsView).trigger("switch", {"name": name, "on": True})
        await until(lambda: tab.desk.drawn.reading.text == "3")

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
        model = Sequential.from_architecture(trainer.architecture, trainer.weights_at(None)[1])
        expected = model.predict(sheet.marks[0].image[None].astype(np.float32) / 255)[0]
        if sheet.marks[0].to_page()["value"] is not None:
            assert max(sheet.marks[0].probabilities[:10]) == pytest.approx(float(expected.max()), abs=0.05)
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
    found = learning.corrections_of(trainer)
    assert found is not None
    assert trainer.out is not None
    assert found.folder == trainer.out.parent / "corrections"
    return found


def test_a_corrected_digit_is_kept_as_the_network_saw_it(trainer: Trainer, kept: Corrections) -> None:
    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        answer = (await send_drawing(user, tab.desk, drawn(3))).json()
        image = tab.desk.drawn.marks[0].image
        user.find(kind=DrawnAnswer).trigger("correct", {"serial": answer["serial"], "mark": 0, "label": 5})
        await until(lambda: len(kept) == 1)
        (one,) = kept.entries()
        assert one.label == 5
        np.testing.assert_array_equal(one.image, image)
        await user.should_see("1 correction kept.")
        assert only(user, CorrectionList).props["items"] == [{"number": 0, "label": 5}]
        await send_file(user, tab.desk, example_page(trainer.data.test)[0])
        serial, n = tab.desk.shown.serial, len(tab.desk.shown.marks)
        user.find(kind=PhotoView).trigger("correct", {"serial": serial, "mark": n - 1, "label": NOT_A_DIGIT_LABEL})
        await user.should_see("2 corrections kept, 1 of them not a digit.")
        user.find(kind=CorrectionList).trigger("remove", 0)
        await until(lambda: [c.label for c in kept.entries()] == [NOT_A_DIGIT_LABEL])

    read_on_page(trainer, scenario)


@pytest.mark.parametrize("change", [{"serial": -1}, {"mark": 1}, {"mark": "0"}, {"label": 11}, {"label": True}])
def test_what_is_said_of_another_sheet_or_is_no_correction_is_not_kept(
    trainer: Trainer, kept: Corrections, change: dict[str, Any]
) -> None:
    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        sheet = await tab.desk.take_drawing(drawn(3))
        given = {"serial": sheet.serial, "mark": 0, "label": 4} | change
        what = Corrected.from_page(given)
        assert what is None or what.mark_of(sheet) is None
        user.find(kind=DrawnAnswer).trigger("correct", given)
        user.find(kind=DrawnAnswer).trigger("correct", {"serial": sheet.serial, "mark": 0, "label": 9})
        await until(lambda: len(kept) == 1)
        assert kept.entries()[0].label == 9

    read_on_page(trainer, scenario)


def test_a_network_learns_from_them_becomes_a_run_and_can_be_left_again(trainer: Trainer, kept: Corrections) -> None:
    trainer.start(SMALL)
    wait_for_state(trainer, "finished")
    before = {info.name for info in list_runs(trainer.out or "")}

    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        learner = learning.learning_of(trainer)
        learner.options = FineTuningOptions(replay_images=100, epochs=1)
        sheet = await tab.desk.take_drawing(drawn(3))
        user.find(kind=DrawnAnswer).trigger("correct", {"serial": sheet.serial, "mark": 0, "label": 5})
        await until(lambda: tab._kept._learn.enabled)
        await tab.desk.choose(TRAINED)
        user.find("Learn from my corrections").click()
        await until(lambda: learner.choice)
        await until(lambda: tab.desk.choice == learner.choice)
        (new,) = {info.name for info in list_runs(trainer.out or "")} - before
        assert learner.choice == of_run(new)
        assert learner.tuned is not None
        await user.should_see("Go back to the network trained here")
        assert f"{learner.tuned.right_after} of 1" in tab._kept._result.content
        user.find("Go back to the network trained here").click()
        await until(lambda: tab.desk.choice == TRAINED)

    read_on_page(trainer, scenario)


def test_learning_that_is_cancelled_or_fails_leaves_nothing(trainer: Trainer, kept: Corrections) -> None:
    learner = learning.learning_of(trainer)
    thread = learner.start(SHIPPED)
    thread.join()
    assert learner.message == "There is no correction to learn from; correct a wrong answer first."
    kept.add(trainer.data.test.images[0], 1)
    learner._note = lambda step, n_steps: (learner.cancel(), learning.Learning._note(learner, step, n_steps))[0]  # type: ignore[method-assign]
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
        user.find(kind=DrawnAnswer).trigger("correct", {"serial": sheet.serial, "mark": 0, "label": 5})

    read_on_page(without, scenario)
    without.close()


# ---- the page as a whole ----


def test_what_was_read_is_forgotten_with_the_page(trainer: Trainer) -> None:
    left: list[Desk] = []

    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        await send_file(user, tab.desk, png(drawn(3)))
        left.append(tab.desk)
        page.client.delete()
        assert find_desk(tab.desk.key) is None
        assert tab.desk.sheets == []

    read_on_page(trainer, scenario)


def test_every_part_has_its_card(trainer: Trainer) -> None:
    async def scenario(user: User, tab: ReadTab, page: Page) -> None:
        assert only(user, DrawPad).props["answer"] == only(user, DrawnAnswer).id
        for title in ("Draw", "Answer", "Read a photo", "Numbers", "From paper to 28 × 28", "Corrections"):
            await user.should_see(title)
        for button in user.find(kind=ui.button).elements:
            assert button.text or button.props.get("aria-label") or button.props.get("icon")

    read_on_page(trainer, scenario)
