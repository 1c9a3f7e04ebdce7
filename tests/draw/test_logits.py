"""Pictures of training tell what became of old logits, step by step."""

import numpy as np
import pandas as pd
from helpers_for_draw import NOTE, cannot_be_drawn, words

from dynammo.draw.logits import old_logits

STEPS = pd.DataFrame(
    {
        "training": ["new images alone"] * 3 + ["all images"] * 2,
        "step": [0, 1, 2, 0, 1],
        "own": [2.0, 0.5, -1.0, 2.0, 2.5],
        "new": [0.0, 1.0, 2.0, 0.0, 0.1],
        "right": [1, 0.4, 0, 1, 0.9],
    }
)


def test_each_training_has_a_panel_with_its_own_numbers():
    figure = old_logits(STEPS, NOTE)
    alone, every, below, _ = figure.axes
    assert [ax.get_title(loc="left") for ax in (alone, every)] == ["new images alone", "all images"]
    lines = {line.get_label(): line.get_ydata() for line in alone.get_lines()}
    np.testing.assert_allclose(lines["its own class"], [2, 0.5, -1])
    np.testing.assert_allclose(lines["the largest of a new class"], [0, 1, 2])
    np.testing.assert_allclose(below.get_lines()[0].get_ydata(), [100, 40, 0])
    assert every.get_ylim() == alone.get_ylim()  # a difference looks as big as it is
    assert NOTE in words(figure)


def test_tables_that_cannot_be_drawn():
    cannot_be_drawn(old_logits, STEPS)
