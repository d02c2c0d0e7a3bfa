"""The Runs tab: every kept run in a list, its report, its evaluation, its export, and two of them compared."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from nicegui import ui

from digitlab.engine.sequential import Sequential
from digitlab.errors import DigitlabError
from digitlab.evaluation.comparison import compare
from digitlab.evaluation.finish import evaluate_and_report
from digitlab.evaluation.overlay import MOST_RUNS, read_curves
from digitlab.exporting.export import ExportedFile, ExportReport, export_packed, formats_here
from digitlab.network.formats.tfjs import QUANTIZATIONS
from digitlab.runs.run import Run
from digitlab.runs.trash import MOST_DELETED, delete_run, restore_run, what_is_lost
from digitlab.studio.page import Page
from digitlab.studio.run_list import NO_RUNS, RunLine, open_run, run_lines
from digitlab.studio.tabs.comparison_view import ComparisonView
from digitlab.studio.tabs.overlay_view import LETTERS, OverlayView
from digitlab.studio.tabs.run_table import RUN_COLUMNS, run_rows, run_table
from digitlab.studio.widgets.card import Exports, card, dialog
from digitlab.studio.widgets.controls import choose_test_images, tell
from digitlab.studio.widgets.tables import SortableTable
from digitlab.text import listed

_NAME = "Runs"
# How often the folder is looked at while the tab is seen: runs are made at the terminal, too.
_LOOK_EVERY_S = 2.0
# With so many runs chosen.
_NEXT_STEPS = (
    f"Choose two runs in the list to compare them, or up to {MOST_RUNS} to lay their curves over each other.",
    "Choose one more run to compare with it.",
    "Comparing ...",
)
_TOO_MANY = f"At most {MOST_RUNS} runs can be told apart; take one away first."
_NONE_YET = "There are no runs yet. Start a training in the Training tab; it is kept here."


class RunsTab:
    """The list, and below it the comparison of two runs that are chosen in it, or more of them over each other."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._lines: list[RunLine] = []
        self._chosen: list[str] = []
        exports = Exports(name="runs", csv=lambda: run_table(self._lines))
        with card("Runs", help="runs", exports=exports):
            self._table = SortableTable("Runs", RUN_COLUMNS, heading_column=1, on_action=self._act, on_edit=self._edit)
            self._table.classes("of-runs")
            self._none = ui.label()
            tell(self._none, "")
            with ui.element("div").classes("toolbar") as self._deleted:
                self._what_is_gone = ui.label().props('role="status"')
                self._undo = ui.button("Undo", on_click=self._bring_back).props("outline dense")
            self._deleted.set_visibility(False)
        with ui.element("div").classes("toolbar"):
            choose_test_images(page)
            self._swap = ui.button("Swap A and B", on_click=self._swap_runs).props("outline")
            self._status = ui.label().classes("evaluated").props('role="status"')
        self._comparison = ComparisonView(page)
        self._overlay = OverlayView(page)
        self._exporting = ExportDialog(page)
        self._deleting = DeleteDialog(page, self._delete)
        self._gone: list[str] = []
        self._looking = page.refreshing(_NAME, self._look, gap_s=0.5)
        self._comparing = page.refreshing(_NAME, self._compare, gap_s=0.2)
        self._choice_changed()
        page.on(self._looking.ask, "state")
        page.on(lambda: self._comparing.ask(at_once=True), "subject")
        ui.timer(_LOOK_EVERY_S, self._looking.ask)

    # ---- the list ----

    async def _look(self) -> None:
        try:
            lines = await asyncio.to_thread(run_lines, self._page.trainer)
        except DigitlabError as error:
            tell(self._none, str(error), is_error=True)
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
        tell(self._none, "" if rows else NO_RUNS if self._page.trainer.out is None else _NONE_YET)

    async def _act(self, name: str, action: str) -> None:
        page = self._page
        if action == "compare":
            if name in self._chosen:
                self._chosen.remove(name)
            elif len(self._chosen) == MOST_RUNS:
                tell(self._status, _TOO_MANY, is_error=True)
                return
            else:
                self._chosen.append(name)
            self._choice_changed()
            self._draw()
        elif action == "evaluate":
            page.evaluate_run(name)
            page.set_tab("Evaluation")
            # The button that had the focus is hidden now; whoever uses the keyboard goes on from the tab.
            page.client.run_javascript("document.getElementById('tab-evaluation')?.focus()")
        elif action == "report":
            with page.telling_errors():
                await asyncio.to_thread(evaluate_and_report, open_run(page.trainer, name), page.data)
                page.notify(f"The report of {name} is written.")
                self._looking.ask(at_once=True)
        elif action == "export":
            self._exporting.open(name)
        elif action == "delete":
            with page.telling_errors():
                run = open_run(page.trainer, name)
                self._deleting.open(run, await asyncio.to_thread(what_is_lost, run))

    # ---- naming, noting, deleting ----

    async def _edit(self, name: str, what: str, text: str) -> None:
        page = self._page
        with page.telling_errors():
            run = open_run(page.trainer, name)
            await asyncio.to_thread(run.annotate, **{what: text})
        # As it is kept now, or was before, where it could not be.
        await self._look()

    async def _delete(self, name: str) -> None:
        page = self._page
        with page.telling_errors():
            await asyncio.to_thread(delete_run, open_run(page.trainer, name))
            self._gone.append(name)
            if page.run_name == name:
                page.evaluate_run("")
        self._tell_what_is_gone()
        await self._look()

    async def _bring_back(self) -> None:
        page, name = self._page, self._gone[-1]
        with page.telling_errors():
            assert page.trainer.out is not None
            await asyncio.to_thread(restore_run, name, page.trainer.out)
        self._gone.pop()
        self._tell_what_is_gone()
        await self._look()

    def _tell_what_is_gone(self) -> None:
        name = self._gone[-1] if self._gone else ""
        self._deleted.set_visibility(bool(name))
        self._what_is_gone.set_text(f"{name} is deleted." if name else "")
        self._undo.props(f'aria-label="Bring {name} back"')

    # ---- comparing ----

    def _swap_runs(self) -> None:
        self._chosen.reverse()
        self._choice_changed()
        self._draw()

    def _choice_changed(self) -> None:
        n = len(self._chosen)
        self._swap.set_enabled(n == 2)
        tell(self._status, _NEXT_STEPS[min(n, 2)])
        if n != 2:
            self._comparison.hide()
        if n <= 2:
            self._overlay.hide()
        if n >= 2:
            self._comparing.ask(at_once=True)

    async def _compare(self) -> None:
        chosen, page = tuple(self._chosen), self._page
        if len(chosen) < 2:
            return

        def fail(sentence: str) -> None:
            self._comparison.hide()
            self._overlay.hide()
            tell(self._status, sentence, is_error=True)

        with page.telling_errors(fail, "The comparison failed: {}. Choose two other runs, or reload the page."):
            runs = [open_run(page.trainer, name) for name in chosen]
            labels = {run.name: run.label for run in runs}
            told = listed(
                [f"{letter} is {labels[name].of(name)}" for letter, name in zip(LETTERS, chosen, strict=False)]
            )
            # Somebody may have chosen otherwise meanwhile; that comparison is on its way.
            if len(runs) == 2:
                comparison = await asyncio.to_thread(compare, runs[0], runs[1], page.data, page.n_images)
                if page.is_open and chosen == tuple(self._chosen):
                    await self._comparison.show(comparison, labels)
                    tell(self._status, told.replace(" and ", ", ") + ".")
            else:
                curves = await asyncio.to_thread(lambda: [read_curves(run) for run in runs])
                if page.is_open and chosen == tuple(self._chosen):
                    self._overlay.show(curves)
                    tell(self._status, told + ".")


