"""``digitlab studio``, and ``digitlab`` by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from digitlab.cli.parameters import NUMBER
from digitlab.reading.apart import PAGE_SECONDS


def studio(
    *,
    out: Path = Path("runs"),
    host: str = "127.0.0.1",
    port: int | None = None,
    token: str | None = None,
    browser: bool = True,
    start: Annotated[bool, Parameter(negative="--no-start")] = True,
    page_timeout: Annotated[float, Parameter(converter=NUMBER)] = PAGE_SECONDS,
) -> int:
    """Open the page: watch a network learn, step, pause and rewind it.

    Parameters
    ----------
    out
        The folder of runs.
    host
        The address to listen on. Beyond this machine only with a token.
    port
        The port; by default 8000, or the next that is free.
    token
        What every visitor has to show; the environment's DIGITLAB_TOKEN by default. On this machine alone nobody is
        asked for one without it: set the variable where other people have accounts on it.
    browser
        Open the page in your browser.
    start
        Begin with the codelab's run at once.
    page_timeout
        Seconds of work that a page or photo may take to be read.
    """
    from digitlab.studio.app import run_studio

    return run_studio(
        out=out, host=host, port=port, token=token, open_browser=browser, autostart=start, page_seconds=page_timeout
    )
