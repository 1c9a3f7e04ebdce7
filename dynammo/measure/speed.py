"""What a prediction takes: ACL's passes, DynaMMo's one, one adapter set alone, and the export.

Every row is a ratio of two ways to the same end, timed in turn (:mod:`dynammo.measure.race`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn

from dynammo.backbones import Backbone, make_backbone
from dynammo.learner import Learner
from dynammo.measure.cost import count_macs, outline_learner
from dynammo.measure.race import race
from dynammo.networks.own import recipe_of
from dynammo.settings import Settings

SIZES = {"efficientnet_lite0": 64, "resnet18": 224}


def inference_rows(
    backbone: Backbone, sessions: list[int], batches: list[int], budget: float
) -> Iterator[dict]:
    """ACL against DynaMMo, and DynaMMo against one adapter set, for some T and batch sizes."""
    size, device = SIZES[backbone.name], backbone.mean.device
    for count in sessions:
        acl, merged, one = (
            outline(method, backbone, count).network()
            for method in ("acl", "dynammo", "last_adapter")
        )
        same = count_macs(merged, size) == count_macs(one, size)
        for batch in batches:
            images = torch.rand(batch, 3, size, size, device=device)
            images = images.to(memory_format=torch.channels_last)
            about = {"backbone": backbone.name, "sessions": count, "batch": batch}
            yield {
                "what": "inference: merged against every set kept",
                **about,
                **race(_run(acl, images), _run(merged, images), budget),
                "at_least": 0.9 * count,
            }
            yield {
                "what": "inference: merged against one set",
                **about,
                **race(_run(merged, images), _run(one, images), budget),
                "at_most": 1.02,
                "note": f"MACs {'equal' if same else 'DIFFER'}",
            }


def export_rows(
    backbone: Backbone,
    exported: Callable[[torch.Tensor], torch.Tensor],
    batches: list[int],
    budget: float,
) -> Iterator[dict]:
    """An exported program against the network as it was learned, with batch norm in its place.

    Args:
        exported: of :func:`outline` of "dynammo" after four sessions, on this backbone.
    """
    size, device = SIZES[backbone.name], backbone.mean.device
    plain = unfolded(backbone)
    learned = outline("dynammo", plain, 4).network()
    for batch in batches:
        generator = np.random.default_rng(batch)
        images = generator.integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
        images = torch.as_tensor(images, device=device)
        with torch.no_grad():
            expected, (found, _) = learned(plain.normalise(images)).exp(), exported(images)
        if not torch.equal(expected == 0, found == 0):
            raise RuntimeError("The export infers another session than the network it is of.")
        far = (expected - found).abs().max().item()
        yield {
            "what": "export: batch norm folded against as learned",
            "backbone": backbone.name,
            "sessions": 4,
            "batch": batch,
            **race(
                torch.no_grad()(lambda x=images: learned(plain.normalise(x))),
                _run(exported, images),
                budget,
            ),
            "note": f"probabilities within {far:.0e}",
        }


def unfolded(backbone: Backbone) -> Backbone:
    """The backbone as it is published, with batch norm."""
    network, recipe = backbone.trainable_network(), recipe_of(backbone.name)
    plain = Backbone(backbone.name, network, recipe)
    return plain.to(backbone.mean.device)


def outline(method: str, backbone: Backbone, sessions: int) -> Learner:
    """A learner in its shape after some sessions of two classes, with any weights."""
    settings = Settings(backbone=backbone.name)
    size, device = SIZES[backbone.name], str(backbone.mean.device)
    return outline_learner(method, settings, [2] * sessions, size, device, backbone)


def _run(network: nn.Module, images: torch.Tensor):
    return torch.no_grad()(lambda: network(images))


def make_backbones(names: list[str], device: str) -> list[Backbone]:
    """Backbones, with ImageNet weights where they come with the packages."""
    weights = {"efficientnet_lite0": "imagenet"}
    return [make_backbone(name, weights.get(name, "random")).to(device) for name in names]
