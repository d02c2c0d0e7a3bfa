"""``digitlab train``: its options, made from ``TrainConfig``, and the way to a trained, evaluated and reported run."""

from __future__ import annotations

import dataclasses
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, get_type_hints

from cyclopts import Group, Parameter
from docstring_parser import DocstringStyle, parse
from rich.text import Text

from digitlab.cli.terminal import (
    COMPILING,
    NUMBER,
    WHOLE_NUMBER,
    AsJson,
    Flag,
    Interruption,
    print_json,
    results_table,
    right,
    say,
    saying_that_it_reads,
    show_command,
    stderr,
    stdout,
)
from digitlab.errors import ConfigError, TrainingDivergedError
from digitlab.text import duration, percent
from digitlab.training.config import ELSEWHERE, PRESETS, TrainConfig, preset
from digitlab.values import EpochRecord, Evaluation, FinderEpochRecord, StepRecord

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.console import Console, ConsoleRenderable
    from rich.table import Table

    from digitlab.runs.run import Run
    from digitlab.training.session import TrainingSession

_SETTINGS = Group("Settings", sort_key=2)
_RUN = Group("Run", sort_key=1)
_BAR = 30

_STOPPING = " Stopping after this batch; Ctrl-C again ends at once."
# A batch takes milliseconds when its kernels are in the cache.
_COMPILING_AFTER_S = 1.0
_COMPILING_THERE = "Compiling for the device; later runs begin sooner."
_FRAMES_PER_S = 10


def given(settings: TrainSettings | None) -> dict[str, Any]:
    """Return the settings that were given at the command line."""
    if settings is None:
        return {}
    values = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    return {name: value for name, value in values.items() if value is not None}


def describe_presets() -> str:
    """Return what the presets are, in a sentence."""
    parts = []
    for name, changes in PRESETS.items():
        words = [f"{key.replace('_', '-')} {_plain(value)}" for key, value in changes.items()]
        parts.append(f"{name}: {', '.join(words) if words else 'the defaults below'}")
    return "Where the settings start from. " + "; ".join(parts) + "."


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _default(name: str, default: Any) -> str | bool:
    others = [f"{key}: {_plain(changes[name])}" for key, changes in PRESETS.items() if name in changes]
    shown = ([] if default is None else [_plain(default)]) + ([f"({', '.join(others)})"] if others else [])
    return " ".join(shown) or False


def _settings_class() -> type:
    documented = {
        entry.arg_name: entry.description for entry in parse(TrainConfig.__doc__ or "", DocstringStyle.NUMPYDOC).params
    }
    hints = get_type_hints(TrainConfig)
    converters = {int: WHOLE_NUMBER, float: NUMBER}
    fields: list[tuple[str, Any, Any]] = []
    for field in dataclasses.fields(TrainConfig):
        kind = next(one for one in (bool, int, float, str) if hints[field.name] in (one, one | None))
        parameter = Parameter(
            help=" ".join((documented[field.name] or "").split()),
            show_default=_default(field.name, field.default),
            converter=converters.get(kind),
            group=_SETTINGS,
        )
        fields.append((field.name, Annotated[kind | None, parameter], None))
    # cyclopts takes a class of the module "types", which it would be, for one of Python's own.
    namespace = {"__module__": __name__}
    return dataclasses.make_dataclass("TrainSettings", fields, namespace=namespace, kw_only=True, frozen=True)


if TYPE_CHECKING:

    class TrainSettings:
        """Every field of ``TrainConfig``, or None where it was not given."""

        __dataclass_fields__: ClassVar[dict[str, Any]]

else:
    TrainSettings = _settings_class()


