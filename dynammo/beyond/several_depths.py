"""What several depths of a network see, in the one pass that it takes anyway."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynammo.adapters import AdaptedNetwork
from dynammo.backbones import at_stages


class SeveralDepths(nn.Module):
    """Features of a network, and beside them the means over the maps that its later stages give.

    Early maps know of colour and texture what the last one has forgotten. "Later" is the second
    half of the stages; a last one with as many channels as there are features is taken for these,
    and left out. Each depth's vector gets length 1, so that none speaks louder than another.
    """

    def __init__(self, network: AdaptedNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised images [N, 3, H, W] to [N, D'], the features last."""
        backbone, found = self.network.backbone, []
        later = backbone.stages[len(backbone.stages) // 2 :]
        note = dict.fromkeys(later, lambda maps: found.append(maps.mean(dim=(2, 3))))
        with at_stages(backbone.network, after=note):
            features = self.network(x)
        if found and found[-1].shape == features.shape:
            found.pop()
        return torch.cat([F.normalize(depth, dim=1) for depth in (*found, features)], dim=1)
