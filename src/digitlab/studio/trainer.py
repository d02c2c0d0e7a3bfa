"""Trainer: the one training of this process, which any number of pages watch and steer."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from digitlab.data.mnist import MnistData
from digitlab.data.storage import replacing
from digitlab.errors import ConfigError, RunError, StorageError
from digitlab.network.architecture import Architecture
from digitlab.runs.history import Record
from digitlab.runs.listing import new_run
from digitlab.runs.run import CONFIG, Run
from digitlab.studio.job import Job, Recording
from digitlab.studio.turns import Turns
from digitlab.training.config import TrainConfig
from digitlab.training.material import fitted, network_for
from digitlab.training.position import Position
from digitlab.training.session import TrainingSession
from digitlab.values import Evaluation

T = TypeVar("T")


class Remembered:
    """What was made lately, at most so much, for all pages; what is asked for twice at once is made once."""

    def __init__(self, most: int) -> None:
        self._most, self._lock = most, threading.Lock()
        self._known: OrderedDict[Hashable, Future[Any]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what is remembered by a key; what fails is not."""
        with self._lock:
            found: Future[T] | None = self._known.get(key)
            is_mine = found is None
            if found is None:
                found = self._known[key] = Future()
                if len(self._known) > self._most:
                    self._known.popitem(last=False)
            else:
                self._known.move_to_end(key)
        if is_mine:
            try:
                found.set_result(make())
            except BaseException as error:
                with self._lock:
                    self._known.pop(key, None)
                found.set_exception(error)
        return found.result()


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """A network at one step of one training; ``weights`` in Keras' order and layout, not to be changed."""

    generation: int
    step: int
    architecture: Architecture
    weights: list[NDArray[np.float32]]


