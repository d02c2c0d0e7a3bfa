"""Whether a network of somebody's own was trained with pixels in another scale than 0 to 1, which all get here.

Such a network answers without complaint, and wrongly; one that was trained with pixels from 0 to 255 can be wrong nine
times in ten and sure of it. Its confidence tells nothing, so it is asked for digits whose labels are known, once in
every usual scale.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from digitlab.data.mnist import MnistData
from digitlab.engine.sequential import Sequential
from digitlab.text import percent
from digitlab.values import CLASS_NAMES

__all__ = ["scale_warning", "scale_warning_on_mnist"]

#: Images that are asked for at most.
MOST_IMAGES = 2_000

# What people say of it, and do with bytes; what that makes of a pixel of 0 to 1: times a, plus b.
_SCALES = (
    ("from 0 to 255", "images.astype('float32')", 255.0, 0.0),
    ("from -1 to 1", "images / 127.5 - 1", 2.0, -1.0),
    (
        "of mean 0 and deviation 1 (PyTorch's Normalize)",
        "(images / 255 - 0.1307) / 0.3081",
        1 / 0.3081,
        -0.1307 / 0.3081,
    ),
)
# Whoever answers so many of the first images rightly has the right scale; a look costs nothing then.
_FIRST, _GOOD = 200, 0.98
# Far better: at most this part of the mistakes, beyond chance (standard deviations of a fair coin), and more right than
# wrong at all: a network for other things than digits is none the better for any scale.
_MOST_MISTAKES, _LEAST_DEVIATIONS, _LEAST_ACCURACY = 0.7, 3.0, 0.5


def scale_warning(model: Sequential, images: NDArray[np.uint8], labels: NDArray[np.integer]) -> str:
    """Return a sentence where another usual scale of pixels fits far better than 0 to 1; else an empty text.

    Parameters
    ----------
    model : Sequential
        A network; one that does not answer such images with one class each is passed over.
    images, labels : ndarray
        uint8 (n, 28, 28), 0-255, and integer (n,); the first 2,000 are asked for.
    """
    network = model.architecture
    if network.answers_maps or math.prod(network.input_shape) != math.prod(images.shape[1:]) or not len(images):
        return ""
    labels = labels[:MOST_IMAGES]
    pixels = images[:MOST_IMAGES].reshape(-1, *network.input_shape).astype(np.float32) / np.float32(255)

    def is_right(times: float, plus: float, n: int = MOST_IMAGES) -> NDArray[np.bool_]:
        scaled = pixels[:n] * np.float32(times) + np.float32(plus)
        return np.asarray(model.predict(scaled).argmax(axis=1) == labels[:n])

    if is_right(1.0, 0.0, _FIRST).mean() >= _GOOD:
        return ""
    now = is_right(1.0, 0.0)
    found = [(is_right(times, plus), words, code) for words, code, times, plus in _SCALES]
    then, words, code = max(found, key=lambda one: int(one[0].sum()))
    n_better, n_worse = int((then & ~now).sum()), int((now & ~then).sum())
    if (
        then.mean() < _LEAST_ACCURACY
        or (~then).sum() > _MOST_MISTAKES * (~now).sum()
        or n_better - n_worse < _LEAST_DEVIATIONS * math.sqrt(n_better + n_worse)
    ):
        return ""
    return (
        f"{model.name} was trained with pixels {words}, it seems: with those it answers {percent(then.mean(), 1)} of "
        f"{len(labels):,} images rightly, and {percent(now.mean(), 1)} with pixels from 0 to 1, which it gets here. In "
        f"Python, give it what it knows: digitlab.load_model(...).predict({_shaped(code, network.input_shape)}); or "
        "train it with images / 255."
    )


def scale_warning_on_mnist(model: Sequential) -> str:
    """Return ``scale_warning`` for MNIST's digits, where a network is one for digits and no images have labels."""
    if model.architecture.answers_maps or model.architecture.n_classes not in (len(CLASS_NAMES), len(CLASS_NAMES) + 1):
        return ""
    test = MnistData.load().test
    return scale_warning(model, test.images[:MOST_IMAGES], test.labels[:MOST_IMAGES])


def _shaped(code: str, shape: tuple[int | None, ...]) -> str:
    return code if len(shape) == 3 else f"({code}).reshape(-1, {shape[0]})"
