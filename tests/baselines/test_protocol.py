"""Whole sessions of every baseline: what is learned, forgotten, changed and left alone."""

import numpy as np
import pytest
import torch
from helpers import generator, same
from helpers_for_baselines import (
    BASELINES,
    FROZEN,
    REPLAYING,
    TRAINED,
    accuracies,
    every_baseline,
    every_trained,
    scores,
    tensors,
)

from dynammo.baselines.whole_network import Extractor
from dynammo.data.make_stream import make_stream
from dynammo.learner import Setup
from dynammo.methods import make_learner
from dynammo.run.sessions import restore_learner


@every_baseline
def test_the_first_session_is_learned(run):
    assert run.accuracies[0][0] > 0.9


@pytest.mark.parametrize("run", [b for b in BASELINES if b not in ("lwf", "ewc")], indirect=True)
def test_the_second_session_is_learned(run):
    assert run.accuracies[1][1] > 0.8


@every_baseline
def test_scores_are_of_the_classes_seen(run):
    assert [found.shape for found in run.scores] == [(24, 2), (48, 4)]
    assert all(np.isfinite(found).all() for found in run.scores)


@every_trained
def test_losses_are_one_an_epoch_and_fall(run, settings):
    for losses in run.losses:
        assert len(losses) == settings.adapter_epochs
        assert losses[-1] < 0.9 * losses[0]


def test_fine_tuning_forgets(runs):
    first, second = runs.learned["fine_tuning"].accuracies
    assert first[0] > 0.9
    assert second[0] < 0.1 and second[1] > 0.9


@pytest.mark.parametrize("run", ["joint", *REPLAYING, *FROZEN], indirect=True)
def test_with_old_images_or_frozen_features_nothing_is_forgotten(run):
    assert run.accuracies[1][0] > 0.8


@pytest.mark.parametrize("name", ["lwf", "ewc"])
def test_without_old_images_some_is_kept_though_not_in_every_run(runs, start, name):
    """Over four seeds; what is kept is paid for by the new classes, but less than it is worth."""
    kept = [runs.learned[name].accuracies[1]]
    for train_seed in (2, 3, 4):
        learner = start(name, train_seed)
        for _ in range(2):
            learner.learn_session(progress=False)
        kept.append(accuracies(learner))
    old, both = np.mean(kept, axis=0)[0], np.mean(kept)
    assert old > runs.learned["fine_tuning"].accuracies[1][0] + 0.4
    assert both > np.mean(runs.learned["fine_tuning"].accuracies[1]) + 0.1


def test_joint_training_begins_again_each_session(runs, start):
    learner = start("joint")
    learner.session = 1  # as if the first session had been learned, but it was not
    learner.learn_session(progress=False)
    assert np.array_equal(scores(learner), runs.learned["joint"].scores[1])


@pytest.mark.parametrize("name", ["replay_balanced_head", "der", "podnet"])
def test_the_balanced_head_is_tuned_without_the_network(runs, start, name):
    learner = start(name, head_learning_rate=1e-4)  # other head tuning, the same training
    restore_learner(learner, runs.learned[name].folders[0], 1)
    learner.learn_session(progress=False)
    found, expected = tensors(learner), tensors(runs.learned[name].learner)
    differ = {key for key in expected if not torch.equal(found[key], expected[key])}
    tuned = {key for key in expected if key.startswith("head.")} - {"head.scale"}  # is fixed
    assert differ == tuned


def test_the_shared_backbone_and_the_global_generators_are_left_alone(runs, backbone):
    assert same(dict(backbone.state_dict()), runs.backbone_before)
    assert all(p.grad is None and not p.requires_grad for p in backbone.parameters())
    assert not any(module.training for module in backbone.modules())
    for before, after in zip(*runs.generators, strict=True):
        assert np.array_equal(before, after)


@pytest.fixture(scope="module")
def few_blobs(blobs_npz):
    """Four training images a class: a session is one step."""
    return make_stream(str(blobs_npz), classes_per_session=2, train_per_class=4)


# One for each way of running or changing the network; the others differ in loss or memory alone.
WAYS = ["fine_tuning", "ucir", "podnet", "der", "ewc", "nearest_class_mean", "ridge_frozen"]


@pytest.mark.parametrize("name", WAYS)
def test_efficientnet_learns_by_every_kind_of_baseline_and_stays_as_it_was(
    name, settings, few_blobs, pretrained
):
    before = {k: v.clone() for k, v in pretrained.state_dict().items()}
    start = pretrained.trainable_network().state_dict()
    quick = settings.with_changes(
        {"adapter_epochs": 1, "head_epochs": 1, "memory_budget": 4, "ewc_fisher_images": 2}
    )
    learner = make_learner(name, Setup(quick, few_blobs, pretrained, 1))
    for _ in range(2):
        learner.learn_session(progress=False)
    assert np.isfinite(scores(learner)).all()
    assert same(dict(pretrained.state_dict()), before)
    assert same(dict(pretrained.trainable_network().state_dict()), start)
    assert all(p.grad is None for p in pretrained.parameters())
    if name in TRAINED:
        extractor = getattr(learner.classifier.extractor, "extractors", [None])[-1]
        trained = (extractor or learner.classifier.extractor).network.state_dict()
        moved = [k for k, v in start.items() if (v != trained[k]).any()]
        assert len(moved) > 0.9 * len(trained)


def test_batch_norm_of_a_trained_copy_follows_the_batches(backbone):
    extractor = Extractor(backbone).train()
    x = torch.randn(16, 3, 32, 32, generator=generator())
    norm = extractor.network.stage1[1]
    with torch.no_grad():
        maps = extractor.network.stage1[0](x).double().numpy()
        extractor(x)
    expected = 0.1 * maps.mean(axis=(0, 2, 3))  # from nought, and not by the layer's own 0.01
    np.testing.assert_allclose(norm.running_mean, expected, atol=1e-6)
    assert backbone.network.stage1[1].running_mean.abs().max() == 0
