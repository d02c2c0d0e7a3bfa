"""One run's directory: made, written and read here and nowhere else. What it holds is drawn in ``runs.layout``."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from digitlab.data.bench import sweep
from digitlab.data.storage import parse_json, read_ordinary, replacing
from digitlab.errors import DigitlabError, RunError, StorageError
from digitlab.network.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from digitlab.runs.history import HistoryFile, Record, Steering, read_records
from digitlab.runs.layout import CONFIG, ENVIRONMENT, EVALUATION, HISTORY, MODEL, REPORT, STATE, TIMINGS
from digitlab.runs.locking import RunLock
from digitlab.runs.replacement import replace_run
from digitlab.runs.summary import RunInfo, changes_told, settings_of
from digitlab.values import EpochRecord, Resumption, StepRecord

__all__ = ["CONFIG", "ENVIRONMENT", "EVALUATION", "HISTORY", "MODEL", "REPORT", "STATE", "TIMINGS", "Run", "RunInfo"]

# The longest, an evaluation, has some 20 kB; 4 MB of brackets would take 200 MB when parsed.
_MOST_BYTES = 2**22


class Run:
    """A run's directory on the disk.

    Parameters
    ----------
    path : Path
        The directory. Use ``Run.create`` for a new one and ``Run.open`` for one that exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        """The directory's name."""
        return self.path.name

    @classmethod
    def create(cls, path: Path, *, force: bool = False) -> Run:
        """Make a new run directory.

        Raises
        ------
        RunError
            If something of that name exists and ``force`` is False, or it is not a run.
        StorageError
            If it cannot be made; what existed is as it was.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if force and path.is_dir():
                replace_run(path)
            else:
                sweep(path.parent)
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
                f"The run directory {path} cannot be made: {_reason(error)}. Choose another folder with --out."
            ) from None
        return cls(path)

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Open a run that exists.

        Raises
        ------
        RunError
            If the folder is not a run.
        """
        run = cls(Path(path))
        if not os.path.isdir(run.path):
            raise RunError(f"There is no run {run.path}. See what there is with: digitlab runs")
        if not os.path.isfile(run.path / CONFIG):
            raise RunError(f"{run.path} is not a run: it has no {CONFIG}. See what there is with: digitlab runs")
        return run

    def lock(self) -> RunLock:
        """Keep other sessions from training into this directory until the lock is released or the process ends.

        Raises
        ------
        RunError
            If another session has it.
        """
        return RunLock(self.path)

    def has(self, name: str) -> bool:
        """Tell whether a file of the run exists, such as ``MODEL`` or ``STATE``."""
        return os.path.lexists(self.path / name)

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write one of the JSON files, whole or not at all."""
        self.write_bytes(name, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write one file, whole or not at all.

        Raises
        ------
        StorageError
            If it cannot be written; what was there is untouched.
        """
        try:
            with replacing(self.path / name) as file:
                file.write(content)
        except OSError as error:
            raise StorageError(
                f"{self.path / name} cannot be written: {_reason(error)}. Nothing that existed was lost; make room or "
                f"choose another folder with --out."
            ) from error

    def read_json(self, name: str) -> dict[str, Any]:
        """Read one of the JSON files.

        Raises
        ------
        RunError
            If it is missing, no ordinary file, too large or not a JSON object, or a number in it is not finite.
        """
        path = self.path / name
        try:
            content = parse_json(read_ordinary(path, _MOST_BYTES))
        except FileNotFoundError:
            raise RunError(
                f"The run {self.path} has no {name}; it may have been stopped before it was written. Train it again."
            ) from None
        except (OSError, ValueError) as error:
            raise RunError(f"{path} cannot be read: {_reason(error)}. The run is damaged; train it again.") from None
        if not isinstance(content, dict):
            raise RunError(f"{path} should hold a JSON object. The run is damaged; train it again.")
        return content

    def settings(self) -> dict[str, Any]:
        """Read its settings, by name.

        Raises
        ------
        RunError
            If they are damaged.
        """
        try:
            return settings_of(self.read_json(CONFIG))
        except RunError:
            raise
        except ValueError as error:
            raise RunError(
                f"{self.path / CONFIG} holds no settings of a run: {error}. The run is damaged; train it again."
            ) from None

    def save(self, name: str, checkpoint: Checkpoint) -> None:
        """Write the model or the state, whole or not at all."""
        save_checkpoint(self.path / name, checkpoint)

    def load_model(self) -> Checkpoint:
        """Read the model.

        Raises
        ------
        RunError
            If there is none yet, or it is damaged.
        """
        if not self.has(MODEL):
            raise RunError(f"The run {self.path} has no model yet; go on with it by: {self.resume_command()}")
        return load_checkpoint(self.path / MODEL)

    def load_state(self) -> Checkpoint:
        """Read what resuming needs.

        Raises
        ------
        RunError
            If the run is complete or was stopped before anything was saved.
        """
        if not self.has(STATE):
            why = "is complete" if self.has(MODEL) else "was stopped before its first state was saved"
            raise RunError(f"The run {self.path} {why}; start a new one, or replace it with --force.")
        return load_checkpoint(self.path / STATE)

    def remove_state(self) -> None:
        """Remove what resuming needs, once the run is complete.

        Raises
        ------
        StorageError
            If the directory cannot be written.
        """
        try:
            (self.path / STATE).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(
                f"{self.path / STATE} cannot be removed: {_reason(error)}. The run is complete; remove it yourself."
            ) from None

    def resume_command(self) -> str:
        """Return the command that goes on with this run."""
        return shlex.join(["digitlab", "train", "--out", str(self.path.parent), "--name", self.name, "--resume"])

    def repeat_command(self) -> str:
        """Return the command that makes this run's weights anew, whatever was done to it on the way."""
        return shlex.join(["digitlab", "train", "--repeat", str(self.path)])

    def open_history(self, n_records: int = 0) -> HistoryFile:
        """Open the history to append to, after its first ``n_records`` records.

        Raises
        ------
        RunError, StorageError
            If it holds fewer or is damaged, or cannot be written.
        """
        return HistoryFile(self.path / HISTORY, n_records)

    def history(self) -> list[Record]:
        """Read the records of batches and epochs; a last line that was cut off by a crash is left out.

        Raises
        ------
        RunError
            If a line before the last is not a record.
        """
        return self._read_history()[0]

    def steering(self) -> list[Steering]:
        """Read what was done to the training on the way, in its order.

        Raises
        ------
        RunError
            If a line before the last is not a record.
        """
        return self._read_history()[1]

    def _read_history(self) -> tuple[list[Record], list[Steering]]:
        records: list[Record] = []
        steering: list[Steering] = []
        for record, _ in read_records(self.path / HISTORY):
            if isinstance(record, Steering):
                steering.append(record)
            else:
                records.append(record)
        return records, steering

    def info(self) -> RunInfo:
        """Summarise the run for a list.

        Raises
        ------
        RunError
            If its settings or history are damaged.
        """
        config = self.settings()
        epochs: list[EpochRecord] = []
        turns: list[StepRecord] = []
        steering: list[Steering] = []
        for record, _ in read_records(self.path / HISTORY):
            if isinstance(record, Steering):
                steering.append(record)
            elif isinstance(record, EpochRecord):
                epochs.append(record)
            # Of a long run, all steps at once would take hundreds of megabytes.
            elif config.get("schedule") == "constant" and (
                not turns or record.learning_rate != turns[-1].learning_rate
            ):
                turns.append(record)
        evaluation: dict[str, Any] | None = {}
        with suppress(DigitlabError):
            evaluation = self.read_json(EVALUATION) if os.path.lexists(self.path / EVALUATION) else None
        return RunInfo.from_files(
            self.name,
            str(self.path),
            config,
            epochs,
            evaluation,
            changes=changes_told(self.read_json(CONFIG), turns, steering),
            resumed_after=tuple(one.step for one in steering if isinstance(one, Resumption)),
            has_model=self.has(MODEL),
            has_state=self.has(STATE),
        )


def _reason(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error)
