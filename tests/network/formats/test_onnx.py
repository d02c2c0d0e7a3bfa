"""ONNX models of every kind that exporters write answer here as in onnxruntime; what digitlab lacks is named."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import digitlab as dl
from digitlab.errors import RunError
from digitlab.network import (
    AveragePooling2D,
    Conv2D,
    Dense,
    Flatten,
    GlobalAveragePooling2D,
    MaxPooling2D,
    ZeroPadding2D,
)
from digitlab.network.formats.files import load_model_file
from tests.network.formats.graphs import (
    CONV,
    KERNEL,
    RNG,
    TAIL,
    Operation,
    TensorProto,
    answers,
    chain,
    changed,
    dense,
    helper,
    node,
    onnx,
    op,
    saved,
    weights,
)

FILES = Path(__file__).parent / "files"


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    """Return MNIST's first 2,000 test images (n, 28, 28), 0-1."""
    return dl.MnistData.load().test.images[:2000].reshape(-1, 28, 28) / np.float32(255)


def kinds(path: Path) -> list[type]:
    return [type(layer) for layer in load_model_file(path).architecture.layers]


@pytest.mark.interop
@pytest.mark.parametrize("name", ["codelab_keras", "codelab_torch_dynamo", "codelab_torch_script"])
def test_the_codelabs_network_as_others_export_it_answers_as_here(name: str, images: np.ndarray) -> None:
    ours, theirs = dl.codelab_cnn(seed=0).predict(images), dl.load_model(FILES / f"{name}.onnx").predict(images)
    np.testing.assert_allclose(theirs, ours, rtol=0.0, atol=1e-6)
    np.testing.assert_allclose(theirs, answers(FILES / f"{name}.onnx", images), rtol=0.0, atol=1e-6)


@pytest.mark.interop
@pytest.mark.parametrize("name", ["odd_keras", "odd_torch_dynamo", "odd_torch_script"])
def test_borders_logarithms_and_computed_shapes_of_others_are_understood(name: str, images: np.ndarray) -> None:
    expected = answers(FILES / f"{name}.onnx", images * np.float32(255) if name == "odd_keras" else images)
    np.testing.assert_allclose(dl.load_model(FILES / f"{name}.onnx").predict(images), expected, rtol=0.0, atol=1e-6)


def conv(filters: int = 4, size: int = 3, channels: int = 1, bias: bool = True, **attributes: Any) -> Operation:
    return op("Conv", weights(filters, channels, size, size), *([weights(filters)] if bias else []), **attributes)


def scale(n: int, *, negative: bool = False) -> list[np.ndarray]:
    """Return gamma, beta, mean and variance of a normalization."""
    gamma = RNG.uniform(0.5, 1.5, n).astype(np.float32) * np.float32(
        [-1 if negative and i % 2 else 1 for i in range(n)]
    )
    return [gamma, weights(n), weights(n), RNG.uniform(0.5, 1.5, n).astype(np.float32)]


def normalized(n: int, *, negative: bool = False) -> Operation:
    return op("BatchNormalization", *scale(n, negative=negative))


RELU, FLAT = op("Relu"), op("Flatten")
POOL = op("MaxPool", kernel_shape=[4, 4], strides=[4, 4])
END = (RELU, POOL, FLAT, dense())
FIRST = (conv(), *END)
TURNED, BACK = op("Transpose", perm=[0, 3, 1, 2]), op("Transpose", perm=[0, 2, 3, 1])
i64 = np.int64


def f32(*numbers: float, shape: tuple[int, ...] = ()) -> np.ndarray:
    return np.array(numbers, np.float32).reshape(shape)


LAST: dict[str, Any] = {"shape": ("n", 28, 28, 1)}

