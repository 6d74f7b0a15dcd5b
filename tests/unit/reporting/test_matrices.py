"""Panels of matrices: rows and columns are named once a line, values stand where they fit."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import numpy as np
import pytest

from adapterlab.reporting.matrices import Names, Panel, Scale, matrix_panels
from drawings import whole


@pytest.mark.parametrize("shared", [False, True])
def test_matrices_name_their_rows_and_columns_once_a_line(shared):
    rng = np.random.default_rng(0)
    names = Names(
        [f"row {number}" for number in range(3)],
        [f"column {number}" for number in range(16)],
        "rows",
        "columns",
    )
    panels = [Panel(f"panel {number}", rng.normal(size=(3, 16))) for number in range(4)]
    found = [
        one.text
        for one in whole(matrix_panels(panels, names, Scale("what"), title="T", shared=shared), "what")
    ]
    assert found.count("row 0") == 2, "three panels stand beside each other"
    assert found.count("column 15") == 1, "below the last line"
    assert all(found.count(panel.name) == 1 for panel in panels)


def test_values_are_written_where_they_fit_and_a_cell_without_one_stays_empty():
    names = Names(["0", "1"], ["0", "1"], "ω₂", "ω₁")
    values = np.array([[81.234, np.nan], [-0.01, 7.0]])
    found = whole(
        matrix_panels([Panel("rte", values)], names, Scale("what"), title="T", written=True, up=True),
        "81.2",
        "7.0",
        "0.0",
    )
    assert "nan" not in {one.text for one in found}
    low, high = (next(one for one in found if one.text == said) for said in ("81.2", "7.0"))
    assert low.top > high.top, "the first row is the lowest"


def test_a_grid_in_an_svg_is_drawn_not_pictured():
    panel = Panel("", np.arange(6.0).reshape(2, 3))
    svg = matrix_panels([panel], Names("ab", "xyz", "", ""), Scale("what", 2.5), title="T", written=True).svg
    assert not list(ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}image"))  # noqa: S314 - it was just drawn
