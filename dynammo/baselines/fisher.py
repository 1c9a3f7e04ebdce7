"""How much predictions depend on each weight: the diagonal of the Fisher information."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynammo.learner import Setup
from dynammo.training import generator_for


def fisher_diagonal(
    classifier: nn.Module, images: Tensor, first: int, generator: torch.Generator
) -> dict[str, Tensor]:
    """Diagonal of the Fisher information of a classifier's outputs [N, K], from ``first`` on.

    The mean over normalised images [N, 3, H, W] of the squared gradient of log p(y | x), with y
    drawn from the model's own prediction, one image at a time: squaring the mean gradient of a
    batch would be another, much smaller number (Martens, arXiv 1412.1193, on the "empirical"
    Fisher). For each parameter that requires a gradient, a tensor shaped like it.
    """
    named = {name: p for name, p in classifier.named_parameters() if p.requires_grad}
    fisher = {name: torch.zeros_like(p) for name, p in named.items()}
    for image in images.split(1):
        scores = F.log_softmax(classifier(image)[:, first:], dim=1)
        drawn = torch.multinomial(scores.detach().exp().cpu(), 1, generator=generator)
        score, weights = scores[0, drawn.item()], list(named.values())
        gradients = torch.autograd.grad(score, weights, materialize_grads=True)  # 0 if it is unused
        for total, gradient in zip(fisher.values(), gradients, strict=True):
            total += gradient.square() / len(images)
    return fisher


def fisher_of_session(
    setup: Setup, session: int, classifier: nn.Module, first: int, count: int
) -> dict[str, Tensor]:
    """:func:`fisher_diagonal` on some of a session's training images, drawn at random."""
    generator = generator_for("fisher", *setup.seeds, session)
    positions = setup.stream.indices("train", session)
    drawn = torch.randperm(len(positions), generator=generator)
    images = setup.stream.train.images[positions[drawn[:count].numpy()]]
    return fisher_diagonal(classifier, setup.backbone.normalise(images), first, generator)
