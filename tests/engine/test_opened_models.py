"""Models that hold a digit, whatever the shape of their input and the scale of their pixels."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import digitlab as dl
from digitlab.data.mnist import Split
from digitlab.engine.images import digits_as, holds_digit
from digitlab.engine.models import opened_model
from digitlab.errors import ConfigError, DataError
from digitlab.network import Checkpoint, Conv2D, Dense, Flatten
from digitlab.network.checkpoint import load_checkpoint, save_checkpoint
from digitlab.network.pixels import USUAL, with_pixels

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 28, 28), np.uint8)


def small(shape: tuple[int, ...]) -> dl.Sequential:
    layers = [Conv2D(2, 3, activation="relu"), Flatten()] if len(shape) == 3 else []
    return dl.Sequential([*layers, Dense(10, activation="softmax")], shape)


# ---- shapes ----


def test_a_row_of_784_is_asked_with_images() -> None:
    model = small((784,))
    rows = model.predict(IMAGES.reshape(-1, 784))
    for shape in ((40, 28, 28), (40, 28, 28, 1), (40, 1, 28, 28)):
        np.testing.assert_array_equal(model.predict(IMAGES.reshape(shape)), rows)


@pytest.mark.parametrize("as_floats", [False, True])
def test_32_pixels_have_a_border_of_zeros_and_three_channels_are_equal(as_floats: bool) -> None:
    images = IMAGES / np.float32(255) if as_floats else IMAGES
    padded = np.zeros((40, 32, 32), images.dtype)
    padded[:, 2:30, 2:30] = images
    colored = np.repeat(padded[..., None], 3, axis=3)
    for shape, given in (((32, 32, 1), padded), ((32, 32, 3), colored), ((28, 28, 3), colored[:, 2:30, 2:30])):
        model = small(shape)
        np.testing.assert_array_equal(model.predict(images), model.predict(given))
        np.testing.assert_array_equal(model.predict(images.reshape(40, 784)), model.predict(given))


@pytest.mark.parametrize("side", [14, 48, 64])
def test_squares_of_other_sizes_get_the_digit_resized(side: int) -> None:
    model = small((side, side, 3))
    resized = np.stack([Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR) for image in IMAGES])
    filled = digits_as((side, side, 3), IMAGES)
    assert filled.dtype == np.uint8
    if side > 28:  # Pillow also smooths what it makes smaller
        np.testing.assert_allclose(filled[..., 2], resized, rtol=0, atol=1)
    np.testing.assert_array_equal(model.predict(IMAGES), model.predict(filled))
    np.testing.assert_allclose(model.predict(IMAGES / np.float32(255)), model.predict(filled), rtol=0, atol=0.01)


def test_a_network_for_32_pixels_learns_from_28() -> None:
    data = dl.MnistData.load().training
    history = small((32, 32, 1)).fit(data.images[:2000], data.labels[:2000], batch_size=50, epochs=2)
    assert history.epochs[-1].accuracy > 0.7


@pytest.mark.parametrize("shape", [(28, 28), (1, 28, 28), (784, 1), (3, 32, 32), (28, 28, 1, 1)])
def test_inputs_that_other_runtimes_have_are_filled_too(shape: tuple[int, ...]) -> None:
    assert holds_digit(shape)
    filled = digits_as(shape, IMAGES)
    assert filled.shape == (40, *shape)
    assert filled.sum(dtype=np.int64) == IMAGES.sum(dtype=np.int64) * (3 if 3 in shape else 1)


@pytest.mark.parametrize("shape", [(8, 8, 1), (14, 56, 1), (64,), (28, 28, 2), (96, 96, 1)])
def test_an_input_that_holds_no_digit_is_a_sentence(shape: tuple[int, ...]) -> None:
    assert not holds_digit(shape)
    with pytest.raises(DataError, match=r"sequential takes images of shape \(n, .*; got \(40, 28, 28\)"):
        small(shape).predict(IMAGES)


# ---- scales ----


def right(model: dl.Sequential) -> float:
    test = dl.MnistData.load().test
    return float((model.predict(test.images[:2000]).argmax(1) == test.labels[:2000]).mean())


@pytest.mark.parametrize("pixels", [scale.text for scale in USUAL if scale.text != "255-0"])
def test_a_file_of_another_scale_is_found_out_and_answers_as_it_should(
    learned: Checkpoint, foreign: Callable[[str], Path], pixels: str
) -> None:
    expected = right(dl.Sequential.from_checkpoint(learned))
    opened = opened_model(foreign(pixels))
    assert opened.pixels == pixels
    assert opened.note.startswith(f"of {pixels}.safetensors gets pixels ")
    assert f"--pixels {pixels}: 89.8 % of 2,000" in opened.note
    assert right(opened.model) == right(dl.load_model(foreign(pixels), pixels=pixels)) == expected > 0.85
    assert right(dl.load_model(foreign(pixels))) < expected


def test_what_was_told_comes_before_what_would_be_found(foreign: Callable[[str], Path]) -> None:
    opened = opened_model(foreign("0-255"), pixels="0-1")
    assert (opened.pixels, opened.note) == ("0-1", "")
    assert right(opened.model) < 0.6


def test_what_was_found_is_kept_for_copies_and_renamed_files(
    foreign: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIGITLAB_CACHE", str(tmp_path))
    opened = opened_model(foreign("0-255"))
    copied = Path(shutil.copy(foreign("0-255"), tmp_path / "mine.safetensors"))
    with monkeypatch.context() as patch:
        patch.setattr("digitlab.engine.models.fitting_scale", None)  # nobody is asked again
        again = opened_model(copied)
    assert again.pixels == "0-255"
    assert again.note == opened.note.replace("of 0-255", "mine")
    ((text, *_),) = json.loads((tmp_path / "pixels.json").read_text()).values()
    assert text == "0-255"


def test_known_images_are_always_asked(foreign: Callable[[str], Path]) -> None:
    known = dl.MnistData.load().validation
    turned = Split("validation", 255 - known.images, known.labels)
    assert opened_model(foreign("0-1"), known=known).pixels == "0-1"
    assert opened_model(foreign("0-1"), known=turned).pixels == "1-0"
    assert opened_model(foreign("0-1"), known=known).pixels == "0-1"


def test_other_networks_are_opened_as_they_are(tmp_path: Path) -> None:
    for units, shape in ((3, (28, 28, 1)), (10, (5,)), (26, (784,))):
        network = dl.Sequential([Flatten()] * (len(shape) == 3) + [Dense(units, activation="softmax")], shape)
        save_checkpoint(
            tmp_path / "m.safetensors",
            Checkpoint(network.architecture, tuple(network.get_weights()), network.class_names),
        )
        opened = opened_model(tmp_path / "m.safetensors")
        assert (opened.pixels, opened.note, opened.metadata) == ("0-1", "", {})


def test_a_file_that_tells_its_scale_is_believed_and_nothing_else(
    foreign: Callable[[str], Path], tmp_path: Path
) -> None:
    raw = load_checkpoint(foreign("0-255"))
    told = Checkpoint(raw.architecture, raw.weights, raw.class_names, {"pixels": "0-255"})
    path = tmp_path / "told.safetensors"
    for checkpoint, pixels in ((told, "0-255"), (with_pixels(raw, USUAL[0]), "0-1")):
        save_checkpoint(path, checkpoint)
        opened = opened_model(path)
        assert (opened.pixels, opened.note, opened.metadata) == (None, "", {"pixels": "0-1"})
        assert right(opened.model) == right(opened_model(path, pixels=pixels).model) > 0.85
        with pytest.raises(ConfigError, match=r"told\.safetensors says itself how .* Leave out pixels -1-1\."):
            opened_model(path, pixels="-1-1")


def test_a_run_has_digitlabs_own_scale(tmp_path: Path) -> None:
    config = dl.TrainConfig(network="dense_baseline", train_images=64, validation_images=32, epochs=1)
    dl.train(config, tmp_path, name="mine")
    assert opened_model("mine", tmp_path).pixels == "0-1"
    assert opened_model("mine", tmp_path, pixels="0-1").note == ""
    with pytest.raises(ConfigError, match=r"mine is a run of digitlab's own, .* Leave out pixels 0-255\."):
        dl.load_model("mine", out=tmp_path, pixels="0-255")
