"""Steps 1 to 3 on pictures that are easy to tell apart: adapter sets, their mean, exemplars."""

import dataclasses

import numpy as np
import pytest
import torch
from helpers import learn_session, same

from dynammo import chain as chain_module
from dynammo import methods
from dynammo.errors import InputError
from dynammo.merging import uniform_mean
from dynammo.run.sessions import restore_chain_from


def test_the_losses_of_tuning_fall(two_sessions):
    for losses in two_sessions.losses:
        assert len(losses) == two_sessions.chain.settings.adapter_epochs
        assert losses[-1] < 0.7 * losses[0]


def test_nothing_in_the_backbone_moved_in_two_sessions(two_sessions):
    after = two_sessions.chain.backbone.state_dict()
    assert same(after, two_sessions.backbone_before)
    assert all(p.grad is None for p in two_sessions.chain.backbone.parameters())


def test_session_one_is_tuned_on_its_own_images_alone(two_sessions):
    stream = two_sessions.chain.stream
    own = stream.indices("train", 1)
    tuned = two_sessions.tuned[0]
    assert np.array_equal(tuned.images, stream.train.images[own])
    assert np.array_equal(tuned.targets, stream.train.labels[own])
    assert tuned.head.out_features == 3


def test_old_exemplars_carry_others(two_sessions):
    stream, tuned = two_sessions.chain.stream, two_sessions.tuned[1]
    own = stream.indices("train", 2)
    old = two_sessions.memories[0].all_positions()
    assert len(old) == 24  # the whole budget, all of it of session 1
    assert set(stream.train.labels[old]) == {0, 1}
    assert len(tuned.images) == len(tuned.targets) == len(own) + len(old)
    assert np.array_equal(tuned.images[: len(own)], stream.train.images[own])
    assert np.array_equal(tuned.targets[: len(own)], stream.train.labels[own] - 2)
    assert np.array_equal(tuned.images[len(own) :], stream.train.images[old])
    assert set(tuned.targets[len(own) :]) == {2}  # |C_t|, the extra output
    assert tuned.head.out_features == 3


def test_images_to_train_on_are_the_sessions_and_older_exemplars(two_sessions):
    """Those of the session itself are in the memory by now: they must not come twice."""
    chain = two_sessions.chain
    positions = chain.training_positions(2)
    own = chain.stream.indices("train", 2)
    assert positions[: len(own)].tolist() == own.tolist()
    assert set(chain.stream.train.labels[positions[len(own) :]]) == {0, 1}
    assert len(positions) == len(set(positions)) == len(own) + 2 * 6


def test_what_step_1_was_tuned_on_is_known_after_the_memory_was_cut(two_sessions, new_chain):
    """The control without adapters trains its head on the same images, old exemplars included."""
    chain, memory = two_sessions.chain, two_sessions.memories[0].all_positions()
    expected = [*chain.stream.indices("train", 2), *memory]
    assert chain.tuned_on.tolist() == expected and len(memory) == 24
    restored, _ = new_chain()
    restore_chain_from(restored, two_sessions.folders)
    assert restored.tuned_on.tolist() == expected


def test_theta_t_starts_from_theta_t_minus_one(two_sessions):
    first, second = two_sessions.chain.adapter_states
    assert same(two_sessions.tuned[1].start, first)
    assert not same(two_sessions.tuned[0].start, first)
    assert not same(first, second)


def test_the_merged_set_is_the_mean_of_all_sets(two_sessions):
    chain = two_sessions.chain
    merged, expected = chain.merged_state, uniform_mean(chain.adapter_states)
    assert merged.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(merged[name], expected[name], rtol=1e-6, atol=1e-7)


def test_exemplars_are_herded_on_the_newest_sets_features(
    two_sessions, new_chain, blobs, pretrained
):
    chain, _ = new_chain()
    restore_chain_from(chain, two_sessions.folders)
    # A set so strong that it changes which image is nearest to the mean.
    strong = {k: v * 100 if "alpha" in k else v for k, v in chain.adapter_states[-1].items()}
    chain.adapter_states = (chain.adapter_states[0], strong)
    chain.memory = two_sessions.memories[0]
    chain.choose_exemplars()

    def nearest(state, where):
        with torch.no_grad():
            images = pretrained.normalise(blobs.train.images[where])
            features = chain.network(state)(images).numpy()
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        return where[np.linalg.norm(unit - unit.mean(axis=0), axis=1).argmin()]

    where = {label: np.flatnonzero(blobs.train.labels == label) for label in (2, 3)}
    chosen = [chain.memory.positions[label][0] for label in (2, 3)]
    assert chosen == [nearest(strong, where[label]) for label in (2, 3)]
    for other in (None, chain.merged_state, chain.adapter_states[0]):
        assert chosen != [nearest(other, where[label]) for label in (2, 3)]


