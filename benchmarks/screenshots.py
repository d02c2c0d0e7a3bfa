"""Make the README's pictures from the real page; or look at all of it at once.

    python benchmarks/screenshots.py [--only phone ...]
    python benchmarks/screenshots.py --looks build/looks [--only read ...]

Starts the Studio in a temporary folder, trains the small dense network and then the codelab's run to their ends, and
saves ``docs/images/*.png`` as Chromium draws them. ``learning`` is the animation of the README: the codelab's run,
taken batch by batch. ``reading-steps`` shows how a photo is read, a sheet on a table
that is composed of MNIST's test digits.

With ``--looks`` every tab is taken whole into a folder, before a run, while training, paused, and after; on a phone, a
laptop and a large screen; light and dark. ``390.png``, ``1280.png`` and ``1920.png`` have them side by side.

Exits 1 with a sentence where there is no Chromium, or where the page complains in the browser's console.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from digitlab.reading.reader import Reader
from reading_composed import composed
from studio_process import StudioProcess, browser

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "images"
#: What a picture may weigh: they are kept in the repository, and in every clone of it.
MOST_BYTES = 200_000

#: What the animation may weigh.
MOST_BYTES_MOVING = 1_500_000

_PATIENCE_MS = 60_000
# Longer than any transition of the page and any redrawing of its charts.
_SETTLE_MS = 1500


def _trained(page: Any) -> None:
    page.get_by_text("is trained:").wait_for()
    page.locator(".live-chart-plot canvas").nth(3).wait_for()


def _evaluated(page: Any) -> None:
    page.locator("#panel-evaluation .image-list-title").filter(has_text="mistakes:").wait_for()


def _compared(page: Any) -> None:
    boxes = page.get_by_role("checkbox", name="Compare ")
    boxes.nth(1).wait_for()
    # The older first, so that A is the dense network and B the codelab's.
    boxes.nth(1).check()
    boxes.nth(0).check()
    page.locator("#panel-runs .image-list-title").filter(has_text="they disagree:").wait_for()


def _read(page: Any) -> None:
    page.locator(".draw-pad canvas").wait_for()
    page.get_by_role("button", name="Show an example").click()
    page.locator(".photo-view").wait_for()
    page.wait_for_timeout(_SETTLE_MS)


_LEARNING = "learning"
_LEARNING_SIZE = (1280, 830)  # pixels: the commands, the charts of the batches, the filters, the first test digits
_LEARNING_SCALE = 0.75
#: Batches after which the page is taken; at first most happens.
_BATCHES = (
    0,
    1,
    2,
    3,
    4,
    6,
    8,
    10,
    12,
    14,
    16,
    18,
    20,
    22,
    25,
    28,
    31,
    34,
    38,
    42,
    46,
    50,
    55,
    60,
    70,
    80,
    90,
    100,
    110,
)
_FRAME_MS, _LAST_FRAME_MS = 220, 3000
_STEPS = "reading-steps"
_SHEET = ("sheets", 0, 1)  # kind, seed and number of the composed photo
_TILES = (3, 270, 24)  # columns; pixels of a picture's side, and of its title


def _looked_inside(page: Any) -> None:
    """Take a number of the second convolution apart."""
    page.locator("canvas[aria-label='conv2d_1, map 1']").click()
    page.get_by_label("Which map is read").wait_for()


#: Widths that are looked at, in pixels: the window's height, and how wide a picture is on the sheet of all.
WIDTHS = {390: (844, 240), 1280: (900, 420), 1920: (1080, 480)}
SCHEMES = ("light", "dark")
TABS = ("input-data", "model", "training", "network", "evaluation", "read", "runs")
#: The states of a training that are looked at, each with the Studio's command that brings it about.
STATES = {
    "before": ("look",),
    "training": ("begin", 100, 10),  # epochs and batches a second
    "paused": ("pause",),
    "after": ("train", 10, "codelab_cnn"),
}
_LOOK_MS = 700
_TALLEST = 2.5  # a picture on the sheet, in widths of it


@dataclass(frozen=True)
class Picture:
    """One picture: its file, the tab, what is waited for, and how the browser is."""

    name: str
    tab: str
    prepare: Callable[[Any], None]
    scheme: str = "light"
    width: int = 1280
    height: int = 900


PICTURES = (
    Picture("training-light", "training", _trained),
    Picture("training-dark", "training", _trained, scheme="dark"),
    Picture("network-light", "network", _looked_inside, height=1000),
    Picture("evaluation-light", "evaluation", _evaluated),
    Picture("input-data-light", "input-data", lambda page: page.locator(".example-digits button").first.wait_for()),
    Picture("model-light", "model", lambda page: page.locator(".layer").nth(5).wait_for()),
    Picture("runs-light", "runs", _compared),
    Picture("read-light", "read", _read),
    Picture("phone", "training", _trained, width=360, height=740),
)


def take(chromium: Any, address: str, picture: Picture) -> tuple[bytes, list[str]]:
    """Return the picture as PNG, and what the page complained of."""
    context = chromium.new_context(
        viewport={"width": picture.width, "height": picture.height},
        device_scale_factor=1,
        color_scheme=picture.scheme,
        reduced_motion="reduce",
        locale="en-US",
    )
    context.set_default_timeout(_PATIENCE_MS)
    complaints: list[str] = []
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{address}?tab={picture.tab}")
    picture.prepare(page)
    page.evaluate("() => { scrollTo(0, 0); document.activeElement?.blur(); }")
    page.mouse.move(0, 0)
    page.wait_for_timeout(_SETTLE_MS)
    png = page.screenshot()
    context.close()
    return png, complaints


def small(png: bytes) -> bytes:
    """Return the picture with a palette of 256 colours, without dithering, which would cost more than it shows."""
    file = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        palette = image.convert("RGB").quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        palette.save(file, "PNG", optimize=True)
    return file.getvalue()


def learning(chromium: Any, address: str) -> bytes:
    """Return the codelab's run as an animated WebP: the page takes one batch at a time, and is taken now and then."""
    width, height = _LEARNING_SIZE
    context = chromium.new_context(
        viewport={"width": width, "height": height}, device_scale_factor=1, reduced_motion="reduce", locale="en-US"
    )
    context.set_default_timeout(_PATIENCE_MS)
    page = context.new_page()
    page.goto(f"{address}?tab=training")
    step = page.get_by_role("button", name="Step one batch", exact=True)
    step.wait_for()
    page.wait_for_timeout(_SETTLE_MS)
    frames: list[Image.Image] = []
    done = 0
    for batch in _BATCHES:
        while done < batch:
            page.wait_for_function(
                "button => button.ariaDisabled !== 'true'", arg=step.element_handle(), timeout=_PATIENCE_MS
            )
            step.click()
            done += 1
            page.locator(".progress-text").filter(has_text=f"Batch {done} of").wait_for()
        page.mouse.move(0, 0)
        page.evaluate("() => document.activeElement?.blur()")
        page.wait_for_timeout(_SETTLE_MS if batch in (_BATCHES[0], _BATCHES[-1]) else _SETTLE_MS / 3)
        with Image.open(io.BytesIO(page.screenshot())) as frame:
            size = [round(_LEARNING_SCALE * side) for side in frame.size]
            frames.append(frame.convert("RGB").resize(size, Image.Resampling.LANCZOS))
    context.close()
    first, *others = frames
    durations = [_FRAME_MS] * len(others) + [_LAST_FRAME_MS]
    file = io.BytesIO()
    first.save(
        file, "WEBP", save_all=True, append_images=others, duration=durations, loop=0, quality=70, method=6,
        minimize_size=True,
    )  # fmt: skip
    return file.getvalue()


