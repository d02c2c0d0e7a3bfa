"""A trained model wherever a run is meant: a run, or a model file of digitlab or of another program."""

from __future__ import annotations

from pathlib import Path

from digitlab.network.checkpoint import Checkpoint
from digitlab.network.formats.opening import is_model_file, load_model_file
from digitlab.runs.listing import find_run

__all__ = ["open_model"]


def open_model(model: str | Path, out: str | Path = "runs") -> Checkpoint:
    """Read a trained model.

    Parameters
    ----------
    model : str or Path
        A run directory, the name of a run in ``out``, ``latest``, or a model file: a checkpoint (``.safetensors``), a
        TensorFlow.js ``model.json`` or its folder, a ``.keras`` or an ``.onnx``.
    out : str or Path
        The folder of runs.

    Raises
    ------
    RunError
        If there is none, it is damaged, or it holds a network that digitlab cannot run.
    """
    return load_model_file(model) if is_model_file(model) else find_run(model, out).load_model()
