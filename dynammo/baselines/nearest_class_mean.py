"""Nearest class mean: no training at all."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynammo.baselines.icarl import NearestMean
from dynammo.baselines.whole_network import Classifier
from dynammo.learner import Learner, Setup, count_parameters
from dynammo.training import in_batches


class FrozenFeatureLearner(Learner):
    """Methods that compute a head from frozen features in one pass over each session's images.

    Nothing is trained by gradient and no image is kept. What a session leaves is a sum over its
    images, so the sums do not depend on how classes were divided into sessions. (A penalty that is
    chosen on the newest session's images does.)
    """

    remembers, trains_nothing = False, True

    def learn_session(self, *, progress: bool = True) -> list[float]:
        """Take in the next session's images; there are no losses."""
        self.session += 1
        positions = self.stream.indices("train", self.session)
        features = in_batches(self.backbone, self.backbone, self.stream.train.select(positions))
        labels = torch.as_tensor(self.stream.train.labels[positions], device=self.device)
        self.take_in(features, labels)
        return []

    def take_in(self, features: Tensor, labels: Tensor) -> None:
        """Add a session's features [N, D] with labels [N] to what is known."""
        raise NotImplementedError

    def head(self) -> nn.Module:
        """Maps features [N, D] to scores [N, K]."""
        raise NotImplementedError

    def network(self) -> nn.Module:
        """The frozen backbone and the head."""
        return Classifier(self.backbone, self.head())

    def trained_numbers(self) -> int:
        """None by gradient."""
        return 0

    def stored_numbers(self) -> int:
        """The backbone and the sums."""
        return count_parameters(self.backbone) + sum(x.numel() for x in self.state().values())


class NearestClassMean(FrozenFeatureLearner):
    """Predict the class whose mean feature is nearest in direction.

    Source: Mensink et al. 2013; Janson et al. 2022 (arXiv 2210.04428) on frozen networks.
    """

    name = "nearest_class_mean"

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.means = torch.zeros(0, self.backbone.feature_size, device=self.device)

    def take_in(self, features: Tensor, labels: Tensor) -> None:
        """Append the new classes' mean features of length 1."""
        unit = F.normalize(features, dim=1)
        new = [unit[labels == label].mean(dim=0) for label in self.stream.classes(self.session)]
        self.means = torch.cat([self.means, torch.stack(new)])

    def head(self) -> nn.Module:
        """Cosine with the means."""
        return NearestMean(self.means)

    def state(self) -> dict[str, Tensor]:
        """The means [K, D]."""
        return {"means": self.means}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take up the means."""
        self.means = state["means"]

    def outline(self, sessions: int) -> None:
        """Empty means for all classes seen."""
        self.session = sessions
        shape = (self.stream.classes_seen(sessions), self.backbone.feature_size)
        self.means = torch.zeros(shape, device=self.device)
