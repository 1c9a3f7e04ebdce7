"""The variant beyond the paper: statistics that follow moving features, and the head from them."""

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dynammo.beyond.dynammo_ridge import ClassStatistics, DynaMMoRidge
from dynammo.beyond.ridge_controls import (
    CONTROLS,
    RidgeDriftIgnored,
    RidgeFrozen,
    RidgeFrozenFeaturesAlone,
    RidgeLast,
    RidgeOracle,
)
from dynammo.chain import Chain
from dynammo.errors import InputError
from dynammo.merging import running_mean, without_newest


def features_of(classes, per_class=30, size=5, seed=0):
    random = np.random.default_rng(seed)
    labels = np.repeat(classes, per_class)
    middles = random.normal(size=(10, size))
    x = middles[labels] + random.normal(size=(len(labels), size)) @ random.normal(size=(size, size))
    return torch.as_tensor(x), torch.as_tensor(labels)


def test_sums_are_those_over_all_images_however_they_were_divided():
    x, labels = features_of([0, 1, 2])
    first, second = labels < 2, labels == 2
    statistics = ClassStatistics(5).with_images(x[first], labels[first])
    statistics = statistics.with_images(x[second], labels[second])
    gram, correlation = statistics.sums()
    hot = np.eye(3)[labels.numpy()]
    np.testing.assert_allclose(gram.numpy(), x.numpy().T @ x.numpy())
    np.testing.assert_allclose(correlation.numpy(), x.numpy().T @ hot)
    assert statistics.counts.tolist() == [30, 30, 30]


def test_statistics_follow_an_affine_motion_of_the_features():
    x, labels = features_of([0, 1])
    random = np.random.default_rng(1)
    turn = torch.as_tensor(np.eye(5) + 0.3 * random.normal(size=(5, 5)))
    offset = torch.as_tensor(random.normal(size=5))
    known, _ = features_of([4, 5], seed=2)  # other images, which show where features go
    statistics = ClassStatistics(5).with_images(x, labels)
    statistics.move(known, known @ turn + offset, stiffness=1e-12)
    expected = ClassStatistics(5).with_images(x @ turn + offset, labels)
    for found, wanted in zip(statistics.buffers(), expected.buffers(), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)


def test_a_stiff_map_only_shifts():
    x, labels = features_of([0, 1])
    known, _ = features_of([4], seed=2)
    statistics = ClassStatistics(5).with_images(x, labels)
    means, scatter = statistics.means.clone(), statistics.scatter.clone()
    moved = known * 1.5 + 2
    statistics.move(known, moved, stiffness=1e12)
    torch.testing.assert_close(statistics.means, means + (moved - known).mean(dim=0))
    torch.testing.assert_close(statistics.scatter, scatter)


def test_features_that_stay_leave_the_statistics_alone():
    x, labels = features_of([0, 1])
    statistics = ClassStatistics(5).with_images(x, labels)
    before = [buffer.clone() for buffer in statistics.buffers()]
    statistics.move(x[:20], x[:20], stiffness=0.1)
    for found, wanted in zip(statistics.buffers(), before, strict=True):
        torch.testing.assert_close(found, wanted)


def test_the_newest_set_can_be_taken_out_of_a_mean():
    generator = torch.Generator().manual_seed(0)
    sets = [{"w": torch.randn(7, generator=generator)} for _ in range(4)]
    mean, means = None, []
    for count, state in enumerate(sets, start=1):
        mean = running_mean(mean, state, count)
        means.append(mean)
    for count in (2, 3, 4):
        back = without_newest(means[count - 1], sets[count - 1], count)
        torch.testing.assert_close(back["w"], means[count - 2]["w"])
    with pytest.raises(InputError, match="no earlier one"):
        without_newest(means[0], sets[0], 1)


@pytest.fixture(scope="module")
def learned(tiny_settings, blobs, pretrained, tmp_path_factory):
    """Two sessions with adapters that hardly move, so that ridge regression on all is exact."""
    settings = dataclasses.replace(tiny_settings, adapter_epochs=1, adapter_learning_rate=1e-7)
    chain = Chain(settings, blobs, pretrained, 1)
    learner = DynaMMoRidge(chain)
    folder = tmp_path_factory.mktemp("ridge")
    for _ in range(2):
        chain.tune(progress=False)
        # Batch norm's statistics move even so; hold them, to have one set of features.
        chain.adapter_states = (chain.adapter_states[0],) * chain.session
        chain.merge()
        chain.choose_exemplars()
        learner.learn_session()
    chain.save(folder)
    learner.save(folder)
    return chain, learner, folder


