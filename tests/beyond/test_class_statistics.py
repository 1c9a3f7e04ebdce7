"""Sums over all images, which follow the features when those move."""

import numpy as np
import pytest
import torch
from helpers import generator

from dynammo.beyond.dynammo_ridge import without_newest
from dynammo.beyond.solved_head import ClassStatistics
from dynammo.errors import InputError
from dynammo.merging import running_mean


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


def test_balanced_sums_count_every_class_alike():
    features = torch.randn(30, 4, dtype=torch.double, generator=generator())
    labels = torch.tensor([0] * 24 + [1] * 6)
    statistics = ClassStatistics(4).with_images(features, labels)
    gram, correlation = statistics.sums(balanced=True)
    means = [features[labels == k].mean(dim=0) for k in (0, 1)]
    torch.testing.assert_close(correlation, 15 * torch.stack(means, dim=1))
    about = torch.cat([features[labels == k] - means[k] for k in (0, 1)])
    between = 15 * sum(torch.outer(mean, mean) for mean in means)
    torch.testing.assert_close(gram, about.T @ about + between)
    alike = ClassStatistics(4).with_images(features, torch.arange(30) % 2)
    for one, other in zip(alike.sums(), alike.sums(balanced=True), strict=True):
        torch.testing.assert_close(one, other)


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


def test_few_images_move_them_as_the_dense_formula_does():
    """With fewer images than features, as in every session of a real stream."""
    x, labels = features_of([0, 1])
    known, new = features_of([4], seed=2)[0][:4], features_of([5], seed=3)[0][:4]
    statistics = ClassStatistics(5).with_images(x, labels)
    means, scatter = statistics.means.clone(), statistics.scatter.clone()
    statistics.move(known, new, stiffness=0.3)
    m, b = known.mean(dim=0), (new - known).mean(dim=0)
    about, moved = known - m, new - known - b
    identity = torch.eye(5, dtype=torch.double)
    penalty = 0.3 * about.square().sum() / 5
    a = torch.linalg.solve(about.T @ about + penalty * identity, about.T @ moved)
    torch.testing.assert_close(statistics.means, means + (means - m) @ a + b)
    turn = identity + a
    torch.testing.assert_close(statistics.scatter, turn.T @ scatter @ turn)


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
    random = generator()
    sets = [{"w": torch.randn(7, generator=random)} for _ in range(4)]
    mean, means = None, []
    for count, state in enumerate(sets, start=1):
        mean = running_mean(mean, state, count)
        means.append(mean)
    for count in (2, 3, 4):
        back = without_newest(means[count - 1], sets[count - 1], count)
        torch.testing.assert_close(back["w"], means[count - 2]["w"])
    with pytest.raises(InputError, match="no earlier one"):
        without_newest(means[0], sets[0], 1)
