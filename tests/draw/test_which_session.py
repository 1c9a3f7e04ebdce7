"""What heads say of an image, and what becomes of all of them."""

import numpy as np
import pandas as pd
import pytest
from helpers_for_draw import NOTE, cannot_be_drawn, words

from dynammo.draw.style import look
from dynammo.draw.which_session import OUTCOMES, answers_figure, heads_figure
from dynammo.errors import InputError

SHARES = pd.DataFrame(
    [("dynammo", 0.8, 0.05, 0.15, 0.93), ("acl", 0.82, 0.02, 0.16, 0.97)],
    columns=["method", *OUTCOMES, "told"],
)


def heads_table(data, image: int) -> pd.DataFrame:
    """Head 2 is surest; what others leave is shared by a head's classes."""
    rows = []
    for head, others in ((1, 0.7), (2, 0.1)):
        own = [data.class_names[label] for label in data.classes(head)]
        said = [(1 - others) / len(own)] * len(own) + [others]
        rows += [(image, head, *pair) for pair in zip([*own, "others"], said, strict=True)]
    return pd.DataFrame(rows, columns=["image", "head", "output", "probability"])


def test_heads_say_their_probabilities_and_the_least_others_is_believed(blobs):
    images = [0, len(blobs.test) - 1]
    table = pd.concat([heads_table(blobs, image) for image in images])
    figure = heads_figure(blobs, images, table, NOTE)
    panels = np.reshape(figure.axes, (2, 3))
    for row, image in zip(panels, images, strict=True):
        assert np.array_equal(row[0].images[0].get_array(), blobs.test.images[image])
        assert blobs.class_names[blobs.test.labels[image]] in row[0].get_xlabel()
        widths = [bar.get_width() for ax in row[1:] for bar in ax.patches]
        assert widths == pytest.approx(list(100 * table[table.image == image].probability))
        believed = ["believed" in [text.get_text() for text in ax.texts] for ax in row[1:]]
        assert believed == [False, True]
    cannot_be_drawn(lambda table, note: heads_figure(blobs, images, table, note), table)


def test_outcomes_add_up_and_the_scenario_that_is_told_is_marked():
    figure = answers_figure(SHARES, NOTE)
    (ax,) = figure.axes
    assert [name.get_text() for name in ax.get_yticklabels()] == [
        look(method).title for method in SHARES.method[::-1]
    ]
    ends = [bars[0].get_x() + bars[0].get_width() for bars in ax.containers]
    assert ends == pytest.approx([82, 84, 100])  # ACL's, which is lowest
    told = ax.get_lines()[0].get_xdata()
    assert list(told) == pytest.approx([97, 93])
    assert "right if the session were told" in words(figure)


def test_shares_that_do_not_add_up_are_refused():
    with pytest.raises(InputError, match="add up to 1"):
        answers_figure(SHARES.assign(right=0.5), NOTE)
    cannot_be_drawn(answers_figure, SHARES)
