"""The verb ``sweep``: many runs, every combination of some settings with several seeds, and which combination is best.

What is chosen is chosen by validation images. The test images are looked at once, at the end, with the runs of the
combination that was chosen: whoever chooses by them reports luck as skill.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context, parent_process
from pathlib import Path
from statistics import mean, stdev
from tempfile import TemporaryDirectory
from typing import Any

from digitlab.cluster import connected, load_distributed, sendable
from digitlab.data.mnist import MnistData
from digitlab.data.storage import bench, parse_json, read_ordinary, reason_of, replace_folder, replacing
from digitlab.engine.cpu.threads import available_threads
from digitlab.errors import ConfigError, DigitlabError, RunError, StorageError, TrainingDivergedError
from digitlab.evaluation.finish import evaluate_and_report
from digitlab.metrics import mean_interval
from digitlab.runs.listing import check_name
from digitlab.runs.run import FILES, MODEL, STATE, Run
from digitlab.svg import Dot, interval_chart
from digitlab.text import counted
from digitlab.training.config import TrainConfig, takes_test_images
from digitlab.training.session import TrainingSession
from digitlab.values import EpochRecord, Value

#: What the folder of a sweep holds besides its runs.
PLAN, CHART = "sweep.json", "sweep.svg"

_MOST_RUNS = 10_000
_MOST_PLAN_BYTES = 2**24
# How long a process may take to notice that the one which shared out its work is gone.
_ORPHAN_S = 10.0
# Trainings whose steps one program takes at a time.
_MOST_LANES = 64
# Combinations that the chart shows; the table has all.
_MOST_DRAWN = 40
# What shapes a training: those that share it can be one program.
_SHAPE = ("network", "train_images", "validation_images", "batch_size", "epochs", "optimizer", "data", "precision")


@dataclass(frozen=True, slots=True)
class SweepPoint(Value):
    """One combination of settings, trained with every seed.

    ``settings`` are those that the sweep varies; ``runs`` the names of its runs, one a seed; ``val_accuracies``, 0-1,
    those of the weights that each kept, None for a run that diverged or is not done; ``test_accuracies`` likewise,
    empty but for the point that was chosen.
    """

    settings: dict[str, Any]
    runs: tuple[str, ...]
    val_accuracies: tuple[float | None, ...]
    test_accuracies: tuple[float, ...] = ()

    @property
    def words(self) -> str:
        """The settings in words: ``learning rate 0.01, network fast_cnn``."""
        return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in self.settings.items()) or "the settings"

    @property
    def done(self) -> tuple[float, ...]:
        """The validation accuracies that there are."""
        return tuple(one for one in self.val_accuracies if one is not None)

    @property
    def mean(self) -> float | None:
        """Their mean, None where there is none."""
        return mean(self.done) if self.done else None

    @property
    def spread(self) -> float | None:
        """Their standard deviation (with n - 1), None for fewer than two."""
        return stdev(self.done) if len(self.done) > 1 else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Where the mean of many seeds lies with 95 % confidence, by Student's t; None for fewer than two."""
        return mean_interval(self.done)


@dataclass(frozen=True, slots=True)
class Sweep(Value):
    """What a sweep gave: its folder, its points in the order of the grid, and which was chosen, None before the end."""

    path: str
    seeds: tuple[int, ...]
    points: tuple[SweepPoint, ...]
    chosen: int | None

    @property
    def best(self) -> SweepPoint | None:
        """The point with the highest mean of validation accuracies, of those that no seed broke."""
        return None if self.chosen is None else self.points[self.chosen]


