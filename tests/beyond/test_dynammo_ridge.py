"""The variant beyond the paper: a head solved from statistics that follow the merged features."""

import numpy as np
import pytest
import torch

from dynammo.beyond.dynammo_ridge import DynaMMoRidge
from dynammo.chain import Chain, Steps


@pytest.fixture(scope="module")
def learned(tiny_settings, blobs, pretrained):
    """Two sessions with adapters that hardly move, so that ridge regression on all is exact."""
    changes = {"adapter_epochs": 1, "adapter_learning_rate": 1e-7}
    chain = Chain(tiny_settings.with_changes(changes), blobs, pretrained, 1)
    learner = DynaMMoRidge(chain)
    for _ in range(2):
        chain.tune(progress=False)
        # Batch norm's statistics move even so; hold them, to have one set of features.
        chain.adapter_states = (chain.adapter_states[0],) * chain.session
        chain.merge()
        chain.choose_exemplars()
        learner.learn_session()
    return chain, learner


def test_with_features_at_rest_it_is_ridge_regression_on_every_image(learned, what_the_head_reads):
    chain, learner = learned
    images = chain.stream.train.images
    x = what_the_head_reads(chain, chain.merged_state, images)
    hot = np.tile(np.eye(4)[chain.stream.train.labels], (2, 1))
    penalty = learner.penalty
    expected = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ hot)
    test = chain.stream.test.images
    scores, others = learner.judge(test)
    assert others is None
    y = what_the_head_reads(chain, chain.merged_state, test)[: len(test)]
    np.testing.assert_allclose(scores.numpy(), y @ expected, atol=2e-3)
    assert (scores.argmax(dim=1).numpy() == chain.stream.test.labels).mean() > 0.8


def test_the_set_before_is_known_for_means_of_ones_own_as_well(tiny_settings, blobs, pretrained):
    def newest(mean, newest, count):
        return newest

    for steps in (Steps(), Steps(mean=newest)):
        chain = Chain(
            tiny_settings.with_changes({"adapter_epochs": 1}), blobs, pretrained, 1, steps
        )
        before = []
        for _ in range(2):
            chain.learn_session(progress=False)
            before.append(chain.merged_state)
        found = DynaMMoRidge(chain).set_before()
        for name, value in before[0].items():
            if value.is_floating_point():  # the number of batches seen is no mean
                torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)
