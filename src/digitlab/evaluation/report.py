"""One HTML file that tells a run from its data to its mistakes; nothing in it is fetched or executed."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.data.mnist import Split
from digitlab.evaluation.confusion import COUNT_LEGEND, count_cells, shades_css
from digitlab.evaluation.coverage import area_sentence, coverage_chart, threshold_text
from digitlab.metrics import wilson_interval
from digitlab.network.architecture import Architecture
from digitlab.runs.label import Label, label_html
from digitlab.svg import IN_PAGE, PALETTE, Series, chart, grid, legend, line_chart, marker, nice_axis, png_data_uri
from digitlab.text import duration, percent
from digitlab.values import (
    CLASS_NAMES,
    Calibration,
    ClassReport,
    EpochRecord,
    Evaluation,
    FinderEpochRecord,
    StepRecord,
)

#: Styles and images come from the page itself and scripts from nowhere, whatever a text in the page may say.
CONTENT_SECURITY_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"

_LAYER_HEADINGS = ("Layer Name", "Output Shape", "# Of Params", "Trainable")
_CLASS_HEADINGS = ("Class", "Accuracy", "# Samples", "95 % interval", "Precision", "F1")
_FINDER_HEADINGS = ("Epoch", "Found", "Missed", "Called wrongly", "Extra a crop", "Loss")
_BIN_HEADINGS = ("Confidence", "# Samples", "Mean confidence", "Accuracy")
_COVERAGE_HEADINGS = ("Answers from", "Answered", "Coverage", "Accuracy", "Mistakes left", "Right ones refused")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReportInput:
    """What a report is made of; a part that is left out is said to be missing.

    ``title`` is the run's name, and ``label`` what people call it and noted.
    ``on_the_way`` is what was done to the run besides its settings, ``best_epoch`` that of its weights where they are
    not the last, ``mistake_images``, uint8 (m, 28, 28), belong to ``evaluation.mistakes``, and ``timings`` are seconds
    a stage, in the order in which they are shown.
    """

    title: str
    label: Label = field(default_factory=Label)
    note: str = ""
    command: str = ""
    on_the_way: Sequence[str] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    network: Architecture | None = None
    steps: Sequence[StepRecord] = ()
    epochs: Sequence[EpochRecord] = ()
    best_epoch: int | None = None
    evaluation: Evaluation | None = None
    examples: Split | None = None
    mistake_images: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 28, 28), np.uint8))
    timings: Mapping[str, float] = field(default_factory=dict)


def render_report(report_input: ReportInput) -> str:
    """Return the report as one self-contained HTML file without scripts; the same input gives the same text.

    With 20 examples, 20 mistakes and the codelab's 110 steps it has about 80 KB; long histories are thinned to what the
    eye can see.
    """
    r = report_input
    names = r.evaluation.class_names if r.evaluation else CLASS_NAMES
    groups = (
        ("input-data", "Input Data", _examples_card(r.examples, names)),
        ("model", "Model", _architecture_card(r.network) + _training_card(r.steps, r.epochs)),
        ("evaluation", "Evaluation", _evaluation_cards(r)),
        ("run", "Run", _timings_card(r.timings) + _settings_card(r.config, r.command, r.environment, r.on_the_way)),
    )
    links = "".join(f'<a href="#{name}">{title}</a>' for name, title, _ in groups)
    sections = "".join(f'<section id="{name}"><h2>{title}</h2>\n{cards}</section>\n' for name, title, cards in groups)
    notes = [r.note] * bool(r.note) + [f"On the way: {'; '.join(r.on_the_way)}."] * bool(r.on_the_way)
    note = "\n".join(f'<p class="note">{escape(sentence)}</p>' for sentence in notes)
    style = files("digitlab.evaluation").joinpath("report.css").read_text(encoding="utf-8") + shades_css()
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{CONTENT_SECURITY_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="digitlab">
<link rel="icon" href="data:,">
<title>{escape(r.label.title or r.title)} · digitlab</title>
<style>
{style}</style>
</head>
<body>
<header>
<p class="brand">digitlab report</p>
{label_html(r.label, r.title)}
{note}
<dl class="figures">{_key_figures(r)}</dl>
<nav aria-label="Parts of the report">{links}</nav>
</header>
<main>
{sections}</main>
</body>
</html>
"""


