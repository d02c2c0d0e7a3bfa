"""Networks as Keras describes them, and .keras files."""

from __future__ import annotations

import json
import shutil
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from digitlab.errors import NetworkError
from digitlab.network import Conv2D, Dense, Flatten, LeakyReLU, MaxPooling2D
from digitlab.network.formats.files import load_model_file
from digitlab.network.formats.keras import CONFIG, WEIGHTS, weight_folders
from digitlab.network.formats.keras_walk import read_keras_config

POLICY = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}, "registered_name": None}
CONV = {"filters": 4, "kernel_size": [3, 3], "activation": "relu", "name": "c"}
DENSE = {"units": 10, "activation": "softmax", "name": "d"}
IMAGES = {"batch_shape": [None, 28, 28, 1], "name": "i"}


def model(*layers: tuple[str, dict[str, Any]], kind: str = "Sequential") -> dict[str, Any]:
    entries = [{"class_name": name, "config": config} for name, config in layers]
    return {"class_name": kind, "config": {"name": "m", "layers": entries}}


def with_layer(kind: str, **config: Any) -> dict[str, Any]:
    return model(("InputLayer", IMAGES), ("Conv2D", CONV), (kind, config), ("Flatten", {}), ("Dense", DENSE))


def read(description: dict[str, Any]) -> Any:
    """Return the network, with weights of ones, which no factor turns around."""
    stack = read_keras_config(description)
    return stack.finish([[np.ones(shape, np.float32) for _, shape in layer.weights] for layer in stack.learning])[0]


def test_keras_2_and_keras_3_say_the_same() -> None:
    old = model(("Conv2D", CONV | {"batch_input_shape": [None, 28, 28, 1], "dtype": "float32"}), ("Flatten", {}),
                ("Dense", DENSE))  # fmt: skip
    new = model(("InputLayer", IMAGES), ("Conv2D", CONV | {"dtype": POLICY}), ("Flatten", {"dtype": POLICY}),
                ("Dense", DENSE))  # fmt: skip
    bare = {"class_name": "Sequential", "config": old["config"]["layers"]}
    assert read(old) == read(new)
    assert read(bare).layers == read(new).layers
    assert read(new).layers[0] == Conv2D(4, 3, activation="relu", name="c")


def test_activations_of_their_own_become_part_of_the_layer_before() -> None:
    network = read(
        model(
            ("InputLayer", IMAGES),
            ("Conv2D", CONV | {"activation": "linear"}),
            ("MaxPooling2D", {"pool_size": [2, 2]}),
            ("ReLU", {"max_value": None, "negative_slope": 0.0, "threshold": 0.0}),
            ("Flatten", {}),
            ("Dense", DENSE | {"activation": None}),
            ("Activation", {"activation": "softmax"}),
        )
    )
    assert [type(layer) for layer in network.layers] == [Conv2D, MaxPooling2D, Flatten, Dense]
    assert [getattr(layer, "activation", "") for layer in network.layers] == ["relu", "", "", "softmax"]


def test_a_network_that_ends_in_logits_gets_its_softmax() -> None:
    assert read(model(("InputLayer", IMAGES), ("Flatten", {}), ("Dense", DENSE | {"activation": "linear"}))) == read(
        model(("InputLayer", IMAGES), ("Flatten", {}), ("Dense", DENSE))
    )


def test_pixels_divided_by_255_are_what_digitlab_does_anyway() -> None:
    scaled = model(("InputLayer", IMAGES), ("Rescaling", {"scale": 1 / 255, "offset": 0.0}), ("Flatten", {}),
                   ("Dense", DENSE))  # fmt: skip
    assert [type(layer) for layer in read(scaled).layers] == [Flatten, Dense]
    assert read_keras_config(scaled).tells_pixels
    assert not read_keras_config(model(("InputLayer", IMAGES), ("Flatten", {}), ("Dense", DENSE))).tells_pixels


