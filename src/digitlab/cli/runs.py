"""``digitlab runs`` and ``digitlab compare``: runs listed, named, noted, deleted; which of two is better."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import App, Group

from digitlab.cli.terminal import (
    AsJson,
    Flag,
    Pixels,
    StateNetwork,
    WholeNumber,
    folding,
    print_json,
    results_table,
    right,
    say,
    say_error,
    show_command,
    shown,
    stderr,
    stdout,
)
from digitlab.errors import ConfigError
from digitlab.text import counted, percent, setting_text

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from digitlab.evaluation.comparison import Comparison
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
        show_command(stderr(), f"digitlab train{_where(out)}")


def show_run(run: str, /, *, out: Path = Path("runs"), as_json: AsJson = False) -> None:
    """Tell what was done in a run: its settings, what was changed on the way, how it ended, and how to repeat it.

    Parameters
    ----------
    run
        A run's name or folder, or "latest".
    out
        The folder of runs.
    as_json
        Print one JSON object: the run as in the list, its settings, and every change on the way.
    """
    from rich.table import Table
    from rich.text import Text

    from digitlab.runs.history import record_form
    from digitlab.runs.listing import find_run
    from digitlab.training.config import TrainConfig

    found = find_run(run, out)
    info, config = found.info(), TrainConfig.from_dict(found.settings())
    if as_json:
        steering = [record_form(one) for one in found.steering()]
        print_json(info.to_dict() | {"settings": config.to_dict(), "steering": steering})
        return
    n = f"{info.epochs_done:,} of {counted(info.epochs, 'epoch')}, {counted(info.batches_done, 'batch', 'batches')}"
    changed = {name: value for name, value in config.changed().items() if name not in ("network", "epochs")}
    figures = (("validation", info.val_accuracy), ("test", info.test_accuracy))
    rows = {
        "Run": shown(found.label.of(info.name)),
        "Status": f"{info.status}: {n}",
        "Network": shown(info.network),
        "Settings": "\n".join(shown(f"{name} {setting_text(value)}") for name, value in changed.items())
        or "the defaults of digitlab train",
        "On the way": "\n".join(map(shown, info.on_the_way)) or "nothing was changed",
        "Accuracy": ", ".join(f"{name} {percent(value)}" for name, value in figures if value is not None) or "-",
        "Repeat": shown(info.command),
        **({"Note": shown(info.note)} if info.note else {}),
        **({"Go on": shown(found.resume_command())} if info.status == "interrupted" else {}),
    }
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in rows.items():
        table.add_row(name, Text(text))
    stdout().print(table)
    if info.problem:
        say_error(f"{info.name}: {info.problem}")


def name_run(run: str, title: str, /, *, out: Path = Path("runs"), as_json: AsJson = False) -> None:
    """Give a run a title, which stands wherever runs are listed; commands go on calling it by its name.

    Parameters
    ----------
    run
        A run's name or folder, or "latest".
    title
        At most 80 characters; "" takes the title away.
    out
        The folder of runs.
    as_json
        Print the run's title and note as one JSON object.
    """
    from digitlab.runs.listing import find_run

    found = find_run(run, out)
    label = found.annotate(title=title)
    if as_json:
        print_json(label.to_dict())
    else:
        say(f"{found.name} is called {label.title!r}." if label.title else f"{found.name} has no title.")


def note_run(run: str, note: str | None = None, /, *, out: Path = Path("runs"), as_json: AsJson = False) -> None:
    """Write down what should be remembered of a run; without a note, print the one that it has.

    Parameters
    ----------
    run
        A run's name or folder, or "latest".
    note
        At most 2,000 characters, instead of the note that it has; "" takes it away.
    out
        The folder of runs.
    as_json
        Print the run's title and note as one JSON object.
    """
    from digitlab.runs.listing import find_run

    found = find_run(run, out)
    label = found.label if note is None else found.annotate(note=note)
    if as_json:
        print_json(label.to_dict())
    elif note is None and label.note:
        stdout().print(label.note)
    else:
        say(f"The note of {found.name} is kept." if label.note else f"{found.name} has no note.")


def delete_runs(run: str, /, *more: str, yes: Flag = False, out: Path = Path("runs"), as_json: AsJson = False) -> None:
    """Delete runs, after asking; the last 20 can be brought back with digitlab runs restore.

    Parameters
    ----------
    run
        A run's name or folder.
    more
        Others.
    yes
        Do not ask.
    out
        The folder of runs.
    as_json
        Print a JSON list that says of every deleted run where it lies in the trash, and since when.
    """
    from digitlab.runs.listing import find_run
    from digitlab.runs.trash import delete_run, what_is_lost

    found = [find_run(name, out) for name in dict.fromkeys((run, *more))]
    told = [f"{one.label.of(one.name)}: {what_is_lost(one)}" for one in found]
    if not yes:
        if not sys.stdin.isatty():
            raise ConfigError("Nobody can be asked here whether to delete. Add --yes to delete without a question.")
        for line in told:
            say(line)
        say(f"Delete {'it' if len(found) == 1 else f'these {len(found)} runs'}? y for yes, anything else for no:")
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            say("Nothing is deleted.")
            return
    deleted = []
    for one in found:
        deleted.append(delete_run(one).to_dict())
        say(f"{one.name} is deleted. Bring it back with:")
        show_command(stderr(), f"digitlab runs restore {one.name}{_where(one.path.parent)}")
    if as_json:
        print_json(deleted)


def restore(run: str, /, *, out: Path = Path("runs"), as_json: AsJson = False) -> None:
    """Bring back a run that was deleted, one of the last 20.

    Parameters
    ----------
    run
        Its name.
    out
        The folder of runs.
    as_json
        Print the run as one JSON object, as in the list.
    """
    from digitlab.runs.trash import restore_run

    found = restore_run(run, out)
    if as_json:
        print_json(found.info().to_dict())
    else:
        say(f"{found.path} is back.")


def _where(out: Path) -> str:
    return "" if out == Path("runs") else f" --out {shlex.quote(str(out))}"


def __getattr__(name: str) -> App:
    # Made anew for every command line: an App keeps the width of the terminal that it was first shown in.
    if name != "RUNS":
        raise AttributeError(name)
    verbs = App(name="runs", default_command=runs, group_parameters=Group("Options", sort_key=3))
    for verb, function in _VERBS.items():
        verbs.command(function, name=verb)
    return verbs


# The verbs of the command, whose help is laid out as that of all commands.
_VERBS: dict[str, Callable[..., object]] = {
    "show": show_run,
    "name": name_run,
    "note": note_run,
    "delete": delete_runs,
    "restore": restore,
}


def _runs_table(runs: Sequence[RunInfo | DamagedRun], width: int) -> Table:
    """Return the list of runs, without their networks where there is little room."""
    from rich.text import Text

    from digitlab.runs.run import DamagedRun, RunInfo

    is_wide = width > _NARROW
    is_steered = any(isinstance(info, RunInfo) and info.on_the_way for info in runs)
    table = results_table("", folding("Run"), "Status", *([folding("Network")] if is_wide else []))
    for heading in ("Epochs", "Validation", "Test"):
        table.add_column(heading, justify="right", no_wrap=True)
    if is_steered:
        table.add_column("On the way", overflow="fold")
    for info in runs:
        if isinstance(info, DamagedRun):
            table.add_row(_called(info.name, info.title), Text("damaged", style="red"))
            continue
        table.add_row(
            _called(info.name, info.title),
            Text(info.status, style=_STYLES.get(info.status, "dim")),
            *([info.network] if is_wide else []),
            f"{info.epochs_done}/{info.epochs}",
            "-" if info.val_accuracy is None else percent(info.val_accuracy),
            "-" if info.test_accuracy is None else percent(info.test_accuracy),
            *(["\n".join(info.on_the_way)] if is_steered else []),
        )
    return table


def _called(name: str, title: str) -> Text:
    """Return a run's title, and below it the name by which commands call it."""
    from rich.text import Text

    return Text.assemble(shown(title), "\n", (shown(name), "dim")) if title else Text(shown(name))


