"""Model files as TensorFlow.js, Keras and onnxruntime load them, written without these programs.

TensorFlow.js: Keras-2 style, ``model.json`` and shards of 4 MiB. Keras 3: a zip of two JSON documents and the weights.
ONNX: images of bytes go in as people have them, (n, height, width, channels), probabilities come out. It convolves with
channels first. So the images are turned once at the beginning, kernels become (out, in, height, width), and the rows
of the dense layer behind a flattening change places: from height, width, channels to channels, height, width.
A page to hand out: a folder with a TensorFlow.js model, a sheet to draw on, and our own JavaScript that answers.
"""

from __future__ import annotations

import base64
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab import __version__
from digitlab.errors import ConfigError, ExportError
from digitlab.network.architecture import named_weight_shapes
from digitlab.network.checkpoint import Checkpoint
from digitlab.network.formats.files import MODEL_JSON
from digitlab.network.formats.keras import CONFIG, METADATA, WEIGHTS, weight_folders
from digitlab.network.formats.tfjs import quantized
from digitlab.network.layers import (
    ELU,
    Activation,
    AveragePooling2D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    Layer,
    LeakyReLU,
    MaxPooling2D,
    Shape,
    ZeroPadding2D,
    activation_of,
    same_border,
    settings_of,
)
from digitlab.reading.answers import calibration_of
from digitlab.values import CLASS_NAMES, NOT_A_DIGIT

# Browsers keep files of up to this size in their cache.
_SHARD_BYTES = 4 * 2**20
_KERAS_2 = "2.15.0"  # whose style the topology has
_KERAS_3 = "3.10.0"  # the oldest whose files look like this
_INITIALIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "glorot_uniform": ("GlorotUniform", {"seed": None}),
    "he_normal": ("HeNormal", {"seed": None}),
    "zeros": ("Zeros", {}),
    "variance_scaling": (
        "VarianceScaling",
        {"scale": 1.0, "mode": "fan_in", "distribution": "truncated_normal", "seed": None},
    ),
}
#: Names of what goes in, and of what comes out: probabilities of classes, or maps.
INPUT, OUTPUT, MAPS = "images", "probabilities", "maps"
# Understood by every runtime of the last years; newer stamps are refused by older ones.
_OPSET, _IR_VERSION = 17, 10

_PAGE = Path(__file__).with_name("page")
# The script that brings a page its weights: opened from the disk, where a browser lets a page fetch nothing.
_SCRIPT, _BEGIN, _END = "weights.js", "globalThis.digitlab = ", ";\n"
_MOST_ANSWERS = 64  # more bars nobody reads


def write_tfjs(checkpoint: Checkpoint, folder: Path, quantize: str | None = None) -> None:
    """Write a model into a new folder; Dropout is left out, which does nothing when images are answered."""
    network = checkpoint.architecture
    specs: list[dict[str, Any]] = []
    content = bytearray()
    for (name, shape), array in zip(named_weight_shapes(network).items(), checkpoint.weights, strict=True):
        spec: dict[str, Any] = {"name": name, "shape": list(shape), "dtype": "float32"}
        if quantize is None:
            content += array.astype("<f4").tobytes()
        else:
            stored, spec["quantization"] = quantized(array, quantize)
            content += stored
        specs.append(spec)
    shards = [bytes(content[start : start + _SHARD_BYTES]) for start in range(0, len(content), _SHARD_BYTES)]
    names = [f"group1-shard{i}of{len(shards)}.bin" for i in range(1, len(shards) + 1)]
    kept = [layer for layer in network.layers if not isinstance(layer, Dropout)]
    layers = [made for layer in kept for made in _keras_2_layers(layer, {other.name for other in kept})]
    layers[0]["config"]["batch_input_shape"] = [None, *network.input_shape]
    document = {
        "format": "layers-model",
        "generatedBy": f"digitlab {__version__}",
        "convertedBy": None,
        "modelTopology": {
            "keras_version": _KERAS_2,
            "backend": "tensorflow",
            "model_config": {"class_name": "Sequential", "config": {"name": network.name, "layers": layers}},
        },
        "weightsManifest": [{"paths": names, "weights": specs}],
        "userDefinedMetadata": {"class_names": list(checkpoint.class_names), "digitlab": checkpoint.metadata},
    }
    folder.mkdir()
    for name, shard in zip(names, shards, strict=True):
        (folder / name).write_bytes(shard)
    (folder / MODEL_JSON).write_text(json.dumps(document, indent=1) + "\n", "utf-8")


