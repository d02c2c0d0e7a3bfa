"""ONNX files as they lie on the disk: damaged, huge, with weights in other files, or of more than a graph needs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import digitlab as dl
from digitlab.errors import RunError
from digitlab.network.formats.files import load_model_file
from tests.network.formats.graphs import CONV, RNG, TAIL, TensorProto, changed, helper, node, onnx, saved


def test_a_model_that_its_exporter_did_not_name_is_called_as_its_file() -> None:
    for exporter in ("script", "dynamo"):
        path = Path(__file__).parent / "files" / f"modern_torch_{exporter}.onnx"
        assert load_model_file(path).architecture.name == path.stem


def test_texts_are_no_numbers(tmp_path: Path, refused: Any) -> None:
    assert "of a kind" in refused(saved(tmp_path / "bad.onnx", [CONV, *TAIL], {"t": np.array(["evil"], object)}))


def test_operations_of_others_and_with_graphs_in_them_are_named(tmp_path: Path, refused: Any) -> None:
    evil = helper.make_node("Evil", ["x"], ["c"], domain="com.evil")
    assert "com.evil.Evil" in refused(saved(tmp_path / "bad.onnx", [evil, *TAIL]))
    assert "Loop" in refused(saved(tmp_path / "bad.onnx", [node("Loop", ["x"], "c"), *TAIL]))


def test_operations_that_wait_for_one_another_are_refused(tmp_path: Path, refused: Any) -> None:
    circle = [node("Add", ["c2", "k"], "c1"), node("Add", ["c1", "k"], "c2"), node("Add", ["x", "c2"], "c"), *TAIL]
    assert "circle" in refused(saved(tmp_path / "bad.onnx", circle))
    assert "circle" in refused(saved(tmp_path / "bad.onnx", [node("Relu", ["y"], "y")]))
    many = [node("Add", [f"i{k + 1}", f"i{(k * 7) % 900}"], f"i{k}") for k in range(900)]
    assert "circle" in refused(saved(tmp_path / "bad.onnx", [*many, node("Add", ["x", "i0"], "c"), *TAIL]))


def test_huge_and_damaged_arrays_are_refused(tmp_path: Path, refused: Any) -> None:
    for dims in ([2**40, 2**20], [2**31], [-1], [0], [1] * 100):
        path = saved(tmp_path / "bad.onnx", [CONV, *TAIL])

        def enlarge(model: Any, dims: list[int] = dims) -> None:
            model.graph.initializer[0].dims[:] = dims

        refused(changed(path, enlarge))


def test_constants_that_grow_are_not_computed(tmp_path: Path, refused: Any) -> None:
    doubling = [node("Concat", ["s0" if i == 0 else f"s{i}"] * 2, f"s{i + 1}", axis=0) for i in range(60)]
    reshaped = node("Reshape", ["x", "s60"], "c")
    assert "Concat" in refused(saved(tmp_path / "bomb.onnx", [*doubling, reshaped, *TAIL], {"s0": np.array([1, 2])}))
    given = {"column": np.zeros((1000, 1), np.float32), "row": np.zeros((1, 1000), np.float32)}
    outer = [node("Add", ["column", "row"], "o"), node("Conv", ["x", "o"], "c"), *TAIL]
    assert "Add" in refused(saved(tmp_path / "outer.onnx", outer, given))
    sums = [node("Add", ["w" if i == 0 else f"s{i}", "w"], f"s{i + 1}") for i in range(900)]
    assert "computes too much" in refused(
        saved(tmp_path / "many.onnx", [*sums, node("Conv", ["x", "s900"], "c"), *TAIL]), 64
    )
    shapes = {"shape": np.array([2**31, 2**31])}
    filled = [node("ConstantOfShape", ["shape"], "o"), node("Conv", ["x", "o"], "c"), *TAIL]
    assert "ConstantOfShape" in refused(saved(tmp_path / "filled.onnx", filled, shapes))


def test_too_many_operations_and_functions_are_refused(tmp_path: Path, refused: Any) -> None:
    many = [node("Identity", ["x" if i == 0 else f"i{i}"], f"i{i + 1}") for i in range(3000)]
    assert "3,000 operations" in refused(saved(tmp_path / "many.onnx", many))

    def function(model: Any) -> None:
        model.functions.add().name = "f"

    assert "functions" in refused(changed(saved(tmp_path / "function.onnx", [CONV, *TAIL]), function))

    def second_input(model: Any) -> None:
        model.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [1]))

    assert "2 inputs" in refused(changed(saved(tmp_path / "two.onnx", [CONV, *TAIL]), second_input))


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


def test_a_constant_that_is_a_text_is_a_sentence(tmp_path: Path) -> None:
    constant = helper.make_node("Constant", [], ["s"], value_string="abc")
    constant.attribute[0].name = "value"
    for kind in ("Add", "Reshape"):
        path = saved(tmp_path / "m.onnx", [constant, node(kind, ["x", "s"], "y")])
        with pytest.raises(RunError, match="Constant on given numbers is damaged"):
            load_model_file(path)


# ---- weights in files beside the model ----


def external(path: Path, *places: tuple[str, Any, Any], content: bytes | None = None) -> Path:
    """Save the model with its weights k and w elsewhere: location, offset, length; None leaves a word out."""
    saved(path, [CONV, *TAIL])

    def move(model: Any) -> None:
        for tensor, (location, offset, length) in zip(model.graph.initializer, places, strict=False):
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in (("location", location), ("offset", offset), ("length", length)):
                if value is not None:
                    entry = tensor.external_data.add()
                    entry.key, entry.value = key, str(value)

    changed(path, move)
    if content is not None:
        (path.parent / "m.data").write_bytes(content)
    return path


def plain(path: Path) -> tuple[Path, bytes, bytes]:
    kernel, table = (array.tobytes() for array in load_model_file(saved(path, [CONV, *TAIL])).weights)
    graph = onnx.load(path).graph
    kernel, table = (tensor.raw_data for tensor in graph.initializer)
    return path, kernel, table


def answers_alike(one: Path, other: Path) -> bool:
    images = RNG.uniform(0, 1, (5, 28, 28)).astype(np.float32)
    return bool((dl.load_model(one).predict(images) == dl.load_model(other).predict(images)).all())


def test_weights_beside_the_model_are_read(tmp_path: Path) -> None:
    model, kernel, table = plain(tmp_path / "plain.onnx")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "other.bin").write_bytes(b"....." + table)
    places = ("m.data", None, None), ("sub/other.bin", 5, len(table))
    assert answers_alike(model, external(tmp_path / "m.onnx", *places, content=kernel))
    both = ("m.data", 4096, len(kernel)), ("m.data", 4096 + len(kernel), len(table))
    assert answers_alike(model, external(tmp_path / "m.onnx", *both, content=b"\0" * 4096 + kernel + table))


def test_weights_that_onnx_itself_puts_beside_the_model_are_read(tmp_path: Path) -> None:
    model = onnx.load(plain(tmp_path / "plain.onnx")[0])
    (tmp_path / "apart").mkdir()
    onnx.save(
        model,
        tmp_path / "apart" / "m.onnx",
        save_as_external_data=True,
        size_threshold=0,
        all_tensors_to_one_file=False,
    )
    assert answers_alike(tmp_path / "plain.onnx", tmp_path / "apart" / "m.onnx")
    assert len(list((tmp_path / "apart").iterdir())) == 3


def test_a_file_of_weights_that_is_not_there_is_named_with_the_next_step(tmp_path: Path, refused: Any) -> None:
    sentence = refused(external(tmp_path / "m.onnx", ("m.onnx.data", 0, 144)))
    assert "'m.onnx.data'" in sentence
    assert "external_data=False" in sentence
    assert "Copy that file" in sentence


@pytest.mark.parametrize(
    "location", ["../secret", "/etc/passwd", "a/../../secret", "", "\0", "..", ".", "link", "folder"]
)
def test_weights_outside_the_models_folder_are_not_read(tmp_path: Path, refused: Any, location: str) -> None:
    folder = tmp_path / "model"
    (folder / "folder").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"\0" * 10**6)
    (folder / "link").symlink_to(tmp_path / "secret")
    refused(external(folder / "m.onnx", (location, 0, 144), (location, 0, None)))


def test_a_link_within_the_folder_is_followed(tmp_path: Path) -> None:
    model, kernel, _ = plain(tmp_path / "plain.onnx")
    (tmp_path / "link.data").symlink_to("m.data")
    assert answers_alike(model, external(tmp_path / "m.onnx", ("link.data", 0, len(kernel)), content=kernel))


@pytest.mark.parametrize(
    ("offset", "length"),
    [
        (1, 144), (10**30, 144), (-1, 144), (0, 10**30), (0, -1), (0, 143), (0, 145), ("x", 144), (0, "x"),
        ("9" * 5000, 144), (2**63, 144), ("", ""),
    ],
)  # fmt: skip
def test_weights_beyond_the_end_of_their_file_are_refused(
    tmp_path: Path, refused: Any, offset: Any, length: Any
) -> None:
    refused(external(tmp_path / "m.onnx", ("m.data", offset, length), content=b"\0" * 144))


def test_pipes_and_endless_files_of_weights_are_refused(tmp_path: Path, refused: Any) -> None:
    os.mkfifo(tmp_path / "pipe")
    refused(external(tmp_path / "m.onnx", ("pipe", 0, 144)))
    with open(tmp_path / "endless", "wb") as file:
        file.truncate(2**40)
    assert "at most" in refused(external(tmp_path / "m.onnx", ("endless", 0, 144)))


def test_thousands_of_tensors_in_one_file_cost_no_more_than_it_has(tmp_path: Path, refused: Any) -> None:
    """5,000 times 2 MB, of one file of 2 MB."""
    path = external(tmp_path / "m.onnx", ("m.data", 0, 144), content=b"\0" * 2**21)

    def add(model: Any) -> None:
        for i in range(5_000):
            tensor = model.graph.initializer.add()
            tensor.CopyFrom(model.graph.initializer[0])
            tensor.name, tensor.dims[:] = f"k{i}", [2**19]
            tensor.external_data[2].value = str(2**21)

    assert "too many for a network" in refused(changed(path, add))


def test_the_same_weights_used_a_thousand_times_are_not_copied_as_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of 45 MB took more than six gigabytes."""
    monkeypatch.setattr("digitlab.network.formats.onnx_walk._MOST_NUMBERS", 100_000)
    square = np.eye(100, dtype=np.float32)
    nodes = [node("MatMul", [f"h{k}", "s"], f"h{k + 1}") for k in range(30)]
    nodes = [node("MatMul", ["x", "first"], "h0"), *nodes, node("MatMul", ["h30", "last"], "y")]
    constants = {"first": np.ones((784, 100), np.float32), "s": square, "last": np.ones((100, 10), np.float32)}
    with pytest.raises(RunError, match="computes with more than 100,000 weights"):
        load_model_file(saved(tmp_path / "m.onnx", nodes, constants, shape=("n", 784)))


def test_two_results_of_one_name_are_refused(tmp_path: Path) -> None:
    nodes = [node("Relu", ["x"], "h"), node("Neg", ["x"], "h"), node("MatMul", ["h", "last"], "y")]
    with pytest.raises(RunError, match="a result of one name"):
        load_model_file(saved(tmp_path / "m.onnx", nodes, {"last": np.ones((784, 10), np.float32)}, shape=("n", 784)))