def compare(
    a: str,
    b: str,
    /,
    *,
    images: WholeNumber | None = None,
    data: Path | None = None,
    pixels: Pixels = None,
    network: StateNetwork = None,
    out: Path = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Tell which of two runs or model files reads better, and first in what they were not trained alike.

    Both answer the same test images. Whether the difference may be chance is told by McNemar's exact test on the images
    that they answer differently. An interrupted run is compared with the weights that were saved last.

    Parameters
    ----------
    a
        A run's name or folder, "latest", or a model file: .safetensors, .keras, .h5, .onnx, or TensorFlow.js'
        model.json.
    b
        Another one.
    images
        Compare on so many test images instead of all; the codelab takes 500.
    data
        A set of images, as for digitlab train, instead of the data that the first run was trained with.
    pixels
        How the pixels were scaled that the networks of model files learned from: 0-255, 0-1, -1-1, or MEAN,STD of
        pixels from 0 to 1 (PyTorch's Normalize), such as 0.1307,0.3081. By default what a file says, or what fits far
        better, which is told.
    network
        The network whose weights PyTorch state dicts (.safetensors) hold: a name of the zoo, or a JSON file with
        layers. All other files say it themselves.
    out
        The folder of runs.
    as_json
        Print the comparison as one JSON object: settings, histories, evaluations, and every image answered differently.
    """
    from digitlab.data.mnist import MnistData
    from digitlab.evaluation.comparison import compare as compared
    from digitlab.evaluation.comparison import verdict

    own = None if data is None else MnistData.load(data)
    found = compared(a, b, own, images, out=out, pixels=pixels, network=network)
    if as_json:
        print_json(found.to_dict())
        return
    console = stdout()
    if found.unlike:
        console.print(shown(found.unlike))
        console.print()
    for table in _tables(found):
        console.print(table)
        console.print()
    console.print(verdict(found))
    for letter, run in (("A", found.a), ("B", found.b)):
        told = (*(() if run.is_complete else ("interrupted: these are the weights saved last",)), *run.on_the_way)
        if told:
            console.print(shown(f"{letter}: {'; '.join(told)}."))


def _tables(comparison: Comparison) -> list[Table]:
    """Return the figures of both runs, and the settings that differ, if any."""

    numbers = map(right, ("Accuracy", "95 % interval", "Loss", "# Of Params"))
    title = f"Two runs compared on {comparison.a.evaluation.n_images:,} test images of {comparison.data}"
    figures = results_table(shown(title), folding(""), folding("Run"), *numbers)
    for letter, run in (("A", comparison.a), ("B", comparison.b)):
        found, (low, high) = run.evaluation, run.evaluation.interval
        interval = f"{percent(low)} to {percent(high)}"
        cells = (percent(found.accuracy), interval, f"{found.loss:.4f}", f"{run.n_parameters:,}")
        figures.add_row(letter, shown(run.name), *cells)
    settings = results_table("", *map(folding, ("Set differently", "A", "B")))
    for setting in comparison.settings:
        texts = (shown(setting_text(value)) for value in (setting.a, setting.b))
        settings.add_row(shown(setting.name.replace("_", " ")), *texts)
    return [figures, settings] if comparison.settings else [figures]
