"""Models that digitlab's layers cannot express: answered as their runtime answers, and told apart from a Sequential.

Most are asked in this process, by what the process apart calls; the doors and what would hold a machine are not.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import digitlab as dl
from digitlab.engine import runtime, runtime_files, runtime_process
from digitlab.engine.models import opened_model
from digitlab.engine.runtime import RuntimeModel
from digitlab.engine.runtime_process import layouts_of
from digitlab.errors import ConfigError, DataError, InputError, RunError
from digitlab.exporting.writers import write_onnx
from digitlab.network.formats.files import LackingError, load_model_file
from digitlab.network.pixels import PixelScale
from digitlab.reading.answers import SHIPPED

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
helper, TensorProto = onnx.helper, onnx.TensorProto

IMAGES = dl.MnistData.load().test.images[:37]
PIXELS = IMAGES.reshape(-1, 28, 28).astype(np.float32) / np.float32(255)
Save = Callable[..., Path]


def weights(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, 0.2, shape).astype(np.float32)


def node(kind: str, inputs: str, outputs: str = "y", **attributes: Any) -> Any:
    return helper.make_node(kind, inputs.split(), outputs.split(), **attributes)


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Save a graph from ``x`` to ``y`` as model.onnx."""

    def save(
        nodes: Sequence[Any],
        constants: dict[str, Any],
        shape: Sequence[Any] | None = ("n", 1, 28, 28),
        *,
        kind: int = TensorProto.FLOAT,
        outputs: Sequence[tuple[str, int, Any]] = (("y", TensorProto.FLOAT, ["n", 10]),),
        name: str = "model",
    ) -> Path:
        graph = helper.make_graph(
            list(nodes),
            "g",
            [helper.make_tensor_value_info("x", kind, shape)],
            [helper.make_tensor_value_info(*output) for output in outputs],
            [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
        )
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())
        return path

    return save


def asked(path: Path, pixels: np.ndarray = PIXELS, scale: tuple[float, float] = (1.0, 0.0)) -> np.ndarray:
    """Open a file and answer images as the process apart does."""
    runtime_process._KEPT.clear()
    question = runtime_process.opened(str(path), 1).question
    return np.concatenate(list(runtime_process.answered(str(path), 1, question, scale, pixels)))


