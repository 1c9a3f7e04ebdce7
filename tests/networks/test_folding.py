"""Folding batch norm: the same function, with fewer steps, and the original left as it was."""

import pytest
import torch
from helpers import random_images, shake
from torch import nn

from dynammo.adapters import Adapter
from dynammo.networks.efficientnet_lite0 import EfficientNetLite0
from dynammo.networks.folding import fold_batch_norm
from dynammo.networks.resnet18 import ResNet18


@pytest.mark.parametrize("build", [ResNet18, EfficientNetLite0])
def test_a_folded_network_is_the_same_function_without_batch_norm(build):
    torch.manual_seed(0)
    network = shake(build(number_of_classes=7), seed=1)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    folded, x = fold_batch_norm(network), random_images(2, 65)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    with torch.no_grad():
        torch.testing.assert_close(folded(x), network(x), rtol=1e-4, atol=1e-5)
    assert all(torch.equal(before[name], v) for name, v in network.state_dict().items())
    stages = {name for name, _ in network.named_modules()}
    assert stages == {name for name, _ in folded.named_modules()}


def test_a_folded_adapter_is_the_same_function():
    torch.manual_seed(0)
    adapter = shake(Adapter(6, 4, alpha=0.7), seed=1)
    folded, x = fold_batch_norm(adapter), torch.randn(2, 6, 5, 5)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    with torch.no_grad():
        torch.testing.assert_close(folded(x), adapter(x), rtol=1e-4, atol=1e-5)


class _Awkward(nn.Module):
    """What must not be folded: read twice, called twice, or after something else."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3, 3, 1) for _ in range(3))
        self.norms = nn.ModuleList(nn.BatchNorm2d(3) for _ in range(3))
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        read_twice = self.convs[0](x)
        x = self.norms[0](read_twice) + read_twice
        x = self.norms[1](self.convs[1](self.norms[1](self.convs[1](x))))
        return self.norms[2](self.relu(self.convs[2](x)))


def test_what_cannot_be_folded_stays():
    torch.manual_seed(0)
    network = shake(_Awkward(), seed=1)
    folded, x = fold_batch_norm(network), random_images(2, 4)
    assert sum(isinstance(m, nn.BatchNorm2d) for m in folded.modules()) == 3
    with torch.no_grad():
        torch.testing.assert_close(folded(x), network(x))


class _Standardised(nn.Conv2d):
    """Brings its weights to one scale, so that scaling them changes nothing."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.conv2d(x, self.weight / self.weight.std(), self.bias)


@pytest.mark.parametrize(
    "convolution", [_Standardised(3, 3, 1), nn.ConvTranspose2d(3, 3, 1, groups=3)]
)
def test_a_convolution_whose_maps_do_not_follow_its_weights_stays(convolution):
    torch.manual_seed(0)
    network = shake(nn.Sequential(convolution, nn.BatchNorm2d(3)), seed=1)
    folded, x = fold_batch_norm(network), random_images(2, 4)
    with torch.no_grad():
        torch.testing.assert_close(folded(x), network(x))


class _Asks(_Awkward):
    """Its forward depends on how many images there are, which no trace can know."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) if len(x) > 1 else x


def test_what_cannot_be_traced_is_none():
    assert fold_batch_norm(_Asks()) is None


def test_layers_called_by_keyword_and_without_statistics_stay():
    class Called(nn.Sequential):
        def forward(self, x):
            return self[1](input=self[0](input=x))

    called = Called(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    x = random_images(2, 4)
    folded = fold_batch_norm(called)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    with torch.no_grad():
        torch.testing.assert_close(folded(x), called.eval()(x))
    plain = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False))
    assert isinstance(fold_batch_norm(plain)[1], nn.BatchNorm2d)