@pytest.mark.parametrize(
    ("kind", "config", "factor", "offset"),
    [
        ("Rescaling", {"scale": 1 / 255}, 1.0, 0.0),
        ("Rescaling", {"scale": 1 / 127.5, "offset": -1}, 2.0, -1.0),
        ("Rescaling", {"scale": 2, "offset": -1}, 2.0, -1.0),
        ("Rescaling", {"scale": [1 / 78.6], "offset": [-0.42]}, 255 / 78.6, -0.42),
        ("Normalization", {"mean": 33.3, "variance": 6177.0}, 255 / 6177.0**0.5, -33.3 / 6177.0**0.5),
        ("Normalization", {"mean": [[[0.13]]], "variance": [[[0.09]]]}, 1 / 0.3, -0.13 / 0.3),
    ],
)
def test_what_a_network_does_to_its_pixels_is_folded_and_known(
    kind: str, config: dict[str, Any], factor: float, offset: float
) -> None:
    """Whether they are 0 to 255 there is seen by what becomes of them; here they are 0 to 1."""
    stack = read_keras_config(model(("InputLayer", IMAGES), (kind, config), ("Flatten", {}), ("Dense", DENSE)))
    network, (kernel, bias) = stack.finish([[np.ones((784, 10), np.float32), np.zeros(10, np.float32)]])
    assert stack.tells_pixels
    assert [type(layer) for layer in network.layers] == [Flatten, Dense]
    np.testing.assert_allclose(kernel, factor, rtol=1e-5)
    np.testing.assert_allclose(bias, 784 * offset, rtol=1e-5)


def test_shapes_and_numbers_may_be_objects() -> None:
    """TensorFlow writes tuples, shapes and NumPy's numbers so, in some of its files."""
    shape = {"class_name": "__tuple__", "items": [None, 28, 28, 1]}
    slope = {"class_name": "__numpy__", "config": {"value": 0.25, "dtype": "float32"}}
    network = read(
        model(
            ("Conv2D", CONV | {"batch_input_shape": shape, "activation": None}),
            ("LeakyReLU", {"alpha": slope}),
            ("Flatten", {}),
            ("Dense", DENSE),
        )
    )
    assert network.layers[1] == LeakyReLU(0.25, name="leaky_re_lu")


def test_a_row_of_pixels_may_be_made_an_image() -> None:
    rows = model(("InputLayer", {"batch_shape": [None, 784]}), ("Reshape", {"target_shape": [28, 28, 1]}),
                 ("Conv2D", CONV), ("Reshape", {"target_shape": [-1]}), ("Dense", DENSE))  # fmt: skip
    assert read(rows).input_shape == (28, 28, 1)
    assert [type(layer) for layer in read(rows).layers] == [Conv2D, Flatten, Dense]


def test_names_that_digitlab_does_not_allow_are_replaced() -> None:
    network = read(model(("InputLayer", IMAGES), ("Conv2D", CONV | {"name": "a/b"}), ("Flatten", {"name": 7}),
                         ("Dense", DENSE | {"units": 5, "activation": "relu"}), ("Dense", DENSE)))  # fmt: skip
    assert [layer.name for layer in network.layers] == ["conv2d", "flatten", "d", "dense"]


