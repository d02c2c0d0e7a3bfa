"""``digitlab predict`` and the images it opens."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from digitlab.cli.predict import read_digits
from digitlab.data.idx import write_idx
from digitlab.data.mnist import MnistData
from digitlab.engine.models import load_model
from digitlab.errors import DataError
from digitlab.network import Checkpoint, architecture, save_checkpoint


@pytest.fixture(scope="session")
def digits() -> NDArray[np.uint8]:
    return MnistData.load().test.images[:30]


@pytest.fixture
def png(digits: NDArray[np.uint8], tmp_path: Path) -> Path:
    path = tmp_path / "seven.png"
    Image.fromarray(digits[0]).save(path)
    return path


def test_predictions_are_those_of_the_model(call: Any, out: Path, png: Path, digits: NDArray[np.uint8]) -> None:
    outcome = call("predict", "first", png, "--out", out, "--json")
    (prediction,) = outcome.json()
    expected = load_model("first", out=out).predict(digits[:1])[0]
    assert prediction["source"] == str(png)
    assert prediction["label"] == expected.argmax()
    assert prediction["probabilities"] == [float(p) for p in expected]
    assert prediction["confidence"] == max(prediction["probabilities"])


@pytest.mark.parametrize("columns", [60, 80, 100, 140])
def test_the_table_tells_source_answer_and_confidence(
    call: Any, out: Path, png: Path, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.chdir(png.parent)
    monkeypatch.setenv("COLUMNS", str(columns))
    outcome = call("predict", "latest", png.name, "--out", out)
    assert outcome.code == 0
    assert all(words in outcome.out for words in ("Source", "seven.png", "Answer", "Confidence"))


def test_an_idx_file_gives_its_first_images_or_those_asked_for(
    call: Any, out: Path, digits: NDArray[np.uint8], tmp_path: Path
) -> None:
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    write_idx(path, digits)
    outcome = call("predict", "first", path, "--out", out, "--json")
    assert [entry["source"] for entry in outcome.json()] == [f"{path}#{i}" for i in range(10)]
    assert "of 30 images" in outcome.err
    assert len(call("predict", "first", path, "--out", out, "--limit", "30", "--json").json()) == 30
    chosen = call("predict", "first", path, "--out", out, "--json", "--index", "29", "3").json()
    assert [entry["source"] for entry in chosen] == [f"{path}#29", f"{path}#3"]


def test_dark_ink_of_idx_files_is_told_and_never_turned_round_unasked(
    call: Any, out: Path, digits: NDArray[np.uint8], tmp_path: Path
) -> None:
    inverted, upright = tmp_path / "inverted-idx", tmp_path / "idx"
    write_idx(inverted, 255 - digits)
    write_idx(upright, digits)
    as_it_is = call("predict", "first", upright, "--out", out, "--json")
    wrong = call("predict", "first", inverted, "--out", out, "--json")
    right = call("predict", "first", inverted, "--out", out, "--json", "--invert")
    assert "--invert" in wrong.err
    assert "--invert" not in as_it_is.err + right.err
    assert right.json()[0]["probabilities"] == as_it_is.json()[0]["probabilities"] != wrong.json()[0]["probabilities"]


def test_an_inverted_image_is_turned_round_or_its_digit_found(call: Any, out: Path, png: Path, tmp_path: Path) -> None:
    inverted = tmp_path / "inverted.png"
    with Image.open(png) as image:
        Image.fromarray(255 - np.asarray(image)).save(inverted)
    expected = call("predict", "first", png, "--out", out, "--json").json()[0]["probabilities"]
    assert call("predict", "first", inverted, "--out", out, "--json", "--invert").json()[0]["probabilities"] == expected
    assert call("predict", inverted, "--json").json()[0]["label"] == 7


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of a seven, of all sizes and kinds, and of nothing."""
    folder = tmp_path_factory.mktemp("pictures")
    seven = Image.fromarray(255 - MnistData.load().test.images[0])
    photo = Image.new("RGB", (640, 480), (214, 205, 180))
    photo.paste((40, 40, 90), (180, 60), Image.fromarray(255 - np.asarray(seven.resize((300, 300)))))
    photo.save(folder / "photo.jpg")
    drawing = Image.new("RGBA", (280, 280), (0, 0, 0, 0))
    drawing.paste((0, 0, 0, 255), (0, 0), Image.fromarray(255 - np.asarray(seven.resize((280, 280)))))
    drawing.save(folder / "transparent.png")
    seven.resize((32, 30)).save(folder / "odd.gif")
    Image.new("L", (200, 200), 255).save(folder / "blank.png")
    return folder


