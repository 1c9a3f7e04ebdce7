"""A frozen backbone: any CNN from normalised images [N, 3, H, W] to features [N, D].

Its stages are ordinary named submodules, so adapters can be put before any of them
(:mod:`dynammo.adapters`). The networks themselves are written out in :mod:`dynammo.networks`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynammo.errors import InputError


@dataclass(frozen=True)
class Recipe:
    """What is known of one named backbone: where it is, and how it sees images."""

    network: str  # "module:class" in dynammo.networks, which is imported when it is built
    weights: str  # "module:function" there, giving a state dict of ImageNet weights
    stages: tuple[str, ...]  # in the order images pass them
    adapter_stages: tuple[str, ...]  # where adapters go unless the settings say otherwise
    feature_size: int  # D
    mean: tuple[float, float, float]  # of RGB in 0..1, as the pretrained weights expect it
    standard_deviation: tuple[float, float, float]
    # Features are multiplied by this. It sets how far one step moves a head's logits, which grows
    # with the square of the features' length, and so which learning rates are stable.
    feature_scale: float


RECIPES = {
    "resnet18": Recipe(
        network="resnet18:ResNet18",
        weights="weights:resnet18",
        stages=("layer1", "layer2", "layer3", "layer4"),
        adapter_stages=("layer1", "layer2", "layer3", "layer4"),
        feature_size=512,
        mean=(0.485, 0.456, 0.406),
        standard_deviation=(0.229, 0.224, 0.225),
        feature_scale=1.0,  # the released learning rates were chosen for these
    ),
    "efficientnet_lite0": Recipe(
        network="efficientnet_lite0:EfficientNetLite0",
        weights="weights:efficientnet_lite0",
        stages=tuple(f"stage{i}" for i in range(1, 8)),
        # Before the four stages that halve the map, as ResNet's four layers do.
        adapter_stages=("stage2", "stage3", "stage4", "stage6"),
        feature_size=1280,
        mean=(0.498, 0.498, 0.498),
        standard_deviation=(0.502, 0.502, 0.502),
        feature_scale=0.15,  # about 65 long without it; at that, 0.01 already overshoots
    ),
}


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
        network = _found(recipe.network)()
        if weights == "imagenet":
            network.load_state_dict(_found(recipe.weights)())
    network.fc = nn.Identity()
    folded = _found("folding:fold_batch_norm")(network)
    return Backbone(name, network, recipe, weights == "imagenet", folded, enlarge_to)


def _found(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(f"dynammo.networks.{module}"), name)


StageFunction = Callable[[Tensor], Tensor | None]


@contextmanager
def at_stages(
    network: nn.Module,
    *,
    before: Mapping[str, StageFunction] | None = None,
    after: Mapping[str, StageFunction] | None = None,
) -> Iterator[None]:
    """Call functions on the maps before or after named stages, for the length of a block.

    What a function returns takes the map's place; None leaves it.
    """
    with ExitStack() as hooks:
        for name, function in (before or {}).items():
            stage = network.get_submodule(name)
            hook = stage.register_forward_pre_hook(lambda _, maps, act=function: act(*maps))
            hooks.callback(hook.remove)
        for name, function in (after or {}).items():
            stage = network.get_submodule(name)
            hook = stage.register_forward_hook(lambda _, _maps, out, act=function: act(out))
            hooks.callback(hook.remove)
        yield
