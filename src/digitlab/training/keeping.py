"""Keeping a training in its run directory while it goes on: environment, history, the state to resume from, model."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import re
import signal
import threading
import time
import zlib
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

import digitlab
from digitlab.data.storage import parse_json
from digitlab.errors import RunError, TrainingDivergedError
from digitlab.network.checkpoint import Checkpoint
from digitlab.runs.history import HistoryFile, Record, Steering, record_form
from digitlab.runs.run import CONFIG, ENVIRONMENT, MODEL, STATE, Run, RunLock
from digitlab.values import EpochRecord, RateChange, Resumption, StepRecord

if TYPE_CHECKING:  # for a command that asks for the environment alone, the engine need not be loaded
    from digitlab.engine.cpu.runner import Runner
    from digitlab.engine.loop import Progress
    from digitlab.engine.sequential import Sequential
    from digitlab.engine.xla.state import DeviceRunner

# Saving costs a few milliseconds: nothing for a run of minutes, a lot for one of half a second.
_SECONDS_BETWEEN_SAVES = 5.0
_SECONDS_BETWEEN_WRITES = 1.0
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


class Session(Protocol):
    """What is asked of a training session here."""

    progress: Progress
    finished: bool
    lock: RunLock | None
    has_state: bool
    keeper: Keeper | None

    @property
    def runner(self) -> Runner | DeviceRunner: ...
    def describe(self) -> dict[str, Any]: ...
    def train(self) -> Generator[Record, None, None]: ...
    def restore(self, state: Checkpoint) -> None: ...
    def state_checkpoint(self) -> Checkpoint: ...
    def model_checkpoint(self) -> Checkpoint: ...


def kept(session: Session, run: Run) -> Generator[Record, None, None]:
    """Train, keep everything in the run, and yield the records.

    Whatever ends the iteration early (the consumer, an error, Ctrl-C), the state is saved if the weights are those
    between two batches; and whatever cannot be saved leaves the last state as it was.
    """
    if session.finished:
        return
    with ExitStack() as stack:
        is_ours = session.lock is not None
        lock = session.lock or run.lock()
        session.lock = None
        stack.callback(lock.release)
        _begin(session, run, is_ours)
        keeper = session.keeper = Keeper(session, run)
        stack.callback(lambda: keeper.history.close())  # the one that it has then
        training = session.train()
        try:
            while True:
                with _interrupts_deferred():
                    record = keeper.advance(training)
                if record is None:
                    return
                yield record
        finally:
            training.close()
            session.keeper = None
            with _interrupts_deferred():
                keeper.end()


def _begin(session: Session, run: Run, is_ours: bool) -> None:
    if session.has_state:
        if not is_ours:
            session.restore(run.load_state())  # it may have gone on elsewhere since this session was interrupted
        _note_elsewhere(session, run)
        return
    if run.has(STATE) or run.has(MODEL):
        raise RunError(f"{run.path} holds a training already. Go on with it by: {run.resume_command()}")
    run.write_json(CONFIG, session.describe())
    run.write_json(ENVIRONMENT, environment(session.runner.n_threads) | dict(session.runner.where))


def _note_elsewhere(session: Session, run: Run) -> None:
    """Add to ``environment.json`` in what the machine that goes on with a run is another than the last one."""
    try:
        kept = run.read_json(ENVIRONMENT)
        before = list(kept.get("resumed", []))
        last = {name: value for one in (kept, *before) for name, value in one.items()}
    except (RunError, TypeError, AttributeError):
        return  # a damaged one stops nothing
    here = environment(session.runner.n_threads) | dict(session.runner.where)
    if last.get("device") is not None:
        here = {"device": "cpu"} | here
    if changed := {name: value for name, value in here.items() if last.get(name) != value}:
        run.write_json(ENVIRONMENT, kept | {"resumed": [*before, {"step": session.progress.step} | changed]})


@contextmanager
def _interrupts_deferred() -> Iterator[None]:
    """Hold Ctrl-C back until the block is done: weights that have taken half a step could not be resumed from.

    Python handles signals in the main thread only; in others nothing has to be held back.
    """
    usual = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(usual):
        yield
        return
    caught: list[FrameType | None] = []
    signal.signal(signal.SIGINT, lambda _, frame: caught.append(frame))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
    if caught:
        usual(signal.SIGINT, caught[0])


class Keeper:
    """What is written when: the history always before the state that knows of it."""

    def __init__(self, session: Session, run: Run) -> None:
        self._session, self._run = session, run
        self.history: HistoryFile = run.open_history(session.progress.step + session.progress.epochs_done)
        self._pending: list[Record | Steering] = []
        self._resumed_at = session.progress.step
        # None where it is not known what config.json says: that of a run that is gone on with.
        self._told: list[dict[str, Any]] | None = None if session.has_state else []
        self._written = self._saved = time.monotonic()
        # False while a batch is under way: weights that took half a step are never saved.
        self._is_between_batches = True
        self._has_ended = False

    def advance(self, training: Iterator[Record]) -> Record | None:
        """Train one batch, or end the run, and write what is due."""
        self._is_between_batches = False
        try:
            record = next(training, None)
        except TrainingDivergedError:
            self._save_model()
            raise
        self._is_between_batches = True
        if record is None:
            self._save_model()
            return None
        if isinstance(record, StepRecord):
            self._note_steering(record.step - 1)
        self._pending.append(record)
        now = time.monotonic()
        if isinstance(record, EpochRecord) or now - self._written > _SECONDS_BETWEEN_WRITES:
            self._write_history()
        if now - self._saved > _SECONDS_BETWEEN_SAVES:
            self._save_state()
        return record

    def end(self) -> None:
        """Save the state, unless the run has ended or stopped in the middle of a batch."""
        if self._is_between_batches and not self._has_ended:
            self._save_state()

    def go_back(self) -> None:
        """Forget what was written of batches that the session has taken back; the state first, which knows of fewer."""
        self._save_state()
        self.history.close()
        self.history = self._run.open_history(self._session.progress.step + self._session.progress.epochs_done)

    def _note_steering(self, n_steps_before: int) -> None:
        """Write what counts from the present step on: before it, so that neither is there without the other."""
        if n_steps_before == self._resumed_at > 0:
            self._pending.append(Resumption(n_steps_before))
        changes = [RateChange(since, rate) for since, rate in self._session.progress.rates if since == n_steps_before]
        self._pending += changes[-1:]

    def _tell_steering(self) -> None:
        """Bring ``config.json`` up to date: who reads nothing else shall not take its settings for the whole."""
        progress = self._session.progress
        rates = {since: rate for since, rate in progress.rates if since < progress.step}
        steering = [record_form(RateChange(since, rate)) for since, rate in sorted(rates.items())]
        if steering == self._told:
            return
        self._told, path = steering, self._run.path / CONFIG
        try:
            description = self._run.read_json(CONFIG)
            began = path.stat()
        except (RunError, OSError):
            return  # damaged since: no reason to end a training, whose history tells it too
        if steering == description.get("steering", []):
            return
        command = self._run.repeat_command() if steering else self._session.describe()["command"]
        others = {name: value for name, value in description.items() if name != "steering"} | {"command": command}
        self._run.write_json(CONFIG, others | ({"steering": steering} if steering else {}))
        # Lists are in the order in which runs began.
        with suppress(OSError):
            os.utime(path, ns=(began.st_atime_ns, began.st_mtime_ns))

    def _write_history(self) -> None:
        self.history.append(self._pending)
        self._pending.clear()
        self._written = time.monotonic()

    def _save_state(self) -> None:
        self._write_history()
        self.history.sync()
        self._tell_steering()
        self._run.save(STATE, self._session.state_checkpoint())
        self._session.has_state = True
        self._saved = time.monotonic()

    def _save_model(self) -> None:
        self._write_history()
        self.history.sync()
        self._tell_steering()
        self._run.save(MODEL, self._session.model_checkpoint())
        self._run.remove_state()
        self._session.has_state = False
        self._has_ended = True


@dataclass(frozen=True, eq=False)
class BestWeights:
    """The weights of the epoch with the lowest validation loss: float32 (n,), in Keras' order."""

    epoch: int
    val_loss: float
    weights: NDArray[np.float32]


