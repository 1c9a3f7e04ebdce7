"""A solved head on the frozen network: no adapters, no training, no exemplars."""

import torch
from torch import Tensor, nn

from dynammo.baselines.nearest_class_mean import FrozenFeatureLearner
from dynammo.baselines.whole_network import Classifier
from dynammo.beyond.solved_head import SolvesItsHead
from dynammo.learner import count_parameters
from dynammo.training import extract_features


class RidgeFrozen(SolvesItsHead, FrozenFeatureLearner):
    """The head of :class:`DynaMMoRidge` on the bare backbone, whose features never move."""

    name = "ridge_frozen"
    title = "ridge on the frozen network"
    trains = "nothing: the head is solved"

    def learn_session(self, *, progress: bool = True) -> list[float]:
        """Take in the next session's images and their mirror images; there are no losses."""
        self.session += 1
        positions = self.stream.indices("train", self.session)
        images = self.stream.train.select(positions)
        labels = torch.as_tensor(self.stream.train.labels[positions], device=self.device)
        self.solve(self.both_sides(images), labels)
        return []

    def both_sides(self, images) -> Tensor:
        """What the head reads [2, N, D] of images and of their mirror images."""
        network = self.reading()
        sides = [extract_features(network, self.backbone, images, flip=x) for x in (False, True)]
        return torch.stack(sides)

    def network(self) -> nn.Module:
        """One pass through the backbone, then the head."""
        return Classifier(self.reading(), self.head)

    def stored_numbers(self) -> int:
        """The backbone, the head and its statistics."""
        statistics = sum(x.numel() for x in self.statistics.buffers())
        return count_parameters(self.backbone, self.head) + statistics


class RidgeFrozenLast(RidgeFrozen):
    """The head on the last features alone, not those of the stages before."""

    name = "ridge_frozen_last"
    title = "ridge on frozen, last features alone"
    reader = None
