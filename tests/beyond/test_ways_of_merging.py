"""Every way of merging against loops in numpy, and its special cases.

numpy sees a set as one long vector of its learned numbers, so nothing of the merging is shared.
"""

import numpy as np
import pytest
import torch
from helpers import generator
from helpers_for_merging import IMPORTANCES, INITIAL, LEARNED, STATES

from dynammo.adapters import make_adapters
from dynammo.beyond.ways_of_merging import (
    dare,
    exponential_moving_average,
    fisher_weighted,
    flat,
    is_learned,
    magmax,
    merge_changes,
    task_arithmetic,
    ties,
)
from dynammo.errors import InputError
from dynammo.merging import uniform_mean

FLOOR = 1e-6


def vector(state: dict) -> np.ndarray:
    """All learned numbers of a set, one after the other, in double."""
    return np.concatenate([state[name].numpy().astype(np.float64).ravel() for name in LEARNED])


def assert_learned(merged: dict, expected: np.ndarray) -> None:
    np.testing.assert_allclose(vector(merged), expected, rtol=1e-5, atol=1e-6)


def assert_same_learned(merged: dict, expected: dict) -> None:
    assert_learned(merged, vector(expected))


def changes_of(*rows: list[float]) -> list[dict[str, torch.Tensor]]:
    """Sets of one tensor, as changes from an initial set of noughts."""
    return [{"w": torch.tensor(row)} for row in rows]


def noughts(count: int) -> dict[str, torch.Tensor]:
    return {"w": torch.zeros(count)}


def test_learned_is_what_gradients_reach(random_resnet):
    adapters = make_adapters(
        random_resnet, ["layer1", "layer2.1"], 32, seed=0, alpha=0.2, width=0.1
    )
    state = adapters.state_dict()
    learned = {name for name, tensor in state.items() if is_learned(name, tensor)}
    assert learned == {name for name, _ in adapters.named_parameters()}
    assert len(learned) < len(state)


@pytest.mark.parametrize("decay", [0.0, 0.25, 0.9])
def test_a_moving_average_weighs_sets_by_powers_of_its_decay(decay):
    weights = [decay**2, (1 - decay) * decay, 1 - decay]
    assert sum(weights) == pytest.approx(1)
    expected = sum(w * vector(s) for w, s in zip(weights, STATES, strict=True))
    assert_learned(exponential_moving_average(STATES, decay), expected)


RULES = {
    "the mean": (lambda changes: changes.mean(0), uniform_mean(STATES)),
    "the last": (lambda changes: changes[-1], exponential_moving_average(STATES, 0)),
}


@pytest.mark.parametrize(("rule", "expected"), RULES.values(), ids=RULES)
def test_a_rule_of_changes_merges_as_the_library_does(rule, expected):
    merged = merge_changes(STATES, INITIAL, rule)
    assert merged.keys() == expected.keys()
    for name, value in expected.items():  # measured and counted entries, too
        torch.testing.assert_close(merged[name], value)
        assert merged[name].dtype == value.dtype


def test_a_rule_gets_all_learned_numbers_of_a_set_in_a_row():
    seen = []
    merge_changes(STATES, INITIAL, lambda changes: seen.append(changes) or changes[0])
    (changes,) = seen
    assert changes.dtype == torch.float64
    for row, state in zip(changes, STATES, strict=True):
        torch.testing.assert_close(row, flat(state) - flat(INITIAL))
    assert np.allclose(np.sort(flat(STATES[0]).numpy()), np.sort(vector(STATES[0])))


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (lambda changes: changes, r"one finite change for each number.*this one returned \[3, "),
        (lambda changes: changes.mean(), r"this one returned \[\]"),
        (lambda changes: changes[0] / 0, "not all finite"),
    ],
)
def test_a_rule_that_returns_something_else_is_refused(rule, words):
    with pytest.raises(InputError, match=words):
        merge_changes(STATES, INITIAL, rule)


def test_task_arithmetic_adds_the_changes():
    start = vector(INITIAL)
    expected = start.copy()
    for state in STATES:
        expected += 0.3 * (vector(state) - start)
    assert_learned(task_arithmetic(STATES, INITIAL, 0.3), expected)


@pytest.mark.parametrize("scale", [1.0, 0.6])
def test_magmax_takes_the_largest_change_of_each_number(scale):
    start = vector(INITIAL)
    expected = start.copy()
    for i in range(len(start)):
        expected[i] += scale * max((vector(s)[i] - start[i] for s in STATES), key=abs)
    assert_learned(magmax(STATES, INITIAL, scale), expected)


@pytest.mark.parametrize(("density", "scale"), [(0.2, 1.0), (0.5, 0.7), (1.0, 1.0), (0.001, 1.0)])
def test_ties_trims_elects_and_averages(density, scale):
    start = vector(INITIAL)
    trimmed = []
    for state in STATES:
        change = vector(state) - start
        kept = np.argsort(-np.abs(change))[: max(1, int(density * len(change)))]
        trimmed.append(np.zeros_like(change))
        trimmed[-1][kept] = change[kept]
    expected = start.copy()
    for i, numbers in enumerate(zip(*trimmed, strict=True)):
        same_sign = [x for x in numbers if x * sum(numbers) > 0]
        if same_sign:
            expected[i] += scale * sum(same_sign) / len(same_sign)
    assert_learned(ties(STATES, INITIAL, density, scale), expected)


