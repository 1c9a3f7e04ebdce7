"""What lies between adapter sets, drawn: lines, triangles, similarities, what is kept."""

import numpy as np
import pandas as pd
import pytest
from helpers_for_draw import NOTE

from dynammo.draw.between_sets import (
    cosine_figure,
    line_figure,
    others_figure,
    triangle_figure,
    turning_images,
    weight_figure,
)
from dynammo.measure import between_sets
from dynammo.run.learn import learn_stream


def line_table() -> pd.DataFrame:
    shares = np.linspace(0, 1, 5)
    accuracy = 0.6 + 0.3 * shares * (1 - shares)
    return pd.DataFrame(
        {
            "share 1": 1 - shares,
            "share 2": shares,
            "accuracy": accuracy,
            "loss": 1 - 0.5 * shares,
            "session 1": accuracy - 0.1,
            "session 2": accuracy + 0.1,
        }
    )


def test_line_and_weight_figures_draw_their_numbers():
    line = line_table()
    figure = line_figure(line, "session 1", "session 2", NOTE)
    drawn = [tuple(np.round(x.get_ydata(), 6)) for x in figure.axes[0].get_lines()]
    assert tuple(np.round(100 * line.accuracy, 6)) in drawn
    assert any("+7.5 points" in text.get_text() for text in figure.texts)
    bars = weight_figure(line, 2, 0.25, NOTE)
    heights = [bar.get_height() for bar in bars.axes[0].patches]
    assert heights == pytest.approx([57.5, 77.5])
    assert bars.axes[0].get_title(loc="left") == "w = 0.50: 67.5 % over all classes"


def test_images_that_turn_are_those_that_one_end_gets_right():
    labels = np.array([0, 0, 1, 1, 2, 2])
    answers = [np.array([0, 1, 1, 0, 0, 1]), labels * 0, np.array([1, 0, 1, 1, 1, 0])]
    found = turning_images(labels, answers)
    assert found.tolist() == [0, 1, 3]  # lost, gained; 2 stays right, 4 and 5 stay wrong
    assert turning_images(labels, answers, count=1).tolist() == [0]
    image = np.zeros((8, 8, 3), dtype=np.uint8)
    figure = weight_figure(line_table(), 1, 0.25, NOTE, [(image, "a", "a"), (image, "a", "b")])
    assert {"✓ a", "✗ b"} <= {text.get_text() for text in figure.axes[-1].texts}


def test_the_triangle_figure_names_the_best_mix():
    points = pd.DataFrame(between_sets.triangle(3), columns=["share 1", "share 2", "share 3"])
    points["accuracy"] = 0.5 + 0.4 * (points == 1 / 3).all(axis=1)
    points["loss"] = 1 - points.accuracy + 0.1 * points["share 1"]
    figure = triangle_figure(points, ["a", "b", "c"], NOTE)
    assert any("33 %, 33 %, 33 % of a, b, c: 90.0 %" in text.get_text() for text in figure.texts)


def test_other_pictures_are_drawn_from_what_they_are_given(tmp_path, tiny_settings):
    few = tiny_settings.with_changes({"adapter_epochs": 1, "head_epochs": 2, "methods": ["acl"]})
    group = learn_stream(tmp_path, few, "", 0, 1, progress=False)
    chain, scores = group.chain, between_sets.others_scores(group.learners[0])
    figure = others_figure(scores, NOTE)
    assert [ax.get_title(loc="left")[:6] for ax in figure.axes] == ["head 1", "head 2"]
    initial = chain.adapters(None)
    cosines = between_sets.change_cosines(chain.adapter_states, initial.state_dict())
    heat = cosine_figure(cosines, initial.stage_names, NOTE).axes[0]
    assert len(heat.get_yticklabels()) == 8  # two stages, four layers with weights