def train(
    *,
    settings: Annotated[TrainSettings | None, Parameter(name="*")] = None,
    preset_name: Annotated[
        str | None, Parameter(name="--preset", help=describe_presets(), show_default=lambda _: "codelab", group=_RUN)
    ] = None,
    out: Annotated[Path, Parameter(group=_RUN)] = Path("runs"),
    name: Annotated[str | None, Parameter(group=_RUN)] = None,
    force: Annotated[Flag, Parameter(group=_RUN)] = False,
    resume: Annotated[Flag, Parameter(group=_RUN)] = False,
    repeat: Annotated[str | None, Parameter(group=_RUN)] = None,
    hosts: Annotated[str | None, Parameter(group=_RUN)] = None,
    process: Annotated[str | None, Parameter(group=_RUN)] = None,
    quiet: Annotated[Flag, Parameter(alias="-q", group=_RUN)] = False,
    as_json: Annotated[AsJson, Parameter(group=_RUN)] = False,
) -> int:
    """Train a network on handwritten digits, evaluate it and write a report.

    Without options this is the codelab's training run. The run gets a folder of its own, with the settings, the
    history, the weights, the evaluation on the whole test set and the report (report.html). Ctrl-C ends a training
    between two batches and keeps what there is; --resume goes on with it and gives the same weights, bit for
    bit on processors with the same vector instructions (AVX-512, AVX2 and NEON each have their own).

    Parameters
    ----------
    out
        The folder of runs.
    name
        The run's name; date, network and seed by default.
    force
        Replace a run of that name.
    resume
        Go on with the run of that --name, or with the newest one that was interrupted; --device and --precision may
        be others.
    repeat
        Make the weights of this run (a name or a folder) anew, bit for bit on processors with the same vector
        instructions: with its settings, its network, and the learning rates that were set on the way. One that was
        stopped is trained as far as it was, and what a network learned from corrections is learned again. Settings
        that are given, such as --network, take the place of its own, for a fair comparison with it.
    hosts
        Train together with processes on other hosts: COORDINATOR:PORT, a free port of the first one's host, the same
        for all; or auto under Slurm, Open MPI or Kubernetes. Needs --device gpu, tpu or cpu-xla.
    process
        Which of how many processes this is, from 0, such as 0/2. The first one keeps the run; to resume, all need its
        folder.
    quiet
        Print nothing but the run's folder.
    as_json
        Print one JSON object a line: {"kind": "step", ...} for every batch and {"kind": "epoch", ...} for every epoch
        as they happen, and {"kind": "result", ...} or {"kind": "interrupted", ...} at the end.
    """
    told = given(settings)
    others = dict(told) if repeat is not None else {}
    if resume:
        others = {option: told.pop(option) for option in ELSEWHERE if option in told}
    config = _config(told, preset_name, force=force, resume=resume, repeat=repeat)
    began = time.perf_counter()
    if hosts or process:
        from digitlab.cli.hosts import is_watched, join, train_along, watch
        from digitlab.engine.xla.devices import leave_hosts

        if not is_watched():
            return watch(sys.argv[1:], out)
        if not join(hosts, process, config, others):
            train_along(config, out, name, resume=resume, repeat=repeat, settings=others)
            return 0
    from digitlab.evaluation.finish import finish, keep_timings
    from digitlab.evaluation.train import train_session
    from digitlab.runs.listing import find_run
    from digitlab.runs.run import MODEL
    from digitlab.training.keeping import is_fine_tuned
    from digitlab.training.session import check_unchanged, open_session

    original: _Original | None = None
    if repeat is not None:
        run = find_run(repeat, out)
        # With other settings its weights are others.
        original = None if others else _Original(run.path, _weights(run))
        if is_fine_tuned(run):
            check_unchanged(run, others)
            assert original is not None
            _learn_again(run, original, out, name, force=force, as_json=as_json, quiet=quiet)
            return 0
    with Interruption() as interruption:
        with saying_that_it_reads(None if config is None or quiet else config.data):
            session = open_session(config, out, name=name, force=force, resume=resume, repeat=repeat, settings=others)
        assert session.run is not None  # there is a folder, so there is a run
        run = session.run
        timings = {"load": time.perf_counter() - began}
        if not quiet:
            for note in (*session.data.notes, *session.notes):
                say(note)
        progress = TrainingProgress(
            stderr(),
            session.config.epochs,
            session.n_steps,
            lines=not as_json and not quiet,
            # Lines of JSON and a bar on the same terminal would overwrite each other.
            live=not quiet and not (as_json and stdout().is_terminal),
            is_stopping=lambda: interruption.requested,
            compiling=COMPILING if session.config.device == "cpu" else _COMPILING_THERE,
        )

        def show(record: StepRecord | EpochRecord) -> None:
            progress.record(record)
            if as_json:
                kind = "step" if isinstance(record, StepRecord) else "epoch"
                print_json({"kind": kind} | record.to_dict(), indent=None)

        if hosts:
            from digitlab.cli.hosts import check_sessions

            check_sessions(session)
        try:
            with progress:
                train_session(session, timings, show, lambda: interruption.requested)
        except TrainingDivergedError as error:
            if hosts:
                leave_hosts()
            raise TrainingDivergedError(f"{error} The weights are in {run.path / MODEL}.") from None
        if not session.finished:
            keep_timings(run, timings, add=True)
            _tell_interrupted(session, run, as_json=as_json, quiet=quiet)
            if session.is_there:
                if original is not None:
                    _tell_repeated(original, run, quiet=quiet)
                return 0
            return interruption.exit_code
    if hosts:
        leave_hosts()
    if original is not None:
        _tell_repeated(original, run, quiet=quiet)
    try:
        evaluation, report = finish(session, timings)
    except KeyboardInterrupt:
        say("Stopped before the evaluation was written; the trained network is kept. Evaluate it with:")
        show_command(stderr(), f"digitlab evaluate {run.path}")
        raise
    if not as_json and not quiet:
        _show(session, run, evaluation, timings)
    _tell_places(run, report, evaluation, timings, as_json=as_json, quiet=quiet)
    return 0


