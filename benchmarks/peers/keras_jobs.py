"""The jobs on Keras, with TensorFlow or with JAX: ``python keras_jobs.py JOB FOLDER ...`` prints one line of JSON.

- ``codelab FOLDER``: as ``jobs.py`` says, on the backend that is installed beside Keras;
- ``example FOLDER SEED EPOCHS N_IMAGES``: the MNIST convnet that Keras publishes, on TensorFlow and at most N_IMAGES
  training images, 0 for all. As published: the network, Adam with its defaults, batches of 128, 15 epochs over 54,000
  of the 60,000 training images with the last tenth for validation. Labels are numbers, which saves the one-hot vectors.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow" if importlib.util.find_spec("tensorflow") else "jax"
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import jobs
import keras
import numpy as np

BACKEND = os.environ["KERAS_BACKEND"]
if BACKEND == "tensorflow":
    import tensorflow as tf

LOSS = "sparse_categorical_crossentropy"
#: The published example.
EXAMPLE_BATCH_SIZE = 128
VALIDATION_SPLIT = 0.1
#: Images of its warm-up, such that the last batch is a part of one, as it is when 54,000 are cut into batches of 128.
N_WARM_UP = 400


def network(first: int, second: int, size: int, *before_dense: keras.Layer, **kernel: Any) -> keras.Sequential:
    """Return two convolutions with poolings, and a dense layer."""
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Conv2D(first, size, activation="relu", **kernel),
            keras.layers.MaxPooling2D(2),
            keras.layers.Conv2D(second, size, activation="relu", **kernel),
            keras.layers.MaxPooling2D(2),
            keras.layers.Flatten(),
            *before_dense,
            keras.layers.Dense(10, activation="softmax", **kernel),
        ]
    )


def restorer(model: keras.Sequential) -> Callable[[], None]:
    """Return what gives a compiled model, and its optimizer, the state that they have now.

    Assigned, not rebuilt: a new model would be traced or compiled again within the timed run.
    """
    model.optimizer.build(model.trainable_variables)
    variables = [*model.variables, *model.optimizer.variables]
    values = [variable.numpy() for variable in variables]

    def restore() -> None:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    return restore


def codelab(folder: Path) -> None:
    """Do the codelab's job."""
    keras.utils.set_random_seed(0)
    arrays = jobs.read_arrays(folder)
    model = network(8, 16, 5, kernel_initializer=keras.initializers.VarianceScaling())
    optimizer = keras.optimizers.Adam(jobs.LEARNING_RATE, jobs.BETA_1, jobs.BETA_2, jobs.EPSILON)
    # JAX: on a trial, 11.9 s this way and 11.7 s with steps_per_execution=11: no difference that outlasts the noise.
    model.compile(optimizer, loss=LOSS, metrics=["accuracy"])
    given: dict[str, Any]
    if BACKEND == "tensorflow":
        # On a trial, 2.9 and 3.3 s this way, 4.5 and 4.9 s with the arrays handed to fit, 3.7 and 5.9 s with a tf.data
        # set of indices and tf.gather.
        training = tf.data.Dataset.from_tensor_slices((arrays.images, arrays.labels)).cache().shuffle(jobs.N_TRAINING)
        validation = tf.data.Dataset.from_tensors((arrays.val_images, arrays.val_labels)).cache()
        given = {"x": training.batch(jobs.BATCH_SIZE).prefetch(tf.data.AUTOTUNE), "validation_data": validation}
    else:
        given = {
            "x": arrays.images,
            "y": arrays.labels,
            "batch_size": jobs.BATCH_SIZE,
            "validation_data": (arrays.val_images, arrays.val_labels),
            "validation_batch_size": jobs.N_VALIDATION,
            "shuffle": True,
        }

    def train(epochs: int) -> tuple[float, float]:
        history = model.fit(**given, epochs=epochs, verbose=0).history
        return history["val_loss"][-1], history["val_accuracy"][-1]

    packages = ("tensorflow", "keras", "numpy") if BACKEND == "tensorflow" else ("keras", "jax", "jaxlib", "numpy")
    jobs.measure_codelab(packages, restorer(model), train)


def example(folder: Path, seed: str, epochs: str, most_images: str) -> None:
    """Train the example as published."""
    keras.utils.set_random_seed(int(seed))
    digits = jobs.read_digits(folder)
    used = slice(int(most_images) or None)
    images, labels = jobs.as_floats(digits.training_images[used])[..., None], np.array(digits.training_labels[used])
    test_images, test_labels = jobs.as_floats(digits.test_images)[..., None], np.array(digits.test_labels)
    model = network(32, 64, 3, keras.layers.Dropout(0.5))
    model.compile(optimizer="adam", loss=LOSS, metrics=["accuracy"])

    def train(n_images: int, epochs: int) -> None:
        model.fit(
            images[:n_images],
            labels[:n_images],
            batch_size=EXAMPLE_BATCH_SIZE,
            epochs=epochs,
            validation_split=VALIDATION_SPLIT,
            verbose=0,
        )

    def warm_up() -> None:
        restore = restorer(model)
        train(N_WARM_UP, 1)
        restore()

    def test() -> float:
        answers = model.predict(test_images, batch_size=1_000, verbose=0).argmax(1)
        return float((answers == test_labels).mean())

    jobs.measure_accuracy(("tensorflow", "keras", "numpy"), warm_up, lambda: train(len(images), int(epochs)), test)


if __name__ == "__main__":
    if BACKEND == "tensorflow":  # XLA takes all the cores it may use; there is no setting for the CPU
        tf.config.threading.set_intra_op_parallelism_threads(jobs.n_threads())
        tf.config.threading.set_inter_op_parallelism_threads(jobs.n_threads())
    jobs.run({"codelab": codelab, "example": example})
