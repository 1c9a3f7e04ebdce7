"""A frozen network that is told once, without labels, what the images of this stream look like.

Batch norm in a pretrained network subtracts the mean and divides by the spread that *its* images
had. Blood cells under a microscope have others, and every layer after it sees them off centre.
"""

from __future__ import annotations

import copy
from itertools import takewhile

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from dynammo.backbones import Backbone
from dynammo.beyond.batch_norm import measure
from dynammo.beyond.ridge_controls import RidgeFrozen
from dynammo.chain import Chain
from dynammo.errors import InputError
from dynammo.learner import Learner, Setup
from dynammo.merging import StateDict
from dynammo.methods import InferenceNetwork
from dynammo.networks.folding import fold_batch_norm


def early_norms(backbone: Backbone, network: nn.Module, share: float) -> list[nn.BatchNorm2d]:
    """The batch norms that images pass before a share of a network's stages is over.

    One stage at least, rounded down: two of EfficientNet-Lite0's seven, one of ResNet-18's four.
    InputError if there is no batch norm among them, or but one stage.
    """
    if len(backbone.stages) == 1:
        raise InputError(f"'{backbone.name}' has but one stage: none of its batch norms is early.")
    last = backbone.stages[max(1, int(share * len(backbone.stages)))]
    early = takewhile(lambda named: named[0] != last, network.named_modules())
    norms = [module for _, module in early if isinstance(module, nn.BatchNorm2d)]
    if not norms:
        raise InputError(f"'{backbone.name}' has no batch norm before '{last}' to renormalise.")
    return norms


def statistics_of(norms: list[nn.BatchNorm2d]) -> list[Tensor]:
    """Mean and variance of each batch norm, [2, C]."""
    return [torch.stack([norm.running_mean, norm.running_var]) for norm in norms]


def with_statistics(backbone: Backbone, statistics: list[Tensor], share: float) -> Backbone:
    """A copy of a backbone whose early batch norms have other means and variances, in turn."""
    network = backbone.trainable_network().eval().requires_grad_(False)
    for norm, both in zip(early_norms(backbone, network, share), statistics, strict=True):
        norm.running_mean, norm.running_var = both.clone()
    own = copy.deepcopy(backbone)
    own.network = fold_batch_norm(network) or network
    own.network.to(memory_format=torch.channels_last)
    return own


class RidgeRenormalised(RidgeFrozen):
    """A ridge head on a frozen network whose early batch norms know the first session's images.

    Ours, not the paper's. AdaBN (Li et al. 2016, arXiv 1603.04779) replaces all of a network's
    batch norm statistics by those of the images that it is to be used on. Here those of the first
    stages alone: what colours and edges look like is the same for classes yet to come, while late
    statistics are of the classes seen. They are measured once, in the first session, so features
    never move again: adapted once, then frozen, as RanPAC's first session, but without a label or
    a gradient. No image is kept, nothing is merged, and an image takes the frozen network's pass.
    """

    name = "ridge_renormalised"
    title = "ridge on the renormalised network"
    trains = "nothing: statistics are measured, the head is solved"

    class Knobs(RidgeFrozen.Knobs):
        """Of which share of the stages, and of the stem, batch norm is measured again."""

        early: float = Field(0.3, gt=0, lt=1)

    judge_split = Learner.judge_split  # the chain keeps features of its own network

    def __init__(self, chain: Chain) -> None:
        super().__init__(chain)
        norms = early_norms(self.backbone, self.backbone.trainable_network(), self.knobs.early)
        self.measured, self.own = statistics_of(norms), self.backbone

    def fit(self) -> None:
        """Measure the first session's images; then as on the frozen network."""
        if self.session == 1:
            network = self.backbone.trainable_network().eval()
            norms = early_norms(self.backbone, network, self.knobs.early)
            images = self.stream.train.select(self.stream.indices("train", 1))
            measure(norms, network, self.backbone, images)
            self.take_up(statistics_of(norms))
        super().fit()

    def take_up(self, measured: list[Tensor]) -> None:
        """Read images under some statistics from now on."""
        self.measured = measured
        self.own = with_statistics(self.backbone, measured, self.knobs.early)

    def reading(self) -> Chain:
        """A chain on the renormalised network, which nothing is tuned on."""
        return Chain.on(Setup(self.settings, self.stream, self.own, self.train_seed))

    def both_sides(self, state: StateDict | None, positions: np.ndarray) -> Tensor:
        """What the head reads [2, N, D] of training images and of their mirror images."""
        return self.reading().both_sides(state, positions, self.reader)

    def network(self) -> InferenceNetwork:
        """One pass of the renormalised network, and the head."""
        return InferenceNetwork([self.reading().network(None, self.reader)], self.head).eval()

    def stored_numbers(self) -> int:
        """As on the frozen network, and the measured means and variances."""
        return super().stored_numbers() + sum(both.numel() for both in self.measured)

    def state(self) -> dict[str, Tensor]:
        """The head, what it was solved from, and the measured statistics."""
        return super().state() | {f"norm{i}": both for i, both in enumerate(self.measured)}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take up what :meth:`state` gave."""
        super().load_state(state)
        self.take_up([state[f"norm{i}"].to(self.device) for i in range(len(self.measured))])
