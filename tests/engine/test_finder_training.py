"""The finder's loss and its gradients: finite differences, JAX, and the same bits whoever computes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from digitlab.engine.cpu.maps_runner import FinderLosses, MapsRunner
from digitlab.engine.crops import N_MAPS, Crops
from digitlab.engine.loop import crop_steps
from digitlab.engine.optimizers import SGD, Adam, AdamW
from digitlab.engine.sequential import Sequential
from digitlab.errors import ConfigError, NetworkError, TrainingDivergedError
from digitlab.network import Architecture, Conv2D, architecture
from digitlab.values import CropsRecord
from tests.engine import reference
from tests.engine.finder_reference import MAP_NETWORKS, crops_of, finder_loss, weights_of

#: Maps as large as the crop: every number of every map hangs on parameters of its own.
BARE = Architecture([Conv2D(N_MAPS, 3, padding="same")], (None, None, 1))


def runner_of(network: Architecture, threads: int = 1, weights: Any = None) -> MapsRunner:
    runner = MapsRunner(network, threads)
    runner.set_weights(weights_of(network) if weights is None else weights)
    runner.start_training()
    return runner


def parts(losses: FinderLosses) -> tuple[float, float, float]:
    return losses.centers, losses.classes, losses.places


def cut(flat: NDArray[np.float32], network: Architecture) -> list[NDArray[np.float32]]:
    ends = np.cumsum([np.prod(shape) for shape in network.weight_shapes])[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(flat, ends), network.weight_shapes, strict=True)]


@pytest.mark.parametrize("seed", range(3))
def test_the_loss_is_the_definitions(seed: int) -> None:
    crops = crops_of(6, 12, 10, seed, stride=1)
    weights = [4 * w for w in weights_of(BARE)]
    losses = runner_of(BARE, weights=weights).losses(crops)
    maps = reference.convolve(crops.images.astype(float), *(w.astype(float) for w in weights), "same")
    assert parts(losses) == pytest.approx(finder_loss(maps, crops), rel=1e-5)


def test_gradients_are_the_finite_differences() -> None:
    crops = crops_of(6, 12, 10, seed=4, stride=1)
    weights = [w.astype(np.float64) for w in weights_of(BARE)]
    runner = runner_of(BARE)
    runner.train_batch(crops, np.arange(6), SGD(1e-9).step(1, 1e-9), 0.1)
    rng = np.random.default_rng(0)

    def loss(weights: list[NDArray[np.float64]]) -> float:
        return sum(finder_loss(reference.convolve(crops.images.astype(float), *weights, "same"), crops, 0.1))

    for i, gradient in enumerate(cut(runner.gradients, BARE)):
        for _ in range(5):
            direction, h = rng.normal(size=gradient.shape), 1e-6
            ahead, behind = (loss([*weights[:i], weights[i] + step * direction, *weights[i + 1 :]]) for step in (h, -h))
            slope = (ahead - behind) / (2 * h)
            assert np.sum(gradient * direction) == pytest.approx(slope, rel=2e-5, abs=2e-5)


@pytest.fixture(scope="module")
def jax() -> Iterator[Any]:
    """JAX in float64, imported by those who need it and not by everybody who collects tests."""
    jax = pytest.importorskip("jax")
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield jax
    jax.config.update("jax_enable_x64", before)


@pytest.mark.interop
@pytest.mark.parametrize("name", MAP_NETWORKS)
def test_gradients_of_all_layers_are_those_of_jax(jax: Any, name: str) -> None:
    network, crops = MAP_NETWORKS[name], crops_of(5, 41, 34)
    chosen = np.array([3, 1, 4, 0])
    part = crops.take(chosen)

    def loss(weights: list[Any]) -> Any:
        maps, remaining = part.images.astype(float), iter(weights)
        for layer in network.layers:
            if not isinstance(layer, Conv2D):
                maps = jax.lax.reduce_window(maps, -np.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
                continue
            kernel = next(remaining)
            pads = [((k - 1) // 2, k // 2) if layer.padding == "same" else (0, 0) for k in layer.kernel]
            maps = jax.lax.conv_general_dilated(maps, kernel, (1, 1), pads, dimension_numbers=("NHWC", "HWIO", "NHWC"))
            maps = maps + (next(remaining) if layer.use_bias else 0.0)
            maps = jax.numpy.maximum(maps, 0.0) if layer.activation == "relu" else maps
        return sum(finder_loss(maps, part, 0.1, jax.numpy))

    expected = jax.grad(loss)([w.astype(float) for w in weights_of(network)])
    for threads in (1, 2):
        runner = runner_of(network, threads)
        runner.train_batch(crops, chosen, SGD(1e-3).step(1, 1e-3), 0.1)
        for ours, theirs in zip(cut(runner.gradients, network), expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=3e-6 * np.abs(theirs).max())


def test_marks_outside_and_ignored_ones_are_not_learned() -> None:
    images = np.random.default_rng(0).normal(size=(1, 40, 40, 1)).astype(np.float32)
    boxes = np.array([[-20, 4, -2, 30], [4, 38, 20, 50], [5, 5, 15, 25]], np.float32)
    labels, starts = np.array([3, 12, -1]), np.array([0, 3])
    runner = runner_of(MAP_NETWORKS["like the finder"])
    found = runner.losses(Crops(images, boxes, labels, starts))
    assert (found.n_marks, found.classes, found.places) == (0, 0.0, 0.0)
    # Around the ignored one nothing is held against the network.
    alone = runner.losses(Crops(images, boxes[:0], labels[:0], np.array([0, 0])))
    assert 0 < found.centers < alone.centers


def test_logits_of_any_size_give_finite_losses_and_gradients() -> None:
    crops = crops_of(4, 40, 40, seed=2)
    network = MAP_NETWORKS["like the finder"]
    runner = runner_of(network, weights=[20 * w for w in weights_of(network)])
    losses = runner.train_batch(crops, np.arange(4), SGD(1e-9).step(1, 1e-9))
    assert np.isfinite(parts(losses)).all()
    assert np.isfinite(runner.gradients).all()
    assert losses.total > 1e6


def test_long_gradients_are_shortened_to_the_norm_that_is_given() -> None:
    network, crops = MAP_NETWORKS["pooled 3 x 3"], crops_of(5, 24, 28)
    plain, clipped, untouched = (runner_of(network) for _ in range(3))
    step = SGD(1e-3).step(1, 1e-3)
    plain.train_batch(crops, np.arange(5), step)
    norm = float(np.linalg.norm(plain.gradients.astype(float)))
    clipped.train_batch(crops, np.arange(5), step, clip_norm=norm / 3)
    untouched.train_batch(crops, np.arange(5), step, clip_norm=norm * 1.01)
    np.testing.assert_allclose(clipped.gradients, plain.gradients / 3, rtol=1e-5, atol=1e-9)
    assert untouched.parameters.tobytes() == plain.parameters.tobytes()


def train(threads: int, n_steps: int, runner: MapsRunner | None = None, done: int = 0) -> tuple[Any, list[CropsRecord]]:
    """Learn from crops that every step has of its own, of two sizes and numbers."""
    runner = runner or runner_of(MAP_NETWORKS["like the finder"], threads)
    records = crop_steps(
        runner,
        lambda step: crops_of(5 + 6 * (step % 2), 32 + 8 * (step % 3), 36, seed=step),
        n_steps=n_steps,
        optimizer=AdamW(2e-3),
        learning_rate=lambda step: 2e-3 / (1 + step),
        label_smoothing=0.05,
        clip_norm=5.0,
        steps_done=done,
    )
    return runner, list(records)


def state(runner: MapsRunner) -> tuple[bytes, bytes, bytes]:
    return runner.parameters.tobytes(), runner.first_moment.tobytes(), runner.second_moment.tobytes()


def plain(records: list[CropsRecord]) -> list[dict[str, Any]]:
    return [{k: v for k, v in record.to_dict().items() if k != "crops_per_s"} for record in records]


def test_any_number_of_threads_learns_the_same_bits() -> None:
    runs = [train(threads, 4) for threads in (1, 2, 5)]
    assert len({state(runner) for runner, _ in runs}) == 1
    assert plain(runs[0][1]) == plain(runs[1][1]) == plain(runs[2][1])


def test_a_resumed_training_learns_the_same_bits() -> None:
    whole, records = train(2, 5)
    first, _ = train(2, 3)
    second = runner_of(first.architecture, 1)
    second.parameters = first.parameters
    second.first_moment[:], second.second_moment[:] = first.first_moment, first.second_moment
    _, rest = train(1, 5, second, done=3)
    assert state(second) == state(whole)
    assert plain(rest) == plain(records[3:])


def test_answers_after_a_step_are_those_of_the_new_weights() -> None:
    runner, _ = train(2, 2)
    fresh = MapsRunner(runner.architecture)
    fresh.parameters = runner.parameters
    page = crops_of(1, 50, 40).images[0]
    np.testing.assert_array_equal(runner.predict(page), fresh.predict(page))


def test_a_finder_learns_crops_by_heart() -> None:
    crops = crops_of(4, 48, 48, seed=5)
    model = Sequential.from_architecture(architecture("finder_cnn"), seed=1)
    history = model.fit(crops, loss="finder", batch_size=4, epochs=25, optimizer=Adam(2e-3), validation_data=crops)
    assert history.epochs[-1].loss < 0.5 * history.epochs[0].loss
    assert history.epochs[-1].val_loss == pytest.approx(model.maps_runner.losses(crops).total)
    assert [record.n_images for record in history.steps] == [4] * 25


def test_fit_takes_an_epoch_in_batches_that_cover_all_crops() -> None:
    crops = crops_of(5, 24, 24)
    model = Sequential.from_architecture(MAP_NETWORKS["pooled 3 x 3"], weights_of(MAP_NETWORKS["pooled 3 x 3"]))
    history = model.fit(crops, loss="finder", batch_size=2, epochs=2, optimizer=SGD(1e-4))
    assert [record.n_images for record in history.steps] == [2, 2, 1, 2, 2, 1]
    assert [record.epoch for record in history.epochs] == [1, 2]


def test_chosen_crops_keep_their_marks() -> None:
    crops = crops_of(6, 8, 8)
    part = crops.take(np.array([4, 1]))
    for new, old in ((0, 4), (1, 1)):
        own, theirs = (slice(c.starts[i], c.starts[i + 1]) for c, i in ((part, new), (crops, old)))
        np.testing.assert_array_equal(part.boxes[own], crops.boxes[theirs])
        np.testing.assert_array_equal(part.labels[own], crops.labels[theirs])
        np.testing.assert_array_equal(part.images[new], crops.images[old])


def test_a_diverged_training_keeps_the_weights_of_before() -> None:
    network, crops = MAP_NETWORKS["pooled 3 x 3"], crops_of(4, 16, 16)
    runner = runner_of(network)
    runner.parameters = np.where(np.arange(runner.parameters.size) == 3, np.inf, runner.parameters)
    before = runner.parameters.tobytes()
    with pytest.raises(TrainingDivergedError, match="learning rate ten times smaller"):
        list(crop_steps(runner, lambda _: crops, n_steps=2, optimizer=SGD(0.1), learning_rate=lambda _: 0.1))
    assert runner.parameters.tobytes() == before


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda model, crops: model.fit(crops), "learns from images and labels; x is something else"),
        (lambda model, crops: model.fit(crops, loss="focal"), "There is no loss 'focal'"),
        (lambda model, crops: model.fit(crops.images, loss="finder"), "learns from Crops"),
        (lambda model, crops: model.fit(crops.take(np.arange(0)), loss="finder"), "no crops; give at least one"),
    ],
)
def test_a_loss_that_does_not_fit_is_said_in_a_sentence(ask: Callable[..., Any], sentence: str) -> None:
    model = Sequential.from_architecture(MAP_NETWORKS["pooled 3 x 3"])
    with pytest.raises(ConfigError, match=sentence):
        ask(model, crops_of(2, 16, 16))


def test_the_finders_loss_needs_the_finders_maps() -> None:
    model = Sequential([Conv2D(7, 3)], (None, None, 1))
    with pytest.raises(NetworkError, match="needs 23 maps of grey images"):
        model.fit(crops_of(2, 16, 16), loss="finder")