def outputs_of(path: Path, taken: np.ndarray) -> list[Any]:
    return list(onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": taken}))


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


# ---- graphs that are no chains of digitlab's layers ----

TABLE = {"w": weights(784, 10), "b": weights(10, seed=1)}
#: A dense layer on the flattened ``f``, and a branch of it that goes round: no chain.
TAIL = (node("MatMul", "f w", "m"), node("Add", "m b", "s"), node("Erf", "s", "e"), node("Add", "s e", "y"))
FLAT = (node("Flatten", "x", "f"), *TAIL)


def residual() -> tuple[list[Any], dict[str, np.ndarray]]:
    """Return a convolution, GELU by Erf, a depthwise convolution, and the sum of both."""
    nodes = [
        node("Conv", "x k", "c", pads=[1, 1, 1, 1]),
        node("Div", "c root", "r"),
        node("Erf", "r", "t"),
        node("Mul", "c t", "g"),
        node("Conv", "g d", "h", pads=[1, 1, 1, 1], group=4),
        node("Add", "h c", "a"),
        node("GlobalAveragePool", "a", "p"),
        node("Flatten", "a", "f1"),
        node("Flatten", "p", "f2"),
        node("Concat", "f1 f2", "f", axis=1),
        node("MatMul", "f w", "y"),
    ]
    constants = {"k": weights(4, 1, 3, 3), "d": weights(4, 1, 3, 3), "w": weights(4 * 785, 10)}
    return nodes, constants | {"root": np.sqrt(np.float32(2))}


def quantized() -> tuple[list[Any], dict[str, np.ndarray]]:
    """Return a dense layer of bytes, as onnxruntime's quantize_dynamic writes them."""
    nodes = [
        node("Flatten", "x", "f"),
        node("DynamicQuantizeLinear", "f", "q qs qz"),
        node("MatMulInteger", "q w qz wz", "i"),
        node("Cast", "i", "n", to=TensorProto.FLOAT),
        node("Mul", "qs ws", "u"),
        node("Mul", "n u", "y"),
    ]
    table = np.random.default_rng(0).integers(-127, 127, (784, 10)).astype(np.int8)
    return nodes, {"w": table, "wz": np.int8(0), "ws": np.float32(0.003)}


def recurrent() -> tuple[list[Any], dict[str, np.ndarray]]:
    """Return a GRU that goes over the rows of (n, 28, 28)."""
    nodes = [
        node("Transpose", "x", "t", perm=[1, 0, 2]),
        node("GRU", "t gw gr", "all last", hidden_size=6),
        node("Squeeze", "last zero", "f"),
        node("MatMul", "f w", "y"),
    ]
    constants = {"gw": weights(1, 18, 28), "gr": weights(1, 18, 6), "w": weights(6, 10)}
    return nodes, constants | {"zero": np.array([0])}


@pytest.mark.interop
@pytest.mark.parametrize(
    ("graph", "shape"),
    [(residual(), ("n", 1, 28, 28)), (quantized(), ("n", 28, 28)), (recurrent(), ("n", 28, 28))],
    ids=["residual depthwise gelu", "quantized", "recurrent"],
)
def test_graphs_that_are_no_chains_answer_as_onnxruntime_does(save: Save, graph: Any, shape: tuple[Any, ...]) -> None:
    path = save(*graph, shape)
    with pytest.raises(LackingError):
        load_model_file(path)
    expected = softmax(outputs_of(path, PIXELS.reshape(-1, *shape[1:]))[0])
    np.testing.assert_allclose(asked(path), expected, rtol=0, atol=1e-5)


PADDED = np.pad(PIXELS, ((0, 0), (2, 2), (2, 2)))
_SQUARE = {"w": weights(1024, 10), "b": weights(10)}
_COLORED = {"w": weights(3 * 784, 10), "b": weights(10)}


@pytest.mark.interop
@pytest.mark.parametrize(
    ("shape", "constants", "taken"),
    [
        ((None, 784), TABLE, PIXELS.reshape(-1, 784)),
        (("n", 28, 28), TABLE, PIXELS),
        (("n", 28, 28, 1), TABLE, PIXELS[..., None]),
        (("n", "c", "h", "w"), TABLE, PIXELS[:, None]),
        (("n", 1, 784), TABLE, PIXELS.reshape(-1, 1, 784)),
        (("n", 1, 32, 32), _SQUARE, PADDED[:, None]),
        (("n", 3, 28, 28), _COLORED, np.repeat(PIXELS[:, None], 3, 1)),
        (("n", 28, 28, 3), _COLORED, np.repeat(PIXELS[..., None], 3, 3)),
    ],
    ids=str,
)
def test_axes_and_size_of_the_input_are_found(save: Save, shape: Any, constants: Any, taken: np.ndarray) -> None:
    path = save(FLAT, constants, shape)
    np.testing.assert_allclose(asked(path), softmax(outputs_of(path, taken)[0]), rtol=0, atol=1e-5)


@pytest.mark.interop
@pytest.mark.parametrize("n", [1, 5, 64])
def test_models_of_a_fixed_number_of_images_are_asked_for_so_many(save: Save, n: int) -> None:
    fixed = save(FLAT, TABLE, (n, 1, 28, 28), outputs=[("y", TensorProto.FLOAT, [n, 10])])
    free = save(FLAT, TABLE, name="free")
    np.testing.assert_allclose(asked(fixed), asked(free), rtol=0, atol=1e-6)


@pytest.mark.interop
def test_models_without_a_batch_are_asked_image_by_image(save: Save) -> None:
    nodes = (node("Reshape", "x row", "f"), *TAIL[:-1], node("Add", "s e", "z"), node("Squeeze", "z zero"))
    constants = TABLE | {"row": np.array([1, 784]), "zero": np.array([0])}
    path = save(nodes, constants, (28, 28), outputs=[("y", TensorProto.FLOAT, [10])])
    np.testing.assert_allclose(asked(path), asked(save(FLAT, TABLE, name="free")), rtol=0, atol=1e-6)


@pytest.mark.interop
@pytest.mark.parametrize(
    ("kind", "times"),
    [(TensorProto.UINT8, 255), (TensorProto.INT64, 255), (TensorProto.DOUBLE, 1), (TensorProto.FLOAT16, 1)],
)
def test_bytes_get_pixels_of_0_to_255_and_floats_of_0_to_1(save: Save, kind: int, times: int) -> None:
    cast = node("Cast", "x", "a", to=TensorProto.FLOAT), node("Mul", "a u", "v"), node("Flatten", "v", "f")
    path = save((*cast, *TAIL), TABLE | {"u": np.float32(1 / times)}, kind=kind)
    tolerance = 5e-3 if kind == TensorProto.FLOAT16 else 1e-5
    np.testing.assert_allclose(asked(path), asked(save(FLAT, TABLE, name="free")), rtol=0, atol=tolerance)


@pytest.mark.interop
@pytest.mark.parametrize("last", ["Identity", "Softmax", "LogSoftmax", "Sigmoid"])
def test_logits_probabilities_and_their_logarithms_are_told_apart(save: Save, last: str) -> None:
    nodes = (*FLAT[:-1], node("Add", "s e", "l"), node(last, "l"))
    answers, logits = asked(save(nodes, TABLE)), outputs_of(save(FLAT, TABLE, name="free"), PIXELS[:, None])[0]
    np.testing.assert_allclose(answers.sum(1), 1, atol=1e-5)
    each = 1 / (1 + np.exp(-logits.astype(np.float64)))
    expected = each / each.sum(1, keepdims=True) if last == "Sigmoid" else softmax(logits)
    np.testing.assert_allclose(answers, expected, rtol=0, atol=1e-5)


@pytest.mark.interop
def test_the_output_with_the_ten_digits_is_taken_of_several(save: Save) -> None:
    nodes = (*FLAT, node("ArgMax", "y", "label", axis=1), node("Concat", "m e", "both", axis=1))
    numbers = [("label", TensorProto.INT64, None), ("both", TensorProto.FLOAT, None), ("y", TensorProto.FLOAT, None)]
    path = save(nodes, TABLE, outputs=numbers)
    np.testing.assert_allclose(asked(path), asked(save(FLAT, TABLE, name="free")), rtol=0, atol=1e-6)


@pytest.mark.interop
def test_the_maps_of_scikit_learns_exporter_are_rows_of_probabilities(save: Save) -> None:
    classifier = helper.make_node(
        "LinearClassifier", ["f"], ["label", "p"], domain="ai.onnx.ml", post_transform="SOFTMAX",
        classlabels_ints=list(range(10)), coefficients=TABLE["w"].T.ravel().tolist(), intercepts=TABLE["b"].tolist(),
    )  # fmt: skip
    maps = helper.make_node("ZipMap", ["p"], ["y"], domain="ai.onnx.ml", classlabels_int64s=list(range(10)))
    path = save((node("Flatten", "x", "f"), classifier, maps), {}, outputs=[("label", TensorProto.INT64, ["n"])])
    model = onnx.load(path)
    model.graph.output.append(helper.make_value_info("y", helper.make_sequence_type_proto(helper.make_map_type_proto(
        TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, None)))))  # fmt: skip
    path.write_bytes(model.SerializeToString())
    logits = PIXELS.reshape(-1, 784) @ TABLE["w"] + TABLE["b"]
    np.testing.assert_allclose(asked(path), softmax(logits), rtol=0, atol=1e-5)


