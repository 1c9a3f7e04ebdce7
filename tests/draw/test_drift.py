"""The drift's picture marks where means are, were and went, and how far off they are."""

import numpy as np
import pandas as pd
import pytest
from helpers_for_draw import NOTE, words

from dynammo.draw.drift import drift_figure
from dynammo.errors import InputError

RANDOM = np.random.default_rng(0)
CENTRES = np.zeros((2, 6))
CENTRES[1, 0] = 4
IMAGES = {
    name: centre + 0.1 * RANDOM.normal(size=(30, 6))
    for name, centre in zip(("basophil", "platelet"), CENTRES, strict=True)
}
SHIFT = np.eye(6)[1]
DISTANCES = pd.DataFrame(
    {"session": [2, 3], "ignored": [1, 2], "followed": [0.1, 0.2], "closest": [4, 4]}
)


def marked(figure, marker: str) -> np.ndarray:
    """Where a marker stands, without the legend's."""
    lines = [line for line in figure.axes[0].get_lines() if line.get_marker() == marker]
    return np.array([line.get_xydata()[0] for line in lines if len(line.get_xdata())])


def test_distances_in_the_plane_are_those_between_means():
    figure = drift_figure(IMAGES, CENTRES + SHIFT, CENTRES + 0.1 * SHIFT, DISTANCES, NOTE)
    now, stale, followed = (marked(figure, marker) for marker in "oXD")
    assert np.linalg.norm(now - stale, axis=1) == pytest.approx(1, abs=0.1)
    assert np.linalg.norm(now - followed, axis=1) == pytest.approx(0.1, abs=0.1)
    assert np.linalg.norm(now[0] - now[1]) == pytest.approx(4, abs=0.1)
    drawn = [line.get_ydata().tolist() for line in figure.axes[1].get_lines()]
    assert drawn == [[1, 2], [0.1, 0.2], [4, 4]]
    written = words(figure)
    assert "basophil, now" in written and "platelet, now" in written and NOTE in written


def test_tables_that_cannot_be_drawn():
    for table, message in ((DISTANCES[:0], "no rows"), (DISTANCES[["session"]], "lacks the col")):
        with pytest.raises(InputError, match=message):
            drift_figure(IMAGES, CENTRES, CENTRES, table, NOTE)