def sweep(
    config: TrainConfig | None = None,
    grid: Mapping[str, Sequence[Any]] | None = None,
    *,
    seeds: int = 3,
    out: str | Path = "runs",
    name: str = "sweep",
    force: bool = False,
    workers: int | None = None,
    cluster: str | None = None,
    on_run: Callable[[str, float | None], None] | None = None,
) -> Sweep:
    """Train every combination of some settings with several seeds, and choose the best by validation images.

    On the processor runs are trained in processes side by side, one core each; on an accelerator those of the same
    shape are one program. A sweep that was interrupted goes on when it is called again; its runs are runs like all
    others, in a folder of runs of their own.

    Parameters
    ----------
    config : TrainConfig, optional
        What all runs share; the codelab's settings by default.
    grid : mapping
        Settings by name, each with the values to try.
    seeds : int
        How many seeds each combination is trained with: ``config.seed`` and those after it.
    out, name : path, str
        The sweep's folder is ``out/name``.
    force : bool
        Begin anew where there is another sweep of that name.
    workers : int, optional
        Processes that train side by side; as many as there are cores by default.
    cluster : str, optional
        The address of a Dask scheduler whose workers train, or ``local`` for one on this machine.
    on_run : callable, optional
        Told of every run that is done: its name and its validation accuracy, None if it diverged.

    Returns
    -------
    Sweep
        Its points; the one that was chosen has test accuracies, for which the test images were looked at once.

    Raises
    ------
    ConfigError
        If a setting cannot be used, or there are no validation images to choose by.
    RunError
        If the folder holds another sweep.
    """
    config = config or TrainConfig()
    if workers is not None and workers < 1:
        raise ConfigError(f"workers must be at least 1; got {workers}.")
    plan = _plan(config, grid or {}, seeds)
    folder = _folder(Path(out) / check_name(name), config, plan, seeds, force=force)
    todo = {run: one for point in plan for run, one in point[1].items() if not _is_done(folder / run)}
    for run, accuracy in _trained(todo, folder, workers, cluster):
        if on_run is not None:
            on_run(run, accuracy)
    return _finished(folder, plan, seeds, config)


_Plan = list[tuple[dict[str, Any], dict[str, TrainConfig]]]


def _plan(config: TrainConfig, grid: Mapping[str, Sequence[Any]], seeds: int) -> _Plan:
    """Return every combination with the settings of its runs, by their names."""
    if not config.validation_images:
        raise ConfigError("A sweep chooses by validation images; set validation_images above 0.")
    if seeds < 1:
        raise ConfigError(f"seeds must be at least 1; got {seeds}.")
    if "seed" in grid:
        raise ConfigError("Every combination is trained with the same seeds; say how many with seeds, not in the grid.")
    for setting, values in grid.items():
        if isinstance(values, str) or not isinstance(values, Sequence) or not values:
            raise ConfigError(f"{setting} needs a list of values to try; got {values!r:.100}.")
    n = math.prod(len(values) for values in grid.values()) * seeds
    if n > _MOST_RUNS:
        raise ConfigError(f"That would be {n:,} runs, and a sweep has at most {_MOST_RUNS:,}. Try fewer values.")
    plan: _Plan = []
    names: set[str] = set()
    for number, values in enumerate(itertools.product(*grid.values()), start=1):
        one = TrainConfig.from_dict(config.to_dict() | dict(zip(grid, values, strict=True)))
        settings = {setting: getattr(one, setting) for setting in grid}  # as they will be read again
        own = {}
        for seed in range(config.seed, config.seed + seeds):
            name = _name_of(settings, number, seed)
            own[name] = TrainConfig.from_dict(config.to_dict() | settings | {"seed": seed})
        if names & own.keys():
            raise ConfigError(f"The grid has a value twice: {settings}. Leave one out.")
        names |= own.keys()
        plan.append((settings, own))
    return plan


def _name_of(settings: Mapping[str, Any], number: int, seed: int) -> str:
    words = "_".join(f"{key.replace('_', '-')}-{value}" for key, value in settings.items())
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", words).strip("-._")
    return f"{words}_s{seed}" if 0 < len(words) <= 80 else f"point-{number}_s{seed}"


