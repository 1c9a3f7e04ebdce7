"""Light adapters in front of a frozen backbone's stages, and the network that carries them.

One *adapter set* is one adapter per chosen stage; its state dict is what is merged and saved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from dynammo.backbones import Backbone, at_stages
from dynammo.errors import InputError

PADDINGS = ("same", "valid")


class Adapter(nn.Module):
    """``x + alpha * relu(bn2(convT(relu(bn1(conv(x))))))`` on c channels.

    Source: DynaMMo, section 3, and the released ``Special_Adapter_v1``. The released code does
    not pad: the map shrinks by 2 and grows back (``padding="valid"``), which fails on maps under
    3 x 3. ``padding="same"`` keeps the size throughout and works on any map. There are m hidden
    channels; ``alpha`` is learned from the value given.
    """

    def __init__(
        self, channels: int, hidden_channels: int, alpha: float, padding: str = "same"
    ) -> None:
        super().__init__()
        if padding not in PADDINGS:
            raise InputError(f"Unknown adapter padding '{padding}': choose 'same' or 'valid'.")
        pad = 1 if padding == "same" else 0
        self.conv = nn.Conv2d(channels, hidden_channels, 3, padding=pad)
        self.bn1 = nn.BatchNorm2d(hidden_channels)
        self.conv_transposed = nn.ConvTranspose2d(hidden_channels, channels, 3, padding=pad)
        self.bn2 = nn.BatchNorm2d(channels)
        self.alpha = nn.Parameter(torch.tensor([alpha]))

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, c, H, W] to [N, c, H, W]."""
        out = torch.relu_(self.bn1(self.conv(x)))
        out = torch.relu_(self.bn2(self.conv_transposed(out)))
        return x + self.alpha * out


class AdapterSet(nn.Module):
    """One adapter per stage: ``adapters[stage_name]`` goes before that stage."""

    def __init__(self, adapters: Mapping[str, nn.Module]) -> None:
        super().__init__()
        # Module names cannot hold dots, stage names such as "layer1.0" can.
        self.stage_names = tuple(adapters)
        self.adapters = nn.ModuleList(adapters.values())

    def __getitem__(self, stage_name: str) -> nn.Module:
        return self.adapters[self.stage_names.index(stage_name)]


class AdaptedNetwork(nn.Module):
    """A frozen backbone with one adapter set in front of its stages; one forward pass.

    Without adapters it is the backbone alone. Several adapted networks may share a backbone: the
    adapters are there for the length of a forward pass and leave no trace.
    """

    def __init__(self, backbone: Backbone, adapters: AdapterSet | None) -> None:
        super().__init__()
        self.backbone = backbone
        self.adapters = adapters
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised images [N, 3, H, W] to features [N, D]."""
        if self.adapters is None:
            return self.backbone(x)
        own = {name: self.adapters[name] for name in self.adapters.stage_names}
        with at_stages(self.backbone.network, before=own):
            return self.backbone(x)


def stage_shapes(
    backbone: Backbone, stage_names: Sequence[str], image_size: int
) -> dict[str, tuple[int, int, int]]:
    """Shape (channels, height, width) of the map that enters each stage, for square images.

    InputError for a stage that the backbone does not have, or that images do not pass.
    """
    for name in stage_names:
        if name not in dict(backbone.network.named_modules()) or not name:
            stages = ", ".join(n for n, _ in backbone.network.named_children())
            raise InputError(
                f"'{backbone.name}' has no stage '{name}': adapter_stages may name {stages} or any "
                "module inside them."
            )
    shapes: dict[str, tuple[int, int, int]] = {}
    see = {n: lambda maps, n=n: shapes.update({n: tuple(maps.shape[1:])}) for n in stage_names}
    with torch.no_grad(), at_stages(backbone.network, before=see):
        backbone(torch.zeros(1, 3, image_size, image_size, device=backbone.mean.device))
    flat = [n for n in stage_names if len(shapes.get(n, ())) != 3]
    if flat:
        raise InputError(f"Adapters go before maps with channels; '{flat[0]}' does not see one.")
    return shapes


def make_adapters(
    backbone: Backbone,
    stage_names: Sequence[str],
    image_size: int,
    *,
    seed: int,
    alpha: float,
    width: float = 1.0,
    padding: str = "same",
    kind: Callable[..., nn.Module] = Adapter,
) -> AdapterSet:
    """Build a freshly initialised adapter set that fits a backbone and an image size.

    ``width`` is m / c; ``kind`` is called as :class:`Adapter` is. torch's global generators are
    left as they were. InputError for no or unknown stages, a width under 0, maps under 3 x 3 with
    ``valid`` padding.
    """
    if not stage_names:
        raise InputError("adapter_stages is empty: name at least one stage of the backbone.")
    if width <= 0:
        raise InputError(f"adapter_width is {width}: it must be above 0 (1 = as many channels).")
    shapes = stage_shapes(backbone, stage_names, image_size)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        adapters = {}
        for name, (channels, height, breadth) in shapes.items():
            if padding == "valid" and min(height, breadth) < 3:
                raise InputError(
                    f"The map before '{name}' is {height} x {breadth}, under the 3 x 3 of 'valid'. "
                    "Use adapter_padding = 'same', larger images or an earlier stage."
                )
            adapters[name] = kind(channels, max(1, round(width * channels)), alpha, padding)
    return AdapterSet(adapters).to(backbone.mean.device)
