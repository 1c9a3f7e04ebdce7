"""A solved head on the frozen network: no adapters, no training, no exemplars."""

import torch
from torch import nn

from dynammo.baselines.whole_network import Classifier, both_flips
from dynammo.beyond.solved_head import SolvesItsHead
from dynammo.learner import count_parameters


class RidgeFrozen(SolvesItsHead):
    """The head of :class:`DynaMMoRidge` on the bare backbone, whose features never move."""

    name = "ridge_frozen"
    trains_nothing = True
    remembers = False

    def learn_session(self, *, progress: bool = True) -> list[float]:
        """Take in the next session's images and their mirror images; there are no losses."""
        self.session += 1
        positions = self.stream.indices("train", self.session)
        images = self.stream.train.select(positions)
        labels = torch.as_tensor(self.stream.train.labels[positions], device=self.device)
        self.solve(both_flips([self.reading()], self.backbone, images)[:, :, 0], labels)
        return []

    def network(self) -> nn.Module:
        """One pass through the backbone, then the head."""
        return Classifier(self.reading(), self.head)

    def trained_numbers(self) -> int:
        """None by gradient."""
        return 0

    def stored_numbers(self) -> int:
        """The backbone, the head and its statistics."""
        statistics = sum(x.numel() for x in self.statistics.buffers())
        return count_parameters(self.backbone, self.head) + statistics


class RidgeFrozenLast(RidgeFrozen):
    """The head on the last features alone, not those of the stages before."""

    name = "ridge_frozen_last"
    reader = None