@pytest.mark.parametrize(
    ("kind", "alternative"),
    [
        ("SeparableConv2D", "Conv2D"),
        ("PReLU", "ReLU"),
        ("Lambda", "no code"),
        ("TFOpLambda", "no code"),
        ("LSTM", "It runs Conv2D"),
        ("LayerNormalization", "It runs Conv2D"),
    ],
)
def test_a_layer_that_is_lacking_is_named_with_the_alternative(kind: str, alternative: str) -> None:
    with pytest.raises(NetworkError) as caught:
        read(with_layer(kind, name="x"))
    assert f"Layer 3 is {kind}" in str(caught.value)
    assert alternative in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "config", "expected"),
    [
        ("Conv2D", {**CONV, "strides": [2, 0]}, "strides"),
        ("Conv2D", {**CONV, "dilation_rate": 2}, "larger kernel"),
        ("Conv2D", {**CONV, "groups": 4}, "ordinary Conv2D"),
        ("Conv2D", {**CONV, "data_format": "channels_first"}, "rearranges its values"),
        ("Conv2D", {**CONV, "data_format": "sideways"}, "data_format"),
        ("Conv2D", {**CONV, "activation": "gelu"}, "'gelu'"),
        ("Conv2D", {**CONV, "activation": "softmax"}, "softmax needs a row"),
        ("Conv2D", {**CONV, "activation": {"class_name": "function", "config": "evil"}}, "activation"),
        ("Conv2D", {**CONV, "activation": {"value": "code"}}, "activation"),
        ("Conv2D", {**CONV, "activation": {"class_name": "__lambda__", "config": {"value": "x"}}}, "activation"),
        ("Conv2D", {**CONV, "filters": "8"}, "filters"),
        ("Conv2D", {**CONV, "filters": 10**9}, "filters"),
        ("Conv2D", {**CONV, "filters": True}, "filters"),
        ("Conv2D", {**CONV, "kernel_size": [10**9, 1]}, "kernel_size"),
        ("Conv2D", {**CONV, "kernel_size": {"a": 1}}, "kernel_size"),
        ("Conv2D", {**CONV, "padding": ["same"]}, "padding"),
        ("MaxPooling2D", {"pool_size": [0, 2]}, "pool_size"),
        ("Dropout", {"rate": "much"}, "rate"),
        ("Dropout", {"rate": 7}, "rate"),
        ("Dense", {"units": 10**12}, "units"),
        ("ReLU", {"max_value": 6}, "plain ReLU"),
        ("ReLU", {"negative_slope": "steep"}, "negative_slope"),
        ("LeakyReLU", {"alpha": -1}, "negative_slope"),
        ("ELU", {"alpha": True}, "alpha"),
        ("Reshape", {"target_shape": [2, 2]}, "cannot be"),
        ("Reshape", {"target_shape": [-1, -1]}, "cannot be"),
        ("Reshape", {"target_shape": "x"}, "not a shape"),
        ("Permute", {"dims": [1, 2]}, "dims"),
        ("BatchNormalization", {"axis": 1}, "rearranges its values"),
        ("BatchNormalization", {"axis": 2}, "another axis"),
        ("BatchNormalization", {"axis": [1, 2]}, "axis"),
        ("BatchNormalization", {"mode": 2}, "mode"),
        ("BatchNormalization", {"epsilon": "small"}, "epsilon"),
        ("Normalization", {"invert": True}, "invert"),
        ("Rescaling", {"scale": None}, "scale"),
        ("Rescaling", {"scale": 1, "offset": [[[[]]]]}, "offset"),
        ("ZeroPadding2D", {"padding": [1, 2, 3]}, "padding"),
        ("Resizing", {"height": 32, "width": 32}, "Resizing"),
        ("Softmax", {"axis": 3}, "axis"),
        ("Activation", {"activation": "softmax"}, "softmax"),
    ],
)
def test_a_setting_that_is_lacking_is_named(kind: str, config: dict[str, Any], expected: str) -> None:
    with pytest.raises(NetworkError) as caught:
        read(with_layer(kind, **config))
    assert "Layer 3" in str(caught.value)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    "description",
    [
        {},
        {"class_name": "Sequential"},
        {"class_name": "Evil", "config": {"layers": []}},
        {"class_name": "Sequential", "config": {"layers": [7]}},
        {"class_name": "Sequential", "config": {"layers": [{"class_name": "Dense", "config": "x"}]}},
        model(),
        model(("InputLayer", {"batch_shape": [None, 28, 28]}), ("Dense", DENSE)),
        model(("InputLayer", {"batch_shape": [None, None, None, 1]}), ("Dense", DENSE)),
        model(("InputLayer", {"batch_shape": [None, 10**9, 10**9, 10**9]}), ("Flatten", {}), ("Dense", DENSE)),
        model(("Flatten", {}), ("Dense", DENSE)),
        model(("InputLayer", IMAGES), ("Dense", DENSE)),
        model(("InputLayer", IMAGES), ("Flatten", {})),
        model(("InputLayer", IMAGES), *[("Flatten", {})] * 300),
    ],
)
def test_what_is_no_network_is_a_sentence(description: dict[str, Any]) -> None:
    with pytest.raises(NetworkError):
        read_keras_config(description)


def inbound(name: str) -> list[Any]:
    tensor = {"class_name": "__keras_tensor__", "config": {"shape": [None], "keras_history": [name, 0, 0]}}
    return [{"args": [tensor], "kwargs": {}}]


def functional(*sources: Any) -> dict[str, Any]:
    description = model(("InputLayer", IMAGES), ("Flatten", {"name": "f"}), ("Dense", DENSE), kind="Functional")
    for entry, source in zip(description["config"]["layers"], sources, strict=True):
        entry["inbound_nodes"] = source
    return description


