"""The renormalised network: early statistics of the first session, then frozen."""

import copy

import numpy as np
import pytest
import torch
from helpers import same
from torch import nn

from dynammo.backbones import at_stages
from dynammo.beyond.renormalised import RidgeRenormalised, early_norms, with_statistics
from dynammo.beyond.ridge_controls import RidgeFrozen
from dynammo.chain import Chain
from dynammo.errors import InputError
from dynammo.run.sessions import restore_learner, save_learner


@pytest.fixture(scope="module")
def learned(tiny_settings, blobs, pretrained):
    chain = Chain(tiny_settings.with_changes({"adapter_epochs": 1}), blobs, pretrained, 1)
    learners = [RidgeRenormalised(chain), RidgeFrozen(chain)]
    states = []
    for _ in range(2):
        for learner in learners:
            learner.learn_session(progress=False)
        states.append(copy.deepcopy(learners[0].state()))
    return chain, *learners, states


def test_early_norms_are_those_that_images_pass_first(pretrained):
    network = pretrained.trainable_network()
    passed = []
    norms = {n: m for n, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)}
    note = {name: lambda _maps, name=name: passed.append(name) for name in norms}
    stop = {pretrained.stages[2]: lambda _maps: passed.append("stop")}
    with torch.no_grad(), at_stages(network.eval(), before=stop, after=note):
        network(torch.zeros(1, 3, 32, 32))
    early = passed[: passed.index("stop")]
    found = early_norms(pretrained, network, 0.3)
    assert [id(one) for one in found] == [id(norms[name]) for name in early]


def test_statistics_are_those_of_the_first_session_and_stay(learned):
    chain, learner, _, (first, second) = learned
    assert all(torch.equal(first[n], second[n]) for n in first if n.startswith("norm"))
    # The first norm sees the same maps whatever the batches are, so its mean is that of all images.
    network = chain.backbone.trainable_network().eval()
    images = chain.stream.train.select(chain.stream.indices("train", 1))
    maps = []
    norm = early_norms(chain.backbone, network, 0.3)[0]
    norm.register_forward_pre_hook(lambda _, x: maps.append(x[0]))
    with torch.no_grad():
        network(chain.backbone.normalise(images[:]))
    mean, variance = learner.measured[0]
    torch.testing.assert_close(mean, maps[0].mean(dim=(0, 2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(variance, maps[0].var(dim=(0, 2, 3)), rtol=0.05, atol=1e-3)


def test_with_the_pretrained_statistics_it_is_the_frozen_network(learned):
    chain, *_ = learned
    norms = early_norms(chain.backbone, chain.backbone.trainable_network(), 0.3)
    pretrained = [torch.stack([norm.running_mean, norm.running_var]) for norm in norms]
    own = with_statistics(chain.backbone, pretrained, 0.3)
    x = chain.backbone.normalise(chain.stream.test.images[:4])
    torch.testing.assert_close(own(x), chain.backbone(x))


def test_the_backbone_that_others_share_stays_as_it_is(learned):
    chain, learner, frozen, _ = learned
    x = chain.backbone.normalise(chain.stream.test.images[:4])
    assert not torch.allclose(learner.own(x), chain.backbone(x), atol=1e-3)
    both = [one.judge_split("test", np.arange(8))[0] for one in (learner, frozen)]
    assert not torch.allclose(*both)
    assert learner.stored_images() == 0 and learner.trained_numbers() == 0


def test_restored_it_predicts_the_same(learned, tmp_path):
    chain, learner, *_ = learned
    save_learner(learner, tmp_path)
    other = RidgeRenormalised(chain)
    restore_learner(other, tmp_path, 2)
    images = chain.stream.test.images[:8]
    assert torch.equal(other.judge(images)[0], learner.judge(images)[0])
    assert same(other.state(), learner.state())


def test_a_network_without_early_batch_norm_is_one_clear_error(pretrained):
    network = nn.Sequential()
    network.add_module("stem", nn.Conv2d(3, 8, 3))
    network.add_module(pretrained.stages[2], nn.BatchNorm2d(8))
    with pytest.raises(InputError, match="has no batch norm before 'stage3' to renormalise"):
        early_norms(pretrained, network, 0.3)


def test_a_network_of_one_stage_has_nothing_early(pretrained):
    whole = copy.copy(pretrained)
    whole.stages = ("stage1",)
    with pytest.raises(InputError, match="has but one stage"):
        early_norms(whole, whole.trainable_network(), 0.3)