@pytest.mark.interop
def test_pixels_in_another_scale_are_scaled_before_the_model(save: Save) -> None:
    path = save(FLAT, TABLE)
    expected = softmax(outputs_of(path, PIXELS[:, None] * np.float32(2) - np.float32(1))[0])
    np.testing.assert_allclose(asked(path, scale=(2.0, -1.0)), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("dims", "shapes"),
    [
        ((None, 1, 28, 28), [(1, 28, 28)]),
        ((None, None, None, 3), [(28, 28, 3)]),
        ((1, 28, 28), [(1, 28, 28), (1, 28, 28)]),
        ((784,), [(784,)]),
        ((None, 10), []),
        ((None, 5, 7, 3), []),
        ((None, 10**9, 10**9, 1), []),
        ((), []),
    ],
)
def test_only_inputs_that_hold_an_image_are_tried(dims: Any, shapes: list[Any]) -> None:
    assert [layout.shape for layout in layouts_of(dims, "float32")] == shapes


# ---- weights beside the file ----


def saved_beside(save: Save, location: str) -> Path:
    path = save(FLAT, TABLE)
    model = onnx.load(path)
    [table] = [tensor for tensor in model.graph.initializer if tensor.name == "w"]
    (path.parent / "weights.bin").write_bytes(b"\0" * 64 + table.raw_data)
    table.raw_data, table.data_location = b"", TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "64"), ("length", str(TABLE["w"].nbytes))):
        entry = table.external_data.add()
        entry.key, entry.value = key, value
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.interop
def test_weights_in_a_file_beside_the_model_are_brought(save: Save) -> None:
    expected = asked(save(FLAT, TABLE, name="whole"))
    np.testing.assert_array_equal(asked(saved_beside(save, "weights.bin")), expected)


