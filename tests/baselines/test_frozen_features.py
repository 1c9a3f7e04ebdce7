"""The control without adapters: its auxiliary head is trained by the same recipe as theirs."""

import torch
import torch.nn.functional as F
from helpers import same

from dynammo.adapters import AdaptedNetwork
from dynammo.baselines.frozen_features import FrozenFeatures
from dynammo.baselines.whole_network import both_flips
from dynammo.chain import Chain
from dynammo.training import generator_for


def test_the_auxiliary_head_alone_is_trained_by_step_ones_recipe(tiny_settings, blobs, pretrained):
    settings = tiny_settings.with_changes({"adapter_epochs": 2, "adapter_milestones": (0.5,)})
    chain = Chain(settings, blobs, pretrained, 1)
    learner = FrozenFeatures(chain)
    learner.session, chain.tuned_on = 1, chain.training_positions(1)
    head = learner.auxiliary_head()

    positions = blobs.indices("train", 1)
    images, labels = blobs.train.select(positions), torch.as_tensor(blobs.train.labels[positions])
    features = both_flips([AdaptedNetwork(pretrained, None)], pretrained, images)
    plain = chain.fresh_auxiliary_head(1)
    random = generator_for("auxiliary head", 0, 1, 1)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    for rate in (0.1, 0.01):
        optimizer.param_groups[0]["lr"] = rate
        order = torch.randperm(48, generator=random)
        for batch in order.split(16):
            flip = (torch.rand(len(batch), generator=random) < 0.5).long()
            loss = F.cross_entropy(plain(features[flip, batch, 0]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    torch.testing.assert_close(head.weight, plain.weight)
    torch.testing.assert_close(head.bias, plain.bias)
    assert not any(parameter.requires_grad for parameter in head.parameters())


def test_its_auxiliary_head_may_have_a_rate_of_its_own(tiny_settings, blobs, pretrained):
    def head(**changes):
        settings = tiny_settings.with_changes({"adapter_epochs": 1} | changes)
        learner = FrozenFeatures(Chain(settings, blobs, pretrained, 1))
        learner.session, learner.chain.tuned_on = 1, learner.chain.training_positions(1)
        return learner.auxiliary_head().state_dict()

    own = head(frozen_features_learning_rate=0.5)
    assert same(own, head(adapter_learning_rate=0.5)) and not same(own, head())


def test_its_heads_may_have_a_rate_of_their_own(tiny_settings, blobs, pretrained):
    def heads(**changes):
        settings = tiny_settings.with_changes({"adapter_epochs": 1} | changes)
        chain = Chain(settings, blobs, pretrained, 1)
        learner = FrozenFeatures(chain)
        for _ in range(2):
            learner.learn_session(progress=False)
        return learner.head.state_dict()

    own = heads(frozen_features_head_learning_rate=0.5)
    assert same(own, heads(head_learning_rate=0.5)) and not same(own, heads())


def test_its_later_heads_are_fresh_where_all_heads_are(tiny_settings, blobs, pretrained):
    def newest(later_heads):
        changes = {"later_heads": later_heads, "head_learning_rate": 1e-12, "adapter_epochs": 1}
        chain = Chain(tiny_settings.with_changes(changes), blobs, pretrained, 1)
        learner = FrozenFeatures(chain)
        for _ in range(2):
            learner.learn_session(progress=False)
        return learner.head.weight[3:], chain.fresh_auxiliary_head(2).weight

    torch.testing.assert_close(*newest("fresh"))
    started, fresh = newest("auxiliary")
    assert (started - fresh).abs().max() > 1e-3
