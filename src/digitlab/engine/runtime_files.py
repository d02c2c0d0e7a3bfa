"""Model files of strangers, checked and opened in the runtimes that they are for, in the process where those work.

onnxruntime gets a whole model in memory, and Keras a new file of what digitlab has read itself: a description of Keras'
own layers and nothing else (``keras_whitelist``), and arrays. Neither opens what a stranger has written.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import math
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.data import storage
from digitlab.engine.cpu.threads import available_threads
from digitlab.engine.keras_bridge import keras_backend
from digitlab.errors import ConfigError, NetworkError, RunError
from digitlab.network.formats.files import (
    MOST_JSON_BYTES,
    MOST_WEIGHT_BYTES,
    parse_json,
    read_whole,
    shown,
    unusable,
)
from digitlab.network.formats.hdf5 import Hdf5Error, Hdf5File
from digitlab.network.formats.keras import CONFIG, METADATA, WEIGHTS, archive_member, open_archive
from digitlab.network.formats.keras_whitelist import harmless

#: The dtypes of images that a model may take.
DTYPES = ("float16", "float32", "float64", "uint8", "int32", "int64")
_HDF5 = b"\x89HDF"
_NOT_ANSWERING = ("optimizer", "optimizer_weights")
_MOST_OBJECTS, _MOST_LEVELS = 20_000, 40
_LONGEST_REASON = 200
_MOST_THREADS = 8

#: Sizes of axes, None where any will do.
Dims = Sequence[int | None]


@dataclass
class Session:
    """A model in its runtime: asked with an array, it gives its outputs."""

    run: Callable[[NDArray[Any]], list[Any]]
    runtime: str
    input_dims: Dims | None
    input_dtype: str
    inputs: str
    outputs: str
    n_parameters: int
    #: Of the file, with what was beside it.
    digest: str
    class_names: tuple[str, ...] = ()
    #: Whether every other number of images costs a compilation.
    compiles: bool = False


def be_ready_for_onnx() -> None:
    """Import what runs ONNX, before time and memory count."""
    with suppress(Exception):  # whoever opens a file says what is wrong
        importlib.import_module("onnx")
        importlib.import_module("onnxruntime")


def be_ready_for_keras() -> None:
    """Import Keras on its backend, on the processor alone, before time and memory count."""
    os.environ |= {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    # JAX makes two threads a core, with stacks of 8 MB that count as memory of its own.
    os.environ["NPROC"] = str(min(_MOST_THREADS, available_threads()))
    if (backend := keras_backend()) is not None:
        os.environ["KERAS_BACKEND"] = backend
    with suppress(Exception):
        import keras

        keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).predict_on_batch(np.zeros((1, 2), np.float32))


def _unready(name: str, error: Exception, extra: str) -> ConfigError:
    return ConfigError(
        f"{name} cannot be used here ({reason_of(error)}). Install it again: pip install 'digitlab[{extra}]'"
    )


def reason_of(error: Exception) -> str:
    """Return what a runtime says, short and printable."""
    text = " ".join(str(error).split())
    text = "".join(letter for letter in text if letter.isprintable())
    return f"{type(error).__name__}: {text[:_LONGEST_REASON]}{'...' if len(text) > _LONGEST_REASON else ''}"


def open_onnx(path: Path, threads: int) -> Session:
    """Open an ONNX file: whatever belongs to it is in memory then, and onnxruntime opens no file."""
    try:
        import onnx
        import onnxruntime
    except Exception as error:
        raise _unready("onnxruntime", error, "onnx") from None
    content = read_whole(path, MOST_WEIGHT_BYTES)
    try:
        model = onnx.ModelProto.FromString(content)
    except Exception as error:  # protobuf's own, and what depth and size bring about
        raise unusable(path, f"it is damaged or not an ONNX file ({reason_of(error)}). Save it again.") from None
    _bring_weights(model, path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4
    try:
        content = model.SerializeToString()
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise unusable(path, f"onnxruntime refuses it ({reason_of(error)}). Export it again.") from None
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1:
        raise unusable(path, f"it has {len(inputs)} inputs; a model of digits has one, the images.")
    [given] = inputs
    dims = [n if isinstance(n, int) and n > 0 else None for n in given.shape] or None
    n_parameters = sum(math.prod(tensor.dims) for tensor in model.graph.initializer if len(tensor.dims))
    return Session(
        run=lambda images: list(session.run(None, {given.name: images})),
        runtime=f"onnxruntime {onnxruntime.__version__}",
        input_dims=dims,
        input_dtype=_onnx_dtype(given.type, path),
        inputs=_said(given.type[7:-1], given.shape),
        outputs=", ".join(_said(one.type.removeprefix("tensor(").removesuffix(")"), one.shape) for one in outputs[:4]),
        n_parameters=int(n_parameters),
        digest=hashlib.sha256(content).hexdigest(),
        class_names=_class_names(next((p.value for p in model.metadata_props if p.key == "class_names"), "")),
    )


def _bring_weights(model: Any, path: Path) -> None:
    """Put weights that lie in files of the model's folder into the model, so that a runtime opens no file at all."""
    from onnx import TensorProto

    room = MOST_WEIGHT_BYTES
    files: dict[str, bytes] = {}
    for tensor in _tensors(model):
        if tensor.data_location != TensorProto.EXTERNAL and not tensor.external_data:
            continue
        told = {entry.key: entry.value for entry in tensor.external_data}
        try:
            offset, length = int(told.get("offset") or 0), int(told.get("length") or -1)
        except ValueError:
            offset = -1
        if offset < 0 or not told.get("location"):
            raise unusable(path, f"its numbers {shown(tensor.name)} are damaged. Save the model again.")
        location = told["location"]
        if location not in files:
            files = {location: read_whole(path.parent / location, MOST_WEIGHT_BYTES, folder=path.parent)}
        content = files[location]
        part = content[offset : offset + length] if length >= 0 else content[offset:]
        room -= len(part)
        if room < 0:
            raise unusable(path, f"its weights have more than {MOST_WEIGHT_BYTES:,} bytes, too many for digitlab.")
        tensor.raw_data, tensor.data_location = part, TensorProto.DEFAULT
        del tensor.external_data[:]


