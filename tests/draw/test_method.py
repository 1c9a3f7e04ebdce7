"""The diagram of the method shows the numbers of the run."""

import pytest
from helpers_for_draw import NOTE, words

from dynammo.draw.method import method_diagram, shown_sessions
from dynammo.errors import InputError


@pytest.mark.parametrize("sessions", [1, 2, 5, 10])
def test_diagram_shows_the_runs_numbers(sessions):
    stages = ["stem", "layer1", "layer2"]
    figure = method_diagram([3] * sessions, stages, stages[1:], "ResNet-18", 60, NOTE)
    written = words(figure)
    for part in (*stages, f"Session {sessions}", f"{3 * sessions} classes", "ResNet-18", NOTE):
        assert part in written
    assert f"ACL predicts in {sessions} pass" in written and "60 images" in written
    assert f"equally many of each class ({60 // (3 * sessions)} in the end)" in written
    assert ("Session 4" in written) == (sessions == 5)


def test_diagram_leaves_out_the_middle():
    assert shown_sessions(5) == [1, 2, 3, 4, 5]
    assert shown_sessions(10) == [1, 2, 3, None, 10]


def test_diagram_rejects_numbers_that_contradict():
    with pytest.raises(InputError, match="there is no session"):
        method_diagram([], ["a"], ["a"], "tiny", 20, NOTE)
    with pytest.raises(InputError, match="no stage c"):
        method_diagram([2, 2], ["a"], ["c"], "tiny", 20, NOTE)
