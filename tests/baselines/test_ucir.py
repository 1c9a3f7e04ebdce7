"""UCIR's three terms against loops written from the paper's equations."""

import copy
import math

import numpy as np
import pytest
import torch
from helpers import generator
from helpers_for_baselines import (
    IMAGES,
    LABELS,
    cosine_head,
    cosine_similarities,
    cross_entropy,
    normal,
    numbers,
    unit,
)
from torch import nn

from dynammo.backbones import make_backbone
from dynammo.baselines.ucir import less_forget, margin_ranking, without_last_relu
from dynammo.errors import InputError


def test_less_forget_is_one_minus_the_mean_cosine():
    features, teacher = normal(6, 5), normal(6, 5, seed=1)
    cosines = [a @ b for a, b in zip(unit(features), unit(teacher), strict=True)]
    assert less_forget(features, teacher).item() == pytest.approx(1 - np.mean(cosines), rel=1e-5)
    assert less_forget(3 * features, features).item() == pytest.approx(0, abs=1e-6)


def margin_loop(similarities, labels, old_classes, margin, negatives) -> float:
    losses = []
    for row, label in zip(np.asarray(similarities, dtype=np.float64), labels, strict=True):
        if label < old_classes:
            nearest = sorted(row[old_classes:], reverse=True)[:negatives]
            losses.append(np.mean([max(0, margin - row[label] + new) for new in nearest]))
    return float(np.mean(losses)) if losses else 0.0


@pytest.mark.parametrize("negatives", [1, 2, 9])
def test_margin_ranking_keeps_old_images_from_the_nearest_new_classes(negatives):
    """Nine negatives are more than the three new classes there are."""
    similarities = torch.rand(8, 5, generator=generator()) * 2 - 1
    labels = torch.tensor([0, 1, 2, 3, 4, 0, 1, 4])
    found = margin_ranking(similarities, labels, 2, 0.5, negatives)
    assert found.item() == pytest.approx(
        margin_loop(similarities, labels, 2, 0.5, negatives), rel=1e-5
    )


def test_margin_ranking_is_nothing_without_old_images_or_beyond_the_margin():
    similarities = normal(3, 4).requires_grad_()
    assert margin_ranking(similarities, torch.tensor([2, 3, 2]), 2, 0.5, 2).item() == 0
    apart = torch.tensor([[0.9, 0.0, 0.3, -0.2]])
    assert margin_ranking(apart, torch.tensor([0]), 2, 0.5, 2).item() == 0
    assert margin_ranking(apart, torch.tensor([1]), 2, 0.5, 2).item() == pytest.approx(1.1 / 2)


def test_ucirs_loss_is_the_sum_of_its_three_terms(in_session_two):
    head = cosine_head(4, 1, 8.0)
    learner = in_session_two("ucir", head, ucir_less_forget=4.0, ucir_margin=0.6)
    features = IMAGES.flatten(1).double() @ learner.classifier.extractor.weight.double().T
    teacher, _ = numbers(learner.teacher, IMAGES)
    features = features.detach().numpy()
    similarities = cosine_similarities(features, head.weight.detach())
    forget = 1 - np.mean([a @ b for a, b in zip(unit(features), unit(teacher), strict=True)])
    expected = cross_entropy(8 * similarities, LABELS) + 4 * math.sqrt(3 / 1) * forget
    expected += margin_loop(similarities, LABELS, 3, 0.6, learner.knobs.negatives)
    assert learner.batch_loss(IMAGES, LABELS).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet18"])
def test_without_the_last_relu_features_may_be_negative_and_nothing_else_is_changed(name):
    network = make_backbone(name, "random").trainable_network().eval()
    other = copy.deepcopy(network)
    without_last_relu(other)
    maps = {}
    last = "top" if name == "efficientnet_lite0" else "layer4"
    for key, one in (("with", network), ("without", other)):
        getattr(one, last).register_forward_hook(lambda *x, key=key: maps.update({key: x[-1]}))
        with torch.no_grad():
            one(normal(2, 3, 64, 64))
    assert maps["without"].min() < 0
    top = 6 if name == "efficientnet_lite0" else None
    torch.testing.assert_close(maps["without"].clamp(0, top), maps["with"])
    assert dict(other.named_parameters()).keys() == dict(network.named_parameters()).keys()


class Own(nn.Module):
    """A network of one's own: its last block is no Sequential, its features are a last ReLU's."""

    def __init__(self):
        super().__init__()
        self.one, self.act1 = nn.Conv2d(3, 4, 3), nn.ReLU()
        self.two, self.act2 = nn.Conv2d(4, 4, 3), nn.ReLU()

    def forward(self, x):
        return self.act2(self.two(self.act1(self.one(x)))).mean(dim=(2, 3))


class NormAct(nn.BatchNorm2d):
    """A norm that runs the ReLU after it, as timm's do."""

    def __init__(self, channels):
        super().__init__(channels)
        self.act = nn.ReLU()

    def forward(self, x):
        return self.act(super().forward(x))


def test_a_last_relu_inside_a_norm_is_found():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), NormAct(4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    without_last_relu(network.eval())
    assert network(normal(4, 3, 16, 16)).min() < 0


def test_any_networks_last_relu_is_found_where_it_is_run():
    network = Own()
    x = normal(4, 3, 16, 16)
    assert network(x).min() >= 0
    without_last_relu(network)
    assert isinstance(network.act2, nn.Identity) and isinstance(network.act1, nn.ReLU)
    before = copy.deepcopy(network)
    without_last_relu(network)  # a network without one stays as it is
    assert torch.equal(network(x), before(x))
    shared = Own()
    shared.act2 = shared.act1
    with pytest.raises(InputError, match="'act1' is a network's last ReLU and others of it"):
        without_last_relu(shared)
