"""Two runs beside each other: what was set differently, how they learned, and where they disagree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.data.mnist import MnistData
from digitlab.engine.sequential import Sequential
from digitlab.errors import InputError, RunError
from digitlab.metrics import confusion_matrix
from digitlab.network.architecture import Architecture
from digitlab.network.checkpoint import Checkpoint
from digitlab.network.layers import Conv2D, Dense, Layer
from digitlab.runs.run import CONFIG, MODEL, Run, RunInfo
from digitlab.studio.answers import evaluate_model
from digitlab.values import EpochRecord, Evaluation, Prediction, StepRecord, Value

__all__ = ["ComparedRun", "Comparison", "Disagreement", "SettingDifference", "compare"]

# No result depends on it.
_IRRELEVANT = "threads"


@dataclass(frozen=True, slots=True)
class SettingDifference(Value):
    """A setting that the two runs do not share; None where a run has none."""

    name: str
    a: Any
    b: Any


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
    """A test image that the two answer differently; ``index`` counts within the evaluated images, from 0."""

    index: int
    label: int
    a: Prediction
    b: Prediction


@dataclass(frozen=True, slots=True)
class Comparison(Value):
    """Two runs on the same test images.

    Attributes
    ----------
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

    a: ComparedRun
    b: ComparedRun
    settings: tuple[SettingDifference, ...]
    confusion_difference: tuple[tuple[int, ...], ...]
    disagreements: tuple[Disagreement, ...]
    n_only_a_right: int
    n_only_b_right: int
    n_both_wrong: int
    p_value: float


def compare(run_a: Run, run_b: Run, data: MnistData, n_images: int | None = None) -> Comparison:
    """Compare two runs on the same test images.

    Parameters
    ----------
    run_a, run_b : Run
        Complete, or interrupted: then the last saved weights are taken.
    data : MnistData
        Its test images are answered by both.
    n_images : int, optional
        How many of them; all by default.

    Raises
    ------
    RunError
        If a run is damaged, or has no weights yet, or they tell different numbers of classes apart.
    InputError
        If a network does not take such images.
    """
    side_a, answers_a, labels = _side(run_a, data, n_images)
    side_b, answers_b, _ = _side(run_b, data, n_images)
    n_classes = answers_a.shape[1]
    if n_classes != answers_b.shape[1]:
        raise RunError(
            f"{run_a.name} tells {n_classes} classes apart and {run_b.name} {answers_b.shape[1]}; choose two runs with "
            f"the same classes."
        )
    chosen_a, chosen_b = answers_a.argmax(axis=1), answers_b.argmax(axis=1)
    matrix = confusion_matrix(labels, chosen_b, n_classes) - confusion_matrix(labels, chosen_a, n_classes)
    differ = chosen_a != chosen_b
    n_a, n_b = int((differ & (chosen_a == labels)).sum()), int((differ & (chosen_b == labels)).sum())
    return Comparison(
        a=side_a,
        b=side_b,
        settings=tuple(_differences(run_a, side_a, run_b, side_b)),
        confusion_difference=tuple(tuple(row) for row in matrix.tolist()),
        disagreements=_disagreements(np.flatnonzero(differ), labels, answers_a, answers_b),
        n_only_a_right=n_a,
        n_only_b_right=n_b,
        n_both_wrong=int(differ.sum()) - n_a - n_b,
        p_value=_sign_test(n_a, n_b),
    )


def _side(
    run: Run, data: MnistData, n_images: int | None
) -> tuple[ComparedRun, NDArray[np.float32], NDArray[np.uint8]]:
    checkpoint = _weights(run)
    model = Sequential.from_checkpoint(checkpoint)
    try:
        evaluation, probabilities, _, labels = evaluate_model(model, data, n_images)
    except InputError as error:
        raise InputError(f"{run.name} cannot be compared on {data.source}: {error}") from None
    history, info = run.history(), _info(run)
    side = ComparedRun(
        name=run.name,
        n_parameters=checkpoint.architecture.n_parameters,
        is_complete=run.has(MODEL),
        steps=tuple(record for record in history if isinstance(record, StepRecord)),
        epochs=tuple(record for record in history if isinstance(record, EpochRecord)),
        evaluation=evaluation,
        on_the_way=info.on_the_way if info is not None else (),
    )
    return side, probabilities, labels


def _info(run: Run) -> RunInfo | None:
    """Return what a list says of a run; None where its description is damaged, whose weights can be compared still."""
    try:
        return run.info()
    except RunError:
        return None


def _weights(run: Run) -> Checkpoint:
    return run.load_model() if run.has(MODEL) else run.load_state()


def _disagreements(
    where: NDArray[np.intp],
    labels: NDArray[np.uint8],
    answers_a: NDArray[np.float32],
    answers_b: NDArray[np.float32],
) -> tuple[Disagreement, ...]:
    sureness = answers_a[where].max(axis=1) + answers_b[where].max(axis=1)
    return tuple(
        Disagreement(int(i), int(labels[i]), _prediction(i, answers_a[i]), _prediction(i, answers_b[i]))
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


def _differences(run_a: Run, side_a: ComparedRun, run_b: Run, side_b: ComparedRun) -> Iterator[SettingDifference]:
    told = [_settings(run, side) for run, side in ((run_a, side_a), (run_b, side_b))]
    for name in dict.fromkeys([*told[0], *told[1]]):
        a, b = told[0].get(name), told[1].get(name)
        if a != b:
            yield SettingDifference(name, a, b)


def _settings(run: Run, side: ComparedRun) -> dict[str, Any]:
    """Return what a run was made with, by name; for people."""
    description = run.read_json(CONFIG)
    config, data = description.get("config"), description.get("data")
    settings = dict(config) if isinstance(config, Mapping) else {}
    settings.pop(_IRRELEVANT, None)
    if isinstance(data, Mapping):
        settings["data"] = data.get("source")
        settings["data digest"] = data.get("digest")
    settings |= _layers(description.get("network"))
    settings["parameters"] = side.n_parameters
    info = _info(run)
    settings["changed on the way"] = ", ".join(info.changes) if info is not None and info.changes else None
    if not side.is_complete:
        settings["stopped after batch"] = int(run.load_state().metadata.get("step", 0))
    return settings


def _layers(form: Any) -> dict[str, str]:
    """Return the layers in one line, without their names, and how they begin in another; for people."""
    try:
        layers = Architecture.from_dict(form).layers
    except InputError:
        return {}
    beginnings = [
        f"{type(layer).__name__} {layer.kernel_initializer}, {layer.bias_initializer}"
        for layer in layers
        if isinstance(layer, Conv2D | Dense)
    ]
    return {
        "layers": ", ".join(" ".join([type(layer).__name__, *_choices(layer)]) for layer in layers),
        "initializers": "; ".join(beginnings),
    }


def _choices(layer: Layer) -> Iterator[str]:
    """Return what was chosen of a layer: ``8``, ``5 x 5``, ``relu``."""
    for entry in fields(layer):
        value = getattr(layer, entry.name)
        is_implied = value == entry.default or (entry.name == "strides" and value == getattr(layer, "pool_size", None))
        if entry.name == "name" or entry.name.endswith("_initializer") or is_implied:
            continue
        if isinstance(value, tuple):
            value = " x ".join(map(str, value))
        yield f"{entry.name}={value}" if isinstance(value, bool) or entry.name == "strides" else str(value)
