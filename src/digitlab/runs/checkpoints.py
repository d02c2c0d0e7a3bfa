"""Which file of weights is meant by ``latest``, a run's name or folder, or a file's name."""

from __future__ import annotations

from pathlib import Path

from digitlab.network.formats.opening import is_model_file
from digitlab.runs.layout import MODEL
from digitlab.runs.listing import find_run

__all__ = ["checkpoint_of"]


def checkpoint_of(name: str, runs: Path) -> Path:
    """Return the checkpoint of a run, or the file itself.

    Parameters
    ----------
    name : str
        A run's name or folder, ``latest``, or a model file.
    runs : Path
        The folder of runs.

    Raises
    ------
    RunError
        If there is no such run.
    """
    return Path(name) if is_model_file(name) else find_run(name, runs).path / MODEL