def test_functional_models_are_read_if_they_are_chains() -> None:
    keras_3 = functional([], inbound("i"), inbound("f"))
    keras_2 = functional([], [[["i", 0, 0, {}]]], [[["f", 0, 0, {}]]])
    plain = model(("InputLayer", IMAGES), ("Flatten", {"name": "f"}), ("Dense", DENSE))
    assert read(keras_3).layers == read(keras_2).layers == read(plain).layers
    with pytest.raises(NetworkError, match="one after the other"):
        read(functional([], inbound("i"), inbound("i")))
    with pytest.raises(NetworkError, match="one after the other"):
        read(functional([], inbound("i"), inbound("f") + inbound("i")))
    for outputs, is_chain in (([["d", 0, 0]], True), (["d", 0, 0], True), ([["f", 0, 0], ["d", 0, 0]], False)):
        keras_2["config"]["output_layers"] = outputs
        if is_chain:
            assert read(keras_2).layers == read(plain).layers
        else:
            with pytest.raises(NetworkError, match="one after the other"):
                read(keras_2)


def rezipped(source: Path, target: Path, compression: int = zipfile.ZIP_STORED, **members: bytes | None) -> Path:
    """Copy an archive with some members changed, added, or left out (None); ``_`` stands for a point."""
    with zipfile.ZipFile(source) as old:
        contents = {name: old.read(name) for name in old.namelist()}
    contents |= {name.replace("__", "."): content for name, content in members.items()}
    with zipfile.ZipFile(target, "w", compression) as new:
        for name, content in contents.items():
            if content is not None:
                new.writestr(name, content)
    return target


@pytest.fixture
def keras(written: dict[str, Path]) -> Path:
    return written["keras"]


def test_a_compressed_archive_is_read_too(keras: Path, tmp_path: Path) -> None:
    copy = rezipped(keras, tmp_path / "c.keras", zipfile.ZIP_DEFLATED)
    assert load_model_file(copy).architecture.n_classes == 3


def test_weights_lie_where_keras_puts_them() -> None:
    kinds = ["Conv2D", "MaxPooling2D", "Conv2D", "Flatten", "ReLU", "Dense"]
    assert weight_folders(kinds) == [
        f"layers/{name}/vars" for name in ("conv2d", "max_pooling2d", "conv2d_1", "flatten", "re_lu", "dense")
    ]


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"config__json": None}, "has no config.json"),
        ({"model__weights__h5": None}, "has no model.weights.h5"),
        ({"config__json": b"[" * 500_000}, "nested too deep"),
        ({"config__json": b'{"a":' * 100_000}, "nested too deep"),
        ({"config__json": b"no"}, "cannot be read as JSON"),
        ({"config__json": b"[]"}, "JSON object"),
        ({"config__json": b" " * 2_000_000}, "more than 1,048,576 bytes"),
        ({"model__weights__h5": b"\x80\x04pickle"}, "not an HDF5 file"),
        ({"model__weights__h5": b"PK\x03\x04" * 100}, "not an HDF5 file"),
    ],
)
def test_archives_without_what_is_needed_are_refused(
    keras: Path, tmp_path: Path, refused: Any, members: dict[str, Any], expected: str
) -> None:
    assert expected in refused(rezipped(keras, tmp_path / "bad.keras", **members))


@pytest.mark.slow
def test_zip_bombs_are_not_unpacked(keras: Path, tmp_path: Path, refused: Any) -> None:
    bomb = bytes(200_000_000)
    for member in ("config__json", "model__weights__h5", "metadata__json"):
        path = rezipped(keras, tmp_path / "bomb.keras", zipfile.ZIP_DEFLATED, **{member: bomb})
        assert path.stat().st_size < 1_000_000
        if member == "metadata__json":  # only class names come from there
            assert load_model_file(path).class_names == ("0", "1", "2")
        else:
            assert "bytes" in refused(path)


