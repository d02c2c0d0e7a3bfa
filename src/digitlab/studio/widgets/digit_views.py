"""Digits as elements: a grid, the answers to them a page at a time, and one as the numbers that it is.

Many digits are one PNG, side by side, encoded off the event loop; the browser cuts it up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from nicegui import ui
from numpy.typing import NDArray

from digitlab.studio.widgets.card import dialog
from digitlab.studio.widgets.controls import Scripted
from digitlab.svg import png_data_uri
from digitlab.text import percent

#: Images on a page, usually: divisible by 2, 3, 4, 6, 8 and 12, so that rows of most widths are full.
PAGE_SIZE = 24


def side_by_side(images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> str:
    """Return uint8 images (n, 28, 28) in one row as a PNG's data URI; empty for none."""
    return png_data_uri(np.concatenate([image.reshape(28, 28) for image in images], axis=1)) if len(images) else ""


@dataclass(frozen=True, slots=True)
class Digit:
    """What stands under an image, and what a screen reader says."""

    text: str
    says: str


class ExampleDigits(Scripted, component="../static/example_digits.js"):
    """A grid of digits: one stop for the Tab key, arrow keys move, a click or Enter opens one.

    ``on_open`` is told the position of the digit that was chosen; ``size_px`` is the width of a digit, at most.
    """

    def __init__(self, name: str, on_open: Callable[[int], Any], *, size_px: int = 56) -> None:
        super().__init__()
        self.digits: tuple[Digit, ...] = ()
        self._props.update({"name": name, "digits": [], "sprite": "", "size": size_px})
        self.on_number("open", lambda at: on_open(at) if 0 <= at < len(self.digits) else None)

    def show(self, digits: Sequence[Digit], sprite: str, *, says: str) -> None:
        """Show digits; ``sprite`` is the data URI of all of them, side by side, and ``says`` what they are."""
        self.digits = tuple(digits)
        self.give(digits=[{"text": digit.text, "says": digit.says} for digit in digits], sprite=sprite, name=says)


class PixelView(Scripted, component="../static/pixel_view.js"):
    """An image as a grid of numbers; the pointer or the arrow keys choose a pixel, and a line tells its value."""

    def __init__(self) -> None:
        super().__init__()
        self._props.update({"pixels": [], "name": "", "width": 28})

    def show(self, image: NDArray[np.uint8], name: str) -> None:
        """Show an image, uint8 (28, 28); ``name`` says what it is."""
        self.give(pixels=image.ravel().tolist(), name=name, width=image.shape[1])


#: Gives the image at a position, uint8 (28, 28), its title and a sentence about it.
Give = Callable[[int], tuple[NDArray[np.uint8], str, str]]


