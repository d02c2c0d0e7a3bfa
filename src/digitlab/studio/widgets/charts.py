"""Live line charts, fed with new points only and drawn in the browser by ECharts as NiceGUI bundles it; and pictures.

What is to be saved as a picture is drawn by the browser that shows it, and several are put beside each other here.
"""

from __future__ import annotations

import base64
import io
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

import nicegui.elements.echart  # noqa: F401  (makes ECharts known to the page)
import numpy as np
from nicegui import ui
from PIL import Image

from digitlab.errors import InputError, StorageError
from digitlab.studio.page import Page
from digitlab.studio.widgets.controls import Scripted
from digitlab.svg import thinned

#: New points by the curve's name: the x values and the y values.
Points = Mapping[str, tuple[Sequence[float], Sequence[float]]]

# Digits after which nobody could see a difference, and which keep the messages short.
_DIGITS = 6
_PICTURE_TIMEOUT_S = 10.0
# More columns of points than a chart has pixels would not be seen.
_COLUMNS = 1200
# Where the y axis ends before there is data. Somewhat above ln 10 = 2.303, the loss of guessing among ten classes: most
# trainings begin there, and the axis stays as it is.
_Y_FIRST = 2.5
_SIZE = re.compile(r'<svg\b[^>]*?\bwidth="([\d.]+)"[^>]*?\bheight="([\d.]+)"')
_RASTERIZE = """
return await (async (svg, scale) => {
  const image = new Image();
  image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(svg);
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = image.naturalWidth * scale;
  canvas.height = image.naturalHeight * scale;
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/png");
})(%s, %d);
"""


@dataclass(frozen=True)
class Curve:
    """One curve of a chart: its name, a CSS variable, its line and its marks.

    ``marked`` is for few points: dashed, with a dot at each, where ``dash`` (pixels drawn and left out, in turns) and
    ``symbol`` (a key of the script's ``SHAPES``) do not say otherwise. ``title`` is what people read, by default the
    name.
    """

    name: str
    color: str = "--series-1"
    marked: bool = False
    title: str = ""
    dash: tuple[int, ...] = ()
    symbol: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return what the script draws it with."""
        dash = list(self.dash) or ([4, 4] if self.marked and not self.symbol else [])
        symbol = self.symbol or ("circle" if self.marked else "")
        return {
            "name": self.name,
            "title": self.title or self.name,
            "color": self.color,
            "dash": dash,
            "symbol": symbol,
        }


class LiveChart(Scripted, component="../static/live_chart.js"):
    """A chart that grows; ``label`` is for screen readers, and the first curve carries the cursor.

    The x axis goes from 0 to ``x_max``, the y axis to ``y_max`` or where the data is. A ``y_max`` of 1 is that of
    fractions, which are read as percentages. Whoever looks along it, by hand or by the arrow keys, reads the values.
    """

    def __init__(
        self,
        page: Page,
        label: str,
        curves: Sequence[Curve],
        *,
        x_name: str,
        y_name: str,
        x_max: float = 1,
        y_max: float | None = None,
    ) -> None:
        super().__init__()
        self._page, self._curves = page, tuple(curves)
        self.n_points = dict.fromkeys((curve.name for curve in curves), 0)
        self._props |= {"label": label, "x-name": x_name, "y-name": y_name, "x-max": x_max, "y-first": _Y_FIRST}
        self._props["is-fraction"] = y_max == 1.0
        if y_max is not None:
            self._props["y-max"] = y_max
        self._props["series"] = [curve.to_dict() for curve in curves]

    def append(self, points: Points) -> None:
        """Add points to the curves; what was there before is not sent again."""
        if not any(len(xs) for xs, _ in points.values()):
            return
        for name in self.n_points:
            self.n_points[name] += len(points.get(name, ((), ()))[0])
        self._page.send(self, "append", self._columns(points))

    def show_behind(self, name: str, points: Points) -> None:
        """Let another run's curves stand pale behind those of the same names, instead of what stood there; or none."""
        self._page.send(self, "setBehind", name, self._columns(points))

    def _columns(self, points: Points) -> list[list[list[float | None]]]:
        found = (points.get(curve.name, ((), ())) for curve in self._curves)
        return [[list(xs), [_shortened(y) for y in ys]] for xs, ys in found]

    def restart(self, x_max: float) -> None:
        """Remove all points and the cursor, and let the x axis end elsewhere."""
        self.n_points = dict.fromkeys(self.n_points, 0)
        self._page.send(self, "restart", x_max)

    def set_cursor(self, x: float | None, values: Mapping[str, float] | None = None) -> None:
        """Mark one x and show the curves' values there; with None those of the newest points."""
        self._page.send(self, "setCursor", x, dict(values or {}))

    def on_pick(self, f: Callable[[int], Any]) -> Self:
        """Call ``f`` with the x where somebody clicked."""
        return self.on("pick", lambda event: f(int(event.args)))

    async def png(self) -> bytes:
        """Return the chart as it is seen, as a PNG file."""
        return base64.b64decode((await self._picture("png")).partition(",")[2])

    async def svg(self) -> str:
        """Return the chart as it is seen, as SVG."""
        return await self._picture("svg")

    async def _picture(self, kind: str) -> str:
        picture = await self.run_method("picture", kind, timeout=_PICTURE_TIMEOUT_S)
        if not isinstance(picture, str):
            raise StorageError("The browser gave no picture of the chart; reload the page and try again.")
        return picture


