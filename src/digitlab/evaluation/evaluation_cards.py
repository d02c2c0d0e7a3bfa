"""The report's cards about an `Evaluation`: accuracy, confusion matrix, worst mistakes, calibration."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

import numpy as np
from numpy.typing import ArrayLike

from digitlab.errors import InputError
from digitlab.evaluation.charts import reliability_chart
from digitlab.evaluation.markup import card, empty_card, percent, scroll_box, table
from digitlab.evaluation.png import png_data_uri
from digitlab.values import ClassReport, Evaluation, FinderEpochRecord

__all__ = ["accuracy_card", "calibration_card", "confusion_card", "finder_card", "mistakes_card"]

#: Upper ends of the confusion matrix' shades, as fractions of a row. They rise about geometrically: on a linear scale
#: the diagonal (99 %) would leave every mistake (below 1 %) white.
SHADES = (0.002, 0.005, 0.01, 0.02, 0.05, 0.2, 0.5, 1.0)

CLASS_HEADINGS = ("Class", "Accuracy", "# Samples", "95 % interval", "Precision", "Recall", "F1")
FINDER_HEADINGS = ("Epoch", "Found", "Missed", "Called wrongly", "Extra a crop", "Loss")
BIN_HEADINGS = ("Confidence", "# Samples", "Mean confidence", "Accuracy")


def accuracy_card(evaluation: Evaluation) -> str:
    """Return the accuracy with its interval and one row a class."""
    lowest = min(report.interval[0] for report in evaluation.per_class)
    floor = math.floor(lowest * 20) / 20
    rows = (
        (
            escape(report.name),
            percent(report.accuracy),
            f"{report.n_images:,}",
            _interval_strip(report, floor),
            *(f"{figure:.4f}" for figure in (report.precision, report.recall, report.f1)),
        )
        for report in evaluation.per_class
    )
    low, high = evaluation.interval
    lead = (
        f'<p class="lead"><strong>{percent(evaluation.accuracy)}</strong>, 95 % interval {percent(low)} to '
        f"{percent(high)}: {evaluation.n_correct:,} of {evaluation.n_images:,} images answered rightly. "
        f"Loss {evaluation.loss:.4f}.</p>"
    )
    note = (
        f'<p class="quiet">The intervals are Wilson\'s, drawn from {floor:.0%} to 100%. The accuracy of a class is its '
        "recall; its precision is the part of the answers with this class that were right.</p>"
    )
    return card(
        "accuracy",
        "Accuracy",
        lead + table("Accuracy of each class", CLASS_HEADINGS, rows, numbers=(1, 2, 4, 5, 6)) + note,
    )


def finder_card(epochs: Sequence[FinderEpochRecord]) -> str:
    """Return what a finder found of the marks of validation crops, one row an epoch."""
    name, title = "finder", "Digits found"
    seen = [epoch for epoch in epochs if epoch.n_crops]
    if not seen:
        return empty_card(name, title, "There were no validation crops; set validation_images above 0.")
    rows = (
        (
            f"{epoch.epoch}",
            percent(epoch.val_accuracy or 0.0),
            percent(epoch.n_missed / max(1, epoch.n_marks)),
            percent(epoch.n_wrong / max(1, epoch.n_marks)),
            f"{epoch.n_extra / epoch.n_crops:.3f}",
            "" if epoch.val_loss is None else f"{epoch.val_loss:.4f}",
        )
        for epoch in seen
    )
    last = seen[-1]
    lead = (
        f'<p class="lead"><strong>{percent(last.val_accuracy or 0.0)}</strong> of {last.n_marks:,} digits and '
        f"separators on {last.n_crops:,} validation crops found and called rightly.</p>"
    )
    return card(name, title, lead + table(title, FINDER_HEADINGS, rows, numbers=(0, 1, 2, 3, 4, 5)))


def confusion_card(evaluation: Evaluation) -> str:
    """Return the matrix of labels (down) and predictions (across), with the most frequent mix-ups in words."""
    names = evaluation.class_names
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    lines = []
    for label, counts in enumerate(evaluation.confusion_matrix):
        n_row = sum(counts)
        cells = "".join(
            f'<td class="{_shade(count, n_row)}{" right" if label == answer else ""}" title="label '
            f"{escape(names[label])}, prediction {escape(names[answer])}: {count:,} of {n_row:,} "
            f'({percent(count / n_row if n_row else 0.0)})">{count}</td>'
            for answer, count in enumerate(counts)
        )
        side = f'<th class="axis" scope="rowgroup" rowspan="{len(names)}"><span>label</span></th>' if label == 0 else ""
        lines.append(f'<tr>{side}<th scope="row">{escape(names[label])}</th>{cells}</tr>\n')
    matrix = (
        f'<table class="matrix"><colgroup><col class="side"><col class="names"><col span="{len(names)}"></colgroup>\n'
        f'<thead><tr><td colspan="2"></td><th class="axis" scope="colgroup" colspan="{len(names)}">prediction</th></tr>'
        f'\n<tr><td colspan="2"></td>{head}</tr></thead>\n<tbody>{"".join(lines)}</tbody></table>'
    )
    body = _frequent_mixups(evaluation) + scroll_box("Confusion matrix", matrix) + _shade_legend()
    return card("confusion-matrix", "Confusion Matrix", body)


def mistakes_card(evaluation: Evaluation, mistake_images: ArrayLike) -> str:
    """Return the most confident wrong answers; ``mistake_images`` is uint8 (m, 28, 28), aligned with them."""
    images = np.asarray(mistake_images)
    mistakes = evaluation.mistakes
    if len(images) != len(mistakes):
        raise InputError(
            f"There are {len(mistakes)} mistakes and {len(images)} mistake_images; "
            "pass images[[mistake.index for mistake in evaluation.mistakes]]."
        )
    if not mistakes:
        text = "No image was answered wrongly." if evaluation.n_correct == evaluation.n_images else "None were kept."
        return card("worst-mistakes", "Worst mistakes", f"<p>{text}</p>")
    names = evaluation.class_names
    figures = []
    for mistake, image in zip(mistakes, images, strict=True):
        label, answer = escape(names[mistake.label]), escape(names[mistake.predicted])
        figures.append(
            f'<figure title="image {mistake.index}"><img src="{png_data_uri(image)}" width="112" height="112" '
            f'alt="A {label} that was read as {answer}">'
            f"<figcaption><strong>{answer}</strong> {percent(mistake.confidence, 1)}<br>"
            f'<span class="quiet">is {label} {percent(mistake.label_probability, 1)}</span></figcaption></figure>\n'
        )
    lead = (
        f"<p>The {len(mistakes)} most confident of {evaluation.n_images - evaluation.n_correct:,} wrong answers: "
        "the answer with its probability, then the label with the probability it was given.</p>"
    )
    return card("worst-mistakes", "Worst mistakes", f'{lead}<div class="digits mistakes">{"".join(figures)}</div>')


def calibration_card(evaluation: Evaluation) -> str:
    """Return the reliability chart, the expected calibration error and the bins as a table."""
    calibration = evaluation.calibration
    filled = [b for b in calibration.bins if b.n_images]
    gap = sum(b.n_images * (b.confidence - b.accuracy) for b in filled)
    manner = "more confident than right" if gap > 0 else "more often right than confident"
    lead = (
        f'<p class="lead">Expected calibration error (ECE): '
        f"<strong>{percent(calibration.expected_calibration_error)}</strong></p>"
        f"<p>That is how far confidence and accuracy lie apart on average over {len(calibration.bins)} bins; "
        f"on the whole this model is {manner}.</p>"
    )
    rows = (
        (
            f"{percent(b.low, 0)} to {percent(b.high, 0)}",
            f"{b.n_images:,}",
            percent(b.confidence),
            percent(b.accuracy),
        )
        for b in filled
    )
    bins = table("Calibration bins", BIN_HEADINGS, rows, numbers=(1, 2, 3))
    body = f'<div class="pair"><div>{reliability_chart(calibration)}{lead}</div>{bins}</div>'
    return card("calibration", "Calibration", body)


def _interval_strip(report: ClassReport, floor: float) -> str:
    low, high = report.interval
    x_low, x_high, x = ((value - floor) / (1 - floor) * 100 + 5 for value in (low, high, report.accuracy))
    text = f"{percent(low)} to {percent(high)}"
    return (
        f'<svg class="strip" role="img" viewBox="0 0 110 16" width="110" height="16"><title>{text}</title>'
        f'<path class="track" d="M5 8H105"/><path class="whisker" d="M{x_low:.1f} 8H{x_high:.1f}"/>'
        f'<circle cx="{x:.1f}" cy="8" r="3.5"/></svg>'
    )


def _shade(count: int, n_row: int) -> str:
    if count == 0:
        return "shade-0"
    fraction = count / n_row
    return f"shade-{1 + next(i for i, upper in enumerate(SHADES) if fraction <= upper)}"


def _shade_legend() -> str:
    texts = ["0", *(f"≤ {100 * upper:g} %" for upper in SHADES)]
    steps = "".join(f'<li class="shade-{i}">{text}</li>' for i, text in enumerate(texts))
    return f'<div class="shade-legend quiet">Part of the row (one label): <ul class="shades">{steps}</ul></div>'


def _frequent_mixups(evaluation: Evaluation, n_named: int = 3) -> str:
    def mixups() -> Iterator[tuple[int, int, int]]:
        for label, counts in enumerate(evaluation.confusion_matrix):
            for answer, count in enumerate(counts):
                if count and label != answer:
                    yield count, label, answer

    most = sorted(mixups(), key=lambda mixup: (-mixup[0], mixup[1:]))[:n_named]
    if not most:
        return "<p>Every image was answered rightly.</p>"
    names = evaluation.class_names
    told = ", ".join(
        f"<strong>{escape(names[label])}</strong> read as <strong>{escape(names[answer])}</strong> ({count:,})"
        for count, label, answer in most
    )
    return f"<p>Most frequent mix-ups: {told}.</p>"