def _folder(path: Path, config: TrainConfig, plan: _Plan, seeds: int, *, force: bool) -> Path:
    """Make the sweep's folder, or open the one that is there if it is of the same sweep."""
    told = _told(config, plan, seeds)
    known = _known(path / PLAN)
    is_same = known is not None and {key: known.get(key) for key in told} == json.loads(json.dumps(told))
    if known is not None and not (is_same or force):
        raise RunError(f"{path} holds another sweep. Choose another --name, or begin it anew with --force.")
    if known is None and path.is_dir() and any(path.iterdir()) and not force:
        raise RunError(f"{path} holds something else than a sweep. Choose another --name.")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{path} cannot be made: {reason_of(error)}. Choose another --name or --out.") from None
    if force:
        _forget(path, told)
        _forget(path, known or {})
    if force or not is_same:
        _write(path / PLAN, json.dumps(told, indent=2))
    return path


def _told(config: TrainConfig, plan: _Plan, seeds: int) -> dict[str, Any]:
    """What the file of a sweep says of it from the beginning."""
    return {
        "config": config.to_dict(),
        "points": [{"settings": settings, "runs": list(own)} for settings, own in plan],
        "seeds": seeds,
    }


def _known(path: Path) -> dict[str, Any] | None:
    """What a sweep's file says, nothing if it is damaged; None where there is none."""
    try:
        told = parse_json(read_ordinary(path, _MOST_PLAN_BYTES))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, OSError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _forget(path: Path, known: Mapping[str, Any]) -> None:
    """Empty the folders of a sweep's runs, as its file, which anybody may have written, names them."""
    points = known.get("points")
    for point in points if isinstance(points, list) else ():
        names = point.get("runs") if isinstance(point, dict) else None
        for name in names if isinstance(names, list) else ():
            if isinstance(name, str) and os.path.lexists(path / check_name(name)):
                Run.create(path / name, force=True)
                with suppress(OSError):
                    (path / name).rmdir()


def _is_done(path: Path) -> bool:
    return (path / MODEL).is_file()


def train_point(config: TrainConfig, folder: Path, name: str, lanes: Any = None) -> float | None:
    """Train one run of a sweep, or go on with it, and return its validation accuracy; None if it diverged.

    It is not evaluated: the test images are looked at at the end of the sweep only. RunError if all are to stop.
    """
    session = _opened(config, folder, name)
    if lanes is not None:
        session.runner.lanes = lanes  # type: ignore[union-attr]
    with suppress(TrainingDivergedError), closing(session.records()) as records:
        for _ in records:
            _check_going_on()
    return None if session.diverged else _accuracy(Run.open(folder / name))


# In a process that trains beside others: set when all of them are to stop.
_stopping: Any = None


def _begin_beside(stopping: Any) -> None:
    """In a process of its own: leave Ctrl-C to the one that shares out the work, and end when that is gone."""
    global _stopping
    _stopping = stopping
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None  # it is a child's
    parent.join()
    os._exit(1)


def _check_going_on() -> None:
    if _stopping is not None and _stopping.is_set():
        raise RunError("It was stopped with all others; start it again to go on.")


def _opened(config: TrainConfig, folder: Path, name: str) -> TrainingSession:
    path = folder / name
    _wait_for(path)
    if (path / STATE).is_file():
        return TrainingSession.resume(Run.open(path), elsewhere={"device": config.device})
    session = TrainingSession(config)
    session.run = Run.create(path, force=path.exists())
    session.lock = session.run.lock()
    return session


def _wait_for(path: Path) -> None:
    """Wait a little for a process of a sweep that was killed, which ends as soon as it notices."""
    until = time.monotonic() + _ORPHAN_S
    while path.is_dir() and time.monotonic() < until:
        try:
            Run(path).lock().release()
            return
        except RunError:
            time.sleep(0.1)


