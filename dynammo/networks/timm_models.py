"""Backbones by their names in the package timm, ``timm:regnetx_002``, where it is installed."""

from functools import cache

from dynammo.errors import InputError
from dynammo.networks.recipes import Recipe

PREFIX = "timm:"
ADAPTED = 4  # before so many of the last stages, as ResNet's four layers


@cache
def timm_recipe(name: str) -> Recipe:
    """The recipe of one of timm's CNNs; weights are timm's own, fetched by it when they are loaded.

    Stages are the ends of what timm calls features at each resolution.

    Raises:
        InputError: timm is missing or cannot be imported, does not have the network, or it is none
            whose stages give smaller and smaller maps.
    """
    try:
        import timm
    except (ImportError, RuntimeError) as error:  # RuntimeError: another torch's torchvision
        again = "pip install timm, with a torchvision that fits torch"
        raise InputError(f"{PREFIX}{name}: timm does not import ({error}): {again}.") from error
    try:
        network = timm.create_model(name)
    except RuntimeError as error:
        like = ", ".join(timm.list_models(f"*{name[:6]}*")[:6]) or "timm.list_models()"
        raise InputError(f"timm has no network '{name}': it has {like} ..") from error
    stages = [one for one in getattr(network, "feature_info", []) if one["reduction"] > 2]
    if len({one["reduction"] for one in stages}) < 3:
        raise InputError(f"{PREFIX}{name} has no stages of smaller and smaller maps: take a CNN.")
    about, modules = network.pretrained_cfg, tuple(one["module"] for one in stages)
    return Recipe(
        network=lambda: timm.create_model(name),
        weights=lambda: timm.create_model(name, pretrained=True).state_dict(),
        stages=modules,
        adapter_stages=modules[-ADAPTED:],
        feature_size=getattr(network, "head_hidden_size", None) or network.num_features,
        mean=about["mean"],
        standard_deviation=about["std"],
        feature_scale=None,
        classifier=about["classifier"],
        title=f"{name} (timm)",
    )
