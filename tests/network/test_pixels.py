"""The scale of pixels: how it is told, how it becomes part of a network, how it is found, and what is kept of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from digitlab.engine.sequential import Sequential
from digitlab.errors import ConfigError, NetworkError
from digitlab.network import Architecture, Checkpoint, Conv2D, Dense, Flatten
from digitlab.network.pixels import (
    OWN,
    USUAL,
    PixelScale,
    ScaleFit,
    digest_of,
    fitting_scale,
    keep_scale,
    kept_scale,
    told_scale,
    with_pixels,
)

FIT = ScaleFit(USUAL[0], 2000, 0.967, 0.096)


@pytest.mark.parametrize(
    ("text", "of_0", "of_1"),
    [
        ("0-1", 0, 1),
        ("0-255", 0, 255),
        ("-1-1", -1, 1),
        ("-0.5-0.5", -0.5, 0.5),
        ("-2--1", -2, -1),
        (" 0 - 16 ", 0, 16),
        ("255-0", 255, 0),
        ("0.1307,0.3081", -0.1307 / 0.3081, (1 - 0.1307) / 0.3081),
        ("0.5, .5", -1, 1),
    ],
)
def test_a_scale_is_told_by_its_ends_or_by_mean_and_deviation(text: str, of_0: float, of_1: float) -> None:
    scale = PixelScale.of(text)
    assert scale.offset == pytest.approx(of_0)
    assert scale.factor + scale.offset == pytest.approx(of_1)


@pytest.mark.parametrize(
    "text", ["", "255", "0..255", "1-1", "0.5,0", "0.5,-1", "0-1e9", "nan-1", "0,1,2", "0-255\n1", "9" * 99]
)
def test_what_is_no_scale_is_a_sentence_with_the_forms(text: str) -> None:
    with pytest.raises(ConfigError, match="0-255, -1-1, or MEAN,STD") as caught:
        PixelScale.of(text)
    assert len(str(caught.value)) < 250


@given(st.text(max_size=30))
def test_any_text_is_a_scale_of_finite_numbers_or_a_sentence(text: str) -> None:
    try:
        scale = PixelScale.of(text)
    except ConfigError:
        return
    assert np.isfinite([scale.factor, scale.offset]).all()
    assert scale.factor != 0


def checkpoint(*layers: Any, seed: int = 1) -> Checkpoint:
    network = Architecture([*layers, Flatten(), Dense(10, activation="softmax")], (12, 12, 1))
    return Checkpoint(network, tuple(network.initial_weights(seed=seed)), metadata={"epoch": "3"})


@pytest.mark.parametrize("scale", USUAL, ids=lambda scale: scale.text)
@pytest.mark.parametrize("layers", [(), (Conv2D(3, 3, activation="relu"),), (Conv2D(3, 3, padding="same"),)])
def test_a_scale_becomes_part_of_the_network(layers: tuple[Any, ...], scale: PixelScale) -> None:
    own = checkpoint(*layers)
    images = np.random.default_rng(0).random((20, 12, 12), np.float32)
    made = with_pixels(own, scale)
    expected = Sequential.from_checkpoint(own).predict(images * np.float32(scale.factor) + np.float32(scale.offset))
    np.testing.assert_allclose(Sequential.from_checkpoint(made).predict(images), expected, atol=1e-4)
    assert made.metadata == {"epoch": "3", "pixels": "0-1"}
    assert told_scale(made) == OWN


@pytest.mark.parametrize("metadata", [{}, {"pixels": "bytes"}, {"pixels": ""}])
def test_metadata_that_tell_no_scale_are_passed_over(metadata: dict[str, str]) -> None:
    own = checkpoint()
    assert told_scale(Checkpoint(own.architecture, own.weights, own.class_names, metadata)) is None


# ---- which scale fits ----

LABELS = np.arange(1000) % 10


def knows(scale: PixelScale, right: float, otherwise: float = 0.1) -> Any:
    """Return a network that answers ``right`` of images in its scale rightly, and ``otherwise`` of others."""

    def answers(given: PixelScale, n: int) -> NDArray[np.float32]:
        draw = np.random.default_rng(7).random(1000)[:n]
        chosen = np.where(draw < (right if given == scale else otherwise), LABELS[:n], (LABELS[:n] + 1) % 10)
        return np.eye(10, dtype=np.float32)[chosen]

    return answers


@pytest.mark.parametrize("scale", USUAL[:4], ids=lambda scale: scale.text)
def test_the_scale_that_fits_far_better_is_found_with_both_accuracies(scale: PixelScale) -> None:
    fit = fitting_scale(knows(scale, 0.9, 0.4), LABELS)
    assert fit is not None
    assert fit.scale == scale
    assert fit.n_images == 1000
    assert (fit.accuracy, fit.own_accuracy) == (pytest.approx(0.9, abs=0.03), pytest.approx(0.4, abs=0.05))


@pytest.mark.parametrize(("right", "otherwise"), [(0.9, 0.88), (0.45, 0.1), (0.99, 0.985)])
def test_what_fits_little_better_or_is_wrong_mostly_is_not_taken(right: float, otherwise: float) -> None:
    fit = fitting_scale(knows(USUAL[0], right, otherwise), LABELS)
    assert fit is None or fit.scale.is_own


def test_a_network_that_fits_is_asked_for_few_images() -> None:
    asked: list[int] = []

    def answers(scale: PixelScale, n: int) -> NDArray[np.float32]:
        asked.append(n)
        return np.asarray(knows(OWN, 1.0)(scale, n))

    fit = fitting_scale(answers, LABELS)
    assert fit is not None
    assert fit.scale == OWN
    assert asked == [200]


def test_a_network_for_something_else_fits_no_scale() -> None:
    assert fitting_scale(knows(OWN, 0.1), LABELS) is None
    assert fitting_scale(knows(OWN, 1.0), LABELS[:0]) is None


def test_answers_that_are_no_numbers_in_one_scale_are_wrong_ones() -> None:
    def answers(scale: PixelScale, n: int) -> NDArray[np.float32]:
        if scale.factor > 2:
            raise NetworkError("no number")
        return np.asarray(knows(USUAL[1], 0.9)(scale, n))

    fit = fitting_scale(answers, LABELS)
    assert fit is not None
    assert fit.scale == USUAL[1]


# ---- what is kept ----


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DIGITLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_what_was_found_is_kept_under_the_network_and_its_weights(cache: Path) -> None:
    one, other = digest_of(checkpoint()), digest_of(checkpoint(seed=2))
    assert one == digest_of(checkpoint()) != other
    keep_scale(one, FIT)
    assert kept_scale(one) == FIT
    assert kept_scale(other) is None
    better = ScaleFit(OWN, 200, 0.99, 0.99)
    keep_scale(one, better)
    assert kept_scale(one) == better
    assert [path.name for path in cache.iterdir()] == ["pixels.json"]


def test_the_last_ones_are_kept(cache: Path) -> None:
    digests = [f"{number:064x}" for number in range(502)]
    (cache / "pixels.json").parent.mkdir(mode=0o700)
    content = {digest: ["0-255", 2000, 0.967, 0.096] for digest in digests[:501]}
    (cache / "pixels.json").write_text(json.dumps(content))
    keep_scale(digests[501], FIT)
    kept = json.loads((cache / "pixels.json").read_text())
    assert list(kept) == digests[2:]
    assert (cache / "pixels.json").stat().st_size < 2**17


@pytest.mark.parametrize(
    "entry",
    [None, 5, [], ["0-255"], ["0-17", 2000, 0.9, 0.1], ["0-255", 0, 0.9, 0.1], ["0-255", 2000, 0.1, 0.9],
     ["0-255", 2000, 1.5, 0.1], ["0-255", "x", 0.9, 0.1], ["0-255", 10**12, 0.9, 0.1], [["0-255"], 9, 0.9, 0.1]],
)  # fmt: skip
def test_an_entry_that_was_never_written_so_is_passed_over(cache: Path, entry: object) -> None:
    cache.mkdir(mode=0o700)
    (cache / "pixels.json").write_text(json.dumps({"0" * 64: entry}))
    assert kept_scale("0" * 64) is None


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b'{"a": NaN}', b" " * 2**18])
def test_a_damaged_file_is_replaced(cache: Path, content: bytes) -> None:
    cache.mkdir(mode=0o700)
    (cache / "pixels.json").write_bytes(content)
    assert kept_scale("0" * 64) is None
    keep_scale("0" * 64, FIT)
    assert kept_scale("0" * 64) == FIT


def test_without_a_cache_folder_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITLAB_CACHE", "off")
    keep_scale("0" * 64, FIT)
    assert kept_scale("0" * 64) is None
