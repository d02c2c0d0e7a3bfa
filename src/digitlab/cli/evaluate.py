"""``digitlab evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.text import Text

from digitlab.cli.terminal import (
    AsJson,
    Number,
    Pixels,
    StateNetwork,
    WholeNumber,
    print_json,
    results_table,
    right,
    say,
    saying_that_it_reads,
    stdout,
    with_network,
)
from digitlab.text import percent

if TYPE_CHECKING:
    from rich.table import Table

    from digitlab.values import CoverageCurve, Evaluation

_MOST_MIXUPS = 20


def evaluate(
    run: str,
    /,
    *,
    images: WholeNumber | None = None,
    split: Literal["test", "validation"] = "test",
    data: Path | None = None,
    seed: WholeNumber = 0,
    threshold: Number | None = None,
    pixels: Pixels = None,
    network: StateNetwork = None,
    device: str = "cpu",
    out: Path = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Tell how good a trained network is, class by class.

    By default on the whole test set of the data that the run was trained with; that evaluation is kept in the run,
    with a new report. Any other is only printed. All figures come from the same images.

    Parameters
    ----------
    run
        A run's name or folder, "latest", or a model file: .safetensors, .keras, .h5, .onnx, or TensorFlow.js'
        model.json.
    images
        Evaluate so many images, chosen by --seed, instead of all; the codelab takes 500.
    split
        Which images: those to report with, or those to choose by.
    data
        A set of images, as for digitlab train, instead of the data that the run was trained with.
    seed
        Which --images are chosen.
    threshold
        Tell, too, what becomes of the images if only answers are given that are at least so sure, from 0 to 1, and
        the same of other thresholds.
    pixels
        How the pixels were scaled that a model file's network learned from: 0-255, 0-1, -1-1, or MEAN,STD of pixels
        from 0 to 1 (PyTorch's Normalize), such as 0.1307,0.3081. By default what the file says, or what fits far
        better on validation images; that is told, and kept for the other commands.
    network
        The network whose weights a PyTorch state dict (.safetensors) holds: a name of the zoo, or a JSON file with
        layers. All other files say it themselves.
    device
        Where the network runs: cpu, digitlab's own engine; gpu, tpu or cpu-xla, which need digitlab[xla]; or auto.
    out
        The folder of runs.
    as_json
        Print the evaluation as one JSON object.
    """
    from digitlab.data.mnist import MnistData
    from digitlab.engine.models import opened_model
    from digitlab.engine.sequential import Sequential
    from digitlab.errors import ConfigError, DataError
    from digitlab.evaluation.coverage import THRESHOLDS
    from digitlab.evaluation.finish import evaluate_and_report, evaluate_split, is_own_data, own_folder
    from digitlab.network.formats.files import is_model_file
    from digitlab.runs.listing import find_run

    if threshold is not None and not 0 <= threshold <= 1:
        raise ConfigError(f"--threshold is a confidence, from 0 to 1, and {threshold:g} is not. Try 0.9.")
    thresholds = THRESHOLDS if threshold is None else (*THRESHOLDS, threshold)
    run = with_network(run, network)
    found = None if is_model_file(run) else find_run(run, out)
    with saying_that_it_reads(data):
        mnist = MnistData.load(own_folder(found) if data is None else data)
    known = mnist.validation if len(mnist.validation) else mnist.training  # a choice is not made by test images
    opened = opened_model(run if found is None else found.path, out, pixels, known)
    model = opened.model
    model.use_device(device)
    is_own = found is not None and is_own_data(found, mnist)
    is_whole = not mnist.has_test and not is_own and split == "test"
    for note in mnist.notes[: -1 if is_whole else None]:
        say(note)
    if found is not None and data is None and not is_own:
        raise DataError(
            f"{mnist.source} is no longer what the run {found.path} was trained with. To evaluate on it all the "
            f"same, add: --data {mnist.source}"
        )
    if found is None and len(model.class_names) == len(mnist.class_names):
        model.class_names = mnist.class_names  # which a file of weights seldom knows
    elif model.class_names[: len(mnist.class_names)] != mnist.class_names:
        say(
            f"{model.name} tells {model.class_names[0]} to {model.class_names[-1]} apart, and the images of "
            f"{mnist.source} are {mnist.class_names[0]} to {mnist.class_names[-1]}.",
            style="yellow",
        )
    report: Path | None = None
    chosen = mnist.everything() if is_whole else mnist.test if split == "test" else mnist.validation
    if found is not None and is_own and split == "test" and images is None:
        assert isinstance(model, Sequential)  # as every run's
        evaluation, report = evaluate_and_report(found, mnist, model=model, thresholds=thresholds)
    else:
        evaluation = evaluate_split(model, chosen, images, seed=seed, thresholds=thresholds)
    if as_json:
        print_json(evaluation.to_dict())
    else:
        show_evaluation(evaluation, f"{'' if is_whole else split + ' '}images of {mnist.source}")
        if threshold is not None:
            show_coverage(evaluation.coverage, threshold)
    if opened.note:
        say(opened.note, style="yellow")
    if report is not None:
        say(f"Kept in {report.parent}; the report is {report}")


