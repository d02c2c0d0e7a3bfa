from __future__ import annotations

import errno
import io
import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import digitlab as dl
from digitlab.errors import ConfigError, DigitlabError, ExportError, NetworkError, StorageError
from digitlab.exporting import verify
from digitlab.exporting.export import FORMATS, ExportOptions, export_packed
from digitlab.exporting.verify import RUNTIMES
from digitlab.network.architecture import Architecture
from digitlab.network.formats.files import load_model_file
from digitlab.reading.answers import SHIPPED, Answers

pytestmark = pytest.mark.usefixtures("nothing_installed")

TARGETS = {"tfjs": "model", "keras": "model.keras", "onnx": "model.onnx", "web": "page"}


@pytest.fixture(scope="module")
def model() -> dl.Sequential:
    return dl.dense_baseline(seed=1)


@pytest.mark.parametrize("format", FORMATS)
def test_an_export_is_read_back_and_answers_the_same(model: dl.Sequential, tmp_path: Path, format: str) -> None:
    report = dl.export(model, tmp_path / TARGETS[format], format=format)
    (agreement,) = report.agreements
    assert (agreement.by, agreement.n_images, agreement.n_same_answer) == ("digitlab", 10_000, 10_000)
    assert agreement.largest_difference == 0.0
    assert report.not_verified == "The runtime is not installed here."
    assert report.accuracy is None
    assert json.loads(json.dumps(report.to_dict()))["options"] == {"format": format, "quantize": None}
    again = dl.load_model(report.path)
    assert again.class_names == model.class_names
    assert again.name == "dense_baseline"


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_said_of_a_network_travels_with_it(model: dl.Sequential, tmp_path: Path, format: str) -> None:
    told = {"temperature": "1.25", "refuse_above": "0.75", "epoch": "3"}
    path = dl.export(model, tmp_path / TARGETS[format], format=format, metadata=told).path
    # A reader may note besides how a model takes its pixels.
    assert load_model_file(path).metadata.items() >= told.items()


@pytest.mark.parametrize("format", FORMATS)
def test_an_export_is_packed_into_one_file_and_leaves_nothing_behind(
    model: dl.Sequential, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    report, file = export_packed(model, "../my net", format=format)
    assert not list(tmp_path.iterdir())
    assert report.path == "my-net" + FORMATS[format]
    assert file.name == report.path + ("" if FORMATS[format] else ".zip")
    if file.name.endswith(".zip"):
        names = zipfile.ZipFile(io.BytesIO(file.content)).namelist()
        assert all(name.startswith("my-net/") for name in names)
        assert {name.removeprefix("my-net/").partition("/")[0] for name in names} == set(report.files)


@pytest.mark.slow
@pytest.mark.parametrize("format", ["tfjs", "keras", "onnx"])
def test_an_exported_reader_reads_as_the_shipped_one(tmp_path: Path, format: str) -> None:
    shipped = load_model_file(SHIPPED)
    path = tmp_path / TARGETS[format]
    dl.export(dl.Sequential.from_checkpoint(shipped), path, format=format, metadata=shipped.metadata)
    images = dl.MnistData.load().test.images[:64, ..., None].astype(np.float32) / np.float32(255)
    ours, theirs = Answers(), Answers(path)
    assert (theirs.temperature, theirs.refuse_above) == (ours.temperature, ours.refuse_above)
    np.testing.assert_allclose(theirs.of_images(images), ours.of_images(images), rtol=0, atol=1e-7)


@pytest.mark.parametrize("format", FORMATS)
def test_equal_models_are_equal_bytes(model: dl.Sequential, tmp_path: Path, format: str) -> None:
    contents = []
    for folder in ("a", "b"):
        path = Path(dl.export(model, tmp_path / folder / TARGETS[format], format=format).path)
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        contents.append([file.read_bytes() for file in files])
    assert contents[0] == contents[1]


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float16"])
def test_quantizing_tells_the_accuracy_before_and_after(model: dl.Sequential, tmp_path: Path, kind: str) -> None:
    whole = dl.export(model, tmp_path / "whole", format="tfjs")
    report = dl.export(model, tmp_path / kind, format="tfjs", quantize=kind)
    assert report.accuracy is not None
    assert report.accuracy.n_images == 10_000
    assert report.accuracy.before == pytest.approx(report.accuracy.after, abs=0.02)
    assert report.n_bytes < whole.n_bytes * (0.5 if kind == "uint8" else 0.7)
    assert 0 < report.agreements[0].largest_difference < 0.05


def test_networks_for_other_images_are_asked_random_ones(tmp_path: Path) -> None:
    model = dl.Sequential([dl.Flatten(), dl.Dense(3, activation="softmax")], (5, 4, 2))
    for format, name in TARGETS.items():
        if format != "web":  # a page draws 28 x 28
            assert dl.export(model, tmp_path / name, format=format).agreements[0].n_images == 256


def test_layers_may_be_called_like_anything_that_is_written(tmp_path: Path) -> None:
    names = ["images", "probabilities", "output", "scaled", "model"]
    layers = [dl.Flatten(name=names[0]), *(dl.Dense(4, name=name) for name in names[1:-1])]
    model = dl.Sequential([*layers, dl.Dense(3, activation="softmax", name=names[-1])])
    for format, name in TARGETS.items():
        dl.export(model, tmp_path / name, format=format)


def test_an_earlier_export_is_replaced(model: dl.Sequential, tmp_path: Path) -> None:
    other = dl.codelab_cnn()
    for format, name in TARGETS.items():
        dl.export(other, tmp_path / name, format=format)
        dl.export(model, tmp_path / name, format=format)
        assert dl.load_model(tmp_path / name).name == "dense_baseline"
    assert {path.name for path in tmp_path.iterdir()} == set(TARGETS.values())


def test_what_is_somebodys_own_is_not_replaced(model: dl.Sequential, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "notes.txt").write_text("mine")
    with pytest.raises(StorageError, match=r"notes\.txt"):
        dl.export(model, tmp_path / "model", format="tfjs")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StorageError, match="not a folder"):
        dl.export(model, tmp_path / "file", format="tfjs")
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(StorageError, match="is a folder"):
        dl.export(model, tmp_path / "folder.onnx", format="onnx")
    with pytest.raises(StorageError, match="cannot be written"):
        dl.export(model, tmp_path / "file" / "model.onnx", format="onnx")
    assert (tmp_path / "model" / "notes.txt").read_text() == "mine"
    assert (tmp_path / "file").read_text() == "mine"


