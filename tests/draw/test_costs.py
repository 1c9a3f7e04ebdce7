"""Pictures of accuracy against cost, and of costs that grow, tell the numbers they are given."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from helpers_for_draw import (
    DRAWN,
    NOTE,
    cannot_be_drawn,
    growth_table,
    line,
    sessions_table,
    summary_table,
    words,
)

from dynammo.catalogue import METHODS
from dynammo.draw.costs import accuracy_against_macs, cost_growth


def against_macs(methods=DRAWN):
    summary = summary_table()
    chosen = summary[summary["method"].isin(methods)]
    return accuracy_against_macs(chosen, sessions_table(methods=methods), NOTE)


def test_growth_is_the_tables_from_zero():
    figure = cost_growth(growth_table(), NOTE)
    np.testing.assert_allclose(line(figure, "acl").get_ydata(), [3, 15, 60])
    np.testing.assert_allclose(line(figure, "acl", 1).get_ydata(), [16, 40, 130])
    np.testing.assert_allclose(line(figure, "acl", 2).get_ydata(), [74, 170, 530])
    assert [ax.get_ylim()[0] for ax in figure.axes] == [0, 0, 0]
    assert "ACL 530" in words(figure) and "at 20 sessions" in words(figure)


def test_annotated_saving_is_the_tables():
    figure = against_macs()
    assert "4.0× fewer MACs, \u22123.3 points" in words(figure)
    assert "MMACs" in figure.axes[0].get_xlabel() and "does not start at 0" in words(figure)
    assert "fewer" not in words(against_macs(["frozen_features", "dynammo"]))


@pytest.mark.parametrize("sessions", [1, 4, 10])
def test_paths_lead_to_the_averages(sessions):
    table = sessions_table(sessions=sessions, methods=METHODS)
    average = table.groupby("method")["accuracy"].mean()
    macs = table[table["session"] == sessions].groupby("method")["macs"].mean()
    costs = {"average_accuracy": average, "average_accuracy_sd": np.nan, "macs": macs}
    figure = accuracy_against_macs(pd.DataFrame(costs).reset_index(), table, NOTE)
    lines = [one.get_ydata() for one in figure.axes[0].get_lines()]
    for method in ("dynammo", "acl", "der"):
        own = table[table["method"] == method].groupby("session")["accuracy"].mean()
        wanted = [100 * own[:t].mean() for t in range(1, sessions + 1)]
        assert any(len(y) == sessions and np.allclose(y, wanted) for y in lines)


def test_points_stay_in_their_place_where_there_is_room():
    figure = against_macs()
    for method, macs, average in (("acl", 124, 84.3), ("dynammo", 31, 81)):
        point = line(figure, method)
        np.testing.assert_allclose([point.get_xdata()[0], point.get_ydata()[0]], [macs, average])


def test_methods_of_equal_cost_stand_side_by_side():
    table = summary_table().assign(average_accuracy=0.8, macs=31_000_000)
    figure = accuracy_against_macs(table, sessions_table(), NOTE)
    x = sorted(line(figure, method).get_xdata()[0] for method in DRAWN if method != "acl")
    assert min(np.diff(x)) > 0.1 and x[0] > 20 and x[-1] == pytest.approx(31)


@pytest.mark.parametrize(
    ("draw", "table"),
    [
        (partial(accuracy_against_macs, sessions=sessions_table()), summary_table()),
        (partial(accuracy_against_macs, summary_table()), sessions_table()),
        (cost_growth, growth_table()),
    ],
)
def test_tables_that_cannot_be_drawn(draw, table):
    cannot_be_drawn(draw, table)
