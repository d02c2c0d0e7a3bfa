"""The tab Read: own digits, drawn or photographed, every step to an answer, and the corrections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from html import escape
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from nicegui import background_tasks, ui
from numpy.typing import NDArray

from digitlab.errors import DigitlabError, InputError
from digitlab.evaluation.coverage import threshold_text
from digitlab.explanation.facts import plural
from digitlab.reading.change import Change
from digitlab.reading.photo import Photo
from digitlab.reading.reading import Box
from digitlab.studio.page import Page
from digitlab.studio.tabs.read_desk import PROCESSES, Desk
from digitlab.studio.tabs.read_elements import DrawnAnswer, DrawPad, NumbersCard, PhotoCard, StepsView
from digitlab.studio.tabs.readers import SHIPPED, TRAINED, corrections_of, learning_of
from digitlab.studio.tabs.threshold_card import THRESHOLDS
from digitlab.studio.tabs.training_controls import ProgressLine
from digitlab.studio.widgets.card import card
from digitlab.studio.widgets.controls import Command, LiveSlider, Scripted, say
from digitlab.studio.widgets.digit_views import side_by_side
from digitlab.text import percent
from digitlab.training.corrections import NOT_A_DIGIT_LABEL, Correction
from digitlab.training.fine_tuning import Figure, FineTuned

#: Where the slider may stand: no digit is ever more than 99.9 % sure.
LEAST_CONFIDENCES = THRESHOLDS[: THRESHOLDS.index(0.999) + 1]

_NAME = "Read"
_SECONDS_BETWEEN_LOOKS = 0.2
# More are counted and kept, and not shown.
_MOST_SHOWN = 200
_NONE = "Nothing was corrected yet. Choose a digit or a refused mark above and say what it is; it is kept here."
_NO_FOLDER = "This Studio keeps nothing; start it with a folder for runs: digitlab studio --out runs"


class ReadTab:
    """Which network reads, the drawing, the photos, the steps, and the corrections."""

    def __init__(self, page: Page) -> None:
        self._page, self.desk = page, page.own(Desk)
        self._corrections = corrections_of(page.trainer)
        # Which kept images come from which change: what is taken back is forgotten.
        self._kept_of: WeakKeyDictionary[Photo, dict[Change | None, list[int]]] = WeakKeyDictionary()
        self._build()
        self._offering = page.refreshing(_NAME, self._offer, gap_s=2.0)
        self._listing = page.refreshing(_NAME, self._kept.refresh, gap_s=0.3)
        self._following = page.refreshing(_NAME, self._follow, gap_s=1.0)
        self._stepping = page.refreshing(_NAME, self._steps.refresh, gap_s=0.5)
        # While somebody draws, the answer comes first.
        page.on(self._stepping.ask, "drawing")
        page.on(lambda: self._stepping.ask(at_once=True), "photos")
        page.on(self._reader_chosen, "reader")
        page.on(lambda: self._refused.set_text(refused_sentence(self.desk)), "drawing", "photos", "corrected")
        page.on(self._steps.retell, "corrected")
        page.on(self._opened, "tab")
        page.on(self._training_changed, "state", "generation")
        self._offering.ask(at_once=True)
        self._listing.ask(at_once=True)

    def _build(self) -> None:
        desk, keeps = self.desk, self._corrections is not None
        with ui.element("div").classes("toolbar read-choice"):
            self._names = {choice: desk.readers.name(choice) for choice in (SHIPPED, TRAINED)}
            self._model = ui.select(self._names, value=desk.choice, label="Network", on_change=self._choose_reader)
            self._model.classes("evaluated-run")
            self._about = ui.label().classes("muted").props('role="status"')
            words = [f"{threshold_text(threshold)} sure" for threshold in LEAST_CONFIDENCES]
            at = LEAST_CONFIDENCES.index(desk.options.min_confidence)
            LiveSlider(self._page, "Answer from", self._refuse_below, max=len(words) - 1, value=at, words=words)
            self._refused = ui.label().classes("muted num")
        with ui.element("div").classes("read-pair"):
            with card("Draw", help="own_digits", classes="draw-card"):
                pad = ui.element("div")
            with card("Answer", help="not_a_digit", classes="answer-card"):
                self._answer = DrawnAnswer(desk, self._correct, keeps=keeps)
            with pad:
                DrawPad(desk, self._answer)
        with ui.element("div").classes("read-pair"):
            self._photos = PhotoCard(desk, self._correct, keeps=keeps)
            self._numbers = NumbersCard(desk, self._correct)
        with card("From Paper to 28 × 28", help="normalisation"):
            self._steps = StepsView(desk, self._switch)
        self._kept = CorrectionsCard(desk)

    def _opened(self) -> None:
        if self._page.tab == _NAME:
            PROCESSES.start()  # so that the first photo does not wait for one
            self._training_changed()

    # ---- which network reads, and how ----

    async def _offer(self) -> None:
        desk, choice = self.desk, self.desk.choice
        with self._page.telling_errors():
            names = await asyncio.to_thread(desk.readers.choices)
            names.setdefault(choice, desk.readers.name(choice))
            if self._page.is_open and (names != self._names or self._model.value != desk.choice):
                self._names = names
                self._model.set_options(names, value=desk.choice)

    async def _choose_reader(self) -> None:
        choice = str(self._model.value or "")
        if choice and choice != self.desk.choice:
            await self._change(choice)

    async def _switch(self, option: str, value: Any) -> None:
        await self._change(None, **{option: value})

    def _refuse_below(self, at: int) -> None:
        desk = self.desk
        desk.refuse_below(LEAST_CONFIDENCES[at])
        if desk.drawn is not None:
            self._answer.show(desk.drawn)
        self._stepping.ask()
        self._following.ask()

    async def _follow(self) -> None:
        with self._page.telling_errors():
            await self.desk.read_again()

    async def _change(self, choice: str | None, **options: Any) -> None:
        with self._page.telling_errors():
            await self.desk.choose(choice, **options)

    def _reader_chosen(self) -> None:
        desk = self.desk
        self._about.set_text(desk.readers.about(desk.choice))
        if self._model.value != desk.choice:
            self._names = {**self._names, desk.choice: desk.readers.name(desk.choice)}
            self._model.set_options(self._names, value=desk.choice)
        self._answer.show(desk.drawn)
        self._stepping.ask(at_once=True)
        self._offering.ask()

    def _training_changed(self) -> None:
        if self._page.tab != _NAME or self.desk.choice != TRAINED:
            return
        self._about.set_text(self.desk.readers.about(TRAINED))
        if self._page.trainer.state != "training":
            background_tasks.create(self._change(TRAINED), name="digitlab studio reading anew")

    # ---- corrections ----

    def _correct(self, serial: int, said: Change | Box) -> None:
        desk, corrections = self.desk, self._corrections
        sheet = desk.sheet(serial)
        if sheet is None:
            return
        kept = self._kept_of.setdefault(sheet.original, {})
        change: Change | None = None
        removed: list[int] = []
        images: list[tuple[NDArray[np.uint8], int]] = []
        if isinstance(said, Box):
            removed = [number for change in desk.take_back(sheet, said) for number in kept.pop(change, [])]
        else:
            change, images = said, desk.correct(sheet, said)
        if desk.drawn is not None and desk.drawn.serial == serial:
            self._answer.show(desk.drawn)

        async def keep() -> None:
            assert corrections is not None
            with self._page.telling_errors():
                for number in removed:
                    with suppress(InputError):  # somebody has removed it from the list
                        await asyncio.to_thread(corrections.remove, number)
                for image, label in images:
                    number = await asyncio.to_thread(corrections.add, image, label)
                    kept.setdefault(change, []).append(number)
            self._listing.ask(at_once=True)

        if corrections is not None and (removed or images):
            background_tasks.create(keep(), name="digitlab studio correction", context=self._page.client)


class CorrectionList(Scripted, component="../static/correction_list.js"):
    """The corrections, each with its image; a button removes it."""

    def __init__(self, on_remove: Callable[[int], Any]) -> None:
        super().__init__()
        self._props.update({"items": [], "sprite": ""})
        self.on_number("remove", on_remove)

    def show(self, corrections: list[Correction]) -> None:
        """Show these."""
        items = [{"number": one.number, "label": one.label} for one in corrections]
        self.give(items=items, sprite=side_by_side([one.image for one in corrections]))


class CorrectionsCard:
    """What is kept, and learning from it."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._page = desk, desk.page
        self._corrections, self._learning = corrections_of(desk.page.trainer), learning_of(desk.page.trainer)
        self._n, self._was_running = 0, False
        with card("Corrections", help="corrections", classes="corrections-card"):
            self._says = ui.label().classes("corrections-says").props('role="status"')
            self._list = CorrectionList(self._remove)
            with ui.element("div").classes("toolbar"):
                self._learn = Command("Learn from my corrections", self._start, is_main=True)
                self._cancel = Command("Cancel", self._learning.cancel)
            self._progress = ProgressLine(desk.page, "Progress of learning")
            self._failure = ui.label().classes("error").props('role="alert"')
            self._result = ui.html("", sanitize=False).props('role="status"')
            with ui.element("div").classes("toolbar"):
                self._take = Command("Use it all the same", self._take_it)
                self._drop = Command("Drop it", self._drop_it)
                self._back = Command("Go back", lambda: self._choose(self._learning.origin))
            self._command = ui.html("", sanitize=False)
        self._clock = ui.timer(_SECONDS_BETWEEN_LOOKS, self._look, active=self._learning.is_running)
        desk.page.on(self._draw_state, "reader")
        self._draw_state()

    async def refresh(self) -> None:
        """Read what is kept, and show it."""
        if self._corrections is None:
            self._says.set_text(_NO_FOLDER)
            return
        try:
            found = await asyncio.to_thread(self._corrections.entries)
        except DigitlabError as error:
            say(self._failure, str(error))
            return
        if not self._page.is_open:
            return
        self._n = len(found)
        n_none = sum(one.label == NOT_A_DIGIT_LABEL for one in found)
        self._list.show(found[-_MOST_SHOWN:])
        self._list.set_visibility(bool(found))
        none = f", {n_none:,} of them not a digit" if n_none else ""
        shown = f" The newest {_MOST_SHOWN} are shown." if self._n > _MOST_SHOWN else ""
        self._says.set_text(f"{plural(self._n, 'correction')} kept{none}.{shown}" if found else _NONE)
        self._command.set_content(_command(self._corrections.folder.name, self._n - n_none))
        self._draw_state()

    async def _remove(self, number: int) -> None:
        if self._corrections is not None:
            with self._page.telling_errors():
                await asyncio.to_thread(self._corrections.remove, number)
            await self.refresh()

    # ---- learning ----

    def _start(self) -> None:
        with self._page.telling_errors():
            self._learning.start(self._desk.choice, self._desk.known_photos(), PROCESSES)
            self._was_running = True
            self._draw_state()

    async def _take_it(self) -> None:
        with self._page.telling_errors():
            await asyncio.to_thread(self._learning.take)
            await self._desk.choose(self._learning.choice)
        self._draw_state()

    def _drop_it(self) -> None:
        self._learning.drop()
        self._draw_state()

    async def _choose(self, choice: str) -> None:
        with self._page.telling_errors():
            await self._desk.choose(choice)

    async def _look(self) -> None:
        learning = self._learning
        if learning.is_running:
            self._was_running = True
            share = learning.fraction
            words = f"Learning: {100 * share:.0f} %" if share < 1 else "Comparing how it reads now and before."
            self._progress.put(share, words)
        elif self._was_running:
            self._was_running = False
            self._clock.deactivate()
            if learning.choice:
                await self._choose(learning.choice)
        self._draw_state()

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
        if learning.origin:
            self._back.text = f"Go back to {desk.readers.name(learning.origin, in_sentence=True)}"
        say(self._failure, "" if is_running else learning.message)
        if tuned is not None:
            name = desk.readers.name(learning.choice) if learning.choice else ""
            self._result.set_content(_offered(tuned, name, reads=desk.choice == learning.choice))


