"""Merging against numpy, and that the running mean is the mean."""

import copy

import numpy as np
import pytest
import torch
from helpers import same
from helpers_for_merging import other_keys, other_shape, random_state

from dynammo.errors import InputError
from dynammo.merging import entry_by_entry, running_mean, uniform_mean


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_the_merged_set_is_the_mean_of_every_entry(count):
    states = [random_state(seed) for seed in range(count)]
    merged = uniform_mean(states)
    assert list(merged) == list(states[0])
    for name in ("conv.weight", "bn1.running_var", "alpha"):
        expected = np.mean([s[name].numpy().astype(np.float64) for s in states], axis=0)
        np.testing.assert_allclose(merged[name].numpy(), expected, rtol=1e-6)
        assert merged[name].dtype == torch.float32


@pytest.mark.parametrize("count", [1, 2, 3, 5, 10, 49])
def test_merging_identical_sets_changes_nothing(count):
    state = random_state(1)
    assert same(uniform_mean([copy.deepcopy(state) for _ in range(count)]), state)
    mean = None
    for i in range(1, count + 1):
        mean = running_mean(mean, state, i)
    assert same(mean, state)


def test_the_running_mean_over_ten_sessions_is_the_uniform_mean():
    states = [random_state(seed) for seed in range(10)]
    mean = None
    for count, newest in enumerate(states, start=1):
        mean = running_mean(mean, newest, count)
        expected = uniform_mean(states[:count])
        for name in expected:
            torch.testing.assert_close(mean[name], expected[name], rtol=0, atol=1e-6)
    # It is not the mean of means, which would forget the first sessions.
    assert (mean["conv.weight"] - states[-1]["conv.weight"]).abs().max() > 0.5


def test_counts_of_batches_come_from_the_newest_set():
    states = [random_state(seed) for seed in (1, 5, 2)]
    for merged in (uniform_mean(states), running_mean(states[0], states[2], 3)):
        count = merged["bn1.num_batches_tracked"]
        assert count.item() == 23
        assert count.dtype == torch.int64


def test_merging_modifies_and_shares_nothing_with_its_inputs():
    states = [random_state(seed) for seed in range(3)]
    originals = copy.deepcopy(states)
    results = [
        uniform_mean(states),
        uniform_mean(states[:1]),
        running_mean(None, states[0], 1),
        running_mean(states[0], states[1], 2),
    ]
    assert all(same(a, b) for a, b in zip(states, originals, strict=True))
    for result in results:
        for tensor in result.values():
            tensor.zero_()
    assert all(same(a, b) for a, b in zip(states, originals, strict=True))


def test_half_precision_and_double_sets_keep_their_kind():
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        states = [{"w": torch.tensor([1.0, 3.0], dtype=dtype)}, {"w": torch.zeros(2, dtype=dtype)}]
        for merged in (uniform_mean(states), running_mean(states[0], states[1], 2)):
            assert merged["w"].dtype == dtype
            assert merged["w"].tolist() == [0.5, 1.5]


def test_any_mix_gets_each_entry_of_all_sets_in_double_precision():
    states = [random_state(seed) for seed in (1, 2, 3)]
    seen = []

    def mix(*sets):
        seen.append({one.dtype for one in sets})
        return sets[0] - 2 * sets[1] + sets[2]

    mixed = entry_by_entry(states, mix)
    assert list(mixed) == list(states[0])
    assert seen == [{torch.float64}] * 6  # six entries are fractions, the seventh is a count
    for name in ("conv.weight", "bn1.running_var", "alpha"):
        first, second, third = (state[name].double() for state in states)
        assert mixed[name].dtype == torch.float32
        torch.testing.assert_close(mixed[name], (first - 2 * second + third).float())
    assert mixed["bn1.num_batches_tracked"].item() == 33  # the newest set's
    with pytest.raises(InputError, match="at least one adapter set"):
        entry_by_entry([], mix)


def test_merging_nothing_is_an_error():
    with pytest.raises(InputError, match="at least one adapter set"):
        uniform_mean([])


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (other_keys, ("differ in their entries (alpha, bn9.weight)", "backbone and stages")),
        (other_shape, ("'conv.weight' is (4, 3, 3, 3)", "(5, 3, 3, 3)", "one width")),
    ],
)
def test_sets_of_different_layout_are_refused(odd, words):
    good = random_state(0)
    for merge in (
        lambda: uniform_mean([good, good, odd()]),
        lambda: running_mean(good, odd(), 2),
        lambda: entry_by_entry([good, odd()], lambda a, b: a - b),
    ):
        with pytest.raises(InputError) as error:
            merge()
        assert all(word in str(error.value) for word in words)
    with pytest.raises(InputError, match="set 3|sets 1 and 3"):
        uniform_mean([good, good, odd()])


@pytest.mark.parametrize(("mean", "count"), [(None, 0), (None, 2), ("set", 1), ("set", 0)])
def test_a_count_that_does_not_fit_the_running_mean_is_refused(mean, count):
    with pytest.raises(InputError, match=f"running mean of {count} sets"):
        running_mean(random_state(0) if mean else None, random_state(1), count)
