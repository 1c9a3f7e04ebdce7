"""Heat maps tell the numbers they are given, for few methods and for all of them."""

import numpy as np
import pandas as pd
import pytest
from helpers_for_draw import NOTE, cannot_be_drawn, confusion_table
from matplotlib.text import Text

from dynammo.catalogue import METHODS
from dynammo.draw.heat_maps import (
    accuracy_matrices,
    confusion_and_difference,
    confusion_matrices,
    cosines_between,
    spoken_for,
)
from dynammo.errors import InputError


def accuracy_table(methods=("dynammo", "acl"), sessions: int = 3) -> pd.DataFrame:
    rows = [
        {"method": method, "session": i, "evaluated_session": j, "accuracy": 0.9 - 0.1 * (i - j)}
        for method in methods
        for i in range(1, sessions + 1)
        for j in range(1, i + 1)
    ]
    return pd.DataFrame(rows)


def panel(figure, title: str):
    return next(ax for ax in figure.axes if ax.get_title(loc="left").replace("\n", " ") == title)


def test_matrices_tell_lower_triangle():
    figure = accuracy_matrices(accuracy_table(), NOTE)
    texts = sorted(text.get_text() for text in panel(figure, "DynaMMo").texts)
    assert texts == ["70", "80", "80", "90", "90", "90"]


def test_every_method_has_its_matrix():
    figure = accuracy_matrices(accuracy_table(METHODS, 4), NOTE)
    titles = [ax.get_title(loc="left").replace("\n", " ") for ax in figure.axes]
    assert titles[: len(METHODS)] == [kind.title for kind in METHODS.values()]
    assert len(panel(figure, "last adapter").texts) == 10
    # The names stay apart.
    boxes = [ax._left_title.get_window_extent() for ax in figure.axes[: len(METHODS)]]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_matrices_of_fewer_runs_than_others_have_a_star():
    table = accuracy_table()
    runs = [table.assign(order_seed=order, train_seed=1) for order in range(3)]
    runs[1:] = [run[run.method == "acl"] for run in runs[1:]]
    figure = accuracy_matrices(pd.concat(runs), NOTE)
    assert panel(figure, "DynaMMo*") and panel(figure, "ACL")
    assert any("* 1 of 3 runs" in text.get_text() for text in figure.texts)


def test_letters_too_small_to_read_are_left_out():
    figure = accuracy_matrices(accuracy_table(METHODS, 10), NOTE)
    assert len(panel(figure, "ACL").texts) == 0
    assert len(panel(figure, "ACL").collections[0].get_array().compressed()) == 55
    few = accuracy_matrices(accuracy_table(sessions=10), NOTE)
    assert len(panel(few, "ACL").texts) == 55


def test_confusion_names_classes_and_parts_sessions():
    figure = confusion_matrices(confusion_table(), [1, 1, 2], note=NOTE)
    cells = {t.get_position(): t.get_text() for t in figure.axes[0].texts}
    assert cells[(0.5, 1.5)] == "25" and (0.5, 2.5) not in cells  # under 0.5 % is left empty
    names = {text.get_text().replace("\n", " ") for text in figure.findobj(Text)}
    assert "immature granulocyte" in names
    assert len(figure.axes[0].get_lines()) == 2


def test_the_difference_of_two_confusions_is_in_points():
    table = confusion_table()
    table.loc[(table.method == "dynammo") & (table.share == 0.25), "share"] = 0.35
    figure = confusion_and_difference(table, "acl", "dynammo", [1, 1, 2], note=NOTE)
    left, right = panel(figure, "ACL"), panel(figure, "DynaMMo − ACL")
    assert {t.get_position(): t.get_text() for t in left.texts}[(0.5, 1.5)] == "25"
    assert [(t.get_position(), t.get_text()) for t in right.texts] == [((0.5, 1.5), "+10")]
    with pytest.raises(InputError, match="lacks the method.*wa"):
        confusion_and_difference(table, "acl", "wa", note=NOTE)


SPOKEN = pd.DataFrame(
    {"session": [1, 1, 2, 2], "extractor": [1, 2, 1, 2], "logit": [3.0, 0.5, -1.0, 2.0]}
)


def test_extractors_stand_in_columns_and_0_in_the_middle_of_the_colours():
    ax, bar = spoken_for(SPOKEN, NOTE).axes
    cells = {text.get_position(): text.get_text() for text in ax.texts}
    assert cells[(1.5, 0.5)] == "0.5" and cells[(0.5, 1.5)] == "-1.0"
    assert bar.get_ylim() == (-3, 3)
    assert ax.get_xlabel().startswith("extractor") and ax.get_ylabel().endswith("session")


def test_cosines_leave_out_a_class_and_itself_and_part_sessions():
    names = ["platelet", "immature_granulocyte", "basophil"]
    cosines = np.array([[1, 0.5, 0.2], [0.5, 1, 0.7], [0.2, 0.7, 1]])
    ax = cosines_between(cosines, names, [1, 1, 2], NOTE).axes[0]
    assert (
        sorted(text.get_text() for text in ax.texts) == ["0.20"] * 2 + ["0.50"] * 2 + ["0.70"] * 2
    )
    assert len(ax.get_lines()) == 2
    assert "immature granulocyte" in [text.get_text() for text in ax.get_xticklabels()]


@pytest.mark.parametrize(
    ("draw", "table"),
    [
        (spoken_for, SPOKEN),
        (accuracy_matrices, accuracy_table()),
        (confusion_matrices, confusion_table()),
    ],
)
def test_tables_that_cannot_be_drawn(draw, table):
    cannot_be_drawn(draw, table)