def test_the_same_seeds_give_the_same_weights_and_other_seeds_others(new_chain, blobs):
    def tuned(train_seed, order_seed=0, global_seed=0):
        stream = dataclasses.replace(blobs, order_seed=order_seed)
        chain, _ = new_chain(stream, train_seed, adapter_epochs=1)
        torch.manual_seed(global_seed)
        fresh = chain.adapters(None).state_dict()
        chain.tune(progress=False)
        chain.merge()
        return fresh, chain.adapter_states[0], chain.auxiliary.state_dict()

    first = tuned(1)
    assert all(same(a, b) for a, b in zip(first, tuned(1, global_seed=9), strict=True))
    for other in (tuned(2), tuned(1, order_seed=1)):
        assert not any(same(a, b) for a, b in zip(first, other, strict=True))


def test_every_session_and_seed_has_random_numbers_of_its_own(new_chain, blobs, monkeypatch):
    seeds = []
    for module, name in ((chain_module, "tune_adapters"), (methods, "fit_head")):
        original = getattr(module, name)

        def note(*arguments, original=original, **options):
            (generator,) = [a for a in arguments if isinstance(a, torch.Generator)]
            seeds.append(generator.initial_seed())
            return original(*arguments, **options)

        monkeypatch.setattr(module, name, note)
    for train_seed, order_seed in ((1, 0), (0, 1), (2, 0)):
        stream = dataclasses.replace(blobs, order_seed=order_seed)
        chain, _ = new_chain(stream, train_seed, adapter_epochs=1, head_epochs=1)
        learners = {"dynammo": methods.DynaMMo(chain)}
        for _ in range(2):
            learn_session(chain, learners)
    assert len(seeds) == 3 * (2 + 1)  # the first session has no head tuning
    assert len(set(seeds)) == len(seeds)


def test_learning_leaves_the_global_generators_alone(two_sessions):
    for before, after in zip(*two_sessions.generators, strict=True):
        assert np.array_equal(before, after)


def test_settings_that_do_not_fit_the_backbone_leave_the_chain_where_it_was(new_chain):
    chain, _ = new_chain(adapter_stages=("stage9",))
    with pytest.raises(InputError, match="no stage 'stage9'"):
        chain.tune(progress=False)
    assert chain.session == 0


def test_what_is_recalled_is_taken_without_training(two_sessions, new_chain, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("tuned again")

    chain, _ = new_chain(adapter_epochs=1)
    state, losses = two_sessions.chain.adapter_states[0], two_sessions.losses[0]
    head, asked = chain.fresh_auxiliary_head(1), []
    known = {1: (state, head, losses)}
    chain.recall = lambda session: asked.append(session) or known.get(session)
    with monkeypatch.context() as patch:
        patch.setattr(chain_module, "tune_adapters", refuse)
        assert chain.learn_session(progress=False) == losses
    assert chain.session == 1 and chain.auxiliary is head
    assert chain.adapter_states == (state,) and same(chain.merged_state, state)
    for label, chosen in two_sessions.memories[0].positions.items():
        assert np.array_equal(chain.memory.positions[label], chosen)
    assert len(chain.learn_session(progress=False)) == 1  # nothing to recall: one epoch
    assert asked == [1, 2] and chain.session == 2


def test_a_session_after_the_last_is_one_clear_error(two_sessions, new_chain):
    chain, _ = new_chain()
    restore_chain_from(chain, two_sessions.folders)
    with pytest.raises(InputError, match="no session 3"):
        chain.tune(progress=False)
    assert chain.session == 2


def test_empty_adapter_stages_mean_the_backbones_own_choice(new_chain, pretrained):
    chain, _ = new_chain(adapter_stages=(), adapter_width=0.1)
    assert chain.adapters(None).stage_names == pretrained.adapter_stages