def _config(
    settings: dict[str, object], preset_name: str | None, *, force: bool, resume: bool, repeat: str | None
) -> TrainConfig | None:
    """Return what to train, or None for a run that has its own settings."""
    if not resume and repeat is None:
        return preset(preset_name or "codelab", settings)
    if repeat is not None:
        word, does, others = "--repeat", "makes a run anew from its own settings", ["resume"] * resume
    else:
        word, does, others = "--resume", "goes on with a run and its own settings", [*["force"] * force, *settings]
    if others := [*others, *["preset"] * (preset_name is not None)]:
        options = ", ".join(f"--{option.replace('_', '-')}" for option in others)
        raise ConfigError(f"{word} {does}; leave out {options}, or leave out {word} to start anew.")
    return None


@dataclasses.dataclass(frozen=True, eq=False)
class _Original:
    """A run that is repeated: looked at before, since --force may put its repetition in its place."""

    path: Path
    weights: tuple[NDArray[np.float32], ...] | None


def _weights(run: Run) -> tuple[NDArray[np.float32], ...] | None:
    from digitlab.runs.run import MODEL, STATE

    if run.has(MODEL):
        return run.load_model().weights
    return run.load_state().weights if run.has(STATE) else None


def _tell_repeated(original: _Original, run: Run, *, quiet: bool) -> None:
    """Say whether the weights are the same; a repetition that came out otherwise is never passed over in silence."""
    import numpy as np

    from digitlab.runs.run import ENVIRONMENT

    expected, found = original.weights, _weights(run)
    if expected is None or found is None:
        return
    if len(expected) == len(found) and all(np.array_equal(a, b) for a, b in zip(expected, found, strict=True)):
        if not quiet:
            say(f"The weights are those of {original.path}, bit for bit.")
        return
    say(
        f"The weights are not those of {original.path}: it was made by another version of digitlab, on a processor "
        f"with other vector instructions, on another device, or with other fonts. Compare {run.path / ENVIRONMENT} "
        "with its own.",
        style="yellow",
    )


