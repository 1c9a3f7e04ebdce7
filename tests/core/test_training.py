"""The training loop: batches, seeds, the learning rate's schedule, flips."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import generator
from torch import nn

from dynammo.training import (
    descend,
    fit_head,
    flip_half,
    generator_for,
    linear_head,
    seed_for,
    shuffled_batches,
)


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


@pytest.mark.parametrize(
    ("images", "steps", "taken"),
    [(21, 0, 3 * 4), (21, 12, 3 * 4), (21, 50, 3 * 17), (17, 50, 2 * 25), (1, 6, 6)],
)
def test_a_head_is_tuned_for_its_epochs_or_until_it_had_so_many_steps(
    images, steps, taken, tiny_settings
):
    """Batches of 8; a last image alone (17 = 8 + 9) joins the batch before."""
    head, losses = linear_head(5, 2, 0, torch.device("cpu")), []

    def loss(features, labels):
        losses.append(F.cross_entropy(head(features[:, 0]), labels))
        return losses[-1]

    settings = tiny_settings.with_changes({"head_epochs": 4, "head_steps": steps, "batch_size": 8})
    features, labels = torch.ones(2, images, 1, 5), np.arange(images) % 2
    fit_head(list(head.parameters()), loss, features, labels, settings, generator())
    assert len(losses) == taken


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
