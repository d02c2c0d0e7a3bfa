"""Images with the answers to them, a page at a time: exactly those that somebody asked for.

A page is one PNG with its digits side by side, encoded off the event loop; the browser cuts it up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from nicegui import events, ui
from numpy.typing import NDArray

from digitlab.evaluation.svg import png_data_uri
from digitlab.text import percent

__all__ = ["PAGE_SIZE", "Answers", "ImageList", "image_items"]

#: Images on a page: divisible by 2, 3, 4, 6, 8 and 12, so that rows of most widths are full.
PAGE_SIZE = 24


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What one model, called ``name`` where there are several, answered: float32 (n, n_classes), rows sum to 1."""

    name: str
    probabilities: NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class _Content:
    title: str
    indices: NDArray[np.intp]
    images: NDArray[np.uint8]
    labels: NDArray[Any]
    answers: tuple[Answers, ...]
    numbers: NDArray[Any]


class ImageList(ui.element, component="../static/image_list.js"):
    """A paged grid of digits; each opens to all its probabilities."""

    def __init__(self, names: Sequence[str], *, label: str = "Images") -> None:
        super().__init__()
        self._names = tuple(names)
        self.page_number = 0
        self._content: _Content | None = None
        self._asked = 0
        self._props.update({"name": label, "names": list(names)})
        self._props.update(
            {
                "title": "",
                "announced": "",
                "items": [],
                "sprite": "",
                "page": 0,
                "pages": 0,
                "count": 0,
                "size": PAGE_SIZE,
            }
        )
        self.on("page", self._turn)

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
        called = np.arange(len(images)) if numbers is None else numbers
        self._content = _Content(title, indices, images, labels, tuple(answers), called)
        await self._draw(self.page_number if keep_page else 0)

    async def _turn(self, event: events.GenericEventArguments) -> None:
        if type(event.args) is int:
            await self._draw(event.args)

    async def _draw(self, page: int) -> None:
        content = self._content
        if content is None:
            return
        n_pages = -(-len(content.indices) // PAGE_SIZE)
        page = min(max(page, 0), max(n_pages - 1, 0))
        self._asked += 1
        asked = self._asked
        items, sprite = await asyncio.to_thread(_page_of, content, page, self._names)
        # Somebody may have asked for something else while this page was made, or closed the browser.
        if asked != self._asked or self.is_deleted:
            return
        self.page_number = page
        self._props.update(
            {
                "title": content.title,
                "items": items,
                "sprite": sprite,
                "page": page,
                "pages": n_pages,
                "count": len(content.indices),
            }
        )
        self.update()


def image_items(
    indices: NDArray[np.intp],
    labels: NDArray[Any],
    answers: Sequence[Answers],
    names: Sequence[str],
    numbers: NDArray[Any] | None = None,
) -> list[dict[str, Any]]:
    """Return what stands under each image: its number, its label and every model's answer, with all probabilities.

    Examples
    --------
    >>> answers = [Answers("", np.array([[0.25, 0.75]]))]
    >>> item = image_items(np.array([0]), np.array([0]), answers, ("Zero", "One"))[0]
    >>> item["label"], item["answers"][0]["text"], item["answers"][0]["of_label"]
    ('Zero', 'One 75.0 %', '25.0 %')
    """
    items = []
    for index in indices.tolist():
        label = int(labels[index])
        number = index if numbers is None else int(numbers[index])
        given: list[dict[str, Any]] = []
        for model in answers:
            row = model.probabilities[index]
            predicted = int(row.argmax())
            given.append(
                {
                    "model": model.name,
                    "text": f"{names[predicted]} {percent(min(float(row[predicted]), 1.0), 1)}",
                    "right": predicted == label,
                    "of_label": percent(min(float(row[label]), 1.0), 1),
                    "probabilities": [round(float(p), 4) for p in row],
                    "parts": [percent(min(float(p), 1.0), 1) for p in row],
                }
            )
        told = "; ".join(f"{a['model'] + ' ' if a['model'] else ''}answered {a['text']}" for a in given)
        items.append(
            {
                "index": number,
                "label": names[label],
                "says": f"image {number}, is {names[label]}; {told}",
                "answers": given,
            }
        )
    return items


def _page_of(content: _Content, page: int, names: Sequence[str]) -> tuple[list[dict[str, Any]], str]:
    indices = content.indices[page * PAGE_SIZE : (page + 1) * PAGE_SIZE]
    if not len(indices):
        return [], ""
    # uint8 (28, 28 m): the digits side by side.
    sprite = np.concatenate(list(content.images[indices].reshape(-1, 28, 28)), axis=1)
    return image_items(indices, content.labels, content.answers, names, content.numbers), png_data_uri(sprite)
