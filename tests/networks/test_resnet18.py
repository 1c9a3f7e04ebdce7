"""ResNet-18 against torchvision's table and a computation from its weights alone."""

import pytest
import torch
from helpers import random_images, resnet18_by_hand, shake

from dynammo.networks.resnet18 import ResNet18


def batch_norm_entries(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    vectors = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{v}": (channels,) for v in vectors} | {f"{name}.num_batches_tracked": ()}


def torchvision_resnet18_table() -> dict[str, tuple[int, ...]]:
    """Keys and shapes of torchvision's resnet18, from He et al. 2016, table 1."""
    table = {"conv1.weight": (64, 3, 7, 7)} | batch_norm_entries("bn1", 64)
    channels_in = 64
    for layer, channels in zip((1, 2, 3, 4), (64, 128, 256, 512), strict=True):
        for block in (0, 1):
            name = f"layer{layer}.{block}"
            table[f"{name}.conv1.weight"] = (channels, channels_in, 3, 3)
            table |= batch_norm_entries(f"{name}.bn1", channels)
            table[f"{name}.conv2.weight"] = (channels, channels, 3, 3)
            table |= batch_norm_entries(f"{name}.bn2", channels)
            if layer > 1 and block == 0:
                table[f"{name}.downsample.0.weight"] = (channels, channels_in, 1, 1)
                table |= batch_norm_entries(f"{name}.downsample.1", channels)
            channels_in = channels
    return table | {"fc.weight": (1000, 512), "fc.bias": (1000,)}


def test_resnet18_has_torchvisions_keys_and_shapes():
    expected = torchvision_resnet18_table()
    found = {k: tuple(v.shape) for k, v in ResNet18().state_dict().items()}
    assert len(expected) == 122
    assert list(found) == list(expected)  # in torchvision's order too
    assert found == expected


def test_resnet18_has_as_many_parameters_as_published():
    assert sum(p.numel() for p in ResNet18().parameters()) == 11_689_512


@pytest.mark.parametrize("size", [64, 49])
def test_resnet18_equals_a_computation_from_its_weights_alone(size):
    torch.manual_seed(3)
    network = shake(ResNet18(number_of_classes=7), seed=1)
    x = random_images(2, size)
    with torch.no_grad():
        torch.testing.assert_close(
            network(x).double(), resnet18_by_hand(network.state_dict(), x), rtol=1e-4, atol=1e-4
        )