class PixelDialog:
    """The dialog of a tab in which a digit is seen as the numbers that it is, with ways to the one before and after."""

    def __init__(self) -> None:
        self._give: Give | None = None
        self._position = self._n_images = 0
        with dialog("pixel-dialog") as (self._dialog, self._title):
            self._sentence = ui.label().classes("muted").props('aria-live="polite"')
            self._view = PixelView()
            with ui.element("div").classes("toolbar"):
                self._previous = ui.button("Previous", on_click=lambda: self._step(-1)).props("outline")
                self._next = ui.button("Next", on_click=lambda: self._step(1)).props("outline")

    def open(self, give: Give, position: int, n_images: int) -> None:
        """Show the image at a position of ``n_images``, which ``give`` gives."""
        self._give, self._position, self._n_images = give, position, n_images
        self._step(0)
        self._dialog.open()

    def _step(self, by: int) -> None:
        if self._give is None or not 0 <= self._position + by < self._n_images:
            return
        self._position += by
        image, title, sentence = self._give(self._position)
        self._title.set_text(title)
        self._sentence.set_text(sentence)
        self._view.show(image, title)
        self._previous.set_enabled(self._position > 0)
        self._next.set_enabled(self._position + 1 < self._n_images)


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What one model, called ``name`` where there are several, answered: float32 (n, n_classes), rows sum to 1."""

    name: str
    probabilities: NDArray[Any]


class ImageList(Scripted, component="../static/image_list.js"):
    """A paged grid of digits, exactly those that somebody asked for; each opens to all its probabilities.

    ``on_inside`` is told the number of the image with which somebody wants to look inside the network.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        label: str = "Images",
        page_size: int = PAGE_SIZE,
        on_inside: Callable[[int], Any] | None = None,
    ) -> None:
        super().__init__()
        self._names, self._page_size = tuple(names), page_size
        self.page_number = 0
        self._title, self._n_images, self._n_asked = "", 0, 0
        # Gives the items of a page and its sprite.
        self._page_of: Callable[[int], tuple[list[dict[str, Any]], str]] = lambda _: ([], "")
        self._props.update({"name": label, "names": list(names), "size": page_size})
        self._props.update({"title": "", "announced": "", "items": [], "sprite": "", "page": 0, "pages": 0, "count": 0})
        self._props["looks"] = on_inside is not None
        self.on_number("page", self._draw)
        if on_inside is not None:
            self.on_number("inside", on_inside)

    @property
    def title(self) -> str:
        """What is shown."""
        return str(self._props["title"])

    @property
    def shown_numbers(self) -> list[int]:
        """The numbers of the images on the page, in their order."""
        return [item["index"] for item in self._props["items"]]

    def reveal(self) -> None:
        """Scroll as little as needed for the first images to be seen; the focus stays where it is."""
        self.run_method("reveal")

    def set_names(self, names: Sequence[str]) -> None:
        """Call the classes otherwise, from the next drawing on."""
        self._names = tuple(names)
        self._props["names"] = list(names)

    async def show(
        self,
        title: str,
        indices: NDArray[np.intp],
        images: NDArray[np.uint8],
        labels: NDArray[Any],
        answers: Sequence[Answers],
        *,
        numbers: NDArray[Any] | None = None,
        keep_page: bool = False,
    ) -> None:
        """Show the images at ``indices``, in that order, of uint8 (n, 28, 28) with labels and answers in ``n`` rows.

        ``numbers`` is what each image is called, by default its place; ``keep_page`` stays on the page if there is one.
        """
        if not keep_page:
            # What goes on changing while a network learns is not read out again and again.
            self._props["announced"] = title
        self._title, self._n_images = title, len(indices)

        def page_of(page: int) -> tuple[list[dict[str, Any]], str]:
            seen = indices[page * self._page_size : (page + 1) * self._page_size]
            return image_items(seen, labels, answers, self._names, numbers), side_by_side(images[seen])

        self._page_of = page_of
        await self._draw(self.page_number if keep_page else 0)

    async def _draw(self, page: int) -> None:
        title, count = self._title, self._n_images
        n_pages = -(-count // self._page_size)
        page = min(max(page, 0), max(n_pages - 1, 0))
        self._n_asked += 1
        asked = self._n_asked
        items, sprite = await asyncio.to_thread(self._page_of, page)
        # Somebody may have asked for something else while this page was made, or closed the browser.
        if asked == self._n_asked and not self.is_deleted:
            self.page_number = page
            self.give(title=title, items=items, sprite=sprite, page=page, pages=n_pages, count=count)


def image_items(
    indices: NDArray[np.intp],
    labels: NDArray[Any],
    answers: Sequence[Answers],
    names: Sequence[str],
    numbers: NDArray[Any] | None = None,
) -> list[dict[str, Any]]:
    """Return what stands under each image: its number, its label and every model's answer, with all probabilities.

    >>> answers = [Answers("", np.array([[0.25, 0.75]]))]
    >>> item = image_items(np.array([0]), np.array([0]), answers, ("Zero", "One"))[0]
    >>> item["label"], item["answers"][0]["text"], item["answers"][0]["of_label"]
    ('Zero', 'One 75.0 %', '25.0 %')
    """
    items = []
    for index in indices.tolist():
        label, number = int(labels[index]), index if numbers is None else int(numbers[index])
        given: list[dict[str, Any]] = []
        for model in answers:
            row = model.probabilities[index]
            predicted, parts = int(row.argmax()), [percent(min(float(p), 1.0), 1) for p in row]
            given.append(
                {
                    "model": model.name,
                    "text": f"{names[predicted]} {parts[predicted]}",
                    "right": predicted == label,
                    "of_label": parts[label],
                    "probabilities": [round(float(p), 4) for p in row],
                    "parts": parts,
                }
            )
        told = "; ".join(f"{a['model'] + ' ' if a['model'] else ''}answered {a['text']}" for a in given)
        says = f"image {number}, is {names[label]}; {told}"
        items.append({"index": number, "label": names[label], "says": says, "answers": given})
    return items
