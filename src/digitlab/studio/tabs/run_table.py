"""The table of runs: what stands in its cells, and the same as it is saved."""

from __future__ import annotations

from collections.abc import Sequence

from digitlab.evaluation.overlay import MOST_RUNS
from digitlab.runs.label import LONGEST_NOTE, LONGEST_TITLE
from digitlab.studio.run_list import RunLine, report_url
from digitlab.studio.tabs.overlay_view import LETTERS
from digitlab.studio.trainer import Trainer
from digitlab.studio.widgets.card import Rows
from digitlab.studio.widgets.tables import Cell, Column, Row
from digitlab.text import percent

#: The table's columns.
RUN_COLUMNS = (
    Column("Compare", can_sort=False, is_hidden=True),
    Column("Name"),
    Column("Status"),
    Column("val_acc", is_number=True),
    Column("Test acc", is_number=True),
    Column("Began"),
    Column("Network"),
    Column("Changed settings"),
    Column("Actions", can_sort=False, is_hidden=True),
)

_FIELDS = (
    "name", "title", "note", "began", "network", "changed_settings", "seed", "epochs_done", "epochs", "status",
    "val_accuracy", "test_accuracy", "problem",
)  # fmt: skip


def run_rows(lines: Sequence[RunLine], chosen: Sequence[str], trainer: Trainer) -> list[Row]:
    """Return a row for every run; those that are chosen are marked A, B, C in their order."""
    here = trainer.run.name if trainer.run is not None and trainer.state in ("training", "paused") else ""
    return [_row(line, chosen, trainer.state if line.name == here else "", trainer.key) for line in lines]


def run_table(lines: Sequence[RunLine]) -> Rows:
    """Return the runs as a table to be saved; None is what a damaged run does not tell."""
    rows = []
    for line in lines:
        info = line.info.to_dict() if line.info is not None else {}
        known = {"name": line.name, "began": line.began.isoformat(timespec="seconds"), "problem": line.problem}
        known |= {"changed_settings": line.changed, "status": info.get("status", "damaged")} | line.label.to_dict()
        rows.append([known.get(name, info.get(name)) for name in _FIELDS])
    return _FIELDS, rows


def _row(line: RunLine, chosen: Sequence[str], state: str, key: str) -> Row:
    name, info = line.name, line.info
    letter = LETTERS[chosen.index(name)] if name in chosen else ""
    began = Cell(f"{line.began:%Y-%m-%d %H:%M}", order=line.began.timestamp(), look="began")
    delete = _button("Delete", "delete", f"Delete {name}")
    if info is None:
        nothing = Cell("", order=None)
        # The sentence takes the place of both accuracies.
        problem = Cell(line.problem, order=None, look="error long-text", span=2)
        cells = (Cell(""), _name(line), Cell("damaged"), problem, nothing, began, nothing, nothing, _actions(delete))
        return Row(name, cells)
    is_full = not letter and len(chosen) == MOST_RUNS
    check = Cell(letter, kind="check", action="compare", says=f"Compare {name}", is_on=bool(letter), is_off=is_full)
    status = (Cell(state or info.status), Cell(f"{info.epochs_done}/{info.epochs} epochs", look="muted"))
    network = (Cell(info.network), Cell(f"seed {info.seed}", look="muted"))
    cells = (
        check if line.has_weights else Cell(""),
        _name(line),
        Cell("", order=(state or info.status), parts=status, look="stacked"),
        _accuracy(info.val_accuracy),
        _accuracy(info.test_accuracy, info.problem),
        began,
        Cell("", order=f"{info.network} {info.seed:>12}", parts=network, look="stacked network"),
        Cell(line.changed or "none", order=line.changed, look="long-text changed" if line.changed else "muted changed"),
        _actions(
            *([_button("Evaluate", "evaluate", f"Evaluate {name}")] if line.has_model else []),
            *_report(line, key),
            *([_button("Export", "export", f"Export {name}")] if line.has_model else []),
            delete,
        ),
    )
    return Row(name, cells, is_marked=bool(letter))


def _name(line: RunLine) -> Cell:
    """Return what a run is called, to be typed over, and the name by which commands call it."""
    name, label = line.name, line.label
    title = Cell(label.title, kind="line", action="title", says=f"Title of {name}", hint=name, most=LONGEST_TITLE)
    note = Cell(label.note, kind="lines", action="note", says=f"Note on {name}", hint="Add a note", most=LONGEST_NOTE)
    own = (Cell(name, look="muted"),) if label.title else ()
    return Cell(name, order=(label.title or name).casefold(), parts=(title, *own, note), look="stacked run-called")


def _actions(*cells: Cell) -> Cell:
    return Cell("", order=None, parts=cells, look="actions")


def _button(text: str, action: str, says: str) -> Cell:
    return Cell(text, kind="button", action=action, says=says)


def _report(line: RunLine, key: str) -> list[Cell]:
    if line.has_report:
        told = f"Report of {line.name}, in a new tab"
        return [Cell("Report", kind="link", href=report_url(line.name, key), says=told)]
    return [_button("Write report", "report", f"Write the report of {line.name}")] if line.has_model else []


def _accuracy(fraction: float | None, problem: str = "") -> Cell:
    if problem:
        return Cell("damaged", order=None, look="error", says=f"damaged: {problem}")
    return Cell("", order=None) if fraction is None else Cell(percent(fraction), order=fraction)
