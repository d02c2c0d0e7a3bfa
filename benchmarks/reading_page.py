"""The page docs/measurements/reading.md, made from benchmarks/results/reading.json and reading_speed.json.

    python benchmarks/reading_page.py

makes page, charts and the README's table anew from what was measured, for instance when words were changed. Sheets of
what was read wrongly, with what was read drawn on the photos, are made while there are photos.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

import measuring
from digitlab.reading.reading import Reading
from digitlab.reading.render import upright_pixels
from digitlab.svg import Dot, Trace, spread_chart
from digitlab.text import percent
from measuring import IMAGES, PAGES, read_json, write, write_json
from reading_scores import COVERAGES, KNOWN, Answer, aligned
from readme import TABLES, filled, write_first
from tables import markdown_table

RESULTS = measuring.RESULTS / "reading.json"
SPEED = measuring.RESULTS / "reading_speed.json"
PAGE = PAGES / "reading.md"
COVERAGE = IMAGES / "reading-coverage.svg"
RELIABILITY = IMAGES / "reading-reliability.svg"

_ORIGIN = ("what", "origin", "licence")
_WAYS = {"digit": "as one digit", "photo": "as a photo"}
_QUIET_LOAD = 0.5
_LABEL_PX = 34
_TEXT, _PALE, _GROUND = "#1f2328", "#656d76", "#d0d7de"
_RIGHT, _WRONG, _EXTRA, _REFUSED = "#0a7d33", "#d1242f", "#8250df", "#bf8700"
_LEAST_DRAWN = 20  # a line through fewer pictures would tell nothing
_LEAST_OF_BIN = 5  # and so would a dot of fewer numbers


def page(result: dict[str, Any], speed: dict[str, Any] | None) -> str:
    """Return docs/measurements/reading.md."""
    machine = result["environment"]
    parts = [
        "# Reading what people write",
        "How well digitlab reads pictures that it has not learned from: its networks have learned from MNIST's "
        f"training images and from what digitlab draws itself. Read with {result['model']}; as one digit, a mark is "
        f"refused where *not a digit* has a probability above {result['refuse_above']:g}, on a photo also where its "
        f"best digit has less than {result['min_confidence']:g}. In brackets: 95 % Wilson intervals. These pictures "
        "were looked at while the way was built, so others may be read less well; none of them is part of digitlab.",
        _origins(result),
        figures(result),
        f"![Accuracy over coverage](../images/{COVERAGE.name})",
    ]
    if result["trust"]["n"]:
        parts.append(f"![How many of the numbers that claim so much are right](../images/{RELIABILITY.name})")
    missed = [bar["what"] for bar in result["bars"] if not bar["is_reached"]]
    if missed:
        reasons = (f"- *{what}*: {KNOWN['reasons'].get(what, 'not looked into.')}" for what in missed)
        parts += ["## Why some is not reached", "\n".join(reasons)]
    if speed is not None:
        parts += ["## Speed", _speed(speed)]
    parts += ["## Known limits", KNOWN["limits"]]
    if result["shown"]:
        parts += [
            "## What is read wrongly",
            "The surest mistakes first. Green: right; red: wrong; violet: read where nothing stands; yellow: refused. "
            "Below each: what stands there, what was read, and its confidence. Shown are pictures whose licence allows "
            "it, and composed ones.",
            *map(_shown, result["shown"]),
        ]
    parts.append(
        f"digitlab {machine['digitlab']}, Python {machine['python']}, {machine['threads']} threads of "
        f"{machine['processor']}. Made by `{result['command']}` on {result['date'][:10]}; with folders of your own, "
        "the same command tells how well yours are read." + _busy(result["load"], machine["threads"])
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def figures(result: dict[str, Any]) -> str:
    """Return the tables of a measurement."""
    parts = [
        "## Accuracy",
        _accuracy(result),
        "*Digits*: of the digits that stand there, those read and in place, in the alignment with the fewest edits; "
        "*extra*: what was read besides. *Whole*: pictures on which all digits and nothing else was read. *As one "
        "digit* is the way of `digitlab predict`, *as a photo* that of `digitlab read`, which may find several digits "
        "or none. Commas, slashes and other separators are no digits.",
    ]
    if result["refusals"]:
        parts += [
            "## Refusing",
            _refusals(result),
            "How well the probability of *not a digit* parts the two, whatever the threshold; and how much of what is "
            "to be refused is, with the threshold at which 1 % of the digits are lost.",
        ]
    if any("coverage" in entry for entry in result["entries"]):
        parts += [
            "## Coverage against accuracy",
            "The share of pictures right as a whole among the surest answers, when only this share of all pictures is "
            "answered; the rest would be looked at by people.",
            _coverage(result),
        ]
    if result["trust"]["n"]:
        parts += ["## Can a confidence be trusted?", _trust(result["trust"])]
    if result["cases"]:
        parts += ["## Situations that people report", _cases(result["cases"])]
    if result["bars"]:
        parts += ["## What is asked for, and what is reached", _bars(result["bars"])]
    return "\n\n".join(parts)


def _accuracy(result: dict[str, Any]) -> str:
    """Return the accuracy of every folder."""
    rows = []
    for entry in result["entries"]:
        digits = entry.get("digits")
        rows.append(
            [
                _title(entry, result),
                str(entry["n"]),
                share(digits),
                "" if digits is None else str(digits["n_extra"]),
                share(entry.get("whole")),
                share(entry.get("refused")),
                f"{1000 * entry['median_s']:.1f}",
            ]
        )
    return markdown_table(["", "pictures", "digits", "extra", "whole", "refused rightly", "ms a picture"], rows)


def _refusals(result: dict[str, Any]) -> str:
    """Return how well what is no digit is told from digits."""
    rows = [
        [
            f"{found['refuse']} ({found['n_refuse']})",
            f"{found['keep']} ({found['n_keep']})",
            f"{found['area']:.4f}",
            percent(found["refused_at_1"], 1),
        ]
        for found in result["refusals"]
    ]
    return markdown_table(["to be refused", "against digits of", "area under the ROC", "refused at 1 % lost"], rows)


def _coverage(result: dict[str, Any]) -> str:
    """Return the accuracy of the surest answers."""
    entries = [entry for entry in result["entries"] if "coverage" in entry]
    shares = [f"{100 * point['coverage']:.0f} %" for point in entries[0]["coverage"]] if entries else []
    rows = [[_title(entry, result), *(percent(point["share"], 1) for point in entry["coverage"])] for entry in entries]
    return markdown_table(["answered", *shares], rows)


def _trust(found: dict[str, Any]) -> str:
    """Return how many of the numbers that claim so much are right."""
    bins = [
        [f"{100 * part['low']:g} to {100 * part['high']:g} %", str(part["n"]), *_claimed(part)]
        for part in reversed(found["bins"])
    ]
    claims = [
        [f"{100 * claim['least']:g} % and more", str(claim["n"]), share(claim if claim["n"] else None)]
        for claim in found["claims"]
    ]
    return "\n\n".join(
        [
            "A number's *confidence* is the probability that all of its digits are right. Of all numbers that were "
            "read on these folders as photos, and of those that claim at least so much:",
            markdown_table(["confidence", "numbers", "claimed on average", "right"], bins),
            markdown_table(["claiming", "numbers", "right"], claims),
            f"Where no digit stands, {found['n_where_nothing_stands']} were read, "
            f"{found['n_certain_where_nothing_stands']} of them at 99.9 % and more; beside digits that stand there, "
            f"{found['n_certain_extra']} more were read so surely. A number is right if its digits stand there in a "
            "row, and none before or after them was left out.",
        ]
    )


def _cases(rows: Sequence[dict[str, Any]]) -> str:
    """Return what was read in situations that people report."""
    cells = [
        [row["case"], f"`{row['file']}`", row["ask"], row["right"], row["read"] or "nothing", _mark(row["is_right"])]
        for row in rows
    ]
    # A line's end would end a cell.
    cells = [[cell.replace("|", " / ") for cell in row] for row in cells]
    return markdown_table(["case", "picture", "asked", "right", "read", ""], cells)


def _bars(rows: Sequence[dict[str, Any]]) -> str:
    """Return what is asked and what is reached."""
    n_reached = sum(bar["is_reached"] for bar in rows)
    table = markdown_table(
        ["", "asked", "reached", ""],
        [[bar["what"], bar["asked"], bar["reached"], _mark(bar["is_reached"])] for bar in rows],
    )
    return f"{table}\n\n{n_reached} of {len(rows)} are reached."


def share(figures: dict[str, Any] | None) -> str:
    """Return a proportion with its interval; nothing where there is none."""
    if figures is None:
        return ""
    low, high = figures["interval"]
    return f"{percent(figures['share'], 1)} [{100 * low:.1f}, {100 * high:.1f}]"


def _title(entry: dict[str, Any], result: dict[str, Any]) -> str:
    is_twice = sum(other["name"] == entry["name"] for other in result["entries"]) > 1
    return f"{entry['name']}, {_WAYS[entry['way']]}" if is_twice else entry["name"]


def _claimed(part: dict[str, Any]) -> list[str]:
    return [percent(part["confidence"], 1), share(part)] if part["n"] else ["", ""]


def _mark(is_right: bool) -> str:
    return "yes" if is_right else "**no**"


def _origins(result: dict[str, Any]) -> str:
    names, known = dict.fromkeys(entry["name"] for entry in result["entries"]), KNOWN["folders"]
    rows = [[f"`{name}`", *(known[name][key] for key in _ORIGIN)] for name in names if name in known]
    return markdown_table(["folder", "what", "from", "licence"], rows) if rows else ""


def _shown(shown: dict[str, Any]) -> str:
    """A sheet of failures with whose pictures they are."""
    name, known = shown["name"], KNOWN["folders"][shown["name"]]
    told = f"`{name}`: {known['what']}; from {known['origin']}, {known['licence']}."
    n_wrong = f"{shown['n_wrong']} of {shown['n']} pictures are not read as a whole."
    return f"{told} {n_wrong}\n\n![What is read wrongly: {name}](../images/{failures_image(name).name})"


def _speed(speed: dict[str, Any]) -> str:
    rows = [
        [entry["title"], str(entry["n"]), entry["median"], entry["range"], entry["processor"], _weight(entry)]
        for entry in speed["entries"]
    ]
    return (
        markdown_table(["", "n", "median", "smallest to largest", "processor time", "peak memory"], rows)
        + f"\n\n{speed['note']} Made by `{speed['command']}` on {speed['date'][:10]}."
        + _busy(speed["load"], speed["environment"]["threads"])
    )


def _weight(entry: dict[str, Any]) -> str:
    return f"{entry['peak_bytes'] / 1e6:.0f} MB" if entry.get("peak_bytes") else ""


def _busy(load: float, n_threads: int) -> str:
    """Return a sentence where other programs made times too long, from the load average before the measurement."""
    if load < _QUIET_LOAD:
        return ""
    return f" Other programs were running (load {load:.1f} on {n_threads} threads), so times are too long."


def coverage_chart(result: dict[str, Any]) -> str:
    """Return accuracy over coverage as SVG: a line a folder, read as photos."""
    entries = [entry for entry in result["entries"] if "coverage" in entry and entry["way"] == "photo"]
    traces = [
        Trace(
            entry["name"],
            [
                Dot(100 * point["coverage"], *(100 * value for value in (point["share"], *point["interval"])))
                for point in entry["coverage"]
            ],
            joined=True,
        )
        for entry in entries
        if entry["n"] >= _LEAST_DRAWN
    ]
    lowest = min((dot.min for trace in traces for dot in trace.dots), default=0.0)
    return spread_chart(
        traces,
        x_range=(100.0 * min(COVERAGES), 100.0),
        y_range=(lowest, 100.0),
        title="The surest answers first",
        x_label="Pictures answered, % of all",
        y_label="Right as a whole, %",
    )


def reliability_chart(result: dict[str, Any]) -> str:
    """Return what numbers claim against how many of them are right, as SVG; on the dashed line both agree."""
    dots = [
        Dot(
            *(100 * value for value in (part["confidence"], part["share"], *part["interval"])), label=f"n = {part['n']}"
        )
        for part in result["trust"]["bins"]
        if part["n"] >= _LEAST_OF_BIN
    ]
    ends = [Dot.on_line(0.0, 0.0), Dot.on_line(100.0, 100.0)]
    return spread_chart(
        [Trace("numbers read on photos", dots), Trace("as claimed", ends, measured=False)],
        x_range=(0.0, 100.0),
        y_range=(0.0, 100.0),
        title="What numbers claim, and how many are right",
        x_label="Confidence, %",
        y_label="Right, %",
    )


def readme_table(result: dict[str, Any], speed: dict[str, Any] | None) -> str:
    """Return the README's short table."""
    entries = {(entry["name"], entry["way"]): entry for entry in result["entries"]}
    rows = []
    for name, way, measure in KNOWN["readme"]:
        entry = entries.get((name, way))
        if entry is not None:
            told = {"whole": "right", "refused": "refused, as they should be", "digits": "of the digits right"}[measure]
            rows.append([KNOWN["folders"][name]["what"], f"{share(entry[measure])} {told}", str(entry[measure]["n"])])
    parts = [markdown_table(["pictures that it has not learned from", "", "n"], rows)]
    if speed is not None:
        told = (
            f"{entry['title'][0].upper()}{entry['title'][1:]}: {entry['median']}." for entry in speed["entries"][:2]
        )
        parts.append(" ".join(told) + _busy(speed["load"], speed["environment"]["threads"]))
    parts.append(
        "In brackets: 95 % intervals. All figures, what is refused, and known limits: "
        "[reading what people write](reading.md)."
    )
    return "\n\n".join(parts)


