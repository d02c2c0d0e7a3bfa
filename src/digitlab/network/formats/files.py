"""Model files that anybody may have written: told apart by name, read within bounds, answered with a sentence."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from digitlab.data import storage
from digitlab.errors import ConfigError, NetworkError, RunError
from digitlab.network.architecture import Architecture, is_name
from digitlab.network.checkpoint import Checkpoint, checkpoint_of_tensors, read_tensors
from digitlab.network.folding import Affine, Weighted, folded, merged
from digitlab.network.layers import (
    LAYERS,
    Activation,
    Conv2D,
    Dense,
    Dropout,
    Layer,
    activation_of,
)
from digitlab.network.pixels import TAKES_OWN
from digitlab.network.zoo import network_of
from digitlab.values import CLASS_NAMES

#: What TensorFlow.js calls every model.
MODEL_JSON = "model.json"
# What TensorFlow calls every model; it is in a folder with others.
_SAVED_MODEL = "saved_model.pb"
_PICKLE = "it is a pickle, which can run any code when it is opened, so digitlab never opens one"
#: What exports a model of PyTorch as a file that says everything, by either of its exporters.
TORCH_EXPORT = (
    "model.eval(); images = torch.zeros(1, 1, 28, 28); "
    'torch.onnx.export(model, (images,), "model.onnx", external_data=False)'
)
#: What others write that digitlab does not open, and what to do instead.
_REFUSED = {
    **dict.fromkeys(
        (".joblib", ".pickle", ".pkl"),
        f"{_PICKLE}. Save the model as ONNX: scikit-learn's with the package skl2onnx, PyTorch's by {TORCH_EXPORT}",
    ),
    **dict.fromkeys(
        (".ckpt", ".pt", ".pth"),
        f"{_PICKLE}. Export the model as ONNX, in PyTorch (an old one: without external_data): {TORCH_EXPORT}",
    ),
    ".pb": (
        "digitlab reads no TensorFlow graphs. Save the model as .keras: in TensorFlow up to 2.15, "
        "tf.keras.models.load_model('the folder').save('model.keras')"
    ),
    ".tflite": "digitlab reads no TensorFlow Lite files. Save the original as .keras",
}
_KERAS = (".keras", ".h5", ".hdf5", ".hdf", ".he5")
_READ = (".safetensors", ".json", ".onnx", *_KERAS)
#: A network of 64 layers has a description of some 50 kB.
MOST_JSON_BYTES = 2**20
#: Room for the largest network that Architecture allows, 200 MB, in the formats that others write.
MOST_WEIGHT_BYTES = 2**28
_LONGEST_WORD = 80
_LONGEST_TEXT, _MOST_TEXTS = 1000, 32
_LARGEST_INPUT = 2**24
_LONGEST_KIND = 60
_CODE = "it is code, and digitlab runs no code from a file"
#: What to use instead of what digitlab lacks; the names are Keras' and ONNX's.
_INSTEAD = {
    "DepthwiseConv2D": "Conv2D",
    "PReLU": "ReLU",
    "SeparableConv2D": "Conv2D",
}


def is_model_file(name: str | Path) -> bool:
    """Tell whether a name means a model file, or a folder with a model of TensorFlow or TensorFlow.js, and not a run.

    >>> is_model_file("model.onnx"), is_model_file("latest")
    (True, False)
    """
    path = Path(name)
    if path.suffix.lower() in (*_READ, *_REFUSED):
        return not (path.is_dir() and (path / "config.json").is_file())
    try:
        names = (MODEL_JSON, _SAVED_MODEL)
        return any((path / name).is_file() for name in names) and not (path / "config.json").exists()
    except (OSError, ValueError):
        return False


def lacks_network(name: str | Path) -> bool:
    """Tell whether a model file is a PyTorch state dict, which does not say what its network is."""
    path = Path(name)
    return path.suffix.lower() == ".safetensors" and read_tensors(path)[1] is None


def load_model_file(name: str | Path, network: str | Path | Architecture | None = None) -> Checkpoint:
    """Read a model file that anybody may have written, by its reader; ``runs.open_model`` is the door to it.

    ``network`` is that of a PyTorch state dict, a name of the zoo or a JSON file; all other files say it themselves.
    """
    path = Path(name)
    suffix = ".pb" if os.path.isfile(path / _SAVED_MODEL) else path.suffix.lower()
    if suffix in _REFUSED:
        raise RunError(f"{path} cannot be used: {_REFUSED[suffix]}.")
    if suffix == ".safetensors":
        tensors, note = read_tensors(path)
        if note is None:
            from digitlab.network.formats.torch_state import read_torch_state

            return read_torch_state(path, tensors, None if network is None else network_of(network))
        checkpoint = checkpoint_of_tensors(path, tensors, note)
    if network is not None:
        raise ConfigError(
            f"{path} says itself what its network is; that of a PyTorch state dict is given. Leave it out."
        )
    if suffix == ".safetensors":
        return checkpoint
    if suffix in _KERAS:
        from digitlab.network.formats.keras import read_keras

        return read_keras(path)
    if suffix == ".onnx":
        from digitlab.network.formats.onnx import read_onnx

        return read_onnx(path)
    if suffix == ".json" or path.is_dir():
        from digitlab.network.formats.tfjs import read_tfjs

        return read_tfjs(path)
    raise RunError(
        f"{path} is not a model that digitlab reads: a run, .safetensors, TensorFlow.js' model.json, .keras, .h5 or "
        ".onnx."
    )


class LackingError(RunError):
    """A sound file of a network that digitlab's layers cannot express; the runtime of its format may answer with it."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"The model {path} cannot be used: {why}")
        self.path, self.why = path, why

    def __reduce__(self) -> tuple[type[LackingError], tuple[Path, str]]:
        return LackingError, (self.path, self.why)


