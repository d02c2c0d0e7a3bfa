"""The Runs tab: every kept run in a list, its report, its evaluation, and two of them compared."""

from __future__ import annotations

import asyncio
import logging

from nicegui import ui

from digitlab.errors import DigitlabError
from digitlab.evaluation.finish import evaluate_and_report
from digitlab.studio.card import Exports, card
from digitlab.studio.comparing import compare
from digitlab.studio.comparison_view import ComparisonView
from digitlab.studio.evaluated import open_run
from digitlab.studio.export_dialog import ExportDialog
from digitlab.studio.image_choice import choose_test_images
from digitlab.studio.page import Page
from digitlab.studio.refreshing import Refreshing
from digitlab.studio.run_list import RunLine, run_lines
from digitlab.studio.run_rows import RUN_COLUMNS, run_records, run_rows, run_table
from digitlab.studio.sortable_table import SortableTable
from digitlab.studio.subject import subject_of

__all__ = ["RunsTab", "build"]

_NAME = "Runs"
# How often the folder is looked at while the tab is seen: runs are made at the terminal, too.
_LOOK_EVERY_S = 2.0
# With so many runs chosen.
_NEXT_STEPS = (
    "Choose two runs in the list to compare them.",
    "Choose one more run to compare with it.",
    "Comparing ...",
)
_log = logging.getLogger("digitlab.studio")


def build(page: Page) -> None:
    """Build the tab into the current container."""
    RunsTab(page)


class RunsTab:
    """The list, and below it the comparison of the two runs that are chosen in it."""

    def __init__(self, page: Page) -> None:
        self._page, self._subject = page, subject_of(page)
        self._lines: list[RunLine] = []
        self._chosen: list[str] = []
        self._build()
        self._looking = Refreshing(self._look, gap_s=0.5, name="digitlab studio list of runs")
        self._comparing = Refreshing(self._compare, gap_s=0.2, name="digitlab studio comparison")
        page.on_tab(lambda name: self._looking.ask(at_once=True) if name == _NAME else None)
        page.on_state(lambda _: self._look_if_seen())
        self._subject.on_change(self._subject_changed)
        ui.timer(_LOOK_EVERY_S, self._look_if_seen)
        self._looking.ask()

    def _build(self) -> None:
        exports = Exports(name="runs", csv=lambda: run_table(self._lines), json=lambda: run_records(self._lines))
        with card("Runs", help="runs", exports=exports):
            self._table = SortableTable("Runs", RUN_COLUMNS, heading_column=1, on_action=self._act)
            self._none = ui.label().classes("muted")
            self._none.set_visibility(False)
        with ui.element("div").classes("toolbar"):
            choose_test_images(self._page)
            self._swap = ui.button("Swap A and B", on_click=self._swap_runs).props("outline")
            self._status = ui.label().classes("evaluated muted").props('role="status"')
        self._comparison = ComparisonView(self._page)
        self._exporting = ExportDialog(self._page)
        self._tell_choice()

    # ---- the list ----

    def _look_if_seen(self) -> None:
        if self._page.tab == _NAME:
            self._looking.ask()

    async def _look(self) -> None:
        try:
            lines = await asyncio.to_thread(run_lines, self._page.trainer)
        except DigitlabError as error:
            self._say_none(str(error), is_error=True)
            return
        if not self._page.is_open:
            return
        known = {line.name for line in lines}
        if any(name not in known for name in self._chosen):
            self._chosen = [name for name in self._chosen if name in known]
            self._choice_changed()
        self._lines = lines
        self._draw()

    def _draw(self) -> None:
        rows = run_rows(self._lines, self._chosen, self._page.trainer)
        if rows != list(self._table.rows):
            self._table.show(rows)
        self._table.set_visibility(bool(rows))
        if rows:
            self._none.set_visibility(False)
        elif self._page.trainer.out is None:
            self._say_none("This Studio keeps no runs; start it with a folder for them: digitlab studio --out runs")
        else:
            self._say_none("There are no runs yet. Start a training in the Training tab; it is kept here.")

    def _say_none(self, sentence: str, *, is_error: bool = False) -> None:
        self._none.set_text(sentence)
        self._none.classes(add="error" if is_error else "muted", remove="muted" if is_error else "error")
        self._none.set_visibility(True)

    async def _act(self, name: str, action: str) -> None:
        if action == "compare":
            self._toggle(name)
        elif action == "evaluate":
            self._subject.choose_run(name)
            self._page.set_tab("Evaluation")
            # The button that had the focus is hidden now; whoever uses the keyboard goes on from the tab.
            self._page.client.run_javascript("document.getElementById('tab-evaluation')?.focus()")
        elif action == "report":
            await self._write_report(name)
        elif action == "export":
            self._exporting.open(name)

    async def _write_report(self, name: str) -> None:
        page = self._page
        try:
            run = open_run(page.trainer, name)
            await asyncio.to_thread(evaluate_and_report, run, page.data)
        except DigitlabError as error:
            page.notify(str(error), "error")
            return
        page.notify(f"The report of {name} is written.")
        self._looking.ask(at_once=True)

    # ---- comparing ----

    def _toggle(self, name: str) -> None:
        if name in self._chosen:
            self._chosen.remove(name)
        else:
            # A third one takes the place of the one that was chosen last, so that A stays for a series of comparisons.
            self._chosen = [*self._chosen[:1], name]
        self._choice_changed()
        self._draw()

    def _swap_runs(self) -> None:
        self._chosen.reverse()
        self._choice_changed()
        self._draw()

    def _choice_changed(self) -> None:
        self._tell_choice()
        if len(self._chosen) == 2:
            self._comparing.ask(at_once=True)
        else:
            self._comparison.hide()

    def _tell_choice(self) -> None:
        n = len(self._chosen)
        self._swap.set_enabled(n == 2)
        self._tell(_NEXT_STEPS[n])

    def _tell(self, sentence: str, *, is_error: bool = False) -> None:
        self._status.set_text(sentence)
        self._status.classes(add="error" if is_error else "muted", remove="muted" if is_error else "error")

    def _subject_changed(self) -> None:
        if len(self._chosen) == 2:
            self._comparing.ask(at_once=True)

    async def _compare(self) -> None:
        chosen, n_images = tuple(self._chosen), self._subject.n_images
        if len(chosen) != 2:
            return
        try:
            a, b = (open_run(self._page.trainer, name) for name in chosen)
            comparison = await asyncio.to_thread(compare, a, b, self._page.data, n_images)
        except DigitlabError as error:
            self._comparison.hide()
            self._tell(str(error), is_error=True)
            return
        except Exception as error:
            _log.exception("A comparison failed")
            self._comparison.hide()
            self._tell(f"The comparison failed: {error}. Choose two other runs, or reload the page.", is_error=True)
            return
        # Somebody may have chosen otherwise meanwhile; that comparison is on its way.
        if self._page.is_open and chosen == tuple(self._chosen):
            await self._comparison.show(comparison)
            self._tell(f"A is {chosen[0]}, B is {chosen[1]}.")