def publish(result: dict[str, Any]) -> None:
    """Write results, page, charts and the README's table."""
    write_json(RESULTS, result)
    write_again()


def write_again() -> None:
    """Write page, charts and the README's table from the results."""
    result, speed = read_json(RESULTS), read_json(SPEED) or None
    write(PAGE, page(result, speed))
    write(COVERAGE, coverage_chart(result))
    if result["trust"]["n"]:
        write(RELIABILITY, reliability_chart(result))
    write(TABLES, filled(TABLES.read_text("utf-8"), {"reading": readme_table(result, speed)}))
    write_first()


def failures_image(name: str) -> Path:
    """Return where the sheet of a folder's or a kind's failures is."""
    return IMAGES / f"reading-failures-{name}.jpg"


def may_be_shown(name: str, file: str) -> bool:
    """Tell whether the licence of a folder's picture allows to show it."""
    shown = KNOWN["folders"].get(name, {}).get("shown", ())
    return shown is True or (shown is not False and file in shown)


def cell_of(answers: Sequence[Answer]) -> tuple[int, int, int]:
    """Return the size of a picture on the sheet in pixels and how many stand side by side: pages want more room."""
    most = max(len(answer.truth) for answer in answers)
    if most > 8:
        return 560, 480, 3
    return (380, 170, 4) if most > 1 else (200, 150, 7)


