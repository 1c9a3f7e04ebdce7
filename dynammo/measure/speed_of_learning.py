"""What learning takes: DynaMMo's loops against straightforward ones with the same losses.

In those batch norm of the frozen network is computed (:mod:`dynammo.measure.usual_loop`), and a
head is tuned by running the network in every epoch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dynammo.adapters import AdaptedNetwork, make_adapters
from dynammo.backbones import Backbone, at_stages
from dynammo.baselines.whole_network import both_flips
from dynammo.heads import TaskHeads
from dynammo.measure.race import race
from dynammo.measure.speed import unfolded
from dynammo.measure.usual_loop import straightforward_tuning
from dynammo.methods import InferenceNetwork
from dynammo.settings import Settings
from dynammo.training import (
    descend,
    extract_features,
    fit_head,
    flip_half,
    linear_head,
    step_1_optimizer,
    tune_adapters,
)


def _learner(backbone: Backbone, size: int) -> tuple[AdaptedNetwork, nn.Linear]:
    stages = backbone.adapter_stages
    adapters = make_adapters(backbone, stages, size, seed=0, alpha=Settings().adapter_alpha)
    network = AdaptedNetwork(backbone, adapters)
    return network, linear_head(backbone.feature_size, 3, 0, backbone.mean.device)


def tuning_rows(
    backbone: Backbone, images: np.ndarray, settings: Settings, budget: float
) -> Iterator[dict]:
    """Adapter tuning, in images a second; and with the test images looked at after each epoch."""
    size = images.shape[1]
    targets = np.arange(len(images)) % 3
    plain = unfolded(backbone)
    losses: dict[str, list[float]] = {}

    def ours() -> None:
        start = torch.Generator().manual_seed(1)
        network, head = _learner(backbone, size)
        losses["fast"] = tune_adapters(
            network, head, images, targets, settings, start, progress=False
        )

    def usual(looks_at_test: bool) -> None:
        start = torch.Generator().manual_seed(1)
        network, head = _learner(plain, size)
        network.to(memory_format=torch.contiguous_format)
        watch = {"each_epoch": lambda: extract_features(network, plain, images)}
        losses["slow"] = straightforward_tuning(
            network, head, images, targets, settings, start, **(watch if looks_at_test else {})
        )

    for looks_at_test in (False, True):
        ratios = race(lambda seen=looks_at_test: usual(seen), ours, budget)
        apart = np.abs(np.array(losses["slow"]) / np.array(losses["fast"]) - 1).max()
        speed = len(images) * settings.adapter_epochs / ratios["fast_seconds"]
        name = "image by image" + (", tested every epoch" if looks_at_test else "")
        yield {
            "what": f"adapter tuning: in batches against {name}",
            "backbone": backbone.name,
            "batch": settings.batch_size,
            **ratios,
            "at_least": 2.5,
            "note": f"{speed:.0f} images/s; losses within {apart:.0e}",
        }


def precision_rows(backbone: Backbone, images: np.ndarray, settings: Settings, budget: float):
    """Adapter tuning in mixed precision against float32, on a GPU."""
    losses = {}

    def tune(precision: str) -> None:
        chosen = settings.with_changes({"precision": precision})
        start, targets = torch.Generator().manual_seed(1), np.arange(len(images)) % 3
        network, head = _learner(backbone, images.shape[1])
        losses[precision] = tune_adapters(
            network, head, images, targets, chosen, start, progress=False
        )[-1]

    yield {
        "what": "adapter tuning: bfloat16 against float32",
        "backbone": backbone.name,
        "batch": settings.batch_size,
        **race(lambda: tune("float32"), lambda: tune("bfloat16"), budget),
        "note": f"last loss {losses['bfloat16']:.3f} and {losses['float32']:.3f}",
    }


def limit_row(backbone: Backbone, size: int, batch_size: int, budget: float) -> dict:
    """A training step against its convolutions alone, each run by itself on the same shapes.

    The ratio is above 1 by what is not convolution: batch norm, activations, updates.
    """
    network, head = _learner(backbone, size)
    network.train()
    network.adapters.requires_grad_(True)
    device = backbone.mean.device
    parameters = [*network.adapters.parameters(), *head.parameters()]
    optimizer = step_1_optimizer(parameters, Settings())
    images = torch.rand(batch_size, 3, size, size, device=device)
    images = images.to(memory_format=torch.channels_last)
    wanted = torch.zeros(batch_size, dtype=torch.long, device=device)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(head(network(images)), wanted).backward()
        optimizer.step()

    inputs: list[tuple[nn.Module, Tensor]] = []
    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    hooks = [
        module.register_forward_pre_hook(lambda one, x: inputs.append((one, *x)))
        for module in network.modules()
        if isinstance(module, kinds)
    ]
    with FlopCounterMode(display=False) as counter:
        step()
    for hook in hooks:
        hook.remove()
    works = []
    for module, entered in inputs:
        x = torch.rand_like(entered).requires_grad_(entered.requires_grad)
        learned = [one for one in (x, *module.parameters()) if one.requires_grad]
        works.append((module, x, learned, torch.rand_like(module(x)) if learned else None))

    def convolutions() -> None:
        for module, x, learned, gradient in works:
            out = module(x)
            if learned:
                torch.autograd.grad(out, learned, gradient)

    found = race(step, convolutions, budget)
    macs = counter.get_total_flops() / 2
    speeds = [macs / found[name] / 1e9 for name in ("slow_seconds", "fast_seconds")]
    return {
        "what": "adapter tuning: a whole step against its convolutions alone",
        "backbone": backbone.name,
        "batch": batch_size,
        **found,
        "note": f"{speeds[0]:.0f} of {speeds[1]:.0f} GMACs/s, {100 / found['ratio']:.0f} %",
    }


def prefix_row(backbone: Backbone, size: int, batch_size: int, budget: float) -> dict:
    """A training step against the frozen layers before the first adapter, which it repeats."""
    network, head = _learner(backbone, size)
    network.train()
    network.adapters.requires_grad_(True)
    images = torch.rand(batch_size, 3, size, size, device=backbone.mean.device)
    images = images.to(memory_format=torch.channels_last)

    class Reached(Exception):
        pass

    def stop(_maps: Tensor) -> None:
        raise Reached

    first = network.adapters.stage_names[0]

    def prefix() -> None:
        with (
            contextlib.suppress(Reached),
            torch.no_grad(),
            at_stages(backbone.network, before={first: stop}),
        ):
            backbone(images)

    def step() -> None:
        head(network(images)).sum().backward()

    found = race(step, prefix, budget)
    return {
        "what": "adapter tuning: a whole step against the frozen layers before the adapters",
        "backbone": backbone.name,
        "batch": batch_size,
        **found,
        "note": f"keeping their maps could save {100 / found['ratio']:.0f} % at most",
    }


def head_row(
    backbone: Backbone, images: np.ndarray, passes: int, settings: Settings, budget: float
) -> dict:
    """Head tuning on features computed once, against running the network in every epoch."""
    size, classes = images.shape[1], 8
    labels = np.arange(len(images)) % classes
    wanted = torch.as_tensor(labels, device=backbone.mean.device)
    networks = [_learner(backbone, size)[0].eval() for _ in range(passes)]
    heads = {}

    def fresh(name: str) -> TaskHeads:
        heads[name] = TaskHeads(backbone.feature_size)
        for session in range(4):
            auxiliary = linear_head(backbone.feature_size, 3, session, backbone.mean.device)
            heads[name].add_session(auxiliary)
        return heads[name].requires_grad_(True)

    def once() -> None:
        head, start = fresh("fast"), torch.Generator().manual_seed(1)
        parameters = list(head.parameters())
        features = both_flips(networks, backbone, images)
        fit_head(parameters, head.loss, features, labels, settings, start)

    def every_epoch() -> None:
        head, start = fresh("slow"), torch.Generator().manual_seed(1)
        inference = InferenceNetwork(networks, head)

        def batch_loss(batch: Tensor) -> Tensor:
            x = flip_half(backbone.normalise(images[batch.numpy()]), start)
            with torch.no_grad():
                features = inference.features(x)
            return head.loss(features, wanted[batch.to(wanted.device)])

        descend(
            batch_loss,
            len(images),
            torch.optim.Adam(head.parameters(), lr=settings.head_learning_rate, fused=True),
            settings.head_epochs,
            settings.head_milestones,
            settings.batch_size,
            start,
        )

    # Both come from ACL-like heads that read one pass each, or all the same one.
    found = race(every_epoch, once, budget)
    features = both_flips(networks, backbone, images)[0]
    with torch.no_grad():
        answers = [heads[name](features).argmax(dim=1) for name in ("slow", "fast")]
    right = [int((answer == wanted).sum()) for answer in answers]
    return {
        "what": "head tuning: features computed once against in every epoch",
        "backbone": backbone.name,
        "sessions": passes,
        "batch": settings.batch_size,
        **found,
        "at_least": 30,
        "note": f"{right[0]} and {right[1]} of {len(images)} exemplars right",
    }
