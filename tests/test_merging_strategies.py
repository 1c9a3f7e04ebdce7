"""Every way of merging against loops in numpy, its special cases, and peft where it is installed.

numpy sees a set as one long vector of its learned numbers, so nothing of the merging is shared.
"""

import copy

import numpy as np
import pytest
import torch

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
from dynammo.merging import is_learned, uniform_mean

LEARNED = {"conv.weight": (4, 3, 3, 3), "conv.bias": (4,), "bn1.weight": (4,), "alpha": (1,)}
MEASURED = ("bn1.running_mean", "bn1.running_var")


def random_state(seed: int, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """A small set with everything an adapter's state has."""
    generator = torch.Generator().manual_seed(seed)
    state = {name: torch.randn(shape, generator=generator) for name, shape in LEARNED.items()}
    state |= {name: 0.1 + torch.rand(4, generator=generator) for name in MEASURED}
    state = {name: tensor.to(dtype) for name, tensor in state.items()}
    return state | {"bn1.num_batches_tracked": torch.tensor(10 * seed + 3)}


def random_importance(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(100 + seed)
    return {n: torch.rand(shape, generator=generator) ** 4 for n, shape in LEARNED.items()}


STATES = [random_state(seed) for seed in (1, 2, 3)]
INITIAL = random_state(9)
IMPORTANCES = [random_importance(seed) for seed in (1, 2, 3)]

STRATEGIES = {
    "moving average": lambda states, _initial: exponential_moving_average(states, 0.7),
    "task arithmetic": lambda states, initial: task_arithmetic(states, initial, 0.3),
    "MagMax": lambda states, initial: magmax(states, initial, 0.9),
    "TIES": lambda states, initial: ties(states, initial, 0.4, 0.8),
    "DARE": lambda states, initial: dare(states, initial, 0.5, seed=0),
    "Fisher": lambda states, _initial: fisher_weighted(states, IMPORTANCES[: len(states)]),
}
every_strategy = pytest.mark.parametrize("merge", STRATEGIES.values(), ids=STRATEGIES)


def vector(state: dict) -> np.ndarray:
    """All learned numbers of a set, one after the other, in double."""
    return np.concatenate([state[name].numpy().astype(np.float64).ravel() for name in LEARNED])


def changes_of(*rows: list[float]) -> list[dict[str, torch.Tensor]]:
    """Sets of one tensor, as changes from an initial set of noughts."""
    return [{"w": torch.tensor(row)} for row in rows]


def noughts(count: int) -> dict[str, torch.Tensor]:
    return {"w": torch.zeros(count)}


def assert_learned(merged: dict, expected: np.ndarray) -> None:
    np.testing.assert_allclose(vector(merged), expected, rtol=1e-5, atol=1e-6)


def assert_same_learned(merged: dict, expected: dict) -> None:
    assert_learned(merged, vector(expected))


def test_learned_is_what_gradients_reach(random_resnet):
    adapters = make_adapters(random_resnet, ["layer1", "layer2.1"], 32, seed=0, width=0.1)
    state = adapters.state_dict()
    learned = {name for name, tensor in state.items() if is_learned(name, tensor)}
    assert learned == {name for name, _ in adapters.named_parameters()}
    assert len(learned) < len(state)


@every_strategy
def test_measured_entries_are_the_uniform_mean_and_counts_the_newest(merge):
    merged = merge(STATES, INITIAL)
    assert merged.keys() == STATES[0].keys()
    for name in MEASURED:
        expected = np.mean([s[name].numpy().astype(np.float64) for s in STATES], axis=0)
        np.testing.assert_allclose(merged[name].numpy(), expected, rtol=1e-6)
    assert merged["bn1.num_batches_tracked"].item() == 33
    assert merged["bn1.num_batches_tracked"].dtype == torch.int64


@pytest.mark.parametrize("decay", [0.0, 0.25, 0.9])
def test_a_moving_average_weighs_sets_by_powers_of_its_decay(decay):
    weights = [decay**2, (1 - decay) * decay, 1 - decay]
    assert sum(weights) == pytest.approx(1)
    expected = sum(w * vector(s) for w, s in zip(weights, STATES, strict=True))
    assert_learned(exponential_moving_average(STATES, decay), expected)


def test_a_moving_average_without_decay_is_the_last_set():
    assert_same_learned(exponential_moving_average(STATES, 0), STATES[-1])


def test_task_arithmetic_adds_the_changes():
    start = vector(INITIAL)
    expected = start.copy()
    for state in STATES:
        expected += 0.3 * (vector(state) - start)
    assert_learned(task_arithmetic(STATES, INITIAL, 0.3), expected)


def test_task_arithmetic_goes_from_the_initial_set_to_the_mean():
    assert_same_learned(task_arithmetic(STATES, INITIAL, 0), INITIAL)
    assert_same_learned(task_arithmetic(STATES, INITIAL, 1 / 3), uniform_mean(STATES))


@pytest.mark.parametrize("scale", [1.0, 0.6])
def test_magmax_takes_the_largest_change_of_each_number(scale):
    start = vector(INITIAL)
    expected = start.copy()
    for i in range(len(start)):
        expected[i] += scale * max((vector(s)[i] - start[i] for s in STATES), key=abs)
    assert_learned(magmax(STATES, INITIAL, scale), expected)


def test_magmax_by_hand():
    merged = magmax(changes_of([3.0, -1.0, 0.1], [-1.0, -2.0, 4.0], [2.0, 1.5, -5.0]), noughts(3))
    assert merged["w"].tolist() == [3, -2, -5]


def test_magmax_of_one_set_is_that_set():
    assert_same_learned(magmax(STATES[:1], INITIAL), STATES[0])


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
    assert ties(sets, noughts(4), density)["w"].tolist() == expected


def test_ties_trims_over_the_whole_set_not_tensor_by_tensor():
    large, small = torch.tensor([5.0, -6.0]), torch.tensor([0.1, 0.2])
    initial = {"a": torch.ones(2), "b": torch.ones(2), "b.running_mean": torch.zeros(2)}
    # A measured entry far from the initial set's takes no share of what is kept.
    state = {"a": 1 + large, "b": 1 + small, "b.running_mean": torch.full((2,), 99.0)}
    merged = ties([state, state], initial, density=0.5)
    assert torch.equal(merged["a"], state["a"])
    assert torch.equal(merged["b"], initial["b"])


def test_ties_of_everything_with_agreeing_signs_is_the_mean():
    generator = torch.Generator().manual_seed(0)
    signs = {n: torch.randn(shape, generator=generator).sign() for n, shape in LEARNED.items()}
    states = [
        state | {name: INITIAL[name] + signs[name] * state[name].abs() for name in LEARNED}
        for state in STATES
    ]
    assert_same_learned(ties(states, INITIAL, density=1), uniform_mean(states))


def test_dare_drops_numbers_or_enlarges_them():
    drop_rate, shape = 0.75, (20, 10, 5, 5)
    initial, one, other = (
        {"w": torch.randn(shape, generator=torch.Generator().manual_seed(seed))}
        for seed in range(3)
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


def test_dares_expectation_is_the_mean():
    drop_rate, count = 0.5, 400
    average = np.mean(
        [vector(dare(STATES, INITIAL, drop_rate, seed)) for seed in range(count)], axis=0
    )
    # One number's deviation: of each set's change times 0 or 1 / (1 - p), averaged over sets.
    squares = sum((vector(s) - vector(INITIAL)) ** 2 for s in STATES) / len(STATES) ** 2
    deviation = np.sqrt(squares * drop_rate / (1 - drop_rate) / count)
    error = np.abs(average - vector(uniform_mean(STATES)))
    assert (error <= 5 * deviation + 1e-6).all()


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
    weights = [vector(importance) / vector(importance).mean() + 1e-6 for importance in IMPORTANCES]
    expected = sum(w * vector(s) for w, s in zip(weights, STATES, strict=True)) / sum(weights)
    merged = fisher_weighted(STATES, IMPORTANCES)
    assert_learned(merged, expected)
    # A session whose loss is larger all over counts no more.
    louder = [IMPORTANCES[0], {n: 50 * v for n, v in IMPORTANCES[1].items()}, IMPORTANCES[2]]
    assert_same_learned(fisher_weighted(STATES, louder), merged)


@pytest.mark.parametrize("value", [0.0, 1.0, 7.0])
def test_fisher_with_equal_importances_is_the_mean(value):
    importances = [{n: torch.full(shape, value) for n, shape in LEARNED.items()}] * 3
    assert_same_learned(fisher_weighted(STATES, importances), uniform_mean(STATES))


def test_fisher_takes_numbers_from_the_only_set_they_matter_to():
    one, other = ({n: torch.ones(shape) for n, shape in LEARNED.items()} for _ in range(2))
    one["conv.bias"] = torch.tensor([1.0, 0.0, 1.0, 0.0])
    other["conv.bias"] = torch.tensor([0.0, 1.0, 1.0, 0.0])
    a, b = (state["conv.bias"] for state in STATES[:2])
    expected = torch.stack([a[0], b[1], (a[2] + b[2]) / 2, (a[3] + b[3]) / 2])
    merged = fisher_weighted(STATES[:2], [one, other])["conv.bias"]
    torch.testing.assert_close(merged, expected, rtol=0, atol=0.02)  # both means are not quite 1
    torch.testing.assert_close(merged[:2], expected[:2], rtol=0, atol=1e-5)


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
        return make_adapters(random_resnet, ["layer1", "layer2.1"], 32, seed=seed, width=0.1)

    if merge is STRATEGIES["Fisher"]:
        importance = {name: p.detach() ** 2 for name, p in make(4).named_parameters()}
        merged = fisher_weighted([make(1).state_dict(), make(2).state_dict()], [importance] * 2)
    else:
        merged = merge([make(1).state_dict(), make(2).state_dict()], make(0).state_dict())
    adapters = make(3)
    adapters.load_state_dict(merged)  # strict: every name and shape
    assert all(torch.equal(v, merged[name]) for name, v in adapters.state_dict().items())


@every_strategy
def test_merging_nothing_is_an_error(merge):
    with pytest.raises(InputError, match="at least one adapter set"):
        merge([], INITIAL)


def other_keys() -> dict[str, torch.Tensor]:
    state = random_state(1)
    state["bn9.weight"] = state.pop("alpha")
    return state


def other_shape() -> dict[str, torch.Tensor]:
    return random_state(1) | {"conv.weight": torch.zeros(5, 3, 3, 3)}


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
        (lambda: ties(STATES, INITIAL, density=0), "density is 0: it must be above 0"),
        (lambda: ties(STATES, INITIAL, density=1.1), "density is 1.1: .* at most 1"),
        (lambda: dare(STATES, INITIAL, -0.1, seed=0), "drop rate is -0.1: it must be 0 or more"),
        (lambda: dare(STATES, INITIAL, 1, seed=0), "drop rate is 1: .* below 1"),
        (lambda: fisher_weighted(STATES, IMPORTANCES, 0), "floor is 0: it must be above 0"),
    ],
)
def test_parameters_out_of_range_are_refused(merge, message):
    with pytest.raises(InputError, match=message):
        merge()


def test_importances_must_be_of_the_sets():
    with pytest.raises(InputError, match="3 sets need as many importances, not 2"):
        fisher_weighted(STATES, IMPORTANCES[:2])
    good = IMPORTANCES[0]
    for odd in (
        {name: good[name] for name in LEARNED if name != "alpha"},
        good | {"head.weight": torch.ones(2)},
        good | {"conv.bias": torch.ones(1)},
        good | {"bn1.running_var": torch.ones(4)},
    ):
        for importances in ([good, odd, good], [odd] * 3):
            with pytest.raises(InputError, match="names and shapes of the sets' learned entries"):
                fisher_weighted(STATES, importances)


@pytest.mark.parametrize("density", [0.2, 0.5, 0.9])
def test_ties_is_pefts(density):
    # Of a set of one tensor: peft trims tensor by tensor.
    peft = pytest.importorskip("peft.utils.merge_utils")
    start, *tensors = (state["conv.weight"] for state in (INITIAL, *STATES))
    expected = start + peft.ties([w - start for w in tensors], 0.8 * torch.ones(3), density)
    merged = ties([{"w": w} for w in tensors], {"w": start}, density, scale=0.8)
    torch.testing.assert_close(merged["w"], expected, rtol=1e-5, atol=1e-6)


def test_task_arithmetic_is_pefts():
    peft = pytest.importorskip("peft.utils.merge_utils")
    merged = task_arithmetic(STATES, INITIAL, 0.3)
    for name in LEARNED:
        changes = [state[name] - INITIAL[name] for state in STATES]
        expected = INITIAL[name] + peft.task_arithmetic(changes, torch.full((3,), 0.3))
        torch.testing.assert_close(merged[name], expected, rtol=1e-5, atol=1e-6)
