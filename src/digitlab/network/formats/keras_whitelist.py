"""What a file may name before Keras 3 is let at it: Keras' own layers and functions, and nothing that runs code.

Keras makes objects of whatever a description names: by class, by function, by a registered name, at any depth. Its safe
mode was bypassed by each of these (CVE-2025-1550, -8747, -9905, -9906), so digitlab does not rely on it: a name that is
not in these lists is refused before Keras is imported. Not in them is what holds code (``Lambda``), wraps another
framework's program (``TorchModuleWrapper``, ``TFSMLayer``, ``JaxLayer``), or opens files (``StringLookup``,
``TextVectorization``).

Descriptions of Keras 1 and 2 are written anew on the way, since Keras 3 knows not all of their settings any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from digitlab.errors import NetworkError
from digitlab.network.formats.files import shown

_MOST_DEPTH = 60


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _by_rank(text: str) -> frozenset[str]:
    return frozenset(f"{name}{rank}D" for name in text.split() for rank in (1, 2, 3))


_LAYERS = _by_rank(
    "AveragePooling AvgPool Conv Convolution Cropping DepthwiseConv GlobalAveragePooling GlobalAvgPool "
    "GlobalMaxPool GlobalMaxPooling MaxPool MaxPooling SeparableConv SeparableConvolution SpatialDropout UpSampling "
    "ZeroPadding AdaptiveAveragePooling AdaptiveMaxPooling ConvLSTM"
) | _names(
    "Activation ActivityRegularization Add AdditiveAttention AlphaDropout Attention Average BatchNormalization "
    "BatchNormalizationV1 Bidirectional CenterCrop Concatenate Conv1DTranspose Conv2DTranspose Conv3DTranspose "
    "Convolution2DTranspose Dense Dot Dropout ELU EinsumDense Embedding Flatten GRU GRUCell GaussianDropout "
    "GaussianNoise GroupNormalization GroupQueryAttention Identity InputLayer LSTM LSTMCell LayerNormalization "
    "LeakyReLU Masking Maximum Minimum MultiHeadAttention Multiply Normalization PReLU Permute RMSNormalization RNN "
    "RandomBrightness RandomContrast RandomCrop RandomFlip RandomHeight RandomRotation RandomTranslation RandomWidth "
    "RandomZoom ReLU RepeatVector Rescaling Reshape Resizing SimpleRNN SimpleRNNCell Softmax SpectralNormalization "
    "StackedRNNCells Subtract ThresholdedReLU TimeDistributed UnitNormalization"
)
_MODELS = _names("Functional Model Sequential")
_INITIALIZERS = _names(
    "Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity IdentityInitializer LecunNormal LecunUniform Ones "
    "Orthogonal OrthogonalInitializer RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros"
)
_PENALTIES = _names("L1 L1L2 L2 OrthogonalRegularizer")
_BOUNDS = _names("MaxNorm MinMaxNorm NonNeg UnitNorm")
_POLICIES = _names("DTypePolicy FloatDTypePolicy Policy")
_ARITHMETIC = _names(
    "Absolute Add Concatenate Divide Exp ExpandDims Flip Log Matmul Max Maximum Mean Min Minimum Multiply Negative Pad "
    "Power Prod Reshape Sqrt Square Squeeze Subtract Sum Swapaxes Tanh Transpose TrueDivide Var"
)
_NEURAL = _names(
    "AveragePool Elu Gelu HardSigmoid HardSilu LeakyRelu LogSoftmax MaxPool Relu Relu6 Selu Sigmoid Silu Softmax "
    "Softplus Softsign"
)
_FUNCTIONS = _names(
    "celu elu exponential gelu hard_sigmoid hard_silu hard_swish leaky_relu linear log_sigmoid log_softmax mish relu "
    "relu6 selu sigmoid silu softmax softplus softsign swish tanh"
)
# By what a description calls the module of a class, in Keras 2 and 3.
_CLASSES: dict[str, frozenset[str]] = {
    "keras": _MODELS | _POLICIES,
    "keras.constraints": _BOUNDS,
    "keras.dtype_policies": _POLICIES,
    "keras.initializers": _INITIALIZERS,
    "keras.layers": _LAYERS,
    "keras.mixed_precision": _POLICIES,
    "keras.models": _MODELS,
    "keras.regularizers": _PENALTIES,
    "keras.src.engine.functional": _MODELS,
    "keras.src.engine.sequential": _MODELS,
    "keras.src.models.functional": _MODELS,
    "keras.src.models.sequential": _MODELS,
    "keras.src.ops.nn": _NEURAL,
    "keras.src.ops.numpy": _ARITHMETIC,
}
# Older files name no module, and Keras then looks where its own layers are.
_ANY = frozenset().union(*_CLASSES.values()) | {"__keras_tensor__"}
_POLICY = {"module": "keras", "class_name": "DTypePolicy", "registered_name": None}
# What Keras 1 and 2 called the shape of an input, in the first layer of a network or one of its own.
_OLD_SHAPE = "batch_input_shape"
# Settings that Keras 2 wrote, always with the same value, and Keras 3 refuses.
_GONE = {
    **dict.fromkeys(
        ("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose", "DepthwiseConv1D", "DepthwiseConv2D"), ("groups",)
    ),
    **dict.fromkeys(
        ("SeparableConv1D", "SeparableConv2D"),
        ("groups", "kernel_constraint", "kernel_initializer", "kernel_regularizer"),
    ),
    **dict.fromkeys(("GRU", "LSTM", "RNN", "SimpleRNN"), ("time_major",)),
}
# Makes optimizers, losses and metrics, whose names are anybody's; nothing here is trained.
_DROPPED = ("compile_config",)


def harmless(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return what Keras may be given of a model's description; NetworkError names what it must not be.

    >>> harmless({"class_name": "Sequential", "config": {"layers": [{"class_name": "Lambda", "config": {}}]}})
    Traceback (most recent call last):
    digitlab.errors.NetworkError: It names 'Lambda', which is not one of the layers that digitlab lets Keras run. Save \
it with layers of Keras' own, and before it is quantized.
    """
    found = _checked(description, 0)
    if not isinstance(found, dict) or found.get("class_name") not in _MODELS:
        raise NetworkError("It does not describe a model of Keras. Save the whole model again, with model.save.")
    return found