def unusable(path: Path, why: str, *, lacks: bool = False) -> RunError:
    """Return the error that names the file and what is wrong with it; ``why`` ends with the next step.

    The file ``lacks`` nothing where it is only digitlab's layers that do; but code is not run by others either.
    """
    if lacks and _CODE not in why:
        return LackingError(path, why)
    return RunError(f"The model {path} cannot be used: {why}")


def read_whole(path: Path, most_bytes: int, *, folder: Path | None = None) -> bytes:
    """Read an ordinary file of bounded size, which lies in ``folder``, links followed, if that is given."""
    with _telling(path):
        if folder is not None and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
            raise unusable(path, "it lies outside the model's folder. Copy the model's files into one folder.")
        return storage.read_ordinary(path, most_bytes)


@contextmanager
def opened(path: Path, most_bytes: int) -> Iterator[tuple[BinaryIO, int]]:
    """Open an ordinary file of bounded size, and yield it with its size, for who does not read it whole."""
    with _telling(path), storage.open_ordinary(path) as file:
        n_bytes = os.fstat(file.fileno()).st_size
        if n_bytes > most_bytes:
            raise unusable(path, f"it has {n_bytes:,} bytes, and at most {most_bytes:,} are read. Save it again.")
        yield file, n_bytes


@contextmanager
def _telling(path: Path) -> Iterator[None]:
    """Tell with the file's name what goes wrong while it is opened and read."""
    try:
        yield
    except FileNotFoundError:
        raise RunError(f"There is no file {path}. Check the name and the folder.") from None
    except RunError:
        raise
    except (OSError, ValueError) as error:
        raise unusable(
            path, f"it cannot be read ({storage.reason_of(error)}). Check its name and permissions."
        ) from None


def parse_json(path: Path, content: bytes, what: str) -> dict[str, Any]:
    """Return the JSON object in ``content``, which is the file ``path`` or a part of it called ``what``."""
    if len(content) > MOST_JSON_BYTES:
        raise unusable(path, f"{what} has more than {MOST_JSON_BYTES:,} bytes, too many for a network's description.")
    try:
        document = storage.parse_json(content)
        if isinstance(document, str):  # what a library gave as JSON already was written as JSON once more
            document = storage.parse_json(document)
    except ValueError as error:
        raise unusable(path, f"{what} cannot be read as JSON ({error}). Save the model again.") from None
    if not isinstance(document, dict):
        raise unusable(path, f"{what} should hold a JSON object. Save the model again.")
    return document


