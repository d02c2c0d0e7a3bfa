"""Notebooks: what results show of themselves below a cell, as HTML that is readable on light and on dark.

Colours are those of the notebook, and grounds are see-through. Whatever comes from outside, names of classes, files and
runs, is escaped. Every result stays short, however large: the rest is in its fields.
"""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Collection, Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, cast

from digitlab.svg import PALETTE, Series, line_chart
from digitlab.text import counted, duration, percent

if TYPE_CHECKING:
    from digitlab.engine.callbacks import History
    from digitlab.network.architecture import Architecture
    from digitlab.reading.reading import Box, Digit, Number, Reading
    from digitlab.runs.run import Run, RunInfo
    from digitlab.values import EpochRecord, Evaluation, StepRecord

_MOST_POINTS, _MOST_CLASSES, _MOST_NUMBERS, _MOST_DIGITS, _MOST_RUNS = 30, 20, 20, 250, 50
_LONGEST_NAME = 40
_RIGHT, _WRONG = "0,158,115", "213,94,0"  # Okabe-Ito's green and vermillion, as in every chart
# Least confidence of a digit that is drawn green, and of one that is drawn yellow.
_SURE, _FAIR = 0.95, 0.8
_LINE = "rgba(128,128,128,.35)"
# Notebooks style tables themselves; the name twice makes these rules count for more.
_STYLE = f"""<style>
.digitlab {{font: 13px/1.5 system-ui, sans-serif; max-width: 960px; padding: 2px 0 6px; color: inherit}}
.digitlab h4 {{font-size: 15px; margin: 0 0 6px; font-weight: 600}}
.digitlab .row {{display: flex; flex-wrap: wrap; gap: 4px 28px; align-items: flex-start}}
.digitlab .chart {{flex: 0 1 420px; min-width: 260px}}
.digitlab .series-0 {{stroke: #2a8bd2}}
.digitlab.digitlab dl {{display: flex; flex-wrap: wrap; gap: 4px 26px; margin: 0 0 10px}}
.digitlab.digitlab dt {{font-size: 11px; opacity: .7; margin: 0; font-weight: 400}}
.digitlab.digitlab dd {{font-size: 17px; margin: 0}}
.digitlab small {{font-size: 11px; opacity: .7; margin-left: 6px}}
.digitlab p {{margin: 4px 0; opacity: .75; font-size: 12px}}
.digitlab.digitlab table {{border-collapse: collapse; border: 0; margin: 0 0 8px; font-size: 12px; color: inherit}}
.digitlab.digitlab tbody tr, .digitlab.digitlab thead {{background: none; border: 0}}
.digitlab.digitlab th, .digitlab.digitlab td {{padding: 3px 10px 3px 0; border: 0; border-top: 1px solid {_LINE};
  text-align: left; font-variant-numeric: tabular-nums; font-weight: 400}}
.digitlab.digitlab thead th {{border-top: 0; opacity: .7}}
.digitlab.digitlab .n {{text-align: right; padding: 3px 14px}}
.digitlab.digitlab .matrix td {{text-align: center; padding: 3px 0; min-width: 33px; border: 1px solid {_LINE}}}
.digitlab.digitlab .matrix th {{border: 0; text-align: center; padding: 2px 8px 2px 0}}
</style>"""


def history_html(history: History) -> str:
    """Return the last figures of a training and its charts; of the epochs, or of the batches if there is but one."""
    epochs, steps = history.epochs, history.steps
    figures = [("epochs", f"{len(epochs):,}", counted(len(steps), "batch", "batches"))]
    if history.history:
        figures += [(name, _figure(name, values[-1]), "") for name, values in history.history.items() if values]
    elif steps:
        figures += [("loss", f"{steps[-1].loss:.4f}", "last batch"), ("accuracy", percent(steps[-1].accuracy), "")]
    if steps:
        figures.append(("time", duration(sum(one.n_images / one.images_per_s for one in steps)), ""))
    return _cell("History", _figures(figures) + _charts(epochs, steps))