#: What exporters write: operations, and where they differ from images (n, 1, 28, 28) in operator set 17, these.
GRAPHS: dict[str, tuple[tuple[Operation, ...], dict[str, Any]]] = {
    "dropout told that it does nothing": (
        (conv(), RELU, op("Dropout", f32(0.5), np.array(False)), POOL, FLAT, dense()), {}
    ),
    "strides": ((conv(strides=[2, 2], pads=[1, 1, 1, 1]), *END), {}),
    "strides that differ": ((conv(strides=[3, 1]), *END), {}),
    "wide border": ((conv(pads=[2, 2, 2, 2]), *END), {}),
    "uneven border": ((conv(pads=[0, 1, 2, 3]), *END), {}),
    "border that no window reaches": ((conv(pads=[0, 0, 1, 1], strides=[5, 5]), RELU, FLAT, dense()), {}),
    "same upper": ((conv(size=4, auto_pad="SAME_UPPER", strides=[2, 2]), *END), {}),
    "same lower": ((conv(size=4, auto_pad="SAME_LOWER"), *END), {}),
    "border before a convolution": ((op("Pad", i64([0, 0, 1, 2, 0, 0, 0, 3])), *FIRST), {}),
    "border by axes": ((op("Pad", i64([1, 2, 0, 3]), None, i64([2, 3])), *FIRST), {"opset": 18}),
    "border as an attribute": ((op("Pad", pads=[0, 0, 2, 2, 0, 0, 2, 2]), *FIRST), {"opset": 9}),
    "border of channels last": ((op("Pad", i64([0, 1, 2, 0, 0, 0, 3, 0])), TURNED, *FIRST), LAST),
    "max-pooling with a border": (
        (conv(), RELU, op("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]), FLAT, dense()), {},
    ),
    "max-pooling, same": (
        (conv(), op("MaxPool", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"), FLAT, dense()), {},
    ),
    "max-pooling, rounded up": (
        (conv(size=2), op("MaxPool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1), FLAT, dense()), {},
    ),
    "average pooling": ((conv(), RELU, op("AveragePool", kernel_shape=[2, 2], strides=[2, 2]), FLAT, dense()), {}),
    "average pooling that counts its border": (
        (conv(), op("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1), FLAT,
         dense()), {},
    ),
    "average pooling, rounded up": (
        (conv(size=2), op("AveragePool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1, count_include_pad=1), FLAT,
         dense()), {"opset": 19},
    ),
    "average pooling, same": (
        (conv(), op("AveragePool", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"), FLAT, dense()), {},
    ),
    "global average": ((conv(12, 5), RELU, op("GlobalAveragePool"), FLAT, dense()), {}),
    "global largest": ((conv(12, 5), op("GlobalMaxPool"), FLAT, dense()), {}),
    "mean of rows and columns": ((conv(12, 5), RELU, op("ReduceMean", axes=[2, 3], keepdims=0), dense()), {}),
    "mean of columns, then of rows": (
        (conv(12, 5), RELU, *[op("ReduceMean", axes=[-1], keepdims=0)] * 2, dense()), {},
    ),
    "mean by axes": ((conv(12, 5), RELU, op("ReduceMean", i64([2, 3])), FLAT, dense()), {"opset": 18}),
    "largest of channels last": ((conv(12, 5), BACK, op("ReduceMax", axes=[1, 2], keepdims=0), dense()), {}),
    "convolution of what is pooled": (
        (conv(12, 5), RELU, op("GlobalAveragePool"), op("Conv", weights(10, 12, 1, 1), weights(10)), FLAT), {},
    ),
    "convolutions to the end": (
        (conv(8, 5, strides=[4, 4]), RELU, op("Conv", weights(10, 8, 6, 6)), FLAT, op("Softmax", axis=1)), {},
    ),
    "network in network": ((conv(8), RELU, op("Conv", weights(10, 8, 1, 1)), op("GlobalAveragePool"), FLAT), {}),
    "normalized before relu": ((conv(bias=False), normalized(4), *END), {}),
    "normalized behind relu": ((conv(), RELU, normalized(4), POOL, FLAT, dense(), RELU, dense()), {}),
    "normalized before a border": (
        (conv(), RELU, normalized(4), conv(4, 3, 4, pads=[1, 1, 1, 1]), *END), {},
    ),
    "normalized downwards": ((conv(), RELU, normalized(4, negative=True), POOL, FLAT, dense()), {}),
    "normalized first": ((normalized(1), *FIRST), {}),
    "normalized rows": ((FLAT, dense(12), normalized(12), RELU, dense()), {}),
    "normalized and flattened": ((conv(), RELU, POOL, normalized(4), FLAT, dense()), {}),
    "scaled channels": (
        (conv(bias=False), op("Mul", weights(1, 4, 1, 1)), op("Add", weights(4, 1, 1), last=True), *END), {},
    ),
    "subtracted from": ((conv(), op("Sub", f32(1.0), last=True), *END), {}),
    "negative": ((conv(), op("Neg"), *END), {}),
    "divided features": ((FLAT, dense(12), RELU, op("Div", RNG.uniform(1, 2, 12).astype(np.float32)), dense()), {}),
    "sigmoid": ((conv(), op("Sigmoid"), POOL, FLAT, dense(12), op("Sigmoid"), dense()), {}),
    "tanh": ((conv(), op("Tanh"), POOL, FLAT, dense(12), op("Tanh"), dense()), {}),
    "leaky relu": ((conv(), op("LeakyRelu", alpha=0.1), POOL, FLAT, dense(12), op("LeakyRelu"), dense()), {}),
    "elu": ((conv(), op("Elu"), POOL, FLAT, dense(12), op("Elu", alpha=0.5), dense()), {}),
    "one slope": ((conv(), op("PRelu", f32(0.25, shape=(1, 1, 1))), POOL, FLAT, dense()), {}),
    "cut off at zero": ((conv(), op("Clip", f32(0.0)), POOL, FLAT, dense()), {}),
    "cut off as attributes": ((conv(), op("Clip", min=0.0), POOL, FLAT, dense()), {"opset": 9}),
    "the larger of zero": ((conv(), op("Max", f32(0.0)), POOL, FLAT, dense()), {}),
    "relu behind pooling": ((conv(), POOL, RELU, FLAT, dense()), {}),
    "relu behind flattening": ((conv(), POOL, FLAT, RELU, dense()), {}),
    "alpha and beta": (
        (FLAT, op("Gemm", weights(784, 12), weights(12), alpha=0.5, beta=2.0), RELU,
         op("Gemm", weights(10, 12), f32(0.5), transB=1, alpha=2.0)), {},
    ),
    "softmax of old": ((*FIRST, op("Softmax")), {"opset": 11}),
    "logarithms": ((*FIRST, op("LogSoftmax", axis=1)), {}),
    "logarithms of a softmax": ((*FIRST, op("Softmax", axis=-1), op("Log")), {}),
    "pixels of 0 to 255": ((op("Div", f32(255.0)), *FIRST), {"factor": 255}),
    "pixels of 0 to 255, centered": ((op("Sub", f32(127.5)), op("Div", f32(127.5)), *FIRST), {"factor": 255}),
    "mean and deviation": ((op("Sub", f32(0.1307)), op("Div", f32(0.3081, shape=(1, 1, 1, 1))), *FIRST), {}),
    "mean and deviation before a border": (
        (op("Sub", f32(0.1307)), op("Div", f32(0.3081)), conv(pads=[1, 1, 1, 1]), *END), {},
    ),
    "bytes": ((op("Cast", to=1), conv(bias=False), *END), {"kind": TensorProto.UINT8, "factor": 255}),
    "bytes, scaled": ((op("Cast", to=1), op("Mul", f32(1 / 255)), *FIRST), {"kind": TensorProto.UINT8, "factor": 255}),
    "mean of every pixel": ((op("Sub", RNG.uniform(0, 1, (28, 28)).astype(np.float32)), FLAT, dense()), {}),
    "standardized features": (
        (
            op("Scaler", offset=[0.1] * 784, scale=[*RNG.uniform(1, 2, 784)]),
            op("Gemm", weights(784, 12)),
            RELU,
            op("Gemm", weights(12, 10), weights(10)),
        ),
        {"shape": ("n", 784)},
    ),
    "logistic regression": (
        (
            op("Scaler", offset=[0.1] * 784, scale=[*RNG.uniform(1, 2, 784)]),
            op(
                "LinearClassifier",
                coefficients=[*weights(7840)],
                intercepts=[*weights(10)],
                classlabels_ints=[*range(10)],
                multi_class=1,
                post_transform="SOFTMAX",
            ),
        ),
        {"shape": ("n", 784)},
    ),
    "half": (
        (op("Cast", to=10), op("Conv", weights(4, 1, 3, 3).astype(np.float16)), op("Cast", to=1), *END), {},
    ),
    "28 x 28": ((op("Unsqueeze", i64([1])), *FIRST), {"shape": ("n", 28, 28)}),
    "28 x 28, flat": ((FLAT, dense(12), RELU, dense()), {"shape": (1, 28, 28)}),
    "rows": ((dense(12), RELU, dense()), {"shape": ("n", 784)}),
    "rows to images": ((op("Reshape", i64([-1, 1, 28, 28])), *FIRST), {"shape": ("n", 784)}),
    "rows in one channel": (
        (op("MatMul", weights(784, 12)), op("Add", weights(12)), RELU, op("MatMul", weights(12, 10)),
         op("Squeeze", i64([1]))), {"shape": ("n", 1, 784)},
    ),
    "channels last": ((TURNED, *FIRST), LAST),
    "channels last, by a shape": ((op("Reshape", i64([0, 1, 28, 28])), *FIRST), LAST),
    "channels last and back": ((TURNED, conv(), RELU, BACK, op("Add", weights(4)), FLAT, dense()), LAST),
    "turned before flattening": ((conv(), TURNED, op("Reshape", i64([0, -1])), dense()), {}),
    "open sizes": ((conv(strides=[2, 2]), RELU, op("GlobalAveragePool"), FLAT, dense()), {"shape": ("n", 1, "h", "w")}),
    "all open": ((conv(8), RELU, op("GlobalAveragePool"), FLAT, dense()), {"shape": ("n", "c", "h", "w")}),
    "old reshape": ((conv(), RELU, POOL, op("Reshape", i64([1, -1])), dense()), {"shape": (1, 1, 28, 28)}),
    "a batch of eight": ((conv(), RELU, POOL, op("Reshape", i64([8, 144])), dense()), {"shape": (8, 1, 28, 28)}),
}  # fmt: skip


@pytest.mark.interop
@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_of_every_kind_answer_as_in_onnxruntime(tmp_path: Path, images: np.ndarray, name: str) -> None:
    operations, options = GRAPHS[name]
    factor = options.get("factor", 1)
    path = chain(tmp_path / "m.onnx", operations, **{key: value for key, value in options.items() if key != "factor"})
    some = images[:8] if options.get("shape", "n")[0] == 8 else images
    given = np.rint(some * 255) if factor == 255 else some
    expected = answers(path, given)
    found = dl.load_model(path).predict(some)
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=1e-4)
    np.testing.assert_array_equal(found.argmax(axis=1), expected.argmax(axis=1))


def test_relu_goes_into_the_layer_whose_sums_it_is_for(tmp_path: Path) -> None:
    behind = (op("Identity"), op("Dropout"), FLAT, dense())
    path = chain(tmp_path / "a.onnx", (conv(), POOL, RELU, *behind))
    assert kinds(path) == [Conv2D, MaxPooling2D, Flatten, Dense]
    assert load_model_file(path).architecture.layers[0].activation == "relu"  # type: ignore[attr-defined]


def test_borders_and_means_become_keras_layers(tmp_path: Path) -> None:
    path = chain(tmp_path / "a.onnx", (conv(pads=[2, 2, 2, 2]), op("GlobalAveragePool"), FLAT, dense()))
    assert kinds(path) == [ZeroPadding2D, Conv2D, GlobalAveragePooling2D, Dense]
    mean = op("ReduceMean", axes=[3], keepdims=1)
    assert kinds(chain(tmp_path / "b.onnx", (conv(), mean, FLAT, dense()))) == [
        Conv2D, AveragePooling2D, Flatten, Dense,
    ]  # fmt: skip


def same_answers(one: Path, other: Path) -> bool:
    images = RNG.uniform(0, 1, (5, 28, 28)).astype(np.float32)
    return bool((dl.load_model(one).predict(images) == dl.load_model(other).predict(images)).all())


def test_nodes_may_stand_in_any_order_and_names_change_on_the_way(tmp_path: Path) -> None:
    plain = saved(tmp_path / "a.onnx", [CONV, *TAIL])
    turned = saved(tmp_path / "b.onnx", [*TAIL[::-1], CONV])
    renamed = [
        node("Identity", ["x"], "x1"),
        node("Identity", ["k"], "k1"),
        node("Conv", ["x1", "k1"], "c1"),
        node("Identity", ["c1"], "c"),
        *TAIL,
    ]
    assert same_answers(plain, turned)
    assert same_answers(plain, saved(tmp_path / "c.onnx", renamed[::-1]))


def test_given_numbers_may_be_constants_or_inputs_with_a_value(tmp_path: Path) -> None:
    plain = saved(tmp_path / "a.onnx", [CONV, *TAIL])
    constant = node("Constant", [], "k2", value=onnx.numpy_helper.from_array(KERNEL))
    as_node = saved(tmp_path / "b.onnx", [constant, node("Conv", ["x", "k2"], "c"), *TAIL])

    def listed(model: Any) -> None:
        model.graph.input.append(helper.make_tensor_value_info("k", TensorProto.FLOAT, [4, 1, 3, 3]))

    assert same_answers(plain, as_node)
    assert same_answers(plain, changed(saved(tmp_path / "c.onnx", [CONV, *TAIL]), listed))


def test_a_convolution_may_have_its_bias_added_later(tmp_path: Path) -> None:
    bias = weights(4)
    plain = saved(tmp_path / "a.onnx", [node("Conv", ["x", "k", "b"], "c"), *TAIL], {"b": bias})
    for i, (shape, attributes) in enumerate((((1, 4, 1, 1), {}), ((4, 1, 1), {}), ((4,), {"broadcast": 1, "axis": 1}))):
        nodes = [node("Conv", ["x", "k"], "e"), node("Add", ["e", "b"], "c", **attributes), *TAIL]
        assert same_answers(plain, saved(tmp_path / f"{i}.onnx", nodes, {"b": bias.reshape(shape)}))


def test_weights_may_be_computed_from_given_numbers(tmp_path: Path) -> None:
    plain = saved(tmp_path / "a.onnx", [CONV, *TAIL])
    computed = [
        node("Reshape", ["flat", "shape"], "k0"),
        node("Mul", ["k0", "half"], "k1"),
        node("Transpose", ["wt"], "w1", perm=[1, 0]),
        node("Conv", ["x", "k1"], "c"),
        TAIL[0],
        node("MatMul", ["f", "w1"], "d"),
        TAIL[2],
    ]
    table = dict(zip("w", [onnx.numpy_helper.to_array(onnx.load(plain).graph.initializer[1])], strict=True))["w"]
    given = {
        "flat": 2 * KERNEL.ravel(),
        "shape": np.array([4, 1, 3, 3]),
        "half": np.float32(0.5),
        "wt": np.ascontiguousarray(table.T),
    }
    assert same_answers(plain, saved(tmp_path / "b.onnx", computed, given))


@pytest.mark.interop
def test_shapes_that_are_computed_are_understood(tmp_path: Path, images: np.ndarray) -> None:
    """As ``x.view(x.shape[0], x.shape[1] * x.shape[2] * x.shape[3])`` is exported."""
    nodes = [CONV, node("Shape", ["c"], "s")]
    for i in range(4):
        nodes += [node("Gather", ["s", f"i{i}"], f"n{i}", axis=0)]
    nodes += [node("Mul", ["n1", "n2"], "m"), node("Mul", ["m", "n3"], "p")]
    nodes += [node("Unsqueeze", ["n0", "i0"], "u0"), node("Unsqueeze", ["p", "i0"], "u1")]
    nodes += [node("Concat", ["u0", "u1"], "t", axis=0), node("Reshape", ["c", "t"], "f"), *TAIL[1:]]
    indices = {f"i{i}": np.array([0]) if i == 0 else np.array(i) for i in range(4)}
    nodes[2] = node("Gather", ["s", "zero"], "n0", axis=0)
    path = saved(tmp_path / "a.onnx", nodes, indices | {"zero": np.array(0)})
    np.testing.assert_allclose(dl.load_model(path).predict(images), answers(path, images), atol=1e-4)


def test_of_several_outputs_that_with_the_classes_is_taken(tmp_path: Path) -> None:
    def others(model: Any) -> None:
        for name in ("f", "d", "label"):
            model.graph.output.insert(0, helper.make_tensor_value_info(name, TensorProto.FLOAT, None))

    nodes = [CONV, *TAIL, node("ArgMax", ["y"], "label", axis=1)]
    plain = saved(tmp_path / "a.onnx", [CONV, *TAIL])
    assert same_answers(plain, changed(saved(tmp_path / "b.onnx", nodes), others))
    only_label = saved(tmp_path / "c.onnx", [CONV, *TAIL[:2], node("ArgMax", ["d"], "label", axis=1)], output="label")
    assert same_answers(plain, only_label)


def test_a_model_of_cntk_is_read(tmp_path: Path) -> None:
    """As the model zoo's mnist-8: weights that are reshaped, biases (8, 1, 1), borders by name."""
    first, second, table = weights(8, 1, 5, 5), weights(16, 8, 5, 5), weights(256, 10)
    biases = weights(8, 1, 1), weights(16, 1, 1), weights(1, 10)
    nodes = [
        node("Reshape", ["p", "ps"], "pr"),
        node("Conv", ["x", "k1"], "c1", auto_pad="SAME_UPPER", kernel_shape=[5, 5]),
        node("Add", ["c1", "b1"], "a1"),
        node("Relu", ["a1"], "r1"),
        node("MaxPool", ["r1"], "m1", kernel_shape=[2, 2], strides=[2, 2], auto_pad="NOTSET", pads=[0, 0, 0, 0]),
        node("Conv", ["m1", "k2"], "c2", auto_pad="SAME_UPPER", kernel_shape=[5, 5]),
        node("Add", ["c2", "b2"], "a2"),
        node("Relu", ["a2"], "r2"),
        node("MaxPool", ["r2"], "m2", kernel_shape=[3, 3], strides=[3, 3], auto_pad="NOTSET", pads=[0, 0, 0, 0]),
        node("Reshape", ["m2", "ms"], "mr"),
        node("MatMul", ["mr", "pr"], "t"),
        node("Add", ["t", "b3"], "y"),
    ]
    given = {"p": table.reshape(16, 4, 4, 10), "ps": np.array([256, 10]), "ms": np.array([1, 256]), "k1": first}
    given |= {"k2": second, "b1": biases[0], "b2": biases[1], "b3": biases[2]}
    path = saved(tmp_path / "a.onnx", nodes, given, (1, 1, 28, 28), opset=8)
    assert kinds(path) == [Conv2D, MaxPooling2D, Conv2D, MaxPooling2D, Flatten, Dense]
    some = RNG.uniform(0, 1, (1, 28, 28)).astype(np.float32)
    np.testing.assert_allclose(dl.load_model(path).predict(some), answers(path, some), atol=1e-4)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.UINT8])
def test_a_scale_in_the_graph_tells_which_pixels_it_takes(tmp_path: Path, kind: int) -> None:
    front = (op("Cast", to=1), op("Div", f32(255.0))) if kind == TensorProto.UINT8 else (op("Div", f32(255.0)),)
    assert load_model_file(chain(tmp_path / "a.onnx", (*front, *FIRST), kind=kind)).metadata == {"pixels": "0-1"}
    assert load_model_file(chain(tmp_path / "b.onnx", FIRST)).metadata == {}
    assert load_model_file(chain(tmp_path / "c.onnx", (normalized(1), *FIRST))).metadata == {}


#: What is refused, and a word of the sentence.
BAD: dict[str, tuple[tuple[Operation, ...], str]] = {
    "dilation": ((conv(dilations=[2, 2]), *END), "larger kernel"),
    "group": ((conv(2, group=2), *END), "ordinary convolutions"),
    "strides of three axes": ((op("Conv", KERNEL, strides=[1, 1, 1]), FLAT), "strides"),
    "border of a border": ((conv(pads=[64, 0, 0, 0]), FLAT), "from 0 to 63"),
    "huge border": ((op("Conv", KERNEL, pads=[2**62] * 4), FLAT), "from 0 to 63"),
    "negative border": ((op("Conv", KERNEL, pads=[-1] * 4), FLAT), "border"),
    "border of ones": ((op("Pad", i64([0, 0, 1, 1, 0, 0, 1, 1]), f32(1.0)), *FIRST), "zeros"),
    "mirrored border": ((op("Pad", i64([0, 0, 1, 1, 0, 0, 1, 1]), mode="reflect"), *FIRST), "zeros"),
    "border of channels": ((op("Pad", i64([0, 1, 0, 0, 0, 0, 0, 0])), conv(channels=2), *END), "border"),
    "max-pooling beyond what may be negative": (
        (conv(), op("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]), FLAT, dense()), "border",
    ),
    "average of some of a border": (
        (conv(), op("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], ceil_mode=1, count_include_pad=1),
         FLAT, dense()), "ceil_mode",
    ),
    "average beyond a border": (
        (conv(), op("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]), FLAT, dense()), "border",
    ),
    "normalization that learns": ((conv(), op("BatchNormalization", *scale(4), training_mode=1)), "model.eval"),
    "normalization of others": ((conv(), op("BatchNormalization", *scale(3)), FLAT), "images or rows"),
    "several slopes": ((conv(), op("PRelu", weights(4, 1, 1)), FLAT, dense()), "several slopes"),
    "relu up to six": ((conv(), op("Clip", f32(0.0), f32(6.0)), FLAT, dense()), "6.0"),
    "unknown": ((conv(), op("Softplus"), FLAT, dense()), "Softplus"),
    "mean of channels": ((conv(), op("ReduceMean", axes=[1]), FLAT, dense()), "rows and columns"),
    "wrong table": ((op("Conv", KERNEL), FLAT, op("Gemm", weights(7, 10))), "expects 7 features"),
    "wrong bias": ((FLAT, op("Gemm", weights(784, 10), weights(7))), "bias"),
    "flattened batch": ((op("Conv", KERNEL), op("Flatten", axis=0)), "batch"),
    "reshaped batch": ((op("Conv", KERNEL), op("Reshape", i64([7, -1]))), "batch"),
    "reshaped oddly": ((op("Conv", KERNEL), op("Reshape", i64([-1, 3])), op("Gemm", weights(3, 10))), "reshapes"),
    "reshaped to much": ((op("Conv", KERNEL), op("Reshape", i64([-1, 2**62]))), "reshapes"),
    "squeezed images": ((op("Conv", KERNEL), op("Squeeze", i64([1]))), "reshapes"),
    "pixels by themselves": ((op("Sub", weights(28, 28)), *FIRST), "every pixel"),
    "division by zero": ((op("Div", f32(0.0)), *FIRST), "not finite"),
    "division by images": ((op("Div", f32(1.0), last=True), *FIRST), "divides by"),
    "nan": ((op("Conv", np.full((4, 1, 3, 3), np.nan, np.float32)), *END), "NaN"),
    "softmax over pixels": ((conv(), op("Softmax", axis=3), FLAT, dense()), "classes"),
    "softmax, and more": ((*FIRST, op("Softmax"), dense()), "Gemm"),
    "weights first": ((FLAT, op("MatMul", weights(10, 784), last=True)), "before the images"),
    "transposed dense layer": ((FLAT, op("Gemm", weights(1, 10), transA=1)), "plain dense"),
    "channels without a layer for their scales": (
        (op("Conv", weights(4096, 1, 1, 1)), RELU, op("BatchNormalization", *scale(4096)), RELU,
         op("GlobalAveragePool"), FLAT, op("Gemm", weights(4096, 10))), "4,096 channels",
    ),
    "no layers": ((RELU, RELU), "no layer that learns"),
    "one answer": ((FLAT, dense(1)), "classes"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_digitlab_lacks_is_named(tmp_path: Path, refused: Any, name: str) -> None:
    operations, expected = BAD[name]
    assert expected in refused(chain(tmp_path / "bad.onnx", operations))


def test_branches_and_outputs_from_elsewhere_are_refused(tmp_path: Path, refused: Any) -> None:
    branch = [CONV, node("Relu", ["c"], "r"), node("Add", ["r", "c"], "a"), node("Flatten", ["a"], "f"), *TAIL[1:]]
    assert "chains" in refused(saved(tmp_path / "sum.onnx", branch))
    assert "does not come from the images" in refused(saved(tmp_path / "output.onnx", [CONV, *TAIL[:2]]))
    assert "chains" in refused(saved(tmp_path / "nowhere.onnx", [node("Conv", ["z", "k"], "c"), *TAIL]))
    assert "does not come" in refused(saved(tmp_path / "given.onnx", [node("Identity", ["k"], "y")]))


@pytest.mark.parametrize("shape", [(), ("n",), (1, 1, 28), (1, 2, 3, 4, 5, 6), ("n", 2**40, 2**20, 1)])
def test_inputs_that_are_no_images_are_refused(tmp_path: Path, refused: Any, shape: tuple[Any, ...]) -> None:
    sentence = refused(saved(tmp_path / "bad.onnx", [CONV, *TAIL], shape=shape))
    assert "input" in sentence or "images" in sentence


@pytest.mark.parametrize("kind", ["Add", "Conv", "Div", "Gemm", "MatMul", "Mul", "Sub"])
def test_an_operation_without_the_numbers_it_computes_with_is_a_sentence(tmp_path: Path, kind: str) -> None:
    path = saved(tmp_path / "m.onnx", [node(kind, ["x"], "y")])
    with pytest.raises(RunError, match=f"Operation 1, {kind}, lacks the numbers"):
        load_model_file(path)


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_a_shape_or_scale_that_is_not_finite_is_a_sentence(tmp_path: Path, number: float) -> None:
    shape = op("Reshape", np.array([-1, number], np.float32))
    with pytest.raises(RunError, match="its new shape is not finite"):
        load_model_file(chain(tmp_path / "m.onnx", (shape, *FIRST[1:-1])))
    with pytest.raises(RunError, match="numbers that are not finite"):
        load_model_file(chain(tmp_path / "m.onnx", (op("Mul", f32(number)), *FIRST)))
