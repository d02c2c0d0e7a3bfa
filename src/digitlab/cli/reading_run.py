"""From names of files to what stands on them, printed and written as it is read."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path

from digitlab.cli.interruption import Interruption
from digitlab.cli.photo_files import STANDARD_INPUT, PhotoFiles, find_photos, unique_names
from digitlab.cli.predicting import warn_of_scale
from digitlab.cli.reading_screen import ReadingScreen
from digitlab.cli.terminal import say
from digitlab.data.storage import read_ordinary
from digitlab.engine.cpu.threads import available_threads
from digitlab.engine.loading import load_model
from digitlab.errors import DataError
from digitlab.evaluation.markup import duration
from digitlab.network.formats.opening import is_model_file
from digitlab.reading.many import Task, read_many
from digitlab.reading.options import ReadingOptions
from digitlab.reading.results_file import ResultsFile
from digitlab.runs.checkpoints import checkpoint_of

__all__ = ["ReadingRun"]

_EXIT_UNREAD, _EXIT_ALL_UNREAD = 1, 2
_MOST_BYTES = 400_000_000  # of standard input
_MOST_MODEL_BYTES = 2**30
_STANDARD_INPUT_NAME = "standard input"
_MOST_WORKERS = 8  # by default: each may hold a photo of 50 megapixels


@dataclass(frozen=True, slots=True)
class ReadingRun:
    """What ``digitlab read`` was asked for; its options are those of the command.

    Attributes
    ----------
    style : str
        What to print: "table", "json", "csv" or "none".
    """

    options: ReadingOptions
    model: str | None
    runs: Path
    out: Path | None
    overlay: Path | None
    explain: Path | None
    workers: int | None
    style: str
    force: bool
    page_seconds: float

    def run(self, names: Sequence[Path]) -> int:
        """Read files, and print and write the results as they are ready.

        Returns
        -------
        int
            The exit code: 1 if something could not be read, 2 if nothing could, 130 or 143 if it was interrupted.
        """
        began = time.perf_counter()
        photos = find_photos(names)
        checkpoint = None if self.model is None else checkpoint_of(self.model, self.runs)
        if self.model is not None and is_model_file(self.model):
            warn_of_scale(load_model(self.model))
        with Interruption() as interruption, ExitStack() as stack:
            table = None
            if self.out is not None:
                table = stack.enter_context(ResultsFile(self.out, self._recipe(checkpoint), force=self.force))
            tasks = self._tasks(photos, table)
            n_before = len(photos.paths) - len(tasks)
            if n_before:
                say(f"{self.out} has {n_before:,} of {_files(len(photos.paths))} already, and they are not read again.")
            screen = stack.enter_context(ReadingScreen(self.style, _shown(tasks, photos)))
            for problem in photos.problems:
                screen.tell(problem)
            workers = self.workers or min(available_threads(), _MOST_WORKERS)
            results = read_many(
                tasks, model=checkpoint, options=self.options, workers=workers, page_seconds=self.page_seconds
            )
            n_read = n_bad = n_numbers = 0
            with closing(results):
                for result in results:
                    if table is not None:
                        table.append(result, result.file)
                    screen.show(result)
                    n_read += 1
                    n_bad += result.error is not None
                    n_numbers += sum(len(reading.numbers) for reading in result.readings)
                    if interruption.requested:
                        screen.note("Stopping; Ctrl-C: at once")
                        break
            if interruption.requested and n_read < len(tasks):
                stack.close()
                self._tell_interrupted(n_read, len(tasks))
                return interruption.exit_code
        if len(tasks) > 1 or table is not None:
            bad = f", {n_bad:,} of them could not be read" if n_bad else ""
            kept = f" are in {self.out}" if self.out is not None and n_read else ""
            seconds = duration(time.perf_counter() - began)
            say(f"{_files(n_read)}{bad}; {n_numbers:,} number{'' if n_numbers == 1 else 's'}{kept}; {seconds}.")
        if not n_bad and not photos.problems:
            return 0
        return _EXIT_UNREAD if n_read > n_bad or n_before else _EXIT_ALL_UNREAD

    def _tasks(self, photos: PhotoFiles, table: ResultsFile | None) -> list[Task]:
        """What is not in the table yet."""
        tasks = []
        for path, stem in zip(photos.paths, unique_names(photos.inside), strict=True):
            is_input = path == STANDARD_INPUT
            name = _STANDARD_INPUT_NAME if is_input else path
            if not is_input and table is not None and table.has(name, path):
                continue
            tasks.append(
                Task(
                    name,
                    _standard_input() if is_input else path,
                    str(self.overlay / stem) if self.overlay is not None else None,
                    str(self.explain / stem) if self.explain is not None else None,
                )
            )
        if table is not None:
            table.forget(task.name for task in tasks)
        return tasks

    def _recipe(self, checkpoint: Path | None) -> str:
        """A word that differs where options or the network differ."""
        from digitlab.reading.answers import SHIPPED

        path = SHIPPED if checkpoint is None else checkpoint
        digest = hashlib.sha256(json.dumps(self.options.to_dict(), sort_keys=True).encode())
        with suppress(OSError, ValueError):  # what is wrong with it is told by who loads it
            digest.update(read_ordinary(path, _MOST_MODEL_BYTES))
        return digest.hexdigest()[:12]

    def _tell_interrupted(self, n_read: int, n_tasks: int) -> None:
        if self.out is not None:
            say(
                f"Stopped after {n_read:,} of {_files(n_tasks)}. They are kept in {self.out}; to go on, give the same "
                "command again."
            )
        else:
            say(
                f"Stopped after {n_read:,} of {_files(n_tasks)}. A command with --out results.csv can be stopped and "
                "gone on with."
            )


def _shown(tasks: Sequence[Task], photos: PhotoFiles) -> dict[str, str]:
    """How files are called in the table: by their place in the folder that was named, if no two are called so."""
    are_unique = len(set(photos.inside)) == len(photos.inside)
    inside = dict(zip(photos.paths, photos.inside, strict=True)) if are_unique else {}
    return {task.name: inside.get(task.name, task.name) for task in tasks}


def _files(n: int) -> str:
    return f"{n:,} file{'' if n == 1 else 's'}"


def _standard_input() -> bytes:
    if sys.stdin is None or sys.stdin.isatty():
        raise DataError("- reads an image from standard input, and there is none: digitlab read - < photo.jpg")
    content = sys.stdin.buffer.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise DataError(f"Standard input has more than {_MOST_BYTES // 1_000_000} MB. Save the photo smaller first.")
    return content
