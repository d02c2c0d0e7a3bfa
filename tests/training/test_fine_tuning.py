"""Fine-tuning: corrections are learned, nothing is forgotten, what reads worse says so, and a seed gives the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import digitlab as dl
from digitlab.data.mnist import Split
from digitlab.errors import ConfigError, InputError, RunError
from digitlab.evaluation.finish import evaluate_run, write_report
from digitlab.network import Architecture, Dense, Flatten
from digitlab.network.checkpoint import Checkpoint, load_checkpoint
from digitlab.reading.answers import SHIPPED, Answers
from digitlab.reading.apart import Apart
from digitlab.reading.photo import open_photo
from digitlab.reading.reading import ReadingOptions
from digitlab.training import fine_tuning
from digitlab.training.fine_tuning import (
    Figure,
    FineTuned,
    FineTuningOptions,
    KnownPhoto,
    fine_tune,
    keep_fine_tuned,
    repeat_fine_tuned,
)
from digitlab.training.pages import compose_page

WHOLE_PAGE = fine_tuning._PAGE
OPTIONS = FineTuningOptions(replay_images=1000, batch_size=64, learning_rate=0.003)


@pytest.fixture(scope="module")
def data() -> dl.MnistData:
    whole = dl.MnistData.load()

    def some(split: Split, n: int) -> Split:
        return Split(split.name, split.images[:n], split.labels[:n])

    return dl.MnistData(
        some(whole.training, 4000), some(whole.validation, 500), some(whole.test, 1000), source="some", digest="some"
    )


@pytest.fixture(scope="module")
def trained(data: dl.MnistData) -> dl.Sequential:
    model = dl.codelab_cnn(seed=0)
    model.fit(data.training.images, data.training.labels, batch_size=64, epochs=3)
    return model


@pytest.fixture(scope="module")
def start(trained: dl.Sequential) -> Checkpoint:
    return Checkpoint(trained.architecture, tuple(trained.get_weights()), trained.class_names, {"temperature": "1.5"})


@pytest.fixture(scope="module")
def wrong(trained: dl.Sequential, data: dl.MnistData) -> tuple[np.ndarray, np.ndarray]:
    """Return six validation images that the network answers wrongly."""
    images, labels = data.validation.images, data.validation.labels
    chosen = np.flatnonzero(trained.predict(images).argmax(axis=1) != labels)[:6]
    assert len(chosen) == 6
    return images[chosen], labels[chosen]


@pytest.fixture(autouse=True)
def _short_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read seven digits before and after, which takes a tenth of the time."""
    monkeypatch.setattr(fine_tuning, "_PAGE", (4, 3))


@pytest.mark.slow
def test_corrections_are_learned_and_mnist_is_not_forgotten(
    start: Checkpoint, wrong: tuple[np.ndarray, np.ndarray], data: dl.MnistData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fine_tuning, "_PAGE", WHOLE_PAGE)
    told: list[tuple[int, int]] = []
    tuned = fine_tune(start, *wrong, data, OPTIONS, on_step=lambda *at: told.append(at))
    assert (tuned.corrections.n, tuned.corrections.right_before, tuned.n_left_out) == (6, 0, 0)
    assert tuned.corrections.right_after >= 2
    assert tuned.test.n == 1000
    assert tuned.test.right_after >= tuned.test.right_before - 5
    assert tuned.page.n == 98
    assert 0 < tuned.page.right_before <= 98
    assert told == [(k, told[0][1]) for k in range(told[0][1] + 1)]
    # The numbers are those of the network that is returned: what is answered, if it is answered surely enough.
    answers = Answers(dl.Sequential.from_checkpoint(tuned.checkpoint), tuned.checkpoint.metadata)
    for figure, images, labels in (
        (tuned.corrections, *wrong),
        (tuned.test, data.test.images, data.test.labels),
    ):
        said = answers.of_images(images[..., None].astype(np.float32) / np.float32(255))
        assert ((said.argmax(axis=1) == labels) & (said.max(axis=1) >= 0.4)).sum() == figure.right_after
    assert tuned.checkpoint.metadata["temperature"] == "1.5"


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_on_any_number_of_threads(
    start: Checkpoint, wrong: tuple[np.ndarray, np.ndarray], data: dl.MnistData
) -> None:
    def weights(**changes: int) -> list[np.ndarray]:
        options = FineTuningOptions(replay_images=200, epochs=1, **changes)
        return list(fine_tune(start, *wrong, data, options).checkpoint.weights)

    first, same, other = weights(threads=1), weights(threads=2), weights(seed=1)
    assert all(np.array_equal(a, b) for a, b in zip(first, same, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, start.weights, strict=True))


def test_what_is_raised_on_the_way_ends_it(
    start: Checkpoint, wrong: tuple[np.ndarray, np.ndarray], data: dl.MnistData
) -> None:
    def stop(step: int, n_steps: int) -> None:
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fine_tune(start, *wrong, data, OPTIONS, on_step=stop)


