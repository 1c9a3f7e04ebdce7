"""The area drawn for a way of passing an image is what it costs."""

import pandas as pd
import pytest
from helpers_for_draw import NOTE, cannot_be_drawn, words

from dynammo.draw.copies import copies_figure

STAGES = pd.DataFrame(
    {
        "stage": ["stem", "norm", "layer1", "layer2"],
        "macs": [1e8, 0, 4e8, 5e8],
        "one": [1, 1, 1, 1],
        "tiled": [1, 1, 3, 3],
        "kept": [3, 3, 3, 3],
    }
)


def test_areas_are_costs_on_one_scale():
    figure = copies_figure(STAGES, NOTE)
    areas = [sum(p.get_width() * p.get_height() for p in ax.patches) for ax in figure.axes]
    assert areas == pytest.approx([1000, 2800, 3000])  # in millions
    assert len({ax.get_ylim() for ax in figure.axes}) == 1
    written = words(figure)
    assert "2.80 GMACs: 2.8 times one pass" in written and NOTE in written
    assert "layer1" in written and "norm" not in written  # what costs nothing has no column


def test_tables_that_cannot_be_drawn():
    cannot_be_drawn(copies_figure, STAGES)