def test_other_weights_beside_the_same_file_are_another_model(save: Save) -> None:
    digests = []
    for k in range(2):
        path = saved_beside(save, "weights.bin")
        beside = path.parent / "weights.bin"
        beside.write_bytes(beside.read_bytes()[: -4 * k or None] + b"\0" * 4 * k)
        digests.append((path.read_bytes(), runtime_files.open_onnx(path, 1).digest))
    (file, digest), (same_file, other_digest) = digests
    assert file == same_file
    assert digest != other_digest


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/passwd", "link.bin"])
def test_weights_outside_the_models_folder_are_refused(save: Save, tmp_path: Path, location: str) -> None:
    (tmp_path / "link.bin").symlink_to("/etc/passwd")
    path = saved_beside(save, location)
    with pytest.raises(RunError, match="outside the model's folder"):
        asked(path)


# ---- what is refused ----


def test_a_model_of_other_things_is_refused_with_what_it_takes(save: Save) -> None:
    path = save(FLAT, TABLE | {"w": weights(5, 10)}, ("n", 5))
    with pytest.raises(RunError, match=r"takes float \(n, 5\); for images of digits it must take squares"):
        asked(path)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ((node("Flatten", "x", "f"), node("ReduceSum", "f", "y")), "a row of numbers for each is expected"),
        ((node("ArgMax", "x", "y", axis=1),), "a row of numbers for each is expected"),
        ((node("Flatten", "x", "f"), node("MatMul", "f f", "y")), "onnxruntime (says|refuses)"),
        ((node("Flatten", "x", "f"), node("Nonsense", "f", "y")), "onnxruntime refuses it"),
        ((*FLAT[:-1], node("Div", "e zero", "y")), "no number"),
    ],
    ids=["one number", "labels alone", "shapes that do not fit", "unknown operation", "infinite"],
)
def test_what_answers_no_classes_is_refused(save: Save, nodes: Any, message: str) -> None:
    path = save(nodes, TABLE | {"zero": np.float32(0)}, outputs=[("y", TensorProto.FLOAT, None)])
    if "ArgMax" in str(nodes):
        path = save(nodes, TABLE, outputs=[("y", TensorProto.INT64, None)])
    with pytest.raises(RunError, match=message):
        asked(path)


def test_what_answers_in_another_way_each_time_is_refused(save: Save) -> None:
    nodes = [node("Flatten", "x", "f"), node("MatMul", "f w", "h"), node("RandomNormalLike", "h", "r"),
             node("Add", "h r")]  # fmt: skip
    with pytest.raises(RunError, match=r"another way each time.*model\.eval\(\)"):
        asked(save(nodes, {"w": weights(784, 10)}))


def test_a_model_of_two_inputs_is_refused(save: Save) -> None:
    path = save(FLAT, TABLE)
    model = onnx.load(path)
    model.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [1]))
    path.write_bytes(model.SerializeToString())
    with pytest.raises(RunError, match="2 inputs"):
        asked(path)