def _checked(value: Any, depth: int) -> Any:
    if depth > _MOST_DEPTH:
        raise NetworkError("It is nested deeper than a model is. Save it again.")
    if isinstance(value, Mapping):
        _check_object(value)
        parts = _renewed(value).items()
        return {key: _checked(inner, depth + 1) for key, inner in parts if key not in _DROPPED}
    if isinstance(value, list | tuple):
        return [_checked(inner, depth + 1) for inner in value]
    return value


def _renewed(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an object's description as Keras 3 writes it, of one that Keras 1 or 2 may have written."""
    kind, config = entry.get("class_name"), entry.get("config")
    if kind == "Policy":
        return {**entry, **_POLICY}
    if kind == "Functional" and "module" in entry:
        entry = {**entry, "module": "keras.src.models.functional"}
    if kind == "Sequential" and isinstance(config, list):  # of Keras 1 and 2.0
        config = {"name": "sequential", "layers": config}
    if not isinstance(kind, str) or not isinstance(config, Mapping):
        return entry
    gone = (_OLD_SHAPE, *_GONE.get(kind, ()))
    kept = {name: value for name, value in config.items() if name not in gone}
    if kind == "InputLayer" and _OLD_SHAPE in config:
        kept["batch_shape"] = config[_OLD_SHAPE]
    if kind == "Sequential" and isinstance(config.get("layers"), list):
        kept["layers"] = _with_input(config["layers"])
    axis = config.get("axis")
    if kind == "BatchNormalization" and isinstance(axis, list) and len(axis) == 1:
        kept["axis"] = axis[0]
    return {**entry, "config": kept}


def _with_input(layers: list[Any]) -> list[Any]:
    """Return layers with one for the input before them, where only the first layer says what it takes."""
    first = layers[0] if layers and isinstance(layers[0], Mapping) else {}
    settings = first.get("config")
    shape = settings.get(_OLD_SHAPE) if isinstance(settings, Mapping) else None
    if shape is None or first.get("class_name") == "InputLayer":
        return layers
    described = {"class_name": "InputLayer", "config": {"batch_shape": shape, "name": "input_layer"}}
    return [{**described, **{key: first[key] for key in ("module",) if key in first}}, *layers]


def _check_object(value: Mapping[str, Any]) -> None:
    """Refuse what Keras would look up by a name that is not in the lists."""
    for key in ("fn_name", "function_type", "spec_name"):
        if key in value:
            raise _refused(value.get(key))
    if "class_name" not in value:
        if value.get("registered_name") is not None:
            raise _refused(value["registered_name"])
        return
    kind, module, registered = value["class_name"], value.get("module"), value.get("registered_name")
    if kind == "function":
        function = value.get("config")
        if module in ("builtins", "keras.activations") and _is_one(function, _FUNCTIONS):
            if registered not in (None, "function", function):
                raise _refused(registered)
            return
        raise _refused(function)
    allowed = _ANY if module is None else _CLASSES.get(module, ()) if isinstance(module, str) else ()
    if not _is_one(kind, allowed):
        raise _refused(f"{module}.{kind}" if isinstance(module, str) and isinstance(kind, str) else kind)
    if registered not in (None, kind):
        raise _refused(registered)


def _is_one(name: Any, allowed: Iterable[str]) -> bool:
    return isinstance(name, str) and name in allowed


def _refused(name: Any) -> NetworkError:
    return NetworkError(
        f"It names {shown(name)}, which is not one of the layers that digitlab lets Keras run. Save it with layers of "
        "Keras' own, and before it is quantized."
    )
