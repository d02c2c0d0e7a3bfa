"""One way in for model files, told apart by their names."""

from __future__ import annotations

from pathlib import Path

from digitlab.errors import RunError
from digitlab.network.checkpoint import Checkpoint, load_checkpoint
from digitlab.network.formats.tfjs import MODEL_JSON

__all__ = ["is_model_file", "load_model_file"]

_PICKLE = "it is a pickle, which can run any code when it is opened, so digitlab never opens one"
_OLD_KERAS = (
    "digitlab reads no whole-model HDF5 files. In Keras, save it as .keras: "
    "keras.saving.load_model('model.h5').save('model.keras')"
)
#: What others write that digitlab does not open, and what to do instead.
_REFUSED = {
    ".h5": _OLD_KERAS,
    ".hdf5": _OLD_KERAS,
    ".joblib": f"{_PICKLE}. Save the weights as ONNX",
    ".ckpt": f"{_PICKLE}. Save the model as ONNX: torch.onnx.export(...)",
    ".pb": "digitlab reads no TensorFlow graphs. Save the model as .keras",
    ".pickle": f"{_PICKLE}. Save the weights as ONNX",
    ".pkl": f"{_PICKLE}. Save the weights as ONNX",
    ".pt": f"{_PICKLE}. Save the model as ONNX: torch.onnx.export(...)",
    ".pth": f"{_PICKLE}. Save the model as ONNX: torch.onnx.export(...)",
    ".tflite": "digitlab reads no TensorFlow Lite files. Save the original as .keras",
}
_READ = (".safetensors", ".json", ".keras", ".onnx")


def is_model_file(name: str | Path) -> bool:
    """Tell whether a name means a model file, or a folder with a TensorFlow.js model, and not a run.

    Examples
    --------
    >>> is_model_file("model.onnx"), is_model_file("latest")
    (True, False)
    """
    path = Path(name)
    if path.suffix.lower() in (*_READ, *_REFUSED):
        return not (path.is_dir() and (path / "config.json").is_file())
    try:
        return (path / MODEL_JSON).is_file() and not (path / "config.json").exists()
    except (OSError, ValueError):
        return False


def load_model_file(name: str | Path) -> Checkpoint:
    """Read a model file that anybody may have written.

    Parameters
    ----------
    name : str or Path
        A checkpoint (``.safetensors``), a TensorFlow.js ``model.json`` or its folder, a ``.keras`` or an ``.onnx``.

    Raises
    ------
    RunError
        If it is none of these, damaged, hostile, or holds a network that digitlab cannot run; the message says what
        and what to do.
    """
    path = Path(name)
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        return load_checkpoint(path)
    if suffix == ".keras":
        from digitlab.network.formats.keras_archive import read_keras_archive

        return read_keras_archive(path)
    if suffix == ".onnx":
        from digitlab.network.formats.onnx_model import read_onnx

        return read_onnx(path)
    if suffix in _REFUSED:
        raise RunError(f"{path} cannot be used: {_REFUSED[suffix]}.")
    if suffix == ".json" or path.is_dir():
        from digitlab.network.formats.tfjs import read_tfjs

        return read_tfjs(path)
    raise RunError(
        f"{path} is not a model that digitlab reads: a run, .safetensors, TensorFlow.js' model.json, .keras or .onnx."
    )
