"""The MNIST convnet that Keras publishes, on TensorFlow: ``python keras_example.py FOLDER SEED EPOCHS N_IMAGES``.

It prints one line of JSON; N_IMAGES is the most training images to learn from, 0 for all.

As published: the network, Adam with its defaults, batches of 128, 15 epochs over 54,000 of the 60,000 training images
with the last tenth for validation. Labels are numbers, which saves the one-hot vectors.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import accuracy_job as job
import keras
import mnist_arrays
import numpy as np
import tensorflow as tf
from codelab_job import n_threads

BATCH_SIZE = 128
VALIDATION_SPLIT = 0.1
#: Images of the warm-up, such that its last batch is a part of one, as it is when 54,000 are cut into batches of 128.
N_WARM_UP = 400


def build() -> keras.Sequential:
    """Return the compiled network."""
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Conv2D(64, 3, activation="relu"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def main(folder: Path, seed: int, epochs: int, most_images: int) -> None:
    """Train as published."""
    tf.config.threading.set_intra_op_parallelism_threads(n_threads())
    tf.config.threading.set_inter_op_parallelism_threads(n_threads())
    keras.utils.set_random_seed(seed)
    digits = mnist_arrays.read_digits(folder)
    used = slice(most_images or None)
    images, labels = _floats(digits.training_images[used]), np.array(digits.training_labels[used])
    test_images, test_labels = _floats(digits.test_images), np.array(digits.test_labels)
    model = build()

    def train(n_images: int, epochs: int) -> None:
        model.fit(
            images[:n_images],
            labels[:n_images],
            batch_size=BATCH_SIZE,
            epochs=epochs,
            validation_split=VALIDATION_SPLIT,
            verbose=0,
        )

    def warm_up() -> None:
        # Assigned back, not rebuilt: a new model would be traced again within the timed run.
        model.optimizer.build(model.trainable_variables)
        variables = [*model.variables, *model.optimizer.variables]
        before = [variable.numpy() for variable in variables]
        train(N_WARM_UP, 1)
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)

    def test() -> float:
        answers = model.predict(test_images, batch_size=1_000, verbose=0).argmax(1)
        return float((answers == test_labels).mean())

    job.measure(("tensorflow", "keras", "numpy"), warm_up, lambda: train(len(images), epochs), test)


def _floats(images: np.ndarray) -> np.ndarray:
    return mnist_arrays.as_floats(images)[..., None]


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:5]))
