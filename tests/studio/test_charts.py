"""Charts that are fed with new points only, what is sent for them, and pictures of them."""

from __future__ import annotations

import io
import json
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nicegui import ui
from PIL import Image

from digitlab.errors import StorageError
from digitlab.studio.lesson import LessonLink
from digitlab.studio.page import Page
from digitlab.studio.tabs.training_controls import Pace
from digitlab.studio.trainer import Trainer
from digitlab.studio.widgets.charts import Curve, LiveChart, few_points, png_side_by_side, svg_side_by_side
from digitlab.values import StepRecord
from tests.studio.visiting import User, until, visit

CURVES = [Curve("loss"), Curve("val_loss", "--series-2", marked=True)]


def chart_of(trainer: Trainer, scenario: Any) -> list[list[Any]]:
    """Do something with a chart; return the frames that its browser got, each a list of calls."""
    frames: list[list[Any]] = []
    built: list[LiveChart] = []

    def root() -> None:
        page = Page(trainer, trainer.data, ui.context.client, LessonLink())
        built.append(LiveChart(page, "A chart", CURVES, x_name="Batch", y_name="Loss", x_max=10))
        page.follow()

    async def go(user: User) -> None:
        def draw(match: re.Match[str]) -> float:
            frames.append(json.loads(match[1]))
            return 0.0

        user.javascript_rules[re.compile(r"window\.studio\.frame\((.*)\)$", re.DOTALL)] = draw
        await scenario(built[0], frames)

    visit(root, go)
    return frames


def test_only_new_points_are_sent_and_in_one_message_a_frame(trainer: Trainer) -> None:
    async def scenario(chart: LiveChart, frames: list[Any]) -> None:
        chart.append({"loss": ([1, 2], [2.5, 2.0])})
        chart.append({"loss": ([3], [1.5]), "val_loss": ([3], [1.75])})
        chart.set_cursor(2, {"loss": 2.0})
        await until(lambda: frames)
        chart.append({"loss": ([4], [1.25])})
        await until(lambda: len(frames) == 2)
        assert chart.n_points == {"loss": 4, "val_loss": 1}

    first, second = chart_of(trainer, scenario)
    assert [(method, arguments) for _, method, arguments in first] == [
        ("append", [[[[1, 2], [2.5, 2.0]], [[], []]]]),
        ("append", [[[[3], [1.5]], [[3], [1.75]]]]),
        ("setCursor", [2, {"loss": 2.0}]),
    ]
    assert second[0][1:] == ["append", [[[[4], [1.25]], [[], []]]]]


def test_nothing_is_sent_for_no_points(trainer: Trainer) -> None:
    async def scenario(chart: LiveChart, frames: list[Any]) -> None:
        chart.append({"loss": ([], []), "val_loss": ([], [])})
        chart.append({})
        chart.restart(20)
        await until(lambda: frames)

    ((only,),) = chart_of(trainer, scenario)
    assert only[1:] == ["restart", [20]]


def test_values_are_sent_with_no_more_digits_than_can_be_seen(trainer: Trainer) -> None:
    async def scenario(chart: LiveChart, frames: list[Any]) -> None:
        chart.append({"loss": ([1, 2], [1 / 3, 2e-9 / 3])})
        await until(lambda: frames)

    ((call,),) = chart_of(trainer, scenario)
    assert call[2][0][0][1] == [0.333333, 6.66667e-10]


def test_what_is_no_number_is_sent_as_a_gap(trainer: Trainer) -> None:
    async def scenario(chart: LiveChart, frames: list[Any]) -> None:
        chart.append({"loss": ([1, 2, 3], [1.0, math.nan, math.inf])})
        await until(lambda: frames)

    ((call,),) = chart_of(trainer, scenario)
    assert call[2][0][0][1] == [1.0, None, None]


def test_another_run_stands_behind_and_goes_again(trainer: Trainer) -> None:
    async def scenario(chart: LiveChart, frames: list[Any]) -> None:
        chart.show_behind("before", {"val_loss": ([1.5], [2.0])})
        chart.show_behind("", {})
        await until(lambda: frames)
        assert chart.n_points == {"loss": 0, "val_loss": 0}

    ((shown, hidden),) = chart_of(trainer, scenario)
    assert shown[1:] == ["setBehind", ["before", [[[], []], [[1.5], [2.0]]]]]
    assert hidden[1:] == ["setBehind", ["", [[[], []], [[], []]]]]


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=3_000))
def test_thinned_curve_keeps_its_ends_and_its_extremes(ys: list[float]) -> None:
    xs = list(map(float, range(1, len(ys) + 1)))
    few_xs, few_ys = few_points(xs, ys)
    assert (few_xs[0], few_xs[-1]) == (xs[0], xs[-1])
    assert (min(few_ys), max(few_ys)) == (min(ys), max(ys))
    assert all(ys[int(x) - 1] == y for x, y in zip(few_xs, few_ys, strict=True))


def png(width: int, height: int, color: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), color).save(file, "PNG")
    return file.getvalue()


def test_pictures_stand_beside_each_other() -> None:
    whole = Image.open(io.BytesIO(png_side_by_side([png(4, 3, (255, 0, 0)), png(2, 5, (0, 0, 255))])))
    assert whole.size == (6, 5)
    assert whole.getpixel((0, 0)) == (255, 0, 0)
    assert whole.getpixel((5, 4)) == (0, 0, 255)


@given(st.binary(max_size=50))
def test_what_is_no_picture_is_told(content: bytes) -> None:
    with pytest.raises(StorageError, match="cannot be read"):
        png_side_by_side([content])
    with pytest.raises(StorageError, match="without a size"):
        svg_side_by_side([content.decode("latin-1")])


def test_drawings_stand_beside_each_other() -> None:
    one = '<svg xmlns="http://www.w3.org/2000/svg" width="30" height="10"><path d="M0 0"/></svg>'
    whole = svg_side_by_side([one, one.replace("30", "50")])
    assert 'width="80" height="10"' in whole
    assert '<svg x="30"' in whole


def batches(*steps: int, seconds: float = 0.01) -> list[StepRecord]:
    return [StepRecord(step, 1, step, 10, 1.0, 0.5, 0.001, 10 / seconds) for step in steps]


def test_time_left_is_reckoned_from_what_was_really_done() -> None:
    pace = Pace()
    assert pace.seconds_for(5) is None
    pace.note(batches(10), now=0.0)
    assert pace.seconds_for(5) is None
    pace.note(batches(*range(11, 31)), now=2.0)
    assert pace.seconds_for(5) == 0.5
    pace.rest()
    assert pace.seconds_for(5) is None


def test_speed_is_what_was_really_done_waiting_included() -> None:
    pace = Pace()
    assert pace.images_per_s is None
    pace.note(batches(1), now=0.0)
    assert pace.images_per_s is None
    pace.note(batches(2), now=0.1)  # ten batches of ten images a second, whatever one of them takes
    assert pace.images_per_s == pytest.approx(100)
    pace.rest()
    assert pace.images_per_s is None


def test_pace_forgets_what_was_long_ago() -> None:
    pace = Pace()
    for second in range(100):
        pace.note(batches(second if second < 50 else 50 + 10 * (second - 49)), now=float(second))
    assert pace.seconds_for(10) == pytest.approx(1.0)
