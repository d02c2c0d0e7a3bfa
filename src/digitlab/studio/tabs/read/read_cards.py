"""The cards of the tab: photos, the numbers that stand on them, and corrections with what learns from them."""

from __future__ import annotations

import asyncio
import io
from collections import Counter
from collections.abc import Callable, Iterator
from html import escape
from typing import Any

import numpy as np
from nicegui import events, ui
from PIL import Image

from digitlab.errors import DigitlabError, InputError
from digitlab.evaluation.svg import png_data_uri
from digitlab.reading.reading import REASONS, Box, Number
from digitlab.reading.results_file import safe_cell
from digitlab.studio.tabs.read.read_desk import PROCESSES, Desk
from digitlab.studio.tabs.read.read_elements import Correct, NumbersTable, PhotoSource, PhotoView
from digitlab.studio.tabs.read.readers import corrections_of, learning_of
from digitlab.studio.tabs.read.sheet import Sheet, overlay
from digitlab.studio.tabs.training.commands import Command, ProgressLine
from digitlab.studio.widgets.card import Exports, Rows, card
from digitlab.text import percent
from digitlab.training.corrections import NOT_A_DIGIT_LABEL, Correction
from digitlab.training.fine_tuning import Figure, FineTuned
from digitlab.training.pages import compose_page

_EXAMPLE = "example.png"


class PhotoCard:
    """Photos and pages, one of them shown."""

    def __init__(self, desk: Desk, on_correct: Correct, *, keeps: bool) -> None:
        self._desk, self._n_examples = desk, 0
        with card("Read a photo", help="own_photos", classes="photo-card"):
            PhotoSource(desk, self._example)
            self._bar = ui.element("div").classes("toolbar photo-bar")
            with self._bar:
                self._choice = ui.select({}, label="Photo", on_change=self._choose).classes("field-photo")
                ui.button("Put all away", on_click=desk.clear).props("outline")
            self.view = PhotoView(desk, on_correct, self._edit, keeps=keeps)
        self.draw()
        desk.on("photos", self.draw)
        desk.on("corrected", self.draw)

    def draw(self) -> None:
        """Show the photo that is chosen."""
        desk = self._desk
        sheet = desk.shown
        self._bar.set_visibility(sheet is not None)
        self.view.set_visibility(sheet is not None)
        if sheet is not None:
            names = {k: f"{k + 1}. {other.title}" for k, other in enumerate(desk.sheets)}
            self._choice.set_options(names, value=desk.at)
            self.view.show(sheet, desk.at)

    async def _choose(self) -> None:
        at = self._choice.value
        if isinstance(at, int) and at != self._desk.at:
            self._desk.focus(on_drawing=False)
            await self._desk.show(at)

    async def _edit(self, serial: int, kind: str, box: Box | None) -> None:
        desk = self._desk
        sheet = desk.shown
        n_changes = 0 if sheet is None else len(sheet.changes)
        desk.focus(on_drawing=False)
        try:
            await desk.edit(serial, kind, box)
        except DigitlabError as error:
            desk.page.notify(str(error), "error")
            return
        finally:
            self.view.run_method("idle")
        if n_changes and desk.shown is not None and not desk.shown.changes:
            desk.page.notify(
                "The photo was read anew, without your corrections of it. What is kept to learn from stays."
            )

    async def _example(self) -> None:
        desk = self._desk
        seed, self._n_examples = self._n_examples, self._n_examples + 1

        def example() -> bytes:
            file = io.BytesIO()
            Image.fromarray(compose_page(desk.page.data.test, seed=seed).pixels).save(file, "PNG")
            return file.getvalue()

        try:
            await desk.take_file(_EXAMPLE, await asyncio.to_thread(example))
        except DigitlabError as error:
            desk.page.notify(str(error), "error")


_COPY = (
    "() => window.studio.copyText(document.querySelector('.numbers-text').textContent).then((copied) => emit(copied))"
)
_EMPTY = "What stands on a photo is listed here."


