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
    """List the runs in a folder, the newest last; damaged ones with what is wrong with them.

    Parameters
    ----------
    out
        The folder of runs.
    as_json
        Print a JSON list with an object for every run.
    """
    from digitlab.cli.tables import runs_table
    from digitlab.cli.terminal import print_json, say, say_error, show_command, stderr, stdout
    from digitlab.runs.listing import all_runs
    from digitlab.runs.summary import DamagedRun

    found = all_runs(out)
    damaged = [one for one in found if isinstance(one, DamagedRun)]
    if as_json:
        print_json([one.to_dict() | ({"status": "damaged"} if one in damaged else {}) for one in found])
    elif found:
        console = stdout()
        console.print(runs_table(found, console.width))
        for one in found:
            if one.problem:
                say_error(f"{one.name}: {one.problem}")
    else:
        say(f"There are no runs in {out} yet. Train one with:")
        show_command(stderr(), "digitlab train" + ("" if out == Path("runs") else f" --out {out}"))