def what_the_head_reads(chain, state, images):
    """The depths' vectors and every image's mirror image, by hand: [2 N, D] in double precision."""
    network, backbone = chain.backbone.network, chain.backbone
    found, hooks = {}, []
    for name in ("stage4", "stage5", "stage6", "stage7"):

        def keep(_stage, _x, maps, name=name):
            found[name] = maps.flatten(2).mean(dim=2)

        hooks.append(network.get_submodule(name).register_forward_hook(keep))
    rows = []
    with torch.no_grad():
        for side in (images, images[:, :, ::-1]):
            found["last"] = chain.network(state)(backbone.normalise(side.copy()))
            depths = [found[name].numpy().astype(float) for name in sorted(found)]
            units = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in depths]
            rows.append(np.concatenate([*units[1:], units[0]], axis=1))  # "last" sorts first
    for hook in hooks:
        hook.remove()
    return np.concatenate(rows)


def test_with_features_at_rest_it_is_ridge_regression_on_every_image(learned):
    chain, learner, _ = learned
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


def test_restored_it_predicts_the_same_and_goes_on(learned, tiny_settings):
    chain, learner, folder = learned
    other = DynaMMoRidge(chain)
    other.restore(folder)
    images = chain.stream.test.images[:8]
    assert torch.equal(other.judge(images)[0], learner.judge(images)[0])
    for one, two in zip(other.statistics.buffers(), learner.statistics.buffers(), strict=True):
        assert torch.equal(one, two)
    assert "statistics.scatter" in load_file(folder / "head_dynammo_ridge.safetensors")


def test_statistics_count_as_stored_and_one_pass_is_used(learned):
    chain, learner, _ = learned
    size, classes = 112 + 80 + 192 + 320 + 1280, 4
    one_set = sum(p.numel() for p in chain.adapters(None).parameters())
    backbone = sum(p.numel() for p in chain.backbone.parameters())
    statistics = size * size + classes * size + classes
    assert learner.stored_numbers() == backbone + size * classes + 2 * one_set + statistics
    assert len(learner.network().passes) == 1
    assert learner.trained_numbers() == one_set


@pytest.fixture(scope="module")
def moving(tiny_settings, blobs, pretrained):
    """Two sessions whose adapters really move, with the ridge head and its controls."""
    chain = Chain(dataclasses.replace(tiny_settings, adapter_epochs=3), blobs, pretrained, 1)
    learners = {kind: kind(chain) for kind in (DynaMMoRidge, *CONTROLS)}
    for _ in range(2):
        chain.tune(progress=False)
        chain.merge()
        chain.choose_exemplars()
        for learner in learners.values():
            learner.learn_session()
    return chain, learners


@pytest.mark.parametrize("kind", [RidgeOracle, RidgeFrozen])
def test_controls_are_ridge_regressions_on_every_image(moving, kind):
    chain, learners = moving
    learner = learners[kind]
    state = chain.merged_state if kind is RidgeOracle else None
    x = torch.as_tensor(what_the_head_reads(chain, state, chain.stream.train.images))
    gram, correlation = learner.statistics.sums()
    torch.testing.assert_close(gram, x.T @ x, rtol=1e-5, atol=1e-6)
    hot = torch.eye(4, dtype=torch.double)[torch.as_tensor(chain.stream.train.labels)].repeat(2, 1)
    torch.testing.assert_close(correlation, x.T @ hot, rtol=1e-5, atol=1e-6)


def test_the_control_without_adapters_and_stages_reads_the_network_s_own_features(moving):
    chain, learners = moving
    images, backbone = chain.stream.train.images, chain.backbone
    with torch.no_grad():
        sides = (backbone.normalise(side.copy()) for side in (images, images[:, :, ::-1]))
        x = torch.cat([backbone(side).double() for side in sides])
    gram, _ = learners[RidgeFrozenFeaturesAlone].statistics.sums()
    torch.testing.assert_close(gram, x.T @ x, rtol=1e-4, atol=1e-5)


def test_following_the_drift_brings_old_means_nearer_to_where_they_are(moving):
    _, learners = moving
    truth = learners[RidgeOracle].statistics.means[:2]

    def off(kind):
        return (learners[kind].statistics.means[:2] - truth).norm()

    assert off(DynaMMoRidge) < 0.8 * off(RidgeDriftIgnored)


def test_the_last_set_is_followed_from_the_one_before(moving):
    chain, learners = moving
    learner = learners[RidgeLast]
    assert learner.adapter_sets()[0] is chain.adapter_states[-1]
    assert learner.set_before() is chain.adapter_states[-2]
