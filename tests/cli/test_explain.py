"""``digitlab explain`` shows what a network makes of an image, and writes it as a page."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import digitlab as dl
from digitlab.cli.app import main


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one trained run."""
    folder = tmp_path_factory.mktemp("explained")
    assert main(["train", "--quiet", "--epochs", "2", "--out", str(folder)]) == 0
    return folder


def test_a_test_image_is_explained_with_its_answer_and_what_would_change_it(runs: Path, capsys: Any) -> None:
    assert main(["explain", "latest", "4", "--out", str(runs)]) == 0
    told = capsys.readouterr().out
    assert "conv2d_1" in told
    assert "24 x 24 x 8" in told
    assert "The answer: Four" in told
    assert "from 256 products" in told
    assert "The smallest change that was found to make it" in told


def test_the_json_form_holds_what_python_shows(runs: Path, capsys: Any) -> None:
    assert main(["explain", "latest", "4", "--out", str(runs), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    inside = dl.look_inside(dl.load_model("latest", out=runs), dl.MnistData.load().test.images[4])
    assert told == inside.to_dict()


def test_a_picture_of_any_size_is_framed_as_digits_are_and_its_page_written(
    runs: Path, tmp_path: Path, capsys: Any
) -> None:
    digit = dl.MnistData.load().test.images[0]
    drawn = 255 - np.pad(np.asarray(Image.fromarray(digit).resize((140, 140), Image.Resampling.BICUBIC)), 60)
    Image.fromarray(drawn).save(tmp_path / "seven.png")
    page = tmp_path / "seven.html"
    assert main(["explain", "latest", str(tmp_path / "seven.png"), "--out", str(runs), "--html", str(page)]) == 0
    assert "The answer: Seven" in capsys.readouterr().out
    assert "seven.png" in page.read_text("utf-8")


@pytest.mark.parametrize(
    ("image", "wanted"),
    [
        ("10000", "test images 0 to 9,999"),
        ("nothing.png", "There is no file"),
        ("blank.png", "no ink"),
        ("pipe.png", "is not a file"),
        ("two-idx3-ubyte", "holds 2 images"),
    ],
)
def test_what_cannot_be_explained_is_told(runs: Path, tmp_path: Path, capsys: Any, image: str, wanted: str) -> None:
    Image.new("L", (100, 100), 255).save(tmp_path / "blank.png")
    os.mkfifo(tmp_path / "pipe.png")  # which nobody writes into
    dl.write_idx(tmp_path / "two-idx3-ubyte", np.zeros((2, 28, 28), np.uint8))
    name = image if image.isdecimal() else str(tmp_path / image)
    assert main(["explain", "latest", name, "--out", str(runs)]) == 2
    assert wanted in " ".join(capsys.readouterr().err.split())


def test_a_model_of_another_runtime_says_why_it_is_not_explained(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    class Elsewhere:
        note, model = "", property(lambda self: self)

        def sentence(self) -> str:
            return "It runs through another program, since digitlab's layers do not express it."

    monkeypatch.setattr("digitlab.reading.predictor.Predictor", lambda *_: Elsewhere())
    assert main(["explain", "model.onnx", "4"]) != 0
    assert "do not express it" in " ".join(capsys.readouterr().err.split())


def test_a_step_is_told_with_its_images_and_layers(runs: Path, capsys: Any) -> None:
    assert main(["explain", "latest", "--step", "3", "--out", str(runs)]) == 0
    told = capsys.readouterr().out
    apart = dl.take_step_apart("latest", 3, out=runs)
    assert "Step 3 is batch 3 of epoch 1: 512 images" in told
    assert f"{apart.loss:.4f} before it and is {apart.loss_after:.4f} after it" in told
    assert f"{apart.losses.max():.4f}" in told
    assert main(["explain", "latest", "--step", "3", "--out", str(runs), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == apart.to_dict()


def test_a_weight_of_a_step_is_taken_apart_with_another_rate_too(runs: Path, capsys: Any) -> None:
    words = ["explain", "latest", "--step", "2", "--out", str(runs), "--weight", "conv2d:2,1,0,3"]
    why = dl.take_step_apart("latest", 2, out=runs, learning_rate=0.05).why("conv2d", 2, 1, 0, 3, n_terms=8)
    assert main([*words, "--learning-rate", "0.05"]) == 0
    told = capsys.readouterr().out
    assert f"{why.before:.7g} before, {why.after:.7g} after, a change of {why.change:.7g}" in told
    assert f"-0.05 x {why.update.corrected_mean:.7g} / " in told  # type: ignore[union-attr]
    assert main([*words, "--learning-rate", "0.05", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == why.to_dict()


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ([], "Name an image to explain, or a step"),
        (["4", "--step", "1"], "one of the two"),
        (["--step", "0"], "whole numbers from 1"),
        (["--step", "23"], "has 22 steps"),
        (["--step", "1", "--html", "page.html"], "leave them out"),
        (["--step", "1", "--beside", "untrained"], "leave them out"),
        (["4", "--weight", "conv2d:1"], "name one with --step"),
        (["--step", "1", "--weight", "conv2d"], "such as conv2d:2,1,0,3"),
        (["--step", "1", "--weight", "conv2d:9,9,9,9"], "Its kernel is 5 × 5 × 1 × 8"),
        (["--step", "1", "--weight", "conf2d:0"], "Did you mean 'conv2d'"),
        (["--step", "1", "--learning-rate", "nan"], "learning_rate"),
    ],
)
def test_a_step_that_cannot_be_told_says_why(runs: Path, capsys: Any, words: list[str], wanted: str) -> None:
    assert main(["explain", "latest", *words, "--out", str(runs)]) == 2
    assert wanted in " ".join(capsys.readouterr().err.split())


def test_the_network_before_its_training_or_another_stands_beside_it_on_the_page(
    runs: Path, tmp_path: Path, capsys: Any
) -> None:
    model, page = dl.load_model("latest", out=runs), tmp_path / "two.html"
    dl.dense_baseline(seed=3).save(str(tmp_path / "dense.safetensors"))
    untrained = dl.Sequential.from_architecture(model.architecture, seed=0)
    image = dl.MnistData.load().test.images[4]
    for beside, other in (("untrained", untrained), (str(tmp_path / "dense.safetensors"), dl.dense_baseline(seed=3))):
        asked = ["explain", "latest", "4", "--out", str(runs), "--html", str(page), "--beside", beside]
        assert main(asked) == 0
        text = page.read_text("utf-8")
        sides = json.loads(text.partition('id="data">')[2].partition("</script>")[0])
        assert [side["data"]["label"] for side in sides] == [dl.look_inside(one, image).label for one in (model, other)]
        assert sides[1]["words"].startswith("Before its training" if beside == "untrained" else "dense.safetensors")
    capsys.readouterr()


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        (["latest", "4", "--beside", "untrained"], "--html"),
        (["latest", "4", "--html", "HERE", "--beside", "no-such-run"], "no-such-run"),
        (["FILE", "4", "--html", "HERE", "--beside", "untrained"], "Only a run knows"),
    ],
)
def test_what_cannot_stand_beside_it_is_told(
    runs: Path, tmp_path: Path, capsys: Any, asked: list[str], wanted: str
) -> None:
    dl.dense_baseline(seed=3).save(str(tmp_path / "FILE.safetensors"))
    words = [str(tmp_path / f"{word}.safetensors") if word == "FILE" else word for word in asked]
    words = [str(tmp_path / "page.html") if word == "HERE" else word for word in words]
    assert main(["explain", *words, "--out", str(runs)]) == 2
    assert wanted in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "page.html").exists()