def test_any_picture_of_one_digit_is_answered_by_the_shipped_reader(call: Any, pictures: Path, png: Path) -> None:
    names = ("photo.jpg", "transparent.png", "odd.gif")
    outcome = call("predict", *(pictures / name for name in names), png, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    for entry in outcome.json():
        assert entry["label"] == 7
        assert len(entry["probabilities"]) == 10
        assert sum(entry["probabilities"]) == pytest.approx(1, abs=1e-5)
        assert entry["not_a_digit"] < 0.5 < entry["confidence"] <= 1


def test_a_run_answers_any_picture_too_and_the_finder_says_whether_there_is_a_digit(
    call: Any, out: Path, pictures: Path
) -> None:
    (entry,) = call("predict", "first", pictures / "photo.jpg", "--out", out, "--json").json()
    assert 0 < entry["not_a_digit"] < 0.5
    assert entry["confidence"] == pytest.approx(max(entry["probabilities"]) * (1 - entry["not_a_digit"]))


def test_where_there_is_no_digit_the_answer_says_so(call: Any, pictures: Path) -> None:
    assert "no digit here" in call("predict", pictures / "blank.png").out
    (entry,) = call("predict", pictures / "blank.png", "--json").json()
    assert entry["label"] is None
    assert entry["not_a_digit"] == entry["confidence"] == 1


def test_a_run_keeps_its_name_where_a_file_is_called_so_too(
    call: Any, out: Path, png: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("first").write_text("a file")
    assert call("predict", "first", png, "--out", out).code == 0


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "LA"])
def test_any_usual_kind_of_pixels_is_read_as_grey(digits: NDArray[np.uint8], tmp_path: Path, mode: str) -> None:
    path = tmp_path / "digit.png"
    Image.fromarray(digits[0]).convert(mode).save(path)
    ((digit,), n) = read_digits(path)
    assert n == 1
    assert np.array_equal(digit.image, digits[0])


def test_sixteen_bits_are_read_as_eight(digits: NDArray[np.uint8], tmp_path: Path) -> None:
    Image.fromarray(digits[0].astype(np.uint16) * 257).save(tmp_path / "digit.png")
    assert np.array_equal(read_digits(tmp_path / "digit.png")[0][0].image, digits[0])


def _huge(path: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(path)


def _heavy(path: Path) -> None:
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(6 * 2**20))


def _cut_off(path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (28, 28), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:200])


def _text(path: Path) -> None:
    path.write_text("hello")


def _empty(path: Path) -> None:
    path.touch()


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (_huge, "megapixels"),
        (_heavy, "image"),
        (_cut_off, "damaged"),
        (_text, "no image"),
        (_empty, "empty"),
        (Path.mkdir, "not a file"),
        (os.mkfifo, "not a file"),
        (lambda path: None, "no file"),
    ],
)
def test_what_is_no_digit_is_a_sentence(call: Any, out: Path, tmp_path: Path, make: Any, expected: str) -> None:
    make(tmp_path / "it.png")
    outcome = call("predict", "first", tmp_path / "it.png", "--out", out)
    assert (outcome.code, outcome.out) == (2, "")
    assert expected in outcome.err.replace("\n", " ")
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.zeros(5, np.uint8), "labels"),
        (np.zeros((2, 20, 20), np.uint8), "28, 28"),
        (np.zeros((2, 28, 28), np.float32), "float32"),
        (np.zeros((0, 28, 28), np.uint8), "no images"),
    ],
)
def test_an_idx_file_of_something_else_is_a_sentence(tmp_path: Path, array: NDArray[Any], expected: str) -> None:
    write_idx(tmp_path / "idx", array)
    with pytest.raises(DataError, match=expected):
        read_digits(tmp_path / "idx")


def test_indices_outside_the_file_and_odd_limits_are_sentences(
    call: Any, out: Path, digits: NDArray[np.uint8], png: Path, tmp_path: Path
) -> None:
    write_idx(tmp_path / "idx", digits)
    for words in (("--index", "30"), ("--index", "-1"), ("--limit", "0")):
        outcome = call("predict", "first", tmp_path / "idx", *words, "--out", out)
        assert outcome.code == 2
        assert outcome.err.startswith("Error: ")
    assert "IDX" in call("predict", "first", png, "--index", "0", "--out", out).err


