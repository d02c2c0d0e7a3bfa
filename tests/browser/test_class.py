"""A class in real browsers: the link, rooms, watching and showing, by keyboard, at a phone's width, and its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import Studio

pytestmark = pytest.mark.browser

TOKEN = "a-token-of-good-length"


@pytest.fixture(scope="module")
def studio(serve: Callable[..., Studio]) -> Studio:
    return serve(token=TOKEN)


@pytest.fixture
def teacher(studio: Studio, visit: Callable[..., Any]) -> Any:
    page = visit(f"?token={TOKEN}&tab=training")
    page.get_by_role("button", name="Class", exact=True).click()
    page.locator(".class-link").get_by_text("key=").wait_for()
    return page


def come_in(teacher: Any, visit: Callable[..., Any], name: str, **settings: Any) -> Any:
    pupil = visit(at=teacher.locator(".class-link").text_content(), **settings)
    field = pupil.get_by_label("Your name")
    field.fill(name)
    field.press("Enter")
    teacher.get_by_role("button", name=f"Watch {name}").wait_for()
    return pupil


def no_wider(page: Any) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


def test_pupils_train_in_their_rooms_and_all_watch_the_one_that_is_shown(
    teacher: Any, visit: Callable[..., Any]
) -> None:
    mia = come_in(teacher, visit, "Mia <i>", width=390, height=800)
    ben = come_in(teacher, visit, "Ben")
    assert mia.url.endswith("/class?") or "key=" not in mia.url
    ben.get_by_role("button", name="Start", exact=True).click()
    ben.get_by_text("of all 10,000 test images").wait_for()
    row = teacher.get_by_role("row").filter(has_text="Ben")
    row.get_by_text("110/110").wait_for()
    row.get_by_text("90.83").wait_for()
    mia.locator("#tab-training").click()
    mia.get_by_text("Batch 0 of 110").wait_for()
    for page in (mia, teacher):
        assert no_wider(page)

    teacher.get_by_role("button", name="Show Ben to all").click()
    over = mia.get_by_role("dialog", name="You watch: Ben")
    over.locator(".progress-text").get_by_text("Batch 110 of 110").wait_for()
    assert no_wider(mia)
    ben.get_by_text("Everyone watches your room.").wait_for()
    ben.locator("#tab-network").click()
    over.locator(".network-card").wait_for()
    for name in ("Start", "Stop", "Reset", "Speed"):
        assert over.get_by_role("button", name=name, exact=True).count() == 0
    mia.keyboard.press("Escape")
    over.wait_for(state="hidden")
    mia.get_by_role("button", name="Watch Ben").press("Enter")
    over.wait_for()
    teacher.get_by_role("button", name="Stop showing").last.click()
    over.wait_for(state="hidden")
    mia.get_by_role("button", name="Watch the teacher").wait_for()

    ben.reload()
    ben.get_by_text("of all 10,000 test images").wait_for()
    assert ben.get_by_label("Your name").input_value() == "Ben"


def test_everyone_begins_at_the_lesson_and_the_end_is_the_end(
    studio: Studio, teacher: Any, visit: Callable[..., Any]
) -> None:
    # What the browser says of a page that is refused.
    pupil = come_in(teacher, visit, "Zoë", expect=("401",))
    assert pupil.request.get(studio.address).status == 401
    teacher.keyboard.press("Escape")
    teacher.get_by_label("Epochs").fill("3")
    teacher.wait_for_function("location.search.includes('epochs=3')")
    teacher.get_by_role("button", name="Class", exact=True).press("Enter")
    teacher.get_by_role("button", name="Start everyone at this lesson").press("Enter")
    teacher.get_by_text("The lesson stands on").wait_for()
    pupil.wait_for_function("document.querySelector('[aria-label=Epochs]')?.value === '3'")
    pupil.wait_for_function("location.search.includes('epochs=3')")

    teacher.get_by_role("button", name="End the class").click()
    teacher.get_by_role("button", name="End it").click()
    pupil.get_by_text("This class asks for its key").wait_for()
    assert pupil.request.get(pupil.url).status == 401


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_of_the_class_can_be_read(
    teacher: Any, visit: Callable[..., Any], least_contrast: Callable[[Any], float], scheme: str
) -> None:
    pupil = come_in(teacher, visit, scheme, color_scheme=scheme)
    for words in (".class-told", ".class-bar .command"):
        assert least_contrast(pupil.locator(words).filter(visible=True)) >= 4.5
    pupil.get_by_role("button", name="Watch the teacher").click()
    pupil.get_by_role("dialog").wait_for()
    assert least_contrast(pupil.locator(".watch-head :is(.watch-title, .muted, .command)")) >= 4.5
