"""``digitlab export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

__all__ = ["export"]


def export(
    run: str,
    /,
    *,
    format: Literal["tfjs", "keras", "onnx", "web"],
    out: Path | None = None,
    quantize: Literal["uint8", "uint16", "float16"] | None = None,
    data: Path | None = None,
    runs: Path = Path("runs"),
    as_json: Annotated[bool, Parameter(name="--json", negative="", show_default=False)] = False,
) -> None:
    """Write a trained network for TensorFlow.js, Keras or ONNX, or as a page to hand out, and verify it.

    The file is read back and, where the runtime is installed (Keras, onnxruntime, @tensorflow/tfjs under Node; Node for
    a page), asked test images there, before it takes its place.

    Parameters
    ----------
    run
        A run's name or folder, "latest", or a model file: .safetensors, .keras, .onnx, or TensorFlow.js' model.json.
    format
        What to write: a TensorFlow.js layers model, a .keras file of Keras 3, an ONNX model, or a folder with a page
        to draw digits on, which needs a browser and nothing else.
    out
        The file, or for TensorFlow.js and pages the folder; by default named after the run, in this folder.
    quantize
        TensorFlow.js: weights in fewer bits. The accuracy before and after is told.
    data
        A folder with four IDX files to verify with, instead of the data that the run was trained with.
    runs
        The folder of runs.
    as_json
        Print one JSON object.
    """
    from digitlab.cli.exporting_run import run_export

    run_export(run, format, out, quantize, data, runs, as_json=as_json)
