"""Does the default run learn as well as Keras does? Ten seeds each, the same images and settings.

For every seed all learn from the same 5,500 training images and are measured on the same 1,000 validation images, in
an order of their own. Keras runs twice: with initial weights of its own, which asks whether the initialisers are alike
too, and with digitlab's, which asks about the training alone and leaves out the luck of the draw. Writes
``benchmarks/results/agreement.json`` and ``docs/measurements/agreement.md``. Needs the test requirements (Keras on
JAX).
"""

from __future__ import annotations

import os
import statistics
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"

import numpy as np
from numpy.typing import NDArray

from digitlab.engine.sequential import codelab_cnn
from digitlab.training.config import TrainConfig
from digitlab.training.keeping import environment
from digitlab.training.session import TrainingSession
from digitlab.values import EpochRecord
from measuring import made_by, parser_of, publish, say
from tables import markdown_table, page

OWN, SAME = "Keras on JAX, its own initial weights", "Keras on JAX, digitlab's initial weights"
NAMES = ("digitlab", OWN, SAME)


def digitlab_accuracy(session: TrainingSession) -> float:
    """Run the default session and return its last validation accuracy."""
    epochs = [record for record in session.records() if isinstance(record, EpochRecord)]
    assert epochs[-1].val_accuracy is not None
    return epochs[-1].val_accuracy


def keras_accuracy(session: TrainingSession, seed: int, weights: list[NDArray[np.float32]] | None) -> float:
    """Train Keras' network, from the given weights or its own, and return its last validation accuracy."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    scaling = {"kernel_initializer": keras.initializers.VarianceScaling()}
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(8, 5, activation="relu", **scaling),
            layers.MaxPooling2D(2),
            layers.Conv2D(16, 5, activation="relu", **scaling),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(10, activation="softmax", **scaling),
        ]
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    assert model.count_params() == codelab_cnn().count_params()
    if weights is not None:
        model.set_weights(weights)
    assert session.validation is not None
    training, validation = (
        (part.images.as_bytes.reshape(-1, 28, 28, 1).astype("float32") / 255, part.labels)
        for part in (session.training, session.validation)
    )
    sizes = {"batch_size": session.config.batch_size, "epochs": session.config.epochs}
    history = model.fit(*training, **sizes, validation_data=validation, verbose=0)
    return float(history.history["val_accuracy"][-1])


def summarise(values: list[float]) -> dict[str, float]:
    """Return mean, standard deviation and standard error."""
    spread = statistics.stdev(values)
    return {"mean": statistics.fmean(values), "stdev": spread, "standard_error": spread / len(values) ** 0.5}


def to_markdown(result: dict[str, Any]) -> str:
    """Return the page."""
    machine, differences = result["environment"], result["differences"]
    rows = [
        [name, f"{100 * r['mean']:.2f} %", f"{100 * r['stdev']:.2f}", f"{100 * r['standard_error']:.2f}"]
        for name, r in ((name, result[name]) for name in NAMES)
    ]
    return page(
        "# Agreement with Keras",
        "Validation accuracy of the default run (5,500 images, batch 512, 10 epochs, Adam 0.001) over "
        f"{result['n']} seeds, measured on the same 1,000 validation images; points in the last two columns.",
        markdown_table(["", "mean", "standard deviation", "standard error"], rows),
        f"digitlab's mean lies {100 * differences[SAME]:+.2f} points from Keras' with the same initial weights and "
        f"{100 * differences[OWN]:+.2f} from Keras' with its own.",
        f"digitlab {machine['digitlab']}, Keras {result['keras']}, Python {machine['python']}, {machine['processor']}. "
        f"Made by `{result['command']}`.",
    )


def main(argv: list[str] | None = None) -> None:
    """Measure, write JSON and the page."""
    options = parser_of("agreement", __doc__, seeds=(10, "runs of each")).parse_args(argv)
    import keras

    accuracies: dict[str, list[float]] = {name: [] for name in NAMES}
    for seed in range(options.seeds):
        session = TrainingSession(TrainConfig(seed=seed))
        accuracies[OWN].append(keras_accuracy(session, seed, None))
        accuracies[SAME].append(keras_accuracy(session, seed, session.model.get_weights()))
        accuracies["digitlab"].append(digitlab_accuracy(session))
        say(f"seed {seed}: " + ", ".join(f"{name} {100 * values[-1]:.1f} %" for name, values in accuracies.items()))
    result: dict[str, Any] = {name: summarise(values) | {"values": values} for name, values in accuracies.items()}
    result |= {
        "n": options.seeds,
        "differences": {name: result["digitlab"]["mean"] - result[name]["mean"] for name in (OWN, SAME)},
        "keras": keras.__version__,
        "environment": environment(os.cpu_count() or 1),
        **made_by("agreement", ["--seeds", str(options.seeds)]),
    }
    publish(options.out, result, to_markdown, "agreement.md")


if __name__ == "__main__":
    main()
