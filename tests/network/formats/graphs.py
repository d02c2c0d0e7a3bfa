"""ONNX graphs to read: node by node, or as a chain whose dense layers know how many features they get."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
helper, TensorProto = onnx.helper, onnx.TensorProto

_SIZES = {"n": 1, "c": 1, "h": 28, "w": 28}
RNG = np.random.default_rng(0)


def weights(*shape: int) -> np.ndarray:
    return RNG.normal(0.0, 0.3, shape).astype(np.float32)


KERNEL, TABLE = weights(4, 1, 3, 3), weights(4 * 26 * 26, 10)


def node(kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> Any:
    return helper.make_node(kind, list(inputs), [output], **attributes)


def saved(
    path: Path,
    nodes: Sequence[Any],
    constants: dict[str, Any] | None = None,
    shape: Sequence[Any] = ("n", 1, 28, 28),
    kind: int = TensorProto.FLOAT,
    output: str = "y",
    opset: int = 17,
) -> Path:
    """Save a model from ``x`` to ``y`` without checking it."""
    given = {"k": KERNEL, "w": TABLE} | (constants or {})
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, list(shape))],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in given.items()],
    )
    domains = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=domains, ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


CONV = node("Conv", ["x", "k"], "c")
TAIL = (node("Flatten", ["c"], "f"), node("MatMul", ["f", "w"], "d"), node("Softmax", ["d"], "y"))


def changed(path: Path, change: Any) -> Path:
    """Change the model in a file."""
    model = onnx.ModelProto.FromString(path.read_bytes())
    change(model)
    path.write_bytes(model.SerializeToString())
    return path


#: One operation of a chain: its kind, its given arrays (None where there is none), whether the images come behind
#: these, and its attributes.
Operation = tuple[Any, ...]


def op(kind: str, *given: Any, last: bool = False, **attributes: Any) -> Operation:
    return kind, given, last, attributes


def dense(units: int = 10) -> Operation:
    """Return a dense layer for however many features there are."""
    return "Dense", (units,), False, {}


def chain(
    path: Path,
    operations: Sequence[Operation],
    shape: Sequence[Any] = ("n", 1, 28, 28),
    kind: int = TensorProto.FLOAT,
    opset: int = 17,
) -> Path:
    """Save a model whose operations follow one another."""
    nodes: list[Any] = []
    constants: dict[str, Any] = {}
    now = "x"
    for i, (name, given, last, attributes) in enumerate(operations):
        if name == "Dense":
            name, given = (
                "Gemm",
                (weights(_features(path, nodes, constants, shape, kind, now, opset), *given), weights(10)),
            )
            given = (given[0], weights(given[0].shape[1]))
        names = [""] * len(given)
        for j, array in enumerate(given):
            if array is not None:
                names[j] = f"{name}{i}_{j}"
                constants[names[j]] = array
        output = "y" if i == len(operations) - 1 else f"t{i}"
        one = node(name, [*names, now] if last else [now, *names], output, **attributes)
        if name in ("Scaler", "LinearClassifier"):
            one.domain = "ai.onnx.ml"
        if name == "LinearClassifier":
            one.output.insert(0, "label")
        nodes.append(one)
        now = output
    return saved(path, nodes, constants, shape, kind, opset=opset)


def _features(
    path: Path, nodes: Sequence[Any], constants: dict[str, Any], shape: Sequence[Any], kind: int, now: str, opset: int
) -> int:
    sizes = [_SIZES.get(size, size) for size in shape]
    saved(path, nodes, constants, sizes, kind, now, opset)
    found = onnx.shape_inference.infer_shapes(onnx.load(path), strict_mode=True, data_prop=True)
    values = {
        value.name: value.type.tensor_type
        for value in (*found.graph.value_info, *found.graph.output, *found.graph.input)
    }
    return math.prod(d.dim_value for d in values[now].shape.dim[1:])


def answers(path: Path, images: np.ndarray) -> np.ndarray:
    """Answer images of any shape with onnxruntime, as probabilities."""
    runtime = pytest.importorskip("onnxruntime")
    runtime.set_default_logger_severity(3)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    wanted = session.get_inputs()[0]
    types = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8, "tensor(float16)": np.float16}
    shape = [-1, *(_SIZES.get(size, size) for size in wanted.shape[1:])]
    given = images.reshape(shape).astype(types[wanted.type])
    # Some take one image at a time.
    parts = np.split(given, len(given)) if wanted.shape[0] == 1 else [given]
    rows = np.concatenate([session.run(None, {wanted.name: part})[0] for part in parts]).astype(np.float64)
    rows = rows.reshape(len(images), -1)
    if rows.min() >= 0.0 and np.allclose(rows.sum(axis=1), 1.0, atol=1e-3):
        return rows
    exponentials = np.exp(rows - rows.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)