def show_evaluation(evaluation: Evaluation, images: str) -> None:
    """Print classes, confusion matrix and accuracy."""
    console = stdout()
    console.print(per_class_table(evaluation))
    console.print()
    console.print(confusion_table(evaluation, console.width))
    console.print()
    console.print(headline(evaluation, images))


def show_coverage(curve: CoverageCurve, threshold: float) -> None:
    """Print what becomes of the images at several thresholds, and in words at one of them."""
    from digitlab.evaluation.coverage import area_sentence, coverage_sentence, threshold_text

    numbers = map(right, ("Answered", "Coverage", "Accuracy", "Mistakes left", "Right ones refused"))
    table = results_table("Coverage and accuracy", "Answers from", *numbers)
    for point in curve.points:
        table.add_row(
            threshold_text(point.threshold),
            f"{point.n_answered:,}",
            percent(point.coverage),
            "-" if point.accuracy is None else percent(point.accuracy),
            f"{point.n_wrong:,}",
            f"{curve.n_correct - point.n_correct:,}",
            style="bold" if point.threshold == threshold else "",
        )
    console = stdout()
    console.print()
    console.print(table)
    console.print()
    console.print(f"{coverage_sentence(curve, curve.at(threshold))} {area_sentence(curve)}")


def headline(evaluation: Evaluation, images: str) -> Text:
    """Return accuracy with its interval, mistakes and loss in one line."""
    low, high = evaluation.interval
    n_wrong = evaluation.n_images - evaluation.n_correct
    return Text.assemble(
        ("Accuracy ", "bold"),
        (percent(evaluation.accuracy), "bold green"),
        f" ({percent(low)} to {percent(high)} with 95 % confidence): "
        f"{n_wrong:,} mistake{'' if n_wrong == 1 else 's'} on {evaluation.n_images:,} {images}. "
        f"Loss {evaluation.loss:.4f}.",
    )


def per_class_table(evaluation: Evaluation) -> Table:
    """Return the table Class | Accuracy | # Samples | Precision | F1; a class's accuracy is its recall."""
    numbers = map(right, ("Accuracy", "# Samples", "Precision", "F1"))
    table = results_table("Per-class accuracy", "Class", *numbers)
    worst = min((report.accuracy for report in evaluation.per_class if report.n_images), default=0.0)
    for report in evaluation.per_class:
        style = "yellow" if report.accuracy == worst < 1 and report.n_images else ""
        table.add_row(
            report.name,
            percent(report.accuracy) if report.n_images else "-",
            f"{report.n_images:,}",
            percent(report.precision),
            f"{report.f1:.4f}",
            style=style,
        )
    return table


def confusion_table(evaluation: Evaluation, width: int) -> Table:
    """Return the confusion matrix, the labels down and the predictions across."""
    names = evaluation.class_names
    if 4 + sum(2 + len(str(number)) for number in range(len(names))) > width:
        return _mixups_table(evaluation)
    rows = [[f"{count:,}" if count else "·" for count in row] for row in evaluation.confusion_matrix]
    cell = max(len(text) for row in rows for text in row)
    needed = max(map(len, names)) + sum(2 + max(cell, len(name)) for name in names)
    is_narrow = needed > width
    table = results_table("Confusion matrix: labels down, predictions across", "Label")
    if is_narrow:
        table.padding = (0, 1, 0, 0)
    for number, name in enumerate(names):
        is_long = len(name) > len(str(number))
        table.add_column(str(number) if is_narrow and is_long else name, justify="right", no_wrap=True)
    most = max((n for i, row in enumerate(evaluation.confusion_matrix) for j, n in enumerate(row) if i != j), default=0)
    for label, (row, texts) in enumerate(zip(evaluation.confusion_matrix, rows, strict=True)):
        cells = []
        for predicted, (count, text) in enumerate(zip(row, texts, strict=True)):
            if predicted == label:
                style = "bold green"
            else:
                style = "dim" if count == 0 else "bold red" if 2 * count > most else "red"
            cells.append(Text(text, style=style))
        name = f"{label} {names[label]}" if is_narrow and len(names[label]) > len(str(label)) else names[label]
        table.add_row(name, *cells)
    return table


def _mixups_table(evaluation: Evaluation) -> Table:
    """Return what was taken for what most often, where there are too many classes for a matrix."""
    mixups = [
        (n, label, predicted)
        for label, row in enumerate(evaluation.confusion_matrix)
        for predicted, n in enumerate(row)
        if n and label != predicted
    ]
    table = results_table("What was taken for what", "Label", "Answer", right("#"))
    for n, label, predicted in sorted(mixups, reverse=True)[:_MOST_MIXUPS]:
        table.add_row(evaluation.class_names[label], evaluation.class_names[predicted], f"{n:,}")
    return table
