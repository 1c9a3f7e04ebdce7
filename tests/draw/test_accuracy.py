"""Curves of accuracy and of losses tell the numbers they are given."""

import numpy as np
import pandas as pd
import pytest
from helpers_for_draw import DRAWN, NOTE, cannot_be_drawn, line, losses_table, sessions_table, words

from dynammo.catalogue import FAMILIES, METHODS
from dynammo.draw.accuracy import accuracy_by_family, training_losses


def test_means_are_the_tables():
    table = sessions_table()
    figure = accuracy_by_family(table, NOTE)
    for method in DRAWN:
        mean = table[table["method"] == method].groupby("session")["accuracy"].mean()
        np.testing.assert_allclose(line(figure, method).get_ydata(), 100 * mean)
    lowest = 100 * table["accuracy"].min()
    assert figure.axes[0].get_ylim()[0] == 10 * ((lowest - 2) // 10)
    assert NOTE in words(figure) and "3 runs" in words(figure)


def test_every_family_has_a_panel():
    table = sessions_table(methods=METHODS)
    figure = accuracy_by_family(table, NOTE)
    titles = [ax.get_title(loc="left") for ax in figure.axes if ax.get_title(loc="left")]
    assert titles == [title.capitalize() for title in FAMILIES.values()]
    for method, kind in METHODS.items():
        mean = table[table["method"] == method].groupby("session")["accuracy"].mean()
        panel = list(FAMILIES).index(kind.family)
        np.testing.assert_allclose(line(figure, method, panel).get_ydata(), 100 * mean)
    key = figure.axes[len(titles)].get_legend().get_texts()
    named = {text.get_text() for text in key}
    assert named == {"DynaMMo", "ACL", "joint training", "fine-tuning", "chance"}
    for family, ax in zip(FAMILIES, figure.axes, strict=False):
        own = table[table["method"].map(lambda name, f=family: METHODS[name].family == f)]
        assert ax.get_ylim() == (10 * ((100 * own["accuracy"].min() - 2) // 10), 101)


def test_methods_of_a_student_have_a_panel_too():
    table = sessions_table(methods=["acl", *(f"mine_{i}" for i in range(7))])
    assert "mine 6" in words(figure := accuracy_by_family(table, NOTE))
    assert "One's own" in words(figure)


def test_note_tells_runs():
    table = sessions_table()
    some = table[(table["method"] != "acl") | (table["train_seed"] == 0)]
    assert "3 runs (of 1 for some" in words(accuracy_by_family(some, NOTE))


@pytest.mark.parametrize("seeds", [1, 2])
def test_few_runs(seeds):
    table = sessions_table(seeds)
    figure = accuracy_by_family(table, NOTE)
    figure.draw_without_rendering()
    assert ("One run" in words(figure)) == (seeds == 1)


def test_losses_are_the_tables():
    figure = training_losses(losses_table(), NOTE)
    np.testing.assert_allclose(figure.axes[0].get_lines()[1].get_ydata(), [2, 0.7])
    assert "Training loss of the adapters" in words(figure)


def test_losses_have_a_panel_for_each_method():
    for method, title in (("adapters", "of the adapters"), ("podnet", "of PODNet")):
        figure = training_losses(losses_table().assign(method=method), NOTE)
        assert f"Training loss {title}" in words(figure)
    two = pd.concat([losses_table().assign(method=method) for method in ("wa", "lwf")])
    titles = [ax.get_title(loc="left") for ax in training_losses(two, NOTE).axes[:2]]
    assert titles == ["Training loss of LwF", "Training loss of WA"]


@pytest.mark.parametrize(
    ("draw", "table"),
    [
        (accuracy_by_family, sessions_table()),
        (training_losses, losses_table()),
    ],
)
def test_tables_that_cannot_be_drawn(draw, table):
    cannot_be_drawn(draw, table)
