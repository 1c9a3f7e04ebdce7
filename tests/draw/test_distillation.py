"""Pictures of teachers and of heads tell shares and lengths as they are."""

import numpy as np
import pytest
from helpers_for_draw import NOTE, words

from dynammo.draw.distillation import row_lengths, sureness
from dynammo.errors import InputError


def test_sureness_counts_each_image_once():
    largest = {1.0: np.array([0.99, 1.0, 0.97, 0.61]), 5.0: np.array([0.5, 0.52, 0.55, 0.51])}
    figure = sureness(largest, 2, NOTE)
    steps = [patch.get_data() for patch in figure.axes[0].patches]
    assert len(steps) == 2
    for values, edges, _ in steps:
        assert values.sum() == pytest.approx(100)
        assert (edges[0], edges[-1]) == (0.5, 1)  # from guessing to certain
    assert steps[0].values[-1] == 75
    assert "temperature 5" in words(figure) and NOTE in words(figure)


@pytest.mark.parametrize("largest", [{}, {1.0: np.array([])}])
def test_no_answers_cannot_be_drawn(largest):
    with pytest.raises(InputError, match="no answers"):
        sureness(largest, 2, NOTE)


def test_rows_are_bars_and_their_means_lines():
    before, after = np.array([1.0, 3.0, 4.0, 4.0]), np.array([1.0, 3.0, 2.0, 2.0])
    names = ["platelet", "immature granulocyte", "basophil", "monocyte"]
    figure = row_lengths(before, after, 2, names, NOTE)
    (ax,) = figure.axes
    heights = [[bar.get_height() for bar in bars] for bars in ax.containers]
    np.testing.assert_allclose(heights, [before, after])
    means = [lines.get_segments()[0][0, 1] for lines in ax.collections]
    assert means == [2, 2]
    assert all(word in words(figure) for word in ("old classes", "new classes", "before aligning"))
    assert [t.get_text() for t in ax.get_xticklabels()][1] == "immature\ngranulocyte"
