"""Step 4 and prediction on a tuned chain: which sets run, what heads start from and keep."""

import dataclasses

import pytest
import torch
from helpers import restore, same, shares_right

from dynammo.baselines.frozen_features import FrozenFeatures
from dynammo.beyond.dynammo_ridge import DynaMMoRidge
from dynammo.beyond.solved_head import SolvedHead
from dynammo.catalogue import METHODS, load
from dynammo.errors import InputError
from dynammo.heads import TaskHeads, UnifiedHead
from dynammo.learner import Setup
from dynammo.methods import ACL, DynaMMo, LastAdapter, adapter_methods, make_learner
from dynammo.run.sessions import restore_chain_from, restore_learner

FED = tuple(adapter_methods(METHODS))


def features_of(learner, images) -> torch.Tensor:
    """What a learner's head reads of some images, pass by pass."""
    with torch.no_grad():
        return learner.network().features(learner.backbone.normalise(images))


@pytest.mark.parametrize("method", FED)
def test_a_run_of_two_sessions_learns_both(two_sessions, method):
    assert [len(row[method]) for row in two_sessions.accuracies] == [1, 2]
    assert two_sessions.accuracies[0][method][0] > 0.8
    assert min(two_sessions.accuracies[1][method]) > 0.8


def test_every_kind_of_head_is_among_the_methods():
    kinds = {load(m).head_kind for m in FED if issubclass(load(m), DynaMMo)}
    assert kinds == {TaskHeads, UnifiedHead, SolvedHead}


def test_without_old_exemplars_the_first_session_is_forgotten(two_sessions, new_chain):
    """The memory is what keeps the first session: the same learner without it loses it."""
    chain, _ = new_chain()
    restore_chain_from(chain, two_sessions.folders[:1])
    kept, lost = DynaMMo(chain), DynaMMo(chain)
    for learner in (kept, lost):
        restore_learner(learner, two_sessions.folders[0], 1)
    restore_chain_from(chain, two_sessions.folders)
    kept.learn_session()
    new = {k: v for k, v in chain.memory.balanced.items() if k >= 2}
    chain.memory = dataclasses.replace(chain.memory, balanced=new)
    lost.learn_session()
    assert shares_right(kept)[0] > 0.8
    assert shares_right(lost)[0] < 0.5
    assert shares_right(lost)[1] > 0.8


def test_a_learner_that_is_late_is_refused(two_sessions, new_chain):
    chain, _ = new_chain()
    restore_chain_from(chain, two_sessions.folders)
    late = ACL(chain)
    with pytest.raises(InputError, match="The chain is 2 sessions ahead: let a learner follow"):
        late.learn_session()
    assert late.session == 0


def test_after_one_session_merging_changes_nothing(two_sessions, new_chain, blobs):
    chain, learners = new_chain()
    restore(chain, learners, two_sessions.folders[:1])
    assert same(chain.merged_state, chain.adapter_states[0])
    acl = learners["acl"]
    by_heads = {k: v for k, v in learners.items() if v.head_kind is acl.head_kind}
    assert {"acl", "dynammo", "last_adapter"} <= by_heads.keys()
    images = blobs.test.images[:10]
    for name, learner in by_heads.items():
        if not isinstance(learner, FrozenFeatures | ACL):
            found, expected = features_of(learner, images), features_of(acl, images)
            assert torch.equal(found, expected), name
            assert torch.equal(learner.head(found), acl.head(expected)), name


def test_learners_run_the_sets_they_say(two_sessions, blobs, pretrained):
    chain, images = two_sessions.chain, blobs.test.images[:4]
    first, second = chain.adapter_states
    expected = {
        DynaMMo: [chain.merged_state],
        ACL: [first, second],
        LastAdapter: [second],
        FrozenFeatures: [None],
    }
    for kind, states in expected.items():
        features = features_of(two_sessions.learners[kind.name], images)
        assert features.shape == (4, len(states), 1280)
        for i, state in enumerate(states):
            with torch.no_grad():
                one = chain.network(state)(pretrained.normalise(images))
            assert torch.equal(features[:, i], one), kind.name


def test_the_first_session_keeps_its_auxiliary_head(two_sessions, new_chain):
    chain, learners = new_chain()
    restore(chain, learners, two_sessions.folders[:1])
    auxiliary = chain.auxiliary
    for name, learner in learners.items():
        if isinstance(learner, FrozenFeatures | DynaMMoRidge):
            continue
        if isinstance(learner.head, TaskHeads):
            assert torch.equal(learner.head.weight, auxiliary.weight), name
        else:
            assert torch.equal(learner.head.weight, auxiliary.weight[:-1]), name


def test_a_learner_on_its_own_has_its_chain_learn_first(
    two_sessions, tiny_settings, blobs, pretrained
):
    learner = make_learner("dynammo", Setup(tiny_settings, blobs, pretrained, train_seed=1))
    other = make_learner("dynammo", learner)
    assert other.chain is not learner.chain
    losses = [learner.learn_session(progress=False) for _ in range(2)]
    shared = two_sessions.learners["dynammo"]
    assert losses == two_sessions.losses
    assert (learner.session, learner.chain.session) == (2, 2)
    assert same(learner.chain.merged_state, shared.chain.merged_state)
    assert same(learner.state(), shared.state())
    # One that comes later on the same chain takes the session as it is.
    late = make_learner(DynaMMo, learner)
    late.chain, late.session = learner.chain, 1
    late.head.add_session(learner.chain.fresh_auxiliary_head(1))
    before = learner.chain.adapter_states
    assert late.learn_session(progress=False) == []
    assert learner.chain.adapter_states is before and late.session == 2


def test_every_method_is_made_by_its_name(new_chain):
    chain, _ = new_chain()
    assert [make_learner(name, chain).name for name in METHODS] == list(METHODS)
