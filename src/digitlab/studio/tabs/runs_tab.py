"""The Runs tab: every kept run in a list, its report, its evaluation, its export, and two of them compared."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from nicegui import ui

from digitlab.engine.sequential import Sequential
from digitlab.errors import DigitlabError
from digitlab.evaluation.comparison import compare
from digitlab.evaluation.finish import evaluate_and_report
from digitlab.exporting.export import ExportedFile, ExportReport, export_packed, formats_here
from digitlab.network.formats.tfjs import QUANTIZATIONS
from digitlab.studio.page import Page
from digitlab.studio.run_list import NO_RUNS, RunLine, open_run, report_url, run_lines
from digitlab.studio.tabs.comparison_view import ComparisonView
from digitlab.studio.trainer import Trainer
from digitlab.studio.widgets.card import Exports, Rows, card, dialog
from digitlab.studio.widgets.controls import choose_test_images, tell
from digitlab.studio.widgets.tables import Cell, Column, Row, SortableTable
from digitlab.text import percent

_NAME = "Runs"
# How often the folder is looked at while the tab is seen: runs are made at the terminal, too.
_LOOK_EVERY_S = 2.0
# With so many runs chosen.
_NEXT_STEPS = (
    "Choose two runs in the list to compare them.",
    "Choose one more run to compare with it.",
    "Comparing ...",
)
_NONE_YET = "There are no runs yet. Start a training in the Training tab; it is kept here."


class RunsTab:
    """The list, and below it the comparison of the two runs that are chosen in it."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._lines: list[RunLine] = []
        self._chosen: list[str] = []
        exports = Exports(name="runs", csv=lambda: run_table(self._lines))
        with card("Runs", help="runs", exports=exports):
            self._table = SortableTable("Runs", RUN_COLUMNS, heading_column=1, on_action=self._act)
            self._none = ui.label()
            tell(self._none, "")
        with ui.element("div").classes("toolbar"):
            choose_test_images(page)
            self._swap = ui.button("Swap A and B", on_click=self._swap_runs).props("outline")
            self._status = ui.label().classes("evaluated").props('role="status"')
        self._comparison = ComparisonView(page)
        self._exporting = ExportDialog(page)
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
            else:
                # A third one takes the place of the one that was chosen last, so that A stays for several comparisons.
                self._chosen = [*self._chosen[:1], name]
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

    # ---- comparing ----

    def _swap_runs(self) -> None:
        self._chosen.reverse()
        self._choice_changed()
        self._draw()

    def _choice_changed(self) -> None:
        n = len(self._chosen)
        self._swap.set_enabled(n == 2)
        tell(self._status, _NEXT_STEPS[n])
        if n == 2:
            self._comparing.ask(at_once=True)
        else:
            self._comparison.hide()

    async def _compare(self) -> None:
        chosen, page = tuple(self._chosen), self._page
        if len(chosen) != 2:
            return

        def fail(sentence: str) -> None:
            self._comparison.hide()
            tell(self._status, sentence, is_error=True)

        with page.telling_errors(fail, "The comparison failed: {}. Choose two other runs, or reload the page."):
            a, b = (open_run(page.trainer, name) for name in chosen)
            comparison = await asyncio.to_thread(compare, a, b, page.data, page.n_images)
            # Somebody may have chosen otherwise meanwhile; that comparison is on its way.
            if page.is_open and chosen == tuple(self._chosen):
                await self._comparison.show(comparison)
                tell(self._status, f"A is {chosen[0]}, B is {chosen[1]}.")


#: The table's columns.
RUN_COLUMNS = (
    Column("Compare", can_sort=False),
    Column("Name"),
    Column("Status"),
    Column("val_acc", is_number=True),
    Column("Test acc", is_number=True),
    *(Column(action, can_sort=False, is_hidden=True) for action in ("Evaluate", "Report", "Export")),
    Column("Began"),
    Column("Network"),
    Column("Seed", is_number=True),
    Column("Epochs", is_number=True),
    Column("Changed settings"),
)

_FIELDS = (
    "name", "began", "network", "changed_settings", "seed", "epochs_done", "epochs", "status", "val_accuracy",
    "test_accuracy", "problem",
)  # fmt: skip


def run_rows(lines: Sequence[RunLine], chosen: Sequence[str], trainer: Trainer) -> list[Row]:
    """Return a row for every run; those that are chosen are marked A and B."""
    here = trainer.run.name if trainer.run is not None and trainer.state in ("training", "paused") else ""
    return [_row(line, chosen, trainer.state if line.name == here else "", trainer.key) for line in lines]


def run_table(lines: Sequence[RunLine]) -> Rows:
    """Return the runs as a table to be saved; None is what a damaged run does not tell."""
    rows = []
    for line in lines:
        info = line.info.to_dict() if line.info is not None else {}
        known = {"name": line.name, "began": line.began.isoformat(timespec="seconds"), "problem": line.problem}
        known |= {"changed_settings": line.changed, "status": info.get("status", "damaged")}
        rows.append([known.get(name, info.get(name)) for name in _FIELDS])
    return _FIELDS, rows


def _row(line: RunLine, chosen: Sequence[str], state: str, key: str) -> Row:
    name, info = line.name, line.info
    letter = "AB"[chosen.index(name)] if name in chosen else ""
    began = Cell(f"{line.began:%Y-%m-%d %H:%M}", order=line.began.timestamp())
    if info is None:
        nothing = (Cell("", order=None),) * 4
        # The sentence takes the place of both accuracies, the evaluation, the report and the export.
        problem = Cell(line.problem, order=None, look="error long-text", span=5)
        return Row(name, (Cell(""), Cell(name), Cell("damaged"), problem, *nothing, began, *nothing))
    check = Cell(letter, kind="check", action="compare", says=f"Compare {name}", is_on=bool(letter))
    cells = (
        check if line.has_weights else Cell(""),
        Cell(name),
        Cell(state or info.status),
        _accuracy(info.val_accuracy),
        _accuracy(info.test_accuracy, info.problem),
        _button("Evaluate", "evaluate", f"Evaluate {name}") if line.has_model else Cell(""),
        _report(line, key),
        _button("Export", "export", f"Export {name}") if line.has_model else Cell(""),
        began,
        Cell(info.network),
        Cell(f"{info.seed}", order=info.seed),
        Cell(f"{info.epochs_done}/{info.epochs}", order=info.epochs_done),
        Cell(line.changed or "none", order=line.changed, look="long-text" if line.changed else "muted"),
    )
    return Row(name, cells, is_marked=bool(letter))


def _button(text: str, action: str, says: str) -> Cell:
    return Cell(text, kind="button", action=action, says=says)


def _report(line: RunLine, key: str) -> Cell:
    if line.has_report:
        href = report_url(line.name, key)
        return Cell("Report", kind="link", href=href, says=f"Report of {line.name}, in a new tab")
    return _button("Write report", "report", f"Write the report of {line.name}") if line.has_model else Cell("")


def _accuracy(fraction: float | None, problem: str = "") -> Cell:
    if problem:
        return Cell("damaged", order=None, look="error", says=f"damaged: {problem}")
    return Cell("", order=None) if fraction is None else Cell(percent(fraction), order=fraction)


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
