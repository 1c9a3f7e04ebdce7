"""Backbones of one's own, as ``--set backbone=tests.example_backbone:NAME`` takes them."""

import os
from pathlib import Path

from safetensors.torch import load_file

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