def _tensors(message: Any) -> Iterator[Any]:
    """Yield all tensors of an ONNX model, wherever they are."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for one in value if isinstance(value, Sequence) or hasattr(value, "add") else (value,):
            if field.message_type.name == "TensorProto":
                yield one
            yield from _tensors(one)


def _onnx_dtype(kind: str, path: Path) -> str:
    names = {"float": "float32", "double": "float64", "float16": "float16"}
    name = kind.removeprefix("tensor(").removesuffix(")")
    name = names.get(name, name)
    if name not in DTYPES:
        raise unusable(path, f"it takes {shown(kind)}; images are floats, or whole numbers from 0 to 255.")
    return name


def _said(dtype: str, shape: Sequence[Any]) -> str:
    return f"{dtype} ({', '.join(str(n) if isinstance(n, int) else 'n' for n in shape)})"


def _class_names(text: str) -> tuple[str, ...]:
    try:
        names = storage.parse_json(text[:10_000]) if text else []
    except ValueError:
        return ()
    is_list = isinstance(names, list) and all(isinstance(n, str) and n.isprintable() and 0 < len(n) < 81 for n in names)
    return tuple(names) if is_list else ()


def open_keras(path: Path) -> Session:
    """Open a ``.keras`` or whole-model ``.h5`` file, of which Keras gets what is harmless."""
    try:
        import keras
    except Exception as error:  # that of a backend, too
        raise _unready("Keras", error, "keras") from None
    content = read_whole(path, 2 * MOST_WEIGHT_BYTES)
    try:
        with TemporaryDirectory(prefix="digitlab-") as folder:
            model = keras.saving.load_model(_copied(path, content, Path(folder)), compile=False, safe_mode=True)
    except (MemoryError, RunError):
        raise
    except Exception as error:
        raise unusable(path, f"Keras refuses it ({reason_of(error)}). Save it again with Keras 3.") from None
    inputs, outputs = model.inputs or [], model.outputs or []
    if len(inputs) != 1:
        raise unusable(path, f"it has {len(inputs)} inputs; a model of digits has one, the images.")
    dtype = str(inputs[0].dtype)
    return Session(
        run=lambda images: _flat(model.predict_on_batch(images)),
        runtime=f"Keras {keras.__version__} on {keras.backend.backend()}",
        input_dims=tuple(inputs[0].shape),
        input_dtype=dtype if dtype in DTYPES else "float32",
        inputs=_said(dtype, inputs[0].shape),
        outputs=", ".join(_said(str(one.dtype), one.shape) for one in outputs[:4]),
        n_parameters=int(model.count_params()),
        digest=hashlib.sha256(content).hexdigest(),
        compiles=True,
    )


def _flat(outputs: Any) -> list[Any]:
    if isinstance(outputs, Mapping):
        outputs = list(outputs.values())
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]


# ---- Keras' files, written anew: what Keras and the HDF5 library open is of digitlab's making ----


def _copied(path: Path, content: bytes, folder: Path) -> Path:
    """Write what may be given to Keras of a file into a folder of its own, as a new file, and return that."""
    try:
        if content.startswith(_HDF5):
            return _copied_whole(path, Hdf5File(content), folder / "model.h5")
        with open_archive(path, io.BytesIO(content), len(content)) as archive:
            description = archive_member(path, archive, CONFIG, MOST_JSON_BYTES)
            weights = archive_member(path, archive, WEIGHTS, MOST_WEIGHT_BYTES)
        described = harmless(parse_json(path, description, CONFIG))
        _copy_arrays(Hdf5File(weights), "", folder / WEIGHTS)
    except NetworkError as error:
        raise unusable(path, str(error)) from None
    except Hdf5Error as error:
        raise unusable(path, f"{error} Save the model again with Keras 3.") from None
    except RunError:
        raise
    except (KeyError, OSError, ValueError, NotImplementedError) as error:  # the HDF5 library's own, of odd names
        raise unusable(path, f"it is no whole .keras file ({reason_of(error)}). Save the model again.") from None
    copied = folder / "model.keras"
    with zipfile.ZipFile(copied, "w") as archive:
        archive.writestr(METADATA, json.dumps({"keras_version": "3", "date_saved": ""}))
        archive.writestr(CONFIG, json.dumps(described))
        archive.write(folder / WEIGHTS, WEIGHTS)
    return copied


def _copied_whole(path: Path, file: Hdf5File, copied: Path) -> Path:
    """Copy Keras' whole-model HDF5: the description, and groups of weights with the names of what is in them."""
    texts = file.texts(file.find(""))
    described = harmless(parse_json(path, "".join(texts.get("model_config", ())[:1]).encode(), "its model_config"))
    _copy_arrays(file, "model_weights", copied, {"model_config": json.dumps(described)})
    return copied


