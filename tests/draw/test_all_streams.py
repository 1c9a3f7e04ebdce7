"""All streams side by side: accuracy against cost, and the paper's claims as they were judged."""

import numpy as np
from helpers_for_draw import sessions_table, summary_table, words
from matplotlib.colors import to_hex

from dynammo.draw.all_streams import accuracy_and_cost_by_stream, claims_figure
from dynammo.draw.style import look
from dynammo.measure import claims
from dynammo.measure.intervals import over_runs


def test_the_figures_show_every_stream_and_claim():
    summary = summary_table()
    table = over_runs(sessions_table())
    best = summary.sort_values("average_accuracy", ascending=False).method
    streams = {"a": table, "b": table}, {"a": summary, "b": summary}
    figure = accuracy_and_cost_by_stream(best, *streams, "")
    gap = -table.query("method == 'dynammo' and other == 'acl' and measure == 'average'")["mean"]
    assert f"{gap.item():.1f} to {gap.item():.1f} points over DynaMMo" in words(figure)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["a", "b", "cost"]
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == [look(method).title for method in best]
    row = names.index(look("acl").title)
    drawn = [x for line in figure.axes[0].get_lines() for x, y in line.get_xydata() if y == row]
    assert any(np.isclose(drawn, gap.item()))
    costs = [x for line in figure.axes[2].get_lines() for x, y in line.get_xydata() if y == row]
    assert set(costs) == {summary.set_index("method").macs["acl"] / 1e6}


def test_a_claim_is_drawn_with_its_interval_its_bound_and_its_verdict():
    table = over_runs(sessions_table())
    single = over_runs(sessions_table(seeds=1))  # no interval
    judged = claims.judged({"a": table, "b": table, "one run": single})
    figure = claims_figure(judged, "note")
    assert "DynaMMo − ACL" in words(figure) and "DynaMMo − last adapter" in words(figure)
    assert "over runs only or nothing" in words(figure)
    assert [ax.get_title(loc="left") for ax in figure.axes[:3]] == ["a", "b", "one run"]
    for ax, (stream, own) in zip(figure.axes, judged.groupby("stream"), strict=False):
        lines = [x for group in ax.collections for path in group.get_paths() for x in path.vertices]
        places = np.array([*lines, *(p for line in ax.get_lines() for p in line.get_xydata())])
        for y, row in enumerate(own.itertuples()):
            drawn = places[np.abs(places[:, 1] - y) < 0.4, 0]
            wanted = [row.mean, row.at_least, *(() if stream == "one run" else (row.low, row.high))]
            assert all(np.isclose(drawn, x).any() for x in wanted), (stream, row)


def test_verdicts_differ_in_colour_and_in_marker():
    table = over_runs(sessions_table()).query("method == 'dynammo' and measure == 'average'")
    told = table.set_index("other").loc[["acl", "last_adapter", "frozen_features"]].reset_index()
    told = told.assign(low=[0, -9, -9], high=[1, 1, -8], mean=[0.5, -4, -8.5])
    ax = claims_figure(claims.judged({"a": told}), "note").axes[0]
    marks = [line for line in ax.get_lines() if line.get_marker() in ("o", "X", "D")]
    looks = {
        line.get_marker(): to_hex(line.get_color()) for line in marks if line.get_xydata().size
    }
    assert len(looks) == len(set(looks.values())) == 3