def _keras_2_layers(layer: Layer, taken: set[str]) -> list[dict[str, Any]]:
    """Return a layer as TensorFlow.js has it; leaky ReLU becomes one of its own there."""
    config = {key: value for key, value in _config(layer).items() if not key.endswith("_initializer")}
    name, below = activation_of(layer)
    if isinstance(layer, ELU) and below != 1.0:
        raise ConfigError(
            f"TensorFlow.js has ELU with an alpha of 1 only, and {layer.name} has {below:g}. Export the network as "
            "keras or onnx, or train it with ELU(1.0)."
        )
    if isinstance(layer, Conv2D):
        config |= {"strides": list(layer.stride), "dilation_rate": [1, 1]}
    if name != "leaky_relu":
        return [{"class_name": type(layer).__name__, "config": config}]
    title = layer.name if isinstance(layer, Activation | LeakyReLU) else f"{layer.name}_leaky_relu"
    while title != layer.name and title in taken:
        title += "_"
    leaky = {"class_name": "LeakyReLU", "config": {"name": title, "alpha": below, "dtype": "float32"}}
    if title == layer.name:
        return [leaky]
    return [{"class_name": type(layer).__name__, "config": config | {"activation": "linear"}}, leaky]


def _config(layer: Layer) -> dict[str, Any]:
    is_of_images = not isinstance(layer, Dense | Dropout) and activation_of(layer)[0] == "linear"
    return settings_of(layer) | {"dtype": "float32"} | ({"data_format": "channels_last"} if is_of_images else {})


def write_keras(checkpoint: Checkpoint, path: Path) -> None:
    """Write a ``.keras`` file; equal checkpoints give equal bytes."""
    network = checkpoint.architecture
    layers = [_keras_3_layer(layer, shape) for layer, shape in zip(network.layers, network.input_shapes, strict=True)]
    batch_shape = [None, *network.input_shape]
    name = "images"
    while any(layer.name == name for layer in network.layers):
        name += "_"
    first = _object("keras.layers", "InputLayer", {"batch_shape": batch_shape, "dtype": "float32", "name": name})
    config = _object(
        "keras",
        "Sequential",
        {
            "name": network.name.replace("/", "_"),
            "trainable": True,
            "layers": [first, *layers],
            "build_input_shape": batch_shape,
        },
    )
    metadata = {
        "keras_version": _KERAS_3,
        "class_names": list(checkpoint.class_names),
        "digitlab": checkpoint.metadata,
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (
            (METADATA, json.dumps(metadata).encode()),
            (CONFIG, json.dumps(config).encode()),
            (WEIGHTS, _keras_weights(checkpoint)),
        ):
            # With a date of its own, because equal content shall be equal bytes.
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)


def _keras_weights(checkpoint: Checkpoint) -> bytes:
    try:
        import h5py
    except ImportError:
        raise ConfigError(
            'Writing .keras files needs the package h5py. Install it: pip install "digitlab[export]"'
        ) from None
    network = checkpoint.architecture
    folders = weight_folders(type(layer).__name__ for layer in network.layers)
    arrays = iter(checkpoint.weights)
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        for layer, shape, folder in zip(network.layers, network.input_shapes, folders, strict=True):
            group = file.create_group(folder)
            group.attrs["name"] = layer.name
            for i in range(len(layer.weight_shapes(shape))):
                group.create_dataset(str(i), data=next(arrays))
    return memory.getvalue()


def _keras_3_layer(layer: Layer, shape: Shape) -> dict[str, Any]:
    config = _config(layer) | {"trainable": True}
    for part in ("kernel_initializer", "bias_initializer"):
        if part in config:
            config[part] = _object("keras.initializers", *_INITIALIZERS[config[part]])
    return _object("keras.layers", type(layer).__name__, config) | {"build_config": {"input_shape": [None, *shape]}}


def _object(module: str, kind: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"module": module, "class_name": kind, "config": config, "registered_name": None}