def test_a_large_network_is_no_excuse_for_a_bomb(keras: Path, tmp_path: Path, refused: Any) -> None:
    with zipfile.ZipFile(keras) as archive:
        config = json.loads(archive.read(CONFIG))
    for entry in config["config"]["layers"]:
        if entry["class_name"] == "Dense" and entry["config"]["units"] == 5:
            entry["config"]["units"] = 60_000
    bomb = {"config__json": json.dumps(config).encode(), "model__weights__h5": bytes(100_000_000)}
    path = rezipped(keras, tmp_path / "bomb.keras", zipfile.ZIP_DEFLATED, **bomb)
    assert "bytes" in refused(path, most_mib=40.0)


def test_archives_that_claim_many_files_are_not_listed(keras: Path, tmp_path: Path, refused: Any) -> None:
    many = tmp_path / "many.keras"
    with zipfile.ZipFile(many, "w") as archive:
        for i in range(70_000):
            archive.writestr(zipfile.ZipInfo(str(i)), b"")
    assert "claims to hold" in refused(many)


def test_members_with_paths_that_leave_the_archive_are_never_written(keras: Path, tmp_path: Path) -> None:
    path = rezipped(keras, tmp_path / "sub" / "x.keras") if (tmp_path / "sub").mkdir() is None else keras
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../../escaped.txt", b"x")
        archive.writestr("/absolute.txt", b"x")
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, b"/etc/passwd")
    load_model_file(path)
    assert {entry.name for entry in tmp_path.rglob("*")} == {"sub", "x.keras"}


def test_encrypted_and_oddly_compressed_members_are_refused(keras: Path, tmp_path: Path, refused: Any) -> None:
    path = rezipped(keras, tmp_path / "lzma.keras", zipfile.ZIP_LZMA)
    assert "compressed in a way" in refused(path)
    content = bytearray(keras.read_bytes())
    entry = content.rindex(b"PK\x01\x02", 0, content.rindex(CONFIG.encode()))
    content[entry + 8] |= 1
    path.write_bytes(content)
    assert "encrypted" in refused(path)


def test_archives_that_are_cut_or_changed_are_refused(keras: Path, tmp_path: Path, refused: Any) -> None:
    content = keras.read_bytes()
    path = tmp_path / "cut.keras"
    for damaged in (content[:-1], content[:100], content + b"x", b"", b"PK\x03\x04"):
        path.write_bytes(damaged)
        refused(path)


def with_weights(keras: Path, target: Path, change: Any) -> Path:
    with zipfile.ZipFile(keras) as archive:
        weights = bytearray(archive.read(WEIGHTS))
    change(weights)
    return rezipped(keras, target, model__weights__h5=bytes(weights))


def test_weights_that_are_nan_are_refused(keras: Path, tmp_path: Path, refused: Any) -> None:
    bias = load_model_file(keras).weights[1].tobytes()

    def change(weights: bytearray) -> None:
        struct.pack_into("<f", weights, weights.index(bias), np.nan)

    assert "NaN" in refused(with_weights(keras, tmp_path / "nan.keras", change))


def test_a_network_larger_than_its_weights_is_refused(keras: Path, tmp_path: Path, refused: Any) -> None:
    with zipfile.ZipFile(keras) as archive:
        config = json.loads(archive.read(CONFIG))
    for entry in config["config"]["layers"]:
        if entry["class_name"] == "Dense" and entry["config"]["units"] == 5:
            entry["config"]["units"] = 60_000
    path = rezipped(keras, tmp_path / "large.keras", config__json=json.dumps(config).encode())
    assert "should have the shape" in refused(path)


def test_lambda_layers_are_not_run(keras: Path, tmp_path: Path, refused: Any) -> None:
    with zipfile.ZipFile(keras) as archive:
        config = json.loads(archive.read(CONFIG))
    code = {"class_name": "__lambda__", "config": {"code": "4wEAAAA=", "defaults": None, "closure": None}}
    config["config"]["layers"].insert(
        1, {"module": "keras.layers", "class_name": "Lambda", "config": {"function": code}}
    )
    path = rezipped(keras, tmp_path / "lambda.keras", config__json=json.dumps(config).encode())
    assert "digitlab runs no code from a file" in refused(path)


def test_symlinks_to_a_model_are_followed(keras: Path, tmp_path: Path) -> None:
    (tmp_path / "link.keras").symlink_to(keras)
    shutil.copy(keras, tmp_path / "copy.keras")
    assert (
        load_model_file(tmp_path / "link.keras").architecture == load_model_file(tmp_path / "copy.keras").architecture
    )
