"""Evaluated: a network and its answers to one set of test images, with a sentence that says which."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import cast
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from digitlab.data.choosing import choose_images
from digitlab.data.mnist import MnistData, Split
from digitlab.engine.sequential import Sequential
from digitlab.errors import RunError
from digitlab.evaluation.finish import is_own_data
from digitlab.runs.directory import Run
from digitlab.runs.layout import MODEL
from digitlab.runs.listing import check_name, run_in
from digitlab.studio.answers import evaluate_at, evaluate_model
from digitlab.studio.trainer import Trainer
from digitlab.values import Evaluation

__all__ = ["Evaluated", "evaluate_kept_run", "evaluate_training", "numbers_in_test_set", "open_run"]

# The seed by which digitlab.studio.answers chooses some of the test images.
_SEED = 0
_MOST_KEPT = 8

_LOCK = threading.Lock()
_KEPT: WeakKeyDictionary[MnistData, OrderedDict[tuple[str, int, int | None], Evaluated]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """A network, evaluated; everything is about the same images.

    Attributes
    ----------
    what : str
        Which network, for people.
    evaluation : Evaluation
        Its figures.
    probabilities : float32 (n, n_classes)
        Its answers.
    images, labels : uint8 (n, 28, 28) and uint8 (n,)
        What it was asked.
    numbers : intp (n,)
        The place of each image in the test set.
    n_all : int
        Images of the whole test set.
    accuracy_on_all : float or None
        The same network's accuracy on the whole test set, where it was evaluated there, as other parts of the page say.
    """

    what: str
    evaluation: Evaluation
    probabilities: NDArray[np.float32]
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    numbers: NDArray[np.intp]
    n_all: int
    accuracy_on_all: float | None = None


def evaluate_training(trainer: Trainer, data: MnistData, step: int | None, n_images: int | None) -> Evaluated:
    """Evaluate the training at a step (None: the newest) on so many test images (None: all)."""
    moment = trainer.moment(step)
    answers = evaluate_at(trainer, moment.step, data, n_images)
    what = f"{moment.architecture.name}, "
    if moment.step == 0:
        what += "untrained"
    else:
        what += f"batch {moment.step:,} of {trainer.n_steps:,}"
    if step is None and trainer.state == "training":
        what += ", live"
    elif step is not None:
        what += ", time travel"
    whole = trainer.evaluation
    # The finished network may be that of another epoch, or have its last bias moved.
    is_last = moment.step == trainer.step_done and not (trainer.config.best_weights or trainer.config.not_a_digit)
    on_all = whole.accuracy if whole is not None and is_last and moment.generation == trainer.generation else None
    return Evaluated(what, *answers, numbers_in_test_set(data, len(answers[3])), len(data.test), on_all)


def evaluate_kept_run(trainer: Trainer, data: MnistData, name: str, n_images: int | None) -> Evaluated:
    """Evaluate a finished run on so many test images (None: all); what was asked for lately is remembered.

    Raises
    ------
    RunError
        If there is no such run, or it has no model, or is damaged.
    InputError
        If its network does not take such images.
    """
    run = open_run(trainer, name)
    if not run.has(MODEL):
        raise RunError(f"The run {name} has no model yet; finish its training, or choose another run.")
    try:
        key = (name, (run.path / MODEL).stat().st_mtime_ns, n_images)
    except OSError:  # a link to nowhere, say
        run.load_model()
        raise
    with _LOCK:
        kept = _KEPT.setdefault(data, OrderedDict())
        found = kept.get(key)
        if found is not None:
            kept.move_to_end(key)
            return found
    model = Sequential.from_checkpoint(run.load_model())
    answers = evaluate_model(model, data, n_images)
    what = f"{model.name}, run {name}"
    on_all = run.info().test_accuracy
    if not is_own_data(run, data):
        what += ", which was trained on other data"
        on_all = None
    found = Evaluated(what, *answers, numbers_in_test_set(data, len(answers[3])), len(data.test), on_all)
    with _LOCK:
        kept[key] = found
        while len(kept) > _MOST_KEPT:
            kept.popitem(last=False)
    return found


def open_run(trainer: Trainer, name: str) -> Run:
    """Open a run of the trainer's folder, and of no other.

    Raises
    ------
    RunError
        If there is none of that name.
    """
    if trainer.out is None:
        raise RunError("This Studio keeps no runs; start it with a folder for them: digitlab studio --out runs")
    return run_in(trainer.out, check_name(name))


def numbers_in_test_set(data: MnistData, n_images: int) -> NDArray[np.intp]:
    """Return the places in the test set of the images that ``digitlab.studio.answers`` asks, in their order."""
    places = np.arange(len(data.test))
    # Chosen as the images are: as if the places were images and labels.
    as_split = Split(data.test.name, cast(NDArray[np.uint8], places), cast(NDArray[np.uint8], places))
    return cast(NDArray[np.intp], choose_images(as_split, n_images, _SEED)[1])
