"""The two training loops: adapters with their auxiliary head, and heads on fixed features."""

from __future__ import annotations

import math
import sys
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from dynammo.adapters import AdaptedNetwork
from dynammo.backbones import Backbone
from dynammo.settings import Settings
from dynammo.stream import Images

EVALUATION_BATCH = 64


def seed_for(purpose: str, *numbers: int) -> int:
    """One seed per purpose from the run's seeds, so that no two uses share random numbers.

    ``seed_for("tuning", order_seed, train_seed, session)`` is the same on every machine.
    """
    words = np.random.SeedSequence([zlib.crc32(purpose.encode()), *numbers]).generate_state(1)
    return int(words[0])


def generator_for(purpose: str, *numbers: int) -> torch.Generator:
    """CPU generator seeded by :func:`seed_for`."""
    return torch.Generator().manual_seed(seed_for(purpose, *numbers))


def shuffled_batches(count: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Positions 0..count-1 in random order, in batches of at least two.

    A last batch of one image joins the batch before it: batch norm cannot be trained on one.
    """
    order = torch.randperm(count, generator=generator)
    batches = list(order.split(batch_size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    yield from batches


def progress_bar(items: Collection, title: str) -> tqdm:
    """Iterate with a progress bar; without one if the title is empty.

    Plain text on standard output reads well in a notebook, its HTML copy and a terminal.
    """
    return tqdm(items, title, disable=not title, file=sys.stdout)


def descend(
    batch_loss: Callable[[Tensor], Tensor],
    count: int,
    optimizer: torch.optim.Optimizer,
    epochs: int,
    milestones: Sequence[float],
    batch_size: int,
    generator: torch.Generator,
    progress: str = "",
) -> list[float]:
    """Train for some epochs; the learning rate drops tenfold at each milestone.

    Args:
        batch_loss: mean loss of the images at some positions (int64 [B]).
        count: how many images there are.
        milestones: shares of the epochs after which the learning rate drops.
        progress: title of the progress bar; empty shows none.

    Returns:
        Mean loss of each epoch.
    """
    # A little less, because 0.55 * 100 is a little more than 55 in floating point.
    drops = [max(1, math.ceil(share * epochs - 1e-9)) for share in milestones]
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, drops)
    losses = []
    bar = progress_bar(range(epochs), progress)
    for _ in bar:
        total = 0.0
        for batch in shuffled_batches(count, batch_size, generator):
            loss = batch_loss(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        schedule.step()
        losses.append(total / count)
        bar.set_postfix(loss=f"{losses[-1]:.3f}")
    return losses


def linear_head(feature_size: int, outputs: int, seed: int, device: torch.device) -> nn.Linear:
    """A freshly initialised linear layer; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Linear(feature_size, outputs).to(device)


def training_precision(settings: Settings, device: torch.device) -> torch.autocast:
    """Context of a training step's forward pass: float32, or bfloat16 where torch deems it safe.

    bfloat16 has float32's range, so losses need no scaling.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bfloat16")


def flip_half(images: Tensor, generator: torch.Generator) -> Tensor:
    """Flip a random half of images [N, 3, H, W] left to right."""
    flip = torch.rand(len(images), generator=generator) < 0.5
    flip = flip.to(images.device)[:, None, None, None]
    return torch.where(flip, images.flip(3), images)


def tune_adapters(
    network: AdaptedNetwork,
    head: nn.Linear,
    images: Images,
    targets: np.ndarray,
    settings: Settings,
    generator: torch.Generator,
    *,
    progress: bool = True,
) -> list[float]:
    """Step 1 of DynaMMo: train one adapter set and its auxiliary head by cross-entropy.

    Source: DynaMMo section 3.1 and the released ``acl`` learner: SGD with momentum, horizontal
    flips. Only the adapters and the head change; the backbone stays as it is.

    Args:
        network: backbone and the adapter set to train; trained in place.
        head: D features to |C_t| + 1 outputs; trained in place.
        images: uint8 [N, H, W, 3].
        targets: int64 [N] in 0..|C_t|, where |C_t| means "others".

    Returns:
        Mean training loss of each epoch.
    """
    device = head.weight.device
    wanted = torch.as_tensor(targets, device=device)

    def batch_loss(batch: Tensor) -> Tensor:
        x = flip_half(network.backbone.normalise(images[batch.numpy()]), generator)
        with training_precision(settings, device):
            return F.cross_entropy(head(network(x)), wanted[batch.to(device)])

    network.adapters.requires_grad_(True)
    network.train()
    losses = step_1(
        batch_loss,
        len(images),
        [*network.adapters.parameters(), *head.parameters()],
        settings,
        generator,
        "tuning adapters" if progress else "",
    )
    network.eval()
    network.adapters.requires_grad_(False)
    return losses


def step_1(
    batch_loss: Callable[[Tensor], Tensor],
    count: int,
    parameters: Sequence[nn.Parameter],
    settings: Settings,
    generator: torch.Generator,
    progress: str = "",
    learning_rate: float | None = None,
) -> list[float]:
    """:func:`descend` by step 1's SGD, epochs and schedule, whatever is trained.

    Args:
        learning_rate: another than ``adapter_learning_rate``.
    """
    optimizer = torch.optim.SGD(
        parameters,
        lr=learning_rate or settings.adapter_learning_rate,
        momentum=settings.adapter_momentum,
        weight_decay=settings.adapter_weight_decay,
    )
    return descend(
        batch_loss,
        count,
        optimizer,
        settings.adapter_epochs,
        settings.adapter_milestones,
        settings.batch_size,
        generator,
        progress,
    )


@torch.no_grad()
def in_batches(function: Callable[[Tensor], Tensor], backbone: Backbone, images: Images) -> Tensor:
    """Apply a function of normalised images [B, 3, H, W] to uint8 images [N, H, W, 3]."""
    starts = range(0, len(images), EVALUATION_BATCH)
    batches = (backbone.normalise(images[i : i + EVALUATION_BATCH]) for i in starts)
    return torch.cat([function(batch) for batch in batches])


def extract_features(
    network: nn.Module, backbone: Backbone, images: Images, *, flip: bool = False
) -> Tensor:
    """Features [N, D] of uint8 images [N, H, W, 3] in evaluation mode, optionally all flipped."""
    network.eval()
    return in_batches(lambda x: network(x.flip(3) if flip else x), backbone, images)


def fit_head(
    parameters: Sequence[nn.Parameter],
    loss: Callable[[Tensor, Tensor], Tensor],
    features: Tensor,
    labels: np.ndarray,
    settings: Settings,
    generator: torch.Generator,
) -> None:
    """Step 4 of DynaMMo: train a head with Adam on features that no longer change.

    Args:
        parameters: of the head; trained in place.
        loss: from features [B, P, D] and labels [B] to a scalar.
        features: [2, N, P, D], as :func:`both_flips` gives them.
        labels: int64 [N].
    """
    descend(
        flipped_batch_loss(loss, features, labels, generator),
        len(labels),
        # Fused: a step is a few small matrices, most of whose time is the calls themselves.
        torch.optim.Adam(parameters, lr=settings.head_learning_rate, fused=True),
        settings.head_epochs,
        settings.head_milestones,
        settings.batch_size,
        generator,
    )


def flipped_batch_loss(
    loss: Callable[[Tensor, Tensor], Tensor],
    features: Tensor,
    labels: np.ndarray,
    generator: torch.Generator,
) -> Callable[[Tensor], Tensor]:
    """Loss of a batch of features [2, N, P, D], each image or its mirror image by chance."""
    wanted = torch.as_tensor(labels, device=features.device)

    def batch_loss(batch: Tensor) -> Tensor:
        flip = (torch.rand(len(batch), generator=generator) < 0.5).long().to(features.device)
        batch = batch.to(features.device)
        return loss(features[flip, batch], wanted[batch])

    return batch_loss
