"""A run's directory: made, locked, written, read and replaced here and nowhere else.

::

    runs/2026-11-22_codelab-cnn_s0/
      config.json         the settings that it began with, the network, the data, the command that repeats it, and the
                          learning rates that were set on the way, if any
      environment.json    versions, processor, threads, commit
      history.jsonl       one record a line, and what was changed on the way, appended as it happens
      model.safetensors   the weights that the run is for
      state.safetensors   what resuming needs; gone when the run is complete
      start.safetensors   of a fine-tuned network: the weights that it began with, and the corrections
      evaluation.json     written by the evaluation, never by training
      timings.json        seconds that every stage took
      report.html         everything above, for people
      label.json          a title and a note, where somebody gave it one

Files are replaced as a whole or not at all; only the history grows.
"""

from __future__ import annotations

import json
import os
import shlex
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

from digitlab.data.storage import (
    bench,
    clear_leftovers,
    locked_folder,
    parse_json,
    read_ordinary,
    reason_of,
    replace_folder,
    replacing,
)
from digitlab.errors import DigitlabError, RunError, StorageError
from digitlab.network.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from digitlab.runs.history import MOST_CHANGES, HistoryFile, Record, Steering, read_records, too_many_changes
from digitlab.runs.label import LABEL, Label, read_label, write_label
from digitlab.runs.steering import best_epoch, changes_told, ending_told, status_of, stops_told
from digitlab.values import EpochRecord, Resumption, StepRecord, Value

CONFIG, ENVIRONMENT, HISTORY = "config.json", "environment.json", "history.jsonl"
MODEL, STATE, START = "model.safetensors", "state.safetensors", "start.safetensors"
EVALUATION, TIMINGS, REPORT = "evaluation.json", "timings.json", "report.html"

#: All of them.
FILES = (CONFIG, ENVIRONMENT, HISTORY, MODEL, STATE, START, EVALUATION, TIMINGS, REPORT, LABEL)

# The longest, an evaluation, has some 20 kB; 4 MB of brackets would take 200 MB when parsed.
_MOST_BYTES = 2**22
# What lists and reports need of a run's settings, and the least that their numbers can be.
_NEEDED = ("network", "seed", "epochs")
_LEAST = {"seed": 0, "epochs": 1, "early_stopping": 0, "train_images": 1}
_DAMAGED = "its evaluation is damaged. Make it again with: digitlab evaluate {name}"


@dataclass(frozen=True, slots=True)
class RunInfo(Value):
    """A run in a list: where it is, what it was and what came out.

    ``status`` is ``complete``, ``diverged`` (it ended early, with the weights of before), ``interrupted`` (it can be
    resumed) or ``started`` (it is being trained, or was killed before anything could be resumed from). Accuracies are
    fractions or None; ``val_accuracy`` is that of the epoch whose weights are kept: ``best_epoch``, where the run keeps
    those with the lowest validation loss, or the last. ``changes`` are words for what made its weights others than its
    settings alone would have, and ``resumed_after`` the batches after which it was stopped and gone on with, which
    changes nothing. ``on_the_way`` are words for both in their order, and for how it ended where that was not with the
    weights of its last epoch. ``command`` repeats it: by its settings, or by its name where they alone would not.
    ``problem`` is a sentence where its evaluation is there and damaged, ``title`` and ``note`` what people gave it.
    """

    name: str
    path: str
    status: str
    network: str
    seed: int
    epochs_done: int
    epochs: int
    val_accuracy: float | None
    test_accuracy: float | None
    changes: tuple[str, ...] = ()
    resumed_after: tuple[int, ...] = ()
    problem: str = ""
    batches_done: int = 0
    best_epoch: int | None = None
    on_the_way: tuple[str, ...] = ()
    command: str = ""
    title: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class DamagedRun(Value):
    """A run of which nothing can be told but why, and what people call it; ``problem`` is a sentence."""

    name: str
    path: str
    problem: str
    title: str = ""
    note: str = ""


