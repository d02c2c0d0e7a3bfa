"""``digitlab runs``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

__all__ = ["runs"]


def runs(
    *,
    out: Path = Path("runs"),
    as_json: Annotated[bool, Parameter(name="--json", negative="", show_default=False)] = False,
) -> None:
    """List the runs in a folder, the newest last.

    Parameters
    ----------
    out
        The folder of runs.
    as_json
        Print a JSON list with an object for every run.
    """
    from digitlab.cli.tables import runs_table
    from digitlab.cli.terminal import print_json, say, show_command, stderr, stdout
    from digitlab.runs.listing import list_runs

    found = list_runs(out)
    if as_json:
        print_json([info.to_dict() for info in found])
    elif found:
        console = stdout()
        console.print(runs_table(found, console.width))
    else:
        say(f"There are no runs in {out} yet. Train one with:")
        show_command(stderr(), "digitlab train" + ("" if out == Path("runs") else f" --out {out}"))
