"""One HTML file that tells a run from its data to its mistakes; nothing in it is fetched or executed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.evaluation.report_cards import (
    accuracy_card,
    architecture_card,
    calibration_card,
    confusion_card,
    empty_card,
    examples_card,
    finder_card,
    mistakes_card,
    settings_card,
    timings_card,
    training_card,
)
from digitlab.text import percent
from digitlab.values import CLASS_NAMES, EpochRecord, Evaluation, FinderEpochRecord, StepRecord

#: Styles and images come from the page itself and scripts from nowhere, whatever a text in the page may say.
CONTENT_SECURITY_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"


def _no_images() -> NDArray[np.uint8]:
    return np.zeros((0, 28, 28), dtype=np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReportInput:
    """What a report is made of; a part that is left out is said to be missing.

    ``on_the_way`` is what was done to the run besides its settings, ``summary_rows`` are layer name, output shape,
    parameters and trainable, ``mistake_images``, uint8 (m, 28, 28), belong to ``evaluation.mistakes``, and ``timings``
    are seconds a stage, in the order in which they are shown.
    """

    title: str
    note: str = ""
    command: str = ""
    on_the_way: Sequence[str] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    summary_rows: Sequence[tuple[str, str, int, bool]] = ()
    n_params: int = 0
    steps: Sequence[StepRecord] = ()
    epochs: Sequence[EpochRecord] = ()
    evaluation: Evaluation | None = None
    example_images: NDArray[np.uint8] = field(default_factory=_no_images)
    example_labels: NDArray[np.integer[Any]] | Sequence[int] = ()
    mistake_images: NDArray[np.uint8] = field(default_factory=_no_images)
    timings: Mapping[str, float] = field(default_factory=dict)


def render_report(report_input: ReportInput) -> str:
    """Return the report as one self-contained HTML file without scripts.

    The same input gives the same text. With 20 examples, 20 mistakes and the codelab's 110 steps it has about
    80 KB; long histories are thinned to what the eye can see.

    Raises
    ------
    InputError
        When images and labels, or images and mistakes, differ in number, or images are not uint8.
    """
    r = report_input
    names = r.evaluation.class_names if r.evaluation else CLASS_NAMES
    groups = (
        ("input-data", "Input Data", examples_card(r.example_images, r.example_labels, names)),
        ("model", "Model", architecture_card(r.summary_rows, r.n_params) + training_card(r.steps, r.epochs)),
        ("evaluation", "Evaluation", _evaluation_cards(r)),
        ("run", "Run", timings_card(r.timings) + settings_card(r.config, r.command, r.environment, r.on_the_way)),
    )
    links = "".join(f'<a href="#{name}">{title}</a>' for name, title, _ in groups)
    sections = "".join(f'<section id="{name}"><h2>{title}</h2>\n{cards}</section>\n' for name, title, cards in groups)
    notes = [r.note] * bool(r.note) + [f"On the way: {'; '.join(r.on_the_way)}."] * bool(r.on_the_way)
    note = "\n".join(f'<p class="note">{escape(sentence)}</p>' for sentence in notes)
    style = files("digitlab.evaluation").joinpath("report.css").read_text(encoding="utf-8")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{CONTENT_SECURITY_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="digitlab">
<link rel="icon" href="data:,">
<title>{escape(r.title)} · digitlab</title>
<style>
{style}</style>
</head>
<body>
<header>
<p class="brand">digitlab report</p>
<h1>{escape(r.title)}</h1>
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
        return finder_card(finds)
    if r.evaluation is None:
        reason = "This model was not evaluated yet; evaluate it on the test images and render the report again."
        return empty_card("accuracy", "Accuracy", reason)
    return (
        accuracy_card(r.evaluation)
        + confusion_card(r.evaluation)
        + mistakes_card(r.evaluation, r.mistake_images)
        + calibration_card(r.evaluation)
    )


def _key_figures(r: ReportInput) -> str:
    figures: list[tuple[str, str, str]] = []
    if r.evaluation:
        low, high = r.evaluation.interval
        n_wrong = r.evaluation.n_images - r.evaluation.n_correct
        figures.append(("Accuracy", percent(r.evaluation.accuracy), f"{percent(low)} to {percent(high)}"))
        figures.append(("Mistakes", f"{n_wrong:,}", f"of {r.evaluation.n_images:,} images"))
    if r.n_params:
        figures.append(("Parameters", f"{r.n_params:,}", f"in {len(r.summary_rows)} layers"))
    if r.epochs:
        n_steps = r.epochs[-1].step
        figures.append(("Epochs", f"{r.epochs[-1].epoch:,}", f"{n_steps:,} steps"))
        figures.append(
            (
                "Training speed",
                f"{median(e.images_per_s for e in r.epochs):,.0f}",
                "images per second of computing",
            )
        )
    return "".join(
        f"<div><dt>{name}</dt><dd>{escape(value)}<small>{escape(detail)}</small></dd></div>"
        for name, value, detail in figures
    )
