"""Steps 1 and 4: what training changes, and that shortcuts change nothing."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import generator

from dynammo.adapters import AdaptedNetwork, make_adapters
from dynammo.baselines.whole_network import both_flips
from dynammo.heads import TaskHeads, UnifiedHead
from dynammo.training import extract_features, fit_head, flip_half, linear_head, tune_adapters


@pytest.fixture
def few(blobs):
    """Some training images of session 1, with their labels 0 and 1."""
    positions = blobs.indices("train", 1)[:21]
    return blobs.train.images[positions], blobs.train.labels[positions]


def adapted(backbone, seed: int = 0, stages=("stage6",), alpha: float = 0.02) -> AdaptedNetwork:
    adapters = make_adapters(backbone, stages, 32, seed=seed, width=0.1, alpha=alpha)
    return AdaptedNetwork(backbone, adapters.requires_grad_(False)).eval()


def test_extracted_features_are_those_of_images_one_by_one(few, pretrained):
    images, _ = few
    images = np.concatenate([images] * 7)  # 147 images: more than one batch of evaluation
    network = adapted(pretrained, alpha=1.0)
    network.train()
    found = extract_features(network, pretrained, images)
    assert found.shape == (147, 1280)
    assert not found.requires_grad
    assert not network.adapters.training
    with torch.no_grad():
        for i in (0, 20, 130, 146):
            one = network(pretrained.normalise(images[i : i + 1]))[0]
            torch.testing.assert_close(found[i], one, rtol=1e-4, atol=1e-4)


def test_both_flips_are_the_features_of_images_and_mirror_images_under_each_network(
    few, pretrained
):
    images, _ = few
    networks = [adapted(pretrained, seed=seed, alpha=1.0) for seed in (0, 1)]
    found = both_flips(networks, pretrained, images)
    assert found.shape == (2, 21, 2, 1280)
    mirrored = np.ascontiguousarray(images[:, :, ::-1])  # [N, H, W, 3]: the columns
    with torch.no_grad():
        for flip, pictures in enumerate((images, mirrored)):
            for p, network in enumerate(networks):
                expected = network(pretrained.normalise(pictures))
                torch.testing.assert_close(found[flip, :, p], expected, rtol=1e-4, atol=1e-4)
    assert (found[0] - found[1]).abs().max() > 0.01
    assert (found[:, :, 0] - found[:, :, 1]).abs().max() > 0.01


@pytest.mark.parametrize("kind", [UnifiedHead, TaskHeads])
def test_fitting_a_head_on_cached_features_equals_running_the_network_at_every_step(
    kind, few, pretrained, tiny_settings
):
    images, labels = few
    settings = tiny_settings.with_changes(
        {"head_epochs": 5, "head_milestones": (0.4, 0.8), "batch_size": 8}
    )
    network = adapted(pretrained, alpha=1.0)
    head = kind(1280)
    for seed in (0, 1):  # two sessions of one class
        head.add_session(linear_head(1280, 2, seed, torch.device("cpu")))
    plain = copy.deepcopy(head)

    fit_head(
        list(head.parameters()),
        head.loss,
        both_flips([network], pretrained, images),
        labels,
        settings,
        generator(9),
    )

    random = generator(9)
    optimizer = torch.optim.Adam(plain.parameters(), lr=settings.head_learning_rate)
    for epoch in range(5):
        if epoch in (2, 4):
            for group in optimizer.param_groups:
                group["lr"] /= 10
        order = torch.randperm(21, generator=random)
        for batch in (order[:8], order[8:16], order[16:]):
            x = pretrained.normalise(images[batch.numpy()])
            x = flip_half(x, random)
            with torch.no_grad():
                features = network(x)[:, None]
            optimizer.zero_grad()
            plain.loss(features, torch.as_tensor(labels)[batch]).backward()
            optimizer.step()
    start = kind(1280)
    for seed in (0, 1):
        start.add_session(linear_head(1280, 2, seed, torch.device("cpu")))
    for found, expected, first in zip(
        head.parameters(), plain.parameters(), start.parameters(), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)
        assert (found - first).abs().max() > 1e-4  # it did train


def test_tuning_changes_the_adapters_and_the_auxiliary_head_and_nothing_else(
    few, pretrained, tiny_settings
):
    images, labels = few
    settings = tiny_settings.with_changes({"adapter_epochs": 4, "batch_size": 8})
    network = adapted(pretrained, stages=("stage4", "stage6"))
    head = linear_head(1280, 3, 0, torch.device("cpu"))
    backbone = {k: v.clone() for k, v in pretrained.state_dict().items()}
    trained = {k: v.clone() for k, v in network.adapters.state_dict().items()}
    trained |= {f"head.{k}": v.clone() for k, v in head.state_dict().items()}

    losses = tune_adapters(network, head, images, labels, settings, generator(), progress=False)

    assert len(losses) == 4
    assert losses[-1] < 0.7 * losses[0]
    for key, value in pretrained.state_dict().items():
        assert torch.equal(value, backbone[key]), key
    for name, parameter in pretrained.named_parameters():
        assert parameter.grad is None, name
        assert not parameter.requires_grad, name
    after = network.adapters.state_dict() | {f"head.{k}": v for k, v in head.state_dict().items()}
    for key, value in after.items():
        assert not torch.equal(value, trained[key]), key
    for name, parameter in [*network.adapters.named_parameters(), *head.named_parameters()]:
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    assert not any(p.requires_grad for p in network.adapters.parameters())
    assert not network.adapters.training


def test_tuning_is_the_papers_recipe_step_by_step(few, pretrained, tiny_settings):
    images, labels = few
    settings = tiny_settings.with_changes(
        {
            "adapter_epochs": 2,
            "adapter_milestones": (0.5,),
            "adapter_learning_rate": 0.02,
            "adapter_momentum": 0.8,
            "adapter_weight_decay": 0.1,
            "batch_size": 16,
        }
    )
    network = adapted(pretrained)
    head = linear_head(1280, 3, 0, torch.device("cpu"))
    plain_adapters, plain_head = copy.deepcopy(network.adapters), copy.deepcopy(head)
    tune_adapters(network, head, images, labels, settings, generator(3), progress=False)

    plain = AdaptedNetwork(pretrained, plain_adapters.requires_grad_(True).train())
    parameters = [*plain_adapters.parameters(), *plain_head.parameters()]
    speed = [torch.zeros_like(p) for p in parameters]
    random = generator(3)
    for rate in (0.02, 0.002):
        order = torch.randperm(21, generator=random)
        for batch in (order[:16], order[16:]):
            x = flip_half(pretrained.normalise(images[batch.numpy()]), random)
            loss = F.cross_entropy(plain_head(plain(x)), torch.as_tensor(labels)[batch])
            gradients = torch.autograd.grad(loss, parameters)
            with torch.no_grad():
                for p, v, g in zip(parameters, speed, gradients, strict=True):
                    v.mul_(0.8).add_(g + 0.1 * p)
                    p.sub_(rate * v)
    found = {**network.adapters.state_dict(), **head.state_dict()}
    for key, expected in {**plain_adapters.state_dict(), **plain_head.state_dict()}.items():
        torch.testing.assert_close(found[key], expected, rtol=1e-3, atol=1e-5, msg=key)


def test_tuning_with_the_same_random_numbers_gives_the_same_bits(few, pretrained, tiny_settings):
    images, labels = few
    settings = tiny_settings.with_changes({"adapter_epochs": 1})

    def tuned(seed):
        network, head = adapted(pretrained), linear_head(1280, 2, 0, torch.device("cpu"))
        tune_adapters(network, head, images, labels, settings, generator(seed), progress=False)
        return torch.cat([p.flatten() for p in [*network.parameters(), *head.parameters()]])

    first, again, other = tuned(1), tuned(1), tuned(2)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_mixed_precision_learns_as_well_and_leaves_weights_in_float32(
    few, pretrained, tiny_settings
):
    losses = {}
    for precision in ("float32", "bfloat16"):
        settings = tiny_settings.with_changes({"precision": precision})
        network, head = adapted(pretrained, alpha=0.2), linear_head(1280, 2, 0, torch.device("cpu"))
        losses[precision] = tune_adapters(
            network, head, *few, settings, generator(), progress=False
        )
        assert {p.dtype for p in network.parameters()} == {torch.float32}
        assert extract_features(network, pretrained, few[0]).dtype == torch.float32
    assert losses["bfloat16"] != losses["float32"]  # it is in use
    assert losses["bfloat16"][-1] < 0.6 * losses["bfloat16"][0]
    np.testing.assert_allclose(losses["bfloat16"], losses["float32"], rtol=0.1, atol=0.02)