def _copy_arrays(file: Hdf5File, group: str, copied: Path, texts: Mapping[str, str] | None = None) -> None:
    """Copy the arrays of a group, and attributes that list names; links to elsewhere are not there to be followed."""
    import h5py

    room = MOST_WEIGHT_BYTES
    with h5py.File(copied, "w") as new:
        for name, text in (texts or {}).items():
            new.attrs[name] = text
        waiting = [(group, file.find(group))]
        n = 0
        while waiting:
            place, address = waiting.pop()
            n += 1
            shape = file.shape_at(address) if place else None
            if n > _MOST_OBJECTS or place.count("/") > _MOST_LEVELS:
                raise NetworkError("It has more groups and arrays than a model does. Save it again.")
            if shape is not None:
                room -= 4 * math.prod(shape)
                if room < 0:
                    raise NetworkError(f"It has more than {MOST_WEIGHT_BYTES:,} bytes of weights, too many here.")
                # Whole numbers count what was seen in training, or are the state of a random number generator.
                is_whole = file.is_whole_at(address)
                new[place] = np.zeros(shape, np.int32) if is_whole else file.array_at(address, shape, place)
                continue
            made = new.require_group(place) if place else new
            for name, listed in file.texts(address).items() if texts is not None else ():
                made.attrs[name] = np.array([one.encode() for one in listed], "S") if listed else np.zeros(0, "S1")
            if place in _NOT_ANSWERING:
                continue
            waiting += [(f"{place}/{name}" if place else name, inner) for name, inner in file.members(address).items()]
