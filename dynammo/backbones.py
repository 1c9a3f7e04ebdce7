"""A frozen backbone: any CNN from normalised images [N, 3, H, W] to features [N, D].

Its stages are named submodules, which adapters can be put before.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynammo.errors import InputError

if TYPE_CHECKING:
    from dynammo.networks.recipes import Recipe


class Backbone(nn.Module):
    """A frozen CNN from images to features, which never leaves evaluation mode.

    ``network`` maps [N, 3, H, W] to [N, feature_size]: replace a classifier's last layer by
    ``nn.Identity()`` and any CNN will do. ``folded`` is the same function without batch norm, which
    is run instead. Images are brought to ``enlarge_to`` pixels a side; 0 leaves them.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        recipe: Recipe,
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
        self.register_buffer("mean", torch.tensor(recipe.mean).view(3, 1, 1), persistent=False)
        deviation = torch.tensor(recipe.standard_deviation).view(3, 1, 1)
        self.register_buffer("standard_deviation", deviation, persistent=False)
        self.train(False)

    def train(self, mode: bool = True) -> Backbone:
        """Stay in evaluation mode, so that batch norm's statistics never move."""
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
    """Build a backbone without its classifier, with weights ``imagenet`` or ``random``.

    ``name`` is one of RECIPES, or ``place:function`` (:mod:`dynammo.networks.own`). torch's global
    generators are left as they were. InputError for an unknown name or kind of weights, or for
    weights that cannot be had.
    """
    from dynammo.networks.folding import fold_batch_norm  # loaded when a network is built
    from dynammo.networks.own import built, recipe_of

    with torch.random.fork_rng(devices=[]):
        recipe = recipe_of(name)  # which may build a network to ask it
        if weights not in ("imagenet", "random"):
            raise InputError(f"Unknown weights '{weights}': choose 'imagenet' or 'random'.")
        torch.default_generator.manual_seed(seed)
        network, recipe = built(recipe, name, pretrained=weights == "imagenet")
    folded = fold_batch_norm(network)
    return Backbone(name, network, recipe, folded, enlarge_to)


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