class DeleteDialog:
    """Says what is lost, and has a run deleted; Escape, and the button with the focus, leave everything as it is."""

    def __init__(self, page: Page, delete: Callable[[str], Awaitable[None]]) -> None:
        self._delete, self.name = delete, ""
        with dialog("delete-dialog") as (self._dialog, self._title):
            self._what = ui.label()
            ui.label(
                f"It goes into the trash. Undo, or digitlab runs restore, brings it back until {MOST_DELETED} more are "
                "deleted."
            ).classes("muted")
            with ui.element("div").classes("toolbar"):
                ui.button("Keep it", on_click=self._dialog.close).props("outline autofocus")
                ui.button("Delete", on_click=self._deleted).props('color="negative"')

    def open(self, run: Run, lost: str) -> None:
        """Ask about a run that holds this."""
        self.name = run.name
        self._title.set_text(f"Delete {run.label.of(run.name)}?")
        self._what.set_text(f"It holds: {lost}.")
        self._dialog.open()

    async def _deleted(self) -> None:
        self._dialog.close()
        await self._delete(self.name)


_TITLES = {
    "tfjs": "TensorFlow.js: a layers model, as a ZIP file",
    "keras": "Keras: a .keras file",
    "onnx": "ONNX: an .onnx file",
    "web": "A page to draw on and hand out, as a ZIP file",
}
_AS_THEY_ARE = "float32"
_MISSING = 'Keras and ONNX files need two more packages: pip install "digitlab[export]"'