def _evaluation_cards(r: ReportInput) -> str:
    finds = [record for record in r.epochs if isinstance(record, FinderEpochRecord)]
    if finds:
        return _finder_card(finds, r.best_epoch)
    if r.evaluation is None:
        reason = "This model was not evaluated yet; evaluate it on the test images and render the report again."
        return _empty_card("accuracy", "Accuracy", reason)
    return (
        _accuracy_card(r.evaluation)
        + _confusion_card(r.evaluation)
        + _mistakes_card(r.evaluation, r.mistake_images)
        + _calibration_card(r.evaluation)
        + _threshold_card(r.evaluation)
    )


def _key_figures(r: ReportInput) -> str:
    figures: list[tuple[str, str, str]] = []
    if r.evaluation:
        low, high = r.evaluation.interval
        n_wrong = r.evaluation.n_images - r.evaluation.n_correct
        figures.append(("Accuracy", percent(r.evaluation.accuracy), f"{percent(low)} to {percent(high)}"))
        figures.append(("Mistakes", f"{n_wrong:,}", f"of {r.evaluation.n_images:,} images"))
    if r.network:
        figures.append(("Parameters", f"{r.network.n_parameters:,}", f"in {len(r.network.layers)} layers"))
    if r.epochs:
        n_steps = r.epochs[-1].step
        n_asked = r.config.get("epochs")
        is_short = isinstance(n_asked, int) and r.epochs[-1].epoch < n_asked
        asked = f"of {n_asked:,}, " if is_short else ""
        figures.append(("Epochs", f"{r.epochs[-1].epoch:,}", f"{asked}{n_steps:,} steps"))
        speed = median(epoch.images_per_s for epoch in r.epochs)
        figures.append(("Training speed", f"{speed:,.0f}", "images per second of computing"))
    return "".join(
        f"<div><dt>{name}</dt><dd>{escape(value)}<small>{escape(detail)}</small></dd></div>"
        for name, value, detail in figures
    )


# ---- the cards; every text is escaped here ----


def _examples_card(examples: Split | None, class_names: Sequence[str]) -> str:
    name, title = "input-data-examples", "Input Data Examples"
    if not examples:
        return _empty_card(name, title, "No examples were kept.")
    figures = (
        f'<figure><img src="{png_data_uri(image)}" width="56" height="56" alt="Handwritten digit">'
        f"<figcaption>{escape(class_names[label])}</figcaption></figure>\n"
        for image, label in zip(examples.images, examples.labels, strict=True)
    )
    return _card(name, title, f'<div class="digits">{"".join(figures)}</div>')


def _architecture_card(network: Architecture | None) -> str:
    name, title = "model-architecture", "Model Architecture"
    if network is None:
        return _empty_card(name, title, "No network was described.")
    cells = (
        (
            escape(row.name),
            escape(str(("batch", *row.output_shape)).replace("'", "")),
            f"{row.n_parameters:,}",
            "yes" if row.trainable else "no",
        )
        for row in network.summary()
    )
    lead = f'<p class="lead"><strong>{network.n_parameters:,}</strong> parameters in {len(network.layers)} layers.</p>'
    return _card(name, title, lead + _table(title, _LAYER_HEADINGS, cells, numbers=(2,)))


def _training_card(steps: Sequence[StepRecord], epochs: Sequence[EpochRecord]) -> str:
    """Return the codelab's charts: loss and accuracy after every batch and after every epoch.

    On the batch axis, validation points sit at the step after which they were measured.
    """
    name, title = "model-training", "Model Training"
    if not steps and not epochs:
        return _empty_card(name, title, "No training was recorded.")
    validated = [record for record in epochs if record.val_loss is not None]
    batches = _charts("onBatchEnd", "Batch", "step", steps, validated) if steps else ""
    ends = _charts("onEpochEnd", "Epoch", "epoch", epochs, validated) if epochs else ""
    return _card(name, title, batches + ends)


def _timings_card(timings: Mapping[str, float]) -> str:
    """Return each stage's seconds, with a bar relative to the longest."""
    name, title = "timings", "What took how long"
    if not timings:
        return _empty_card(name, title, "No times were measured.")
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
    return _card(name, title, _table(title, ("Stage", "Time", "Relative to the longest"), rows, numbers=(1,)))


