"""The card with corrections: what is kept, and a network that learns from it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from html import escape
from typing import Any

import numpy as np
from nicegui import events, ui

from digitlab.errors import DigitlabError
from digitlab.evaluation.png import png_data_uri
from digitlab.studio.card import card
from digitlab.studio.commands import Command
from digitlab.studio.progress_line import ProgressLine
from digitlab.studio.reading.desk import PROCESSES, Desk
from digitlab.studio.reading.learning import corrections_of, learning_of
from digitlab.training.corrections import NOT_A_DIGIT_LABEL, Correction
from digitlab.training.fine_tuning import Figure, FineTuned

__all__ = ["CorrectionList", "CorrectionsCard"]

_SECONDS_BETWEEN_LOOKS = 0.2
# More are counted and kept, and not shown.
_MOST_SHOWN = 200
_NONE = "Nothing was corrected yet. Choose a digit or a refused mark above and say what it is; it is kept here."
_NO_FOLDER = "This Studio keeps nothing; start it with a folder for runs: digitlab studio --out runs"


class CorrectionList(ui.element, component="../static/correction_list.js"):
    """The corrections, each with its image; a button removes it.

    Parameters
    ----------
    on_remove : callable
        Told the number of the one to remove.
    """

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
    """What is kept, and learning from it.

    Parameters
    ----------
    desk : Desk
        Whose network learns, and then reads.
    """

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
