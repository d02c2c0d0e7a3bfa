"""The report's cards about a run: examples, architecture, training, timings, settings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from numpy.typing import ArrayLike

from digitlab.errors import InputError
from digitlab.evaluation.charts import Series, line_chart
from digitlab.evaluation.markup import card, duration, empty_card, table
from digitlab.evaluation.png import png_data_uri
from digitlab.values import EpochRecord, StepRecord

__all__ = ["architecture_card", "examples_card", "settings_card", "timings_card", "training_card"]

HEADINGS = ("Layer Name", "Output Shape", "# Of Params", "Trainable")


def examples_card(images: ArrayLike, labels: ArrayLike, class_names: Sequence[str]) -> str:
    """Return some digits with their labels; images are uint8 (k, 28, 28), labels integer (k,)."""
    name, title = "input-data-examples", "Input Data Examples"
    digits, numbers = np.asarray(images), np.asarray(labels)
    if len(digits) != len(numbers):
        raise InputError(
            f"There are {len(digits)} example_images and {len(numbers)} example_labels; pass one label for each image."
        )
    if len(digits) == 0:
        return empty_card(name, title, "No examples were kept.")
    figures = []
    for image, number in zip(digits, numbers, strict=True):
        if not 0 <= number < len(class_names):
            raise InputError(
                f"example_labels holds {number}, but the classes are 0 to {len(class_names) - 1}; correct the label."
            )
        label = escape(class_names[int(number)])
        figures.append(
            f'<figure><img src="{png_data_uri(image)}" width="56" height="56" alt="Handwritten digit">'
            f"<figcaption>{label}</figcaption></figure>\n"
        )
    return card(name, title, f'<div class="digits">{"".join(figures)}</div>')


def architecture_card(rows: Sequence[tuple[str, str, int, bool]], n_params: int) -> str:
    """Return the table of layers: name, output shape, parameters, trainable."""
    name, title = "model-architecture", "Model Architecture"
    if not rows:
        return empty_card(name, title, "No network was described.")
    cells = (
        (escape(layer), escape(shape), f"{count:,}", "yes" if trainable else "no")
        for layer, shape, count, trainable in rows
    )
    lead = f'<p class="lead"><strong>{n_params:,}</strong> parameters in {len(rows)} layers.</p>'
    return card(name, title, lead + table(title, HEADINGS, cells, numbers=(2,)))


def training_card(steps: Sequence[StepRecord], epochs: Sequence[EpochRecord]) -> str:
    """Return the codelab's charts: loss and accuracy after every batch and after every epoch.

    On the batch axis, validation points sit at the step after which they were measured.
    """
    name, title = "model-training", "Model Training"
    if not steps and not epochs:
        return empty_card(name, title, "No training was recorded.")
    validated = [record for record in epochs if record.val_loss is not None]
    groups = []
    if steps:
        at = [record.step for record in steps]
        val_at = [record.step for record in validated]
        groups.append(
            _charts(
                "onBatchEnd",
                "Batch",
                Series("loss", at, [record.loss for record in steps]),
                Series("acc", at, [record.accuracy for record in steps]),
                *_validation(val_at, validated),
            )
        )
    if epochs:
        at = [record.epoch for record in epochs]
        val_at = [record.epoch for record in validated]
        groups.append(
            _charts(
                "onEpochEnd",
                "Epoch",
                Series("loss", at, [record.loss for record in epochs]),
                Series("acc", at, [record.accuracy for record in epochs]),
                *_validation(val_at, validated),
            )
        )
    return card(name, title, "".join(groups))


def timings_card(timings: Mapping[str, float]) -> str:
    """Return each stage's seconds, with a bar relative to the longest."""
    name, title = "timings", "What took how long"
    if not timings:
        return empty_card(name, title, "No times were measured.")
    longest = max(timings.values()) or 1.0
    rows = (
        (
            escape(stage),
            duration(seconds),
            f'<svg class="bar" role="presentation" viewBox="0 0 100 8" preserveAspectRatio="none">'
            f'<rect width="{max(100 * seconds / longest, 0.5):.1f}" height="8" rx="1"/></svg>',
        )
        for stage, seconds in timings.items()
    )
    return card(name, title, table(title, ("Stage", "Time", "Relative to the longest"), rows, numbers=(1,)))


def settings_card(
    config: Mapping[str, object], command: str, environment: Mapping[str, object], on_the_way: Sequence[str] = ()
) -> str:
    """Return what is needed to repeat the run: its command, its configuration, what was changed, and where it ran."""
    parts = []
    if command:
        parts.append(f"<h4>Repeat this run</h4><pre><code>{escape(command)}</code></pre>")
    if on_the_way:
        items = "".join(f"<li>{escape(change)}</li>" for change in on_the_way)
        parts.append(f"<h4>On the way</h4><p>The configuration is what it began with.</p><ul>{items}</ul>")
    tables = [
        f"<div><h4>{escape(title)}</h4>{table(title, ('Name', 'Value'), rows)}</div>"
        for title, mapping in (("Configuration", config), ("Environment", environment))
        if (rows := [(escape(str(key)), escape(_value_text(value))) for key, value in mapping.items()])
    ]
    if tables:
        parts.append(f'<div class="pair">{"".join(tables)}</div>')
    if not parts:
        return empty_card("settings", "Settings", "No settings were recorded.")
    return card("settings", "Settings", "".join(parts))


def _validation(at: list[int], validated: Sequence[EpochRecord]) -> tuple[Series | None, Series | None]:
    if not validated:
        return None, None
    losses = [_number(record.val_loss) for record in validated]
    accuracies = [_number(record.val_accuracy) for record in validated]
    return Series("val_loss", at, losses, marked=True), Series("val_acc", at, accuracies, marked=True)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _charts(
    heading: str, x_label: str, loss: Series, accuracy: Series, val_loss: Series | None, val_accuracy: Series | None
) -> str:
    loss_lines = [line for line in (loss, val_loss) if line]
    accuracy_lines = [line for line in (accuracy, val_accuracy) if line]
    return (
        f'<h4>{heading}</h4><div class="pair">'
        f"{line_chart(loss_lines, title='loss', x_label=x_label, y_label='Value')}\n"
        f"{line_chart(accuracy_lines, title='acc', x_label=x_label, y_label='Value', y_range=(0.0, 1.0))}</div>\n"
    )


def _value_text(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, default=str, ensure_ascii=False)
