"""ONNX models, of this test's own making and of other libraries', and what is refused of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import digitlab as dl
from digitlab.errors import RunError
from digitlab.network import Conv2D, Dense, Flatten, MaxPooling2D
from digitlab.network.formats.files import load_model_file

onnx = pytest.importorskip("onnx")
helper, TensorProto = onnx.helper, onnx.TensorProto

FILES = Path(__file__).parent / "files"
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
) -> Path:
    """Save a model from ``x`` to ``y`` without checking it."""
    given = {"k": KERNEL, "w": TABLE} | (constants or {})
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, list(shape))],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", 10])],
        [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in given.items()],
    )
    path.write_bytes(helper.make_model(graph).SerializeToString())
    return path


CONV = node("Conv", ["x", "k"], "c")
TAIL = (node("Flatten", ["c"], "f"), node("MatMul", ["f", "w"], "d"), node("Softmax", ["d"], "y"))


def kinds(path: Path) -> list[type]:
    return [type(layer) for layer in load_model_file(path).architecture.layers]


def answers(path: Path, images: np.ndarray) -> np.ndarray:
    """Answer images (n, 28, 28) in 0 to 1 with onnxruntime."""
    session = pytest.importorskip("onnxruntime").InferenceSession(path, providers=["CPUExecutionProvider"])
    wanted = session.get_inputs()[0]
    shape = [-1 if isinstance(size, str) else size for size in wanted.shape]
    (found,) = session.run(None, {wanted.name: images.reshape(shape)})
    return found


@pytest.mark.interop
@pytest.mark.parametrize("name", ["codelab_keras", "codelab_torch_dynamo", "codelab_torch_script"])
def test_the_codelabs_network_as_others_export_it_answers_as_here(name: str) -> None:
    images = dl.MnistData.load().test.images[:1000] / np.float32(255)
    ours, theirs = dl.codelab_cnn(seed=0).predict(images), dl.load_model(FILES / f"{name}.onnx").predict(images)
    np.testing.assert_allclose(theirs, ours, rtol=0.0, atol=1e-6)
    np.testing.assert_allclose(theirs, answers(FILES / f"{name}.onnx", images), rtol=0.0, atol=1e-6)


@pytest.mark.interop
@pytest.mark.parametrize("name", ["odd_keras", "odd_torch_dynamo", "odd_torch_script"])
def test_borders_logarithms_and_computed_shapes_of_others_are_understood(name: str) -> None:
    images = dl.MnistData.load().test.images[:1000] / np.float32(255)
    expected = answers(FILES / f"{name}.onnx", images * np.float32(255) if name == "odd_keras" else images)
    if name != "odd_keras":
        expected = np.exp(expected)
    np.testing.assert_allclose(dl.load_model(FILES / f"{name}.onnx").predict(images), expected, rtol=0.0, atol=1e-6)


def test_a_convolution_may_have_its_bias_added_later(tmp_path: Path) -> None:
    bias = weights(4)
    plain = saved(tmp_path / "a.onnx", [node("Conv", ["x", "k", "b"], "c"), *TAIL], {"b": bias})
    added = saved(
        tmp_path / "b.onnx",
        [node("Conv", ["x", "k"], "e"), node("Add", ["e", "b"], "c"), *TAIL],
        {"b": bias.reshape(1, 4, 1, 1)},
    )
    images = RNG.uniform(0, 1, (5, 28, 28)).astype(np.float32)
    np.testing.assert_array_equal(dl.load_model(plain).predict(images), dl.load_model(added).predict(images))


def test_images_with_channels_last_are_turned(tmp_path: Path) -> None:
    first = saved(tmp_path / "a.onnx", [CONV, *TAIL])
    last = saved(
        tmp_path / "b.onnx",
        [node("Transpose", ["x"], "t", perm=[0, 3, 1, 2]), node("Conv", ["t", "k"], "c"), *TAIL],
        shape=["n", 28, 28, 1],
    )
    rows = saved(
        tmp_path / "c.onnx",
        [node("Reshape", ["x", "s"], "t"), node("Conv", ["t", "k"], "c"), *TAIL],
        {"s": np.array([-1, 1, 28, 28])},
        shape=["n", 784],
    )
    images = RNG.uniform(0, 1, (5, 28, 28)).astype(np.float32)
    expected = dl.load_model(first).predict(images)
    for path in (last, rows):
        np.testing.assert_array_equal(dl.load_model(path).predict(images), expected)
        np.testing.assert_allclose(answers(path, images), expected, atol=1e-5)


def test_rows_behind_a_flattening_of_turned_images_are_put_in_order(tmp_path: Path) -> None:
    path = saved(
        tmp_path / "a.onnx",
        [CONV, node("Transpose", ["c"], "t", perm=[0, 3, 1, 2]), node("Reshape", ["t", "s"], "f"), *TAIL[1:]],
        {"s": np.array([0, -1])},
    )
    images = RNG.uniform(0, 1, (5, 28, 28)).astype(np.float32)
    np.testing.assert_allclose(dl.load_model(path).predict(images), answers(path, images), atol=1e-5)


@pytest.mark.parametrize("scaling", [("Div", 255.0), ("Mul", 1 / 255)])
def test_bytes_scaled_inside_are_what_digitlab_does_anyway(tmp_path: Path, scaling: tuple[str, float]) -> None:
    kind, value = scaling
    front = [node("Cast", ["x"], "n", to=1), node(kind, ["n", "v"], "s"), node("Conv", ["s", "k"], "c")]
    constants = {"v": np.float32(value)}
    assert Conv2D in kinds(saved(tmp_path / "a.onnx", [*front, *TAIL], constants, kind=TensorProto.UINT8))


def test_dropout_identity_and_relu_behind_pooling_are_understood(tmp_path: Path) -> None:
    path = saved(
        tmp_path / "a.onnx",
        [
            node("Conv", ["x", "k"], "a"),
            node("MaxPool", ["a"], "b", kernel_shape=[2, 2], strides=[2, 2]),
            node("Relu", ["b"], "r"),
            node("Identity", ["r"], "i"),
            node("Dropout", ["i"], "c"),
            *TAIL,
        ],
        {"w": weights(4 * 13 * 13, 10)},
    )
    assert kinds(path) == [Conv2D, MaxPooling2D, Flatten, Dense]
    images = RNG.uniform(0, 1, (5, 28, 28)).astype(np.float32)
    np.testing.assert_allclose(dl.load_model(path).predict(images), answers(path, images), atol=1e-5)


def front(*nodes: Any) -> list[Any]:
    return [*nodes, *TAIL]


BAD: dict[str, tuple[list[Any], dict[str, Any], str]] = {
    "stride": (front(node("Conv", ["x", "k"], "c", strides=[2, 2])), {}, "max-pooling"),
    "dilation": (front(node("Conv", ["x", "k"], "c", dilations=[2, 2])), {}, "larger kernel"),
    "group": (front(node("Conv", ["x", "k"], "c", group=2)), {}, "ordinary convolutions"),
    "border": (front(node("Conv", ["x", "k"], "c", pads=[3, 3, 3, 3])), {}, "border of (3, 3, 3, 3)"),
    "huge border": (front(node("Conv", ["x", "k"], "c", pads=[2**62] * 4)), {}, "border"),
    "batch normalization": (front(CONV, node("BatchNormalization", ["c"] * 5, "c2")), {}, "BatchNormalization"),
    "average pooling": (front(CONV, node("AveragePool", ["c"], "p")), {}, "max pooling"),
    "sigmoid": (front(CONV, node("Sigmoid", ["c"], "p")), {}, "ReLU"),
    "loop": (front(CONV, node("Loop", ["c"], "p")), {}, "Loop"),
    "own domain": (front(helper.make_node("Evil", ["x"], ["c"], domain="com.evil")), {}, "com.evil.Evil"),
    "branch": ([CONV, node("Relu", ["x"], "r"), *TAIL], {}, "chains"),
    "sum of branches": ([CONV, node("Relu", ["c"], "r"), node("Add", ["r", "c"], "a"), *TAIL], {}, "chains"),
    "output elsewhere": ([CONV, *TAIL[:2]], {}, "output"),
    "no layers": ([node("Relu", ["x"], "y")], {}, "does not follow"),
    "only identity": ([node("Identity", ["x"], "y")], {}, "no layer"),
    "wrong table": ([CONV, *TAIL], {"w": weights(7, 10)}, "expects 7 features"),
    "flattened batch": ([CONV, node("Flatten", ["c"], "f", axis=0), *TAIL[1:]], {}, "batch"),
    "reshaped batch": ([CONV, node("Reshape", ["c", "s"], "f"), *TAIL[1:]], {"s": np.array([7, -1])}, "batch"),
    "reshaped oddly": ([CONV, node("Reshape", ["c", "s"], "f"), *TAIL[1:]], {"s": np.array([-1, 3])}, "reshapes"),
    "reshaped to much": ([CONV, node("Reshape", ["c", "s"], "f"), *TAIL[1:]], {"s": np.array([-1, 2**62])}, "reshapes"),
    "pixels from -1 to 1": (
        front(node("Mul", ["x", "v"], "m"), node("Sub", ["m", "o"], "s"), node("Conv", ["s", "k"], "c")),
        {"v": np.float32(2), "o": np.float32(1)},
        "0 to 1",
    ),
    "pixels by themselves": (
        front(node("Sub", ["x", "v"], "s"), node("Conv", ["s", "k"], "c")), {"v": weights(28, 28)}, "every pixel",
    ),
    "division by zero": (
        front(node("Div", ["x", "v"], "s"), node("Conv", ["s", "k"], "c")), {"v": np.float32(0)}, "0 to 1",
    ),
    "nan": ([CONV, *TAIL], {"k": np.full((4, 1, 3, 3), np.nan, np.float32)}, "NaN"),
    "text": ([CONV, *TAIL], {"t": np.array(["evil"], object)}, "of a kind"),
    "softmax over pixels": ([CONV, node("Softmax", ["c"], "p", axis=3), *TAIL], {}, "classes"),
    "alpha": ([CONV, TAIL[0], node("Gemm", ["f", "w"], "y", alpha=2.0)], {}, "alpha"),
    "weights first": ([CONV, TAIL[0], node("MatMul", ["w", "f"], "y")], {}, "before the images"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_digitlab_lacks_is_named(tmp_path: Path, refused: Any, name: str) -> None:
    nodes, constants, expected = BAD[name]
    assert expected in refused(saved(tmp_path / "bad.onnx", nodes, constants))


@pytest.mark.parametrize(
    "shape", [(), ("n",), ("n", 1, "h", "w"), ("n", 1, 28), (1, 2, 3, 4, 5), ("n", 2**40, 2**20, 1), ("n", 0, 28, 28)]
)
def test_inputs_that_are_no_images_are_refused(tmp_path: Path, refused: Any, shape: tuple[Any, ...]) -> None:
    assert "input" in refused(saved(tmp_path / "bad.onnx", [CONV, *TAIL], shape=shape))


def test_bytes_that_are_not_scaled_are_refused(tmp_path: Path, refused: Any) -> None:
    nodes = [node("Cast", ["x"], "s", to=1), node("Conv", ["s", "k"], "c"), *TAIL]
    assert "0 to 1" in refused(saved(tmp_path / "bad.onnx", nodes, kind=TensorProto.UINT8))


def changed(path: Path, change: Any) -> Path:
    model = onnx.ModelProto.FromString(path.read_bytes())
    change(model)
    path.write_bytes(model.SerializeToString())
    return path


def test_weights_in_other_files_are_not_read(tmp_path: Path, refused: Any) -> None:
    (tmp_path / "secret").write_bytes(KERNEL.tobytes())

    def externalize(model: Any) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", "../secret"

    assert "another file" in refused(changed(saved(tmp_path / "bad.onnx", [CONV, *TAIL]), externalize))


def test_huge_and_damaged_arrays_are_refused(tmp_path: Path, refused: Any) -> None:
    for dims in ([2**40, 2**20], [2**31], [-1], [0], [1] * 100):
        path = saved(tmp_path / "bad.onnx", [CONV, *TAIL])

        def enlarge(model: Any, dims: list[int] = dims) -> None:
            model.graph.initializer[0].dims[:] = dims

        refused(changed(path, enlarge))


def test_constants_that_double_are_not_computed(tmp_path: Path, refused: Any) -> None:
    doubling = [node("Concat", ["s0" if i == 0 else f"s{i}"] * 2, f"s{i + 1}", axis=0) for i in range(60)]
    path = saved(tmp_path / "bomb.onnx", [*doubling, CONV, *TAIL], {"s0": np.array([1, 2])})
    assert "Concat" in refused(path)


def test_too_many_operations_functions_and_several_outputs_are_refused(tmp_path: Path, refused: Any) -> None:
    many = [node("Identity", ["x" if i == 0 else f"i{i}"], f"i{i + 1}") for i in range(3000)]
    assert "3,000 operations" in refused(saved(tmp_path / "many.onnx", many))

    def second_output(model: Any) -> None:
        model.graph.output.append(model.graph.output[0])

    assert "2 outputs" in refused(changed(saved(tmp_path / "two.onnx", [CONV, *TAIL]), second_output))

    def function(model: Any) -> None:
        model.functions.add().name = "f"

    assert "functions" in refused(changed(saved(tmp_path / "function.onnx", [CONV, *TAIL]), function))


def test_subgraphs_within_subgraphs_are_refused(tmp_path: Path, refused: Any) -> None:
    graph = helper.make_graph([CONV], "g", [], [])
    for _ in range(25):
        graph = helper.make_graph([helper.make_node("If", ["x"], ["y"], then_branch=graph)], "g", [], [])
    refused(saved(tmp_path / "deep.onnx", list(graph.node)))


def of_fields(*numbers: int, content: bytes = b"") -> bytes:
    """Return a message in a field of a message, and so on; the first number is the outermost."""
    for number in reversed(numbers):
        size = bytes((len(content) >> 7 * i & 127) | (128 if i < 4 else 0) for i in range(5))
        content = bytes([number << 3 | 2]) + size + content
    return content


@pytest.mark.parametrize(
    "numbers", [(7,), (7, 1), (7, 1, 5), (7, 5), (7, 13)], ids=["graph", "node", "attribute", "tensor", "value"]
)
def test_a_million_empty_messages_are_refused_before_they_are_objects(
    tmp_path: Path, refused: Any, numbers: tuple[int, ...]
) -> None:
    """Two bytes of a file become a hundred in memory."""
    path = saved(tmp_path / "empty.onnx", [CONV, *TAIL])
    many = bytes([5 << 3 | 2, 0]) * 2**20 + b"\x12\x00"
    path.write_bytes(path.read_bytes() + of_fields(*numbers, content=many))
    assert "bytes besides its weights" in refused(path)


@pytest.mark.parametrize("tail", [b"\x3a", b"\x3a\x7f", b"\x08" + b"\xff" * 11, b"\x0b\x0c"])
def test_messages_that_are_cut_short_are_damaged(tmp_path: Path, refused: Any, tail: bytes) -> None:
    path = saved(tmp_path / "cut.onnx", [CONV, *TAIL])
    path.write_bytes(path.read_bytes() + tail)
    assert "it is damaged" in refused(path)


def test_without_the_package_the_way_to_get_it_is_told(
    written: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(dl.DigitlabError, match="pip install"):
        load_model_file(written["onnx"])


@pytest.mark.parametrize("kind", ["Add", "Conv", "Div", "Gemm", "MatMul", "Mul", "Sub"])
def test_an_operation_without_the_numbers_it_computes_with_is_a_sentence(tmp_path: Path, kind: str) -> None:
    path = saved(tmp_path / "m.onnx", [node(kind, ["x"], "y")])
    with pytest.raises(RunError, match=f"Operation 1, {kind}, lacks the numbers"):
        load_model_file(path)


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_a_shape_or_scale_that_is_not_finite_is_a_sentence(tmp_path: Path, number: float) -> None:
    shape = {"s": np.array([-1, number], np.float32)}
    with pytest.raises(RunError, match="its new shape is not finite"):
        load_model_file(saved(tmp_path / "m.onnx", [node("Reshape", ["x", "s"], "c"), *TAIL], shape))
    scale, nodes = {"s": np.array(number, np.float32)}, [node("Mul", ["x", "s"], "z"), node("Conv", ["z", "k"], "c")]
    with pytest.raises(RunError, match="not scaled to 0 to 1"):
        load_model_file(saved(tmp_path / "m.onnx", nodes, scale))


def test_a_constant_that_is_a_text_is_a_sentence(tmp_path: Path) -> None:
    constant = helper.make_node("Constant", [], ["s"], value_string="abc")
    constant.attribute[0].name = "value"
    for kind in ("Add", "Reshape"):
        path = saved(tmp_path / "m.onnx", [constant, node(kind, ["x", "s"], "y")])
        with pytest.raises(RunError, match="Constant on given numbers is damaged"):
            load_model_file(path)
