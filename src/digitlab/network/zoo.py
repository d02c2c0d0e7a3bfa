"""The named networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from digitlab.errors import NetworkError, did_you_mean
from digitlab.network.architecture import Architecture, read_network
from digitlab.network.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D


def _codelab_cnn() -> Architecture:
    """Two convolution + max-pool pairs and a softmax: the codelab's network, 5,994 parameters."""
    scaling = "variance_scaling"
    return Architecture(
        [
            Conv2D(8, 5, activation="relu", kernel_initializer=scaling),
            MaxPooling2D(2),
            Conv2D(16, 5, activation="relu", kernel_initializer=scaling),
            MaxPooling2D(2),
            Flatten(),
            Dense(10, activation="softmax", kernel_initializer=scaling),
        ],
        name="codelab_cnn",
    )


def _dense_baseline() -> Architecture:
    """Without a convolution, about as many parameters as the codelab's network (6,370): what convolutions are worth."""
    return Architecture(
        [
            Flatten(),
            Dense(8, activation="relu", kernel_initializer="variance_scaling"),
            Dense(10, activation="softmax", kernel_initializer="variance_scaling"),
        ],
        name="dense_baseline",
    )


def _fast_cnn() -> Architecture:
    """For ``--preset fast``: 99 % on the test images after one pass over the training images.

    Pooling before ReLU and ReLU before pooling are the same function, since ReLU is monotonic. The initialisers were
    chosen on the validation images (``docs/decisions/0004-presets.md``).
    """
    return Architecture(
        [
            Conv2D(24, 5, activation="relu", kernel_initializer="variance_scaling"),
            MaxPooling2D(2),
            Conv2D(32, 3, activation="relu", kernel_initializer="variance_scaling"),
            MaxPooling2D(2),
            Flatten(),
            Dense(256, activation="relu"),
            Dense(10, activation="softmax"),
        ],
        name="fast_cnn",
    )


def _reader_cnn() -> Architecture:
    """For ``--preset reader``: ten digits and "not a digit", 321,483 parameters.

    Chosen on validation images (``docs/decisions/0006-the-readers-network.md``).
    """
    return Architecture(
        [
            Conv2D(32, 5, activation="relu", kernel_initializer="variance_scaling"),
            MaxPooling2D(2),
            Conv2D(64, 3, activation="relu", kernel_initializer="variance_scaling"),
            Conv2D(64, 3, activation="relu", kernel_initializer="variance_scaling"),
            MaxPooling2D(2),
            Flatten(),
            Dense(256, activation="relu"),
            Dropout(0.4),
            Dense(11, activation="softmax"),
        ],
        name="reader_cnn",
    )


def _second_look_cnn() -> Architecture:
    """For ``--preset second-look``: a candidate with what stands around it, 44 x 44 pixels; 229,083 parameters.

    Twice the width of the box is seen, so that half a word, a wheel of a car or a rule is told from a digit.
    """
    he = "he_normal"
    return Architecture(
        [
            Conv2D(24, 5, activation="relu", kernel_initializer=he),
            MaxPooling2D(2),
            Conv2D(48, 3, activation="relu", kernel_initializer=he),
            Conv2D(48, 3, activation="relu", kernel_initializer=he),
            MaxPooling2D(2),
            Conv2D(64, 3, activation="relu", kernel_initializer=he),
            Conv2D(64, 3, activation="relu", kernel_initializer=he),
            Flatten(),
            Dense(128, activation="relu", kernel_initializer=he),
            Dropout(0.3),
            Dense(11, activation="softmax"),
        ],
        input_shape=(44, 44, 1),
        name="second_look_cnn",
    )


def _finder_cnn() -> Architecture:
    """For ``--preset finder``: slid over a page, it answers where digits are, which, and how large; 182,007 parameters.

    A quarter of the page's resolution suffices for centres, and leaves the depth to see a whole digit.
    """
    he, same = "he_normal", "same"

    def convolution(filters: int, size: int = 3) -> Conv2D:
        return Conv2D(filters, size, padding=same, activation="relu", kernel_initializer=he)

    return Architecture(
        [
            convolution(16, 5),
            MaxPooling2D(2),
            convolution(32),
            convolution(32),
            MaxPooling2D(2),
            *(convolution(64) for _ in range(5)),
            Conv2D(23, 1, padding=same, kernel_initializer="zeros"),
        ],
        input_shape=(None, None, 1),
        name="finder_cnn",
    )


#: The named networks that answer one digit; calling one gives its architecture.
ZOO: dict[str, Callable[[], Architecture]] = {
    "codelab_cnn": _codelab_cnn,
    "dense_baseline": _dense_baseline,
    "fast_cnn": _fast_cnn,
    "reader_cnn": _reader_cnn,
}


#: The named networks that see pages: one is slid over them, the other looks again at what was found.
FINDERS: dict[str, Callable[[], Architecture]] = {"finder_cnn": _finder_cnn, "second_look_cnn": _second_look_cnn}


def architecture(name: str) -> Architecture:
    """Return the named network of the zoo; a NetworkError gives the nearest where there is none of that name."""
    key = name.replace("-", "_")
    known = ZOO | FINDERS
    if key not in known:
        raise NetworkError(f"There is no network {name!r}.{did_you_mean(key, known)} The zoo has {', '.join(known)}.")
    return known[key]()


def network_of(network: str | Path | Architecture) -> Architecture:
    """Return a network that is given as it is, by its name in the zoo, or by a file with its JSON form (``.json``)."""
    if isinstance(network, Architecture):
        return network
    return read_network(Path(network)) if str(network).lower().endswith(".json") else architecture(str(network))
