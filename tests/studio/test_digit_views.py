from __future__ import annotations

import asyncio
import io
from base64 import b64decode
from typing import Any

import numpy as np
from PIL import Image

from digitlab.studio.widgets.digit_views import PAGE_SIZE, Answers, ImageList, image_items
from digitlab.values import CLASS_NAMES
from tests.studio.visiting import User, only, until, visit

N = 60
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (N, 28, 28), dtype=np.uint8)
LABELS = RANDOM.integers(0, 10, N)
ANSWERS = [Answers("", RANDOM.dirichlet(np.ones(10), N).astype(np.float32))]


def sprite_of(element: ImageList) -> np.ndarray:
    """Return the digits that the browser gets, cut up."""
    png = b64decode(element.props["sprite"].removeprefix("data:image/png;base64,"))
    pixels = np.asarray(Image.open(io.BytesIO(png)))
    return np.stack(np.split(pixels, pixels.shape[1] // 28, axis=1))


def show(element: ImageList, indices: Any, **options: Any) -> Any:
    return element.show("some images", np.array(indices, dtype=np.intp), IMAGES, LABELS, ANSWERS, **options)


def a_list() -> None:
    ImageList(CLASS_NAMES)


def test_page_shows_exactly_the_asked_images_in_their_order() -> None:
    async def scenario(user: User) -> None:
        element = only(user, ImageList)
        chosen = [7, 3, 59, 0]
        await show(element, chosen)
        assert element.shown_numbers == chosen
        np.testing.assert_array_equal(sprite_of(element), IMAGES[chosen])

    visit(a_list, scenario)


def test_pages_together_are_all_images_and_each_fits_its_picture() -> None:
    async def scenario(user: User) -> None:
        element, seen = only(user, ImageList), []
        await show(element, range(N))
        for page in range(element.props["pages"]):
            user.find(kind=ImageList).trigger("page", page)
            await until(lambda page=page: element.page_number == page)
            seen += element.shown_numbers
            np.testing.assert_array_equal(sprite_of(element), IMAGES[element.shown_numbers])
            assert len(element.shown_numbers) <= PAGE_SIZE
        assert seen == list(range(N))

    visit(a_list, scenario)


def test_page_beyond_the_last_is_the_last_and_nonsense_is_none() -> None:
    async def scenario(user: User) -> None:
        element = only(user, ImageList)
        await show(element, range(N))
        for nonsense in ("2", None, 1.5, {"page": 1}):
            user.find(kind=ImageList).trigger("page", nonsense)
        user.find(kind=ImageList).trigger("page", 10**9)
        await until(lambda: element.page_number == element.props["pages"] - 1)
        assert element.shown_numbers == list(range(48, 60))

    visit(a_list, scenario)


def test_images_that_become_fewer_keep_the_page_that_there_still_is() -> None:
    async def scenario(user: User) -> None:
        element = only(user, ImageList)
        await show(element, range(N))
        user.find(kind=ImageList).trigger("page", 2)
        await until(lambda: element.page_number == 2)
        await show(element, range(30), keep_page=True)
        assert element.page_number == 1
        await show(element, range(30))
        assert element.page_number == 0

    visit(a_list, scenario)


def test_no_image_is_an_empty_page() -> None:
    async def scenario(user: User) -> None:
        element = only(user, ImageList)
        await show(element, [])
        assert (element.shown_numbers, element.props["pages"], element.props["sprite"]) == ([], 0, "")

    visit(a_list, scenario)


def test_last_of_two_questions_is_answered() -> None:
    async def scenario(user: User) -> None:
        element = only(user, ImageList)
        await asyncio.gather(show(element, range(N)), show(element, [5]))
        assert element.shown_numbers == [5]

    visit(a_list, scenario)


def test_item_tells_every_probability_and_the_number_of_the_image() -> None:
    item = image_items(np.array([4]), LABELS, ANSWERS, CLASS_NAMES, np.arange(1000, 1000 + N))[0]
    row = ANSWERS[0].probabilities[4]
    given = item["answers"][0]
    assert item["index"] == 1004
    assert item["label"] == CLASS_NAMES[LABELS[4]]
    np.testing.assert_allclose(given["probabilities"], row, atol=5e-5)
    assert given["right"] == (row.argmax() == LABELS[4])
    assert given["text"] == f"{CLASS_NAMES[row.argmax()]} {100 * row.max():.1f} %"


def test_item_of_two_models_tells_both_answers() -> None:
    both = [Answers("A", ANSWERS[0].probabilities), Answers("B", ANSWERS[0].probabilities[::-1].copy())]
    item = image_items(np.array([1]), LABELS, both, CLASS_NAMES)[0]
    assert [given["model"] for given in item["answers"]] == ["A", "B"]
    assert "A answered" in item["says"]
    assert "B answered" in item["says"]
