"""A learner as one network for use elsewhere: images in, class scores out, one file.

What was needed for learning is gone: batch norm of the adapters is folded into their convolutions,
as that of the backbone was before, and pixels are brought to the network's range inside.
"""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from dynammo.beyond.several_depths import SeveralDepths
from dynammo.methods import AdapterLearner
from dynammo.networks.folding import fold_batch_norm


class DeployedNetwork(nn.Module):
    """Maps uint8 images [N, H, W, 3] to scores [N, K] whose maximum is the prediction.

    The same function as the learner's, up to rounding, after its newest session.
    """

    def __init__(self, learner: AdapterLearner) -> None:
        super().__init__()
        self.inference = copy.deepcopy(learner.network())
        networks = [
            one.network if isinstance(one, SeveralDepths) else one for one in self.inference.passes
        ]
        for network in networks:
            if network.adapters is not None:
                folded = (fold_batch_norm(adapter) for adapter in network.adapters.adapters)
                network.adapters.adapters = nn.ModuleList(folded)
        self.backbone = networks[0].backbone
        self.requires_grad_(False)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Map uint8 images [N, H, W, 3] to scores [N, K] of the classes seen."""
        return self.inference(self.backbone.normalise(images))


def export(learner: AdapterLearner, path: Path) -> Path:
    """Write a learner as a program that runs without this project, for any number of images.

    ``torch.export.load(path).module()(images)`` runs it.

    Returns:
        The path, with the ending ``.pt2``.
    """
    size = learner.stream.image_size
    example = torch.zeros(2, size, size, 3, dtype=torch.uint8, device=learner.device)
    # Not strict: adapters are hooked in for the length of a pass, which only running it can see.
    program = torch.export.export(
        DeployedNetwork(learner),
        (example,),
        dynamic_shapes=({0: torch.export.Dim("images", min=1)},),
        strict=False,
    )
    path = path.with_suffix(".pt2")
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        # Said of weights laid out channels last, which are whole and are written whole.
        warnings.filterwarnings("ignore", "No complete tensor found")
        torch.export.save(program, path)
    return path
