"""EfficientNet-Lite0: the default backbone, whose ImageNet weights come with a package, offline."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SamePaddedConv2d(nn.Conv2d):
    """Convolution with TensorFlow's "same" padding, which pads more after than before."""

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to [N, C', ceil(H / stride), ceil(W / stride)]."""
        padding, steps = [], zip(self.kernel_size[::-1], self.stride[::-1], strict=True)
        for size, (kernel, stride) in zip(x.shape[:1:-1], steps, strict=True):
            needed = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
            padding += [needed // 2, needed - needed // 2]
        inside = (padding[2], padding[0])
        if padding[::2] != padding[1::2]:  # not the same on both sides
            x, inside = F.pad(x, padding), (0, 0)
        return F.conv2d(x, self.weight, self.bias, self.stride, inside, 1, self.groups)


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
        deep = [*_conv_bn(hidden, hidden, kernel, stride, hidden), ReLU6()]
        self.layers = nn.Sequential(*widen, *deep, *_conv_bn(hidden, channels_out, 1, 1, 1))
        self.residual = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, channels_in, H, W] to [N, channels_out, ceil(H / stride), ceil(W / stride)]."""
        out = self.layers(x)
        return x + out if self.residual else out


class EfficientNetLite0(nn.Module):
    """EfficientNet-B0 (arXiv 1905.11946, table 1) without squeeze-and-excitation, with ReLU6."""

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
            shapes = [(channels, stride), *[(channels_out, 1)] * (repeats - 1)]
            blocks = [InvertedBottleneck(c, channels_out, kernel, s, expand) for c, s in shapes]
            setattr(self, f"stage{i}", nn.Sequential(*blocks))
            channels = channels_out
        self.top = nn.Sequential(*_conv_bn(channels, 1280, 1, 1, 1), ReLU6())
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(1280, number_of_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map images [N, 3, H, W] to logits [N, number_of_classes]."""
        x = self.stem(x)
        for i in range(1, len(self.STAGES) + 1):
            x = getattr(self, f"stage{i}")(x)
        return self.fc(self.avgpool(self.top(x)).flatten(1))
