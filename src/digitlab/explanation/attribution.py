"""Why this answer: which pixels of an image speak for a class, what would change the answer, and what a filter likes.

Every method answers another question, and none tells what a network "thinks"; ``METHODS`` says what each may tell and
what not. Where a class speaks *against* another, its sum before the softmax less the other's is explained, since only
differences of sums matter to the softmax.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike

from digitlab.engine.sequential import Sequential
from digitlab.errors import InputError, NetworkError, did_you_mean
from digitlab.explanation.inside import Floats, as_pixels, backward, forward, softmax

#: What each method tells, and what it does not.
METHODS = {
    "occlusion": (
        "How much less probable the class becomes when a patch around a pixel is hidden. What only two patches "
        "together show, it does not see, and a hidden patch is itself something that the network never learned from."
    ),
    "gradient": (
        "Each pixel times how much the class's sum would change by it: exact for a straight function, and for others "
        "true only for changes that are as good as nothing."
    ),
    "integrated": (
        "The same, summed on the way from a black image to this one: what the pixels give adds up to the difference "
        "of the class's sums for both. It depends on where the way begins."
    ),
}
#: What an input that a filter likes best may tell, and what not.
LIKES = (
    "The image, among those with so much ink, to which its sums are largest on average: found by ascent from faint "
    "noise. It tells what adds up best for it; no digit that it has learned from need look like that, and from another "
    "beginning another image may come out."
)
#: Steps of the way from black to the image.
_STEPS = 64
#: How far beyond the border between two answers the smallest change goes, in units of the class's sum.
_OVERSHOOT, _MOST_STEPS = 1e-3, 200


@dataclass(frozen=True, eq=False)
class Attribution:
    """What every pixel gives to a class.

    Attributes
    ----------
    method : {"occlusion", "gradient", "integrated"}
        How it was found.
    label, against : int, int or None
        The class that is explained, and the one that it is compared with.
    values : float64 (height, width, channels)
        Positive where a pixel speaks for the class; in units of probability (occlusion), else of the class's sum.
    total : float
        Of the values.
    difference : float or None
        What the values of ``integrated`` should add up to: the class's sum for the image, less that for black.
    tells : str
        What the method may tell, and what not.
    """

    method: str
    label: int
    against: int | None
    values: Floats
    total: float
    difference: float | None
    tells: str

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON types."""
        return {**vars(self), "values": self.values.tolist()}


