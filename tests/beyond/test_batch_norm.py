"""Statistics of merged adapters against numpy's variance and a forward pass written by hand."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import blob_images, generator
from torch import nn

from dynammo.adapters import AdaptedNetwork, Adapter, make_adapters
from dynammo.beyond.batch_norm import measure_again, mixture_variance
from dynammo.errors import InputError
from dynammo.merging import uniform_mean

STAGES = ["layer1", "layer3"]


def measured_state(samples: dict[str, np.ndarray], seed: int) -> dict[str, torch.Tensor]:
    """What batch norms would hold after seeing samples [N, C], next to a weight and a count."""
    state = {"conv.weight": torch.full((2, 2), float(seed)), "count": torch.tensor(seed)}
    for name, values in samples.items():
        state[f"{name}.running_mean"] = torch.from_numpy(values.mean(axis=0)).float()
        state[f"{name}.running_var"] = torch.from_numpy(values.var(axis=0)).float()
    return state


@pytest.fixture
def samples():
    """Values of two norms in three sessions of 50, about different means: [3, 50, C]."""
    random = np.random.default_rng(0)
    return {
        name: random.normal(random.normal(0, spread, (3, 1, channels)), 1, (3, 50, channels))
        for name, channels, spread in (("bn1", 4, 2), ("bn2", 3, 5))
    }


@pytest.fixture
def states(samples):
    return [measured_state({n: v[i] for n, v in samples.items()}, seed=i) for i in range(3)]


def test_the_mixtures_variance_is_that_of_all_sessions_values(samples, states):
    mixture = mixture_variance(states, uniform_mean(states))
    for name, values in samples.items():
        pooled = values.reshape(-1, values.shape[-1]).var(axis=0)
        np.testing.assert_allclose(mixture[f"{name}.running_var"].numpy(), pooled, rtol=1e-5)
        assert mixture[f"{name}.running_var"].dtype == torch.float32


def test_the_mixtures_variance_is_above_the_average_where_means_differ(states):
    average = uniform_mean(states)
    mixture = mixture_variance(states, average)
    for name in ("bn1.running_var", "bn2.running_var"):
        assert (mixture[name] > average[name]).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_mixtures_variance_is_never_below_the_average(dtype):
    # The same means in all: their squares' mean less their mean's square is rounding of any sign.
    means = 3 * torch.randn(10_000, generator=generator(), dtype=dtype)
    state = {"bn.running_mean": means, "bn.running_var": torch.full_like(means, 1e-13)}
    mixture = mixture_variance([state] * 3, uniform_mean([state] * 3))["bn.running_var"]
    assert (mixture >= state["bn.running_var"]).all()
    torch.testing.assert_close(mixture, state["bn.running_var"], rtol=1e-6, atol=0)


def test_only_variances_are_replaced_and_nothing_is_modified_or_shared(states):
    merged = uniform_mean(states)
    inputs = [*states, merged]
    originals = copy.deepcopy(inputs)
    mixture = mixture_variance(states, merged)
    assert mixture.keys() == merged.keys()
    for name in merged:
        assert torch.equal(mixture[name], merged[name]) == (not name.endswith("running_var"))
    for tensor in mixture.values():
        tensor.fill_(77)
    for state, original in zip(inputs, originals, strict=True):
        assert all(torch.equal(state[name], original[name]) for name in original)


def test_a_mixture_of_nothing_or_of_other_layouts_is_refused(states):
    merged = uniform_mean(states)
    with pytest.raises(InputError, match="at least one adapter set"):
        mixture_variance([], merged)
    with pytest.raises(InputError, match=r"differ in their entries \(count\)"):
        mixture_variance(states, {n: v for n, v in merged.items() if n != "count"})
    odd = states[0] | {"bn1.running_var": torch.ones(9)}
    with pytest.raises(InputError, match=r"'bn1.running_var' is \(4,\) .* \(9,\) .* one width"):
        mixture_variance([states[0], odd], merged)


def images(count: int, seed: int = 0) -> np.ndarray:
    shape = (count, 32, 32, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def make_network(backbone, stages=STAGES) -> AdaptedNetwork:
    """A network whose adapters' weights and statistics are all random."""
    adapters = make_adapters(backbone, stages, 32, seed=0, width=0.1, alpha=0.5)
    random = generator(1)
    for module in adapters.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_mean, module.running_var):
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=random))
            module.bias.data.normal_(generator=random)
    return AdaptedNetwork(backbone, adapters.requires_grad_(False)).eval()


def statistics(network: AdaptedNetwork) -> dict[str, torch.Tensor]:
    state = network.adapters.state_dict()
    return {name: value.clone() for name, value in state.items() if "running_" in name}