def reading_steps() -> bytes:
    """Return the steps of reading a composed photo, each with its title, as PNG."""
    steps = Reader().explain(composed(*_SHEET).pixels).steps
    columns, side, title = _TILES
    rows = -(-len(steps) // columns)
    sheet = Image.new("RGB", (columns * (side + title) - title, rows * (side + title)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for k, step in enumerate(steps):
        left, top = k % columns * (side + title), k // columns * (side + title)
        pen.text((left, top + 4), f"{k + 1}. {step.title}", fill="black", font=font)
        picture = Image.fromarray(step.picture).convert("RGB")
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
        sheet.paste(picture, (left, top + title))
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


def look(chromium: Any, studio: StudioProcess, folder: Path, tabs: Sequence[str]) -> list[str]:
    """Take every tab in every state, at every width and in both schemes; return what the page complained of."""
    complaints: list[str] = []
    pages = {}
    for width, (height, _) in WIDTHS.items():
        for scheme in SCHEMES:
            window = {"width": width, "height": height}
            page = chromium.new_page(viewport=window, color_scheme=scheme, reduced_motion="reduce", locale="en-US")
            pages[width, scheme] = page
            page.set_default_timeout(_PATIENCE_MS)
            page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.goto(studio.address)
    for state, command in STATES.items():
        studio.tell(*command)
        studio.answer()
        for (width, scheme), page in pages.items():
            for tab in tabs:
                page.locator(f"#tab-{tab}").click()
                page.locator(f"#panel-{tab}").wait_for()
                page.wait_for_timeout(_LOOK_MS)
                page.mouse.move(0, 0)
                page.screenshot(path=folder / f"{width}-{scheme}-{tab}-{state}.png", full_page=True)
    for page in pages.values():  # before the Studio ends, of which a page would complain
        page.close()
    return complaints


def sheet_of(folder: Path, width: int, tabs: Sequence[str]) -> Image.Image:
    """Return all pictures of a width on one sheet: a row a tab, a column a state and scheme."""
    side = WIDTHS[width][1]
    columns = [(scheme, state) for scheme in SCHEMES for state in STATES]
    rows = []
    for tab in tabs:
        row = []
        for scheme, state in columns:
            with Image.open(folder / f"{width}-{scheme}-{tab}-{state}.png") as picture:
                height = round(picture.height * side / picture.width)
                tile = picture.convert("RGB").resize((side, height), Image.Resampling.LANCZOS)
                row.append(tile.crop((0, 0, side, min(height, round(_TALLEST * side)))))
        rows.append(row)
    gap = 12
    heights = [max(tile.height for tile in row) + gap for row in rows]
    sheet = Image.new("RGB", (len(columns) * (side + gap), sum(heights)), "#808080")
    for y, row in zip(accumulate(heights, initial=0), rows, strict=False):
        for x, tile in enumerate(row):
            sheet.paste(tile, (x * (side + gap), y))
    return sheet


def main() -> int:
    """Take all pictures."""
    names = [*(picture.name for picture in PICTURES), _STEPS, _LEARNING]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=[*names, *TABS], metavar="NAME", help=", ".join([*names, *TABS]))
    parser.add_argument("--looks", type=Path, metavar="FOLDER", help="take every tab, in every state, into a folder")
    arguments = parser.parse_args()
    if arguments.looks is not None:
        return _look_at_all(arguments.looks, arguments.only or TABS)
    chosen = arguments.only or names
    FOLDER.mkdir(parents=True, exist_ok=True)
    failures = []
    if _STEPS in chosen:
        (FOLDER / f"{_STEPS}.png").write_bytes(small(reading_steps()))
    with browser() as chromium:
        studio = StudioProcess()
        try:
            if _LEARNING in chosen:
                moving = learning(chromium, studio.address)
                (FOLDER / f"{_LEARNING}.webp").write_bytes(moving)
                print(f"{_LEARNING}: {len(moving) / 1000:.0f} kB")
                if len(moving) > MOST_BYTES_MOVING:
                    failures.append(f"{_LEARNING}: {len(moving):,} bytes, more than {MOST_BYTES_MOVING:,}")
            if {picture.name for picture in PICTURES} & set(chosen):
                studio.train(network="dense_baseline")
                studio.train()
            for picture in PICTURES:
                if picture.name not in chosen:
                    continue
                png, complaints = take(chromium, studio.address, picture)
                content = small(png)
                (FOLDER / f"{picture.name}.png").write_bytes(content)
                print(f"{picture.name}: {len(content) / 1000:.0f} kB")
                failures += [f"{picture.name}: {text}" for text in complaints]
                if len(content) > MOST_BYTES:
                    failures.append(f"{picture.name}: {len(content):,} bytes, more than {MOST_BYTES:,}")
        finally:
            studio.close()
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


def _look_at_all(folder: Path, tabs: Sequence[str]) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    with browser() as chromium:
        studio = StudioProcess()
        try:
            complaints = look(chromium, studio, folder, tabs)
        finally:
            studio.close()
    for width in WIDTHS:
        sheet_of(folder, width, tabs).save(folder / f"{width}.png")
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
