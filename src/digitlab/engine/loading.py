"""Opening a model wherever a run is meant: a run directory, its name, or a checkpoint file."""

from __future__ import annotations

from pathlib import Path

from digitlab.engine.sequential import Sequential
from digitlab.network.checkpoint import load_checkpoint
from digitlab.runs.listing import find_run

__all__ = ["load_model"]


def load_model(path: str | Path, *, out: str | Path = "runs", threads: int | None = None) -> Sequential:
    """Load a trained model.

    Parameters
    ----------
    path : str or Path
        A run directory, the name of a run in ``out``, ``latest``, or a checkpoint file (``.safetensors``).
    out : str or Path
        The folder of runs.
    threads : int, optional
        Threads that share the work; all cores by default.

    Raises
    ------
    RunError
        If there is none, or it is damaged; the message says which file and what to do.
    """
    if Path(path).suffix == ".safetensors":
        return Sequential.from_checkpoint(load_checkpoint(path), threads=threads)
    return Sequential.from_checkpoint(find_run(path, out).load_model(), threads=threads)
