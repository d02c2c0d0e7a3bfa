"""``digitlab export``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from digitlab.cli.terminal import AsJson, Pixels, StateNetwork, print_json, say, stdout, with_network


def export(
    run: str,
    /,
    *,
    format: Literal["tfjs", "keras", "onnx", "web"],
    out: Path | None = None,
    quantize: Literal["uint8", "uint16", "float16"] | None = None,
    data: Path | None = None,
    pixels: Pixels = None,
    network: StateNetwork = None,
    runs: Path = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Write a trained network for TensorFlow.js, Keras or ONNX, or as a page to hand out, and verify it.

    The file is read back and, where the runtime is installed (Keras, onnxruntime, @tensorflow/tfjs under Node; Node for
    a page), asked test images there, before it takes its place.

    Parameters
    ----------
    run
        A run's name or folder, "latest", or a model file: .safetensors, .keras, .h5, .onnx, or TensorFlow.js'
        model.json.
    format
        What to write: a TensorFlow.js layers model, a .keras file of Keras 3, an ONNX model, or a folder with a page
        to draw digits on, which needs a browser and nothing else.
    out
        The file, or for TensorFlow.js and pages the folder; by default named after the run, in this folder.
    quantize
        TensorFlow.js: weights in fewer bits. The accuracy before and after is told.
    data
        A set of images to verify with, as for digitlab train, instead of the data that the run was trained with.
    pixels
        How the pixels were scaled that a model file's network learned from: 0-255, 0-1, -1-1, or MEAN,STD of pixels
        from 0 to 1 (PyTorch's Normalize), such as 0.1307,0.3081. By default what the file says, or what fits far
        better, which is told; it becomes part of what is written.
    network
        The network whose weights a PyTorch state dict (.safetensors) holds: a name of the zoo, or a JSON file with
        layers. All other files say it themselves.
    runs
        The folder of runs.
    as_json
        Print one JSON object.
    """
    from digitlab.data.mnist import MnistData
    from digitlab.engine.models import opened_model
    from digitlab.engine.runtime import RuntimeModel
    from digitlab.errors import NetworkError
    from digitlab.evaluation.finish import own_folder
    from digitlab.exporting.export import export as exported
    from digitlab.network.formats.files import is_model_file
    from digitlab.runs.listing import find_run

    run = with_network(run, network)
    found = None if is_model_file(run) else find_run(run, runs)
    opened = opened_model(run if found is None else found.path, runs, pixels)
    if isinstance(opened.model, RuntimeModel):
        raise NetworkError(opened.model.sentence())
    mnist = MnistData.load(own_folder(found) if data is None else data)
    report = exported(
        opened.model,
        _default_target(run if found is None else found.name, format) if out is None else out,
        format=format,
        quantize=quantize,
        data=mnist,
        metadata=opened.metadata,
    )
    if as_json:
        print_json(report.to_dict())
        return
    if opened.note:
        say(opened.note, style="yellow")
    console = stdout()
    names = f" ({', '.join(report.files)})" if format == "tfjs" else ""
    console.print(f"{report.path}{names}, {report.n_bytes:,} bytes.")
    if format == "web":
        page = Path(report.path) / "index.html"
        console.print(f"Open {page} in a browser, and draw; it needs no server and no network.")
    for sentence in report.sentences():
        # What is missing is said beside the result, not as part of it.
        (say if sentence == report.not_verified else console.print)(sentence)


def _default_target(name: str, format: str) -> Path:
    from digitlab.exporting.export import FORMATS

    path = Path(name)
    # TensorFlow.js calls every model model.json: the folder says which one it is.
    stem = path.resolve().parent.name if path.name == "model.json" else path.stem if path.suffix else path.name
    return Path(f"{stem or 'model'}{FORMATS[format] or f'-{format}'}")