def _settings_card(
    config: Mapping[str, object], command: str, environment: Mapping[str, object], on_the_way: Sequence[str] = ()
) -> str:
    """Return what is needed to repeat the run: its command, its configuration, what was changed, and where it ran."""
    parts = []
    if command:
        parts.append(f"<h4>Repeat this run</h4><pre><code>{escape(command)}</code></pre>")
    if on_the_way:
        items = "".join(f"<li>{escape(change)}</li>" for change in on_the_way)
        parts.append(f"<h4>On the way</h4><p>The configuration is what it began with.</p><ol>{items}</ol>")
    tables = [
        f"<div><h4>{escape(title)}</h4>{_table(title, ('Name', 'Value'), rows)}</div>"
        for title, mapping in (("Configuration", config), ("Environment", environment))
        if (rows := [(escape(str(key)), escape(_value_text(value))) for key, value in mapping.items()])
    ]
    if tables:
        parts.append(f'<div class="pair">{"".join(tables)}</div>')
    if not parts:
        return _empty_card("settings", "Settings", "No settings were recorded.")
    return _card("settings", "Settings", "".join(parts))


def _accuracy_card(evaluation: Evaluation) -> str:
    """Return the accuracy with its interval and one row a class."""
    lowest = min(report.interval[0] for report in evaluation.per_class)
    floor = math.floor(lowest * 20) / 20
    rows = (
        (
            escape(report.name),
            percent(report.accuracy),
            f"{report.n_images:,}",
            _interval_strip(report, floor),
            *(f"{figure:.4f}" for figure in (report.precision, report.f1)),
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
    return _card(
        "accuracy",
        "Accuracy",
        lead + _table("Accuracy of each class", _CLASS_HEADINGS, rows, numbers=(1, 2, 4, 5)) + note,
    )


def _finder_card(epochs: Sequence[FinderEpochRecord], best_epoch: int | None) -> str:
    """Return what a finder found of the marks of validation crops, one row an epoch, that of its weights above all."""
    name, title = "finder", "Digits found"
    seen = [epoch for epoch in epochs if epoch.n_crops]
    if not seen:
        return _empty_card(name, title, "There were no validation crops; set validation_images above 0.")
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
    last = next((epoch for epoch in seen if epoch.epoch == best_epoch), seen[-1])
    lead = (
        f'<p class="lead"><strong>{percent(last.val_accuracy or 0.0)}</strong> of {last.n_marks:,} digits and '
        f"separators on {last.n_crops:,} validation crops found and called rightly.</p>"
    )
    return _card(name, title, lead + _table(title, _FINDER_HEADINGS, rows, numbers=(0, 1, 2, 3, 4, 5)))


def _confusion_card(evaluation: Evaluation) -> str:
    """Return the matrix of labels (down) and predictions (across), with the most frequent mix-ups in words."""
    names = evaluation.class_names
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    lines = []
    for label, row in enumerate(count_cells(evaluation.confusion_matrix, names)):
        cells = "".join(f'<td class="{cell["shade"]}" title="{escape(cell["says"])}">{cell["n"]}</td>' for cell in row)
        side = f'<th class="axis" scope="rowgroup" rowspan="{len(names)}"><span>label</span></th>' if label == 0 else ""
        lines.append(f'<tr>{side}<th scope="row">{escape(names[label])}</th>{cells}</tr>\n')
    matrix = (
        f'<table class="matrix"><colgroup><col class="side"><col class="names"><col span="{len(names)}"></colgroup>\n'
        f'<thead><tr><td colspan="2"></td><th class="axis" scope="colgroup" colspan="{len(names)}">prediction</th></tr>'
        f'\n<tr><td colspan="2"></td>{head}</tr></thead>\n<tbody>{"".join(lines)}</tbody></table>'
    )
    body = _frequent_mixups(evaluation) + _scroll_box("Confusion matrix", matrix) + _shade_legend()
    return _card("confusion-matrix", "Confusion Matrix", body)


def _mistakes_card(evaluation: Evaluation, mistake_images: NDArray[np.uint8]) -> str:
    """Return the most confident wrong answers; ``mistake_images`` is uint8 (m, 28, 28), aligned with them."""
    mistakes = evaluation.mistakes
    if not mistakes:
        text = "No image was answered wrongly." if evaluation.n_correct == evaluation.n_images else "None were kept."
        return _card("worst-mistakes", "Worst mistakes", f"<p>{text}</p>")
    names = evaluation.class_names
    figures = []
    for mistake, image in zip(mistakes, mistake_images, strict=True):
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
    return _card("worst-mistakes", "Worst mistakes", f'{lead}<div class="digits mistakes">{"".join(figures)}</div>')


def _calibration_card(evaluation: Evaluation) -> str:
    """Return the reliability chart, the expected calibration error and the bins as a table."""
    calibration = evaluation.calibration
    filled = [b for b in calibration.bins if b.n_images]
    lead = (
        f'<p class="lead">Expected calibration error (ECE): '
        f"<strong>{percent(calibration.expected_calibration_error)}</strong></p>"
        f"<p>That is how far confidence and accuracy lie apart on average over {len(calibration.bins)} bins. "
        f"{escape(calibration_sentence(calibration))}</p>"
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
    bins = _table("Calibration bins", _BIN_HEADINGS, rows, numbers=(1, 2, 3))
    body = f'<div class="pair"><div>{reliability_chart(calibration)}{lead}</div>{bins}</div>'
    return _card("calibration", "Calibration", body)


def _threshold_card(evaluation: Evaluation) -> str:
    """Return what refusing unsure answers gains and costs, as a chart and one row a threshold."""
    curve = evaluation.coverage
    rows = (
        (
            f"{threshold_text(point.threshold)}",
            f"{point.n_answered:,}",
            percent(point.coverage),
            "-" if point.accuracy is None else percent(point.accuracy),
            f"{point.n_wrong:,}",
            f"{curve.n_correct - point.n_correct:,}",
        )
        for point in curve.points
    )
    lead = (
        "<p>If it answers only where it is sure enough, fewer answers are wrong, and fewer are given. "
        f"{area_sentence(curve)}</p>"
    )
    table = _table("Thresholds", _COVERAGE_HEADINGS, rows, numbers=(1, 2, 3, 4, 5))
    return _card("threshold", "Threshold", f'<div class="pair"><div>{coverage_chart(curve)}{lead}</div>{table}</div>')


def _empty_card(name: str, title: str, reason: str) -> str:
    """Return a card that says in a sentence why it has nothing to show."""
    return _card(name, title, f'<p class="quiet">{escape(reason)}</p>')


def _card(name: str, title: str, body: str) -> str:
    """Return a card, a section with a heading of level 3; ``body`` is HTML."""
    return (
        f'<section class="card" id="{escape(name)}" aria-labelledby="{escape(name)}-title">'
        f'<h3 id="{escape(name)}-title">{escape(title)}</h3>\n{body}</section>\n'
    )


def _scroll_box(name: str, content: str) -> str:
    """Return a box in which wide content scrolls, by keyboard too; ``content`` is HTML."""
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(name)}">{content}</div>'


def _table(name: str, headings: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Collection[int] = ()) -> str:
    """Return a table whose first column names its rows; cells are HTML, and ``numbers`` are columns of numbers."""
    head = "".join(
        f'<th scope="col"{_side(column in numbers)}>{escape(heading)}</th>' for column, heading in enumerate(headings)
    )
    lines = []
    for first, *others in rows:
        cells = "".join(f"<td{_side(column in numbers)}>{cell}</td>" for column, cell in enumerate(others, start=1))
        lines.append(f'<tr><th scope="row">{first}</th>{cells}</tr>\n')
    return _scroll_box(name, f"<table><thead><tr>{head}</tr></thead>\n<tbody>{''.join(lines)}</tbody></table>")


def _side(is_number: bool) -> str:
    return ' class="number"' if is_number else ""


def _charts(
    heading: str, x_label: str, x: str, records: Sequence[StepRecord | EpochRecord], validated: Sequence[EpochRecord]
) -> str:
    at, val_at = ([getattr(record, x) for record in some] for some in (records, validated))
    loss = [Series("loss", at, [record.loss for record in records])]
    accuracy = [Series("acc", at, [record.accuracy for record in records])]
    if validated:
        loss.append(Series("val_loss", val_at, [_number(record.val_loss) for record in validated], marked=True))
        accuracy.append(Series("val_acc", val_at, [_number(record.val_accuracy) for record in validated], marked=True))
    return (
        f'<h4>{heading}</h4><div class="pair">'
        f"{line_chart(loss, title='loss', x_label=x_label, y_label='Value')}\n"
        f"{line_chart(accuracy, title='acc', x_label=x_label, y_label='Value', y_range=(0.0, 1.0))}</div>\n"
    )


def calibration_sentence(calibration: Calibration) -> str:
    """Say whether the model is surer than right or the other way round, on the whole.

    >>> from digitlab.values import CalibrationBin
    >>> calibration_sentence(Calibration((CalibrationBin(0.8, 1.0, 10, 0.9, 0.7),), 0.2))
    'On the whole it is surer than right: it is 90.0 % sure on average, and right on 70.0 % of the images.'
    """
    n = sum(b.n_images for b in calibration.bins)
    sure = sum(b.n_images * b.confidence for b in calibration.bins) / n
    right = sum(b.n_images * b.accuracy for b in calibration.bins) / n
    told = percent(min(sure, 1.0), 1), percent(right, 1)
    manner = "surer than right" if sure > right else "more often right than sure"
    manner = "as sure as right" if told[0] == told[1] else manner
    return f"On the whole it is {manner}: it is {told[0]} sure on average, and right on {told[1]} of the images."


def reliability_chart(calibration: Calibration, *, title: str = "Calibration") -> str:
    """Draw accuracy against confidence, within a page; a well calibrated model lies on the diagonal.

    A bar is the accuracy of one bin, the dot sits at the bin's mean confidence, and the whisker is the 95 % Wilson
    interval, long where few answers speak.
    """
    frame, color = IN_PAGE, PALETTE[0]
    perfect = f'fill="none" stroke="{PALETTE[1]}" stroke-width="1.5" stroke-dasharray="2 5" stroke-linecap="round"'

    def whisker(x: float, y: float) -> str:
        return f'<path class="series series-0" d="M{x + 6} {y - 7}v14" stroke="{color}"/>{marker(0, x + 6, y)}'

    def diagonal(x: float, y: float) -> str:
        return f'<path class="diagonal" d="M{x} {y}h22" {perfect}/>'

    drawn_legend, top = legend(frame, [("accuracy, 95 % interval", whisker), ("perfect", diagonal)])
    x_axis = nice_axis((0.0, 1.0), frame.left, frame.right)
    y_axis = nice_axis((0.0, 1.0), frame.bottom, top)
    body = [grid(frame, x_axis, y_axis, "Confidence", "Accuracy")]
    filled = [b for b in calibration.bins if b.n_images]
    for b in filled:
        left, right, height = x_axis.at(b.low), x_axis.at(b.high), y_axis.at(b.accuracy)
        low, high = wilson_interval(round(b.accuracy * b.n_images), b.n_images)
        x = x_axis.at(b.confidence)
        body.append(
            f"<g><title>Confidence {b.low:.0%} to {b.high:.0%}: {b.n_images:,} images, "
            f"mean confidence {b.confidence:.1%}, accuracy {b.accuracy:.1%}</title>"
            f'<rect class="reliability-bar" x="{left + 1:.1f}" y="{height:.1f}" '
            f'width="{max(right - left - 2, 1):.1f}" height="{frame.bottom - height:.1f}" fill="{color}" '
            f'fill-opacity="0.22"/><path class="series series-0" '
            f'd="M{x:.1f} {y_axis.at(low):.1f}V{y_axis.at(high):.1f}" stroke="{color}" stroke-width="1.5"/>'
            f"{marker(0, x, height)}</g>"
        )
    body += [f'<path class="diagonal" d="M{frame.left} {frame.bottom}L{frame.right} {top}" {perfect}/>', drawn_legend]
    error = calibration.expected_calibration_error
    told = "; ".join(f"at {b.confidence:.1%} {b.accuracy:.1%} of {b.n_images}" for b in filled)
    return chart(frame, title, f"Accuracy over confidence, expected calibration error {error:.4f}: {told}.", body)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _value_text(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, default=str, ensure_ascii=False)


def _interval_strip(report: ClassReport, floor: float) -> str:
    low, high = report.interval
    x_low, x_high, x = ((value - floor) / (1 - floor) * 100 + 5 for value in (low, high, report.accuracy))
    text = f"{percent(low)} to {percent(high)}"
    return (
        f'<svg class="strip" role="img" viewBox="0 0 110 16" width="110" height="16"><title>{text}</title>'
        f'<path class="track" d="M5 8H105"/><path class="whisker" d="M{x_low:.1f} 8H{x_high:.1f}"/>'
        f'<circle cx="{x:.1f}" cy="8" r="3.5"/></svg>'
    )


def _shade_legend() -> str:
    def scale(title: str, steps: Sequence[dict[str, str]]) -> str:
        items = "".join(f'<li class="{step["shade"]}">{step["text"]}</li>' for step in steps)
        return f'<div class="shade-legend quiet">{title} <ul class="shades">{items}</ul></div>'

    return "".join(scale(**one) for one in COUNT_LEGEND)


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
