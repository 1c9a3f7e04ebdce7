"""The strip shows each method's accuracies and what it costs, side by side."""

import pandas as pd
import pytest
from helpers_for_draw import NOTE, cannot_be_drawn, words

from dynammo.draw.strip import PANELS, forget_adapt_average
from dynammo.errors import InputError

MACS = {"fine_tuning": 28e6, "acl": 120e6, "dynammo": 30e6}


def accuracy_table(methods=tuple(MACS)) -> pd.DataFrame:
    rows = [("session", "evaluated_session", "accuracy", "images"), (1, 1, 0.9, 10)]
    rows += [(2, 1, 0.2, 10), (2, 2, 0.8, 30)]
    table = pd.DataFrame(rows[1:], columns=rows[0])
    return pd.concat([table.assign(method=m) for m in methods])[["method", *rows[0]]]


def draw(table, note=NOTE):
    return forget_adapt_average(table, MACS, note)


def test_each_panel_has_its_numbers_its_total_and_its_cost():
    figure = draw(accuracy_table())
    panels, bars = figure.axes[:3], figure.axes[3:]
    for ax in panels:
        assert [text.get_text() for text in ax.texts[:3]] == ["90", "20", "80"]
        assert "65 % over all classes at the end" in ax.get_xlabel()  # a session has more images
    widths = [bar.patches[0].get_width() for bar in bars]
    assert widths == [28, 120, 30] and len({ax.get_xlim() for ax in bars}) == 1
    written = words(figure)
    assert "120 MMACs, 4.0 times DynaMMo's" in written and "30 MMACs, " not in written
    assert all(message in written for _, message, _ in PANELS)
    assert NOTE in written


def test_nothing_is_cut_off_and_nothing_overlaps():
    figure = draw(accuracy_table())
    figure.draw_without_rendering()
    boxes = [ax.get_tightbbox() for ax in figure.axes]
    whole = figure.bbox
    for box in boxes:
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= whole.x1 and box.y1 <= whole.y1
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_tables_that_cannot_be_drawn():
    cannot_be_drawn(draw, accuracy_table())
    with pytest.raises(InputError, match="accuracy and MACs of acl"):
        draw(accuracy_table(("fine_tuning", "dynammo")))
