"""Live line charts: fed with new points only, drawn in the browser by ECharts as NiceGUI bundles it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import nicegui.elements.echart  # noqa: F401  (makes ECharts known to the page)
from nicegui import ui
from nicegui.events import GenericEventArguments

from digitlab.errors import StorageError
from digitlab.studio.page import Page

__all__ = ["Curve", "LiveChart", "Points"]

#: New points by the curve's name: the x values and the y values.
Points = Mapping[str, tuple[Sequence[float], Sequence[float]]]

# Digits after which nobody could see a difference, and which keep the messages short.
_DIGITS = 6
_PICTURE_TIMEOUT_S = 10.0
# Where the y axis ends before there is data. Somewhat above ln 10 = 2.303, the loss of guessing among ten classes: most
# trainings begin there, and the axis stays as it is.
_Y_FIRST = 2.5


@dataclass(frozen=True)
class Curve:
    """One curve of a chart.

    Attributes
    ----------
    name : str
        In the legend and for `LiveChart.append`.
    color : str
        A CSS variable.
    marked : bool
        Dashed, with a mark at every point: for curves of few points.
    """

    name: str
    color: str = "--series-1"
    marked: bool = False


class LiveChart(ui.element, component="static/live_chart.js"):
    """A chart that grows.

    Parameters
    ----------
    page : Page
        Where it stands.
    label : str
        What it shows, for screen readers.
    curves : sequence of Curve
        At least one; the first carries the cursor.
    x_name, y_name : str
        The axes' titles.
    x_max : float
        The end of the x axis, which begins at 0.
    y_max : float, optional
        The end of the y axis; where the data is by default.
    """

    def __init__(
        self,
        page: Page,
        label: str,
        curves: Sequence[Curve],
        *,
        x_name: str,
        y_name: str = "Value",
        x_max: float = 1,
        y_max: float | None = None,
    ) -> None:
        super().__init__()
        self._page, self._curves = page, tuple(curves)
        self.n_points = dict.fromkeys((curve.name for curve in curves), 0)
        self._props |= {"label": label, "x-name": x_name, "y-name": y_name, "x-max": x_max, "y-first": _Y_FIRST}
        if y_max is not None:
            self._props["y-max"] = y_max
        self._props["series"] = [
            {"name": curve.name, "color": curve.color, "kind": "marked" if curve.marked else "plain"}
            for curve in curves
        ]

    def append(self, points: Points) -> None:
        """Add points to the curves; what was there before is not sent again."""
        if not any(len(xs) for xs, _ in points.values()):
            return
        columns = []
        for curve in self._curves:
            xs, ys = points.get(curve.name, ((), ()))
            self.n_points[curve.name] += len(xs)
            columns.append([list(xs), _rounded(ys)])
        self._page.send(self, "append", columns)

    def restart(self, x_max: float) -> None:
        """Remove all points and the cursor, and let the x axis end elsewhere."""
        self.n_points = dict.fromkeys(self.n_points, 0)
        self._page.send(self, "restart", x_max)

    def set_cursor(self, x: float | None, values: Mapping[str, float] | None = None) -> None:
        """Mark one x and show the curves' values there; with None those of the newest points."""
        self._page.send(self, "setCursor", x, dict(values or {}))

    def on_pick(self, f: Callable[[int], Any]) -> Self:
        """Call ``f`` with the x where somebody clicked."""

        def handle(event: GenericEventArguments) -> None:
            f(int(event.args))

        self.on("pick", handle)
        return self

    async def png(self) -> bytes:
        """Return the chart as it is seen, as a PNG file."""
        uri = await self._picture("png")
        return base64.b64decode(uri.partition(",")[2])

    async def svg(self) -> str:
        """Return the chart as it is seen, as SVG."""
        return await self._picture("svg")

    async def _picture(self, kind: str) -> str:
        picture = await self.run_method("picture", kind, timeout=_PICTURE_TIMEOUT_S)
        if not isinstance(picture, str):
            raise StorageError("The browser gave no picture of the chart; reload the page and try again.")
        return picture


def _rounded(values: Iterable[float]) -> list[float]:
    return [float(f"{value:.{_DIGITS}g}") for value in values]
