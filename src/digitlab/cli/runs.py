"""``digitlab runs``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from digitlab.cli.output import print_json, results_table, say, say_error, show_command, shown, stderr, stdout
from digitlab.cli.parameters import AsJson

if TYPE_CHECKING:
    from rich.table import Table

    from digitlab.runs.run import DamagedRun, RunInfo

_NARROW = 84
_STYLES = {"complete": "green", "interrupted": "yellow", "diverged": "red"}


def runs(*, out: Path = Path("runs"), as_json: AsJson = False) -> None:
    """List the runs in a folder, the newest last; damaged ones with what is wrong with them.

    Parameters
    ----------
    out
        The folder of runs.
    as_json
        Print a JSON list with an object for every run.
    """
    from digitlab.runs.listing import all_runs
    from digitlab.runs.run import DamagedRun

    found = all_runs(out)
    if as_json:
        print_json([one.to_dict() | ({"status": "damaged"} if isinstance(one, DamagedRun) else {}) for one in found])
    elif found:
        console = stdout()
        console.print(_runs_table(found, console.width))
        for one in found:
            if one.problem:
                say_error(f"{one.name}: {one.problem}")
    else:
        say(f"There are no runs in {out} yet. Train one with:")
        show_command(stderr(), "digitlab train" + ("" if out == Path("runs") else f" --out {out}"))


def _runs_table(runs: Sequence[RunInfo | DamagedRun], width: int) -> Table:
    """Return the list of runs, without their networks where there is little room."""
    from rich.text import Text

    from digitlab.runs.run import DamagedRun, RunInfo
    from digitlab.text import percent

    table = results_table()
    table.add_column("Run", overflow="fold")
    table.add_column("Status")
    if width > _NARROW:
        table.add_column("Network", overflow="fold")
    for heading in ("Epochs", "Validation", "Test"):
        table.add_column(heading, justify="right", no_wrap=True)
    is_steered = any(isinstance(info, RunInfo) and info.on_the_way for info in runs)
    if is_steered:
        table.add_column("On the way", overflow="fold")
    for info in runs:
        if isinstance(info, DamagedRun):
            table.add_row(shown(info.name), Text("damaged", style="red"))
            continue
        table.add_row(
            shown(info.name),
            Text(info.status, style=_STYLES.get(info.status, "dim")),
            *([info.network] if width > _NARROW else []),
            f"{info.epochs_done}/{info.epochs}",
            "-" if info.val_accuracy is None else percent(info.val_accuracy),
            "-" if info.test_accuracy is None else percent(info.test_accuracy),
            *(["\n".join(info.on_the_way)] if is_steered else []),
        )
    return table
