"""The runs of a folder as lines for a table, damaged ones with what is wrong with them; and their reports, served."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fastapi import Response
from nicegui import app

from digitlab.errors import DigitlabError, RunError, StorageError
from digitlab.evaluation.alike import NetworkResult, results_of
from digitlab.network.architecture import Architecture
from digitlab.runs.label import LABEL, Label, read_label
from digitlab.runs.listing import check_name, may_be_run, run_in
from digitlab.runs.run import CONFIG, EVALUATION, HISTORY, MODEL, REPORT, STATE, Run, RunInfo
from digitlab.studio.trainer import Trainer
from digitlab.text import setting_text
from digitlab.training.config import TrainConfig

# Their times and sizes say whether a line is still true.
_TELLING = (CONFIG, HISTORY, EVALUATION, MODEL, STATE, REPORT, LABEL)
#: What is said where nothing is kept.
NO_RUNS = "This Studio keeps no runs; start it with a folder for them: digitlab studio --out runs"
# Runs are read from the newest on, and no further than this: it takes a moment each.
_MOST_READ = 200
# Columns of their own, so not among the changed settings.
_SHOWN_APART = ("network", "seed", "epochs")


@dataclass(frozen=True, slots=True)
class RunLine:
    """One run in the list.

    ``began`` is when its settings were written, in local time; ``info`` is None and ``problem`` says why where the run
    is damaged. ``changed`` is what differs from the defaults, besides network, seed and epochs, and what was changed on
    the way. With a model it can be evaluated, with weights compared; an interrupted run has weights too.
    """

    name: str
    began: datetime
    info: RunInfo | None
    changed: str
    problem: str
    has_model: bool
    has_weights: bool
    has_report: bool
    label: Label

    @property
    def called(self) -> str:
        """How it is called where runs are chosen."""
        return self.label.of(self.name)


class RunList:
    """Reads the runs of a folder, and only those again that have changed; safe to call from any thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, tuple[tuple[Any, ...], RunLine]] = {}

    def lines(self) -> list[RunLine]:
        """Return the runs, the one begun last first."""
        try:
            names = sorted(os.listdir(self.folder))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError(f"The folder {self.folder} cannot be read: {error.strerror or error}.") from None
        before, found = self._known, {}
        for name in names:
            path = self.folder / name
            if not may_be_run(path):
                continue
            stamp = _stamp(path)
            known = before.get(name)
            found[name] = known if known is not None and known[0] == stamp else (stamp, _line(path))
        self._known = found
        return sorted((line for _, line in found.values()), key=lambda line: (line.began, line.name), reverse=True)


def run_lines(trainer: Trainer) -> list[RunLine]:
    """Return the runs of a trainer's folder; all pages share what was read. StorageError if it cannot be read."""
    return [] if trainer.out is None else trainer.own(_list_of).lines()


def results_here(trainer: Trainer, networks: Sequence[Architecture]) -> list[list[NetworkResult]]:
    """Return the complete runs of each network in the trainer's folder, the newest first; it reads files."""
    lines = run_lines(trainer)[:_MOST_READ]
    return results_of(((open_run(trainer, x.name), x.info) for x in lines if x.info is not None), networks)


def _list_of(trainer: Trainer) -> RunList:
    return RunList(trainer.out or Path())


def open_run(trainer: Trainer, name: str) -> Run:
    """Open a run of the trainer's folder, and of no other; RunError if there is none of that name."""
    if trainer.out is None:
        raise RunError(NO_RUNS)
    return run_in(trainer.out, check_name(name))


def _stamp(path: Path) -> tuple[Any, ...]:
    parts: list[Any] = []
    for name in _TELLING:
        try:
            status = (path / name).stat()
            parts.append((status.st_mtime_ns, status.st_size))
        except OSError:
            parts.append(None)
    return tuple(parts)


def _line(path: Path) -> RunLine:
    run = Run(path)
    info, changed, problem = None, "", ""
    try:
        info = run.info()
        config = TrainConfig.from_dict(run.read_json(CONFIG).get("config", {}))
        settings = {name: value for name, value in config.changed().items() if name not in _SHOWN_APART}
        changed = ", ".join([*(f"{name} {setting_text(value)}" for name, value in settings.items()), *info.on_the_way])
    except DigitlabError as error:
        # The list is about this folder; its path would only take room.
        problem = str(error).replace(f"{path}{os.sep}", "")
    try:
        began = datetime.fromtimestamp((path / CONFIG).stat().st_mtime)
    except (OSError, OverflowError, ValueError):
        began = datetime.fromtimestamp(0)
    has_model = info is not None and os.path.isfile(path / MODEL)
    return RunLine(
        name=path.name,
        began=began,
        info=info,
        changed=changed,
        problem=problem,
        has_model=has_model,
        has_weights=has_model or (info is not None and os.path.isfile(path / STATE)),
        has_report=os.path.isfile(path / REPORT),
        label=read_label(path),
    )


#: Where a report is found, and that of a trainer with a key.
REPORT_PATH, ROOM_REPORT_PATH = "/runs/{name}/report.html", "/rooms/{key}/{name}/report.html"

# A report fetches and runs nothing. The file may be anybody's, so that is held here and not only in the file; the
# sandbox takes it out of the page's origin, too.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; sandbox"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_MOST_BYTES = 64 * 2**20


def report_url(name: str, key: str = "") -> str:
    """Return where the report of a run is found; ``key`` is that of the trainer that its folder belongs to.

    >>> report_url("2026-11-22_codelab-cnn_s0")
    '/runs/2026-11-22_codelab-cnn_s0/report.html'
    """
    return (ROOM_REPORT_PATH if key else REPORT_PATH).format(name=name, key=key)


def read_report(folder: Path, name: str) -> bytes:
    """Read the report of a run in a folder."""
    path = run_in(folder, check_name(name)).path / REPORT
    try:
        # A link could lead anywhere, and a pipe would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_BYTES:
                raise RunError(
                    f"The {REPORT} of the run {name} is no report. Write it anew with: digitlab evaluate {name}"
                )
            return file.read()
    except FileNotFoundError:
        raise RunError(
            f"The run {name} has no report yet. Finish its training, or write it with: digitlab evaluate {name}"
        ) from None
    except OSError as error:
        raise RunError(f"The report of the run {name} cannot be read: {error.strerror or error}.") from None


def add_report_route(folder: Path, folder_of: Callable[[str], Path | None] = lambda _: None) -> None:
    """Serve the reports of the runs in a folder, and in those that a room's key leads to.

    A second call, with whatever folder, replaces the first.
    """
    paths = (REPORT_PATH, ROOM_REPORT_PATH)
    app.routes[:] = [route for route in app.routes if getattr(route, "path", None) not in paths]

    # Not coroutines: reading runs in a thread.
    @app.get(REPORT_PATH)
    def report(name: str) -> Response:
        return _answered(folder, name)

    @app.get(ROOM_REPORT_PATH)
    def report_of_room(key: str, name: str) -> Response:
        return _answered(folder_of(key), name)


def _answered(folder: Path | None, name: str) -> Response:
    try:
        if folder is None:
            raise RunError("There is no such room any more. Reload the page.")
        return Response(read_report(folder, name), media_type="text/html", headers=_HEADERS)
    except RunError as error:
        return Response(f"{error}\n", status_code=404, media_type="text/plain", headers=_HEADERS)