def _as_it_lies(folder: Path) -> dict[Path, tuple[int, int, int]]:
    """Return who each file is and when it was written; when it was last read changes by itself."""
    stats = {path: path.stat() for path in folder.rglob("*")}
    return {path: (stat.st_ino, stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()}


@pytest.mark.parametrize("format", FORMATS)
def test_an_export_that_fails_leaves_what_was_there(
    model: dl.Sequential, tmp_path: Path, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / TARGETS[format]
    dl.export(model, target, format=format)
    before = _as_it_lies(tmp_path)

    def disagreeing(made: Path, images: np.ndarray, shape: tuple[int, ...]) -> Any:
        return "another program", np.full((len(images), 10), 0.1, np.float32)

    def full(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    for wrong, kind in ((disagreeing, ExportError), (full, StorageError)):
        monkeypatch.setattr(verify, "RUNTIMES", {format: wrong})
        with pytest.raises(kind) as caught:
            dl.export(dl.codelab_cnn(), target, format=format)
        assert "another program answers otherwise" in str(caught.value) or "No space left" in str(caught.value)
        assert _as_it_lies(tmp_path) == before


@pytest.mark.parametrize(
    ("path", "options", "expected"),
    [
        ("m.keras", {"format": "h5"}, "no format 'h5'"),
        ("m.onnx", {"format": "keras"}, "name it m.keras"),
        ("m", {"format": "onnx"}, "name it m.onnx"),
        ("m.json", {"format": "tfjs"}, "is a folder"),
        ("m", {"format": "tfjs", "quantize": "int4"}, "uint8, uint16, float16"),
        ("m.keras", {"format": "keras", "quantize": "uint8"}, "Only TensorFlow.js"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_written(
    model: dl.Sequential, tmp_path: Path, path: str, options: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        dl.export(model, tmp_path / path, **options)
    assert expected in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_weights_that_have_diverged_are_not_exported(tmp_path: Path) -> None:
    model = dl.dense_baseline()
    model.set_weights([np.full_like(array, np.nan) for array in model.get_weights()])
    with pytest.raises(DigitlabError, match="NaN"):
        dl.export(model, tmp_path / "m.onnx", format="onnx")


@pytest.mark.parametrize(("format", "package"), [("keras", "h5py"), ("onnx", "onnx")])
def test_a_missing_package_is_a_sentence(
    model: dl.Sequential, tmp_path: Path, format: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf"needs the package {package}.*digitlab\[export\]"):
        dl.export(model, tmp_path / TARGETS[format], format=format)
    assert list(tmp_path.iterdir()) == []


def test_missing_runtimes_are_sentences(model: dl.Sequential, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setattr(verify, "RUNTIMES", RUNTIMES)
    monkeypatch.setattr(verify, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr(verify.shutil, "which", lambda name: None)
    for format, name in TARGETS.items():
        report = dl.export(model, tmp_path / name, format=format)
        assert len(report.agreements) == 1
        assert report.not_verified is not None
        assert "is not installed here" in report.not_verified
        assert "install" in report.not_verified.split(":")[1]


def test_node_without_tensorflowjs_is_told_from_one_with(
    model: dl.Sequential, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if verify.shutil.which("node") is None:
        pytest.skip("Node is not installed.")
    monkeypatch.setattr(verify, "RUNTIMES", RUNTIMES)
    monkeypatch.delenv("NODE_PATH", raising=False)
    monkeypatch.chdir(tmp_path)
    report = dl.export(model, tmp_path / "model", format="tfjs")
    assert report.not_verified is not None
    assert "npm install @tensorflow/tfjs" in report.not_verified


def test_options_have_one_json_form() -> None:
    assert ExportOptions("tfjs", "uint8").to_dict() == {"format": "tfjs", "quantize": "uint8"}


def test_a_keras_file_is_what_keras_writes(model: dl.Sequential, tmp_path: Path) -> None:
    with zipfile.ZipFile(dl.export(model, tmp_path / "m.keras", format="keras").path) as archive:
        assert sorted(archive.namelist()) == ["config.json", "metadata.json", "model.weights.h5"]
        config = json.loads(archive.read("config.json"))
    assert [layer["class_name"] for layer in config["config"]["layers"]] == ["InputLayer", "Flatten", "Dense", "Dense"]


def test_a_tensorflowjs_model_is_in_the_style_of_keras_2(model: dl.Sequential, tmp_path: Path) -> None:
    model = dl.Sequential([dl.Dropout(0.5), *model.architecture.layers])
    folder = Path(dl.export(model, tmp_path / "m", format="tfjs").path)
    document = json.loads((folder / "model.json").read_text())
    layers = document["modelTopology"]["model_config"]["config"]["layers"]
    assert [layer["class_name"] for layer in layers] == ["Flatten", "Dense", "Dense"]  # no dropout
    assert layers[0]["config"]["batch_input_shape"] == [None, 28, 28, 1]
    assert all(layer["config"]["dtype"] == "float32" for layer in layers)
    assert not any({"module", "registered_name"} & set(layer) for layer in layers)
    names = [weight["name"] for weight in document["weightsManifest"][0]["weights"]]
    assert names == ["dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"]


def test_a_model_whose_answers_are_no_numbers_is_told_as_such(tmp_path: Path) -> None:
    model = dl.dense_baseline()
    model.set_weights([np.full_like(array, 3.4e38) for array in model.get_weights()])
    with pytest.raises(NetworkError, match="answers with what is no number"):
        model.predict(np.ones((2, 28, 28), np.float32))
    for quantize in (None, "uint8"):
        with pytest.raises(NetworkError, match="its weights are too large"):
            dl.export(model, tmp_path / "model", format="tfjs", quantize=quantize)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", FORMATS)
def test_a_network_that_needs_too_much_memory_for_an_image_is_told(tmp_path: Path, format: str) -> None:
    # A file of a kilobyte; it would take 4 GB.
    layers = [
        *(dl.Conv2D(1, 1) for _ in range(58)),
        dl.MaxPooling2D(15),
        dl.MaxPooling2D(15),
        dl.Flatten(),
        dl.Dense(10, activation="softmax"),
    ]
    network = Architecture(layers, (4096, 4096, 1), "deep")
    model = dl.Sequential.from_architecture(network, network.initial_weights(seed=0))
    with pytest.raises(ConfigError, match=r"deep needs 3,960 MB for one image.*within 537 MB"):
        dl.export(model, tmp_path / f"model{FORMATS[format]}", format=format, ask_runtimes=False)
    assert list(tmp_path.iterdir()) == []


def test_a_network_for_large_images_is_asked_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("digitlab.exporting.export._MOST_VALUES", 5_000)
    monkeypatch.setattr(verify, "_MOST_SIDE_BY_SIDE", 1_000)
    model = dl.Sequential([dl.Flatten(), dl.Dense(3, activation="softmax")], input_shape=(40, 40, 1))
    report = dl.export(model, tmp_path / "model", format="tfjs")
    assert [one.n_images for one in report.agreements] == [3]
    small = dl.export(dl.dense_baseline(), tmp_path / "small", format="tfjs")
    assert [one.n_images for one in small.agreements] == [5_000 // 794]