def write_onnx(checkpoint: Checkpoint, path: Path) -> None:
    """Write an ONNX model.

    Images go in as uint8 ``(n, height, width, channels)``, 0-255: dividing by 255 is part of the model. A network of
    rows of features takes float32 ``(n, features)``. One that answers with maps takes float32 images of any size, as
    they are, and gives ``(n, height, width, maps)``.
    """
    try:
        from onnx import TensorProto, checker, helper, numpy_helper
    except ImportError:
        raise ConfigError('Writing ONNX needs the package onnx. Install it: pip install "digitlab[export]"') from None
    network = checkpoint.architecture
    draft = _Draft(network.input_shape, takes_bytes=not network.answers_maps)
    arrays = iter(checkpoint.weights)
    ends_in_images = not any(isinstance(layer, Dense) for layer in network.layers)
    for layer, shape in zip(network.layers, network.input_shapes, strict=True):
        if ends_in_images and isinstance(layer, Flatten) and len(shape) == 3:
            draft.turn(f"{layer.name}/channels_last")  # no dense layer's rows can change places instead
        draft.add(layer, shape, [next(arrays) for _ in layer.weight_shapes(shape)])
    nodes = [helper.make_node(kind, inputs, [output], **settings) for kind, inputs, output, settings in draft.nodes]
    takes_bytes = len(network.input_shape) == 3 and not network.answers_maps
    kind = TensorProto.UINT8 if takes_bytes else TensorProto.FLOAT
    output, of_input, of_output = OUTPUT, ["n", *network.input_shape], ["n", network.shapes[-1][0]]
    if network.answers_maps:
        nodes.append(helper.make_node("Transpose", [nodes[-1].output[0]], [MAPS], perm=[0, 2, 3, 1]))
        output, of_input = MAPS, ["n", "height", "width", network.input_shape[2]]
        of_output = ["n", "map_height", "map_width", network.shapes[-1][2]]
    nodes[-1].output[0] = output
    graph = helper.make_graph(
        nodes,
        network.name,
        [helper.make_tensor_value_info(INPUT, kind, of_input)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, of_output)],
        [numpy_helper.from_array(array, name) for name, array in draft.constants.items()],
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="digitlab",
        producer_version=__version__,
    )
    told = {"class_names": checkpoint.class_names, "digitlab": checkpoint.metadata}
    helper.set_model_props(model, {key: json.dumps(value) for key, value in told.items()})
    checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


class _Draft:
    """Nodes and constants, one after the other; channels are first from the beginning to the flattening."""

    def __init__(self, input_shape: Shape, *, takes_bytes: bool) -> None:
        self.nodes: list[tuple[str, list[str], str, dict[str, Any]]] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self._current = INPUT
        self._flattened: Shape | None = None
        if len(input_shape) == 3:
            if takes_bytes:
                self._node("Cast", "images/numbers", to=1)
                self._node("Div", "images/scaled", constants={"images/largest": np.array(255.0, np.float32)})
            self._node("Transpose", "images/channels_first", perm=[0, 3, 1, 2])

    def _node(self, kind: str, output: str, constants: dict[str, NDArray[Any]] | None = None, **settings: Any) -> None:
        self.constants |= constants or {}
        self.nodes.append((kind, [self._current, *(constants or {})], output, settings))
        self._current = output

    def add(self, layer: Layer, shape: Shape, weights: list[NDArray[np.float32]]) -> None:
        """Add a layer that reads images of ``shape``."""
        names = [f"{layer.name}/{part}" for part in ("kernel", "bias")]
        output = f"{layer.name}/output"  # no layer has a stroke in its name, so that nothing is called the same
        if isinstance(layer, Conv2D):
            pads = _pads(layer.padding, shape, layer.kernel, layer.stride)
            kernel = np.ascontiguousarray(weights[0].transpose(3, 2, 0, 1))
            constants = dict(zip(names, [kernel, *weights[1:]], strict=False))
            strides: dict[str, Any] = {} if layer.stride == (1, 1) else {"strides": list(layer.stride)}
            self._node("Conv", output, constants, kernel_shape=list(layer.kernel), pads=pads, **strides)
        elif isinstance(layer, MaxPooling2D | AveragePooling2D):
            pads = _pads(layer.padding, shape, layer.pool, layer.stride)
            kind = "MaxPool" if isinstance(layer, MaxPooling2D) else "AveragePool"
            self._node(kind, output, kernel_shape=list(layer.pool), strides=list(layer.stride), pads=pads)
        elif isinstance(layer, GlobalAveragePooling2D | GlobalMaxPooling2D):
            kind = "GlobalMaxPool" if isinstance(layer, GlobalMaxPooling2D) else "GlobalAveragePool"
            self._node(kind, output)
            self._node("Flatten", f"{layer.name}/row", axis=1)
        elif isinstance(layer, ZeroPadding2D):
            (top, bottom), (left, right) = layer.sides
            sides = np.array([0, 0, top, left, 0, 0, bottom, right], np.int64)
            self._node("Pad", output, {f"{layer.name}/pads": sides})
        elif isinstance(layer, Flatten):
            self._flattened = shape if len(shape) == 3 else self._flattened
            self._node("Flatten", output, axis=1)
        elif isinstance(layer, Dense):
            kernel = weights[0]
            if self._flattened is not None:
                cube = kernel.reshape(*self._flattened, layer.units)
                kernel, self._flattened = cube.transpose(2, 0, 1, 3).reshape(kernel.shape), None
            constants = dict(zip(names, [np.ascontiguousarray(kernel), *weights[1:]], strict=False))
            self._node("Gemm", output, constants)
        # Dropout does nothing when images are answered.
        activation, below = activation_of(layer)
        if activation != "linear":
            settings: dict[str, dict[str, Any]] = {
                "softmax": {"axis": 1},
                "leaky_relu": {"alpha": below},
                "elu": {"alpha": below},
            }
            kind = activation.title().replace("_", "")
            self._node(kind, f"{layer.name}/{activation}", **settings.get(activation, {}))

    def turn(self, output: str) -> None:
        """Put the channels behind."""
        self._node("Transpose", output, perm=[0, 2, 3, 1])


