"""Two runs beside each other: what was set differently, how they learned, and where they disagree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from digitlab.data.mnist import MnistData, choose_images
from digitlab.engine.models import Model, opened_model
from digitlab.engine.sequential import Sequential
from digitlab.errors import ConfigError, InputError, RunError
from digitlab.evaluation.alike import (
    DIGEST,
    SettingDifference,
    differences,
    differences_told,
    info_of,
    layers_told,
    run_settings,
)
from digitlab.evaluation.evaluate import Predictor, evaluate_answers
from digitlab.evaluation.finish import own_folder
from digitlab.metrics import confusion_matrix
from digitlab.network.architecture import Architecture
from digitlab.network.formats.files import is_model_file, lacks_network
from digitlab.network.pixels import OWN
from digitlab.runs.listing import find_run
from digitlab.runs.run import MODEL, Run
from digitlab.text import listed, percent
from digitlab.values import EpochRecord, Evaluation, Prediction, StepRecord, Value

# Chooses the same test images for every model.
_SEED = 0
# Less is rounded to nothing, which no chance is.
_LEAST_P = 1e-300


@dataclass(frozen=True, slots=True)
class ComparedRun(Value):
    """One of the two: its history and its evaluation.

    ``is_complete`` is False for a run that was interrupted; the weights are then those of its last saved step.
    ``on_the_way`` says in words what happened to it besides its settings.
    """

    name: str
    n_parameters: int
    is_complete: bool
    steps: tuple[StepRecord, ...]
    epochs: tuple[EpochRecord, ...]
    evaluation: Evaluation
    on_the_way: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Disagreement(Value):
    """A test image that the two answer differently.

    ``index`` counts within the evaluated images and ``place`` within the whole test set, both from 0.
    """

    index: int
    place: int
    label: int
    a: Prediction
    b: Prediction


@dataclass(frozen=True, slots=True)
class Comparison(Value):
    """Two runs on the same test images.

    Attributes
    ----------
    unlike : str
        In what the two were not trained alike, in a sentence to be read before any figure; empty where they were.
    data : str
        Whose test images both answered.
    a, b : ComparedRun
        In the order in which they were chosen.
    settings : tuple of SettingDifference
        What was set differently.
    confusion_difference : tuple of tuple of int
        The confusion matrix of ``b`` minus that of ``a``: rows are true labels, columns predicted ones.
    disagreements : tuple of Disagreement
        Those that the two are surest about first.
    n_only_a_right, n_only_b_right, n_both_wrong : int
        The disagreements, counted; together they are all.
    p_value : float
        How likely as uneven a split between "only a is right" and "only b is right", or a more uneven one, would be if
        both were equally good (McNemar 1947, the exact test).
    """

    unlike: str
    data: str
    a: ComparedRun
    b: ComparedRun
    settings: tuple[SettingDifference, ...]
    confusion_difference: tuple[tuple[int, ...], ...]
    disagreements: tuple[Disagreement, ...]
    n_only_a_right: int
    n_only_b_right: int
    n_both_wrong: int
    p_value: float


@dataclass(frozen=True, slots=True, eq=False)
class TestAnswers:
    """A model's answers to some test images, all about the same ones.

    float32 (n, n_classes), rows sum to 1; uint8 (n, 28, 28) and (n,); intp (n,), the images' places in the test set.
    """

    __test__ = False  # for pytest: no test

    evaluation: Evaluation
    probabilities: NDArray[np.float32]
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    places: NDArray[np.intp]


class NamedPredictor(Predictor, Protocol):
    """Anything that answers images with probabilities of classes with names."""

    class_names: tuple[str, ...]


def answer_test_images(model: NamedPredictor, data: MnistData, n_images: int | None = None) -> TestAnswers:
    """Answer test images, by default all; the same ``n_images`` of them for every model."""
    n = len(data.test) if n_images is None else min(n_images, len(data.test))
    places = choose_images(data.test, n, _SEED)
    chosen = data.test.at(places)
    probabilities = model.predict(chosen.images)
    evaluation = evaluate_answers(probabilities, chosen.labels, class_names=model.class_names)
    return TestAnswers(evaluation, probabilities, chosen.images, chosen.labels, places)


def compare(
    a: Run | str | Path,
    b: Run | str | Path,
    data: MnistData | None = None,
    n_images: int | None = None,
    *,
    out: str | Path = "runs",
    pixels: str | None = None,
    network: str | Path | Architecture | None = None,
) -> Comparison:
    """Compare two runs or model files on the same test images.

    Parameters
    ----------
    a, b : Run, str or Path
        Runs, their directories or their names in ``out``. Complete, or interrupted: then the last saved weights are
        taken. Or model files, as ``load_model`` takes them, of which nobody knows how they were trained.
    data : MnistData, optional
        Its test images are answered by both; those of the first run's data by default.
    n_images : int, optional
        How many of them; all by default.
    out : str or Path
        The folder of runs.
    pixels : str, optional
        How the pixels were scaled that the networks of model files learned from, as for ``load_model``; by default what
        a file says, or what fits far better.
    network : str, Path or Architecture, optional
        The network whose weights PyTorch state dicts (``.safetensors``) hold, as for ``load_model``.

    Returns
    -------
    Comparison
        In what the two were not trained alike, both evaluations, the settings that differ, the images answered
        differently, and McNemar's exact test.

    Raises
    ------
    RunError
        If a run is missing or damaged, or has no weights yet, or they tell different numbers of classes apart.
    InputError
        If a network does not take such images.
    ConfigError
        If there is no such scale; a network is given, and both say themselves what theirs is.
    """
    run_a, run_b = (_found(run, out) for run in (a, b))
    lacking = [run for run in (run_a, run_b) if network is not None and isinstance(run, Path) and lacks_network(run)]
    if network is not None and not lacking:
        raise ConfigError(
            f"The network is that of a PyTorch state dict (.safetensors), and neither {run_a.name} nor {run_b.name} is "
            "one. Leave it out."
        )
    if data is None:
        runs = [run for run in (run_a, run_b) if isinstance(run, Run)]
        data = MnistData.load(own_folder(runs[0] if runs else None))
    side_a, answers_a, settings_a = _side(run_a, data, n_images, pixels, network if run_a in lacking else None)
    side_b, answers_b, settings_b = _side(run_b, data, n_images, pixels, network if run_b in lacking else None)
    labels = answers_a.labels
    n_classes, n_other = (len(side.evaluation.class_names) for side in (side_a, side_b))
    if n_classes != n_other:
        raise RunError(
            f"{side_a.name} tells {n_classes} classes apart and {side_b.name} {n_other}; choose two with the same "
            f"classes."
        )
    chosen_a, chosen_b = answers_a.probabilities.argmax(axis=1), answers_b.probabilities.argmax(axis=1)
    matrix = confusion_matrix(labels, chosen_b, n_classes) - confusion_matrix(labels, chosen_a, n_classes)
    differ = chosen_a != chosen_b
    n_a, n_b = int((differ & (chosen_a == labels)).sum()), int((differ & (chosen_b == labels)).sum())
    settings = tuple(differences(settings_a, settings_b))
    return Comparison(
        unlike=_unlike((side_a, side_b), settings, (settings_a, settings_b), data),
        data=data.source,
        a=side_a,
        b=side_b,
        settings=settings,
        confusion_difference=tuple(tuple(row) for row in matrix.tolist()),
        disagreements=_disagreements(np.flatnonzero(differ), answers_a, answers_b),
        n_only_a_right=n_a,
        n_only_b_right=n_b,
        n_both_wrong=int(differ.sum()) - n_a - n_b,
        p_value=_sign_test(n_a, n_b),
    )


def _found(run: Run | str | Path, out: str | Path) -> Run | Path:
    """Return a run, or the path of a model file."""
    if isinstance(run, Run):
        return run
    return Path(run) if is_model_file(run) else find_run(run, out)


def _side(
    run: Run | Path,
    data: MnistData,
    n_images: int | None,
    pixels: str | None,
    network: str | Path | Architecture | None,
) -> tuple[ComparedRun, TestAnswers, dict[str, Any]]:
    """Return one of the two, what it answers, and by name what it was made with; of a file only what is in it."""
    told: tuple[str, ...] = ()
    if isinstance(run, Run):
        model: Model = Sequential.from_checkpoint(run.load_model() if run.has(MODEL) else run.load_state())
    else:
        opened = opened_model(run, pixels=pixels, network=network)
        model = opened.model
        told = () if opened.pixels in (None, OWN.text) else (f"given pixels {opened.pixels}",)
    try:
        answers = answer_test_images(model, data, n_images)
    except InputError as error:
        raise InputError(f"{run.name} cannot be compared on {data.source}: {error}") from None
    if isinstance(run, Path):
        side = ComparedRun(run.name, model.count_params(), True, (), (), answers.evaluation, told)
        settings: dict[str, Any] = {"parameters": side.n_parameters}
        if isinstance(model, Sequential):
            settings |= {"layers": layers_told(model.architecture.to_dict())["layers"]}
        return side, answers, settings
    history, info = run.history(), info_of(run)
    side = ComparedRun(
        name=run.name,
        n_parameters=model.count_params(),
        is_complete=run.has(MODEL),
        steps=tuple(record for record in history if isinstance(record, StepRecord)),
        epochs=tuple(record for record in history if isinstance(record, EpochRecord)),
        evaluation=answers.evaluation,
        on_the_way=info.on_the_way if info is not None else (),
    )
    return side, answers, run_settings(run) | {"parameters": side.n_parameters}


def _disagreements(where: NDArray[np.intp], a: TestAnswers, b: TestAnswers) -> tuple[Disagreement, ...]:
    sureness = a.probabilities[where].max(axis=1) + b.probabilities[where].max(axis=1)
    return tuple(
        Disagreement(
            index=int(i),
            place=int(a.places[i]),
            label=int(a.labels[i]),
            a=_prediction(i, a.probabilities[i]),
            b=_prediction(i, b.probabilities[i]),
        )
        for i in where[np.argsort(-sureness, kind="stable")]
    )


def _prediction(index: int, probabilities: NDArray[np.float32]) -> Prediction:
    label = int(probabilities.argmax())
    return Prediction(f"test#{index}", label, float(probabilities[label]), tuple(probabilities.tolist()))


def _sign_test(n_a: int, n_b: int) -> float:
    n, ways, tail = n_a + n_b, 1, 0
    for k in range(min(n_a, n_b) + 1):
        tail += ways
        ways = ways * (n - k) // (k + 1)
    return min(1.0, float(Fraction(2 * tail, 2**n)))


def _unlike(
    sides: Sequence[ComparedRun],
    differences: Sequence[SettingDifference],
    settings: Sequence[Mapping[str, Any]],
    data: MnistData,
) -> str:
    """Say in what two were not trained alike; two that differ in one thing alone tell what that one is worth."""
    letters = ("A", "B")
    files = [side.name for side in sides if not side.steps and not side.epochs]
    phrases = differences_told(differences, letters)
    if files:
        told = f"How {listed(files)} learned is not known here, nor what sets the figures apart."
    elif len(phrases) == 1:
        told = f"A and B were trained alike but for one thing: {phrases[0]}."
    elif phrases:
        told = (
            f"A and B were not trained alike: they differ in {listed(phrases)}; what sets their figures apart may come "
            "from any of these."
        )
    else:
        told = ""
    known = zip(letters, (one.get(DIGEST) for one in settings), strict=True)
    strangers = [letter for letter, digest in known if digest not in (None, data.digest)]
    if strangers:
        told += f" Both answered the test images of {data.source}; {listed(strangers)} learned from other data."
    return told.strip()


def verdict(comparison: Comparison) -> str:
    """Say on how many images the two differ, and whether that tells them apart by McNemar's exact test."""
    n_a, n_b, n_wrong = comparison.n_only_a_right, comparison.n_only_b_right, comparison.n_both_wrong
    n = n_a + n_b + n_wrong
    if n == 0:
        return f"They give the same answer to all {comparison.a.evaluation.n_images:,} images."
    told = (
        f"They disagree on {n:,} of the same {comparison.a.evaluation.n_images:,} images: only A is right on {n_a:,}, "
        f"only B on {n_b:,}, and on {n_wrong:,} both are wrong. "
    )
    share = percent(max(comparison.p_value, _LEAST_P), 1)
    chance = f"of two equally good ones, so uneven a split comes up in {share} of cases."
    if comparison.p_value < 0.05:
        better = "A" if n_a > n_b else "B"
        return f"{told}So {better} is the better reader: {chance}"
    return f"{told}That does not tell which is better: {chance}"