@pytest.mark.parametrize(("suffix", "extra"), [("onnx", "onnx"), ("keras", "keras")])
def test_where_the_runtime_is_missing_its_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, extra: str
) -> None:
    monkeypatch.setattr(runtime, "find_spec", lambda name: None)
    with pytest.raises(RunError, match=rf"Layer 2 is GRU\. To run it .* pip install 'digitlab\[{extra}\]'"):
        RuntimeModel(tmp_path / f"model.{suffix}", "Layer 2 is GRU.")


@pytest.mark.parametrize("name", ["onnxruntime", "keras"])
def test_a_runtime_that_cannot_be_imported_is_told(save: Save, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    path = save(FLAT, TABLE).rename(save(FLAT, TABLE).with_suffix(".onnx" if name == "onnxruntime" else ".keras"))
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=r"cannot be used here \(ModuleNotFoundError: .* pip install 'digitlab"):
        asked(path)


# ---- in a process of its own: the doors, and what would hold the machine ----


@pytest.fixture(scope="module")
def reading_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the shipped reader's network with a branch that changes nothing: no chain, but it reads."""
    path = tmp_path_factory.mktemp("runtime") / "branched.onnx"
    write_onnx(load_model_file(SHIPPED), path)
    model = onnx.load(path)
    [last] = [one for one in model.graph.node if model.graph.output[0].name in one.output]
    [logits] = last.input
    model.graph.node.remove(last)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(0), "nothing"))
    model.graph.node.extend(
        [node("Erf", logits, "b1"), node("Mul", "b1 nothing", "b2"), node("Add", f"{logits} b2", "b3")]
    )
    last.input[0] = "b3"
    model.graph.node.append(last)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture(scope="module")
def branched(reading_file: Path) -> RuntimeModel:
    model = dl.load_model(reading_file)
    assert isinstance(model, RuntimeModel)
    return model


@pytest.mark.slow
def test_it_answers_as_the_network_that_it_was_made_of(branched: RuntimeModel) -> None:
    shipped = dl.load_model(SHIPPED)
    for images in (IMAGES, PIXELS, PIXELS[..., None], PIXELS.reshape(-1, 784).astype(np.float64), IMAGES[:0]):
        ours, theirs = shipped.predict(images), branched.predict(images)
        assert (theirs.dtype, theirs.shape) == (np.float32, (len(images), 11))
        np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-5)
    assert branched.class_names == shipped.class_names
    assert branched.count_params() == pytest.approx(shipped.count_params(), abs=20)


@pytest.mark.slow
def test_it_says_what_it_cannot_be_asked_for(branched: RuntimeModel) -> None:
    sentence = r"branched\.onnx runs through onnxruntime .* not trained, exported or looked inside, since .* Erf"
    for ask in (
        lambda: branched.fit(IMAGES, IMAGES),
        lambda: branched.get_weights(),
        lambda: branched.architecture.layers,
        lambda: dl.export(branched, "x.keras", format="keras"),  # type: ignore[arg-type]
    ):
        with pytest.raises(InputError, match=sentence):
            ask()
    with pytest.raises(AttributeError):
        branched.nonsense  # noqa: B018
    with pytest.raises(DataError, match="takes images"):
        branched.predict(np.zeros((2, 5)))
    lines: list[str] = []
    branched.summary(lines.append)
    assert lines[0].startswith("Input: uint8 (n, 28, 28")
    assert "parameters in branched" in lines[2]


@pytest.mark.slow
def test_another_process_opens_it_again_with_the_scale_of_its_pixels(branched: RuntimeModel) -> None:
    scaled = branched.rescaled(PixelScale.of("-1-1"))
    rows = scaled.predict(IMAGES)
    assert not np.allclose(rows, branched.predict(IMAGES))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(scaled)).predict(IMAGES), rows)