def _accuracy(run: Run) -> float | None:
    """The validation accuracy of the weights that a run kept."""
    epochs = [one for one in run.history() if isinstance(one, EpochRecord) and one.val_loss is not None]
    if not epochs or run.info().status == "diverged":
        return None
    kept = min(epochs, key=lambda one: one.val_loss or 0.0) if run.settings().get("best_weights") else epochs[-1]
    return kept.val_accuracy


_Trained = Iterator[tuple[str, float | None]]


def _trained(todo: Mapping[str, TrainConfig], folder: Path, workers: int | None, cluster: str | None) -> _Trained:
    """Train what is not done yet, and hand over each run as it is done."""
    if cluster is not None:
        yield from _on_cluster(todo, folder, cluster, workers or available_threads())
        return
    here = {name: config for name, config in todo.items() if config.device == "cpu"}
    others = {name: config for name, config in todo.items() if config.device != "cpu"}
    n = min(len(here), workers or available_threads())
    if n > 1:
        alone = {name: replace(config, threads=1) for name, config in here.items()}
        yield from _in_processes(n, alone, folder)
    else:
        yield from ((name, train_point(config, folder, name)) for name, config in here.items())
    for group in _groups(others):
        yield from _side_by_side(group, folder)


@contextmanager
def _interrupts_waiting() -> Iterator[None]:
    """Let Ctrl-C wait until the block is done; processes that are begun in it never hear of it, where that can be."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _in_processes(n: int, todo: Mapping[str, TrainConfig], folder: Path) -> _Trained:
    context = get_context("spawn")
    stopping = context.Event()
    pool = ProcessPoolExecutor(n, context, _begin_beside, (stopping,))
    try:
        with _interrupts_waiting():
            waiting = {pool.submit(train_point, config, folder, name): name for name, config in todo.items()}
        for done in as_completed(waiting):
            yield waiting[done], done.result()
    except BrokenProcessPool:
        raise RunError(
            "A process that trained was ended from outside, perhaps for want of memory. What was trained is kept; "
            "call the sweep again to go on, with fewer workers if memory was short."
        ) from None
    finally:
        stopping.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _on_cluster(todo: Mapping[str, TrainConfig], folder: Path, address: str, workers: int) -> _Trained:
    """Train on the workers of a Dask cluster, which need no folder of this machine; runs come back whole."""
    with connected(address, workers) as client:
        waiting = {
            client.submit(train_elsewhere, replace(config, threads=1).to_dict(), name, pure=False, retries=3): name
            for name, config in todo.items()
        }
        for done in load_distributed().as_completed(list(waiting)):
            name = waiting.pop(done)
            try:
                accuracy, files = done.result()
            except DigitlabError:
                raise
            except Exception as error:  # the worker died of it several times, or something was not foreseen there
                raise RunError(
                    f"{name} could not be trained on the cluster: {error!s:.500}. What is done is kept; call the sweep "
                    "again to go on."
                ) from None
            with bench(folder) as room:
                made = room / name
                made.mkdir()
                for file in files.keys() & {*FILES}:  # whatever a worker sent
                    (made / file).write_bytes(files[file])
                if (folder / name).exists():  # a part of it was trained here
                    replace_folder(made, folder / name, room)
                else:
                    made.rename(folder / name)
            yield name, accuracy


def train_elsewhere(settings: Mapping[str, Any], name: str) -> tuple[float | None, dict[str, bytes]]:
    """Train one run on a worker; return its validation accuracy and the files of its folder."""
    return sendable(_train_elsewhere, settings, name)


def _train_elsewhere(settings: Mapping[str, Any], name: str) -> tuple[float | None, dict[str, bytes]]:
    with TemporaryDirectory(prefix="digitlab-sweep-") as folder:
        accuracy = train_point(TrainConfig.from_dict(settings), Path(folder), name)
        return accuracy, {path.name: path.read_bytes() for path in (Path(folder) / name).iterdir() if path.is_file()}


def _groups(todo: Mapping[str, TrainConfig]) -> list[dict[str, TrainConfig]]:
    """Part what an accelerator trains into groups of the same shape."""
    groups: dict[tuple[Any, ...], dict[str, TrainConfig]] = {}
    for name, config in todo.items():
        is_simple = config.loss == "cross_entropy" and config.learns_from == "digits" and not config.early_stopping
        shape = tuple(getattr(config, field) for field in _SHAPE)
        groups.setdefault(shape if is_simple else (name,), {})[name] = config
    return [
        dict(list(group.items())[k : k + _MOST_LANES])
        for group in groups.values()
        for k in range(0, len(group), _MOST_LANES)
    ]


def _side_by_side(group: Mapping[str, TrainConfig], folder: Path) -> _Trained:
    """Train runs of the same shape on an accelerator, the steps of all of them one program."""
    if len(group) == 1:
        [(name, config)] = group.items()
        yield name, train_point(config, folder, name)
        return
    from digitlab.engine.xla.lanes import Lanes

    lanes = Lanes(len(group))
    pool = ThreadPoolExecutor(len(group), "digitlab-lane")
    waiting = {pool.submit(_in_lane, config, folder, name, lanes): name for name, config in group.items()}
    try:
        for done in as_completed(waiting):
            yield waiting[done], done.result()
    finally:
        lanes.stop()
        pool.shutdown(wait=True, cancel_futures=True)


def _in_lane(config: TrainConfig, folder: Path, name: str, lanes: Any) -> float | None:
    try:
        return train_point(config, folder, name, lanes)
    finally:
        lanes.leave()


def _finished(folder: Path, plan: _Plan, seeds: int, config: TrainConfig) -> Sweep:
    """Choose by validation, look at the test images once, and write down what came out."""
    points = [
        SweepPoint(settings, tuple(own), tuple(_accuracy(Run.open(folder / name)) for name in own))
        for settings, own in plan
    ]
    whole = [k for k, point in enumerate(points) if len(point.done) == seeds]
    chosen = max(whole, key=lambda k: points[k].mean or 0.0, default=None)
    # Finders and second looks see parts of pages; no single test images can judge them.
    if chosen is not None and all(takes_test_images(one) for one in plan[chosen][1].values()):
        data: dict[str | None, MnistData] = {}
        told = []
        for name, one in plan[chosen][1].items():
            mnist = data.setdefault(one.data, data.get(one.data) or MnistData.load(one.data, seed=config.seed))
            told.append(evaluate_and_report(Run.open(folder / name), mnist)[0].accuracy)
        points[chosen] = replace(points[chosen], test_accuracies=tuple(told))
    result = Sweep(str(folder), tuple(range(config.seed, config.seed + seeds)), tuple(points), chosen)
    _write(folder / PLAN, json.dumps(_told(config, plan, seeds) | {"result": result.to_dict()}, indent=2))
    _write(folder / CHART, chart_of(result))
    return result


def _write(path: Path, text: str) -> None:
    try:
        with replacing(path) as file:
            file.write(text.encode())
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {reason_of(error)}. Make room, and go on with it.") from None


def chart_of(result: Sweep) -> str:
    """Draw the best points of a sweep by their settings, each mean with its interval, as SVG."""
    found = sorted(((point.mean, point) for point in result.points if point.mean is not None), key=lambda one: -one[0])
    rows = []
    for value, point in found[:_MOST_DRAWN]:
        low, high = point.interval or (value, value)
        rows.append((point.words, Dot(0, 100 * value, 100 * low, 100 * high)))
    which = f"The best {_MOST_DRAWN} of {len(found):,} combinations" if len(found) > _MOST_DRAWN else "Combinations"
    return interval_chart(
        f"{which}, the mean of {counted(len(result.seeds), 'seed')} each, and its 95 % interval",
        rows,
        "Validation accuracy, %",
    )
