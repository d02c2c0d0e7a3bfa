"""What the results look like in a terminal."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from digitlab.cli.terminal import shown
from digitlab.evaluation.comparison import Comparison, setting_text
from digitlab.evaluation.markup import duration, percent
from digitlab.network.architecture import Architecture
from digitlab.network.cost import Cost
from digitlab.runs.run import DamagedRun, RunInfo
from digitlab.values import Evaluation, Prediction

__all__ = [
    "comparison_tables",
    "confusion_table",
    "headline",
    "per_class_table",
    "predictions_table",
    "runs_table",
    "summary_table",
    "timings_table",
]

_TINY, _NARROW, _WIDE = 72, 84, 116
_BAR = 30


def _table(title: str = "") -> Table:
    return Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
    )


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
    """Return the table Class | Accuracy | # Samples | Precision | Recall | F1."""
    table = _table("Per-class accuracy")
    table.add_column("Class")
    for heading in ("Accuracy", "# Samples", "Precision", "Recall", "F1"):
        table.add_column(heading, justify="right")
    worst = min((report.accuracy for report in evaluation.per_class if report.n_images), default=0.0)
    for report in evaluation.per_class:
        style = "yellow" if report.accuracy == worst < 1 and report.n_images else ""
        table.add_row(
            report.name,
            percent(report.accuracy) if report.n_images else "-",
            f"{report.n_images:,}",
            percent(report.precision),
            percent(report.recall) if report.n_images else "-",
            f"{report.f1:.4f}",
            style=style,
        )
    return table


def confusion_table(evaluation: Evaluation, width: int) -> Table:
    """Return the confusion matrix, the labels down and the predictions across."""
    names = evaluation.class_names
    rows = [[f"{count:,}" if count else "·" for count in row] for row in evaluation.confusion_matrix]
    cell = max(len(text) for row in rows for text in row)
    needed = max(map(len, names)) + sum(2 + max(cell, len(name)) for name in names)
    is_narrow = needed > width
    table = _table("Confusion matrix: labels down, predictions across")
    if is_narrow:
        table.padding = (0, 1, 0, 0)
    table.add_column("Label")
    for number, name in enumerate(names):
        table.add_column(str(number) if is_narrow else name, justify="right", no_wrap=True)
    most = max((n for i, row in enumerate(evaluation.confusion_matrix) for j, n in enumerate(row) if i != j), default=0)
    for label, (row, texts) in enumerate(zip(evaluation.confusion_matrix, rows, strict=True)):
        cells = []
        for predicted, (count, text) in enumerate(zip(row, texts, strict=True)):
            if predicted == label:
                style = "bold green"
            else:
                style = "dim" if count == 0 else "bold red" if 2 * count > most else "red"
            cells.append(Text(text, style=style))
        name = f"{label} {names[label]}" if is_narrow and names[label] != str(label) else names[label]
        table.add_row(name, *cells)
    return table


def timings_table(timings: Mapping[str, float]) -> Table:
    """Return what took how long, with a bar for each stage."""
    table = _table("What took how long")
    table.add_column("Stage")
    table.add_column("Time", justify="right")
    table.add_column("")
    total = sum(timings.values())
    longest = max(timings.values(), default=0.0) or 1.0
    for stage, seconds in timings.items():
        table.add_row(stage, duration(seconds), Text("━" * round(_BAR * seconds / longest), style="cyan"))
    table.add_row("in all", duration(total), style="bold")
    return table


def summary_table(architecture: Architecture, cost: Cost | None = None) -> Table:
    """Return the table Layer Name | Output Shape | # Of Params | Trainable, and what one image costs in each layer."""
    table = _table(architecture.name)
    table.add_column("Layer Name")
    table.add_column("Output Shape")
    table.add_column("# Of Params", justify="right")
    table.add_column("Trainable")
    for heading in () if cost is None else ("Multiply-adds", "Values"):
        table.add_column(heading, justify="right")
    for position, row in enumerate(architecture.summary()):
        shape = ", ".join(["batch", *map(str, row.output_shape)])
        told = (row.name, f"({shape})", f"{row.n_parameters:,}", "yes" if row.trainable else "no")
        layer = None if cost is None else cost.layers[position]
        table.add_row(*told, *(() if layer is None else (f"{layer.multiply_adds:,}", f"{layer.n_values:,}")))
    return table