class NumbersCard:
    """The numbers of all photos, and as text those of the one that is shown."""

    def __init__(self, desk: Desk, on_correct: Correct) -> None:
        self._desk = desk
        exports = Exports(name="reading", png=self._overlay, csv=self._rows, json=self._records)
        with card("Numbers", help="confidence", exports=exports, classes="numbers-card"):
            self._says = ui.label(_EMPTY).classes("muted").props('role="status"')
            self._text = (
                ui.element("pre").classes("numbers-text num").props('tabindex="0" aria-label="The numbers as text"')
            )
            with self._text:
                self._content = ui.html("", sanitize=False)
            self.table = NumbersTable(on_correct, self._show)
            self._refused = ui.html("", sanitize=False)
            self._copy = ui.button("Copy as text", icon="content_copy").props("outline")
            self._copy.on("click", lambda event: self._copied(event.args), js_handler=_COPY)
        self.draw()
        for event in ("photos", "corrected"):
            desk.on(event, self.draw)

    def draw(self) -> None:
        """Show what stands on the photos."""
        desk, sheet = self._desk, self._desk.shown
        text = "" if sheet is None else sheet.reading.text
        for element in (self._text, self._copy):
            element.set_visibility(bool(text))
        self._says.set_text(_EMPTY if sheet is None else _sentence(sheet))
        self._content.set_content(escape(text))
        self.table.show(list(_lines(desk.sheets)), desk.at, has_files=len(desk.sheets) > 1)
        self._refused.set_content("" if sheet is None else _refused(sheet))

    async def _show(self, at: int) -> None:
        self._desk.focus(on_drawing=False)
        await self._desk.show(at)

    def _copied(self, copied: object) -> None:
        page = self._desk.page
        if copied:
            page.notify("The numbers are copied.", "success")
        else:
            page.notify("The browser does not let pages copy; select the numbers and copy them yourself.")

    # Photos that are not shown may still have been read by another network: what is saved is of one reader.

    async def _rows(self) -> Rows:
        return number_rows(await self._desk.catch_up())

    async def _records(self) -> list[dict[str, Any]]:
        return records(await self._desk.catch_up())

    def _overlay(self) -> bytes:
        sheet = self._desk.shown
        if sheet is None:
            raise InputError("There is no photo yet. Choose one, or show the example.")
        return overlay(sheet)


def _numbers(sheet: Sheet) -> Iterator[tuple[int, int, Number]]:
    for at_line, line in enumerate(sheet.reading.lines, 1):
        for at, number in enumerate(line.numbers, 1):
            yield at_line, at, number


def number_rows(sheets: list[Sheet]) -> Rows:
    """Return a row for every number of the sheets."""
    columns = ("file", "page", "line", "number", "digits", "confidence", "corrected", "left", "top", "right", "bottom")
    rows = []
    for sheet in sheets:
        name, page = safe_cell(sheet.photo.source), sheet.photo.page
        for at_line, at, number in _numbers(sheet):
            is_corrected = "yes" if sheet.is_corrected(number) else ""
            rows.append((name, page, at_line, at, number.value, number.confidence, is_corrected, *number.box))
    return columns, rows


def records(sheets: list[Sheet]) -> list[dict[str, Any]]:
    """Return the sheets' readings as plain JSON types, each number telling whether somebody has corrected it."""
    told = []
    for sheet in sheets:
        plain = sheet.reading.to_dict()
        for line, described in zip(sheet.reading.lines, plain["lines"], strict=True):
            for number, of_number in zip(line.numbers, described["numbers"], strict=True):
                of_number["corrected"] = sheet.is_corrected(number)
        told.append(plain)
    return told


def _lines(sheets: list[Sheet]) -> Iterator[dict[str, Any]]:
    """What the table in the browser is told."""
    for k, sheet in enumerate(sheets):
        for at_line, _, number in _numbers(sheet):
            yield {
                "serial": sheet.serial,
                "at": k,
                "title": sheet.title,
                "line": at_line,
                "box": list(number.box),
                "value": number.value,
                "sure": percent(min(number.confidence, 1.0), 1),
                "corrected": sheet.is_corrected(number),
            }


def _sentence(sheet: Sheet) -> str:
    reading = sheet.reading
    if not reading.digits:
        return "No digit was found on this photo."
    turned = f", after turning it by {reading.turned}°" if reading.turned else ""
    skew = f"{' and' if turned else ', after'} straightening it by {abs(reading.skew):.1f}°" if reading.skew else ""
    return f"{_n(len(reading.numbers), 'number')}, {_n(len(reading.digits), 'digit')}{turned}{skew}."


def _n(n: int, word: str) -> str:
    return f"{n:,} {word}{'' if n == 1 else 's'}"


def _refused(sheet: Sheet) -> str:
    reasons = Counter(refused.reason for refused in sheet.reading.refused)
    if not reasons:
        return ""
    items = "".join(
        f'<li><b class="num">{n} ×</b> {escape(REASONS[reason])}</li>' for reason, n in reasons.most_common()
    )
    return f'<h3 class="refused-head">{_n(reasons.total(), "mark")} refused</h3><ul class="refused-list">{items}</ul>'


