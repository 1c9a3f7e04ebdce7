"""EWC: its penalty number by number, and what two sessions of it hold."""

import numpy as np
import pytest
import torch
from helpers import same
from helpers_for_baselines import IMAGES, cross_entropy, linear_head, normal, numbers
from safetensors.torch import load_file

from dynammo.baselines.fisher import fisher_of_session


@pytest.fixture
def anchored_ewc(in_session_two):
    """EWC with a head grown from three classes to four, away from an anchor of random numbers."""
    learner = in_session_two("ewc", ewc_strength=30.0, network_learning_rate=0.05)
    learner.classifier.head = linear_head(3, seed=4)
    shapes = {name: p.shape for name, p in learner.classifier.named_parameters()}
    learner.anchor = {name: normal(*shape, seed=20) for name, shape in shapes.items()}
    learner.fisher = {name: normal(*shape, seed=21).square() for name, shape in shapes.items()}
    learner.classifier.head.add_classes(normal(1, 5, seed=22), normal(1, seed=23))
    return learner


def test_ewc_holds_old_weights_and_leaves_a_grown_heads_new_rows_free(anchored_ewc):
    learner, expected, pulls = anchored_ewc, 0.0, []
    for name, p in learner.classifier.named_parameters():
        for where in np.ndindex(*learner.anchor[name].shape):
            moved = p[where].item() - learner.anchor[name][where].item()
            pulls.append(30 * learner.fisher[name][where].item())
            expected += min(pulls[-1], 1 / 0.05) / 2 * moved**2
    assert min(pulls) < 1 / 0.05 < max(pulls)
    penalty = learner.penalty()
    assert penalty.item() == pytest.approx(expected, rel=1e-5)
    penalty.backward()
    head = learner.classifier.head
    assert head.weight.grad[:3].abs().min() > 0
    assert head.weight.grad[3:].abs().max() == head.bias.grad[3:].abs().max() == 0
    _, logits = numbers(learner.classifier, IMAGES)
    loss = learner.batch_loss(IMAGES, torch.full((6,), 3))
    assert loss.item() == pytest.approx(cross_entropy(logits[:, 3:], [0] * 6) + expected, rel=1e-5)


def test_ewc_pulls_no_weight_further_than_back(anchored_ewc):
    """One step of plain gradient descent: weights that matter much land on the anchor."""
    learner = anchored_ewc
    weight, anchor = learner.classifier.extractor.weight, learner.anchor["extractor.weight"]
    before = weight.detach() - anchor
    learner.penalty().backward()
    after = before - 0.05 * weight.grad
    mattered = 30 * learner.fisher["extractor.weight"] > 1 / 0.05
    assert 0 < mattered.sum() < mattered.numel()
    assert after[mattered].abs().max() < 1e-6
    assert (after[~mattered] * before[~mattered] > 0).all()


def test_ewcs_fisher_information_adds_up_over_sessions_around_the_newest_weights(runs):
    first, second = (
        load_file(folder / "state.safetensors") for folder in runs.learned["ewc"].folders
    )
    fisher = {k.removeprefix("extra."): v for k, v in first.items() if k.startswith("extra.")}
    learner = runs.learned["ewc"].learner
    count = learner.knobs.fisher_images
    newest = fisher_of_session(learner, 2, learner.classifier, learner.old_classes, count)
    for name, old in fisher.items():
        newest[name][: len(old)] += old
        assert torch.allclose(second[f"extra.{name}"], newest[name]), name
    # The first session's outputs take no part in the second's: their rows only keep what they had.
    assert torch.equal(second["extra.head.weight"][:2], first["extra.head.weight"])
    assert second["extra.head.weight"][2:].max() > 0
    assert same(learner.anchor, {k: second[f"network.{k}"] for k in learner.anchor})


def test_ewc_moves_weights_that_mattered_less_than_fine_tuning_does(runs):
    fisher = {
        k.removeprefix("extra."): v
        for k, v in load_file(runs.learned["ewc"].folders[0] / "state.safetensors").items()
        if k.startswith("extra.extractor")
    }

    def moved(name: str) -> float:
        first, second = (
            load_file(folder / "state.safetensors") for folder in runs.learned[name].folders
        )
        steps = {k: second[f"network.{k}"] - first[f"network.{k}"] for k in fisher}
        return sum(float((fisher[k] * steps[k].square()).sum()) for k in fisher)

    assert moved("ewc") < 0.2 * moved("fine_tuning")
