"""One session a run: a lock on the run's directory, which a killed process lets go of by dying."""

from __future__ import annotations

import os
from pathlib import Path

from digitlab.data.bench import try_lock
from digitlab.errors import RunError

__all__ = ["RunLock"]


class RunLock:
    """Holds a run's directory for one session, until it is released, forgotten, or its process ends.

    The directory itself is locked, so there is no file that a killed process could leave behind. On Windows, and on
    file systems without such locks, nothing is locked.

    Parameters
    ----------
    path : Path
        A run's directory.

    Raises
    ------
    RunError
        If another session has it.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = _locked(path)

    def release(self) -> None:
        """Let others have the run."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __del__(self) -> None:
        if getattr(self, "_descriptor", None) is not None:
            self.release()


def _locked(path: Path) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None  # whatever is wrong with it is told by who reads or writes it
    is_ours = try_lock(descriptor)
    if is_ours:
        return descriptor
    os.close(descriptor)
    if is_ours is None:
        return None
    raise RunError(
        f"The run {path} is being trained by another session. Wait until it ends, or stop it and then go on with the "
        f"run by --resume."
    )
