"""PyTorch's state dicts as ``.safetensors``: arrays by name, and the network whose weights they are, which they lack.

A state dict says neither which layers have no weights, nor in which order the others stand: safetensors sorts names by
the alphabet. So a network is given, and every layer of it takes the arrays of its shape. Layers of equal shape take
them in the order of the numbers in the names (``fc1`` before ``fc2``, ``features.3`` before ``features.10``).
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.errors import NetworkError
from digitlab.network.architecture import Architecture
from digitlab.network.checkpoint import Checkpoint
from digitlab.network.folding import Affine, Weighted
from digitlab.network.formats.files import TORCH_EXPORT, assembled, checkpoint_in, shown, unusable
from digitlab.network.layers import Activation, Conv2D, Dense, Flatten, Shape
from digitlab.text import counted

_UNSAID = f"nothing says where exactly it stands. Export the model as ONNX, in PyTorch: {TORCH_EXPORT}."
_PARTS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
_EPSILON = 1e-5  # of PyTorch's BatchNorm, unless somebody changed it
_MOST_TOLD = 6
_NUMBER = re.compile(r"\d+")

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class _Module:
    """What has weights in PyTorch: its name, such as ``conv1``, and its arrays."""

    name: str
    arrays: Arrays

    @property
    def shape(self) -> Shape:
        """Shape of its weights; of a normalization's mean."""
        return self.arrays["weight" if "weight" in self.arrays else "running_mean"].shape

    @property
    def is_normalization(self) -> bool:
        return "running_mean" in self.arrays

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers in its name, by which those of equal shape are put in order."""
        return tuple(int(number[:18]) for number in _NUMBER.findall(self.name))

    @property
    def stem(self) -> str:
        """Its name without numbers."""
        return _NUMBER.sub("#", self.name)

    @property
    def told(self) -> str:
        """What people are told of it."""
        shape = self.shape
        if self.is_normalization:
            return f"{shown(self.name)} normalizes {counted(shape[0], 'channel')}"
        if len(shape) == 4:
            channels = counted(shape[1], "channel")
            return f"{shown(self.name)} may be Conv2D({shape[0]}, ({shape[2]}, {shape[3]})) of {channels}"
        return f"{shown(self.name)} may be Dense({shape[0]}) of {shape[1]} features"


def read_torch_state(path: Path, tensors: Arrays, network: Architecture | None) -> Checkpoint:
    """Read the arrays of a file that anybody may have written, with the network whose weights they are."""
    modules = _modules(path, tensors)
    if network is None:
        told = "; ".join(module.told for module in modules[:_MOST_TOLD])
        more = f"; and {len(modules) - _MOST_TOLD} more" if len(modules) > _MOST_TOLD else ""
        raise unusable(
            path,
            f"it is a PyTorch state dict, weights without their network: {told}{more}. Say what the network is, with "
            "--network FILE (its layers as JSON, or a name such as codelab_cnn; in Python network=...); or export it "
            f"whole, in PyTorch: {TORCH_EXPORT}.",
        )
    try:
        steps = _steps(network, modules)
        found, weights = assembled(steps, network.input_shape, network.name)
    except NetworkError as error:
        raise unusable(path, str(error)) from None
    return checkpoint_in(path, found, weights, None, None)


def _modules(path: Path, tensors: Arrays) -> list[_Module]:
    """Return what has weights, in the order of names and their numbers."""
    parts: dict[str, dict[str, NDArray[Any]]] = defaultdict(dict)
    for full_name, array in tensors.items():
        name, _, part = full_name.rpartition(".")
        if part not in _PARTS:
            raise unusable(path, f"it holds {shown(full_name)}, which is of no convolution, dense layer or "
                           f"normalization. Export it as ONNX, in PyTorch: {TORCH_EXPORT}.")  # fmt: skip
        parts[name][part] = array
    modules = [_Module(name, arrays) for name, arrays in parts.items()]
    for module in modules:
        if not _is_sound(module):
            raise unusable(path, f"what it holds of {shown(module.name)} belongs to no convolution, dense layer or "
                           f"normalization. Export it as ONNX, in PyTorch: {TORCH_EXPORT}.")  # fmt: skip
    return sorted(modules, key=lambda module: (re.split(r"\d+", module.name), module.numbers))


def _is_sound(module: _Module) -> bool:
    arrays = {part: array for part, array in module.arrays.items() if part != "num_batches_tracked"}
    if module.is_normalization:
        return "running_var" in arrays and len({array.shape for array in arrays.values()}) == 1 == len(module.shape)
    if "weight" not in arrays or set(arrays) > {"weight", "bias"}:
        return False
    is_known = len(module.shape) in (2, 4) and math.prod(module.shape) > 0
    return is_known and arrays.get("bias", np.zeros(module.shape[:1])).shape == module.shape[:1]


def _steps(network: Architecture, modules: list[_Module]) -> list[Weighted | Affine]:
    """Return the network's layers with the arrays that are theirs, and normalizations between."""
    layers = [
        (layer, shape)
        for layer, shape in zip(network.layers, network.input_shapes, strict=True)
        if isinstance(layer, Conv2D | Dense)
    ]
    wanted: dict[Shape, list[str]] = defaultdict(list)
    for one, shape in layers:
        wanted[_shape_in_torch(one, shape)].append(one.name)
    given: dict[Shape, list[_Module]] = defaultdict(list)
    for module in modules:
        if not module.is_normalization:
            given[module.shape].append(module)
    for shape in [*wanted, *given]:
        if len(wanted[shape]) != len(given[shape]):
            have = [[str(shape) for shape, all_ in some.items() for _ in all_] for some in (given, wanted)]
            theirs, ours = (", ".join(shapes[:_MOST_TOLD]) or "none" for shapes in have)
            raise NetworkError(
                f"its weights have the shapes {theirs}, and the layers of {network.name} {ours}, as PyTorch has them. "
                "Give it the network that it was trained as."
            )
        _check_order(given[shape])
    in_order = [given[_shape_in_torch(one, shape)].pop(0) for one, shape in layers]
    behind = _normalizations(in_order, [module for module in modules if module.is_normalization])
    steps: list[Weighted | Affine] = list(behind.get(None, {}).values())
    order: NDArray[np.intp] | None = None
    taken = iter(in_order)
    for layer, shape in zip(network.layers, network.input_shapes, strict=True):
        if isinstance(layer, Flatten) and len(shape) == 3:
            # PyTorch's rows have the channels first.
            height, width, channels = shape
            order = np.arange(math.prod(shape)).reshape(channels, height, width).transpose(1, 2, 0).ravel()
        if not isinstance(layer, Conv2D | Dense):
            steps.append((layer, ()))
            continue
        module = next(taken)
        kernel = module.arrays["weight"].astype(np.float32)
        kernel = kernel.transpose(2, 3, 1, 0) if kernel.ndim == 4 else kernel.T
        if isinstance(layer, Dense) and order is not None:
            kernel, order = kernel[order], None
        bias = tuple(module.arrays[part].astype(np.float32) for part in ("bias",) if part in module.arrays)
        # What a normalization takes are the layer's sums, unless its number says that there is something between.
        places = behind.get(module.name, {})
        is_split = "sums" in places
        linear = dataclasses.replace(layer, use_bias=bool(bias), activation="linear" if is_split else layer.activation)
        steps.append((linear, (np.ascontiguousarray(kernel), *bias)))
        if is_split:
            steps += [places["sums"], (Activation(layer.activation), ())]
        if "answers" in places:
            steps.append(places["answers"])
    return steps