def _learn_again(
    source: Run, original: _Original, out: Path, name: str | None, *, force: bool, as_json: bool, quiet: bool
) -> None:
    """Repeat a run that learned from corrections."""
    from digitlab.cli.evaluate import headline
    from digitlab.data.mnist import MnistData
    from digitlab.evaluation.finish import evaluate_and_report, own_folder
    from digitlab.training.fine_tuning import repeat_fine_tuned

    run = repeat_fine_tuned(source, out, name=name, force=force)
    _tell_repeated(original, run, quiet=quiet)
    timings: dict[str, float] = {}
    evaluation, report = evaluate_and_report(run, MnistData.load(own_folder(run)), timings=timings)
    if not as_json and not quiet:
        stdout().print(headline(evaluation, "test images"))
    _tell_places(run, report, evaluation, timings, as_json=as_json, quiet=quiet)


def _tell_interrupted(session: TrainingSession, run: Run, *, as_json: bool, quiet: bool) -> None:
    step, n_steps, command = session.progress.step, session.n_steps, run.resume_command()
    if as_json:
        document = {"kind": "interrupted", "run": run.info().to_dict(), "step": step, "n_steps": n_steps}
        # Whoever reads may have been interrupted too.
        with suppress(BrokenPipeError):
            print_json(document | {"resume": command}, indent=None)
    if not quiet:
        say(f"Stopped after batch {step:,} of {n_steps:,}. Everything up to there is kept; go on with:")
        show_command(stderr(), command)


