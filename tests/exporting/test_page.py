"""The page to hand out: what is in the folder, and its scripts under Node beside digitlab.

Tolerance: 1e-4 of a probability or a pixel, as promised; JavaScript's sums are of doubles and differ by some 1e-7.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import digitlab as dl
from digitlab.data.frame import frame
from digitlab.errors import ConfigError, ExportError, StorageError
from digitlab.exporting import verify, writers

pytestmark = pytest.mark.slow

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="Node is not installed.")
LARGEST_BYTES = 42_000

LOAD = """
const fs = require("node:fs");
for (const name of ["weights.js", "frame.js", "network.js", "picture.js"]) {
  require("node:vm").runInThisContext(fs.readFileSync(`${process.argv[1]}/${name}`, "utf8"));
}
const floats = (name) => new Float32Array(new Uint8Array(fs.readFileSync(`${process.argv[1]}/../${name}`)).buffer);
const bytes = (values) => new Uint8Array(Float32Array.from(values).buffer);
const written = (values) => fs.writeFileSync(`${process.argv[1]}/../out.f32`, bytes(values));
const { network, frame, picture, decoded, model, weights } = digitlab;
"""


@pytest.fixture(scope="module")
def model() -> dl.Sequential:
    return dl.codelab_cnn(seed=1)


@pytest.fixture(scope="module")
def page(model: dl.Sequential, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "page"
    dl.export(model, folder, format="web")
    return folder


def run(page: Path, code: str) -> NDArray[np.float32]:
    """Run some code with the page's scripts; return what it has written."""
    assert NODE is not None
    done = subprocess.run([NODE, "-e", LOAD + code, page], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return np.fromfile(page.parent / "out.f32", np.float32)


def settings(page: Path) -> dict[str, Any]:
    text = (page / "weights.js").read_text("utf-8")
    found: dict[str, Any] = json.loads(text.removeprefix("globalThis.digitlab = ").removesuffix(";\n"))["settings"]
    return found


def test_the_folder_holds_a_page_and_a_tensorflowjs_model(page: Path, model: dl.Sequential) -> None:
    scripts = {"frame.js", "network.js", "pad.js", "page.js", "picture.js"}
    ours = {"index.html", "page.css", *scripts}
    others = {"README.txt", "weights.js", "model.json", "group1-shard1of1.bin"}
    assert {path.name for path in page.iterdir()} == ours | others
    assert sum((page / name).stat().st_size for name in ours) < LARGEST_BYTES
    assert "codelab_cnn, 5,994 parameters" in (page / "README.txt").read_text()
    images = dl.MnistData.load().test.images[:100]
    np.testing.assert_array_equal(dl.load_model(page).predict(images), model.predict(images))
    html = (page / "index.html").read_text()
    assert "default-src 'none'" in html
    assert "http:" not in html.replace("http://www.w3.org/2000/svg", "")
    for name in scripts:
        text = (page / name).read_text()
        assert (f'src="{name}"' in html, "fetch(" in text, "eval(" in text) == (True, False, False)


@needs_node
def test_the_scripts_are_asked_under_node(page: Path, model: dl.Sequential, tmp_path: Path) -> None:
    report = dl.export(model, tmp_path / "page", format="web")
    ours, theirs = report.agreements
    assert (ours.n_images, theirs.n_images, theirs.n_same_answer) == (10_000, 256, 256)
    assert theirs.by.startswith("the page's JavaScript under Node v")
    assert theirs.largest_difference < 1e-5
    assert report.not_verified is None


@needs_node
@pytest.mark.parametrize(
    ("layers", "shape"),
    [
        (
            [
                dl.Conv2D(5, 4, padding="same", bias_initializer="he_normal"),
                dl.MaxPooling2D(3, strides=2, padding="same"),
                dl.Dropout(0.3),
                dl.Conv2D(6, (2, 5), activation="relu", use_bias=False),
                dl.MaxPooling2D((2, 1), strides=(1, 2)),
                dl.Flatten(),
                dl.Dense(20, activation="relu", bias_initializer="he_normal"),
                dl.Dense(12, use_bias=False),
            ],
            (28, 28, 1),
        ),
        ([dl.Dense(30, activation="relu")], (784,)),
        (
            [
                dl.ZeroPadding2D(((1, 0), (2, 3))),
                dl.Conv2D(6, 5, strides=2, padding="same", activation="leaky_relu", bias_initializer="he_normal"),
                dl.AveragePooling2D((3, 2), strides=(2, 1), padding="same"),
                dl.Conv2D(5, (2, 3), strides=(1, 2), activation="elu", bias_initializer="he_normal"),
                dl.LeakyReLU(0.1),
                dl.Conv2D(7, 1, activation="sigmoid"),
                dl.ELU(),
                dl.GlobalAveragePooling2D(),
                dl.Dense(20, activation="tanh"),
            ],
            (28, 28, 1),
        ),
        ([dl.Conv2D(9, 5), dl.Activation("leaky_relu"), dl.GlobalMaxPooling2D()], (28, 28, 1)),
    ],
)
def test_the_page_knows_every_layer(layers: list[Any], shape: tuple[int, ...], tmp_path: Path) -> None:
    model = dl.Sequential([*layers, dl.Dense(10, activation="softmax")], shape)
    report = dl.export(model, tmp_path / "page", format="web")
    assert report.agreements[1].n_same_answer == 256


@needs_node
def test_convolutions_may_stride(page: Path) -> None:
    code = """
    const image = Float32Array.from({ length: 784 }, (_, i) => Math.sin(i));
    const { config } = model.modelTopology.model_config.config.layers[0];
    const weightsManifest = [{ weights: model.weightsManifest[0].weights.slice(0, 2) }];
    const content = decoded(weights).slice(0, 4 * (5 * 5 * 8 + 8));
    const run = (strides) => {
      const layers = [{ class_name: "Conv2D", config: { ...config, strides } }];
      const modelTopology = { model_config: { config: { layers } } };
      return network({ weightsManifest, modelTopology }, content).predict(image);
    };
    written([...run([1, 1]), ...run([2, 3])]);
    """
    out = run(page, code)
    every = out[: 24 * 24 * 8].reshape(24, 24, 8)
    np.testing.assert_array_equal(out[24 * 24 * 8 :].reshape(12, 8, 8), every[::2, ::3])


@needs_node
def test_ink_is_framed_as_the_reader_frames_it(page: Path) -> None:
    rng = np.random.default_rng(0)
    images = dl.MnistData.load().test.images.reshape(-1, 28, 28)
    glyphs = [np.zeros((9, 12), np.float32)]
    for k in range(100):
        height, width = (int(28 * rng.uniform(0.6, 12)) for _ in range(2))
        large = cv2.resize(images[k].astype(np.float32) / 255, (width, height), interpolation=cv2.INTER_CUBIC)
        glyphs.append(np.clip(large, 0, 1))
        side = int(rng.integers(60, 400))
        sheet = np.zeros((side, side), np.uint8)
        points = (rng.uniform(0.1, 0.9, (4, 2)) * side).astype(np.int32)
        cv2.polylines(sheet, [points], False, 255, int(rng.integers(1, side // 6)), cv2.LINE_AA)
        glyphs.append(sheet.astype(np.float32) / 255)
    (page.parent / "ink.f32").write_bytes(b"".join(glyph.astype("<f4").tobytes() for glyph in glyphs))
    code = f"""
    const all = floats("ink.f32");
    let at = 0;
    written({json.dumps([glyph.shape for glyph in glyphs])}.flatMap(([height, width]) => {{
      const ink = all.slice(at, (at += height * width));
      return Array.from(frame({{ width, height, ink }}) ?? new Float32Array(784));
    }}));
    """
    theirs = run(page, code).reshape(-1, 28, 28)
    np.testing.assert_allclose(theirs, [frame(glyph) for glyph in glyphs], rtol=0, atol=1e-4)


@needs_node
def test_the_digit_of_a_picture_is_found_as_the_reader_finds_it(tmp_path: Path) -> None:
    from digitlab.network.checkpoint import load_checkpoint
    from digitlab.reading.answers import SHIPPED

    checkpoint = load_checkpoint(SHIPPED)
    page = tmp_path / "page"
    dl.export(dl.Sequential.from_checkpoint(checkpoint), page, format="web")
    test = dl.MnistData.load().test
    rng = np.random.default_rng(0)
    reader, expected, sent = dl.Reader(), [], []
    for k in range(40):
        ink = np.pad(cv2.resize(test.images[k].reshape(28, 28), (112, 112), interpolation=cv2.INTER_CUBIC), 24)
        light = np.linspace(230, 230 - 100 * (k % 2), 160)[None] * (1 - 0.7 * ink / 255.0) + rng.normal(0, 2, ink.shape)
        picture = (light if k % 4 < 2 else 255 - light).clip(0, 255).astype(np.uint8)
        expected.append(int(reader.read_digit(picture)[0].argmax()))
        sent.append(picture)
    (page.parent / "pictures.f32").write_bytes(np.asarray(sent, "<f4").tobytes())
    code = """
    const all = floats("pictures.f32");
    const { predict } = network(model, decoded(weights));
    written(Array.from({ length: all.length / 25600 }, (_, k) => {
      const data = new Uint8ClampedArray(102400).fill(255);
      for (let i = 0; i < 25600; i += 1) data.fill(all[25600 * k + i], 4 * i, 4 * i + 3);
      const probabilities = predict(frame(picture({ width: 160, height: 160, data }).ink)).slice(0, 10);
      return probabilities.indexOf(Math.max(...probabilities));
    }));
    """
    # The page has no finder: it frames all ink, and the reader that of the digit.
    answered = run(page, code).astype(int)
    assert (answered == expected).sum() >= 38


def test_without_node_the_command_says_so(
    model: dl.Sequential, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify.shutil, "which", lambda name: None)
    report = dl.export(model, tmp_path / "page", format="web")
    assert len(report.agreements) == 1
    assert report.not_verified is not None
    assert report.not_verified.startswith("Node is not installed here")


@needs_node
@pytest.mark.parametrize("fault", ["nonsense(", "throw new Error('It is broken.');"])
def test_scripts_that_fail_are_not_written(
    model: dl.Sequential, tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    shutil.copytree(Path(writers.__file__).with_name("page"), source)
    (source / "network.js").write_text(fault + "\n")
    monkeypatch.setattr(writers, "_PAGE", source)
    with pytest.raises(ExportError, match="The page's JavaScript could not use the file"):
        dl.export(model, tmp_path / "page", format="web")
    assert not (tmp_path / "page").exists()


def test_the_page_is_as_sure_as_the_checkpoint_says(model: dl.Sequential, tmp_path: Path, page: Path) -> None:
    dl.export(model, tmp_path / "page", format="web", metadata={"temperature": "1.5", "refuse_above": "0.4"})
    told = settings(tmp_path / "page")
    assert (told["temperature"], told["refuseAbove"], told["knowsNotADigit"]) == (1.5, 0.4, False)
    assert told["labels"] == [str(k) for k in range(10)]
    assert settings(page)["temperature"] == 1.0
    with pytest.raises(ConfigError, match="temperature"):
        dl.export(model, tmp_path / "page", format="web", metadata={"temperature": "hot"})


def test_classes_of_other_names_keep_them(tmp_path: Path) -> None:
    layers = [dl.Flatten(), dl.Dense(3, activation="softmax")]
    model = dl.Sequential(layers, class_names=["ä", "</script>", "`${1}`"])
    dl.export(model, tmp_path / "page", format="web")
    assert settings(tmp_path / "page")["labels"] == ["ä", "</script>", "`${1}`"]


@pytest.mark.parametrize(("shape", "n_classes"), [((32, 32, 1), 10), ((28, 28, 3), 10), ((28, 28, 1), 65)])
def test_what_cannot_be_drawn_or_shown_is_refused(shape: tuple[int, ...], n_classes: int, tmp_path: Path) -> None:
    model = dl.Sequential([dl.Flatten(), dl.Dense(n_classes, activation="softmax")], shape)
    with pytest.raises(ConfigError, match="or this one as tfjs"):
        dl.export(model, tmp_path / "page", format="web")
    assert list(tmp_path.iterdir()) == []


def test_a_page_is_replaced_and_what_is_somebodys_own_is_not(model: dl.Sequential, tmp_path: Path) -> None:
    dl.export(dl.dense_baseline(), tmp_path / "page", format="web")
    dl.export(model, tmp_path / "page", format="web")
    assert dl.load_model(tmp_path / "page").name == "codelab_cnn"
    (tmp_path / "page" / "notes.txt").write_text("mine")
    with pytest.raises(StorageError, match=r"notes\.txt"):
        dl.export(model, tmp_path / "page", format="web")
    dl.export(model, tmp_path / "model", format="tfjs")
    (tmp_path / "model" / "README.txt").write_text("mine")
    with pytest.raises(StorageError, match=r"README\.txt"):
        dl.export(model, tmp_path / "model", format="web")
    assert (tmp_path / "model" / "README.txt").read_text() == "mine"