def evaluation_html(evaluation: Evaluation) -> str:
    """Return the accuracy with its interval, the classes and the confusion matrix."""
    e = evaluation
    low, high = e.interval
    figures = [
        ("accuracy", percent(e.accuracy), f"{percent(low)} to {percent(high)}, 95 % interval"),
        ("mistakes", f"{e.n_images - e.n_correct:,}", f"of {e.n_images:,} images"),
        ("loss", f"{e.loss:.4f}", ""),
        ("calibration error", percent(e.calibration.expected_calibration_error), ""),
    ]
    # With many classes those that fared worst are shown.
    shown = sorted(e.per_class, key=lambda one: one.accuracy)[:_MOST_CLASSES]
    classes = _table(
        ("Class", "Images", "Accuracy", "95 % interval", "Precision", "F1"),
        (
            (
                _name(one.name),
                f"{one.n_images:,}",
                percent(one.accuracy) if one.n_images else "",
                f"{percent(one.interval[0], 1)} to {percent(one.interval[1], 1)}" if one.n_images else "",
                percent(one.precision),
                f"{one.f1:.4f}",
            )
            for one in sorted(shown, key=lambda one: one.label)
        ),
        numbers=(1, 2, 3, 4, 5),
    )
    if len(shown) < len(e.per_class):
        rest = f"<p>The {len(shown)} of {len(e.per_class)} classes with the least accuracy; all are in .per_class.</p>"
        return _cell("Evaluation", _figures(figures) + classes + rest)
    return _cell("Evaluation", f'{_figures(figures)}<div class="row"><div>{classes}</div><div>{_matrix(e)}</div></div>')


def summary_html(network: Architecture) -> str:
    """Return the table of a network's layers."""
    rows = (
        (escape(row.name), row.kind, " × ".join(map(str, row.output_shape)), f"{row.n_parameters:,}")
        for row in network.summary()
    )
    answers = "maps" if network.answers_maps else f"{network.n_classes:,} classes"
    figures = [
        ("images", escape(" × ".join("any" if n is None else str(n) for n in network.input_shape)), f"to {answers}"),
        ("parameters", f"{network.n_parameters:,}", f"in {len(network.layers)} layers"),
    ]
    table = _table(("Layer", "Kind", "Output", "Parameters"), rows, numbers=(3,))
    return _cell(f"Sequential {_name(network.name)}", _figures(figures) + table.replace("None", "any"))


def reading_html(reading: Reading) -> str:
    """Return the lines that were read, where their digits stand, and how sure each number is."""
    digits = reading.digits
    figures = [
        (
            "digits",
            f"{len(digits):,}",
            f"{counted(len(reading.numbers), 'number')} in {counted(len(reading.lines), 'line')}",
        ),
        ("refused", f"{len(reading.refused):,}", "marks that are no digits"),
    ]
    if not digits:
        return _cell(f"Reading of {_name(reading.source)}", _figures(figures))
    shown = reading.numbers[:_MOST_NUMBERS]
    table = _table(
        ("Number", "Confidence", "Digits"),
        ((f"<b>{escape(one.value)}</b>", percent(one.confidence, 1), _sure_digits(one)) for one in shown),
        numbers=(1,),
    )
    if len(shown) < len(reading.numbers):
        table += f"<p>and {len(reading.numbers) - len(shown):,} more, in .numbers</p>"
    page = f", page {reading.page}" if reading.page > 1 else ""
    body = f'{_figures(figures)}<div class="row"><div class="chart">{_plan(reading)}</div><div>{table}</div></div>'
    return _cell(f"Reading of {_name(reading.source)}{page}", body)


def run_html(run: Run) -> str:
    """Return how a run went, with its charts; of a damaged one, why nothing can be told."""
    from digitlab.errors import DigitlabError

    try:
        info = run.info()
        epochs = [cast("EpochRecord", record) for record in run.history() if hasattr(record, "val_accuracy")]
    except DigitlabError as error:
        return _cell(f"Run {_name(run.name)}", f"<p>{escape(str(error))}</p>")
    figures = [
        ("network", _name(info.network), f"seed {info.seed}"),
        ("status", info.status, ""),
        ("epochs", f"{info.epochs_done:,}", f"of {info.epochs:,}" if info.epochs != info.epochs_done else ""),
        *[
            (name, percent(value), "")
            for name, value in (("validation accuracy", info.val_accuracy), ("test accuracy", info.test_accuracy))
            if value is not None
        ],
    ]
    notes = "".join(f"<p>{escape(note)}</p>" for note in (info.note, *info.on_the_way, info.problem, info.path) if note)
    return _cell(f"Run {_name(run.label.of(run.name))}", _figures(figures) + _charts(epochs, ()) + notes)


