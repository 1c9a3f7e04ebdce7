"""Herding against a plain reference, and how the budget is shared."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dynammo.errors import InputError
from dynammo.memory import ExemplarMemory, herd


def herd_by_hand(features: np.ndarray, count: int) -> list[int]:
    """iCaRL's algorithm 4 as it is printed, in plain Python."""
    unit = []
    for row in features.tolist():
        length = sum(x * x for x in row) ** 0.5
        unit.append([x / length for x in row])
    size = len(unit[0])
    mean = [sum(row[d] for row in unit) / len(unit) for d in range(size)]
    chosen: list[int] = []
    while len(chosen) < min(count, len(unit)):
        gaps = {}
        for candidate in range(len(unit)):
            if candidate in chosen:
                continue
            picked = [unit[i] for i in [*chosen, candidate]]
            now = [sum(row[d] for row in picked) / len(picked) for d in range(size)]
            gaps[candidate] = sum((m - n) ** 2 for m, n in zip(mean, now, strict=True)) ** 0.5
        chosen.append(min(gaps, key=gaps.get))
    return chosen


def random_features(count: int, size: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(1, 2, (count, size)).astype(np.float32)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("count", "size"), [(8, 3), (15, 2), (12, 20)])
def test_herding_equals_a_plain_reference(count, size, seed):
    features = random_features(count, size, seed)
    assert herd(features, count - 3).tolist() == herd_by_hand(features, count - 3)


def test_the_first_choice_is_the_image_nearest_the_mean_of_directions():
    # Directions 0, 10 and 50 degrees: their mean points to 19.6 degrees. Lengths must not matter.
    angles, lengths = np.deg2rad([0, 50, 10]), np.array([1.0, 1000.0, 0.01])
    features = lengths[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert herd(features, 1).tolist() == [2]


def test_a_prefix_of_the_order_is_the_choice_of_that_length():
    features = random_features(20, 6, seed=3)
    longest = herd(features, 20)
    for count in range(20):
        assert herd(features, count).tolist() == longest[:count].tolist()


def test_every_image_is_chosen_once_and_no_more_than_there_are():
    order = herd(random_features(7, 4, seed=1), 50)
    assert sorted(order.tolist()) == list(range(7))
    assert order.dtype == np.int64


def test_images_alike_or_black_are_still_chosen_once_each():
    for features in (np.ones((5, 3)), np.zeros((5, 3))):
        assert sorted(herd(features, 5).tolist()) == list(range(5))


def test_herding_does_not_change_the_features():
    features = random_features(6, 3, seed=2).astype(np.float64)
    before = features.copy()
    herd(features, 3)
    assert np.array_equal(features, before)


def session(labels: list[int], first_position: int, seed: int):
    """Positions, labels and features of a session's images, classes mixed."""
    positions = np.arange(first_position, first_position + 2 * len(labels), 2)
    return positions, np.array(labels), random_features(len(labels), 4, seed)


def after(memory: ExemplarMemory, classes: tuple[int, ...], positions, labels, features):
    """The memory after a session of a stream that has only what is asked of it."""
    every = np.full(positions.max() + 1, -1)
    every[positions] = labels
    stream = SimpleNamespace(
        indices=lambda _split, _session: positions,
        classes=lambda _session: classes,
        train=SimpleNamespace(labels=every),
    )
    return memory.after_session(stream, 2, torch.as_tensor(features))


def test_a_session_shares_the_budget_and_cuts_old_classes_from_the_end():
    first = session([0, 1] * 10, first_position=100, seed=1)
    second = session([2, 3, 3, 2] * 5, first_position=7, seed=2)
    one = after(ExemplarMemory(budget=11), (0, 1), *first)
    assert {label: len(chosen) for label, chosen in one.positions.items()} == {0: 5, 1: 5}
    two = after(one, (2, 3), *second)
    assert {label: len(chosen) for label, chosen in two.positions.items()} == {
        0: 2,
        1: 2,
        2: 2,
        3: 2,
    }
    for label in (0, 1):
        assert two.positions[label].tolist() == one.positions[label][:2].tolist()
        assert two.balanced[label].tolist() == one.positions[label].tolist()
    # Heads are tuned on as many images of a new class as were kept of an old one.
    for label in (2, 3):
        where = np.flatnonzero(second[1] == label)
        expected = second[0][where[herd_by_hand(second[2][where], 5)]]
        assert two.balanced[label].tolist() == expected.tolist()
    assert len(two.balanced_positions()) == 20
    assert one.balanced_positions().tolist() == one.all_positions().tolist()
    for memory, (positions, labels, features), own in ((one, first, (0, 1)), (two, second, (2, 3))):
        for label in own:
            where = np.flatnonzero(labels == label)
            share = len(memory.positions[label])
            expected = positions[where[herd_by_hand(features[where], share)]]
            assert memory.positions[label].tolist() == expected.tolist()
    assert len(one.positions[0]) == 5  # the memory before is left as it was
    assert len(two.all_positions()) <= two.budget == 11


def test_a_session_of_a_stream_gives_its_own_images_and_classes(blobs):
    features = torch.as_tensor(random_features(len(blobs.indices("train", 1)), 4, seed=3))
    found = ExemplarMemory(8).after_session(blobs, 1, features)
    assert found.budget == 8 and found.positions.keys() == {0, 1}
    for label, chosen in found.positions.items():
        assert len(chosen) == 4 and set(blobs.train.labels[chosen]) == {label}


def test_all_positions_come_class_by_class():
    memory = ExemplarMemory(9, {2: np.array([7, 3]), 0: np.array([5]), 10: np.array([1])})
    assert memory.all_positions().tolist() == [5, 7, 3, 1]
    empty = ExemplarMemory(9).all_positions()
    assert empty.shape == (0,)
    assert empty.dtype == np.int64


def test_a_class_with_fewer_images_than_its_share_gives_all_of_them():
    memory = after(ExemplarMemory(100), (0, 1), *session([0, 0, 1], 0, seed=1))
    assert sorted(memory.positions[0].tolist()) == [0, 2]
    assert memory.positions[1].tolist() == [4]


def test_a_budget_smaller_than_the_classes_is_one_clear_error():
    memory = after(ExemplarMemory(3), (0, 1), *session([0, 1], 0, seed=1))
    with pytest.raises(InputError) as error:
        after(memory, (2, 3), *session([2, 3], 10, seed=2))
    for part in ("3 images", "4 classes", "memory_budget"):
        assert part in str(error.value)
    assert len(after(memory, (2,), *session([2], 10, seed=2)).positions) == 3
