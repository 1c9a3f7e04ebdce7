"""What merging does, drawn: numbers and what rules make of them, statistics, a path."""

import numpy as np
import pandas as pd
import pytest
from helpers_for_draw import NOTE, cannot_be_drawn, words
from matplotlib.colors import to_rgb

from dynammo.draw.between_sets import session_look
from dynammo.draw.merging import numbers_figure, path_figure, pooled_figure
from dynammo.errors import InputError

CHANGES = pd.DataFrame({"agree": [3.0, 2.0, 2.5], "differ": [4.0, -3.0, 1.0]})
MERGED = pd.DataFrame({"agree": [2.5, 3.0], "differ": [2 / 3, 4.0]}, index=["mean", "MagMax"])
STATISTICS = pd.DataFrame({"mean": [-1.0, 2.0], "variance": [0.5, 0.25]})
POOLED = pd.DataFrame({"mean": 0.5, "variance": [0.375, 2.625]}, index=["averaged", "mixture"])
PATH = pd.DataFrame(
    {"name": ["beginning", "session 1", "session 2", "mean of 2"], "x": [0, 1, 2, 1.5], "y": 0.5}
)


def test_each_number_has_its_sessions_as_bars_and_a_mark_for_each_rule():
    figure = numbers_figure(CHANGES, MERGED, NOTE)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["agree", "differ"]
    for ax, name in zip(figure.axes, CHANGES, strict=True):
        assert [bar.get_height() for bar in ax.patches] == list(CHANGES[name])
        marks = [x.get_ydata()[0] for x in ax.get_lines() if len(x.get_ydata()) == 1]
        assert marks == list(MERGED[name])
        names = [label.get_text() for label in ax.get_xticklabels()]
        assert names == ["session 1", "session 2", "session 3", "mean", "MagMax"]
    assert NOTE in words(figure) and "+0.67" in words(figure)


def test_numbers_and_what_is_made_of_them_must_be_the_same():
    with pytest.raises(InputError, match="the same numbers"):
        numbers_figure(CHANGES, MERGED[["agree"]], NOTE)
    with pytest.raises(InputError, match="the same numbers"):
        numbers_figure(CHANGES.iloc[:0], MERGED, NOTE)


def test_curves_are_densities_with_the_means_and_variances_given():
    figure = pooled_figure(STATISTICS, POOLED, "values", NOTE)
    (ax,) = figure.axes
    rows = pd.concat([STATISTICS, POOLED])
    for curve, (_, row) in zip(ax.get_lines(), rows.iterrows(), strict=True):
        x, y = curve.get_data()
        assert np.trapezoid(y, x) == pytest.approx(1, abs=0.01)
        assert np.trapezoid(x * y, x) == pytest.approx(row["mean"], abs=0.02)
        spread = np.trapezoid((x - row["mean"]) ** 2 * y, x)
        assert spread == pytest.approx(row.variance, rel=0.05)
    assert ax.get_xlabel() == "values"
    cannot_be_drawn(lambda table, note: pooled_figure(table, POOLED, "values", note), STATISTICS)


def test_the_path_has_its_points_in_place_and_sessions_in_their_colours():
    arrows = [("beginning", "session 1"), ("session 1", "session 2")]
    figure = path_figure(PATH, arrows, NOTE)
    (ax,) = figure.axes
    drawn = {line.get_label(): line for line in ax.get_lines()}
    for row in PATH.itertuples():
        assert (drawn[row.name].get_xdata()[0], drawn[row.name].get_ydata()[0]) == (row.x, row.y)
    assert to_rgb(drawn["session 2"].get_color()) == session_look(2).colour
    assert drawn["mean of 2"].get_marker() == "*"
    assert len(ax.texts) == 2  # an arrow each
    assert ax.get_aspect() == 1  # distances can be compared
    cannot_be_drawn(lambda table, note: path_figure(table, [], note), PATH)
