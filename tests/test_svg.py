"""Charts: well-formed, finite, small, and telling their lines apart without colour."""

from __future__ import annotations

import base64
import io
import math
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from digitlab.errors import InputError
from digitlab.evaluation.report import reliability_chart
from digitlab.metrics import calibration_bins, expected_calibration_error
from digitlab.svg import (
    IN_PAGE,
    Bar,
    Series,
    bar_svg,
    line_chart,
    log_axis,
    nice_axis,
    png_data_uri,
    standalone_svg,
    thinned,
)
from digitlab.values import Calibration

NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


def draw(*series, y_range=None):
    """Return the parsed chart of some series."""
    return ElementTree.fromstring(line_chart(series, title="loss", x_label="Batch", y_label="Value", y_range=y_range))


def drawn_lines(svg):
    """Return for each line its points [(x, y), ...], relative commands left out."""
    lines = [path for path in svg if path.tag == "path" and path.get("class", "").startswith("series")]
    return [[tuple(map(float, pair)) for pair in re.findall(r"[ML](\S+?) ([\d.-]+)", p.get("d"))] for p in lines]


@given(
    st.lists(
        st.lists(st.tuples(st.floats(), st.floats()), max_size=20),
        max_size=3,
    )
)
def test_any_series_gives_finite_coordinates_inside_the_drawing(columns):
    series = [
        Series(f"s{i}", [x for x, _ in points], [y for _, y in points], marked=i == 1)
        for i, points in enumerate(columns)
    ]
    svg = draw(*series)
    for line in drawn_lines(svg):
        for x, y in line:
            assert IN_PAGE.left <= x <= IN_PAGE.right
            assert 0 <= y <= IN_PAGE.bottom
    for element in svg.iter():
        for name in ("x", "y", "cx", "cy", "d", "transform"):
            value = element.get(name, "")
            assert "nan" not in value
            assert "inf" not in value
            assert all(math.isfinite(float(number)) for number in NUMBER.findall(value))


def test_validation_points_sit_at_their_true_batch():
    training = Series("loss", range(1, 111), np.linspace(2.3, 0.1, 110))
    validation = Series("val_loss", range(11, 111, 11), np.linspace(2, 0.2, 10), marked=True)
    svg = draw(training, validation)
    train_line, val_line = drawn_lines(svg)
    where = [x for x, _ in train_line]
    assert len(val_line) == 10
    assert [x for x, _ in val_line] == [where[step - 1] for step in range(11, 111, 11)]


def test_lines_differ_by_dashes_markers_and_colors():
    svg = draw(Series("loss", [1, 2], [1, 2]), Series("val_loss", [1, 2], [2, 1], marked=True))
    lines = [path for path in svg if path.get("class", "").startswith("series")]
    assert [path.get("stroke-dasharray") for path in lines] == [None, "6 5"]
    assert lines[0].get("stroke") != lines[1].get("stroke")
    assert len([c for c in svg if c.tag == "circle"]) == 2


def test_a_chart_is_an_image_with_a_name_and_a_description():
    svg = draw(Series("loss", [1, 2], [2.3, 0.4]))
    assert svg.get("role") == "img"
    assert svg.get("viewBox") == f"0 0 {IN_PAGE.width} {IN_PAGE.height}"
    assert [svg[0].tag, svg[0].text] == ["title", "loss"]
    assert svg[1].tag == "desc"
    assert "loss: 2 points between 0.4 and 2.3, first 2.3, last 0.4" in svg[1].text


def test_nan_leaves_a_gap_and_a_lone_point_still_shows():
    svg = draw(Series("loss", [1, 2, 3, 4, 5], [1, 2, math.nan, 4, math.inf]))
    (path,) = [p for p in svg if p.get("class", "").startswith("series")]
    assert path.get("d").count("M") == 2
    assert path.get("d").endswith("h0")


@pytest.mark.parametrize("series", [[], [Series("loss", [], [])], [Series("loss", [1], [math.nan])]])
def test_nothing_to_draw_is_said(series):
    assert "no data" in ElementTree.tostring(draw(*series), encoding="unicode")


def test_unsorted_points_are_drawn_from_left_to_right():
    (line,) = drawn_lines(draw(Series("loss", [3, 1, 2], [30, 10, 20])))
    assert line == sorted(line)


def test_long_series_stay_small_and_keep_their_peaks():
    y = np.sin(np.arange(100_000) / 7.0)
    y[54_321] = 9.0
    text = line_chart([Series("loss", range(100_000), y)], title="loss", x_label="Batch", y_label="Value")
    assert len(text) < 40_000
    (line,) = drawn_lines(ElementTree.fromstring(text))
    peak = min(height for _, height in line)
    assert sum(height == peak for _, height in line) == 1