def refused_sentence(desk: Desk) -> str:
    """Say how much is answered and refused of the photo that is shown, or of the drawing; empty without any."""
    sheet = desk.drawn if desk.is_about_drawing or desk.shown is None else desk.shown
    if sheet is None or not sheet.whole.digits:
        return ""
    n_all, n = len(sheet.whole.digits), len(sheet.found.digits)
    where = "Your drawing" if sheet is desk.drawn else "This photo"
    told = f"{where}: {n:,} of {plural(n_all, 'digit')} answered, {n_all - n:,} refused as too unsure."
    if not sheet.changes or not n:
        return f"{told} Correct what is wrong to see how many are right." if n else told
    right = sheet.n_right
    return f"{told} {right:,} of them are right ({percent(right / n)}), if all is that you did not correct."


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
        worse = " It reads some of these worse than before." if tuned.is_worse else ""
        verdict = f"<b>{escape(name)}</b> {'reads now' if reads else 'is kept'}.{worse}"
    elif tuned.is_worse:
        verdict = "It reads some of these <b>worse than before</b>, so it is not used."
    else:
        verdict = "It is not used, since it could not be kept."
    left_out = (
        f"<p class='muted'>{tuned.n_left_out} corrections are not a digit, which this network cannot answer; they were "
        "left out.</p>"
        if tuned.n_left_out
        else ""
    )
    return (
        f'<p class="learned-name">{verdict} It learned for {tuned.seconds:.1f} s from '
        f"{plural(tuned.corrections.n, 'correction')} among {tuned.n_replayed:,} images that it knew.</p>"
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