class Trainer:
    """Trains one run at a time in a thread, and lets others look.

    All methods may be called from any thread. They return at once, but for ``start``, ``resume_run``, ``repeat`` and
    ``reset``, which take some milliseconds, and ``close``. Nobody is called back: who wants to know asks
    ``records_since``, which costs next to nothing. Without ``out``, a folder of runs, nothing is written;
    ``data_folder`` is where the data comes from if it is not the packaged one. Several trainers of a process share its
    cores by the same ``turns``. ``key`` is in the addresses of its runs' reports, where it has one: nobody else is to
    find them.
    """

    def __init__(
        self,
        data: MnistData,
        out: Path | None,
        memory_budget_bytes: int = 256 * 2**20,
        *,
        data_folder: str | None = None,
        turns: Turns | None = None,
        key: str = "",
    ) -> None:
        config, changed = TrainConfig(data=data_folder), threading.Condition()
        self._changed = changed
        session = TrainingSession(config, data)
        self._turns = turns or Turns()
        self._job = Job(session, session.config, Recording(memory_budget_bytes), changed, turns=self._turns)
        self._n_records_before = 0  # those of earlier trainings: cursors grow for as long as the process lives
        self.data, self.key = data, key
        self._out, self._data_folder, self._budget_bytes = out, data_folder, memory_budget_bytes
        # Held while a session is opened, which takes too long for those who only look.
        self._beginning = threading.RLock()
        self._threads: list[threading.Thread] = []
        self._is_closed = False
        self._owning = threading.RLock()
        self._own: dict[Callable[[Trainer], Any], Any] = {}

    def own(self, make: Callable[[Trainer], T]) -> T:
        """Return what ``make`` makes for this trainer, once for all pages; it is gone with the trainer."""
        with self._owning:
            if make not in self._own:
                self._own[make] = make(self)
            return self._own[make]  # type: ignore[no-any-return]

    @property
    def out(self) -> Path | None:
        """The folder of runs; None where nothing is written."""
        return self._out

    # ---- to look at, from any thread and as often as one likes ----

    @property
    def state(self) -> str:
        """``idle``, ``training``, ``paused``, ``finished``, ``stopped`` or ``failed``."""
        return self._job.state

    @property
    def message(self) -> str:
        """A sentence for people: empty, or what failed and what to do."""
        return self._job.message

    @property
    def owner(self) -> str:
        """Who began the training; empty when there is none."""
        return self._job.owner

    @property
    def generation(self) -> int:
        """Grows with every start, reset and undone batch: what was drawn before is another training's."""
        return self._job.generation

    @property
    def began(self) -> int:
        """The generation that this training began with: grows with every start and reset."""
        return self._job.began

    @property
    def config(self) -> TrainConfig:
        """The settings of the training; before the first one, the defaults."""
        return self._job.config

    @property
    def architecture(self) -> Architecture:
        """The network of the training, which may be another than ``config.network`` names."""
        return self._job.session.model.architecture

    @property
    def n_steps(self) -> int:
        """Batches of the whole training."""
        return self._job.session.n_steps

    @property
    def step_done(self) -> int:
        """Batches done."""
        return self._job.session.progress.step

    @property
    def best_epoch(self) -> int | None:
        """The epoch whose weights the finished network has; None where they are those of the last batch."""
        return self._job.session.best_epoch if self.config.best_weights else None

    @property
    def diverged(self) -> bool:
        """Whether the training failed because its loss was no number any more, or hopelessly large."""
        return self._job.session.diverged

    @property
    def run(self) -> Run | None:
        """The training's directory."""
        return self._job.session.run

    @property
    def recording(self) -> Recording:
        """The weights by step, from the first on."""
        return self._job.recording

    @property
    def evaluation(self) -> Evaluation | None:
        """The finished run's evaluation on all test images, a moment after it is finished; None without a run."""
        return self._job.evaluation

    @property
    def newest(self) -> Record | None:
        """The record of the newest batch, or of the epoch that it ended."""
        records = self._job.records
        return records[-1] if records else None

    @property
    def speed(self) -> float | None:
        """Batches a second, at most; None for full speed."""
        return self._job.speed

    @property
    def learning_rate(self) -> float:
        """The rate (its peak, where there is a schedule) that the next batch is trained with."""
        return self._job.learning_rate

    def records_since(self, cursor: int) -> tuple[list[Record], int]:
        """Return the records of this training that came after a cursor, and the new cursor; begin with 0.

        A cursor from an earlier training gives all records of this one.
        """
        with self._changed:
            records, before = self._job.records, self._n_records_before + self._job.n_forgotten
            new = records[max(0, cursor - before) :]
            return new, before + len(records)

    @property
    def single_step(self) -> tuple[TrainingSession, Position] | None:
        """The session, and where it stood before the last batch, if that was trained by ``step``; else None."""
        with self._changed:
            position = self._job.step_from
            return None if position is None else (self._job.session, position)

    @property
    def can_undo(self) -> bool:
        """Whether ``undo_step`` has something to take back."""
        return self._job.can_undo

    def moment(self, step: int | None = None) -> Moment:
        """Return the network at the nearest recorded step at or before ``step``; the newest for None."""
        with self._changed:
            job = self._job
        real_step, flat = job.recording.at(step)
        architecture = job.session.model.architecture
        return Moment(job.generation, real_step, architecture, _in_layers(flat, architecture))

    def wait(self, until: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """Block until something holds, asked whenever anything has changed; tell whether it does."""
        with self._changed:
            return self._changed.wait_for(until, timeout_s)

    # ---- to steer ----

    def _next_job(self, session: TrainingSession, config: TrainConfig, owner: str = "") -> Job:
        recording, generation = Recording(self._budget_bytes), self.generation + 1
        changed, speed, turns = self._changed, self.speed, self._turns
        return Job(session, config, recording, changed, generation=generation, owner=owner, speed=speed, turns=turns)

    def start(
        self,
        config: TrainConfig,
        architecture: Architecture | None = None,
        *,
        owner: str = "",
        paused: bool = False,
    ) -> None:
        """Start a training, in a run of its own."""
        own, _ = fitted(dataclasses.replace(config, data=self._data_folder, **_PROCESSOR), self.data)
        with self._beginning:
            self._check_free(owner)
            session = new_session(own, architecture, self.data, self._out)
            self._launch(self._next_job(session, own, owner), paused=paused)

    def resume_run(self, run: Run, *, owner: str = "", paused: bool = False) -> None:
        """Go on with a run that was interrupted, here or elsewhere; its recording begins where it was interrupted."""
        with self._beginning:
            self._check_free(owner)
            session = TrainingSession.resume(run, self.data, _on_processor(run))
            job = self._next_job(session, session.config, owner)
            job.records += run.history()[: session.progress.step + session.progress.epochs_done]
            self._launch(job, paused=paused)

    def repeat(self, run: Run, settings: Mapping[str, Any], *, owner: str = "", paused: bool = False) -> None:
        """Train as a complete run was trained, with what was done to it on the way, but for some settings."""
        with self._beginning:
            self._check_free(owner)
            session = TrainingSession.repeat(run, self.data, {**_on_processor(run), **settings})
            if self._out is not None:
                session.run = new_run(self._out, session.config.network, session.config.seed)
                session.lock = session.run.lock()
            self._launch(self._next_job(session, session.config, owner), paused=paused)

    def _check_free(self, owner: str) -> None:
        if self._is_closed:
            raise RunError("The Studio is being closed; start it again with: digitlab studio")
        if self._job.is_active and not self._job.is_stopping:
            if owner and owner == self.owner:
                raise RunError("Your training is under way; stop it before you start another.")
            raise RunError("Somebody else is training here. Watch it, and start yours when it is finished.")

    def _launch(self, job: Job, *, paused: bool) -> None:
        with self._changed:
            self._replace(job)
            self._begin(job, paused=paused)

    def _replace(self, job: Job) -> None:
        self._n_records_before += len(self._job.records) + self._job.n_forgotten
        self._job.stop()
        self._job = job
        self._changed.notify_all()

    def _begin(self, job: Job, *, paused: bool = False) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        self._threads.append(job.begin(paused=paused))

    def pause(self) -> None:
        """Wait before the next batch."""
        with self._changed:
            self._job.limit(0)

    def resume(self) -> None:
        """Go on after a pause or a stop."""
        with self._beginning, self._changed:
            job, run = self._job, self.run
            if job.state == "stopped":
                self._check_free(job.owner)
                self._begin(job)
            elif job.state == "failed" and run is not None:
                self.resume_run(run, owner=job.owner)
            else:
                job.limit(None)

    def step(self) -> None:
        """Train one batch, and the validation after it if it ends an epoch; then pause."""
        with self._changed:
            self._job.limit(1)

    def undo_step(self) -> None:
        """Take back the batch that ``step`` trained last, in the run too, as if it had never been."""
        with self._changed:
            self._job.undo()

    def try_rate(self, rate: float) -> None:
        """Train that batch, taken back first, with another rate (its peak, where there is a schedule)."""
        with self._changed:
            self._job.try_rate(rate)

    def stop(self) -> None:
        """End at the next batch boundary; the run is kept, and can be gone on with."""
        with self._changed:
            self._job.stop()

    def reset(self) -> None:
        """Go back to the untrained network of the same settings; the run directory stays."""
        with self._beginning:
            session = TrainingSession(self.config, self.data, architecture=self.architecture)
            job = self._next_job(session, self.config)
            with self._changed:
                self._replace(job)

    def set_speed(self, batches_per_s: float | None) -> None:
        """Train so many batches a second, at most; None for full speed."""
        if batches_per_s is not None and not 0.0 < batches_per_s < math.inf:
            raise ConfigError(f"The speed must be a number of batches a second above 0; got {batches_per_s}.")
        with self._changed:
            self._job.set_speed(batches_per_s)

    def set_learning_rate(self, rate: float) -> None:
        """Change the rate (its peak, where there is a schedule) from the next batch on."""
        with self._changed:
            self._job.set_learning_rate(rate)

    def close(self) -> None:
        """Stop, save and wait for that; nothing can be started any more."""
        with self._beginning, self._changed:
            self._is_closed = True
            self._job.stop()
            threads = self._threads
        for thread in threads:
            thread.join()


def _in_layers(flat: NDArray[np.float32], architecture: Architecture) -> list[NDArray[np.float32]]:
    arrays, start = [], 0
    for shape in architecture.weight_shapes:
        size = math.prod(shape)
        arrays.append(flat[start : start + size].reshape(shape))
        start += size
    return arrays


def _on_processor(run: Run) -> dict[str, str]:
    """What a run is told here that was trained on another device: a page looks into every step, on the processor."""
    config = run.read_json(CONFIG).get("config")
    is_elsewhere = isinstance(config, dict) and config.get("device", "cpu") != "cpu"
    return dict(_PROCESSOR) if is_elsewhere else {}


_PROCESSOR: Mapping[str, Any] = MappingProxyType({"device": "cpu", "precision": "float32"})

#: Beside the runs: the networks that were edited on the page, by name and content.
NETWORKS = "networks"


def new_session(
    config: TrainConfig, architecture: Architecture | None, data: MnistData, out: Path | None
) -> TrainingSession:
    """Open a session for a new run.

    A network that is not the one that ``config.network`` names is written as a JSON file beside the runs, and the
    config names that file, so that the command in the run's ``config.json`` repeats the run.
    """
    session = TrainingSession(config, data, architecture=architecture)
    if out is None:
        return session
    network = session.model.architecture
    if architecture is not None and network != network_for(config, data):
        session.config = dataclasses.replace(session.config, network=str(_written(network, out / NETWORKS)))
    session.run = new_run(out, session.config.network, session.config.seed)
    session.lock = session.run.lock()
    return session


def network_document(architecture: Architecture) -> str:
    """Return the JSON document of a network; ``digitlab train --network FILE.json`` reads it too."""
    return json.dumps(architecture.to_dict(), indent=2) + "\n"


def _written(network: Architecture, folder: Path) -> Path:
    content = network_document(network).encode()
    stem = re.sub(r"[^A-Za-z0-9]+", "-", network.name).strip("-")[:40] or "network"
    path = folder / f"{stem}-{zlib.crc32(content):08x}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(content)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written: {error.strerror or error}. Make room, or choose another folder with --out."
        ) from error
    return path
