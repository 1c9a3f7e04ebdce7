"""What is known of each named backbone: its network, its weights, and how it sees images."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from dynammo.networks import weights
from dynammo.networks.efficientnet_lite0 import EfficientNetLite0
from dynammo.networks.resnet18 import ResNet18


@dataclass(frozen=True)
class Recipe:
    """How to build and to read one backbone."""

    network: Callable[[], nn.Module]
    weights: Callable[[], dict[str, Tensor]]  # of the network, as pretrained
    stages: tuple[str, ...]  # in the order images pass them
    adapter_stages: tuple[str, ...]  # where adapters go unless the settings say otherwise
    feature_size: int  # D
    mean: tuple[float, float, float]  # of RGB in 0..1, as the pretrained weights expect it
    standard_deviation: tuple[float, float, float]
    # Of the features' length, which decides the stable learning rates; None: measured, to be 10.
    feature_scale: float | None
    classifier: str = "fc"  # the layer after the features, which is left out
    title: str = ""  # of network and weights, in figures: "ResNet-18, rebuilt ImageNet weights"


LAYERS = ("layer1", "layer2", "layer3", "layer4")
RECIPES = {
    "resnet18": Recipe(
        network=ResNet18,
        weights=weights.resnet18,
        stages=LAYERS,
        adapter_stages=LAYERS,
        feature_size=512,
        mean=(0.485, 0.456, 0.406),
        standard_deviation=(0.229, 0.224, 0.225),
        feature_scale=1.0,  # the released learning rates were chosen for these
    ),
    "efficientnet_lite0": Recipe(
        network=EfficientNetLite0,
        weights=weights.efficientnet_lite0,
        stages=tuple(f"stage{i}" for i in range(1, 8)),
        # Before the four stages that halve the map, as ResNet's four layers do.
        adapter_stages=("stage2", "stage3", "stage4", "stage6"),
        feature_size=1280,
        mean=(0.498, 0.498, 0.498),
        standard_deviation=(0.502, 0.502, 0.502),
        feature_scale=0.15,  # about 65 long without it; at that, 0.01 already overshoots
    ),
}
