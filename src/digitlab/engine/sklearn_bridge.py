"""DigitClassifier: a network as a scikit-learn estimator. scikit-learn is optional; without it, using this says so."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from digitlab.engine.images import USUAL_SCALES, unlike_learned, usual_scale
from digitlab.engine.keras_words import whole_number
from digitlab.engine.optimizers import Adam
from digitlab.engine.sequential import Sequential
from digitlab.errors import ConfigError, DataError, InputError, NetworkError
from digitlab.network.architecture import Architecture
from digitlab.network.layers import ELU, Activation, Dense, Dropout, Flatten, LeakyReLU
from digitlab.network.zoo import architecture as architecture_of

__all__ = ["DigitClassifier"]

if TYPE_CHECKING:

    class _Estimator:
        """What type checkers know of scikit-learn's base classes, which have no types."""

        n_features_in_: int

else:
    try:
        from sklearn.base import BaseEstimator, ClassifierMixin

        class _Estimator(ClassifierMixin, BaseEstimator):
            pass

    except ImportError:
        _Estimator = object


_BYTE = 255.0
# Layers that take any number of features.
_OF_ROWS = (Flatten, Dropout, Dense, Activation, LeakyReLU, ELU)


class DigitClassifier(_Estimator):
    """A network of the zoo, or one of your own, as a scikit-learn classifier.

    Parameters
    ----------
    network : str or Architecture
        ``codelab_cnn``, ``dense_baseline``, ``fast_cnn``, or an ``Architecture`` whose last layer is a softmax. The
        last layer gets as many units as there are classes. A network without convolutions takes any number of features.
    epochs, batch_size : int
        Passes over the images, and images a step.
    learning_rate : float
        Adam's step size; the peak of the schedule.
    schedule : {"constant", "cosine", "one-cycle"}
        Learning rate over the run.
    random_state : int, RandomState or None
        Where initial weights and the order of the images come from; None draws anew at every fit.
    threads : int, optional
        Threads that share the work; all cores by default. No result depends on it.

    Attributes
    ----------
    classes_ : ndarray
        The labels, sorted; any kind that scikit-learn knows.
    model_ : Sequential
        The trained network.
    largest_value_ : float
        What values are divided by: the least of 1, 16, 255 and 65,535 that none of those of ``fit`` goes beyond; 1
        where some are below 0. What is asked in another of these scales is divided by that, with a warning.
    n_features_in_ : int
        Values of one image, 784.

    Examples
    --------
    >>> from digitlab import DigitClassifier, MnistData
    >>> data = MnistData.load()
    >>> classifier = DigitClassifier(epochs=5, random_state=0)
    >>> classifier.fit(data.training.images[:2000], data.training.labels[:2000]).predict(data.test.images[:3])
    array([7, 2, 1], dtype=uint8)
    """

    def __init__(
        self,
        network: str | Architecture = "codelab_cnn",
        *,
        epochs: int = 10,
        batch_size: int = 64,
        learning_rate: float = 0.001,
        schedule: str = "constant",
        random_state: Any = None,
        threads: int | None = None,
    ) -> None:
        if _Estimator is object:
            raise ConfigError("DigitClassifier needs scikit-learn. Install it: pip install scikit-learn")
        self.network = network
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.random_state = random_state
        self.threads = threads

    def fit(self, X: ArrayLike, y: ArrayLike) -> DigitClassifier:  # noqa: N803 - scikit-learn's name
        """Train on images.

        Parameters
        ----------
        X : array
            ``(n, 784)``, ``(n, 28, 28)`` or ``(n, 28, 28, 1)``; uint8 or other numbers, 0-255 or 0-1, ink bright on
            dark. For other networks ``(n, features)``.
        y : array
            Labels ``(n,)``.

        Returns
        -------
        DigitClassifier
            This one.
        """
        from sklearn.utils import check_random_state
        from sklearn.utils.multiclass import check_classification_targets
        from sklearn.utils.validation import validate_data

        with _own_errors():
            checked = validate_data(self, _rows(X), y, dtype="numeric")
            images, given = np.asarray(checked[0]), np.asarray(checked[1])
            check_classification_targets(given)
        self.classes_, labels = np.unique(given, return_inverse=True)
        least, most = images.min(), images.max()
        self._is_usual = bool(least >= 0 and most <= USUAL_SCALES[-1])
        self.largest_value_ = usual_scale(float(most)) if self._is_usual else 1.0
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        network = _fitting(self.network, self.n_features_in_, len(self.classes_))
        self.model_ = Sequential.from_architecture(network, seed=seed, threads=self.threads)
        self.model_.fit(
            self._scaled(images, self.largest_value_),
            labels,
            batch_size=min(whole_number("batch_size", self.batch_size, 1), len(images)),
            epochs=self.epochs,
            optimizer=Adam(self.learning_rate),
            schedule=self.schedule,
            seed=seed,
        )
        self.model_.forget_scale()  # it is told here, of the values that this class is given
        self.n_iter_ = self.epochs
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float32]:  # noqa: N803 - scikit-learn's name
        """Return probabilities, float32 ``(n, n_classes)`` in the order of ``classes_``."""
        from sklearn.utils.validation import check_is_fitted, validate_data

        check_is_fitted(self)
        with _own_errors():
            images = np.asarray(validate_data(self, _rows(X), reset=False, dtype="numeric"))
        return self.model_.predict(self._scaled(images, self._scale_of(images)))

    def predict(self, X: ArrayLike) -> NDArray[Any]:  # noqa: N803 - scikit-learn's name
        """Return the most probable labels, ``(n,)``."""
        probabilities = self.predict_proba(X)
        labels: NDArray[Any] = self.classes_[probabilities.argmax(axis=1)]
        return labels

    def _scale_of(self, images: NDArray[Any]) -> float:
        """Return what values are to be divided by; a warning where they are in another scale than those of ``fit``."""
        if not self._is_usual or images.min() < 0 or not unlike_learned(images, self.largest_value_):
            return self.largest_value_
        scale = usual_scale(float(images.max()))
        factor = self.largest_value_ / scale
        warnings.warn(
            f"The values were from 0 to {self.largest_value_:g} in fit, and these are from 0 to {scale:g}, it seems. "
            f"They are taken so; to be sure, pass X {f'* {factor:g}' if factor > 1 else f'/ {1 / factor:g}'}.",
            UserWarning,
            stacklevel=4,
        )
        return scale

    def _scaled(self, images: NDArray[Any], scale: float) -> NDArray[Any]:
        if images.dtype == np.uint8 and scale == _BYTE:
            return images  # the engine divides bytes itself
        return images.astype(np.float32) / np.float32(scale)


