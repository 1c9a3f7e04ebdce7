"""The sweep of memory, epochs and sessions: differences run by run, one panel a cell."""

import numpy as np
import pandas as pd
import pytest
from helpers_for_draw import words

from dynammo.draw.sweep import sweep_figure, to_dynammo
from dynammo.errors import InputError


def table():
    rows = [
        {
            "sessions": sessions,
            "memory": memory,
            "epochs": epochs,
            "method": method,
            "order_seed": order,
            "train_seed": 1,
            # Orders differ by ten points, methods by one to three: only pairs tell them apart.
            "average_accuracy": 0.5 + order / 10 + ahead * (1 + order) / 100,
        }
        for sessions in (2, 4)
        for memory in (16, 40)
        for epochs in (3, 10, 30)
        for method, ahead in (("dynammo", 0), ("acl", 2), ("last_adapter", -1))
        for order in (0, 1)
    ]
    return pd.DataFrame(rows)


def test_differences_are_taken_run_by_run():
    found = to_dynammo(table())
    assert set(found.index.unique("method")) == {"acl", "last_adapter"}
    assert np.allclose(found.loc["acl", "mean"], 3) and np.allclose(found.loc["acl", "std"], 2**0.5)
    assert np.allclose(found.loc["last_adapter", "mean"], -1.5)


def test_each_memory_and_number_of_sessions_has_a_panel_with_distances_below():
    apart = table()[["sessions", "memory", "epochs"]].drop_duplicates()
    apart["distance"] = apart.epochs / 100 + apart.memory / 1000
    figure = sweep_figure(table(), apart, "a test")
    titled = {ax.get_title(loc="left") for ax in figure.axes}
    for memory in (16, 40):
        for sessions in (2, 4):
            assert f"memory of {memory}, {sessions} sessions" in titled
    assert "10\n0.14" in words(figure) and "30\n0.32" in words(figure)
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    np.testing.assert_allclose(lines["ACL"].get_ydata(), 3)


def test_an_empty_table_is_refused():
    with pytest.raises(InputError, match="sweep table"):
        sweep_figure(table().iloc[:0], pd.DataFrame(), "a test")