class ExportDialog:
    """Exports a run with ``digitlab.export``, which reads back what it has written and asks the runtimes there are."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.name = ""
        formats = formats_here()
        with dialog("export-dialog") as (self._dialog, self._title):
            titles = {name: _TITLES[name] for name in formats}
            self._format = ui.select(titles, value=formats[0], label="For", on_change=self._tell_format)
            widths = {_AS_THEY_ARE: "as they are, 32 bits"} | {name: f"quantized to {name}" for name in QUANTIZATIONS}
            self._quantize = ui.select(widths, value=_AS_THEY_ARE, label="Weights")
            if len(formats) < len(_TITLES):
                ui.label(_MISSING).classes("muted")
            self._button = ui.button("Export", on_click=self.export)
            self._told = ui.element("div").classes("export-told").props('role="status"')

    def open(self, name: str) -> None:
        """Show the dialog for a run."""
        self.name = name
        self._title.set_text(f"Export {name}")
        self._told.clear()
        self._tell_format()
        self._dialog.open()

    async def export(self) -> None:
        """Export as is chosen, tell what came of it, and have the browser save the file."""
        name, format = self.name, str(self._format.value)
        quantize = None if format != "tfjs" or self._quantize.value == _AS_THEY_ARE else str(self._quantize.value)

        def exported() -> tuple[ExportReport, ExportedFile]:
            checkpoint = open_run(self._page.trainer, name).load_model()
            model, data = Sequential.from_checkpoint(checkpoint), self._page.data
            return export_packed(model, name, format=format, quantize=quantize, data=data, metadata=checkpoint.metadata)

        self._button.disable()
        self._say(["Exporting and verifying ..."])

        def fail(sentence: str) -> None:
            self._say([sentence], is_error=True)

        with self._page.telling_errors(fail, "The export failed: {}. Choose another format, or another run."):
            report, file = await asyncio.to_thread(exported)
            self._say([f"{file.name}, {len(file.content):,} bytes.", *report.sentences()])
            ui.download.content(file.content, file.name, file.media_type)
        self._button.enable()

    def _tell_format(self) -> None:
        self._quantize.set_visibility(self._format.value == "tfjs")

    def _say(self, sentences: list[str], *, is_error: bool = False) -> None:
        if self._page.is_open:
            self._told.clear()
            with self._told:
                for sentence in sentences:
                    ui.label(sentence).classes("error" if is_error else "")
