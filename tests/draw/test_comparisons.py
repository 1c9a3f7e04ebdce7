"""Comparisons of variants draw their means, and their captions say what was found."""

import numpy as np
import pandas as pd
import pytest

from dynammo.draw.comparisons import (
    average_by_run,
    contenders_figure,
    contenders_finding,
    merging_figure,
    merging_finding,
    plain_mean,
    variants_figure,
    variants_finding,
)
from dynammo.draw.style import points_over
from dynammo.errors import InputError

METHODS = ("acl", "dynammo", "last_adapter")


def merging_table() -> pd.DataFrame:
    rows = [
        (strategy, choice, seed, base + gain + 0.01 * seed)
        for strategy, base in (("uniform mean", 0.8), ("MagMax", 0.7), ("last set alone", 0.79))
        for choice, gain in (("averaged", 0.0), ("measured again", 0.05))
        for seed in (1, 2, 3)
    ]
    table = pd.DataFrame(rows, columns=["strategy", "statistics", "train_seed", "average_accuracy"])
    return table.assign(order_seed=0)


def test_captions_say_what_was_found():
    table = merging_table()
    text = merging_finding(table)
    assert "uniform mean reaches 82.0 %" in text and "87.0 %" in text
    assert "statistics measured again" in text and "+5.0 ± 0.0 points" in text
    assert "3 runs" in text
    plain = table[table.statistics == "averaged"]
    assert "no other way is better (3 runs)" in merging_finding(plain)


def test_any_choice_for_batch_norm_may_stand_alone():
    table = merging_table()
    alone = table[table.statistics == "measured again"]
    assert plain_mean(table) == ("uniform mean", "averaged")
    assert plain_mean(alone) == ("uniform mean", "measured again")
    text = merging_finding(alone)
    assert "uniform mean with statistics measured again reaches 87.0 %" in text
    (ax,) = merging_figure(alone, "made up").axes
    assert any(list(line.get_xdata()) == pytest.approx([87, 87]) for line in ax.get_lines())


def test_ways_of_merging_need_the_mean_to_be_compared_with():
    table = merging_table()
    with pytest.raises(InputError, match="compared with the 'uniform mean'"):
        merging_figure(table[table.strategy == "MagMax"], "made up")


def variants_table() -> pd.DataFrame:
    rows = [
        (variant, method, 0, 1, session, base + step - 0.1 * session)
        for variant, step in (("few", 0.0), ("many", 0.1))
        for method, base in (("acl", 0.9), ("dynammo", 0.8), ("last_adapter", 0.85 - step))
        for session in (1, 2)
    ]
    columns = ["variant", "method", "order_seed", "train_seed", "session", "accuracy"]
    return pd.DataFrame(rows, columns=columns)


def test_variants_caption_counts_where_merging_wins():
    table = average_by_run(variants_table())
    text = variants_finding(table, list(METHODS))
    assert text == (
        "DynaMMo: from 65.0 % (few) to 75.0 % (many); merging beats the last set alone in 1 of 2 "
        "cases (1 run each)."
    )


def drawn(figure) -> list[tuple]:
    (ax,) = figure.axes
    return [tuple(np.round(line.get_ydata(), 6)) for line in ax.get_lines()]


def test_figures_draw_the_means():
    figure = variants_figure(variants_table(), "Memory", "made up")
    assert (65.0, 75.0) in drawn(figure) and (75.0, 85.0) in drawn(figure)
    assert figure.axes[0].get_title(loc="left") == "Memory"
    merging = merging_figure(merging_table(), "made up")
    (ax,) = merging.axes
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["MagMax", "last set alone", "uniform mean"]
    assert len(ax.get_legend().get_texts()) == 2


def test_contenders_are_compared_seed_by_seed():
    rows = [
        (label, 0, seed, base + 0.01 * seed * slope, base)
        for label, base, slope in (("ACL", 0.8, 1), ("ours", 0.9, 2))
        for seed in (1, 2, 3)
    ]
    columns = ["label", "order_seed", "train_seed", "average_accuracy", "last_accuracy"]
    table = pd.DataFrame(rows, columns=columns)
    runs = table.set_index(columns[:3])["average_accuracy"]
    points = points_over(runs, "ACL").groupby("label").mean()
    assert points.to_dict() == pytest.approx({"ACL": 0, "ours": 12})
    groups = {"mean": ["ours"], "sets": ["ACL"]}
    figure = contenders_figure(table, "ACL", groups, "made up")
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["mean", "ours", "sets", "ACL"]
    assert figure.axes[0].get_title(loc="left") == "Best: ours, +12.0 points on ACL"
    drawn = [one.get_xdata()[0] for one in figure.axes[0].get_lines() if len(one.get_xdata()) == 1]
    assert drawn == pytest.approx([12, 0])
    fair = {"cheating": ["ours"], "sets": ["ACL"]}
    assert contenders_finding(points, "ACL", fair) == "None is ahead of ACL"


def test_a_table_without_its_columns_is_refused():
    with pytest.raises(InputError, match="lacks the column"):
        merging_figure(merging_table().drop(columns="statistics"), "made up")
