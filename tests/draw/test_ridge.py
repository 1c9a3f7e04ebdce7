"""The penalty that is marked is the one with the least error on images held out."""

import numpy as np
import pandas as pd
from helpers_for_draw import NOTE, cannot_be_drawn, words

from dynammo.draw.ridge import penalty_curve

ERRORS = pd.DataFrame(
    {
        "penalty": [1e-2, 1.0, 1e4],
        "solved_for": [0.0, 0.05, 0.3],
        "held_out": [0.2, 0.1, 0.31],
    }
)


def test_both_errors_are_drawn_and_the_choice_is_marked():
    figure = penalty_curve(ERRORS, NOTE)
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[0].get_lines()}
    np.testing.assert_allclose(lines["images held out"], ERRORS.held_out)
    np.testing.assert_allclose(lines["images solved for"], ERRORS.solved_for)
    assert "chosen: 1" in words(figure).splitlines() and figure.axes[0].get_ylim()[0] == 0


def test_tables_that_cannot_be_drawn():
    cannot_be_drawn(penalty_curve, ERRORS)
