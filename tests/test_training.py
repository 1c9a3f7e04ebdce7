"""The training loops: what they go through, what they change, and that shortcuts change nothing."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dynammo.adapters import AdaptedNetwork, make_adapters
from dynammo.heads import TaskHeads, UnifiedHead
from dynammo.training import (
    both_flips,
    descend,
    extract_features,
    fit_head,
    flip_half,
    generator_for,
    linear_head,
    seed_for,
    shuffled_batches,
    tune_adapters,
    tune_auxiliary_head,
)


@pytest.fixture
def few(blobs):
    """Some training images of session 1, with their labels 0 and 1."""
    positions = blobs.indices("train", 1)[:21]
    return blobs.train.images[positions], blobs.train.labels[positions]


def adapted(backbone, seed: int = 0, stages=("stage6",), alpha: float = 0.02) -> AdaptedNetwork:
    adapters = make_adapters(backbone, stages, 32, seed=seed, width=0.1, alpha=alpha)
    return AdaptedNetwork(backbone, adapters.requires_grad_(False)).eval()


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("count", range(2, 34))
def test_batches_cover_every_image_once_and_never_hold_one_image_alone(count):
    for size in (2, 4, 32):
        batches = list(shuffled_batches(count, size, generator(count)))
        assert sorted(torch.cat(batches).tolist()) == list(range(count))
        assert min(len(batch) for batch in batches) >= 2
        assert max(len(batch) for batch in batches) <= size + 1
        assert len(batches) == max(1, count // size + (count % size > 1))


def test_batches_are_shuffled_by_their_generator_alone():
    torch.manual_seed(0)
    one = torch.cat(list(shuffled_batches(50, 8, generator(1))))
    torch.manual_seed(1)
    same = torch.cat(list(shuffled_batches(50, 8, generator(1))))
    other = torch.cat(list(shuffled_batches(50, 8, generator(2))))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    going_on = generator(1)
    epochs = [torch.cat(list(shuffled_batches(50, 8, going_on))) for _ in range(2)]
    assert not torch.equal(*epochs)


def test_every_purpose_and_run_has_random_numbers_of_its_own():
    seeds = {
        seed_for(purpose, order, train, session)
        for purpose in ("tuning", "head")
        for order in range(3)
        for train in range(3)
        for session in range(1, 4)
    }
    assert len(seeds) == 2 * 3 * 3 * 3
    assert seed_for("tuning", 0, 1, 2) == seed_for("tuning", 0, 1, 2)
    assert seed_for("tuning", 0, 1, 2) != seed_for("tuning", 1, 0, 2)
    draws = [torch.rand(3, generator=generator_for("tuning", 0, 1)) for _ in range(2)]
    assert torch.equal(*draws)


@pytest.mark.parametrize(
    ("epochs", "milestones", "drops"),
    [
        (10, (0.55, 0.8), (6, 8)),
        (200, (0.35, 0.65, 0.85), (70, 130, 170)),  # the released code's, from shares
        (100, (0.55, 0.8), (55, 80)),
        (2, (0.1, 0.2), (1, 1)),
        (3, (), ()),
    ],
)
def test_the_learning_rate_drops_tenfold_after_each_milestone(epochs, milestones, drops):
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    rates = []

    def batch_loss(_batch):
        rates.append(optimizer.param_groups[0]["lr"])
        return weight.square().sum()

    losses = descend(batch_loss, 2, optimizer, epochs, milestones, 2, generator())
    expected = [0.1 ** sum(drop <= epoch for drop in drops) for epoch in range(epochs)]
    assert rates == pytest.approx(expected, rel=1e-6)
    assert len(losses) == epochs


def test_an_epochs_loss_is_the_mean_over_images_not_over_batches():
    weight = nn.Parameter(torch.zeros(1))
    values = torch.arange(5.0)
    losses = descend(
        lambda batch: values[batch].mean() + 0 * weight.sum(),
        5,
        torch.optim.SGD([weight], lr=1.0),
        2,
        (),
        3,
        generator(),
    )
    assert losses == pytest.approx([2.0, 2.0])


def test_descend_follows_the_gradient_of_each_batch_once():
    weight = nn.Parameter(torch.tensor([1.0]))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    losses = descend(lambda _: weight.square().sum(), 4, optimizer, 1, (), 2, generator())
    # Two steps of w <- w - 0.1 * 2 w, with losses 1 and 0.64.
    assert weight.item() == pytest.approx(0.64)
    assert losses == pytest.approx([0.82])


def test_linear_head_follows_its_seed_and_leaves_the_global_generator_alone():
    state = torch.random.get_rng_state()
    first, again, other = (linear_head(5, 3, seed, torch.device("cpu")) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert first.weight.shape == (3, 5)
    assert torch.equal(first.weight, again.weight) and torch.equal(first.bias, again.bias)
    assert not torch.equal(first.weight, other.weight)


def test_about_half_of_the_images_are_flipped_left_to_right_and_the_rest_left_alone():
    images = torch.randn(400, 3, 2, 3, generator=generator(1))
    flipped = flip_half(images, generator(2))
    count = 0
    for image, found in zip(images, flipped, strict=True):
        mirrored = torch.stack([image[:, :, 2], image[:, :, 1], image[:, :, 0]], dim=2)
        assert torch.equal(found, image) or torch.equal(found, mirrored)
        count += torch.equal(found, mirrored)
    assert 160 < count < 240


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
    settings = dataclasses.replace(
        tiny_settings, head_epochs=5, head_milestones=(0.4, 0.8), batch_size=8
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
    settings = dataclasses.replace(tiny_settings, adapter_epochs=4, batch_size=8)
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
    settings = dataclasses.replace(
        tiny_settings,
        adapter_epochs=2,
        adapter_milestones=(0.5,),
        adapter_learning_rate=0.02,
        adapter_momentum=0.8,
        adapter_weight_decay=0.1,
        batch_size=16,
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
    settings = dataclasses.replace(tiny_settings, adapter_epochs=1)

    def tuned(seed):
        network, head = adapted(pretrained), linear_head(1280, 2, 0, torch.device("cpu"))
        tune_adapters(network, head, images, labels, settings, generator(seed), progress=False)
        return torch.cat([p.flatten() for p in [*network.parameters(), *head.parameters()]])

    first, again, other = tuned(1), tuned(1), tuned(2)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_auxiliary_head_alone_is_trained_by_step_ones_recipe(few, pretrained, tiny_settings):
    images, labels = few
    settings = dataclasses.replace(tiny_settings, adapter_epochs=2, adapter_milestones=(0.5,))
    features = both_flips([AdaptedNetwork(pretrained, None)], pretrained, images)
    head = linear_head(1280, 3, 0, torch.device("cpu"))
    plain = copy.deepcopy(head)
    tune_auxiliary_head(head, features, labels, settings, generator(5))

    random = generator(5)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    for rate in (0.1, 0.01):
        optimizer.param_groups[0]["lr"] = rate
        order = torch.randperm(21, generator=random)
        for batch in (order[:16], order[16:]):
            flip = (torch.rand(len(batch), generator=random) < 0.5).long()
            loss = F.cross_entropy(plain(features[flip, batch, 0]), torch.as_tensor(labels)[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    torch.testing.assert_close(head.weight, plain.weight)
    torch.testing.assert_close(head.bias, plain.bias)


def test_mixed_precision_learns_as_well_and_leaves_weights_in_float32(
    few, pretrained, tiny_settings
):
    losses = {}
    for precision in ("float32", "bfloat16"):
        settings = dataclasses.replace(tiny_settings, precision=precision)
        network, head = adapted(pretrained, alpha=0.2), linear_head(1280, 2, 0, torch.device("cpu"))
        losses[precision] = tune_adapters(
            network, head, *few, settings, generator(), progress=False
        )
        assert {p.dtype for p in network.parameters()} == {torch.float32}
        assert extract_features(network, pretrained, few[0]).dtype == torch.float32
    assert losses["bfloat16"] != losses["float32"]  # it is in use
    assert losses["bfloat16"][-1] < 0.6 * losses["bfloat16"][0]
    np.testing.assert_allclose(losses["bfloat16"], losses["float32"], rtol=0.1, atol=0.02)
