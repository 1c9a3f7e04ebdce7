"""LwF and WA against loops written from the papers' equations, in NumPy."""

import math

import numpy as np
import pytest
import torch
from helpers_for_baselines import (
    IMAGES,
    LABELS,
    cross_entropy,
    normal,
    numbers,
    softmax,
    unit,
)

from dynammo.baselines.distillation import distillation_loss
from dynammo.baselines.wa import align


def softened(logits, temperature: float) -> np.ndarray:
    """LwF's equation 3: probabilities to the power 1/T, made to sum to 1 again."""
    powers = softmax(logits) ** (1 / temperature)
    return powers / powers.sum(axis=-1, keepdims=True)


def distillation(logits, teacher, temperature: float) -> float:
    """LwF's equation 2, image by image."""
    new, old = softened(logits, temperature), softened(teacher, temperature)
    return float(np.mean([-(o * np.log(n)).sum() for n, o in zip(new, old, strict=True)]))


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_distillation_is_lwfs_equation_two(temperature):
    logits, teacher = 2 * normal(7, 4, seed=1), 2 * normal(7, 4, seed=2)
    found = distillation_loss(logits, teacher, temperature)
    assert found.item() == pytest.approx(distillation(logits, teacher, temperature), rel=1e-5)


def test_distillation_does_not_pull_where_the_two_networks_agree():
    teacher = 2 * normal(7, 4)
    agreeing = (teacher + 3).requires_grad_()  # a shift of all logits changes no probability
    distillation_loss(agreeing, teacher, 2.0).backward()
    assert agreeing.grad.abs().max() < 1e-7
    elsewhere = (teacher + normal(7, 4, seed=5)).requires_grad_()
    distillation_loss(elsewhere, teacher, 2.0).backward()
    assert elsewhere.grad.abs().max() > 1e-2


def test_a_high_temperature_evens_out_what_is_distilled():
    logits, teacher = 2 * normal(7, 4, seed=1), 2 * normal(7, 4, seed=2)
    losses = [distillation_loss(logits, teacher, t).item() for t in (1.0, 2.0, 1e4)]
    assert losses[0] > losses[1] > losses[2]
    assert losses[2] == pytest.approx(math.log(4), rel=1e-5)


def test_lwf_asks_new_outputs_for_new_labels_and_old_outputs_for_the_old_answers(in_session_two):
    learner = in_session_two("lwf", lwf_weight=0.7, lwf_temperature=3.0)
    labels = torch.full((6,), 3)
    _, logits = numbers(learner.classifier, IMAGES)
    _, teacher = numbers(learner.teacher, IMAGES)
    expected = cross_entropy(logits[:, 3:], [0] * 6) + 0.7 * distillation(
        logits[:, :3], teacher, 3.0
    )
    found = learner.batch_loss(IMAGES, labels)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_wa_weighs_distillation_by_the_share_of_old_classes(in_session_two):
    learner = in_session_two("wa", wa_temperature=2.0, wa_clip=False)
    _, logits = numbers(learner.classifier, IMAGES)
    _, teacher = numbers(learner.teacher, IMAGES)
    expected = 0.25 * cross_entropy(logits, LABELS) + 0.75 * distillation(
        logits[:, :3], teacher, 2.0
    )
    found = learner.batch_loss(IMAGES, LABELS)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_aligned_rows_are_equally_long_on_average_and_point_where_they_did():
    weight = torch.cat([normal(3, 8), 7 * normal(2, 8, seed=1)])
    aligned = align(weight, old_classes=3)
    lengths = np.linalg.norm(aligned.double().numpy(), axis=1)
    assert lengths[3:].mean() == pytest.approx(lengths[:3].mean(), rel=1e-6)
    assert torch.equal(aligned[:3], weight[:3])
    np.testing.assert_allclose(unit(aligned), unit(weight), rtol=1e-5)
    before = np.linalg.norm(weight.double().numpy(), axis=1)
    assert lengths[3] / lengths[4] == pytest.approx(before[3] / before[4], rel=1e-5)


def test_wa_clips_the_heads_weights_at_each_step(in_session_two, runs):
    learner = in_session_two("wa")
    before = learner.classifier.head.weight.detach().clone()
    learner.batch_loss(IMAGES, LABELS)
    assert (before < 0).any()
    assert torch.equal(learner.classifier.head.weight, before.clamp(min=0))
    assert (runs.learned["wa"].learner.classifier.head.weight >= 0).all()


def test_wa_leaves_old_and_new_rows_equally_long(runs):
    learner = runs.learned["wa"].learner
    weight = learner.classifier.head.weight.detach().numpy()
    lengths = np.linalg.norm(weight, axis=1)
    assert lengths[2:].mean() == pytest.approx(lengths[:2].mean(), rel=1e-5)
    plain = runs.learned["replay"].learner.classifier.head.weight.detach().numpy()
    lengths = np.linalg.norm(plain, axis=1)
    assert lengths[2:].mean() != pytest.approx(lengths[:2].mean(), rel=1e-2)


def test_wa_learns_without_biases_where_it_is_told_to(start):
    for biases in (True, False):
        learner = start("wa", wa_biases=biases)
        for _ in range(2):
            learner.learn_session(progress=False)
        head = learner.classifier.head
        assert bool(head.bias.abs().sum()) == head.bias.requires_grad == biases
        again = start("wa", wa_biases=biases)
        again.outline(2)
        again.memory = learner.memory
        again.load_state(learner.state())
        images = learner.stream.test.images[:4]
        assert torch.equal(again.judge(images)[0], learner.judge(images)[0])
