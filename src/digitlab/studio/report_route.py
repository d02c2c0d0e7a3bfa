"""Serving the runs' reports: ``report.html`` of a real run, and no other file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from fastapi import Response
from nicegui import app

from digitlab.errors import RunError
from digitlab.runs.listing import check_name, run_in
from digitlab.runs.run import REPORT

__all__ = ["REPORT_PATH", "add_report_route", "read_report", "report_url"]

#: Where a report is found.
REPORT_PATH = "/runs/{name}/report.html"

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


def report_url(name: str) -> str:
    """Return where the report of a run is found.

    Examples
    --------
    >>> report_url("2026-11-22_codelab-cnn_s0")
    '/runs/2026-11-22_codelab-cnn_s0/report.html'
    """
    return REPORT_PATH.format(name=name)


def read_report(folder: Path, name: str) -> bytes:
    """Read the report of a run in a folder.

    Raises
    ------
    RunError
        If there is no run of that name, it has no report, or what is there is no plain file of its own.
    """
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


def add_report_route(folder: Path) -> None:
    """Serve the reports of the runs in a folder; a second call, with whatever folder, replaces the first."""
    app.routes[:] = [route for route in app.routes if getattr(route, "path", None) != REPORT_PATH]

    # Not a coroutine: reading runs in a thread.
    @app.get(REPORT_PATH)
    def report(name: str) -> Response:
        try:
            return Response(read_report(folder, name), media_type="text/html", headers=_HEADERS)
        except RunError as error:
            return Response(f"{error}\n", status_code=404, media_type="text/plain", headers=_HEADERS)