def adapt(adapter: Adapter, x: torch.Tensor, name: str, found: dict) -> torch.Tensor:
    """An adapter in training, without batch norm layers; notes each batch's mean and variance."""
    weights = adapter.state_dict()

    def norm(x, norm_name):
        mean, count = x.mean(dim=(0, 2, 3)), x.numel() / x.shape[1]
        squares = (x - mean[:, None, None]).square().sum(dim=(0, 2, 3))
        found[f"{name}.{norm_name}.running_mean"] = mean
        found[f"{name}.{norm_name}.running_var"] = squares / (count - 1)  # unbiased
        x = (x - mean[:, None, None]) / (squares / count + 1e-5).sqrt()[:, None, None]
        weight, bias = weights[f"{norm_name}.weight"], weights[f"{norm_name}.bias"]
        return x * weight[:, None, None] + bias[:, None, None]

    out = F.conv2d(x, weights["conv.weight"], weights["conv.bias"], padding=1)
    out = norm(out, "bn1").clamp(min=0)
    transposed = (weights["conv_transposed.weight"], weights["conv_transposed.bias"])
    out = F.conv_transpose2d(out, *transposed, padding=1)
    return x + weights["alpha"] * norm(out, "bn2").clamp(min=0)


@torch.no_grad()
def statistics_by_hand(network: AdaptedNetwork, batch: np.ndarray) -> dict[str, torch.Tensor]:
    """Statistics of one batch at each of the norms of adapters before STAGES, without hooks."""
    found: dict[str, torch.Tensor] = {}
    backbone, adapters = network.backbone, network.adapters
    net = backbone.network
    x = net.maxpool(net.relu(net.bn1(net.conv1(backbone.normalise(batch)))))
    x = net.layer2(net.layer1(adapt(adapters["layer1"], x, "adapters.0", found)))
    adapt(adapters["layer3"], x, "adapters.1", found)
    return found


def assert_statistics(network: AdaptedNetwork, expected: dict[str, torch.Tensor]) -> None:
    found = statistics(network)
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-5)


def test_statistics_are_those_of_the_images_under_the_network_as_it_is(random_resnet):
    network, batch = make_network(random_resnet), images(6)
    expected = statistics_by_hand(network, batch)
    before = statistics(network)
    assert all((before[name] - expected[name]).abs().max() > 0.01 for name in expected)
    measure_again(network, batch)
    assert_statistics(network, expected)


def test_batches_of_equal_size_count_the_same(random_resnet):
    network, batch = make_network(random_resnet), images(6)
    one, other = (statistics_by_hand(network, batch[first::2]) for first in (0, 1))
    measure_again(network, batch, batch_size=3)
    assert_statistics(network, {name: (one[name] + other[name]) / 2 for name in one})
    together = statistics_by_hand(network, batch)
    assert any((together[n] - v).abs().max() > 1e-3 for n, v in statistics(network).items())


def test_a_memory_in_the_order_of_its_classes_is_measured_as_a_whole(random_resnet):
    # In batches of one class each, variances come out as little as 0.63 of what they are.
    generator = np.random.default_rng(0)
    memory = np.concatenate([blob_images(label, 8, generator) for label in range(4)])
    network = make_network(random_resnet)
    measure_again(network, memory, batch_size=32)
    whole = statistics(network)
    measure_again(network, memory, batch_size=8)
    for name, value in statistics(network).items():
        if name.endswith("running_var"):
            assert (value / whole[name]).numpy() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(("count", "batch_size"), [(2, 1), (3, 2), (5, 2), (7, 3)])
def test_no_batch_is_a_single_image(random_resnet, count, batch_size):
    # On the maps of 1 x 1 before this stage a single image has no variance: torch would raise.
    network = make_network(random_resnet, ["layer4.1"])
    measure_again(network, images(count), batch_size)
    assert all(value.isfinite().all() for value in statistics(network).values())


def test_what_the_statistics_were_does_not_matter(random_resnet):
    network, batch = make_network(random_resnet), images(6)
    measure_again(network, batch, batch_size=3)
    expected = network.adapters.state_dict()
    expected = {name: value.clone() for name, value in expected.items()}
    for name, value in network.adapters.state_dict().items():
        if "running_" in name or "num_batches" in name:
            value.fill_(1000)
    measure_again(network, batch, batch_size=3)
    found = network.adapters.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_only_the_adapters_statistics_change(random_resnet):
    network = make_network(random_resnet)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    measure_again(network, images(4))
    after = network.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert all(name.startswith("adapters.") for name in changed)
    assert {name.split(".")[-1] for name in changed} == {
        "running_mean",
        "running_var",
        "num_batches_tracked",
    }


def test_momenta_and_evaluation_mode_are_as_before(random_resnet):
    network = make_network(random_resnet)
    norms = [m for m in network.adapters.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [0.1, 0.2, 0.3, 0.4]
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    measure_again(network, images(4))
    assert [norm.momentum for norm in norms] == momenta
    assert not any(module.training for module in network.modules())


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_images_are_refused_and_change_nothing(random_resnet, count):
    network = make_network(random_resnet)
    before = statistics(network)
    with pytest.raises(InputError, match=rf"{count} image\(s\) have no variance: .* at least two"):
        measure_again(network, images(count))
    assert all(torch.equal(value, before[name]) for name, value in statistics(network).items())
