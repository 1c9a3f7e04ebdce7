"""All streams side by side: accuracy against cost, and the paper's claims as they were judged."""

import numpy as np
from helpers_for_draw import sessions_table, summary_table, words

from dynammo.draw.all_streams import accuracy_against_macs_by_stream, claims_figure
from dynammo.draw.style import look
from dynammo.measure import claims


def test_the_figures_show_every_stream_and_claim():
    summary = summary_table()
    figure = accuracy_against_macs_by_stream({"a": summary, "b": summary}, "note")
    assert "4.0× fewer MACs, \u22123.3 points" in words(figure)
    assert [ax.get_title(loc="left") for ax in figure.axes[:2]] == ["a", "b"]
    assert all(look(method).title in words(figure) for method in summary.method)
    judged = claims.judged({"a": sessions_table(), "b": sessions_table()})
    figure = claims_figure(judged, "note")
    assert "DynaMMo − ACL" in words(figure) and "DynaMMo − last adapter" in words(figure)
    drawn = [x for line in figure.axes[0].get_lines() for x in line.get_xdata()]
    for mean in judged.query("measure == 'average'")["mean"]:
        assert any(np.isclose(x, mean) for x in drawn)
