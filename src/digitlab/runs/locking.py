"""One session a run: a lock on the run's directory, which a killed process lets go of by dying."""

from __future__ import annotations

import os
import sys
from pathlib import Path

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


if sys.platform == "win32":

    def _locked(path: Path) -> int | None:
        return None

else:
    import fcntl

    def _locked(path: Path) -> int | None:
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except OSError:
            return None  # whatever is wrong with it is told by who reads or writes it
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise RunError(
                f"The run {path} is being trained by another session. Wait until it ends, or stop it and then go on "
                f"with the run by --resume."
            ) from None
        except OSError:
            os.close(descriptor)
            return None
        return descriptor
