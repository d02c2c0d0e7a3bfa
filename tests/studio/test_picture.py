from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from digitlab.errors import InputError
from digitlab.evaluation.charts import reliability_chart
from digitlab.metrics import calibration_bins
from digitlab.studio.matrix import count_cells, difference_cells
from digitlab.studio.picture import matrix_svg, standalone_svg
from digitlab.values import CLASS_NAMES, Calibration

SVG = "{http://www.w3.org/2000/svg}"
MATRIX = [[90 if r == c else (r * c) % 7 for c in range(10)] for r in range(10)]


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}text")]


def test_picture_of_a_matrix_has_every_count_and_every_name() -> None:
    found = texts(matrix_svg("Confusion matrix", CLASS_NAMES, count_cells(MATRIX, CLASS_NAMES)))
    for name in CLASS_NAMES:
        assert found.count(name) == 2
    for row in MATRIX:
        for count in row:
            assert str(count) in found


def test_picture_of_a_difference_is_a_file_of_its_own() -> None:
    cells = difference_cells(MATRIX, MATRIX[::-1], CLASS_NAMES, "A", "B")
    root = ET.fromstring(matrix_svg("B minus A <&>", CLASS_NAMES, cells))
    assert root.tag == f"{SVG}svg"
    assert {"width", "height", "viewBox"} <= set(root.attrib)


def test_reliability_chart_stands_on_its_own() -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(10), 100)
    bins = calibration_bins(probabilities, np.arange(100) % 10)
    root = ET.fromstring(standalone_svg(reliability_chart(Calibration(bins=bins, expected_calibration_error=0.1))))
    assert root.find(f"{SVG}rect").attrib["fill"] == "#ffffff"


def test_what_is_no_picture_is_refused_with_a_sentence() -> None:
    with pytest.raises(InputError, match="no <svg> element"):
        standalone_svg("<p>not a picture</p>")
