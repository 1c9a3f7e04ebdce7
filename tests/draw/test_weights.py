"""Pictures of weights tell shares and movements as they are."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from helpers_for_draw import NOTE, cannot_be_drawn, words

from dynammo.draw.weights import information_by_stage, moved_by_information

SHARES = pd.DataFrame(
    {
        "stage": ["stem", "layer1", "head"],
        "weights": [0.1, 0.85, 0.05],
        "information": [0.6, 0, 0.4],
    }
)
MOVES = pd.DataFrame(
    {
        "strength": [0.0] * 3 + [1000.0] * 3,
        "information": [1e-6, 1e-4, 1e-2] * 2,
        "moved": [1e-3, 2e-3, 4e-3, 1e-3, 1e-3, 5e-4],
        "weights": [500, 90, 10] * 2,
    }
)


def test_shares_are_bars_stage_by_stage():
    figure = information_by_stage(SHARES, NOTE)
    widths = [[bar.get_width() for bar in bars] for bars in figure.axes[0].containers]
    np.testing.assert_allclose(widths, [[10, 85, 5], [60, 0, 40]])
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(SHARES.stage)
    assert "85.0" in words(figure) and NOTE in words(figure)
    top, bottom = sorted(figure.axes[0].get_ylim())
    assert figure.axes[0].get_ylim() == (bottom, top)  # what an image passes first is above


def test_movements_are_lines_over_the_number_of_weights():
    figure = moved_by_information(MOVES, NOTE, limit=3e-3)
    above, below = figure.axes
    lines = {line.get_label(): line.get_ydata() for line in above.get_lines()}
    np.testing.assert_allclose(lines["no springs"], [1e-3, 2e-3, 4e-3])
    np.testing.assert_allclose(lines["springs of strength 1000"], [1e-3, 1e-3, 5e-4])
    assert [bar.get_height() for bar in below.patches] == [500, 90, 10]
    assert "no stiffer" in words(figure)
    assert "no stiffer" not in words(moved_by_information(MOVES, NOTE))


@pytest.mark.parametrize(
    ("draw", "table"),
    [(information_by_stage, SHARES), (partial(moved_by_information, limit=1), MOVES)],
)
def test_tables_that_cannot_be_drawn(draw, table):
    cannot_be_drawn(draw, table)
