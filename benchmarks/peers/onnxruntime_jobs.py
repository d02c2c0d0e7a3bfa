"""The jobs on ONNX Runtime: ``python onnxruntime_jobs.py JOB FOLDER``, of inference and page, prints one line of JSON.

digitlab's networks of single digits are made node by node here, with the weights digitlab gave.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jobs
import numpy as np
import onnxruntime
from networks import PlacedLayer, placed
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper

#: Understood by every ONNX runtime of the last years.
OPSET, IR_VERSION = 17, 8


def model_of(architecture: dict[str, Any], weights: Sequence[np.ndarray]) -> ModelProto:
    """Return the model, from ``images`` (n, channels, height, width) to ``probabilities`` (n, classes).

    ValueError if the network holds something this lacks.
    """
    layers = placed(architecture, weights)
    nodes: list[NodeProto] = []
    constants: list[TensorProto] = []
    tensor = "images"
    for i, layer in enumerate(layers):
        for kind, attributes in _operations(layer):
            inputs = [tensor]
            if kind in ("Conv", "Gemm"):
                for name, array in (("kernel", layer.kernel), ("bias", layer.bias)):
                    if array is not None:
                        constants.append(numpy_helper.from_array(array, f"{name}_{i}"))
                        inputs.append(f"{name}_{i}")
            tensor = f"{kind.lower()}_{i}"
            nodes.append(helper.make_node(kind, inputs, [tensor], **attributes))
    nodes[-1].output[0] = "probabilities"
    height, width, channels = architecture["input_shape"]
    graph = helper.make_graph(
        nodes,
        architecture["name"],
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", channels, height, width])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", layers[-1].shape[0]])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    checker.check_model(model)
    return model


def _operations(layer: PlacedLayer) -> list[tuple[str, dict[str, Any]]]:
    settings = layer.settings
    operations: list[tuple[str, dict[str, Any]]] = []
    if layer.kind == "Conv2D":
        padding = "SAME_UPPER" if settings["padding"] == "same" else "VALID"
        operations.append(("Conv", {"kernel_shape": list(settings["kernel_size"]), "auto_pad": padding}))
    elif layer.kind == "MaxPooling2D":
        operations.append(("MaxPool", {"kernel_shape": settings["pool_size"], "strides": settings["strides"]}))
    elif layer.kind == "Flatten":
        operations.append(("Flatten", {"axis": 1}))
    elif layer.kind == "Dense":
        operations.append(("Gemm", {"transB": 1}))
    # Dropout does nothing when images are answered.
    activation = settings.get("activation", "linear")
    if activation != "linear":
        operations.append(("Relu", {}) if activation == "relu" else ("Softmax", {"axis": 1}))
    return operations


def session(model: Any, threads: int) -> onnxruntime.InferenceSession:
    """Return what answers with a model, its bytes or its file, on so many threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def inference(folder: Path) -> None:
    """Answer images."""

    def make(network: jobs.Network, threads: int) -> jobs.Answer:
        own = session(model_of(*network).SerializeToString(), threads)
        # With one channel both layouts are the same bytes: a view, no copy.
        return lambda images: own.run(None, {"images": images.reshape(-1, 1, 28, 28)})[0]

    jobs.measure_inference(folder, ("onnxruntime", "onnx", "numpy"), make)


def page(folder: Path) -> None:
    """Answer a page."""
    own = session(folder / "network.onnx", jobs.n_threads())
    jobs.measure_page(folder, ("onnxruntime", "numpy"), lambda image: own.run(None, {"images": image})[0])


if __name__ == "__main__":
    jobs.run({"inference": inference, "page": page})
