"""The tuning loop as a PyTorch tutorial would write it and the released pipeline does.

Images are opened, flipped and normalised one by one with PIL in worker processes. It gives the
losses of :func:`dynammo.training.tune_adapters`, which it is there to be compared with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from dynammo.adapters import AdaptedNetwork
from dynammo.backbones import Backbone
from dynammo.settings import Settings
from dynammo.training import shuffled_batches, step_1_optimizer


class OneByOne(Dataset):
    """Uint8 images [N, H, W, 3] prepared one at a time: item (position, whether flipped)."""

    def __init__(self, images: np.ndarray, targets: np.ndarray, backbone: Backbone) -> None:
        self.images, self.targets = images, targets
        self.mean = backbone.mean.cpu()
        self.standard_deviation = backbone.standard_deviation.cpu()

    def __getitem__(self, item: tuple[int, bool]) -> tuple[Tensor, int]:
        position, flip = item
        image = Image.fromarray(self.images[position])
        if flip:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        x = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
        return (x - self.mean) / self.standard_deviation, self.targets[position]


class FlippedBatches(Sampler):
    """Batches of items of :class:`OneByOne`, by the random numbers that `tune_adapters` draws."""

    def __init__(self, count: int, batch_size: int, generator: torch.Generator) -> None:
        self.count, self.batch_size, self.generator = count, batch_size, generator

    def __iter__(self) -> Iterator[list[tuple[int, bool]]]:
        for batch in shuffled_batches(self.count, self.batch_size, self.generator):
            flips = torch.rand(len(batch), generator=self.generator) < 0.5
            yield list(zip(batch.tolist(), flips.tolist(), strict=True))


def straightforward_tuning(
    network: AdaptedNetwork,
    head: nn.Linear,
    images: np.ndarray,
    targets: np.ndarray,
    settings: Settings,
    generator: torch.Generator,
    workers: int = 2,
    each_epoch: Callable[[], object] = lambda: None,
) -> list[float]:
    """Step 1 as :func:`dynammo.training.tune_adapters` does it, written the usual way."""
    device = head.weight.device
    loader = DataLoader(
        OneByOne(images, targets, network.backbone),
        batch_sampler=FlippedBatches(len(images), settings.batch_size, generator),
        num_workers=workers,
    )
    network.adapters.requires_grad_(True)
    optimizer = step_1_optimizer([*network.adapters.parameters(), *head.parameters()], settings)
    epochs = settings.adapter_epochs
    drops = [max(1, math.ceil(share * epochs - 1e-9)) for share in settings.adapter_milestones]
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, drops)
    losses = []
    for _ in range(epochs):
        network.train()
        total = 0.0
        for x, wanted in loader:
            loss = F.cross_entropy(head(network(x.to(device))), wanted.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x)
        schedule.step()
        losses.append(total / len(images))
        network.eval()
        each_epoch()
    network.adapters.requires_grad_(False)
    return losses