def write_sheet(
    answers: Sequence[Answer], photos: Mapping[str, Path | NDArray[np.uint8]], target: Path, n_most: int = 140
) -> int:
    """Write the sheet, the surest mistakes first, and return how many there are; nothing is written without any.

    Digits that stand there are green, others red, what stands beside them violet, what was refused yellow.
    """
    wrong = sorted((answer for answer in answers if not answer.is_right), key=lambda answer: -answer.confidence)
    if not wrong:
        target.unlink(missing_ok=True)
        return 0
    shown = wrong[:n_most]
    wide, high, n_columns = cell_of(answers)
    n_rows = -(-len(shown) // n_columns)
    width, height = wide + 8, high + _LABEL_PX + 8
    sheet = Image.new("RGB", (width * min(n_columns, len(shown)), height * n_rows), _GROUND)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(12)
    for place, answer in enumerate(shown):
        left, top = width * (place % n_columns) + 4, height * (place // n_columns) + 4
        sheet.paste("#ffffff", (left, top, left + wide, top + height - 8))
        picture = seen(answer, photos[answer.file], (wide, high))
        sheet.paste(picture, (left + (wide - picture.width) // 2, top))
        told = f"{answer.told} -> {answer.text.replace(' ', '|') or 'nothing'}"
        for row, line in enumerate(_lines(told, wide // 7)):
            draw.text((left + 4, top + high + 2 + 15 * row), line, _TEXT, font)
        note = f"{answer.confidence:.3f} {answer.file[-22:]}"
        if len(told) <= wide // 7:
            draw.text((left + 4, top + high + 17), note, _PALE, font)
    target.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(target, quality=82)
    return len(wrong)


def seen(answer: Answer, photo: Path | NDArray[np.uint8], size: tuple[int, int]) -> Image.Image:
    """Return the picture as it was read, at most ``size`` large, with what was read where it was seen."""
    if answer.reading is None:
        with Image.open(photo) if isinstance(photo, Path) else Image.fromarray(photo) as image:
            return ImageOps.contain(ImageOps.exif_transpose(image).convert("RGB"), size)
    picture = ImageOps.contain(Image.fromarray(upright_pixels(photo, answer.reading)), size)
    _draw(picture, answer, answer.reading)
    return picture


def _draw(picture: Image.Image, answer: Answer, reading: Reading) -> None:
    draw = ImageDraw.Draw(picture)
    x, y = picture.width / max(reading.width, 1), picture.height / max(reading.height, 1)
    for refused in reading.refused:
        box = refused.box
        draw.rectangle((box.left * x, box.top * y, box.right * x, box.bottom * y), outline=_REFUSED)
    truth = answer.truth.replace(" ", "")
    places = aligned(truth, "".join(str(digit.value) for digit in reading.digits))
    for place, digit in zip(places, reading.digits, strict=True):
        color = _EXTRA if place is None else _RIGHT if truth[place] == str(digit.value) else _WRONG
        box = digit.box
        draw.rectangle((box.left * x, box.top * y, box.right * x, box.bottom * y), outline=color)
        font = ImageFont.load_default(min(max(11.0, 0.4 * box.height * y), 24.0))
        place_xy = (box.left * x + 1, max(box.top * y - 0.6 * font.size, 0))
        draw.text(place_xy, str(digit.value), color, font, stroke_width=1, stroke_fill="white")


def _lines(text: str, most: int) -> list[str]:
    """Cut a text into at most two lines of so many characters."""
    if len(text) <= most:
        return [text]
    first, _, second = text.partition(" -> ")
    return [first[:most], f"-> {second}"[:most]]


if __name__ == "__main__":
    write_again()