@contextmanager
def _own_errors() -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except ValueError as error:
        # What follows is scikit-learn's advice for holes in tables of any kind.
        told = str(error).partition("\nDigitClassifier does not accept")[0]
        advice = " One-hot rows become labels with y.argmax(axis=1)." if told.startswith("y should be a 1d") else ""
        raise DataError(told + advice) from None


def _rows(images: Any) -> Any:
    """Return images as rows of values; frames stay what they are, for the names of their columns."""
    if isinstance(images, list | tuple) and np.ndim(images[:1]) > 2:
        images = np.asarray(images)
    if getattr(images, "ndim", 0) in (3, 4) and hasattr(images, "reshape"):
        return images.reshape(len(images), -1)
    return images


def _fitting(network: str | Architecture, n_features: int, n_classes: int) -> Architecture:
    """Return the network for so many features and classes."""
    chosen = architecture_of(network) if isinstance(network, str) else network
    shape: tuple[int, ...] = chosen.input_shape
    if n_features != int(np.prod(shape)):
        if any(not isinstance(layer, _OF_ROWS) for layer in chosen.layers):
            raise NetworkError(
                f"{chosen.name} reads images of shape {shape}, {int(np.prod(shape))} features; X has {n_features}. "
                'Choose network="dense_baseline", which takes any number, or an Architecture with another input_shape.'
            )
        shape = (n_features,)
    layers = list(chosen.layers)
    if chosen.n_classes != n_classes:
        at = next(i for i in reversed(range(len(layers))) if layers[i].weight_shapes(chosen.input_shapes[i]))
        last = layers[at]
        if not isinstance(last, Dense):
            raise NetworkError(
                f"{chosen.name} answers {chosen.n_classes} classes and y has {n_classes}; only a network whose last "
                f"layer with weights is Dense can be given as many units; here it is {last.name}."
            )
        layers[at] = dataclasses.replace(last, units=n_classes)
    return Architecture(layers, shape, chosen.name)