class Run:
    """A run's directory on the disk; ``Run.create`` makes a new one, ``Run.open`` opens one that exists.

    Parameters
    ----------
    path : Path
        The directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        """The directory's name."""
        return self.path.name

    def __repr__(self) -> str:
        return f"<Run {self.path}>"

    def _repr_html_(self) -> str:
        from digitlab.notebook import run_html

        return run_html(self)

    @property
    def label(self) -> Label:
        """The title and the note that people gave it; empty where they gave none."""
        return read_label(self.path)

    def annotate(self, *, title: str | None = None, note: str | None = None) -> Label:
        """Give it a title or a note, which stand wherever runs are listed; its name stays what commands call it.

        Parameters
        ----------
        title : str, optional
            At most 80 characters on one line; an empty one takes the title away. None leaves it.
        note : str, optional
            At most 2,000 characters; an empty one takes the note away. None leaves it.

        Returns
        -------
        Label
            What it has now, without characters that cannot be seen.

        Raises
        ------
        RunError
            If a text is too long, or the run is gone.
        StorageError
            If it cannot be written; then nothing has changed.
        """
        return write_label(self.path, title, note)

    @classmethod
    def create(cls, path: Path, *, force: bool = False) -> Run:
        """Make a new run directory; ``force`` replaces a run of that name, and nothing else.

        RunError if something is in the way; StorageError if it cannot be made, and what existed is as it was.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if force and path.is_dir():
                _make_way(path)
            else:
                clear_leftovers(path.parent)
                path.mkdir()
        except FileExistsError:
            if path.is_dir():
                raise RunError(
                    f"The run {path} exists already. Add --resume to go on with it, --force to replace it, or choose "
                    f"another --name."
                ) from None
            raise StorageError(f"{path} cannot be made, because a file is in the way. Choose another folder.") from None
        except RunError:
            raise
        except (OSError, ValueError) as error:
            raise StorageError(
                f"The run directory {path} cannot be made: {reason_of(error)}. Choose another folder with --out."
            ) from None
        return cls(path)

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Open a run that exists; RunError if the folder is not one."""
        run = cls(Path(path))
        if not os.path.isdir(run.path):
            raise RunError(f"There is no run {run.path}. See what there is with: digitlab runs")
        if not os.path.isfile(run.path / CONFIG):
            raise RunError(f"{run.path} is not a run: it has no {CONFIG}. See what there is with: digitlab runs")
        return run

    def lock(self) -> RunLock:
        """Keep other sessions from training into this directory until the lock is released or the process ends."""
        return RunLock(self.path)

    def has(self, name: str) -> bool:
        """Tell whether a file of the run exists, such as ``MODEL`` or ``STATE``."""
        return os.path.lexists(self.path / name)

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write one of the JSON files, whole or not at all."""
        self.write_bytes(name, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write one file, whole or not at all; what was there is untouched by a StorageError."""
        try:
            with replacing(self.path / name) as file:
                file.write(content)
        except OSError as error:
            raise StorageError(
                f"{self.path / name} cannot be written: {reason_of(error)}. Nothing that existed was lost; make room "
                f"or choose another folder with --out."
            ) from error

    def read_json(self, name: str) -> dict[str, Any]:
        """Read one of the JSON files, of bounded size and with finite numbers; a RunError says why it cannot be."""
        path = self.path / name
        try:
            content = parse_json(read_ordinary(path, _MOST_BYTES))
        except FileNotFoundError:
            raise RunError(
                f"The run {self.path} has no {name}; it may have been stopped before it was written. Train it again."
            ) from None
        except (OSError, ValueError) as error:
            raise RunError(f"{path} cannot be read: {reason_of(error)}. The run is damaged; train it again.") from None
        if not isinstance(content, dict):
            raise RunError(f"{path} should hold a JSON object. The run is damaged; train it again.")
        return content

    def settings(self) -> dict[str, Any]:
        """Read its settings, by name; RunError if they are damaged."""
        return self._settings_in(self.read_json(CONFIG))

    def _settings_in(self, description: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings in its ``config.json``, which anybody may have written, checked as far as lists need."""
        config = description.get("config")
        if not isinstance(config, dict):
            wrong = f"'config' is {config!r:.80}"
        elif missing := [name for name in _NEEDED if name not in config]:
            wrong = f"its setting {missing[0]!r} is missing"
        elif bad := [name for name, value in config.items() if not _can_be(name, value)]:
            wrong = f"its setting {bad[0]!r} is {config[bad[0]]!r:.80}"
        else:
            return config
        raise RunError(f"{self.path / CONFIG} holds no settings of a run: {wrong}. The run is damaged; train it again.")

    def save(self, name: str, checkpoint: Checkpoint) -> None:
        """Write the model or the state, whole or not at all."""
        save_checkpoint(self.path / name, checkpoint)

    def load_model(self) -> Checkpoint:
        """Read the model; RunError if there is none yet, or it is damaged."""
        if not self.has(MODEL):
            raise RunError(f"The run {self.path} has no model yet; go on with it by: {self.resume_command()}")
        return load_checkpoint(self.path / MODEL)

    def load_state(self) -> Checkpoint:
        """Read what resuming needs; a RunError says that the run is complete, or was stopped before there was any."""
        if not self.has(STATE):
            why = "is complete" if self.has(MODEL) else "was stopped before its first state was saved"
            raise RunError(f"The run {self.path} {why}; start a new one, or replace it with --force.")
        return load_checkpoint(self.path / STATE)

    def remove_state(self) -> None:
        """Remove what resuming needs, once the run is complete."""
        try:
            (self.path / STATE).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(
                f"{self.path / STATE} cannot be removed: {reason_of(error)}. The run is complete; remove it yourself."
            ) from None

    def resume_command(self) -> str:
        """Return the command that goes on with this run."""
        return shlex.join(["digitlab", "train", "--out", str(self.path.parent), "--name", self.name, "--resume"])

    def repeat_command(self) -> str:
        """Return the command that makes this run's weights anew, whatever was done to it on the way."""
        return shlex.join(["digitlab", "train", "--repeat", str(self.path)])

    def open_history(self, n_records: int = 0) -> HistoryFile:
        """Open the history to append to, after its first ``n_records`` records."""
        return HistoryFile(self.path / HISTORY, n_records)

    def history(self) -> list[Record]:
        """Read the records of batches and epochs; a last line that was cut off by a crash is left out."""
        return [record for record, _ in read_records(self.path / HISTORY) if not isinstance(record, Steering)]

    def steering(self) -> list[Steering]:
        """Read what was done to the training on the way, in its order."""
        return [record for record, _ in read_records(self.path / HISTORY) if isinstance(record, Steering)]

    def info(self) -> RunInfo:
        """Summarise the run for a list; RunError if its settings or history are damaged."""
        label = self.label
        description = self.read_json(CONFIG)
        config = self._settings_in(description)
        epochs: list[EpochRecord] = []
        turns: list[StepRecord] = []
        steering: list[Steering] = []
        n_steps = 0
        for record, _ in read_records(self.path / HISTORY):
            if isinstance(record, Steering):
                steering.append(record)
            elif isinstance(record, EpochRecord):
                epochs.append(record)
            else:
                n_steps = record.step
                # Of a long run, all steps at once would take hundreds of megabytes.
                if config.get("schedule") == "constant" and (
                    not turns or record.learning_rate != turns[-1].learning_rate
                ):
                    turns.append(record)
                    if len(turns) > MOST_CHANGES:
                        raise too_many_changes(self.path / HISTORY)
        accuracy, is_evaluated = None, self.has(EVALUATION)
        with suppress(DigitlabError):
            accuracy = self.read_json(EVALUATION).get("accuracy") if is_evaluated else None
        is_known = isinstance(accuracy, float) and 0 <= accuracy <= 1
        status = status_of(config, epochs, has_model=self.has(MODEL), has_state=self.has(STATE))
        best, changes = best_epoch(config, epochs, status), changes_told(description, turns, steering)
        of = best or (epochs[-1] if epochs else None)
        # The file of a network may hold another one by now.
        is_told = not changes and status != "interrupted" and not config["network"].lower().endswith(".json")
        return RunInfo(
            name=self.name,
            title=label.title,
            note=label.note,
            path=str(self.path),
            status=status,
            network=config["network"],
            seed=config["seed"],
            epochs_done=len(epochs),
            epochs=config["epochs"],
            val_accuracy=None if of is None else of.val_accuracy,
            test_accuracy=accuracy if is_known else None,
            changes=tuple(text for _, text in changes),
            resumed_after=tuple(one.step for one in steering if isinstance(one, Resumption)),
            problem=_DAMAGED.format(name=self.name) if is_evaluated and not is_known else "",
            batches_done=n_steps,
            best_epoch=None if best is None else best.epoch,
            on_the_way=(
                *(text for _, text in sorted([*stops_told(steering), *changes], key=itemgetter(0))),
                *ending_told(config, status, n_steps, epochs),
            ),
            command=str(description.get("command", "")) if is_told else self.repeat_command(),
        )


def _can_be(name: str, value: Any) -> bool:
    """Tell whether a setting can have this value, as far as lists and reports need it."""
    if name in _LEAST:
        return type(value) is int and value >= _LEAST[name]
    if name == "network":
        return isinstance(value, str)
    return name != "data" or value is None or isinstance(value, str)


class RunLock:
    """Holds a run's directory for one session, until it is released, forgotten, or its process ends.

    The directory itself is locked, so there is no file that a killed process could leave behind. On Windows, and on
    file systems without such locks, nothing is locked.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._descriptor = locked_folder(path)
        except BlockingIOError:
            raise RunError(
                f"The run {path} is being trained by another session. Wait until it ends, or stop it and then go on "
                "with the run by --resume."
            ) from None

    def release(self) -> None:
        """Let others have the run."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __del__(self) -> None:
        if getattr(self, "_descriptor", None) is not None:
            self.release()


def _make_way(path: Path) -> None:
    """Put an empty directory in the place of a run, which is deleted, and only what a run consists of.

    A mistyped name must not cost anybody a folder of their own. An OSError leaves the run as it was.
    """
    _check_replaceable(path)
    lock = RunLock(path)
    try:
        with bench(path.parent) as place:
            (place / path.name).mkdir()
            replace_folder(place / path.name, path, place)
    finally:
        lock.release()


def _check_replaceable(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        raise RunError(f"{path} exists and is not a run; --force replaces runs only. Choose another --name.")
    entries = sorted(path.iterdir())
    for entry in entries:
        is_ours = entry.name in FILES or entry.match(".digitlab-*.tmp")
        if not is_ours or not stat.S_ISREG(entry.lstat().st_mode):
            raise RunError(
                f"{path} also holds {entry.name!r}, which is not part of a run; move it away before using --force."
            )
    try:
        config = Run(path).read_json(CONFIG)
    except RunError:
        config = {}
    # One that was killed right after it was made may hold nothing yet. Other tools have files of these names too.
    is_run = isinstance(config.get("config"), dict) and "command" in config
    if any(entry.name in FILES for entry in entries) and not is_run:
        raise RunError(
            f"{path} has no {CONFIG} that digitlab wrote; --force replaces runs only. Choose another --name, or delete "
            f"it yourself."
        )
