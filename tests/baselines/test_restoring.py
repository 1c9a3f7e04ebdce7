"""Baselines saved and taken up again, and what seeds decide."""

import numpy as np
import pytest
import torch
from helpers import same
from helpers_for_baselines import BASELINES, TRAINED, every_baseline, scores, tensors

from dynammo.run.sessions import restore_learner


@pytest.mark.parametrize("name", BASELINES)
def test_going_on_after_restoring_is_bitwise_the_run_without_a_break(runs, start, name):
    run, learner = runs.learned[name], start(name)
    restore_learner(learner, run.folders[0], 1)
    assert np.array_equal(scores(learner), run.scores[0])
    assert learner.stored_numbers() == run.counts[0].stored
    assert learner.learn_session(progress=False) == run.losses[1]
    assert np.array_equal(scores(learner), run.scores[1])
    assert same(tensors(learner), tensors(run.learner))
    if name in TRAINED:
        assert learner.memory.positions.keys() == run.learner.memory.positions.keys()
        for label, positions in learner.memory.positions.items():
            assert np.array_equal(positions, run.learner.memory.positions[label])
        mine, other = learner.extra_state(), run.learner.extra_state()
        assert mine.keys() == other.keys()
        assert all(np.array_equal(mine[k], other[k], equal_nan=True) for k in mine)


@every_baseline
def test_the_last_session_is_restored_too(run, start):
    learner = start(run.learner.name)
    restore_learner(learner, run.folders[1], 2)
    assert np.array_equal(scores(learner), run.scores[1])
    assert learner.trained_numbers() == run.counts[1].trained
    assert learner.stored_images() == run.counts[1].images


@pytest.mark.parametrize("name", BASELINES)
def test_the_same_seed_gives_the_same_result_and_another_another(runs, start, name):
    expected = runs.learned[name]
    torch.manual_seed(123)  # of the global generator, which must not matter
    same_seed, other_seed = start(name), start(name, train_seed=2)
    losses = [learner.learn_session(progress=False) for learner in (same_seed, other_seed)]
    assert losses[0] == expected.losses[0]
    assert np.array_equal(scores(same_seed), expected.scores[0])
    if name not in ("nearest_class_mean", "ridge_frozen"):  # nothing, or only a penalty, is drawn
        assert not np.array_equal(scores(other_seed), expected.scores[0])