def _pads(padding: str, shape: Shape, window: tuple[int, int], strides: tuple[int, int]) -> list[int]:
    if padding == "valid":
        return [0, 0, 0, 0]
    # Of a convolution the border is the same for images of any size.
    sizes = (max(window) if n is None else n for n in shape[:2])
    (top, bottom), (left, right) = (same_border(n, k, s) for n, k, s in zip(sizes, window, strides, strict=True))
    return [top, left, bottom, right]


def write_page(checkpoint: Checkpoint, folder: Path) -> None:
    """Write a page into a folder that must not exist; equal checkpoints give equal bytes.

    The metadata may hold ``temperature`` and ``refuse_above``. Of eleven classes the last is "not a digit".
    """
    network = checkpoint.architecture
    if network.input_shape not in ((28, 28, 1), (784,)) or not 2 <= network.n_classes <= _MOST_ANSWERS:
        raise ConfigError(
            f"{network.name} answers {network.input_shape} with {network.n_classes} classes; a page draws 28 x 28 x 1 "
            f"and shows 2 to {_MOST_ANSWERS}. Export another network, or this one as tfjs."
        )
    settings = _page_settings(checkpoint)
    write_tfjs(checkpoint, folder)
    document, weights = _tfjs_model(folder)
    content = {"model": document, "settings": settings, "weights": base64.b64encode(weights).decode()}
    (folder / _SCRIPT).write_text(f"{_BEGIN}{json.dumps(content)}{_END}", "utf-8")
    for source in sorted(_PAGE.iterdir()):
        text = source.read_text("utf-8")
        if source.name == "README.txt":
            text = text.format(about=settings["about"], version=__version__)
        (folder / source.name).write_text(text, "utf-8")
    script = json.loads((folder / _SCRIPT).read_text("utf-8").removeprefix(_BEGIN).removesuffix(_END))
    if (script["model"], base64.b64decode(script["weights"], validate=True)) != _tfjs_model(folder):
        raise ExportError(f"{_SCRIPT} does not hold the model that {MODEL_JSON} does; nothing was written.")


def _page_settings(checkpoint: Checkpoint) -> dict[str, Any]:
    network, names = checkpoint.architecture, checkpoint.class_names
    temperature, refuse_above = calibration_of(checkpoint.metadata)
    # Of models that others made, classes have only numbers.
    knows_not_a_digit = network.n_classes == len(CLASS_NAMES) + 1 and names[-1] in (NOT_A_DIGIT, str(len(CLASS_NAMES)))
    labels = [str(k) for k in range(10)] if names[:10] == CLASS_NAMES else list(names[:10])
    labels += ["no digit"] if knows_not_a_digit else names[10:]
    return {
        "about": f"{network.name}, {network.n_parameters:,} parameters. Made with digitlab {__version__}.",
        "knowsNotADigit": knows_not_a_digit,
        "labels": labels,
        "refuseAbove": refuse_above,
        "temperature": temperature,
    }


def _tfjs_model(folder: Path) -> tuple[dict[str, Any], bytes]:
    """What the TensorFlow.js model in a folder says, and the bytes of its weights."""
    document: dict[str, Any] = json.loads((folder / MODEL_JSON).read_text("utf-8"))
    (group,) = document["weightsManifest"]
    return document, b"".join((folder / name).read_bytes() for name in group["paths"])