def test_what_is_no_digit_is_left_out_for_a_network_of_ten(
    start: Checkpoint, wrong: tuple[np.ndarray, np.ndarray], data: dl.MnistData
) -> None:
    labels = wrong[1].copy()
    labels[:2] = 10
    tuned = fine_tune(start, wrong[0], labels, data, FineTuningOptions(replay_images=100, epochs=1))
    assert (tuned.corrections.n, tuned.n_left_out) == (4, 2)
    with pytest.raises(InputError, match="Choose the shipped reader"):
        fine_tune(start, wrong[0][:2], labels[:2], data)


@pytest.mark.slow
def test_a_network_of_eleven_learns_what_is_no_digit(data: dl.MnistData) -> None:
    start = load_checkpoint(SHIPPED)
    images = data.test.images[:6]
    tuned = fine_tune(start, images, np.full(6, 10, np.uint8), data, FineTuningOptions(replay_images=300))
    assert tuned.n_replayed > 300
    assert (tuned.corrections.n, tuned.corrections.right_before) == (6, 0)

    def refusal(checkpoint: Checkpoint) -> np.ndarray:
        answers = Answers(dl.Sequential.from_checkpoint(checkpoint), checkpoint.metadata)
        return answers.of_images(images[..., None].astype(np.float32) / np.float32(255))[:, 10]

    assert (refusal(tuned.checkpoint) > 2 * refusal(start)).all()


def test_it_is_kept_as_a_run_that_can_be_evaluated(
    start: Checkpoint, wrong: tuple[np.ndarray, np.ndarray], data: dl.MnistData, tmp_path: Path
) -> None:
    tuned = fine_tune(start, *wrong, data, FineTuningOptions(replay_images=200, epochs=2))
    run = keep_fine_tuned(tuned, data, tmp_path / "runs", origin="the shipped reader")
    assert keep_fine_tuned(tuned, data, tmp_path / "runs", origin="again").name == f"{run.name}_2"
    assert run.info().status == "complete"
    told = json.loads((run.path / "config.json").read_text())["fine_tuned"]
    assert told == {"origin": "the shipped reader"} | json.loads(json.dumps(tuned.to_dict()))
    assert write_report(run, data, evaluate_run(run, data)).exists()
    np.testing.assert_array_equal(
        dl.load_model(run.path).predict(wrong[0]), dl.Sequential.from_checkpoint(tuned.checkpoint).predict(wrong[0])
    )