def runs_html(runs: Sequence[RunInfo]) -> str:
    """Return a table of runs, the newest last."""
    shown = runs[-_MOST_RUNS:]
    rows = (
        (
            _name(f"{one.title} ({one.name})" if one.title else one.name),
            _name(one.network),
            one.status,
            f"{one.epochs_done:,}" + (f" of {one.epochs:,}" if one.epochs_done != one.epochs else ""),
            "" if one.val_accuracy is None else percent(one.val_accuracy),
            "" if one.test_accuracy is None else percent(one.test_accuracy),
        )
        for one in shown
    )
    head = ("Run", "Network", "Status", "Epochs", "Validation accuracy", "Test accuracy")
    body = _table(head, rows, numbers=(3, 4, 5)) if shown else "<p>There are none. Train one: digitlab.train()</p>"
    if len(shown) < len(runs):
        body += f"<p>The newest {len(shown)} of {len(runs):,}.</p>"
    return _cell("Runs", body)


class LiveCell:
    """What is shown below the running cell and changes while it runs."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, html: str, text: str) -> None:
        """Show this instead of what was shown before; ``text`` is for notebooks that show no HTML."""
        bundle = {"text/html": html, "text/plain": text}
        if self._handle is None:
            display = importlib.import_module("IPython.display").display
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)


def is_notebook() -> bool:
    """Tell whether this runs in a notebook, where what is shown can change; IPython in a terminal is none."""
    ipython = sys.modules.get("IPython")
    shell = getattr(ipython, "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


# ---- what they are made of; cells of tables and figures are HTML already ----


def _cell(title: str, body: str) -> str:
    return f'{_STYLE}<div class="digitlab"><h4>{title}</h4>{body}</div>'


def _name(text: str) -> str:
    return escape(text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1] + "…")


def _figure(name: str, value: float) -> str:
    return f"{value:.4f}" if name.endswith("loss") else percent(value)


def _figures(figures: Iterable[tuple[str, str, str]]) -> str:
    parts = (
        f"<div><dt>{escape(name)}</dt><dd>{value}{f'<small>{detail}</small>' if detail else ''}</dd></div>"
        for name, value, detail in figures
    )
    return f"<dl>{''.join(parts)}</dl>"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]], numbers: Collection[int] = ()) -> str:
    def cells(tag: str, row: Sequence[str]) -> str:
        sides = (' class="n"' if k in numbers else "" for k in range(len(row)))
        return "".join(f"<{tag}{side}>{cell}</{tag}>" for side, cell in zip(sides, row, strict=True))

    head, body = cells("th", headings), "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _charts(epochs: Sequence[EpochRecord], steps: Sequence[StepRecord]) -> str:
    by_epoch = len(epochs) > 1 or not steps
    records: Sequence[EpochRecord | StepRecord] = epochs if by_epoch else steps
    if len(records) < 2:
        return ""
    label, parts = "epoch" if by_epoch else "batch", []
    for name in ("loss", "accuracy"):
        lines = [_series(name, records, label)]
        if by_epoch and epochs[0].val_loss is not None:
            lines.append(_series(f"val_{name}", records, label, marked=True))
        y_range = (0.0, 1.0) if name == "accuracy" else None
        chart = line_chart(lines, title=name, x_label=label, y_label=name, y_range=y_range)
        parts.append(f'<div class="chart">{chart}</div>')
    return f'<div class="row">{"".join(parts)}</div>'


def _series(name: str, records: Sequence[EpochRecord | StepRecord], place: str, *, marked: bool = False) -> Series:
    """Return a line of at most so many points, the last of them among them."""
    every = math.ceil(len(records) / _MOST_POINTS)
    chosen = records[::-1][::every][::-1]
    y = [math.nan if (value := getattr(one, name)) is None else float(value) for one in chosen]
    return Series(name, [getattr(one, "epoch" if place == "epoch" else "step") for one in chosen], y, marked=marked)


def _matrix(evaluation: Evaluation) -> str:
    names = [_name(one) for one in evaluation.class_names]
    heads = "".join(f'<th title="{name}">{k}</th>' for k, name in enumerate(names))
    rows = []
    for label, counts in enumerate(evaluation.confusion_matrix):
        whole = sum(counts) or 1
        cells = "".join(
            f'<td style="background:{_shade(n / whole, label == answer)}">{n}</td>' if n else "<td></td>"
            for answer, n in enumerate(counts)
        )
        rows.append(f"<tr><th>{names[label]}</th>{cells}</tr>")
    caption = "<p>Confusion matrix: rows are labels, columns are answers.</p>"
    return (
        f'<table class="matrix"><thead><tr><th></th>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table>{caption}'
    )


def _shade(part: float, is_right: bool) -> str:
    # A mistake in a hundred shall be seen; a right answer more or less need not.
    return (
        f"rgba({_RIGHT},{0.08 + 0.3 * part:.2f})"
        if is_right
        else f"rgba({_WRONG},{0.15 + 0.55 * min(part * 10, 1):.2f})"
    )


def _sure_digits(number: Number) -> str:
    told = "&emsp;".join(f"{digit.value}<small>{percent(digit.confidence, 0)}</small>" for digit in number.digits[:12])
    return told + (" …" if len(number.digits) > 12 else "")


def _plan(reading: Reading) -> str:
    """Return the page as a drawing: boxes in the colour of how sure their digits are, and those in them."""
    digits = reading.digits[:_MOST_DIGITS]
    refused = reading.refused[:_MOST_DIGITS]
    # The part of the page where something is, with a border.
    every = [*(digit.box for digit in digits), *(one.box for one in refused)]
    sides = [*zip(*every, strict=True)]
    border = max(digit.box.height for digit in digits) // 2 + 1
    left, top = (min(side) - border for side in sides[:2])
    width, height = max(sides[2]) + border - left, max(sides[3]) + border - top
    line = max(width, height) / 280
    boxes: dict[str, list[str]] = {}
    texts = []
    for digit in digits:
        boxes.setdefault(_color(digit), []).append(_outline(digit.box))
        size = digit.box.height
        middle, foot = digit.box.left + digit.box.width / 2, digit.box.bottom - 0.14 * size
        place = f'x="{middle:g}" y="{foot:.0f}" font-size="{size:g}"'
        texts.append(f"<text {place}>{digit.value}</text>")
    paths = [
        f'<path d="{"".join(outlines)}" fill="{color}" fill-opacity=".14" stroke="{color}"/>'
        for color, outlines in boxes.items()
    ]
    if refused:
        dashes = f'stroke="currentColor" stroke-opacity=".4" stroke-dasharray="{3 * line:.2g}"'
        paths.append(f'<path d="{"".join(_outline(one.box) for one in refused)}" fill="none" {dashes}/>')
    style = f"max-width:100%;max-height:340px;border:1px solid {_LINE}"
    drawing = (
        f'<svg role="img" viewBox="{left} {top} {width} {height}" style="{style}" font-family="system-ui, sans-serif" '
        f'fill="currentColor" text-anchor="middle"><title>Where the digits are</title>'
        f'<g stroke-width="{line:.2g}">{"".join(paths)}</g>{"".join(texts)}</svg>'
    )
    rest = f"<p>The first {len(digits)} of {len(reading.digits):,} digits.</p>"
    return drawing + rest * (len(digits) < len(reading.digits))


def _outline(box: Box) -> str:
    return f"M{box.left} {box.top}h{box.width}v{box.height}h-{box.width}z"


def _color(digit: Digit) -> str:
    if digit.confidence >= _SURE:
        return PALETTE[2]
    return PALETTE[4] if digit.confidence >= _FAIR else PALETTE[1]