@given(
    st.lists(st.tuples(st.floats(0, 30), st.floats(-100, 100) | st.just(math.nan)), max_size=400).map(
        lambda points: sorted(points, key=lambda point: point[0])
    )
)
def test_thinning_keeps_the_extremes_of_every_pixel_column(points):
    x, y = (np.array(column, dtype=float) for column in zip(*points, strict=True)) if points else (np.zeros(0),) * 2
    kept = thinned(x, y)
    assert (np.diff(kept) > 0).all()
    for column in np.unique(np.floor(x)):
        inside = np.floor(x) == column
        finite = y[inside & np.isfinite(y)]
        left = y[kept][np.floor(x[kept]) == column]
        assert left.size <= 5
        if finite.size:
            assert (np.nanmin(left), np.nanmax(left)) == (finite.min(), finite.max())


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_round_and_cover_the_axis(low, span):
    axis = nice_axis((low, low + span), 0, 100, widen=True)
    assert 2 <= len(axis.ticks) <= 12
    assert axis.ticks[0] == pytest.approx(axis.low, abs=1e-6 * span)
    assert axis.ticks[-1] == pytest.approx(axis.high, abs=1e-6 * span)
    assert axis.low <= low + 1e-6 * span
    assert axis.high >= low + span * (1 - 1e-6)


def test_values_beyond_a_fixed_range_are_drawn_at_its_edge():
    (line,) = drawn_lines(draw(Series("acc", [1, 2, 3], [-5, 0.5, 7]), y_range=(0, 1)))
    heights = [height for _, height in line]
    assert heights[0] == IN_PAGE.bottom
    assert heights[1] == pytest.approx((heights[0] + heights[2]) / 2)


def test_hostile_texts_are_escaped():
    text = line_chart([Series("<b>&", [1], [1])], title="<script>", x_label='"x"', y_label="a<b")
    assert "<script>" not in text
    assert "<b>" not in text
    ElementTree.fromstring(text)


def test_a_reliability_chart_shows_each_filled_bin_and_the_error():
    bins = calibration_bins([[0.2, 0.8], [0.1, 0.9], [0.05, 0.95]], [1, 0, 1], n_bins=10)
    calibration = Calibration(bins, expected_calibration_error(bins))
    svg = ElementTree.fromstring(reliability_chart(calibration))
    n_filled = sum(b.n_images > 0 for b in bins)
    assert len(svg.findall("./g[title]/rect")) == len(svg.findall("./g[title]/circle")) == n_filled
    assert f"{calibration.expected_calibration_error:.4f}" in svg[1].text


@pytest.mark.parametrize("y_range", [(1, 1), (2, 1), (0, math.inf), (math.nan, 1)])
def test_an_empty_y_range_is_refused(y_range):
    with pytest.raises(InputError, match="low < high"):
        draw(Series("loss", [1], [1]), y_range=y_range)


def test_series_of_unequal_columns_are_refused():
    with pytest.raises(InputError, match="one y value for each x value"):
        draw(Series("loss", [1, 2], [1]))


def test_logarithmic_axis_has_round_ends_around_the_values():
    axis = log_axis([3, 70, 0], 0, 100)
    assert axis.ticks == (2, 5, 10, 20, 50, 100)
    assert (axis.at(2), axis.at(100), axis.at(0)) == pytest.approx((0, 100, 0))
    wide = log_axis([6_352, 3_747_840], 0, 100)
    assert wide.ticks == (10_000, 100_000, 1_000_000)


@pytest.mark.parametrize("value", [0.001, 1.0, 7.0, 1e6])
def test_logarithmic_axis_holds_a_single_value(value):
    axis = log_axis([value], 0, 100)
    assert axis.low <= math.log10(value) + 1e-9 < axis.high


def test_a_chart_stands_on_its_own_ground_as_a_file():
    bins = calibration_bins(np.random.default_rng(0).dirichlet(np.ones(10), 100), np.arange(100) % 10)
    root = ElementTree.fromstring(standalone_svg(reliability_chart(Calibration(bins, 0.1))))
    assert root.find("{http://www.w3.org/2000/svg}rect").get("fill") == "#ffffff"


def test_what_is_no_picture_is_refused_with_a_sentence():
    with pytest.raises(InputError, match="no <svg> element"):
        standalone_svg("<p>not a picture</p>")


def test_bars_are_a_file_in_which_names_are_escaped():
    hostile = "<script>x</script>"
    text = bar_svg(hostile, [(hostile, Bar(hostile, -1.0)), ("long", Bar("2", 7.0))])
    assert "<script>" not in text
    bars = [r for r in ElementTree.fromstring(text) if r.tag.endswith("rect") and r.get("rx")]
    assert [bar.get("width") for bar in bars] == ["0.0", "380.0"]


@settings(max_examples=40)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_png_is_lossless(height, width, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    content = base64.b64decode(png_data_uri(image).removeprefix("data:image/png;base64,"))
    opened = Image.open(io.BytesIO(content))
    opened.load()
    assert opened.mode == "L"
    assert np.array_equal(np.asarray(opened), image)