def checkpoint_in(
    path: Path,
    network: Architecture,
    weights: Sequence[NDArray[np.float32]],
    class_names: Any,
    metadata: Any,
    tells_pixels: bool = False,
) -> Checkpoint:
    """Return what a file holds; of names and other texts what can be used, and the usual names where it has none.

    One that ``tells_pixels`` scaled them itself; that is folded into the network, which takes 0 to 1 then.
    """
    n = network.n_classes
    is_fitting = isinstance(class_names, Sequence) and len(class_names) == n
    if not is_fitting or not all(_is_text(name, _LONGEST_WORD) and name for name in class_names):
        class_names = CLASS_NAMES if n == len(CLASS_NAMES) else [str(k) for k in range(n)]
    try:
        told = kept_metadata(metadata) | (TAKES_OWN if tells_pixels else {})
        return Checkpoint(network, tuple(weights), tuple(class_names), told)
    except RunError as error:
        raise unusable(path, f"{error} Save the model again.") from None


def kept_metadata(given: Any) -> dict[str, str]:
    """Return what a file says of its network besides: short texts by short names, and nothing else."""
    items = given.items() if isinstance(given, Mapping) else ()
    return dict([item for item in items if all(_is_text(word, _LONGEST_TEXT) for word in item)][:_MOST_TEXTS])


def _is_text(word: Any, most: int) -> bool:
    return isinstance(word, str) and word.isprintable() and len(word) <= most


def shown(value: Any) -> str:
    """Return a value of the file as it may stand in a sentence: short and printable."""
    text = value if isinstance(value, str) else type(value).__name__
    return repr(text if len(text) <= _LONGEST_WORD else text[: _LONGEST_WORD - 3] + "...")


def lacking(kind: str, *, position: int) -> NetworkError:
    """Return the error for a layer that digitlab does not have, with what to use instead."""
    kind = kind if kind.replace(".", "").isidentifier() and len(kind) <= _LONGEST_KIND else "something unknown"
    if "Lambda" in kind:
        why = f"{_CODE}. Express it with other layers."
    elif kind in _INSTEAD:
        why = f"digitlab does not have it; use {_INSTEAD[kind]}."
    else:
        why = f"digitlab does not have it. It runs {', '.join(LAYERS)}."
    return NetworkError(f"Layer {position} is {kind}: {why}")


def assembled(
    steps: Sequence[Weighted | Affine], input_shape: Sequence[int | None], name: str
) -> tuple[Architecture, list[NDArray[np.float32]]]:
    """Return the network, with its weights, of layers, scales and activations as a file has them, one after the other.

    One that ends in logits gets a softmax, which changes no answer; so does one that ends in a sigmoid a class.
    """
    shape = tuple(input_shape)
    # Before anything multiplies them: a file may say 10**18.
    if not shape or math.prod(n for n in shape if n is not None) > _LARGEST_INPUT:
        raise NetworkError(f"Its input shape {shape} cannot be one of images.")
    left = merged(folded(steps, shape))
    while left and isinstance(left[-1][0], Dropout):
        left.pop()
    last = left[-1][0] if left else None
    if isinstance(last, Dense) and last.activation in ("linear", "sigmoid"):
        left[-1] = dataclasses.replace(last, activation="softmax"), left[-1][1]
    elif last is not None and not isinstance(last, Conv2D) and activation_of(last)[0] != "softmax":
        left.append((Activation("softmax"), ()))
    layers: list[Layer] = []
    for layer, _ in left:
        is_free = is_name(layer.name) and layer.name not in {other.name for other in layers}
        layers.append(layer if is_free else dataclasses.replace(layer, name=""))
    usable = name.isprintable() and 1 <= len(name) <= 100
    architecture = Architecture(layers, shape, name if usable else "sequential")
    if architecture.n_classes < 2:  # which also says so if the network does not end in probabilities
        raise NetworkError("It gives one number, which tells no classes apart; end it in a Dense with a unit a class.")
    return architecture, [array for _, arrays in left for array in arrays]
