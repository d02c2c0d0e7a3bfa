"""From the same weights and batches, the engine and Keras on JAX take the same twenty steps.

Tolerances. Both compute in float32 (relative spacing 6e-8) and sum in different orders, so one gradient differs by a
few 1e-7 of the layer's largest. SGD passes this on as it is. Adam divides every gradient by its own size, so that a
weight whose gradient is almost zero takes a step of full size, ``learning_rate``, in a direction that rounding may
decide: the weights are compared with an absolute tolerance of 0.5 % of one such step, after twenty of them (seen:
0.15 %).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from digitlab.engine.cpu.runner import CpuRunner
from digitlab.engine.cpu.tiles import LANES
from digitlab.engine.images import Images
from digitlab.engine.optimizers import SGD, Adam, AdamW, Optimizer
from digitlab.network import Architecture, Conv2D, Dense, Flatten, MaxPooling2D, architecture
from tests.engine.networks import ODD, VARIED, digits

# Keras 3.15 gives its variables to NumPy in a way that NumPy 2 warns of.
pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")]

_STEPS = 20

Batch = tuple[NDArray[np.float32], NDArray[np.int64]]


@pytest.fixture(scope="module")
def keras() -> Any:
    """Keras, imported by those who need it and not by everybody who collects tests: that takes seconds."""
    return pytest.importorskip("keras")


def keras_model(keras: Any, network: Architecture) -> Any:
    """The same network in Keras, ending in logits, since Keras clips probabilities at 1e-7 before the logarithm."""
    layers = [keras.Input(network.input_shape)]
    for layer in network.layers:
        settings = {k: v for k, v in dataclasses.asdict(layer).items() if not k.endswith("_initializer")}
        if isinstance(layer, Conv2D | Dense):
            # The weights are set below; drawing them first would cost a compilation for every shape.
            settings |= {"kernel_initializer": "zeros", "bias_initializer": "zeros"}
        if settings.get("activation") == "softmax":
            settings["activation"] = None
        layers.append(getattr(keras.layers, type(layer).__name__)(**settings))
    return keras.Sequential(layers)


def keras_steps(
    keras: Any, network: Architecture, batches: list[Batch], optimizer: Optimizer, smoothing: float = 0.0
) -> tuple[list[float], list[Any]]:
    """Train in Keras; return the losses and the weights after the last step."""
    model = keras_model(keras, network)
    model.set_weights(network.initial_weights(seed=1))
    theirs = getattr(keras.optimizers, type(optimizer).__name__)(**dataclasses.asdict(optimizer))
    model.compile(
        optimizer=theirs, loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
    )
    losses = []
    for images, labels in batches:
        model.reset_metrics()
        losses.append(float(model.train_on_batch(images, np.eye(network.n_classes, dtype=np.float32)[labels])))
    return losses, model.get_weights()


def engine_steps(
    network: Architecture, batches: list[Batch], optimizer: Optimizer, smoothing: float = 0.0
) -> tuple[list[float], list[Any]]:
    """Train in the engine; return the losses and the weights after the last step."""
    runner = CpuRunner(network, 2)
    runner.set_weights(network.initial_weights(seed=1))
    runner.start_training(max(len(labels) for _, labels in batches))
    losses = []
    for t, (images, labels) in enumerate(batches, start=1):
        rows = Images.from_array(images, int(np.prod(network.input_shape)))
        step = optimizer.step(t, optimizer.learning_rate)
        losses.append(runner.train_batch(rows, labels, np.arange(len(labels)), step, 0, smoothing)[0])
    return losses, runner.weights()


def batches_of(network: Architecture, size: int) -> list[Batch]:
    """Twenty batches, of which the sixth and the eleventh are the same two short ones."""
    sizes = [size - 5 if t in (5, 10) and size > 5 else size for t in range(_STEPS)]
    return [digits(network, n, seed=t % 7) for t, n in enumerate(sizes)]


def assert_same_steps(keras: Any, network: Architecture, size: int, optimizer: Optimizer, atol: float) -> None:
    batches = batches_of(network, size)
    losses, weights = engine_steps(network, batches, optimizer)
    expected_losses, expected_weights = keras_steps(keras, network, batches, optimizer)
    np.testing.assert_allclose(losses, expected_losses, rtol=5e-6)
    assert losses[-1] != losses[0]
    for ours, theirs in zip(weights, expected_weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0.0, atol=atol)


# Batches of several blocks of which the last is short or has one image, of full blocks, and smaller than a block.
SIZES = (2 * LANES + 7, 7, 2 * LANES, 3 * LANES - 1, 7, LANES, LANES + 1, 7, 40, 2 * LANES + 7, 7, LANES, LANES + 1, 40)
NETWORKS = ODD | VARIED


@pytest.mark.parametrize(("name", "size"), list(zip(NETWORKS, SIZES, strict=True)))
def test_networks_of_odd_shapes_train_as_in_keras(keras: Any, name: str, size: int) -> None:
    assert_same_steps(keras, NETWORKS[name], size, Adam(0.001), atol=5e-6)


def test_the_codelabs_network_trains_as_in_keras(keras: Any) -> None:
    assert_same_steps(keras, architecture("codelab_cnn"), 6 * LANES + 4, Adam(), atol=5e-6)


SMALL = Architecture(
    [Conv2D(5, 3, activation="relu"), MaxPooling2D(2), Flatten(), Dense(10, activation="softmax")], (9, 8, 1)
)


@pytest.mark.parametrize(
    "optimizer",
    [
        SGD(0.05),
        SGD(0.05, momentum=0.9),
        SGD(0.05, momentum=0.9, nesterov=True),
        SGD(0.05, momentum=0.5, weight_decay=0.1),
        AdamW(0.002),
        AdamW(0.002, weight_decay=0.5),
        Adam(0.002, beta_1=0.8, beta_2=0.95, epsilon=1e-3),
    ],
    ids=str,
)
def test_every_optimizer_takes_the_steps_of_keras(keras: Any, optimizer: Optimizer) -> None:
    # SGD's steps are as exact as its gradients; Adam's are as above.
    assert_same_steps(keras, SMALL, 2 * LANES + 7, optimizer, atol=3e-7 if isinstance(optimizer, SGD) else 1e-5)


def test_label_smoothing_takes_the_steps_of_keras_and_the_loss_is_told_without_it(keras: Any) -> None:
    batches = batches_of(SMALL, 2 * LANES + 7)
    losses, weights = engine_steps(SMALL, batches, SGD(0.05), smoothing=0.2)
    _, expected = keras_steps(keras, SMALL, batches, SGD(0.05), smoothing=0.2)
    for ours, theirs in zip(weights, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0.0, atol=3e-7)
    # Before the first step the weights are the same, and so is the loss; then less is learned of the truth alone.
    plain, other = engine_steps(SMALL, batches, SGD(0.05))
    assert losses[0] == plain[0]
    assert any(np.abs(a - b).max() > 1e-4 for a, b in zip(weights, other, strict=True))


def test_the_default_settings_are_those_of_keras(keras: Any) -> None:
    for optimizer in (Adam(), AdamW(), SGD()):
        config = getattr(keras.optimizers, type(optimizer).__name__)().get_config()
        for name, value in dataclasses.asdict(optimizer).items():
            # Keras writes "no decay" as None.
            assert value == pytest.approx(config[name] or 0.0), name


def test_predictions_are_those_of_keras(keras: Any) -> None:
    for name in ("codelab_cnn", "fast_cnn"):
        network = architecture(name)
        images, _ = digits(network, 2 * LANES + 3)
        weights = network.initial_weights(seed=1)
        theirs = keras_model(keras, network)
        theirs.set_weights(weights)
        runner = CpuRunner(network)
        runner.set_weights(weights)
        ours = runner.predict(Images.from_array(images, 784))
        np.testing.assert_allclose(ours, keras.ops.softmax(theirs(images)), rtol=1e-5, atol=1e-6)
