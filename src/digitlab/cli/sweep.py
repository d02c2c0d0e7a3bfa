"""``digitlab sweep``: many runs, and which settings are best."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from digitlab.cli.terminal import (
    AsJson,
    Flag,
    WholeNumber,
    print_json,
    results_table,
    right,
    say,
    stdout,
)
from digitlab.cli.train import TrainSettings, describe_presets, given
from digitlab.errors import ConfigError
from digitlab.text import counted, percent
from digitlab.training.config import parsed_values, preset

if TYPE_CHECKING:
    from rich.table import Table

    from digitlab.evaluation.sweep import Sweep, SweepPoint

_SWEEP = Group("Sweep", sort_key=1)


def sweep(
    *,
    grid: Annotated[tuple[str, ...], Parameter(group=_SWEEP, consume_multiple=True)] = (),
    seeds: Annotated[WholeNumber, Parameter(group=_SWEEP)] = 3,
    settings: Annotated[TrainSettings | None, Parameter(name="*")] = None,
    preset_name: Annotated[
        str | None, Parameter(name="--preset", help=describe_presets(), show_default=lambda _: "codelab", group=_SWEEP)
    ] = None,
    out: Annotated[Path, Parameter(group=_SWEEP)] = Path("runs"),
    name: Annotated[str, Parameter(group=_SWEEP)] = "sweep",
    force: Annotated[Flag, Parameter(group=_SWEEP)] = False,
    workers: Annotated[WholeNumber | None, Parameter(group=_SWEEP)] = None,
    cluster: Annotated[str | None, Parameter(group=_SWEEP)] = None,
    as_json: Annotated[AsJson, Parameter(group=_SWEEP)] = False,
) -> None:
    """Train every combination of some settings with several seeds, and choose the best by validation images.

    The test images are looked at once, at the end, with the runs of the combination that was chosen. Interrupted, the
    same command goes on. The runs are in a folder of their own: digitlab runs --out runs/sweep

    Parameters
    ----------
    grid
        Settings and the values to try: --grid learning_rate=0.003,0.01 network=codelab_cnn,fast_cnn
    seeds
        How many seeds every combination is trained with: --seed and those after it.
    out
        The folder that the sweep's folder is in.
    name
        The sweep's name.
    force
        Begin anew where there is another sweep of that name.
    workers
        Processes that train side by side; as many as there are cores by default.
    cluster
        Train on the workers of a Dask scheduler (tcp://HOST:8786), or local.
    as_json
        Print what came out as one JSON object.
    """
    from digitlab.evaluation.sweep import CHART
    from digitlab.evaluation.sweep import sweep as swept

    n_done = 0

    def tell(run: str, accuracy: float | None) -> None:
        nonlocal n_done
        n_done += 1
        say(f"{n_done}  {run}: {'diverged' if accuracy is None else percent(accuracy) + ' of validation images'}")

    result = swept(
        preset(preset_name or "codelab", given(settings)), _grid(grid), seeds=seeds, out=out, name=name, force=force,
        workers=workers, cluster=cluster, on_run=tell,
    )  # fmt: skip
    if as_json:
        print_json(result.to_dict())
        return
    console = stdout()
    console.print(_table(result))
    best = result.best
    if best is None:
        console.print("No combination came through with every seed, so none is chosen.")
    else:
        tests = best.test_accuracies
        console.print(
            f"Chosen by validation: {_words(best)}. On the test images, looked at once, its "
            f"{counted(len(tests), 'run')} {'has' if len(tests) == 1 else 'have'} "
            f"{percent(sum(tests) / len(tests))} on average ({percent(min(tests))} to {percent(max(tests))})."
        )
    console.print(f"Runs   {result.path}\nChart  {Path(result.path) / CHART}", soft_wrap=True)


def _grid(words: tuple[str, ...]) -> dict[str, list[Any]]:
    grid: dict[str, list[Any]] = {}
    for word in words:
        setting, is_given, values = word.partition("=")
        setting = setting.replace("-", "_")
        if not is_given or not values:
            raise ConfigError(f"--grid {word} is not a setting with values, such as learning_rate=0.003,0.01.")
        if setting in grid:
            raise ConfigError(f"--grid has {setting} twice; give all its values at once.")
        grid[setting] = parsed_values(setting, values.split(","))
    return grid


def _words(point: SweepPoint) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in point.settings.items()) or "the settings"


def _table(result: Sweep) -> Table:
    """Return the table of the points, the best first."""
    names = list(result.points[0].settings)
    numbers = map(right, ("Validation", "Spread", "95 % interval", "Runs"))
    table = results_table("", "", *(name.replace("_", " ") for name in names), *numbers)
    order = sorted(range(len(result.points)), key=lambda k: -(result.points[k].mean or 0.0))
    for k in order:
        point = result.points[k]
        interval = "" if point.interval is None else " to ".join(percent(one) for one in point.interval)
        n_bad = len(result.seeds) - len(point.done)
        table.add_row(
            "chosen" if k == result.chosen else "",
            *(str(point.settings[name]) for name in names),
            "" if point.mean is None else percent(point.mean),
            "" if point.spread is None else percent(point.spread),
            interval,
            f"{len(point.done)}{f', {n_bad} diverged' if n_bad else ''}",
        )
    return table