def pack_state(
    model: Sequential,
    runner: Runner | DeviceRunner,
    progress: Progress,
    best: BestWeights | None,
    texts: dict[str, str],
) -> Checkpoint:
    """Return the state of a training between two records: weights, moments, sums of the epoch, best weights so far.

    ``runner`` is the one of the model's that learns.
    """
    numbers: dict[str, Any] = dataclasses.asdict(progress)
    extra = {"first_moment": runner.first_moment, "second_moment": runner.second_moment}
    if best is not None:
        numbers |= {"best_epoch": best.epoch, "best_val_loss": best.val_loss}
        extra["best_weights"] = best.weights
    text = json.dumps(numbers)
    texts = texts | {"progress": text, "checksum": _checksum(text, runner.parameters, extra)}
    return Checkpoint(model.architecture, tuple(model.get_weights()), model.class_names, texts, extra)


def unpack_state(
    state: Checkpoint, model: Sequential, runner: Runner | DeviceRunner, n_images: int, batch_size: int
) -> tuple[Progress, BestWeights | None]:
    """Give a model of the state's network the weights and moments of a state, and return the rest of it.

    ``n_images`` and ``batch_size`` show whether its numbers can be true. ValueError, TypeError or KeyError if it is
    damaged, as anybody may have written it; the model may have been changed then.
    """
    from digitlab.engine.loop import Progress

    model.set_weights(state.weights)
    extra, text, n_parameters = state.extra, state.metadata["progress"], model.count_params()
    if state.metadata["checksum"] != _checksum(text, runner.parameters, extra):
        raise ValueError("its checksum differs")
    if any(extra[name].shape != (n_parameters,) for name in ("first_moment", "second_moment", *extra)):
        raise ValueError("an array has the wrong length")
    numbers = parse_json(text)
    if "epoch_marks" not in numbers:  # a state from before there were finders
        numbers["epoch_marks"] = 0
    progress = Progress(**{field.name: numbers[field.name] for field in dataclasses.fields(Progress)})
    n_epoch_batches = progress.step - progress.epochs_done * -(-n_images // batch_size)
    if min(n_epoch_batches, progress.epochs_done) < 0 or progress.epoch_images != min(
        n_epoch_batches * batch_size, n_images
    ):
        raise ValueError(f"{progress} cannot be")
    runner.set_moments(extra["first_moment"], extra["second_moment"])
    if "best_weights" not in extra:
        return progress, None
    return progress, BestWeights(int(numbers["best_epoch"]), float(numbers["best_val_loss"]), extra["best_weights"])


def _checksum(text: str, parameters: NDArray[np.float32], extra: dict[str, NDArray[Any]]) -> str:
    checksum = zlib.crc32(parameters.data, zlib.crc32(text.encode()))
    for name in sorted(extra):
        checksum = zlib.crc32(extra[name].data, checksum)
    return f"{checksum:08x}"


def is_fine_tuned(run: Run) -> bool:
    """Tell whether a run is a network's that learned from corrections."""
    return "fine_tuned" in run.read_json(CONFIG)


def environment(n_threads: int) -> dict[str, Any]:
    """Return versions, processor and threads, as ``environment.json`` holds them.

    ``commit`` is that of the source tree, or None for an installed package.
    """
    return {
        "digitlab": digitlab.__version__,
        "commit": _commit(Path(digitlab.__file__).parents[2]),
        "python": platform.python_version(),
        "numpy": _version("numpy"),
        "numba": _version("numba"),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "threads": n_threads,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def _commit(folder: Path) -> str | None:
    """Return the commit of a git repository's working tree, read without git; None if there is none."""
    try:
        head = (folder / ".git" / "HEAD").read_text("utf-8").strip()
        if head.startswith("ref: "):
            reference = head.removeprefix("ref: ")
            path = folder / ".git" / reference
            if path.exists():
                head = path.read_text("utf-8").strip()
            else:
                packed = (folder / ".git" / "packed-refs").read_text("utf-8").splitlines()
                head = next(line.split()[0] for line in packed if line.endswith(f" {reference}"))
    except (OSError, ValueError, StopIteration):
        return None
    return head if _COMMIT.fullmatch(head) else None
