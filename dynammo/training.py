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

Loss = Callable[[Tensor, Tensor], Tensor]


def tune_adapters(
    network: AdaptedNetwork,
    head: nn.Linear,
    images: Images,
    targets: np.ndarray,
    settings: Settings,
    generator: torch.Generator,
    *,
    loss: Loss = F.cross_entropy,
    progress: bool = True,
) -> list[float]:
    """Step 1 of DynaMMo: train adapters and auxiliary head by cross-entropy, both in place.

    Source: DynaMMo section 3.1 and the released ``acl`` learner: SGD with momentum, horizontal
    flips. The backbone stays as it is.

    Args:
        head: D features to |C_t| + 1 outputs.
        images: uint8 [N, H, W, 3].
        targets: int64 [N] in 0..|C_t|, where |C_t| means "others".
        loss: of logits [B, |C_t| + 1] and targets [B], to a scalar.
    """
    wanted = torch.as_tensor(targets, device=head.weight.device)
    network.adapters.requires_grad_(True)
    network.train()
    losses = step_1(
        lambda x, batch: loss(head(network(x)), wanted[batch.to(wanted.device)]),
        images,
        network.backbone,
        [*network.adapters.parameters(), *head.parameters()],
        settings,
        generator,
        "tuning adapters" if progress else "",
    )
    network.eval()
    network.adapters.requires_grad_(False)
    return losses


def step_1(
    loss: Callable[[Tensor, Tensor], Tensor],
    images: Images,
    backbone: Backbone,
    parameters: Sequence[nn.Parameter],
    settings: Settings,
    generator: torch.Generator,
    progress: str = "",
    learning_rate: float | None = None,
) -> list[float]:
    """Train on images by step 1's recipe, whatever is trained: SGD, schedule, flips.

    ``loss`` is of normalised images [B, 3, H, W], a random half of them flipped, and of their
    positions, int64 [B], among the uint8 images [N, H, W, 3].
    """

    def batch_loss(batch: Tensor) -> Tensor:
        x = flip_half(backbone.normalise(images[batch.numpy()]), generator)
        # bfloat16 has float32's range, so losses need no scaling.
        with torch.autocast(x.device.type, torch.bfloat16, settings.precision == "bfloat16"):
            return loss(x, batch)

    optimizer = step_1_optimizer(parameters, settings, learning_rate)
    schedule = settings.adapter_epochs, settings.adapter_milestones, settings.batch_size
    # Dropout, in a network or adapter of one's own, draws from torch's global generator.
    with torch.random.fork_rng([backbone.mean.device] if backbone.mean.is_cuda else []):
        torch.manual_seed(seed_for("dropout", generator.initial_seed()))
        return descend(batch_loss, len(images), optimizer, *schedule, generator, progress)


def step_1_optimizer(
    parameters: Sequence[nn.Parameter], settings: Settings, learning_rate: float | None = None
) -> torch.optim.SGD:
    """SGD as step 1 uses it, for other parameters at a learning rate of their own."""
    return torch.optim.SGD(
        parameters,
        lr=learning_rate or settings.adapter_learning_rate,
        momentum=settings.adapter_momentum,
        weight_decay=settings.adapter_weight_decay,
    )


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
        loss: from features [B, P, D] and labels [B] to a scalar.
        features: [2, N, P, D] of images and of their mirror images: with everything before the
            head frozen, all that training with random flips can ever see.
    """
    batch_loss = flipped_batch_loss(loss, features, labels, generator)
    # Fused: a step is a few small matrices, most of whose time is the calls themselves.
    optimizer = torch.optim.Adam(parameters, lr=settings.head_learning_rate, fused=True)
    steps_an_epoch = max(1, math.ceil((len(labels) - 1) / settings.batch_size))  # none is of one
    epochs = max(settings.head_epochs, math.ceil(settings.head_steps / steps_an_epoch))
    schedule = epochs, settings.head_milestones, settings.batch_size
    descend(batch_loss, len(labels), optimizer, *schedule, generator)


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

    ``batch_loss`` is the mean loss at some positions, int64 [B], out of ``count``; ``milestones``
    are shares of the epochs; ``progress`` is the title of a progress bar, empty for none.

    Returns:
        Mean loss of each epoch.
    """
    # A little less, because 0.55 * 100 is a little more than 55 in floating point.
    drops = [max(1, math.ceil(share * epochs - 1e-9)) for share in milestones]
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, drops)
    losses, bar = [], progress_bar(range(epochs), progress)
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


def shuffled_batches(count: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Positions 0..count-1 in random order; of two or more none is alone, for batch norm's sake."""
    batches = list(torch.randperm(count, generator=generator).split(batch_size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    yield from batches


def flip_half(images: Tensor, generator: torch.Generator) -> Tensor:
    """Flip a random half of images [N, 3, H, W] left to right."""
    flip = (torch.rand(len(images), generator=generator) < 0.5).to(images.device)
    return torch.where(flip[:, None, None, None], images.flip(3), images)


def progress_bar(items: Collection, title: str) -> tqdm:
    """Iterate with a progress bar as plain text; without one if the title is empty."""
    return tqdm(items, title, disable=not title, file=sys.stdout)


@torch.no_grad()
def in_batches(function: Callable[[Tensor], Tensor], backbone: Backbone, images: Images) -> Tensor:
    """Apply a function of normalised images [B, 3, H, W] to uint8 images [N, H, W, 3]."""
    starts = range(0, len(images) or 1, EVALUATION_BATCH)  # of none, an empty result
    return torch.cat(
        [function(backbone.normalise(images[i : i + EVALUATION_BATCH])) for i in starts]
    )


def extract_features(
    network: nn.Module, backbone: Backbone, images: Images, *, flip: bool = False
) -> Tensor:
    """Features [N, D] of uint8 images [N, H, W, 3] in evaluation mode, optionally all flipped."""
    network.eval()
    return in_batches(lambda x: network(x.flip(3) if flip else x), backbone, images)


def linear_head(feature_size: int, outputs: int, seed: int, device: torch.device) -> nn.Linear:
    """A freshly initialised linear layer; torch's global generators are left as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return nn.Linear(feature_size, outputs).to(device)


def seed_for(purpose: str, *numbers: int) -> int:
    """One seed per purpose from the run's seeds, so that no two purposes share random numbers."""
    words = np.random.SeedSequence([zlib.crc32(purpose.encode()), *numbers]).generate_state(1)
    return int(words[0])


def generator_for(purpose: str, *numbers: int) -> torch.Generator:
    """CPU generator seeded by :func:`seed_for`."""
    return torch.Generator().manual_seed(seed_for(purpose, *numbers))
