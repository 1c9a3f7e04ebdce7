"""A method of one's own is a class, not a row of the catalogue; and how its knobs reach it."""

import numpy as np
import pytest
import torch.nn.functional as F
from helpers_for_baselines import BASELINES, accuracies, scores

from dynammo.baselines.lwf import LwF
from dynammo.baselines.replay import Replay
from dynammo.catalogue import METHODS, load, title
from dynammo.settings import Knobs, Weight


class SmoothedKnobs(Knobs):
    smoothing: Weight = 0.1


class SmoothedReplay(Replay):
    """Replay that is asked to be a little less sure of itself."""

    name = "smoothed_replay"
    Knobs = SmoothedKnobs

    def batch_loss(self, images, labels):
        smoothing = self.knobs.smoothing
        return F.cross_entropy(self.classifier(images), labels, label_smoothing=smoothing)


@pytest.fixture(scope="module")
def smoothed(start):
    learner = start(SmoothedReplay)
    losses = [learner.learn_session(progress=False) for _ in range(2)]
    return learner, losses


def test_a_method_that_is_not_in_the_catalogue_learns_a_stream(smoothed, runs, settings):
    learner, losses = smoothed
    assert learner.name not in METHODS and title(learner.name) == "smoothed replay"
    assert learner.session == 2
    assert [len(each) for each in losses] == [settings.adapter_epochs] * 2
    assert min(accuracies(learner)) > 0.8
    assert learner.stored_images() == settings.memory_budget
    # It is the loss of its own that it learned by, not replay's.
    assert not np.array_equal(scores(learner), runs.learned["replay"].scores[1])


def test_with_its_knob_at_nought_it_is_the_method_it_was_made_from(start, runs):
    class Plain(SmoothedReplay):
        name = "plain"

        class Knobs(SmoothedKnobs):
            smoothing: Weight = 0.0

    learner = start(Plain)
    losses = [learner.learn_session(progress=False) for _ in range(2)]
    assert losses == runs.learned["replay"].losses
    assert np.array_equal(scores(learner), runs.learned["replay"].scores[1])


class MyLwF(LwF):
    """A method of one's own that was made from another."""

    name = "my_lwf"


@pytest.mark.parametrize("method", ["lwf", LwF, MyLwF])
def test_knobs_reach_the_learner(start, settings, method):
    learner = start(method, lwf_temperature=3)
    assert learner.knobs.temperature == 3
    assert learner.knobs.weight == 3.0  # as the settings here have it
    assert start("wa", lwf_temperature=3).knobs.temperature == 2.0  # another method's
    assert settings.knobs(LwF).temperature == 2.0  # settings are never changed in place


def test_a_method_s_own_epochs_and_rate_are_what_it_learns_with(start):
    def losses(**changes):
        return start("replay", **changes).learn_session(progress=False)

    own = losses(replay_epochs=3, replay_learning_rate=0.005)
    assert own == losses(adapter_epochs=3, network_learning_rate=0.005)
    assert len(own) == 3 and own != losses(adapter_epochs=3)


def test_the_settings_of_a_method_of_ones_own_go_by_its_name(settings):
    changed = settings.with_changes({"lwf_temperature": 3})
    assert changed.knobs_by_name(MyLwF)["my_lwf_temperature"] == 3
    assert changed.knobs_by_name(MyLwF).keys() == {
        "my_lwf_temperature",
        "my_lwf_epochs",
        "my_lwf_weight",
        "my_lwf_learning_rate",
    }


@pytest.mark.parametrize("name", [name for name in BASELINES if load(name).Knobs.model_fields])
def test_every_knob_can_be_set_by_its_method_and_name(start, settings, name):
    for knob, value in settings.knobs_by_name(load(name)).items():
        other = not value if isinstance(value, bool) else value + 1
        learner = start(name, **{knob: other})
        assert getattr(learner.knobs, knob.removeprefix(f"{name}_")) == other
