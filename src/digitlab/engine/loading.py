"""Opening a model wherever a run is meant: a run, or a model file of digitlab, TensorFlow.js, Keras or ONNX."""

from __future__ import annotations

from pathlib import Path

from digitlab.engine.sequential import Sequential
from digitlab.runs.listing import open_model

__all__ = ["load_model"]


def load_model(path: str | Path, *, out: str | Path = "runs", threads: int | None = None) -> Sequential:
    """Load a trained model.

    Parameters
    ----------
    path : str or Path
        A run directory, the name of a run in ``out``, ``latest``, or a model file: a checkpoint (``.safetensors``), a
        TensorFlow.js layers model (``model.json`` or its folder), a ``.keras`` of Keras 3, or an ``.onnx``. Files of
        others are read by whitelist: nothing in them is run, and a layer that digitlab lacks is named.
    out : str or Path
        The folder of runs.
    threads : int, optional
        Threads that share the work; all cores by default.

    Raises
    ------
    RunError
        If there is none, or it is damaged or not usable; the message says which file and what to do.
    """
    return Sequential.from_checkpoint(open_model(path, out), threads=threads)
