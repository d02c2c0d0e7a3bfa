"""``digitlab sweep``: many runs, and which settings are best."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter
from rich.table import Column

from digitlab.cli.terminal import (
    AsJson,
    Flag,
    WholeNumber,
    print_json,
    results_table,
    say,
    stdout,
)
from digitlab.cli.train import TrainSettings, describe_presets, given
from digitlab.errors import ConfigError
from digitlab.text import counted, percent
from digitlab.training.config import parsed_values, preset

if TYPE_CHECKING:
    from rich.table import Table

    from digitlab.evaluation.sweep import Sweep

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
    console.print(_told(result))
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


def _told(result: Sweep) -> str:
    """Say what was chosen, and how good it is."""
    best = result.best
    if best is None:
        return "No combination came through with every seed, so none is chosen."
    chosen, tests = f"Chosen by validation: {best.words}.", best.test_accuracies
    if not tests:
        return f"{chosen} Single test images cannot judge a network that sees parts of pages."
    if len(tests) == 1:
        return f"{chosen} On the test images, looked at once, its run has {percent(tests[0])}."
    return (
        f"{chosen} On the test images, looked at once, its {counted(len(tests), 'run')} have "
        f"{percent(sum(tests) / len(tests))} on average ({percent(min(tests))} to {percent(max(tests))})."
    )


def _table(result: Sweep) -> Table:
    """Return the table of the points, the best first."""
    names = list(result.points[0].settings)
    headings = ("Mean, %", "Spread", "95 % interval", "Runs")
    table = results_table(
        "Validation accuracy, % of the images", *(name.replace("_", " ") for name in names),
        *(Column(heading, justify="right", no_wrap=True) for heading in headings),
    )  # fmt: skip
    order = sorted(range(len(result.points)), key=lambda k: -(result.points[k].mean or 0.0))
    for k in order:
        point = result.points[k]
        n_bad = len(result.seeds) - len(point.done)
        table.add_row(
            *(str(point.settings[name]) for name in names),
            _number(point.mean),
            _number(point.spread),
            "" if point.interval is None else " to ".join(map(_number, point.interval)),
            f"{len(point.done)}{f' of {len(result.seeds)}' if n_bad else ''}",
            style="bold" if k == result.chosen else None,
        )
    n_diverged = sum(len(result.seeds) - len(point.done) for point in result.points)
    if n_diverged:
        table.caption = f"{counted(n_diverged, 'run')} diverged; the figures are those of the others."
        table.caption_justify = "left"
    return table


def _number(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f}"
