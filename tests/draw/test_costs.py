"""Pictures of accuracy and cost, and of costs that grow, tell the numbers they are given."""

import numpy as np
import pytest
from helpers_for_draw import DRAWN, NOTE, cannot_be_drawn, growth_table, line, sessions_table, words

from dynammo.draw.costs import accuracy_and_cost, average_and_cost, cost_bars, cost_growth_figure
from dynammo.errors import InputError


def beside(methods=DRAWN):
    return accuracy_and_cost(average_and_cost(sessions_table(methods=methods)), NOTE)


def test_growth_is_the_tables_from_zero():
    figure = cost_growth_figure(growth_table(), NOTE)
    np.testing.assert_allclose(line(figure, "acl").get_ydata(), [3, 15, 60])
    np.testing.assert_allclose(line(figure, "acl", 1).get_ydata(), [16, 40, 130])
    np.testing.assert_allclose(line(figure, "acl", 2).get_ydata(), [74, 170, 530])
    assert [ax.get_ylim()[0] for ax in figure.axes] == [0, 0, 0]
    assert "ACL 530" in words(figure) and "at 20 sessions" in words(figure)


def test_methods_are_compared_run_by_run():
    table = sessions_table()
    table = table[(table["method"] != "last_adapter") | (table["order_seed"] > 0)]
    found = average_and_cost(table).set_index(["method", "order_seed"])
    run = table.query("order_seed == 1").groupby("method")["accuracy"].mean()
    wanted = 100 * (run["acl"] - run["dynammo"])
    assert found.points_over_dynammo["acl", 1] == pytest.approx(wanted)
    assert found.macs["acl", 1] == 4 * 31e6  # after the last session
    assert found.points_over_dynammo["dynammo"].abs().max() == 0
    assert list(found.loc["last_adapter"].index) == [1, 2]
    means = found.groupby("method", sort=False)["average_accuracy"].mean()
    assert means.is_monotonic_decreasing
    alone = average_and_cost(table[table["method"] == "acl"])
    assert alone["points_over_dynammo"].isna().all()


def test_pictures_tell_points_costs_and_what_was_saved():
    table = sessions_table(seeds=1).assign(accuracy=0.8)
    table.loc[table["method"] == "acl", "accuracy"] = 0.85
    table.loc[table["method"] == "frozen_features", "accuracy"] = 0.5
    figure = accuracy_and_cost(average_and_cost(table), NOTE)
    told = words(figure)
    assert (
        "DynaMMo beside ACL: 4.0 times fewer multiply-accumulates, 5.0 points less accurate" in told
    )
    assert line(figure, "acl").get_xdata() == pytest.approx([5])
    assert "\u221230" in told  # too far away to draw to scale
    bars = [bar.get_width() for bar in figure.axes[1].patches]
    assert bars == pytest.approx([124, 31, 31, 31, 31]) and "MMACs" in told
    assert [name.get_text() for name in figure.axes[0].get_yticklabels()][0] == "ACL  85.0 %"
    assert "fewer" not in words(beside(["frozen_features", "dynammo"]))


def test_bars_are_of_one_time_on_an_axis_for_all():
    table = growth_table()
    figure = cost_bars(table, 5, NOTE)
    widths = [bar.get_width() for bar in figure.axes[0].patches]
    own = table[table["sessions"] == 5].set_index("method")["macs"] / 1e9
    assert sorted(widths) == pytest.approx(sorted(own))
    assert figure.axes[0].get_xlim()[1] > 60 and "ACL takes 5.0 times" in words(figure)
    with pytest.raises(InputError, match="after 3 sessions"):
        cost_bars(table, 3, NOTE)


def test_tables_that_cannot_be_drawn():
    cannot_be_drawn(cost_growth_figure, growth_table())
    cannot_be_drawn(lambda table, note: average_and_cost(table), sessions_table())