def test_without_an_image_there_is_a_sentence(call: Any, out: Path) -> None:
    for words in (("first", "--out", out), ()):
        outcome = call("predict", *words)
        assert outcome.code == 2
        assert "no images" in outcome.err


@pytest.mark.slow
def test_a_model_whose_answers_are_no_numbers_is_told_as_such(call: Any, png: Path, tmp_path: Path) -> None:
    network = architecture("dense_baseline")
    weights = tuple(np.full(shape, 3.4e38, np.float32) for shape in network.weight_shapes)
    save_checkpoint(tmp_path / "max.safetensors", Checkpoint(network, weights))
    for words in (
        ("predict", tmp_path / "max.safetensors", png),
        ("read", "--model", tmp_path / "max.safetensors", png),
    ):
        for form in ((), ("--json",)):
            outcome = call(*words, *form)
            assert outcome.code in (1, 2)
            assert "answers with what is no number" in (outcome.err + outcome.out).replace("\n", " ")
            assert "NaN," not in outcome.out


# ---- networks of others ----


@pytest.fixture(scope="module")
def corners(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], list[int]]:
    """White digits on black, 28 x 28, small and in a corner, as nobody frames them; and which they are."""
    folder, test = tmp_path_factory.mktemp("corners"), MnistData.load().test
    paths = []
    for place in range(12):
        small = cv2.resize(test.images[place], (16, 16), interpolation=cv2.INTER_AREA)
        image = np.zeros((28, 28), np.uint8)
        image[11:27, 1:17] = small
        paths.append(folder / f"{place}.png")
        Image.fromarray(image).save(paths[-1])
    return paths, test.labels[:12].tolist()


def test_what_is_not_framed_is_framed_for_a_network_that_knows_digits(
    call: Any, foreign: Any, corners: tuple[list[Path], list[int]]
) -> None:
    entries = call("predict", foreign("0-1"), *corners[0], "--json").json()
    assert sum(entry["label"] == label for entry, label in zip(entries, corners[1], strict=True)) >= 10


def test_mnists_images_are_asked_as_they_are(call: Any, foreign: Any, png: Path, digits: NDArray[np.uint8]) -> None:
    model = load_model(foreign("0-1"))
    (entry,) = call("predict", foreign("0-1"), png, "--json").json()
    np.testing.assert_allclose(entry["probabilities"], model.predict(digits[:1])[0], atol=1e-6)


def test_pictures_are_not_framed_for_a_network_that_knows_something_else(
    call: Any, out: Path, corners: tuple[list[Path], list[int]]
) -> None:
    # The small run knows some digits at most; whatever it knows, it is asked for what is in the file.
    with Image.open(corners[0][0]) as image:
        expected = load_model("first", out=out).predict(np.asarray(image)[None])[0]
    (entry,) = call("predict", "first", corners[0][0], "--out", out, "--json").json()
    np.testing.assert_allclose(entry["probabilities"], expected, atol=1e-6)


def test_a_file_of_another_scale_answers_as_it_learned_and_says_so(call: Any, foreign: Any, png: Path) -> None:
    own = call("predict", foreign("0-1"), png, "--json")
    found = call("predict", foreign("-1-1"), png, "--json")
    told = call("predict", foreign("-1-1"), png, "--json", "--pixels", "-1-1")
    assert own.err == told.err == ""
    assert "gets pixels from -1 to 1 here, as with --pixels -1-1: 89.8 %" in found.err
    for outcome in (found, told):
        np.testing.assert_allclose(outcome.json()[0]["probabilities"], own.json()[0]["probabilities"], atol=1e-5)


def test_a_scale_without_a_model_is_a_sentence(call: Any, png: Path) -> None:
    outcome = call("predict", png, "--pixels", "0-255")
    assert (outcome.code, outcome.out) == (2, "")
    assert "name one before the images" in outcome.err


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "PDF"])
def test_every_page_of_a_document_is_answered(
    call: Any, digits: NDArray[np.uint8], tmp_path: Path, png: Path, kind: str
) -> None:
    pages = [Image.fromarray(255 - image).resize((140, 140)).convert("RGB") for image in digits[:3]]
    path = tmp_path / f"three.{kind.lower()}"
    pages[0].save(path, kind, save_all=True, append_images=pages[1:])
    answers = call("predict", path, png, "--json").json()
    assert [answer["label"] for answer in answers] == [7, 2, 1, 7]
    assert [answer["source"] for answer in answers] == [*(f"{path}, page {k}" for k in (1, 2, 3)), str(png)]
