"""Whole sessions on pictures that are easy to tell apart: learning, memory, saving, seeds."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dynammo import chain as chain_module
from dynammo.beyond.dynammo_ridge import DynaMMoRidge, RidgeOnMerged
from dynammo import methods as adapter_chain
from dynammo.catalogue import LEARNERS, adapter_methods, make_adapter_learners
from dynammo.chain import Chain
from dynammo.errors import InputError
from dynammo.heads import TaskHeads, UnifiedHead
from dynammo.measure.predictions import accuracy_rows, predict
from dynammo.merging import uniform_mean
from dynammo.methods import ACL, DynaMMo, FrozenFeatures, LastAdapter

METHODS = tuple(adapter_methods(list(LEARNERS)))


def start(settings, stream, backbone, train_seed=1) -> tuple[Chain, dict]:
    chain = Chain(settings, stream, backbone, train_seed)
    return chain, {learner.name: learner for learner in make_adapter_learners(METHODS, chain)}


def learn(chain: Chain, learners: dict) -> list[float]:
    """One whole session; the losses of step 1."""
    losses = chain.tune(progress=False)
    chain.merge()
    chain.choose_exemplars()
    for learner in learners.values():
        learner.learn_session()
    return losses


def accuracies(learner, split: str = "test") -> list[float]:
    stream = learner.chain.stream
    return [row["accuracy"] for row in accuracy_rows(stream, split, predict(learner, split))]


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.fixture(scope="module")
def run(tiny_settings, blobs, pretrained, tmp_path_factory):
    """Two sessions of every method, with a note of everything after each; saved after each."""
    before = {k: v.clone() for k, v in pretrained.state_dict().items()}
    chain, learners = start(tiny_settings, blobs, pretrained)
    run = SimpleNamespace(chain=chain, learners=learners, backbone_before=before)
    run.tuned, run.losses, run.accuracies, run.memories, run.folders = [], [], [], [], []
    run.first_predictions = {}
    original = chain_module.tune_adapters

    def noted(network, head, images, targets, *rest, **options):
        state = {k: v.clone() for k, v in network.adapters.state_dict().items()}
        run.tuned.append(SimpleNamespace(images=images, targets=targets, start=state, head=head))
        return original(network, head, images, targets, *rest, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chain_module, "tune_adapters", noted)
        for session in (1, 2):
            run.losses.append(learn(chain, learners))
            run.accuracies.append({k: accuracies(v) for k, v in learners.items()})
            run.memories.append(chain.memory)
            folder = tmp_path_factory.mktemp(f"session{session}")
            chain.save(folder)
            for learner in learners.values():
                learner.save(folder)
            run.folders.append(folder)
            if session == 1:
                run.first_predictions = {k: predict(v, "test") for k, v in learners.items()}
    return run


@pytest.mark.parametrize("method", METHODS)
def test_a_run_of_two_sessions_learns_both(run, method):
    assert [len(row[method]) for row in run.accuracies] == [1, 2]
    assert run.accuracies[0][method][0] > 0.8
    assert min(run.accuracies[1][method]) > 0.8


def test_every_kind_of_head_is_among_the_methods():
    kinds = {LEARNERS[m].head_kind for m in METHODS if issubclass(LEARNERS[m], DynaMMo)}
    assert kinds == {TaskHeads, UnifiedHead, RidgeOnMerged}


def test_the_losses_of_tuning_fall(run):
    for losses in run.losses:
        assert len(losses) == run.chain.settings.adapter_epochs
        assert losses[-1] < 0.7 * losses[0]


def test_nothing_in_the_backbone_moved_in_two_sessions(run):
    after = run.chain.backbone.state_dict()
    assert same(after, run.backbone_before)
    assert all(p.grad is None for p in run.chain.backbone.parameters())


def test_without_old_exemplars_the_first_session_is_forgotten(
    tiny_settings, blobs, pretrained, run
):
    """The memory is what keeps the first session: the same learner without it loses it."""
    settings = dataclasses.replace(tiny_settings, head_learning_rate=1e-2)
    chain = Chain(settings, blobs, pretrained, 1)
    chain.restore(run.folders[:1])
    kept, lost = DynaMMo(chain), DynaMMo(chain)
    for learner in (kept, lost):
        learner.restore(run.folders[0])
    chain.restore(run.folders)
    kept.learn_session()
    new = {k: v for k, v in chain.memory.positions.items() if k >= 2}
    chain.memory = dataclasses.replace(chain.memory, positions=new)
    lost.learn_session()
    assert accuracies(kept)[0] > 0.8
    assert accuracies(lost)[0] < 0.5
    assert accuracies(lost)[1] > 0.8


def test_session_one_is_tuned_on_its_own_images_alone(run):
    stream = run.chain.stream
    own = stream.indices("train", 1)
    tuned = run.tuned[0]
    assert np.array_equal(tuned.images, stream.train.images[own])
    assert np.array_equal(tuned.targets, stream.train.labels[own])
    assert tuned.head.out_features == 3


def test_old_exemplars_carry_others(run):
    stream, tuned = run.chain.stream, run.tuned[1]
    own = stream.indices("train", 2)
    old = run.memories[0].all_positions()
    assert len(old) == 24  # the whole budget, all of it of session 1
    assert set(stream.train.labels[old]) == {0, 1}
    assert len(tuned.images) == len(tuned.targets) == len(own) + len(old)
    assert np.array_equal(tuned.images[: len(own)], stream.train.images[own])
    assert np.array_equal(tuned.targets[: len(own)], stream.train.labels[own] - 2)
    assert np.array_equal(tuned.images[len(own) :], stream.train.images[old])
    assert set(tuned.targets[len(own) :]) == {2}  # |C_t|, the extra output
    assert tuned.head.out_features == 3


def test_theta_t_starts_from_theta_t_minus_one(run):
    first, second = run.chain.adapter_states
    assert same(run.tuned[1].start, first)
    assert not same(run.tuned[0].start, first)
    assert not same(first, second)


def test_the_merged_set_is_the_mean_of_all_sets(run):
    merged, expected = run.chain.merged_state, uniform_mean(run.chain.adapter_states)
    assert merged.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(merged[name], expected[name], rtol=1e-6, atol=1e-7)


def test_after_one_session_merging_changes_nothing(run, tiny_settings, blobs, pretrained):
    chain, learners = start(tiny_settings, blobs, pretrained)
    chain.restore(run.folders[:1])
    assert same(chain.merged_state, chain.adapter_states[0])
    acl = learners["acl"]
    acl.restore(run.folders[0])
    by_heads = {k: v for k, v in learners.items() if v.head_kind is acl.head_kind}
    assert {"acl", "last_adapter"} & by_heads.keys()
    images = blobs.test.images[:10]
    for name, learner in by_heads.items():
        if not isinstance(learner, FrozenFeatures):
            learner.restore(run.folders[0])
            assert torch.equal(learner.features(images), acl.features(images)), name
            assert torch.equal(
                learner.head(learner.features(images)), acl.head(acl.features(images))
            ), name


def test_learners_run_the_sets_they_say(run, blobs, pretrained):
    chain, images = run.chain, blobs.test.images[:4]
    first, second = chain.adapter_states
    expected = {
        DynaMMo: [chain.merged_state],
        ACL: [first, second],
        LastAdapter: [second],
        FrozenFeatures: [None],
    }
    for kind, states in expected.items():
        features = run.learners[kind.name].features(images)
        assert features.shape == (4, len(states), 1280)
        for i, state in enumerate(states):
            with torch.no_grad():
                one = chain.network(state)(pretrained.normalise(images))
            assert torch.equal(features[:, i], one), kind.name


def test_only_acl_stores_more_with_every_session(run, tiny_settings, blobs, pretrained):
    chain, learners = start(tiny_settings, blobs, pretrained)
    stored = {name: [] for name in METHODS}
    for sessions in range(1, 6):
        chain.session = sessions
        chain.adapter_states = run.chain.adapter_states[:1] * sessions
        chain.merged_state = run.chain.merged_state
        for name, learner in learners.items():
            stored[name].append(learner.stored_adapter_sets())
    for name, counts in stored.items():
        if issubclass(LEARNERS[name], DynaMMo):
            assert counts == [1, 2, 2, 2, 2]
    assert stored["acl"] == [1, 2, 3, 4, 5]
    assert stored["last_adapter"] == [1] * 5
    assert stored["frozen_features"] == [0] * 5


def test_the_memory_is_shared_evenly_and_old_classes_are_cut_from_the_end(run, blobs):
    first, second = run.memories
    assert {k: len(v) for k, v in first.positions.items()} == {0: 12, 1: 12}
    assert {k: len(v) for k, v in second.positions.items()} == {0: 6, 1: 6, 2: 6, 3: 6}
    assert all(np.array_equal(second.positions[k], first.positions[k][:6]) for k in (0, 1))
    for label, chosen in second.positions.items():
        assert set(blobs.train.labels[chosen]) == {label}


def test_exemplars_are_herded_on_the_newest_sets_features(run, tiny_settings, blobs, pretrained):
    chain, _ = start(tiny_settings, blobs, pretrained)
    chain.restore(run.folders)
    # A set so strong that it changes which image is nearest to the mean.
    strong = {k: v * 100 if "alpha" in k else v for k, v in chain.adapter_states[-1].items()}
    chain.adapter_states = (chain.adapter_states[0], strong)
    chain.memory = run.memories[0]
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


def test_predictions_are_bitwise_the_same_after_saving_and_restoring(
    run, tiny_settings, blobs, pretrained
):
    chain, learners = start(tiny_settings, blobs, pretrained)
    for sessions, expected in (
        (1, run.first_predictions),
        (2, {k: predict(v, "test") for k, v in run.learners.items()}),
    ):
        chain.restore(run.folders[:sessions])
        for name, learner in learners.items():
            learner.restore(run.folders[sessions - 1])
            found = predict(learner, "test")
            assert found.session == sessions
            assert np.array_equal(found.predicted, expected[name].predicted), name
            if isinstance(learner.head, TaskHeads):
                assert np.array_equal(found.lowest_others, expected[name].lowest_others), name
                assert np.array_equal(found.inferred_session, expected[name].inferred_session)


def test_a_session_after_restoring_is_bitwise_the_one_without_a_break(
    run, tiny_settings, blobs, pretrained
):
    chain, learners = start(tiny_settings, blobs, pretrained)
    chain.restore(run.folders[:1])
    for learner in learners.values():
        learner.restore(run.folders[0])
    assert learn(chain, learners) == run.losses[1]
    for found, expected in zip(chain.adapter_states, run.chain.adapter_states, strict=True):
        assert same(found, expected)
    assert same(chain.merged_state, run.chain.merged_state)
    assert same(chain.auxiliary.state_dict(), run.chain.auxiliary.state_dict())
    for label, positions in run.chain.memory.positions.items():
        assert np.array_equal(chain.memory.positions[label], positions)
    for name, learner in learners.items():
        assert same(learner.head.state_dict(), run.learners[name].head.state_dict()), name


def test_restoring_nothing_is_a_chain_at_its_start(tiny_settings, blobs, pretrained):
    chain, _ = start(tiny_settings, blobs, pretrained)
    chain.restore([])
    assert (chain.session, chain.adapter_states, chain.merged_state) == (0, (), None)


def test_the_same_seeds_give_the_same_weights_and_other_seeds_others(
    tiny_settings, blobs, pretrained
):
    settings = dataclasses.replace(tiny_settings, adapter_epochs=1)

    def tuned(train_seed, order_seed=0, global_seed=0):
        stream = dataclasses.replace(blobs, order_seed=order_seed)
        chain = Chain(settings, stream, pretrained, train_seed)
        torch.manual_seed(global_seed)
        fresh = chain.adapters(None).state_dict()
        chain.tune(progress=False)
        chain.merge()
        return fresh, chain.adapter_states[0], chain.auxiliary.state_dict()

    first = tuned(1)
    assert all(same(a, b) for a, b in zip(first, tuned(1, global_seed=9), strict=True))
    for other in (tuned(2), tuned(1, order_seed=1)):
        assert not any(same(a, b) for a, b in zip(first, other, strict=True))


def test_every_session_and_seed_has_random_numbers_of_its_own(
    tiny_settings, blobs, pretrained, monkeypatch
):
    seeds = []
    for module, name in ((chain_module, "tune_adapters"), (adapter_chain, "fit_head")):
        original = getattr(module, name)

        def note(*arguments, original=original, **options):
            (generator,) = [a for a in arguments if isinstance(a, torch.Generator)]
            seeds.append(generator.initial_seed())
            return original(*arguments, **options)

        monkeypatch.setattr(module, name, note)
    settings = dataclasses.replace(tiny_settings, adapter_epochs=1, head_epochs=1)
    for train_seed, order_seed in ((1, 0), (0, 1), (2, 0)):
        stream = dataclasses.replace(blobs, order_seed=order_seed)
        chain = Chain(settings, stream, pretrained, train_seed)
        learners = {"dynammo": DynaMMo(chain)}
        for _ in range(2):
            learn(chain, learners)
    assert len(seeds) == 3 * (2 + 1)  # the first session has no head tuning
    assert len(set(seeds)) == len(seeds)


def test_learning_leaves_the_global_generators_alone(tiny_settings, blobs, pretrained):
    settings = dataclasses.replace(tiny_settings, adapter_epochs=1, head_epochs=1)
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    numpy_before = np.random.get_state()[1].copy()  # noqa: NPY002
    chain, learners = start(settings, blobs, pretrained)
    for _ in range(2):
        learn(chain, learners)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002


def test_the_first_session_keeps_its_auxiliary_head(run, tiny_settings, blobs, pretrained):
    chain, learners = start(tiny_settings, blobs, pretrained)
    chain.restore(run.folders[:1])
    auxiliary = chain.auxiliary
    for name, learner in learners.items():
        if isinstance(learner, FrozenFeatures | DynaMMoRidge):
            continue
        learner.restore(run.folders[0])
        if isinstance(learner.head, TaskHeads):
            assert torch.equal(learner.head.weight, auxiliary.weight), name
        else:
            assert torch.equal(learner.head.weight, auxiliary.weight[:-1]), name


def test_the_head_tuning_of_one_learner_does_not_touch_another(run):
    shared = run.chain.auxiliary.state_dict()
    for learner in run.learners.values():
        for parameter in learner.head.parameters():
            assert all(parameter.data_ptr() != t.data_ptr() for t in shared.values())


def test_a_memory_smaller_than_the_classes_is_one_clear_error(tiny_settings, blobs, pretrained):
    settings = dataclasses.replace(tiny_settings, memory_budget=1, adapter_epochs=1)
    chain, _ = start(settings, blobs, pretrained)
    chain.tune(progress=False)
    chain.merge()
    with pytest.raises(InputError, match="1 images cannot hold one of each of 2 classes"):
        chain.choose_exemplars()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"adapter_stages": ("stage9",)}, "no stage 'stage9'"),
        ({"adapter_padding": "valid", "adapter_stages": ("stage7",)}, "is 1 x 1, under the 3 x 3"),
        ({"adapter_padding": "reflect"}, "padding 'reflect'"),
    ],
)
def test_settings_that_do_not_fit_the_backbone_are_one_clear_error(
    tiny_settings, blobs, pretrained, changes, words
):
    chain, _ = start(dataclasses.replace(tiny_settings, **changes), blobs, pretrained)
    with pytest.raises(InputError, match=words):
        chain.tune(progress=False)
    assert chain.session == 0


def test_a_session_after_the_last_is_one_clear_error(run, tiny_settings, blobs, pretrained):
    chain, _ = start(tiny_settings, blobs, pretrained)
    chain.restore(run.folders)
    with pytest.raises(InputError, match="no session 3"):
        chain.tune(progress=False)
    assert chain.session == 2


def test_empty_adapter_stages_mean_the_backbones_own_choice(tiny_settings, blobs, pretrained):
    chain, _ = start(
        dataclasses.replace(tiny_settings, adapter_stages=(), adapter_width=0.1), blobs, pretrained
    )
    assert chain.adapters(None).stage_names == pretrained.adapter_stages


def test_learning_on_reads_no_set_but_the_newest_unless_a_method_needs_it(
    run, tiny_settings, blobs, pretrained, monkeypatch
):
    read = []
    original = chain_module.load_file
    monkeypatch.setattr(
        chain_module, "load_file", lambda path, **to: read.append(path) or original(path, **to)
    )

    def old_sets_read(kind) -> int:
        chain = Chain(tiny_settings, blobs, pretrained, 1)
        chain.restore(run.folders)
        learner = kind(chain)
        learner.restore(run.folders[-1])
        chain.start()
        read.clear()
        predict(learner, "test")
        return read.count(run.folders[0] / "adapters.safetensors")

    assert old_sets_read(DynaMMo) == old_sets_read(LastAdapter) == 0
    assert old_sets_read(ACL) == 1
