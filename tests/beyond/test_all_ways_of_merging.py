"""What every way of merging keeps to, and what it refuses."""

import copy

import numpy as np
import pytest
import torch
from helpers_for_merging import (
    IMPORTANCES,
    INITIAL,
    LEARNED,
    MEASURED,
    STATES,
    other_keys,
    other_shape,
    random_state,
)

from dynammo.adapters import make_adapters
from dynammo.beyond.ways_of_merging import (
    dare,
    exponential_moving_average,
    fisher_weighted,
    magmax,
    task_arithmetic,
    ties,
)
from dynammo.errors import InputError

STRATEGIES = {
    "moving average": lambda states, _initial: exponential_moving_average(states, 0.7),
    "task arithmetic": lambda states, initial: task_arithmetic(states, initial, 0.3),
    "MagMax": lambda states, initial: magmax(states, initial, 0.9),
    "TIES": lambda states, initial: ties(states, initial, 0.4, 0.8),
    "DARE": lambda states, initial: dare(states, initial, 0.5, seed=0),
    "Fisher": lambda states, _initial: fisher_weighted(states, IMPORTANCES[: len(states)], 1e-6),
}
every_strategy = pytest.mark.parametrize("merge", STRATEGIES.values(), ids=STRATEGIES)


@every_strategy
def test_measured_entries_are_the_uniform_mean_and_counts_the_newest(merge):
    merged = merge(STATES, INITIAL)
    assert merged.keys() == STATES[0].keys()
    for name in MEASURED:
        expected = np.mean([s[name].numpy().astype(np.float64) for s in STATES], axis=0)
        np.testing.assert_allclose(merged[name].numpy(), expected, rtol=1e-6)
    assert merged["bn1.num_batches_tracked"].item() == 33
    assert merged["bn1.num_batches_tracked"].dtype == torch.int64


@every_strategy
def test_a_strategy_modifies_and_shares_nothing_with_its_inputs(merge):
    for dtype in (torch.float32, torch.float64):  # .double() of a double tensor is no copy
        for count in (1, 3):
            states = [random_state(seed, dtype) for seed in range(count)]
            initial = random_state(9, dtype)
            inputs = [*states, initial, *IMPORTANCES]
            originals = copy.deepcopy(inputs)
            merged = merge(states, initial)
            for tensor in merged.values():
                tensor.fill_(77)
            for state, original in zip(inputs, originals, strict=True):
                assert all(torch.equal(state[name], original[name]) for name in original)


@every_strategy
@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_half_precision_and_double_sets_keep_their_kind(merge, dtype):
    merged = merge([random_state(seed, dtype) for seed in range(3)], random_state(9, dtype))
    assert all(merged[name].dtype == dtype for name in (*LEARNED, *MEASURED))


@every_strategy
def test_merged_sets_fit_real_adapters(merge, random_resnet):
    def make(seed):
        return make_adapters(
            random_resnet, ["layer1", "layer2.1"], 32, seed=seed, alpha=0.2, width=0.1
        )

    if merge is STRATEGIES["Fisher"]:
        importance = {name: p.detach() ** 2 for name, p in make(4).named_parameters()}
        merged = fisher_weighted(
            [make(1).state_dict(), make(2).state_dict()], [importance] * 2, 1e-6
        )
    else:
        merged = merge([make(1).state_dict(), make(2).state_dict()], make(0).state_dict())
    adapters = make(3)
    adapters.load_state_dict(merged)  # strict: every name and shape
    assert all(torch.equal(v, merged[name]) for name, v in adapters.state_dict().items())


@every_strategy
def test_merging_nothing_is_an_error(merge):
    with pytest.raises(InputError, match="at least one adapter set"):
        merge([], INITIAL)


@every_strategy
@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (other_keys, r"differ in their entries \(alpha, bn9.weight\)"),
        (other_shape, r"'conv.weight' is \(4, 3, 3, 3\) .* \(5, 3, 3, 3\) .* one width"),
    ],
)
def test_sets_of_different_layout_are_refused(merge, odd, words):
    with pytest.raises(InputError, match=words):
        merge([STATES[0], odd()], INITIAL)


@pytest.mark.parametrize("name", ["task arithmetic", "MagMax", "TIES", "DARE"])
@pytest.mark.parametrize(
    ("odd", "words"), [(other_keys, "differ in their entries"), (other_shape, "one width")]
)
def test_an_initial_set_of_different_layout_is_refused(name, odd, words):
    with pytest.raises(InputError, match=words):
        STRATEGIES[name](STATES, odd())


@pytest.mark.parametrize(
    ("merge", "message"),
    [
        (lambda: exponential_moving_average(STATES, -0.1), "decay is -0.1: it must be 0 or more"),
        (lambda: exponential_moving_average(STATES, 1), "decay is 1: .* below 1"),
        (lambda: ties(STATES, INITIAL, density=0, scale=1.0), "density is 0: it must be above 0"),
        (lambda: ties(STATES, INITIAL, density=1.1, scale=1.0), "density is 1.1: .* at most 1"),
        (lambda: dare(STATES, INITIAL, -0.1, seed=0), "drop rate is -0.1: it must be 0 or more"),
        (lambda: dare(STATES, INITIAL, 1, seed=0), "drop rate is 1: .* below 1"),
        (
            lambda: fisher_weighted(STATES, IMPORTANCES, 0),
            "floor is 0: it must be a number above 0",
        ),
    ],
)
def test_parameters_out_of_range_are_refused(merge, message):
    with pytest.raises(InputError, match=message):
        merge()


def test_importances_must_be_of_the_sets():
    with pytest.raises(InputError, match="3 sets need as many importances, not 2"):
        fisher_weighted(STATES, IMPORTANCES[:2], 1e-6)
    good = IMPORTANCES[0]
    for odd in (
        {name: good[name] for name in LEARNED if name != "alpha"},
        good | {"head.weight": torch.ones(2)},
        good | {"conv.bias": torch.ones(1)},
        good | {"bn1.running_var": torch.ones(4)},
    ):
        for importances in ([good, odd, good], [odd] * 3):
            with pytest.raises(InputError, match="names and shapes of the sets' learned entries"):
                fisher_weighted(STATES, importances, 1e-6)