@pytest.mark.parametrize(
    ("density", "expected"), [(1.0, [3, -1.5, 2.25, 0]), (0.5, [3, -2, 4, 1.25])]
)
def test_ties_by_hand(density, expected):
    # With everything kept, the last two changes cancel: neither sign is elected.
    sets = changes_of([3.0, -1.0, 0.5, 1.25], [-1.0, -2.0, 4.0, -1.25])
    assert ties(sets, noughts(4), density, 1.0)["w"].tolist() == expected


def test_ties_trims_over_the_whole_set_not_tensor_by_tensor():
    large, small = torch.tensor([5.0, -6.0]), torch.tensor([0.1, 0.2])
    initial = {"a": torch.ones(2), "b": torch.ones(2), "b.running_mean": torch.zeros(2)}
    # A measured entry far from the initial set's takes no share of what is kept.
    state = {"a": 1 + large, "b": 1 + small, "b.running_mean": torch.full((2,), 99.0)}
    merged = ties([state, state], initial, density=0.5, scale=1.0)
    assert torch.equal(merged["a"], state["a"])
    assert torch.equal(merged["b"], initial["b"])


def test_dare_drops_numbers_or_enlarges_them():
    drop_rate, shape = 0.75, (20, 10, 5, 5)
    initial, one, other = (
        {"w": torch.randn(shape, generator=generator(seed))} for seed in range(3)
    )
    start = initial["w"].double().numpy().ravel()
    changes = [s["w"].double().numpy().ravel() - start for s in (one, other)]
    merged = dare([one, other], initial, drop_rate, seed=5)["w"].double().numpy().ravel()
    # Which of the two changes were kept: neither, either or both, by their probabilities.
    outcomes = np.stack(
        [
            start + (a * changes[0] + b * changes[1]) / 2 / (1 - drop_rate)
            for a, b in ((0, 0), (0, 1), (1, 0), (1, 1))
        ]
    )
    distance = np.abs(outcomes - merged)
    assert distance.min(axis=0).max() < 1e-5
    shares = np.bincount(distance.argmin(axis=0), minlength=4) / len(merged)
    assert shares == pytest.approx([0.5625, 0.1875, 0.1875, 0.0625], abs=0.02)


def test_dare_that_drops_nothing_is_the_mean():
    assert_same_learned(dare(STATES, INITIAL, drop_rate=0, seed=0), uniform_mean(STATES))


def test_dare_drops_in_convolutions_only():
    mean = uniform_mean(STATES)
    merged = dare(STATES, INITIAL, drop_rate=0.9, seed=0)
    for name in LEARNED:
        assert torch.allclose(merged[name], mean[name]) == (name != "conv.weight")


def test_dare_is_decided_by_its_seed_alone():
    torch.manual_seed(1)
    first = dare(STATES, INITIAL, 0.5, seed=3)
    state_of_torch = torch.get_rng_state()
    torch.manual_seed(2)
    again = dare(STATES, INITIAL, 0.5, seed=3)
    assert all(torch.equal(first[name], again[name]) for name in first)
    other = dare(STATES, INITIAL, 0.5, seed=4)
    assert not torch.equal(first["conv.weight"], other["conv.weight"])
    torch.manual_seed(1)
    assert torch.equal(state_of_torch, torch.get_rng_state())


def test_fisher_weighs_numbers_by_their_share_of_the_sessions_information():
    weights = [vector(importance) / vector(importance).mean() + FLOOR for importance in IMPORTANCES]
    expected = sum(w * vector(s) for w, s in zip(weights, STATES, strict=True)) / sum(weights)
    merged = fisher_weighted(STATES, IMPORTANCES, FLOOR)
    assert_learned(merged, expected)
    # A session whose loss is larger all over counts no more.
    louder = [IMPORTANCES[0], {n: 50 * v for n, v in IMPORTANCES[1].items()}, IMPORTANCES[2]]
    assert_same_learned(fisher_weighted(STATES, louder, FLOOR), merged)


@pytest.mark.parametrize("value", [0.0, 1.0, 7.0])
def test_fisher_with_equal_importances_is_the_mean(value):
    importances = [{n: torch.full(shape, value) for n, shape in LEARNED.items()}] * 3
    assert_same_learned(fisher_weighted(STATES, importances, FLOOR), uniform_mean(STATES))


def test_fisher_takes_numbers_from_the_only_set_they_matter_to():
    one, other = ({n: torch.ones(shape) for n, shape in LEARNED.items()} for _ in range(2))
    one["conv.bias"] = torch.tensor([1.0, 0.0, 1.0, 0.0])
    other["conv.bias"] = torch.tensor([0.0, 1.0, 1.0, 0.0])
    a, b = (state["conv.bias"] for state in STATES[:2])
    expected = torch.stack([a[0], b[1], (a[2] + b[2]) / 2, (a[3] + b[3]) / 2])
    merged = fisher_weighted(STATES[:2], [one, other], FLOOR)["conv.bias"]
    torch.testing.assert_close(merged, expected, rtol=0, atol=0.02)  # both means are not quite 1
    torch.testing.assert_close(merged[:2], expected[:2], rtol=0, atol=1e-5)
