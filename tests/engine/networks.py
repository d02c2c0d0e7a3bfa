"""Networks with everything that can go wrong in a tiled engine: remainders, borders, overlaps, one of something."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from digitlab.network import (
    ELU,
    Activation,
    Architecture,
    AveragePooling2D,
    Conv2D,
    Dense,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    LeakyReLU,
    MaxPooling2D,
    ZeroPadding2D,
)


def _answer(units: int) -> Dense:
    return Dense(units, activation="softmax", bias_initializer="he_normal")


def _conv(filters: int, kernel: int | tuple[int, int], activation: str = "relu", **settings: object) -> Conv2D:
    # A bias of zero would hide that it is left out or taken from the wrong place.
    return Conv2D(filters, kernel, activation=activation, bias_initializer="he_normal", **settings)


#: By what is odd about them.
ODD = {
    "5 filters of 4 x 4, same, 3 channels, odd map under a 2 x 2 pooling": Architecture(
        [_conv(5, 4, padding="same"), MaxPooling2D(2), Flatten(), _answer(10)], (9, 11, 3)
    ),
    "7 linear filters without bias, 3 filters, no pooling": Architecture(
        [_conv(7, 3, "linear", use_bias=False), _conv(3, 3, padding="same"), Flatten(), _answer(4)], (8, 6, 1)
    ),
    "1 filter of 2 x 5, overlapping 3 x 2 pooling, 12 filters of 3 x 1, same 2 x 2 pooling of an odd map": Architecture(
        [
            _conv(1, (2, 5)),
            MaxPooling2D((3, 2), strides=(2, 1)),
            _conv(12, (3, 1), padding="same"),
            MaxPooling2D(2, padding="same"),
            Flatten(),
            Dense(10, activation="relu", use_bias=False),
            _answer(3),
        ],
        (12, 14, 1),
    ),
    "10 filters, same 3 x 3 pooling by 2, linear convolution under a 2 x 2 pooling, dense layer of 33": Architecture(
        [
            _conv(10, 3),
            MaxPooling2D(3, strides=2, padding="same"),
            _conv(12, 3, "linear", padding="same"),
            MaxPooling2D(2),
            Flatten(),
            Dense(33, activation="relu"),
            Dense(6),
            _answer(7),
        ],
        (13, 12, 1),
    ),
    "pooling of the images, 8 filters of 5 x 5, stride larger than the window, 20 classes": Architecture(
        [MaxPooling2D(2), _conv(8, 5), MaxPooling2D(2, strides=3), Flatten(), _answer(20)], (20, 24, 1)
    ),
    "1 x 1 and 1 x 6 kernels on 2 channels, a kernel as large as the map": Architecture(
        [_conv(4, 1), _conv(9, (1, 6), padding="same"), _conv(2, (6, 7)), Flatten(), _answer(2)], (6, 7, 2)
    ),
    "2 x 2 pooling in the middle of same convolutions of 5 x 5": Architecture(
        [
            _conv(3, 5, padding="same"),
            MaxPooling2D(2),
            _conv(5, 5, padding="same"),
            MaxPooling2D(2),
            Flatten(),
            _answer(10),
        ],
        (10, 10, 1),
    ),
    "dense layers only, 13 features, widths 20, 9, 5": Architecture(
        [Dense(20, activation="relu"), Dense(9), _answer(5)], (13,)
    ),
    "3 features, one hidden unit": Architecture([Dense(1, activation="relu"), _answer(3)], (3,)),
}

#: With layers whose values are changed where they stand, which ``test_kernels.py`` cannot look at one by one.
VARIED = {
    "strides 2 with same, 3 x 2 with valid, zeros on uneven sides, leaky ReLU behind a ReLU": Architecture(
        [
            _conv(6, 5, padding="same", strides=2),
            LeakyReLU(0.1),
            ZeroPadding2D(((1, 0), (2, 3))),
            _conv(9, (3, 4), "leaky_relu", strides=(3, 2)),
            Flatten(),
            _answer(10),
        ],
        (14, 11, 1),
    ),
    "tanh under a 2 x 2 pooling, overlapping same average pooling, sigmoid, strides larger than a 1 x 1 kernel": (
        Architecture(
            [
                _conv(5, 3, "tanh", padding="same"),
                MaxPooling2D(2),
                AveragePooling2D((3, 2), strides=(2, 1), padding="same"),
                _conv(7, 1, "sigmoid", strides=(1, 3)),
                Activation("tanh"),
                Flatten(),
                Dense(9, activation="elu"),
                _answer(4),
            ],
            (12, 15, 2),
        )
    ),
    "a global maximum of more pixels than a window has, ELU of its own, softmax of its own": Architecture(
        [_conv(11, 3, "linear"), ELU(0.7), GlobalMaxPooling2D(), Dense(3), Activation("softmax")], (21, 19, 1)
    ),
    "no dense layer: even strides on an even kernel, global average, softmax of its own": Architecture(
        [
            ZeroPadding2D(1),
            _conv(4, 2, "elu", strides=2, padding="same"),
            AveragePooling2D(2),
            _conv(6, 3, padding="same", strides=(2, 1)),
            _conv(5, 1, "linear"),
            GlobalAveragePooling2D(),
            Activation("softmax"),
        ],
        (13, 16, 3),
    ),
    "zeros, and a ReLU behind a pooling, before a softmax of its own": Architecture(
        [
            _conv(2, 3, "linear"),
            MaxPooling2D(3),
            Activation("relu"),
            ZeroPadding2D(((0, 1), (1, 0))),
            Flatten(),
            Activation("softmax"),
        ],
        (7, 6, 1),
    ),
}


def digits(
    architecture: Architecture, n: int, seed: int = 0, *, margin: bool = False
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return random images in [0, 1], half of it exactly zero as the background of digits is, and random labels."""
    rng = np.random.default_rng(seed)
    images = np.maximum(rng.uniform(-1.0, 1.0, (n, *architecture.input_shape)), 0.0).astype(np.float32)
    if margin and len(architecture.input_shape) == 3:
        # Empty, and of another width on every side.
        images[:, :2] = images[:, -1:] = images[:, :, :1] = images[:, :, -2:] = 0.0
    return images, rng.integers(0, architecture.n_classes, n)