@dataclass(frozen=True, eq=False)
class Change:
    """The smallest change that was found to make a network answer another class.

    ``image`` is float64 in the network's input shape, 0-1; ``probability`` is that of the class ``target`` there, and
    ``distance`` how far it is from the image that was given (Euclidean; a pixel that turns from black to white is 1).
    """

    image: Floats
    target: int
    probability: float
    distance: float
    n_steps: int

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON types."""
        return {**vars(self), "image": self.image.tolist()}


def attribute(
    model: Sequential,
    image: ArrayLike,
    label: int | None = None,
    *,
    method: str = "integrated",
    against: int | None = None,
    patch: int = 5,
) -> Attribution:
    """Tell which pixels speak for a class.

    Parameters
    ----------
    model : Sequential
        A network that answers one digit.
    image : uint8 (28, 28), 0-255, or float (28, 28) or (28, 28, 1), 0-1
        Ink bright on dark; of another input shape for a network that has one.
    label : int, optional
        The class to explain; by default the network's answer.
    method : {"occlusion", "gradient", "integrated"}
        Occlusion (Zeiler and Fergus 2014), gradient times input (Shrikumar et al. 2016), or integrated gradients
        (Sundararajan et al. 2017).
    against : int, optional
        Another class; what speaks for ``label`` rather than for this one.
    patch : int
        Height and width of the patch that is hidden, in pixels; odd.

    Raises
    ------
    DataError, InputError, NetworkError
        If the image, the class or the method cannot be used.

    Examples
    --------
    >>> import digitlab as dl
    >>> found = attribute(dl.codelab_cnn(seed=0), dl.MnistData.load().test.images[0], label=7)
    >>> found.values.shape, abs(found.total - found.difference) < 0.01
    ((28, 28, 1), True)
    """
    if method not in METHODS:
        raise InputError(
            f"There is no method {method!r}.{did_you_mean(method, METHODS)} There are {', '.join(METHODS)}."
        )
    pixels = as_pixels(model, np.asarray(image)[None])
    label = int(model.predict(pixels.astype(np.float32)).argmax()) if label is None else _class(model, label)
    against = None if against is None else _class(model, against)
    if label == against:
        raise InputError(f"Class {label} cannot speak against itself; name two.")
    difference = None
    if method == "occlusion":
        values = _occluded(model, pixels[0], label, against, patch)
    elif method == "gradient":
        values = (_gradient(model, pixels, label, against) * pixels)[0]
    else:
        # The middle of every step: errors of a sum of rectangles shrink with the square of their number.
        way = (np.arange(_STEPS) + 0.5) / _STEPS
        on_the_way = np.multiply.outer(way, pixels[0])
        values = _gradient(model, on_the_way, label, against).mean(0) * pixels[0]
        ends = _score(forward(model, np.concatenate([pixels, np.zeros_like(pixels)]))[-1][3], label, against)
        difference = float(ends[0] - ends[1])
    return Attribution(method, label, against, values, float(values.sum()), difference, METHODS[method])


def smallest_change(model: Sequential, image: ArrayLike, target: int) -> Change:
    """Find the smallest change of an image that makes a network answer ``target``.

    Again and again to where the answers would be equal if the network were a straight function (DeepFool,
    Moosavi-Dezfooli et al. 2016), within 0 to 1; then back towards the image as far as the answer holds. What is found
    is small, and not proved to be the smallest.

    Parameters
    ----------
    model, image
        As for ``attribute``.
    target : int
        The class to be answered.

    Raises
    ------
    NetworkError
        If no change was found.
    """
    target = _class(model, target)
    first = as_pixels(model, np.asarray(image)[None])
    pixels, n_steps = first.copy(), 0
    while (rival := _rival(forward(model, pixels)[-1][3][0], target)) is not None:
        if n_steps == _MOST_STEPS:
            raise NetworkError(
                f"No small change was found that makes the answer {model.class_names[target]}; its sums hardly change "
                "with the pixels."
            )
        gradient = _gradient(model, pixels, target, rival)
        # A pixel that is at its end already cannot go on in that direction.
        gradient[((pixels <= 0.0) & (gradient < 0.0)) | ((pixels >= 1.0) & (gradient > 0.0))] = 0.0
        square = float((gradient**2).sum())
        if square == 0.0:
            n_steps = _MOST_STEPS
            continue
        score = float(_score(forward(model, pixels)[-1][3], target, rival)[0])
        pixels = np.clip(pixels + gradient * ((_OVERSHOOT + abs(score)) / square), 0.0, 1.0)
        n_steps += 1
    far, near = 1.0, 0.0
    for _ in range(12 if n_steps else 0):
        middle = (far + near) / 2
        totals = forward(model, first + middle * (pixels - first))[-1][3][0]
        far, near = (middle, near) if _rival(totals, target) is None else (far, middle)
    changed = first + far * (pixels - first)
    probability = float(softmax(forward(model, changed)[-1][3])[0, target])
    return Change(changed[0], target, probability, float(np.linalg.norm(changed - first)), n_steps)


def favourite_input(
    model: Sequential, layer: str, channel: int, *, n_steps: int = 64, ink: float = 8.0, seed: int = 0
) -> Floats:
    """Find an image that a filter or unit answers most strongly, among those with so much ink.

    Gradient ascent on the mean of the channel's sums (Erhan et al. 2009), from faint noise; after every step the image
    is brought back to 0 to 1 and to a norm of at most ``ink``.

    Parameters
    ----------
    model : Sequential
        A network that answers one digit.
    layer : str
        A layer's name, as the summary has it.
    channel : int
        Which of its channels, or of its features.
    n_steps, ink, seed
        Steps of the ascent, the image's largest Euclidean norm, and where the noise comes from.

    Returns
    -------
    float64, the network's input shape
        Pixels from 0 to 1.
    """
    names = [each.name for each in model.architecture.layers]
    if layer not in names:
        raise InputError(f"The network has no layer {layer!r}.{did_you_mean(layer, names)} It has {', '.join(names)}.")
    n_layers = names.index(layer) + 1
    n_channels = model.architecture.shapes[n_layers - 1][-1]
    if not 0 <= channel < n_channels:
        raise InputError(f"{layer} has channels 0 to {n_channels - 1}; got {channel}.")
    pixels = np.random.default_rng(seed).uniform(0.0, 0.1, (1, *model.architecture.input_shape))
    for _ in range(n_steps):
        steps = forward(model, pixels)[:n_layers]
        wanted = np.zeros_like(steps[-1][3])
        wanted[..., channel] = 1.0
        gradient = backward(steps, wanted)
        norm = float(np.linalg.norm(gradient))
        if norm == 0.0:
            break  # a filter that no pixel can move: dead, or a border of zeros
        pixels = np.clip(pixels + gradient * (ink / (4 * norm)), 0.0, 1.0)
        pixels *= min(1.0, ink / max(float(np.linalg.norm(pixels)), 1e-12))
    return np.asarray(pixels[0])


def _class(model: Sequential, label: int) -> int:
    n_classes = model.architecture.n_classes
    if not 0 <= label < n_classes:
        raise InputError(f"The network knows the classes 0 to {n_classes - 1}; got {label}.")
    return int(label)


def _score(totals: Floats, label: int, against: int | None) -> Floats:
    return totals[:, label] - (totals[:, against] if against is not None else 0.0)


def _gradient(model: Sequential, pixels: Floats, label: int, against: int | None) -> Floats:
    """Return how the class's sum changes by every pixel, of each image."""
    steps = forward(model, pixels)
    wanted = np.zeros_like(steps[-1][3])
    wanted[:, label] = 1.0
    if against is not None:
        wanted[:, against] = -1.0
    return backward(steps, wanted)


