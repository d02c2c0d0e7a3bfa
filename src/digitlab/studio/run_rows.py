"""The runs as rows: of the table on the page, and of the files that are saved of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from digitlab.evaluation.markup import percent
from digitlab.studio.card import Rows
from digitlab.studio.report_route import report_url
from digitlab.studio.run_list import RunLine
from digitlab.studio.sortable_table import Cell, Column, Row
from digitlab.studio.trainer import Trainer

__all__ = ["RUN_COLUMNS", "run_records", "run_rows", "run_table"]

#: The table's columns.
RUN_COLUMNS = (
    Column("Compare", can_sort=False),
    Column("Name"),
    Column("Status"),
    Column("val_acc", is_number=True),
    Column("Test acc", is_number=True),
    Column("Evaluate", can_sort=False, is_hidden=True),
    Column("Report", can_sort=False, is_hidden=True),
    Column("Export", can_sort=False, is_hidden=True),
    Column("Began"),
    Column("Network"),
    Column("Seed", is_number=True),
    Column("Epochs", is_number=True),
    Column("Changed settings"),
)

_ACTIVE = ("training", "paused")
_FIELDS = (
    "name", "began", "network", "changed_settings", "seed", "epochs_done", "epochs", "status", "val_accuracy",
    "test_accuracy", "problem",
)  # fmt: skip


def run_rows(lines: Sequence[RunLine], chosen: Sequence[str], trainer: Trainer) -> list[Row]:
    """Return a row for every run; those that are chosen are marked A and B."""
    here = trainer.run.name if trainer.run is not None and trainer.state in _ACTIVE else ""
    return [_row(line, chosen, trainer.state if line.name == here else "") for line in lines]


def run_table(lines: Sequence[RunLine]) -> Rows:
    """Return the runs as a table to be saved."""
    records = run_records(lines)
    return _FIELDS, [[record[name] for name in _FIELDS] for record in records]


def run_records(lines: Sequence[RunLine]) -> list[dict[str, Any]]:
    """Return the runs as plain values to be saved; None is what a damaged run does not tell."""
    records = []
    for line in lines:
        info = line.info.to_dict() if line.info is not None else {}
        known = {"name": line.name, "began": line.began.isoformat(timespec="seconds"), "problem": line.problem}
        known |= {"changed_settings": line.changed, "status": info.get("status", "damaged")}
        records.append({name: known.get(name, info.get(name)) for name in _FIELDS})
    return records


def _row(line: RunLine, chosen: Sequence[str], state: str) -> Row:
    name = line.name
    letter = "AB"[chosen.index(name)] if name in chosen else ""
    began = Cell(f"{line.began:%Y-%m-%d %H:%M}", order=line.began.timestamp())
    info = line.info
    if info is None:
        nothing = Cell("", order=None)
        # The sentence takes the place of both accuracies, the evaluation, the report and the export.
        problem = Cell(line.problem, order=None, look="error long-text", span=5)
        told = (Cell("damaged"), problem, nothing, nothing, nothing, nothing, began, nothing, nothing, nothing, nothing)
        return Row(name, (Cell(""), Cell(name), *told))
    cells = (
        _check(line, letter),
        Cell(name),
        Cell(state or info.status),
        _accuracy(info.val_accuracy),
        _accuracy(info.test_accuracy, info.problem),
        Cell("Evaluate", kind="button", action="evaluate", says=f"Evaluate {name}") if line.has_model else Cell(""),
        _report(line),
        Cell("Export", kind="button", action="export", says=f"Export {name}") if line.has_model else Cell(""),
        began,
        Cell(info.network),
        Cell(f"{info.seed}", order=info.seed),
        Cell(f"{info.epochs_done}/{info.epochs}", order=info.epochs_done),
        Cell(line.changed or "none", order=line.changed, look="long-text" if line.changed else "muted"),
    )
    return Row(name, cells, is_marked=bool(letter))


def _check(line: RunLine, letter: str) -> Cell:
    if not line.has_weights:
        return Cell("")
    return Cell(letter, kind="check", action="compare", says=f"Compare {line.name}", is_on=bool(letter))


def _report(line: RunLine) -> Cell:
    if line.has_report:
        return Cell("Report", kind="link", href=report_url(line.name), says=f"Report of {line.name}, in a new tab")
    if line.has_model:
        return Cell("Write report", kind="button", action="report", says=f"Write the report of {line.name}")
    return Cell("")


def _accuracy(fraction: float | None, problem: str = "") -> Cell:
    if problem:
        return Cell("damaged", order=None, look="error", says=f"damaged: {problem}")
    return Cell("", order=None) if fraction is None else Cell(percent(fraction), order=fraction)
