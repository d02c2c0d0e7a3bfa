"""Export networks with Keras on TensorFlow, which asks tf2onnx."""

from __future__ import annotations

import os
import sys

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
from keras import layers

keras.utils.set_random_seed(0)
codelab = keras.Sequential(
    [
        keras.Input((28, 28, 1)),
        layers.Conv2D(8, 5, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(16, 5, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dense(10, activation="softmax"),
    ]
)
codelab.set_weights(list(np.load(sys.argv[1]).values()))
odd = keras.Sequential(
    [
        keras.Input((28, 28, 1)),
        layers.Rescaling(1 / 255),
        layers.Conv2D(3, 5, activation="relu", bias_initializer="he_normal"),
        layers.MaxPooling2D(2),
        layers.Conv2D(4, 4, activation="relu", padding="same", bias_initializer="he_normal"),
        layers.MaxPooling2D(3, strides=2, padding="same"),
        layers.Dropout(0.3),
        layers.Flatten(),
        layers.Dense(8, activation="relu", bias_initializer="he_normal"),
        layers.Dense(10, activation="softmax", use_bias=False),
    ]
)
for name, model in (("codelab", codelab), ("odd", odd)):
    model(np.zeros((1, 28, 28, 1), "float32"))
    model.export(f"{name}_keras.onnx", format="onnx", verbose=False)
