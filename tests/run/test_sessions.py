"""Sessions on disk: what was saved comes back as it was."""

import numpy as np
import pytest

from dynammo.run.learn import open_session
from dynammo.run.sessions import load_predictions, read_record


@pytest.fixture(scope="module")
def saved(tmp_path_factory, tiny_settings):
    """A first session: its group, and what was predicted after it."""
    changes = {"adapter_epochs": 1, "head_epochs": 2, "methods": ("dynammo", "acl")}
    group = open_session(
        tmp_path_factory.mktemp("run"), tiny_settings.with_changes(changes), 0, 1, 1
    )
    _, answers = group.learn_next(progress=False)
    return group, answers


def test_predictions_come_back_as_they_were_saved(saved):
    group, answers = saved
    back = load_predictions(group.folder(1), read_record(group.folder(1)))
    assert back.keys() == answers.keys() == {"dynammo", "acl"}
    for method, answer in answers.items():
        assert (back[method].session, back[method].sessions) == (1, ((0, 1), (2, 3)))
        for name in ("labels", "predicted", "lowest_others", "inferred_session"):
            np.testing.assert_array_equal(getattr(back[method], name), getattr(answer, name))
        assert back[method].auroc == answer.auroc > 0.5