def _rival(totals: Floats, target: int) -> int | None:
    """Return the class that is answered instead of the target; None where that is answered."""
    others = totals.copy()
    others[target] = -np.inf
    rival = int(others.argmax())
    return None if totals[target] > others[rival] else rival


def _occluded(model: Sequential, image: Floats, label: int, against: int | None, patch: int) -> Floats:
    if image.ndim != 3:
        raise InputError("A row of features has no patches; use another method.")
    height, width, channels = image.shape
    if patch % 2 == 0 or not 1 <= patch <= min(height, width):
        raise InputError(f"patch must be an odd number from 1 to {min(height, width)}; got {patch}.")
    half, given = patch // 2, image.astype(np.float32)
    has_ink = sliding_window_view(np.pad((given != 0).any(2), half), (patch, patch)).any((2, 3))
    # Where nothing is hidden, nothing is lost: of a digit that is half of all places.
    places = np.argwhere(has_ink)
    hidden = np.repeat(given[None], len(places) + 1, 0)
    for number, (y, x) in enumerate(places, 1):
        hidden[number, max(0, y - half) : y + half + 1, max(0, x - half) : x + half + 1] = 0.0
    scores = _score(model.predict(hidden).astype(np.float64), label, against)
    lost: Floats = np.zeros((height, width, 1))
    lost[has_ink, 0] = (scores[0] - scores[1:]) / channels
    return np.repeat(lost, channels, 2)