def comparison_tables(comparison: Comparison) -> list[Table]:
    """Return the figures of both runs, and the settings that differ, if any."""
    figures = _table("Two runs compared")
    for heading in ("", "Run"):
        figures.add_column(heading, overflow="fold")
    for heading in ("Accuracy", "95 % interval", "Loss", "# Of Params"):
        figures.add_column(heading, justify="right")
    for letter, run in (("A", comparison.a), ("B", comparison.b)):
        found, (low, high) = run.evaluation, run.evaluation.interval
        interval = f"{percent(low)} to {percent(high)}"
        cells = (percent(found.accuracy), interval, f"{found.loss:.4f}", f"{run.n_parameters:,}")
        figures.add_row(letter, shown(run.name), *cells)
    settings = _table()
    for heading in ("Set differently", "A", "B"):
        settings.add_column(heading, overflow="fold")
    for setting in comparison.settings:
        texts = (shown(setting_text(value)) for value in (setting.a, setting.b))
        settings.add_row(shown(setting.name.replace("_", " ")), *texts)
    return [figures, settings] if comparison.settings else [figures]


def runs_table(runs: Sequence[RunInfo | DamagedRun], width: int) -> Table:
    """Return the list of runs, without their networks where there is little room."""
    table = _table()
    table.add_column("Run", overflow="fold")
    table.add_column("Status")
    if width > _NARROW:
        table.add_column("Network", overflow="fold")
    for heading in ("Epochs", "Validation", "Test"):
        table.add_column(heading, justify="right", no_wrap=True)
    is_steered = any(isinstance(info, RunInfo) and info.on_the_way for info in runs)
    if is_steered:
        table.add_column("On the way", overflow="fold")
    styles = {"complete": "green", "interrupted": "yellow", "diverged": "red"}
    for info in runs:
        if isinstance(info, DamagedRun):
            table.add_row(shown(info.name), Text("damaged", style="red"))
            continue
        table.add_row(
            shown(info.name),
            Text(info.status, style=styles.get(info.status, "dim")),
            *([info.network] if width > _NARROW else []),
            f"{info.epochs_done}/{info.epochs}",
            "-" if info.val_accuracy is None else percent(info.val_accuracy),
            "-" if info.test_accuracy is None else percent(info.test_accuracy),
            *(["\n".join(info.on_the_way)] if is_steered else []),
        )
    return table


def predictions_table(
    predictions: Sequence[Prediction], class_names: Sequence[str], width: int, refused: Collection[int] = ()
) -> Table:
    """Return source, answer, confidence and, as far as there is room, the probabilities: all, or the highest three.

    ``refused`` are the places of those images, from 0, on which there is no digit.
    """
    table = _table()
    table.add_column("Source", overflow="fold")
    table.add_column("Answer")
    table.add_column("Confidence", justify="right")
    n_shown = max((len(prediction.probabilities) for prediction in predictions), default=0)
    is_wide = width >= _WIDE and n_shown <= 10
    if is_wide:
        for number in range(n_shown):
            table.add_column(f"p({number})", justify="right", no_wrap=True)
    elif width > _TINY:
        table.add_column("Most probable", no_wrap=True)
    for place, prediction in enumerate(predictions):
        chances = prediction.probabilities
        if is_wide:
            cells = [Text(f"{p:.3f}", style="bold green" if k == prediction.label else "dim" if p < 0.0005 else "")
                     for k, p in enumerate(chances)]  # fmt: skip
        else:
            best = sorted(range(len(chances)), key=lambda k: -chances[k])[:3]
            cells = [Text("  ".join(f"{k}: {chances[k]:.3f}" for k in best))] if width > _TINY else []
        if place in refused:
            answer = Text("no digit here", style="yellow")
        else:
            answer = Text(f"{prediction.label} {class_names[prediction.label]}", style="bold")
        table.add_row(shown(prediction.source), answer, percent(prediction.confidence), *cells)
    return table
