"""The ridge head's controls: what each part of it is worth."""

import numpy as np
import pytest
import torch
from helpers import generator

from dynammo.baselines.ridge import ridge_weights
from dynammo.beyond.dynammo_ridge import DynaMMoRidge
from dynammo.beyond.ridge_controls import CONTROLS, LastAdapterRidge, RidgeDriftIgnored, RidgeOracle
from dynammo.beyond.ridge_frozen import RidgeFrozen, RidgeFrozenLast
from dynammo.beyond.solved_head import ClassStatistics
from dynammo.chain import Chain
from dynammo.errors import InputError
from dynammo.run.learn import learn_stream


class Staying(ClassStatistics):
    def move(self, old, new, stiffness):
        pass


class RidgeOnStaying(DynaMMoRidge):
    title = "statistics of one's own"
    statistics_kind = Staying


@pytest.fixture(scope="module")
def moving(tiny_settings, blobs, pretrained):
    """Two sessions whose adapters really move, with the ridge head and its controls."""
    chain = Chain(tiny_settings.with_changes({"adapter_epochs": 3}), blobs, pretrained, 1)
    learners = {kind: kind(chain) for kind in (DynaMMoRidge, RidgeOnStaying, *CONTROLS)}
    for _ in range(2):
        chain.tune(progress=False)
        chain.merge()
        chain.choose_exemplars()
        for learner in learners.values():
            learner.learn_session()
    return chain, learners


@pytest.mark.parametrize("kind", [RidgeOracle, RidgeFrozen])
def test_controls_are_ridge_regressions_on_every_image(moving, kind, what_the_head_reads):
    chain, learners = moving
    learner = learners[kind]
    state = chain.merged_state if kind is RidgeOracle else None
    x = torch.as_tensor(what_the_head_reads(chain, state, chain.stream.train.images))
    gram, correlation = learner.statistics.sums()
    torch.testing.assert_close(gram, x.T @ x, rtol=1e-5, atol=1e-6)
    hot = torch.eye(4, dtype=torch.double)[torch.as_tensor(chain.stream.train.labels)].repeat(2, 1)
    torch.testing.assert_close(correlation, x.T @ hot, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("balanced", [True, False])
def test_a_head_counts_classes_alike_where_it_is_asked_to(
    tiny_settings, blobs, pretrained, balanced
):
    settings = tiny_settings.with_changes({"ridge_frozen_balanced": balanced})
    labels = torch.tensor([0] * 12 + [1] * 4)
    learner = RidgeFrozen(Chain(settings, blobs, pretrained, 1))
    learner.session = 1
    apart = 3 * torch.nn.functional.one_hot(labels, 8)
    learner.solve(torch.randn(2, 16, 8, generator=generator()) + apart, labels)
    weights = [
        ridge_weights(*learner.statistics.sums(how), learner.penalty)
        for how in (balanced, not balanced)
    ]
    torch.testing.assert_close(learner.head.weight.double(), weights[0], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(weights[0], weights[1], atol=1e-3)


def test_the_control_without_adapters_and_stages_reads_the_network_s_own_features(moving):
    chain, learners = moving
    images, backbone = chain.stream.train.images, chain.backbone
    with torch.no_grad():
        sides = (backbone.normalise(side.copy()) for side in (images, images[:, :, ::-1]))
        x = torch.cat([backbone(side).double() for side in sides])
    gram, _ = learners[RidgeFrozenLast].statistics.sums()
    torch.testing.assert_close(gram, x.T @ x, rtol=1e-4, atol=1e-5)


def test_following_the_drift_brings_old_means_nearer_to_where_they_are(moving):
    _, learners = moving
    truth = learners[RidgeOracle].statistics.means[:2]

    def off(kind):
        return (learners[kind].statistics.means[:2] - truth).norm()

    assert off(DynaMMoRidge) < 0.8 * off(RidgeDriftIgnored)


def test_statistics_of_ones_own_take_the_place_of_the_library_s(moving):
    _, learners = moving
    own, ignored = learners[RidgeOnStaying], learners[RidgeDriftIgnored]
    assert isinstance(own.statistics, Staying)
    assert torch.equal(own.head.weight, ignored.head.weight)
    assert not torch.equal(own.head.weight, learners[DynaMMoRidge].head.weight)


def test_the_last_set_is_followed_from_the_one_before(moving):
    chain, learners = moving
    learner = learners[LastAdapterRidge]
    assert learner.adapter_sets()[0] is chain.adapter_states[-1]
    assert learner.set_before() is chain.adapter_states[-2]


def test_without_any_exemplar_the_solved_heads_learn_and_others_are_refused(
    tiny_settings, tmp_path, blobs_npz
):
    free = ("dynammo_ridge", "ridge_frozen", "lwf", "ranpac")
    settings = tiny_settings.with_changes(
        {"memory_budget": 0, "methods": free, "adapter_epochs": 1}
    )
    group = learn_stream(tmp_path, settings, "", 0, 1, progress=False)
    assert len(group.chain.memory.all_positions()) == 0
    for learner in group.learners:
        assert learner.stored_images() == 0
        scores, _ = learner.judge_split("test", np.arange(8))
        assert scores.shape == (8, 4) and scores.isfinite().all()
    again = learn_stream(tmp_path, settings, "", 0, 1, progress=False)  # from what was saved
    assert len(again.chain.memory.all_positions()) == 0
    learn_stream(tmp_path, settings, "lwf", 0, 1, progress=False)
    more = settings.with_changes({"methods": (*free, "dynammo", "replay")})
    with pytest.raises(InputError, match="dynammo, replay cannot do without exemplars. These can"):
        learn_stream(tmp_path, more, "", 0, 1, progress=False)