def _shape_in_torch(layer: Conv2D | Dense, input_shape: Shape) -> Shape:
    shape = layer.weight_shapes(input_shape)[0]
    return (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else shape[::-1]


def _check_order(modules: list[_Module]) -> None:
    """Check that the names of modules of equal shape say in which order they stand."""
    if len({module.stem for module in modules}) > 1 or len({module.numbers for module in modules}) < len(modules):
        names = " and ".join(shown(module.name) for module in modules[:3])
        raise NetworkError(
            f"{names} have weights of one shape, {modules[0].shape}, and their names do not say which comes first. "
            f"Export the model as ONNX, in PyTorch: {TORCH_EXPORT}."
        )


def _normalizations(learning: list[_Module], modules: list[_Module]) -> dict[str | None, dict[str, Affine]]:
    """Return normalizations by the module that they stand behind (None: before all), and where exactly.

    In a ``nn.Sequential`` the numbers say it: the next number is that of the layer's sums, and a later one of what its
    activation makes of them. Otherwise a normalization is one of the sums of a layer with as many outputs, in order.
    """
    found: dict[str | None, dict[str, Affine]] = defaultdict(dict)
    unnumbered: dict[int, list[tuple[_Module, Affine]]] = defaultdict(list)
    for module in modules:
        arrays = module.arrays
        affine = Affine.normalization(
            arrays["running_mean"], arrays["running_var"], _EPSILON, arrays.get("weight"), arrays.get("bias")
        )
        alike = [one for one in learning if one.stem == module.stem]
        before = [one for one in alike if one.numbers < module.numbers]
        if before:
            last = max(before, key=lambda one: one.numbers)
            is_next = module.numbers == (*last.numbers[:-1], last.numbers[-1] + 1)
            if not is_next and (affine.factor < 0.0).any():
                raise NetworkError(f"{shown(module.name)} has negative scales, and {_UNSAID}")
            _put(found[last.name], "sums" if is_next else "answers", affine, module)
        elif module.numbers and len(alike) == len(learning):
            _put(found[None], "images", affine, module)
        else:
            unnumbered[module.shape[0]].append((module, affine))
    for width, some in unnumbered.items():
        layers = [one for one in learning if one.shape[0] == width and not found[one.name]]
        if len(layers) != len(some):
            raise NetworkError(f"{shown(some[0][0].name)} normalizes {width} channels, and {_UNSAID}")
        _check_order([module for module, _ in some])
        for layer, (module, affine) in zip(layers, some, strict=True):
            _put(found[layer.name], "sums", affine, module)
    return found


def _put(places: dict[str, Affine], place: str, affine: Affine, module: _Module) -> None:
    if place in places:
        raise NetworkError(f"{shown(module.name)} is the second normalization in its place, and {_UNSAID}")
    places[place] = affine
