"""The memory of methods that keep images, and what images each method may see."""

import copy
import dataclasses

import numpy as np
import pytest
from helpers import same
from helpers_for_baselines import BASELINES, REPLAYING, tensors


@pytest.mark.parametrize("run", REPLAYING, indirect=True)
def test_the_memory_is_shared_evenly_by_the_classes_and_cut_from_the_end(run, blobs):
    first, second = run.memories
    assert {k: len(v) for k, v in first.positions.items()} == {0: 12, 1: 12}
    assert {k: len(v) for k, v in second.positions.items()} == {0: 6, 1: 6, 2: 6, 3: 6}
    assert all(np.array_equal(second.positions[k], first.positions[k][:6]) for k in (0, 1))
    for label, chosen in second.positions.items():
        assert set(blobs.train.labels[chosen]) == {label}


@pytest.mark.parametrize("name", BASELINES)
def test_sessions_are_learned_from_the_images_a_method_may_see(name, start, blobs):
    """Images it may not see are gone from the data; it learns the same."""
    learner = start(name, adapter_epochs=1, head_epochs=1)
    learner.learn_session(progress=False)
    blind = copy.deepcopy(learner)
    images = blobs.train.images.copy()
    kept = blobs.indices("train", range(1, 3) if name == "joint" else 2)
    if name in REPLAYING:
        kept = np.concatenate([kept, learner.memory.all_positions()])
    images[np.setdiff1d(np.arange(len(images)), kept)] = 0
    train = dataclasses.replace(blobs.train, images=images)
    blind.stream = dataclasses.replace(blobs, train=train)
    for each in (learner, blind):
        each.learn_session(progress=False)
    assert same(tensors(blind), tensors(learner))