def _tell_places(
    run: Run,
    report: Path,
    evaluation: Evaluation | None,
    timings: Mapping[str, float],
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    """Print where the run and its report are, or the last line of --json."""
    if as_json:
        document = {"kind": "result", "run": run.info().to_dict(), "report": str(report)}
        judged = {} if evaluation is None else {"evaluation": evaluation.to_dict()}
        print_json(document | judged | {"timings": dict(timings)}, indent=None)
    elif quiet:
        stdout().print(str(run.path), soft_wrap=True)
    else:
        stdout().print(f"Run     {run.path}\nReport  {report}", soft_wrap=True)


def _show(session: TrainingSession, run: Run, evaluation: Evaluation | None, timings: Mapping[str, float]) -> None:
    from digitlab.cli.evaluate import show_evaluation

    console = stdout()
    if evaluation is None:
        if told := _told_by_epochs(session, run):
            console.print(told)
    else:
        if session.stopped_early:
            console.print(f"Stopped early: no lower validation loss since epoch {session.best_epoch}.")
        if session.config.best_weights and session.best_epoch is not None:
            console.print(f"The weights are those of epoch {session.best_epoch}, with the lowest validation loss.")
        console.print()
        show_evaluation(evaluation, "test images")
        console.print()
    console.print(timings_table(timings))
    console.print()


def _told_by_epochs(session: TrainingSession, run: Run) -> str | None:
    """Return how good a network is that single test digits are not for."""

    epochs = [one for one in run.history() if isinstance(one, EpochRecord)]
    kept = session.best_epoch if session.config.best_weights else None
    last = next((one for one in epochs if one.epoch == kept), epochs[-1] if epochs else None)
    if isinstance(last, FinderEpochRecord) and last.n_crops:
        return (
            f"On {last.n_crops:,} validation crops with {last.n_marks:,} digits and separators: "
            f"{percent(last.val_accuracy or 0.0)} found and called rightly, {last.n_missed:,} missed, "
            f"{last.n_wrong:,} called by another's name, {last.n_extra:,} found where nothing is."
        )
    if last is None or last.val_accuracy is None:
        return None
    n = session.config.validation_images
    return f"Of {n:,} candidates on validation crops {percent(last.val_accuracy)} are answered rightly."


def timings_table(timings: Mapping[str, float]) -> Table:
    """Return what took how long, with a bar for each stage."""
    table = results_table("What took how long", "Stage", right("Time"), "")
    total = sum(timings.values())
    longest = max(timings.values(), default=0.0) or 1.0
    for stage, seconds in timings.items():
        table.add_row(stage, duration(seconds), Text("━" * round(_BAR * seconds / longest), style="cyan"))
    table.add_row("in all", duration(total), style="bold")
    return table


class TrainingProgress:
    """Shows the records of a run. Enter it, then call ``record`` with each of them.

    ``n_epochs`` and ``n_steps`` are those of the whole run. ``lines`` prints a line an epoch where the console is no
    terminal; ``live`` shows the bar where it is one; ``is_stopping`` tells whether somebody asked the run to end.
    """

    def __init__(
        self,
        console: Console,
        n_epochs: int,
        n_steps: int,
        *,
        lines: bool = True,
        live: bool = True,
        is_stopping: Callable[[], bool] = bool,
        compiling: str = COMPILING,
    ) -> None:
        self._console = console
        self._n_epochs, self._n_steps = n_epochs, n_steps
        self._is_live = live and console.is_terminal and not console.is_dumb_terminal
        self._lines = lines and not self._is_live
        self._step: StepRecord | None = None
        self._epoch: EpochRecord | None = None
        self._is_stopping, self._compiling = is_stopping, compiling
        self._began = time.monotonic()
        self._first_batch: tuple[float, int] | None = None
        self._n_images = 0
        self._timer = threading.Timer(_COMPILING_AFTER_S, self._say_compiling)
        self._live: AbstractContextManager[object] = nullcontext()
        if self._is_live:
            from rich.live import Live

            self._live = Live(
                console=console, get_renderable=self._render, refresh_per_second=_FRAMES_PER_S, redirect_stdout=False
            )

    def __enter__(self) -> Self:
        self._timer.daemon = True
        if self._lines:
            self._timer.start()
        self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._timer.cancel()
        self._live.__exit__(*error)

    def record(self, record: StepRecord | EpochRecord) -> None:
        """Take note of a record."""
        if isinstance(record, StepRecord):
            if self._first_batch is None:
                # Speed is counted from here, because kernels are compiled or loaded in the first batch.
                self._timer.cancel()
                self._first_batch = (time.monotonic(), record.step)
            else:
                self._n_images += record.n_images
            self._step = record
            return
        self._epoch = record
        if self._lines:
            self._console.print(record.line(self._n_epochs), soft_wrap=True)

    def _say_compiling(self) -> None:
        self._console.print(self._compiling, soft_wrap=True)

    def _render(self) -> ConsoleRenderable:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        step = self._step
        if step is None or self._first_batch is None:
            is_compiling = time.monotonic() - self._began > _COMPILING_AFTER_S
            text = Text(self._compiling if is_compiling else "Starting ...", style="dim")
            return text.append(_STOPPING, "bold") if self._is_stopping() else text
        began, first = self._first_batch
        seconds, n_done = time.monotonic() - began, step.step - first
        if step.step == self._n_steps:
            clock = duration(seconds)
        else:
            clock = f"{duration(max(1.0, seconds / n_done * (self._n_steps - step.step)))} left" if n_done else ""
        row = Table.grid(padding=(0, 2))
        row.add_row(
            f"Epoch {step.epoch:>{len(str(self._n_epochs))}}/{self._n_epochs}",
            ProgressBar(
                total=self._n_steps,
                completed=step.step,
                width=max(8, min(50, self._console.width - 48)),
                complete_style="cyan",
                finished_style="green",
            ),
            f"batch {step.step:,}/{self._n_steps:,}",
            clock,
        )
        speed = self._n_images / seconds if self._n_images and seconds > 0 else step.images_per_s
        return Group(row, self._figures(step, speed))

    def _figures(self, step: StepRecord, images_per_s: float) -> Text:
        epoch = self._epoch
        shown = epoch if epoch is not None and epoch.step == step.step else step
        figures = [("loss", f"{shown.loss:.4f}"), ("accuracy", percent(shown.accuracy))]
        if epoch is not None and epoch.val_accuracy is not None:
            figures.append(("val_accuracy", percent(epoch.val_accuracy)))
        text = Text(no_wrap=True, overflow="ellipsis")
        for name, value in figures:
            text.append(f"{name} ", "dim").append(value, "bold").append("  ")
        if isinstance(epoch, FinderEpochRecord) and epoch.n_crops:
            text.append("extra ", "dim").append(f"{epoch.n_extra / epoch.n_crops:.3f} a crop", "bold").append("  ")
        return text.append(f"{images_per_s:,.0f}", "bold").append(" images/s", "dim")