def _shortened(y: float) -> float | None:
    """Return a value with few digits; None, which JSON has, for what is no number."""
    return float(f"{y:.{_DIGITS}g}") if math.isfinite(y) else None


def few_points(xs: Sequence[float], ys: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
    """Return a curve, x not falling, with no more points than could be seen; no peak is lost."""
    if len(xs) <= _COLUMNS:
        return xs, ys
    kept = thinned(np.asarray(xs) / xs[-1] * _COLUMNS, np.asarray(ys)).tolist()
    return [xs[i] for i in kept], [ys[i] for i in kept]


async def png_of_svg(svg: str, *, scale: int = 2) -> bytes:
    """Let the browser draw an SVG file and return it as PNG, with ``scale`` pixels for each unit."""
    answer = await ui.run_javascript(_RASTERIZE % (json.dumps(svg), scale), timeout=_PICTURE_TIMEOUT_S)
    with suppress(ValueError):
        if isinstance(answer, str) and answer.startswith("data:image/png;base64,"):
            return base64.b64decode(answer.partition(",")[2], validate=True)
    raise InputError("The browser could not draw the picture; save it as SVG instead.")


def png_side_by_side(pictures: Sequence[bytes]) -> bytes:
    """Return PNG files as one, from left to right."""
    try:
        images = [Image.open(io.BytesIO(picture), formats=["PNG"]).convert("RGB") for picture in pictures]
    except OSError as error:
        raise StorageError(f"The browser gave a picture that cannot be read ({error}); try again.") from None
    size = sum(image.width for image in images), max(image.height for image in images)
    whole = Image.new("RGB", size, images[0].getpixel((0, 0)))
    left = 0
    for image in images:
        whole.paste(image, (left, 0))
        left += image.width
    file = io.BytesIO()
    whole.save(file, "PNG")
    return file.getvalue()


def svg_side_by_side(pictures: Sequence[str]) -> str:
    """Return SVG pictures as one, from left to right.

    >>> one = '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="5"></svg>'
    >>> svg_side_by_side([one, one]).count('<svg')
    3
    """
    parts, left, height = [], 0.0, 0.0
    for picture in pictures:
        found = _SIZE.search(picture)
        if found is None:
            raise StorageError("The browser gave a picture without a size; try again.")
        parts.append(picture[found.start() :].replace("<svg", f'<svg x="{left:g}"', 1))
        left, height = left + float(found[1]), max(height, float(found[2]))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{left:g}" height="{height:g}">'
    return "\n".join([head, *parts, "</svg>\n"])
