"""What the views show of a network at a step: filters, answers, evaluation; all of it off the event loop."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from digitlab.data.mnist import MnistData, choose_images
from digitlab.engine.sequential import Sequential
from digitlab.errors import NetworkError, TrainingDivergedError
from digitlab.evaluation.evaluate import evaluate
from digitlab.network.architecture import Architecture
from digitlab.studio.trainer import Trainer
from digitlab.values import Evaluation, Prediction

__all__ = ["Answers", "answer_digits", "evaluate_at", "evaluate_model", "filters_of"]

_MOST_EVALUATIONS = 32
_SEED = 0

#: What an evaluation gives: the evaluation, probabilities, images and labels.
Answers = tuple[Evaluation, NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint8]]


def filters_of(architecture: Architecture, weights: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return what the first layer that learns looks for, as small images.

    Returns
    -------
    ndarray
        float32 (height, width, channels, n): the kernels of a convolution; or, for a dense layer, the weight that every
        value of the image has for every unit.

    Raises
    ------
    NetworkError
        If no layer learns.
    """
    image = architecture.input_shape
    for layer, shape in zip(architecture.layers, architecture.input_shapes, strict=True):
        image = shape if len(shape) == 3 else image
        kernels = layer.weight_shapes(shape)
        if kernels:
            kernel = weights[0]
            if kernel.ndim == 4:
                return kernel
            seen = image if len(image) == 3 else (*image, 1, 1)
            return kernel.reshape(*seen, kernel.shape[-1])
    raise NetworkError(f"{architecture.name} has no layer that learns; add Conv2D or Dense.")


def answer_digits(
    architecture: Architecture, weights: Sequence[NDArray[np.float32]], images: NDArray[np.uint8]
) -> list[Prediction]:
    """Answer some images, uint8 (n, 28, 28), with the weights of a step.

    Raises
    ------
    TrainingDivergedError
        If the answers are not numbers, as those of the last step before a training diverged may be.
    """
    model = Sequential.from_architecture(architecture, weights, threads=1)
    try:
        probabilities = model.predict(images)
    except NetworkError:
        raise TrainingDivergedError(
            "At this step the network's answers are no numbers any more. Look at an earlier step, and train with a "
            "smaller learning rate."
        ) from None
    labels = probabilities.argmax(axis=1)
    return [
        Prediction(f"#{i}", int(label), float(row[label]), tuple(row.tolist()))
        for i, (label, row) in enumerate(zip(labels, probabilities, strict=True))
    ]


def evaluate_at(trainer: Trainer, step: int | None, data: MnistData, n_images: int | None) -> Answers:
    """Evaluate the network of the nearest recorded step at or before ``step`` (None: the newest) on test images.

    The images are the same at every step and in every run, and everything that is returned is about them. What was
    asked for before is remembered, and what is asked for twice at once is computed once.

    Parameters
    ----------
    trainer : Trainer
        Whose training.
    step : int or None
        Batches done.
    data : MnistData
        Its test images.
    n_images : int or None
        How many of them; None for all.

    Returns
    -------
    evaluation : Evaluation
        Of these images; ``mistakes`` counts within them.
    probabilities : ndarray
        float32 (n, n_classes).
    images, labels : ndarray
        uint8 (n, 28, 28) and uint8 (n,).
    """
    moment = trainer.moment(step)
    key = (moment.generation, moment.step, n_images)
    with _LOCK:
        known = _KNOWN.setdefault(trainer, OrderedDict())
        found = known.get(key)
        is_mine = found is None
        if found is None:
            found = known[key] = Future()
            if len(known) > _MOST_EVALUATIONS:
                known.popitem(last=False)
        else:
            known.move_to_end(key)
    if is_mine:
        try:
            model = Sequential.from_architecture(moment.architecture, moment.weights)
            found.set_result(evaluate_model(model, data, n_images))
        except BaseException as error:
            with _LOCK:
                known.pop(key, None)
            found.set_exception(error)
    return found.result()


def evaluate_model(model: Sequential, data: MnistData, n_images: int | None) -> Answers:
    """Evaluate a model on the test images that `evaluate_at` takes, and return the same."""
    n = len(data.test) if n_images is None else min(n_images, len(data.test))
    images, labels = choose_images(data.test, n, _SEED)
    probabilities = model.predict(images)
    evaluation = evaluate(_Answered(probabilities), images, labels, class_names=model.class_names)
    return evaluation, probabilities, images, labels


_LOCK = threading.Lock()
_KNOWN: WeakKeyDictionary[Trainer, OrderedDict[tuple[int, int, int | None], Future[Answers]]] = WeakKeyDictionary()


@dataclass(frozen=True)
class _Answered:
    """Answers that are there already, for `evaluate`."""

    probabilities: NDArray[np.float32]

    def predict(self, images: NDArray[np.uint8], /) -> NDArray[np.float32]:
        return self.probabilities
