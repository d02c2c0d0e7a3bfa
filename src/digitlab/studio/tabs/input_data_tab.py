"""The tab Input Data: digits with their labels, how many of each, their mean images, and where they come from."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import lru_cache
from html import escape
from typing import Any

import numpy as np
from nicegui import ui
from numpy.typing import NDArray

from digitlab.data.mnist import Split
from digitlab.studio.page import Page
from digitlab.studio.widgets.card import Exports, Rows, card
from digitlab.studio.widgets.digit_views import Digit, ExampleDigits, PixelDialog, side_by_side
from digitlab.studio.widgets.tables import bar_table
from digitlab.svg import Bar, bar_svg
from digitlab.text import percent
from digitlab.values import CLASS_NAMES

#: As many as the codelab shows, and how many a grid holds at most.
N_AT_FIRST, N_AT_MOST = 20, 200
_LARGEST_SEED = 2**31 - 1
_ALL = -1
_LICENCE = "https://creativecommons.org/licenses/by-sa/3.0/"


class InputDataTab:
    """What the tab shows: a split, a class or all, a seed, and a number of examples."""

    def __init__(self, page: Page) -> None:
        self.page, self.names = page, page.data.class_names
        self.splits = {split.name: split for split in (page.data.training, page.data.validation, page.data.test)}
        self.split: Split = page.data.training
        self.label: int | None = None
        self.seed, self.n_examples = page.config.seed, N_AT_FIRST
        self.shown: NDArray[np.intp] = np.zeros(0, np.intp)
        self.dialog = PixelDialog()
        with ui.element("div").classes("toolbar split-choice"):
            names = {name: f"{name.capitalize()} {len(split):,}" for name, split in self.splits.items()}
            ui.toggle(names, value=self.split.name, on_change=self.choose_split).props(
                'unelevated no-caps toggle-color=chosen toggle-text-color=chosen role="group" aria-label="Which images"'
            ).classes("segmented")
            ui.label(
                "Training images are learned from, validation images are watched, test images are kept for the end."
            ).classes("muted")
        with card("Input Data Examples", help="images", classes="examples-card"):
            self.build_examples()
        with ui.element("div").classes("grid-2"):
            counts = Exports(csv=self.counts_rows, json=self.counts_document, svg=self.counts_svg)
            with card("Class Counts", help="class_counts", exports=counts):
                self.counts = ui.html("", sanitize=False)
            with card("Mean Image of Each Class", help="mean_image"):
                self.means_text = ui.label().classes("muted")
                self.means = ExampleDigits(
                    "Mean images", lambda i: self.dialog.open(self.mean, i, len(self.names)), size_px=96
                )
        with card("About the Data", help="data_source"):
            ui.html(_facts(page), sanitize=False)
        ui.timer(0, self.draw_all, once=True)

    def build_examples(self) -> None:
        with ui.element("div").classes("toolbar"):
            every = "All digits" if self.names == CLASS_NAMES else "All classes"
            classes = {_ALL: every} | dict(enumerate(self.names))
            ui.select(classes, value=_ALL, label="Class", on_change=self.choose_class).classes("field-class")
            self.seed_field = ui.number(
                "Seed", value=self.seed, min=0, max=_LARGEST_SEED, precision=0, on_change=self.choose_seed
            ).classes("field-seed")
            ui.button("Shuffle again", icon="shuffle", on_click=self.shuffle).props("outline")
        self.grid = ExampleDigits("Examples", lambda i: self.dialog.open(self.example, i, len(self.shown)))
        with ui.element("div").classes("toolbar"):
            self.more_button = ui.button(f"{N_AT_FIRST} more", on_click=self.more).props("outline")
            self.shown_text = ui.label().classes("muted num").props('role="status"')

    # ---- what people choose ----

    async def choose_split(self, event: Any) -> None:
        self.split, self.n_examples = self.splits.get(event.value, self.split), N_AT_FIRST
        await self.draw_all()

    async def choose_class(self, event: Any) -> None:
        self.label, self.n_examples = None if event.value == _ALL else event.value, N_AT_FIRST
        await self.draw_examples()

    async def choose_seed(self, event: Any) -> None:
        # An empty field, or a number that is no seed, is somebody in the middle of typing.
        if event.value is not None and 0 <= event.value <= _LARGEST_SEED and event.value == int(event.value):
            self.seed = int(event.value)
            await self.draw_examples()

    def shuffle(self) -> None:
        self.seed_field.set_value((self.seed + 1) % (_LARGEST_SEED + 1))

    async def more(self) -> None:
        self.n_examples = min(self.n_examples + N_AT_FIRST, N_AT_MOST)
        await self.draw_examples()

    # ---- drawing, off the event loop where it takes time ----

    async def draw_all(self) -> None:
        await self.draw_examples()
        split = self.split
        counts, sprite = await asyncio.to_thread(
            lambda: (class_counts(split, len(self.names)), side_by_side(mean_images(split, len(self.names))))
        )
        if split is not self.split or not self.page.is_open:
            return
        self.counts.set_content(_counts_table(split, counts, self.names))
        digits = [Digit(name, f"Mean of all {name}") for name in self.names]
        self.means.show(digits, sprite, says=f"Mean {split.name} images")
        self.means_text.set_text(
            f"All {len(split):,} {split.name} images, a class at a time, laid over each other: bright where nearly "
            "everybody has ink, a blur where hands differ."
        )

    async def draw_examples(self) -> None:
        wanted = split, n, seed, label = self.split, self.n_examples, self.seed, self.label

        def drawn() -> tuple[NDArray[np.intp], str]:
            chosen = draw_examples(split, n, seed, label)
            return chosen, side_by_side(split.images[chosen])

        chosen, sprite = await asyncio.to_thread(drawn)
        if wanted != (self.split, self.n_examples, self.seed, self.label) or not self.page.is_open:
            return
        self.shown = chosen
        kind = "" if label is None else f", class {self.names[label]}"
        pairs = zip(split.labels[chosen].tolist(), chosen.tolist(), strict=True)
        is_digits = self.names == CLASS_NAMES
        digits = [
            Digit(str(label) if is_digits else self.names[label], f"{self.names[label]}, image {i:,}")
            for label, i in pairs
        ]
        self.grid.show(digits, sprite, says=f"Examples of {split.name} images{kind}")
        n_all = len(split) if label is None else int(class_counts(split, len(self.names))[label])
        self.shown_text.set_text(f"{len(chosen)} of {n_all:,} {split.name} images{kind}, drawn with seed {seed}")
        self.more_button.set_enabled(len(chosen) < min(n_all, N_AT_MOST))

    # ---- what is given away ----

    def example(self, position: int) -> tuple[NDArray[np.uint8], str, str]:
        index = int(self.shown[position])
        label, image = self.names[int(self.split.labels[index])], self.split.images[index]
        inked = int((image > 0).sum())
        return image, f"{label}: {self.split.name} image {index:,}", f"{inked} of {image.size} pixels have ink."

    def mean(self, position: int) -> tuple[NDArray[np.uint8], str, str]:
        n, title = int(self.class_counts()[position]), f"Mean of all {self.names[position]}"
        return mean_images(self.split, len(self.names))[position], title, f"The mean of {n:,} {self.split.name} images."

    def counts_rows(self) -> Rows:
        counts = self.class_counts()
        rows = [(name, int(n), int(n) / max(1, len(self.split))) for name, n in zip(self.names, counts, strict=True)]
        return ("Class", "# Samples", "Share"), rows

    def counts_document(self) -> dict[str, Any]:
        counts = dict(zip(self.names, self.class_counts().tolist(), strict=True))
        source, split = self.page.data.source, self.split
        return {"source": source, "split": split.name, "n_images": len(split), "counts": counts}

    def counts_svg(self) -> str:
        title = f"Class counts, {len(self.split):,} {self.split.name} images"
        return bar_svg(title, _count_bars(self.class_counts(), self.names))

    def class_counts(self) -> NDArray[np.int64]:
        """Return how many images of each class the split has that is shown."""
        return class_counts(self.split, len(self.names))


def _count_bars(counts: NDArray[np.int64], names: Sequence[str]) -> list[tuple[str, Bar]]:
    longest = max(1, int(counts.max()))
    return [(name, Bar(f"{n:,}", n / longest)) for name, n in zip(names, counts.tolist(), strict=True)]


def _counts_table(split: Split, counts: NDArray[np.int64], names: Sequence[str]) -> str:
    total = max(1, int(counts.sum()))
    bars = zip(_count_bars(counts, names), counts.tolist(), strict=True)
    rows = [(name, (bar, percent(n / total, 1))) for (name, bar), n in bars]
    return bar_table(f"Number of {split.name} images of each class", ("Class", "# Samples", "Share"), rows)


def _facts(page: Page) -> str:
    data = page.data
    facts = [("Source", escape(data.source))]
    if page.trainer.config.data is None:
        link = f'<a href="{_LICENCE}" target="_blank" rel="noopener noreferrer">Creative Commons '
        facts = [
            ("Title", "The MNIST database of handwritten digits"),
            ("Authors", "Yann LeCun and Corinna Cortes"),
            ("Licence", f"{link}Attribution-ShareAlike 3.0</a>; files recompressed, bytes unchanged"),
            ("Here", "In the package; nothing is fetched from a network"),
        ]
    n_splits = (len(data.training), len(data.validation), len(data.test))
    facts += [("Made of it", escape(" ".join(data.notes)))] if data.notes else []
    facts += [
        ("Images", "{:,} training, {:,} validation, {:,} test; 28 × 28 pixels, 0 to 255".format(*n_splits)),
        ("Fingerprint", f'<code title="{escape(data.digest)}">{escape(data.digest[:16])}</code>'),
    ]
    return f'<dl class="facts">{"".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts)}</dl>'


# Splits are few and never change, and several pages ask for the same: the last few answers are kept.
@lru_cache(maxsize=6)
def class_counts(split: Split, n_classes: int = len(CLASS_NAMES)) -> NDArray[np.int64]:
    """Return how many images of each class there are, int64 (n_classes,)."""
    counts = np.bincount(split.labels, minlength=n_classes).astype(np.int64)
    counts.setflags(write=False)
    return counts


@lru_cache(maxsize=6)
def mean_images(split: Split, n_classes: int = len(CLASS_NAMES)) -> NDArray[np.uint8]:
    """Return the mean image of each class, uint8 (n_classes, 28, 28), 0-255; black where a class has no image."""
    means = np.zeros((n_classes, *split.images.shape[1:]), np.uint8)
    for label in range(n_classes):
        chosen = np.flatnonzero(split.labels == label)
        if chosen.size:
            sums = np.zeros(split.images.shape[1:], np.int64)
            # In parts, because a class of a mapped set of any size need not fit into memory.
            for part in np.array_split(chosen, -(-chosen.size // 4096)):
                sums += split.images[part].sum(axis=0, dtype=np.int64)
            means[label] = np.rint(sums / chosen.size)
    means.setflags(write=False)
    return means


def draw_examples(split: Split, n: int, seed: int, label: int | None = None) -> NDArray[np.intp]:
    """Draw at most ``n`` images at random, without replacement; intp (m,), positions in the split.

    For a seed, fewer are the first of more; so "more" adds to what is seen and changes nothing.
    """
    among = np.arange(len(split)) if label is None else np.flatnonzero(split.labels == label)
    return np.random.default_rng(seed).permutation(among)[:n]
