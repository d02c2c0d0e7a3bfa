"""The answer map: many images as points, near each other where a network's last layer gets nearly the same of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from digitlab.engine.images import are_finite, wrap_images
from digitlab.engine.sequential import Sequential
from digitlab.errors import InputError, NetworkError
from digitlab.explanation.inside import Floats

#: What a map may tell, and what not.
TELLS = (
    "Points that lie near each other look alike to the last layer, as far as two directions show it. What lies apart "
    "here is apart; what lies together may be apart in a direction that is not shown. How much of all variance the two "
    "show stands at the axes, which have no other meaning."
)


@dataclass(frozen=True, eq=False)
class AnswerMap:
    """Images as points: the two directions in which the last layer's inputs differ most.

    ``points`` is float64 ``(n, 2)``, ``predicted`` int64 ``(n,)``, and ``explained`` which part of all variance each of
    the two directions has.
    """

    points: Floats
    predicted: NDArray[np.int64]
    explained: tuple[float, float]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON types."""
        return {"points": self.points.tolist(), "predicted": self.predicted.tolist(), "explained": list(self.explained)}


def answer_map(model: Sequential, images: ArrayLike) -> AnswerMap:
    """Show images as points, near each other where the network's last layer gets nearly the same.

    Parameters
    ----------
    model : Sequential
        A network that answers one digit.
    images : uint8 (n, 28, 28), 0-255, or float (n, 28, 28) or (n, 28, 28, 1), 0-1
        At least three; of another input shape for a network that has one.

    Returns
    -------
    AnswerMap
        By a principal component analysis (Pearson 1901) of what the engine computed in float32; the same images give
        the same points. 10,000 images take well under a second.

    Raises
    ------
    DataError, InputError, NetworkError
        If the images cannot be used, are fewer than three, or the network computes what is no number.
    """
    wrapped = wrap_images(model.architecture, images)
    n = len(wrapped)
    if n < 3:
        raise InputError(f"Three images or more make a map; got {n}.")
    read, probabilities = model.runner.features(wrapped)
    if not (are_finite(read) and are_finite(probabilities)):
        raise NetworkError(
            f"{model.name} computes what is no number (NaN or infinite): its weights are too large. Use those of an "
            "earlier step, or train again with a smaller learning rate."
        )
    features = read.astype(np.float64)
    features -= features.mean(0)
    is_wide = features.shape[1] > n
    values, vectors = np.linalg.eigh(features @ features.T if is_wide else features.T @ features)
    two = vectors[:, :-3:-1]
    points = two * np.sqrt(np.maximum(values[:-3:-1], 0.0)) if is_wide else features @ two
    # A direction and its opposite are one: that in which the farthest image lies is called positive.
    points *= np.sign(points[np.abs(points).argmax(0), [0, 1]]) + (points == 0.0).all(0)
    whole = max(float(values.sum()), 1e-300)
    explained = float(values[-1] / whole), float(max(values[-2], 0.0) / whole)
    return AnswerMap(points, probabilities.argmax(1).astype(np.int64), explained)
