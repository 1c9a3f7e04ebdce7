"""Backbones of one's own: ``package.module:function``, ``path/to/file.py:function``, ``timm:NAME``.

The function returns a ``Recipe`` of any CNN whose named stages, in turn, take and give a map.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from dynammo.errors import InputError
from dynammo.networks.recipes import RECIPES, Recipe
from dynammo.networks.timm_models import PREFIX, timm_recipe

LOADED = ("plugin_", "backbone_", "rule_")  # what modules from files of one's own are called first
FEATURE_LENGTH = 10.0  # about that of the named backbones' features, once scaled


def recipe_of(name: str) -> Recipe:
    """The recipe of a name, or of one's own function; InputError where there is none."""
    if name in RECIPES:
        return RECIPES[name]
    if ":" not in name:
        known = f"choose one of {', '.join(RECIPES)}, or give package.module:function or timm:NAME"
        raise InputError(f"Unknown backbone '{name}': {known}.")
    with failures_told(f"The backbone {name}"):
        recipe = own_function(name)()
    if not isinstance(recipe, Recipe):
        raise InputError(f"{name} returns a {type(recipe).__name__}: it has to return a Recipe.")
    if not len(recipe.mean) == len(recipe.standard_deviation) == 3:
        raise InputError(f"{name}: mean and standard_deviation are three numbers each, of R, G, B.")
    return recipe


@contextmanager
def failures_told(what: str, when: str = "") -> Iterator[None]:
    """Whatever one's own code does comes out as InputError: its own, or one that names the code."""
    try:
        yield
    except InputError:
        raise
    except Exception as e:
        raise InputError(f"{what} fails{when}: {type(e).__name__}: {e}") from e


def own_function(name: str, kind: str = "backbone") -> Callable:
    """The function that such a name stands for."""
    if name.startswith(PREFIX):
        return lambda: timm_recipe(name.removeprefix(PREFIX))
    place, _, function = name.rpartition(":")
    if not place.endswith(".py"):
        return getattr(import_module(place), function)
    return getattr(module_from_file(Path(place), kind), function)


def module_from_file(path: Path, kind: str) -> ModuleType:
    """The module of a ``.py`` file, loaded once in a process, under a name of its own."""
    path = path.expanduser().resolve()
    name = f"{kind}_{path.stem}_{sha256(str(path).encode()).hexdigest()[:8]}"
    if name not in sys.modules:
        module = sys.modules[name] = module_from_spec(spec_from_file_location(name, path))
        try:
            module.__loader__.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


def built(recipe: Recipe, name: str, *, pretrained: bool) -> tuple[nn.Module, Recipe]:
    """The recipe's network with its weights and without its classifier, and the whole recipe."""
    with failures_told(f"The backbone {name}"):
        network = recipe.network()
        if pretrained:
            network.load_state_dict(recipe.weights())
    return without_classifier(network, recipe, name)


def without_classifier(network: nn.Module, recipe: Recipe, name: str) -> tuple[nn.Module, Recipe]:
    """The network up to its features, its recipe with their scale; InputError if they misfit."""
    parts = dict(network.named_modules())
    for part in (recipe.classifier, *recipe.stages):
        if part not in parts:
            raise InputError(f"{name} has no part '{part}': it has {', '.join([*parts][1:9])} ..")
    if recipe.classifier:  # "" is a network that has none
        network.set_submodule(recipe.classifier, nn.Identity())
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    when = f" without its classifier, for images {tuple(images.shape)}"
    with failures_told(f"The backbone {name}", when), torch.no_grad():
        features = network.eval()(images)
    if (shape := tuple(features.shape)) != (2, recipe.feature_size):
        raise InputError(
            f"Without '{recipe.classifier}' {name} makes features {shape} of 2 images, not "
            f"(2, {recipe.feature_size}): give the right layer as classifier, and feature_size."
        )
    if recipe.feature_scale is None:  # of an outline that is only counted any will do
        length = 1.0 if features.is_meta else features.norm(dim=1).mean().item()
        recipe = replace(recipe, feature_scale=FEATURE_LENGTH / length)
    return network, recipe