@pytest.mark.slow
def test_a_run_that_learned_from_corrections_is_repeated_bit_for_bit(
    start: Checkpoint, wrong: tuple[np.ndarray, np.ndarray], data: dl.MnistData, tmp_path: Path
) -> None:
    labels = np.append(wrong[1], 10)
    images = np.concatenate([wrong[0], np.zeros((1, 28, 28), np.uint8)])
    tuned = fine_tune(start, images, labels, data, FineTuningOptions(replay_images=200, epochs=1, seed=4))
    run = keep_fine_tuned(tuned, data, tmp_path / "runs", origin="the run before", folder="some folder")
    assert run.info().changes == ("the run before, fine-tuned on 6 corrections",)
    assert run.read_json("config.json")["config"]["data"] == "some folder"
    assert run.read_json("config.json")["command"] == run.repeat_command()
    assert run.repeat_command() in write_report(run, data, evaluate_run(run, data)).read_text()
    again = repeat_fine_tuned(run, tmp_path / "runs", data=data, name="again")
    for a, b in zip(again.load_model().weights, run.load_model().weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert again.info().changes == run.info().changes
    other = dl.MnistData(data.training, data.validation, data.test, source="others", digest="others")
    with pytest.raises(RunError, match="others is not what the run"):
        repeat_fine_tuned(run, tmp_path / "runs", data=other)
    (run.path / "start.safetensors").unlink()
    with pytest.raises(RunError, match="does not hold what it was fine-tuned from"):
        repeat_fine_tuned(run, tmp_path / "runs", data=data)


@pytest.mark.slow
def test_photos_of_ones_own_are_read_before_and_after(data: dl.MnistData) -> None:
    start = load_checkpoint(SHIPPED)
    page = compose_page(data.validation, seed=1, numbers=(3, 2), digit_px=42)
    photo, options = open_photo(page.pixels), ReadingOptions(turn=False, straighten=False)
    digits = dl.Reader().read(page.pixels, options).digits
    assert digits
    as_read = KnownPhoto(photo, options, tuple((digit.box, digit.value) for digit in digits))
    otherwise = KnownPhoto(photo, options, tuple((digit.box, None) for digit in digits))
    tuning = FineTuningOptions(replay_images=64, epochs=1, learning_rate=1e-12)
    corrections = data.test.images[:2], data.test.labels[:2]
    tuned = fine_tune(start, *corrections, data, tuning, photos=[as_read, otherwise])
    assert tuned.photos == Figure(2 * len(digits), len(digits), len(digits))


@pytest.mark.slow
def test_photos_are_read_apart_and_one_that_takes_too_long_is_not_read(data: dl.MnistData) -> None:
    page = compose_page(data.validation, seed=1, numbers=(3, 2), digit_px=42)
    options = ReadingOptions(turn=False, straighten=False)
    digits = dl.Reader().read(page.pixels, options).digits
    known = KnownPhoto(open_photo(page.pixels), options, tuple((digit.box, digit.value) for digit in digits))
    judge = fine_tuning._Judge(load_checkpoint(SHIPPED), 1)
    apart = Apart(1)
    try:
        assert fine_tuning._n_right_there(apart, judge, known) == len(digits) > 0
        apart.allow(0.001)
        assert fine_tuning._n_right_there(apart, judge, known) == 0
    finally:
        apart.close()


@pytest.mark.slow
def test_what_is_refused_is_not_read(data: dl.MnistData) -> None:
    # Blank images are answered by nobody, so that of seven of them none is read rightly, and all are rightly refused.
    blank = np.zeros((7, 28, 28), np.uint8)
    options = FineTuningOptions(replay_images=64, epochs=1)
    tuned = fine_tune(load_checkpoint(SHIPPED), blank, np.full(7, 5, np.uint8), data, options)
    assert (tuned.corrections.n, tuned.corrections.right_before) == (7, 0)
    tuned = fine_tune(load_checkpoint(SHIPPED), blank, np.full(7, 10, np.uint8), data, options)
    assert (tuned.corrections.right_before, tuned.corrections.right_after) == (7, 7)


def test_the_bias_of_not_a_digit_is_not_learned_away(data: dl.MnistData, wrong: tuple[np.ndarray, np.ndarray]) -> None:
    start = load_checkpoint(SHIPPED)
    bias = float(start.metadata["bias_of_not_a_digit"])
    assert bias < -1
    tuned = fine_tune(start, *wrong, data, FineTuningOptions(replay_images=300, epochs=1))
    assert tuned.checkpoint.weights[-1][-1] == pytest.approx(start.weights[-1][-1], abs=0.1)
    # Nothing but the training itself would be left of a network that was not trained.
    there = fine_tuning._with_bias(start, -1)
    assert there.weights[-1][-1] - start.weights[-1][-1] == pytest.approx(-bias, abs=1e-4)
    np.testing.assert_allclose(fine_tuning._with_bias(there, 1).weights[-1], start.weights[-1], atol=1e-5)


def test_no_more_of_the_way_is_gone_than_validation_allows(
    start: Checkpoint, wrong: tuple[np.ndarray, np.ndarray], data: dl.MnistData
) -> None:
    small = fine_tune(start, *wrong, data, FineTuningOptions(replay_images=200, learning_rate=1e-12))
    assert small.part == 0.5
    assert not small.is_worse
    wild = fine_tune(start, *wrong, data, FineTuningOptions(replay_images=200, learning_rate=0.3))
    assert wild.part == 0.1


@pytest.mark.parametrize("worse", ["corrections", "test", "page", "photos"])
def test_it_is_worse_if_it_reads_less_of_anything(start: Checkpoint, worse: str) -> None:
    figures = {name: Figure(10, 5, 5) for name in ("corrections", "test", "page", "photos")}

    def tuned(**figures: Figure) -> FineTuned:
        return FineTuned(
            0, part=0.5, n_replayed=1, seconds=1.0, options=OPTIONS, checkpoint=start, records=(), **figures
        )

    assert not tuned(**figures).is_worse
    assert tuned(**figures | {worse: Figure(10, 5, 4)}).is_worse


def test_a_composed_page_says_where_its_digits_stand(data: dl.MnistData) -> None:
    page = compose_page(data.validation, seed=3, numbers=(4, 3, 5, 2, 6), digit_px=42)
    assert [len(number) for number in page.numbers] == [4, 3, 5, 2, 6]
    assert len(page.boxes) == 20
    for left, top, right, bottom in page.boxes:
        assert 0 <= left < right <= page.pixels.shape[1]
        assert 0 <= top < bottom <= page.pixels.shape[0]
        assert page.pixels[top:bottom, left:right].min() < 110 < page.pixels[top, left]
    again = compose_page(data.validation, seed=3, numbers=(4, 3, 5, 2, 6), digit_px=42)
    np.testing.assert_array_equal(again.pixels, page.pixels)


def test_nothing_to_learn_from_is_told(start: Checkpoint, data: dl.MnistData) -> None:
    with pytest.raises(InputError, match="correct a wrong answer first"):
        fine_tune(start, np.zeros((0, 28, 28), np.uint8), np.zeros(0, np.uint8), data)


def test_networks_for_something_else_are_told(data: dl.MnistData, wrong: tuple[np.ndarray, np.ndarray]) -> None:
    network = Architecture([Flatten(), Dense(3, activation="softmax")])
    other = Checkpoint(network, tuple(network.initial_weights(seed=0)), ("a", "b", "c"))
    with pytest.raises(InputError, match="Choose another network"):
        fine_tune(other, *wrong, data)


@pytest.mark.parametrize(
    "changes", [{"epochs": 0}, {"share": 1.0}, {"share": 0.0}, {"learning_rate": 0.0}, {"seed": -1}, {"batch_size": 0}]
)
def test_options_that_cannot_be_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="must be"):
        FineTuningOptions(**changes)  # type: ignore[arg-type]
