"""ONNX models as PyTorch, tf2onnx, Keras, CNTK and scikit-learn's users export them: one chain of operations.

Every operation of the chain becomes a layer of digitlab, a scale and an offset that are folded into layers, or only
another layout of the same numbers; whatever else is computed on the way there stands on given numbers.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digitlab.errors import NetworkError
from digitlab.network.architecture import Architecture
from digitlab.network.checkpoint import Checkpoint
from digitlab.network.formats.files import checkpoint_in, lacking, shown, unusable
from digitlab.network.formats.onnx_graph import COMPUTABLE, Graph, Node, computed, read_graph
from digitlab.network.formats.onnx_operations import BEHIND_THE_ANSWER, EITHER_WAY, LEAST_GIVEN, OPERATIONS, RESULTS
from digitlab.network.formats.onnx_walk import Walk
from digitlab.network.layers import Shape

_SIDE = 28  # of a digit, where a model leaves the size of its images open
_MOST_OUTPUTS = 4


def read_onnx(path: Path) -> Checkpoint:
    """Read an ONNX model that anybody may have written."""
    graph = read_graph(path)
    found: list[tuple[bool, bool, bool, Architecture, list[NDArray[np.float32]]]] = []
    problem: NetworkError | None = None
    for output in graph.outputs[:_MOST_OUTPUTS]:
        for shape in _possible_shapes(graph.input_shape):
            try:
                walk = _walked(graph, output, shape)
                network, weights = walk.finish()
            except NetworkError as error:
                problem = problem or error
                continue
            found.append((walk.ends_in_softmax, network.n_classes == 10, walk.tells_pixels, network, weights))
            break
    if not found:
        raise unusable(path, str(problem), lacks=True)
    # Of several outputs, such as features and logits beside the probabilities, that with the classes.
    *_, tells_pixels, network, weights = max(found, key=lambda one: one[:2])
    return checkpoint_in(path, network, weights, graph.class_names, graph.metadata, tells_pixels)


def _possible_shapes(shape: Shape) -> list[Shape]:
    """Return what one image can be where the model leaves sizes open: one of MNIST's."""
    n_open = sum(n < 1 for n in shape)
    if n_open == 0:
        return [shape]
    sides = tuple(n if n > 0 else _SIDE for n in shape)
    first, last = (1, *sides[1:]), (*sides[:-1], 1)
    if len(shape) == 1 or (len(shape) == 2 and set(shape) & {1, _SIDE * _SIDE}):
        return [(_SIDE * _SIDE,)]
    if len(shape) == 3 and n_open == 3:
        return [first, last]
    if len(shape) == 3 and n_open == 1 and shape[1] >= 1:
        return [first if shape[0] < 1 else last]
    return [sides]


def _walked(graph: Graph, output: str, input_shape: Shape) -> Walk:
    """Follow the images from the input to an output."""
    walk = Walk(graph, input_shape)
    for position, node in enumerate(graph.leading_to(output), start=1):
        _follow(walk, node, position)
    if output not in walk.names:
        raise NetworkError(f"its output {shown(output)} does not come from the images.")
    return walk


def _follow(walk: Walk, node: Node, position: int) -> None:
    inputs = [name for name in node.inputs if name]
    known = [walk.constants[name] for name in inputs if name in walk.constants]
    if not node.outputs:
        raise lacking(node.kind, position=position)
    if len(known) == len(inputs) and node.kind in COMPUTABLE:
        numbers = computed(node, known)
        walk.left_values -= numbers.size
        if walk.left_values < 0:
            raise NetworkError("it computes too much from given numbers; export the model again.")
        walk.constants[node.outputs[0]] = numbers
        return
    if node.kind == "Shape" and len(inputs) == 1 and inputs[0] in walk.shapes:
        # Nobody knows the batch; as -1 it does what it should where the shape is used to reshape.
        shape = np.array([-1, *walk.shapes[inputs[0]]])
        walk.constants[node.outputs[0]] = shape[node.get("start", 0) : node.get("end", len(shape))]
        return
    if node.kind not in OPERATIONS:
        raise lacking(node.kind, position=position)
    is_behind = node.kind in EITHER_WAY or not walk.names.isdisjoint(node.inputs[:1])
    if len(known) != len(inputs) - 1 or sum(name in walk.names for name in inputs) != 1 or not is_behind:
        raise NetworkError(
            f"Operation {position}, {node.kind}, does not follow the one before it; digitlab runs chains."
        )
    given = [walk.constants.get(name) if name and name not in walk.names else None for name in node.inputs]
    needed = LEAST_GIVEN.get(node.kind, 0)
    if len(known) < needed or any(given[i] is None for i in range(1, needed + 1) if node.kind not in EITHER_WAY):
        raise NetworkError(f"Operation {position}, {node.kind}, lacks the numbers that it computes with.")
    if walk.has_ended and node.kind not in BEHIND_THE_ANSWER:
        raise lacking(node.kind, position=position)
    try:
        is_same = OPERATIONS[node.kind](walk, node, given)
    except NetworkError as error:
        raise NetworkError(f"Operation {position}, {node.kind}: {error}") from None
    result = node.outputs[min(RESULTS.get(node.kind, 0), len(node.outputs) - 1)]
    walk.names = walk.names | {result} if is_same else {result}
    walk.shapes[result] = walk.layout.shape