_SECONDS_BETWEEN_LOOKS = 0.2
# More are counted and kept, and not shown.
_MOST_SHOWN = 200
_NONE = "Nothing was corrected yet. Choose a digit or a refused mark above and say what it is; it is kept here."
_NO_FOLDER = "This Studio keeps nothing; start it with a folder for runs: digitlab studio --out runs"


class CorrectionList(ui.element, component="../../static/correction_list.js"):
    """The corrections, each with its image; a button removes it."""

    def __init__(self, on_remove: Callable[[int], Any]) -> None:
        super().__init__()
        self._props.update({"items": [], "sprite": ""})

        async def remove(event: events.GenericEventArguments) -> None:
            if type(event.args) is int:
                await on_remove(event.args)

        self.on("remove", remove)

    def show(self, corrections: list[Correction]) -> None:
        """Show these."""
        self._props["items"] = [{"number": one.number, "label": one.label} for one in corrections]
        images = [one.image for one in corrections]
        self._props["sprite"] = png_data_uri(np.concatenate(images, axis=1)) if images else ""
        self.update()


class CorrectionsCard:
    """What is kept, and learning from it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._corrections, self._learning = corrections_of(desk.page.trainer), learning_of(desk.page.trainer)
        self._n, self._was_running = 0, False
        with card("Corrections", help="corrections", classes="corrections-card"):
            self._says = ui.label().classes("corrections-says").props('role="status"')
            self._list = CorrectionList(self._remove)
            with ui.element("div").classes("toolbar"):
                self._learn = Command("Learn from my corrections", self._start, is_main=True)
                self._cancel = Command("Cancel", self._stop)
            self._progress = ProgressLine(desk.page)
            self._progress._props["label"] = "Progress of learning"
            self._failure = ui.label().classes("error").props('role="alert"')
            self._result = ui.html("", sanitize=False).props('role="status"')
            with ui.element("div").classes("toolbar"):
                self._take = Command("Use it all the same", self._take_it)
                self._drop = Command("Drop it", self._drop_it)
                self._back = Command("Go back", self._go_back)
            self._command = ui.html("", sanitize=False)
        self._clock = ui.timer(_SECONDS_BETWEEN_LOOKS, self._look, active=self._learning.is_running)
        desk.on("reader", self._draw_state)
        self._draw_state()

    async def refresh(self) -> None:
        """Read what is kept, and show it."""
        if self._corrections is None:
            self._says.set_text(_NO_FOLDER)
            return
        try:
            found = await asyncio.to_thread(self._corrections.entries)
        except DigitlabError as error:
            self._say_failure(str(error))
            return
        if not self._desk.page.is_open:
            return
        self._n = len(found)
        n_none = sum(one.label == NOT_A_DIGIT_LABEL for one in found)
        self._list.show(found[-_MOST_SHOWN:])
        self._list.set_visibility(bool(found))
        self._says.set_text(_kept(self._n, n_none) if found else _NONE)
        self._command.set_content(_command(self._corrections.folder.name, self._n - n_none))
        self._draw_state()

    async def _remove(self, number: int) -> None:
        if self._corrections is None:
            return
        try:
            await asyncio.to_thread(self._corrections.remove, number)
        except DigitlabError as error:
            self._desk.page.notify(str(error), "error")
        await self.refresh()

    # ---- learning ----

    async def _start(self) -> None:
        try:
            self._learning.start(self._desk.choice, self._desk.known_photos(), PROCESSES)
        except DigitlabError as error:
            self._desk.page.notify(str(error), "error")
            return
        self._was_running = True
        self._clock.activate()
        self._draw_state()

    async def _stop(self) -> None:
        self._learning.cancel()

    async def _go_back(self) -> None:
        await self._choose(self._learning.origin)

    async def _take_it(self) -> None:
        try:
            await asyncio.to_thread(self._learning.take)
        except DigitlabError as error:
            self._desk.page.notify(str(error), "error")
        else:
            await self._choose(self._learning.choice)
        self._draw_state()

    async def _drop_it(self) -> None:
        self._learning.drop()
        self._draw_state()

    async def _look(self) -> None:
        learning, page = self._learning, self._desk.page
        if learning.is_running:
            self._was_running = True
            share = learning.fraction
            words = f"Learning: {100 * share:.0f} %" if share < 1 else "Comparing how it reads now and before."
            page.send(self._progress, "show", share, words)
        elif self._was_running:
            self._was_running = False
            self._clock.deactivate()
            if learning.choice:
                await self._choose(learning.choice)
        self._draw_state()

    async def _choose(self, choice: str) -> None:
        try:
            await self._desk.choose(choice)
        except DigitlabError as error:
            self._desk.page.notify(str(error), "error")

    def _draw_state(self) -> None:
        learning, desk = self._learning, self._desk
        is_running, tuned = learning.is_running, learning.tuned
        is_open = tuned is not None and not is_running and not learning.choice
        if is_running:
            self._clock.activate()
        self._learn.set_enabled(not is_running and self._n > 0)
        for element, is_seen in (
            (self._cancel, is_running),
            (self._progress, is_running),
            (self._take, is_open),
            (self._drop, is_open),
            (self._back, not is_running and bool(learning.choice) and desk.choice == learning.choice),
            (self._result, tuned is not None and not is_running),
        ):
            element.set_visibility(is_seen)
        self._back.text = f"Go back to {_small(desk.readers.name(learning.origin))}" if learning.origin else "Go back"
        self._say_failure("" if is_running else learning.message)
        if tuned is not None:
            name = desk.readers.name(learning.choice) if learning.choice else ""
            self._result.set_content(_offered(tuned, name, reads=desk.choice == learning.choice))

    def _say_failure(self, sentence: str) -> None:
        self._failure.set_text(sentence)
        self._failure.set_visibility(bool(sentence))


def _kept(n: int, n_none: int) -> str:
    none = f", {n_none:,} of them not a digit" if n_none else ""
    shown = f" The newest {_MOST_SHOWN} are shown." if n > _MOST_SHOWN else ""
    return f"{n:,} correction{'' if n == 1 else 's'} kept{none}.{shown}"


def _command(folder: str, n_digits: int) -> str:
    if n_digits < 2:
        return ""
    n_validation = max(1, n_digits // 10)
    sizes = f"--train-images {n_digits - n_validation} --validation-images {n_validation}"
    return (
        '<details class="corrections-command"><summary>Use them at the terminal</summary>'
        f"<p>The folder {escape(folder)}, beside the folder of runs, holds them as IDX files, with MNIST's test "
        "images. A network can be trained with them alone, from the beginning:</p>"
        f"<pre><code>digitlab train --data {escape(folder)} {sizes}</code></pre></details>"
    )


def _offered(tuned: FineTuned, name: str, *, reads: bool) -> str:
    """What was learned, before and after; the name is that of the run, where it is taken, and perhaps ``reads`` now."""
    rows = {
        "These corrections, one by one": tuned.corrections,
        "MNIST test images, at most 2,000 of them": tuned.test,
        "Digits of a composed page": tuned.page,
    }
    if tuned.photos.n:
        rows["Marks on the photos and the drawing here, as they stand now"] = tuned.photos
    if name:
        verdict = f"<b>{escape(name)}</b> {'reads now' if reads else 'is kept'}."
        if tuned.is_worse:
            verdict = f"{verdict} It reads some of these worse than before."
    elif tuned.is_worse:
        verdict = "It reads some of these <b>worse than before</b>, so it is not used."
    else:
        verdict = "It is not used, since it could not be kept."
    n = tuned.corrections.n
    left_out = (
        f"<p class='muted'>{tuned.n_left_out} corrections are not a digit, which this network cannot answer; they were "
        "left out.</p>"
        if tuned.n_left_out
        else ""
    )
    return (
        f'<p class="learned-name">{verdict} It learned for {tuned.seconds:.1f} s from '
        f"{n} correction{'' if n == 1 else 's'} among {tuned.n_replayed:,} images that it knew.</p>"
        '<table class="table learned-table"><caption class="sr-only">How many are read rightly</caption><thead><tr>'
        '<th scope="col">Read rightly</th><th scope="col" class="num">Before</th>'
        f'<th scope="col" class="num">After</th></tr></thead><tbody>{"".join(map(_row, rows, rows.values()))}</tbody>'
        f'</table>{left_out}<p class="muted">What is refused, or answered too unsurely, is not read rightly. The '
        "corrections are what it learned from, so the first line says little about digits that it has not seen. Each "
        "is asked by itself there; on a photo the finder has a say too, which does not learn.</p>"
    )


def _row(name: str, figure: Figure) -> str:
    of = f"of\N{NO-BREAK SPACE}{figure.n:,}"
    sign = " ↓" if figure.is_worse else " ↑" if figure.right_after > figure.right_before else ""
    kind = " is-worse" if figure.is_worse else ""
    return (
        f'<tr><th scope="row">{name}</th><td class="num">{figure.right_before:,} {of}</td>'
        f'<td class="num{kind}">{figure.right_after:,} {of}{sign}</td></tr>'
    )


def _small(name: str) -> str:
    return name[0].lower() + name[1:] if name else ""