@pytest.mark.slow
def test_it_is_evaluated_compared_and_read_with(reading_file: Path, branched: RuntimeModel, tmp_path: Path) -> None:
    data = dl.MnistData.load()
    opened = opened_model(reading_file)
    assert isinstance(opened.model, RuntimeModel)
    images, labels = data.test.images[:100], data.test.labels[:100]
    loss, right = branched.evaluate(images, labels, verbose=0)
    assert (loss, right) == pytest.approx(dl.load_model(SHIPPED).evaluate(images, labels, verbose=0), abs=1e-5)
    found = dl.evaluate(branched, data.test.images[:300], data.test.labels[:300], class_names=branched.class_names)
    assert found.accuracy > 0.97
    compared = dl.compare(reading_file, SHIPPED, data, 200)
    assert (compared.settings, compared.disagreements) == ((), ())
    photo = np.full((60, 120), 255, np.uint8)
    photo[16:44, 20:48] = 255 - data.test.images[0].reshape(28, 28)
    photo[16:44, 60:88] = 255 - data.test.images[1].reshape(28, 28)
    assert [n.value for n in dl.read(photo, model=branched).numbers] == [n.value for n in dl.read(photo).numbers] != []


@pytest.mark.slow
def test_every_command_takes_it_or_says_why_not(
    reading_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    from digitlab.cli.app import main

    def run(*words: object, code: int = 0) -> str:
        capsys.readouterr()
        assert main([str(word) for word in words]) == code
        return capsys.readouterr()[0 if code == 0 else 1]

    Image.fromarray(IMAGES[0].reshape(28, 28)).save(tmp_path / "7.png")
    assert json.loads(run("predict", reading_file, tmp_path / "7.png", "--json"))[0]["label"] == 7
    assert json.loads(run("summary", reading_file, "--json"))["runtime"].startswith("onnxruntime")
    assert json.loads(run("read", tmp_path / "7.png", "--model", reading_file, "--json"))["error"] is None
    for refused in (["summary", "--cost"], ["export", "--format", "keras"]):
        assert "runs through onnxruntime" in " ".join(run(*refused, reading_file, code=2).split())


@pytest.mark.slow
def test_it_is_served_and_not_given_away(reading_file: Path) -> None:
    from digitlab.serving.accounting import Lines
    from digitlab.serving.server import guarded_api
    from digitlab.serving.service import Service
    from tests.serving.asking import Client

    service = Service(model=str(reading_file))
    try:
        client = Client(guarded_api(service, Lines(None)))
        body = json.dumps({"images": [IMAGES[0].ravel().tolist()]}).encode()
        assert json.loads(client.predict(body, "application/json").body)[0]["label"] == 7
        refusal = client.ask("GET", "/api/model/export?format=safetensors").error
        assert "runs through onnxruntime" in refusal["message"]
        assert client.ask("GET", "/api/model").json()["export_formats"] == []
    finally:
        service.close()


def bomb(kind: str) -> tuple[list[Any], dict[str, Any]]:
    """Return a graph of a few hundred bytes that never ends, or takes a terabyte."""
    if kind == "memory":
        ones = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
        huge = helper.make_node("ConstantOfShape", ["size"], ["huge"], value=ones)
        return [huge, node("ReduceSum", "huge", "sum"), *FLAT[:-1], node("Add", "s sum", "y")], {
            "size": np.array([2**40])
        }
    body = helper.make_graph(
        [node("Identity", "going", "on"), node("Sin", "before", "after")],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, None),
        ],
    )
    loop = helper.make_node("Loop", ["times", "true", "m"], ["l"], body=body)
    return [*FLAT[:2], loop, node("Add", "l b", "y")], {"times": np.array(2**62), "true": np.array(True)}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["memory", "time"])
def test_what_would_hold_the_machine_is_given_up(save: Save, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(runtime, "SECONDS", 1.0)
    nodes, constants = bomb(kind)
    path = save(nodes, TABLE | constants)
    with pytest.raises(InputError, match=r"(?:was given up|says|refuses|takes more than)"):
        dl.load_model(path)


@pytest.mark.slow
def test_neither_runtime_is_loaded_for_a_file_that_digitlab_reads_itself(tmp_path: Path) -> None:
    write_onnx(load_model_file(SHIPPED), tmp_path / "plain.onnx")
    program = (
        "import sys, digitlab; digitlab.load_model('plain.onnx'); "
        "print([name for name in ('keras', 'jax', 'onnxruntime', 'h5py') if name in sys.modules])"
    )
    home = os.environ | {"PYTHONPATH": str(Path(dl.__file__).parents[1])}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=home, timeout=100)
    assert done.stdout.strip() == "[]", done.stderr
