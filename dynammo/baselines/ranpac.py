"""RanPAC: random projections of frozen features, and ridge regression on them."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynammo.baselines.nearest_class_mean import FrozenFeatureLearner
from dynammo.baselines.ridge import best_penalty, held_out, ridge_weights
from dynammo.learner import Setup
from dynammo.settings import Count, Knobs
from dynammo.training import generator_for


class RidgeHead(nn.Module):
    """Scores h W of features f [N, D]: h = relu(f P), P [D, M] random, or f; W is solved for."""

    def __init__(self, projection: Tensor | None, weight: Tensor) -> None:
        super().__init__()
        self.projection = projection
        if projection is not None:
            self.projection = nn.Parameter(projection, requires_grad=False)
        self.weight = nn.Parameter(weight, requires_grad=False)

    def hidden(self, features: Tensor) -> Tensor:
        """Map features [N, D] to h [N, M]."""
        return features if self.projection is None else F.relu(features @ self.projection)

    def forward(self, features: Tensor) -> Tensor:
        """Map features [N, D] to scores [N, K]."""
        return self.hidden(features) @ self.weight


class RanPAC(FrozenFeatureLearner):
    """Ridge regression to one-hot labels from second-order statistics of projected features.

    Source: McDonnell et al. 2023 (arXiv 2307.02251), algorithm 1 without its optional first-session
    tuning: G = sum of h h', C = sum of h y', h = relu(f P). The penalty is the power of ten that
    predicts a held-out fifth of the newest session's training images best, as in the paper.
    """

    name = "ranpac"

    class Knobs(Knobs):
        """M, the random features (the paper: 10,000 from 768; solving takes M cubed)."""

        features: Count = 2000

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.projection = self.draw_projection()
        wide = self.backbone.feature_size if self.projection is None else self.projection.shape[1]
        self.gram = torch.zeros(wide, wide, device=self.device)
        self.correlation = torch.zeros(wide, 0, device=self.device)
        self.penalty = 1.0

    def draw_projection(self) -> Tensor | None:
        """P [D, M], one for all class orders, or None for none.

        Entries have the variance 1 / D (in the paper 1), so penalties are smaller by as much.
        """
        size, generator = self.backbone.feature_size, generator_for("projection", self.train_seed)
        projection = torch.randn(size, self.knobs.features, generator=generator) / size**0.5
        return projection.to(self.device)

    def take_in(self, features: Tensor, labels: Tensor) -> None:
        """Choose the penalty on a fifth of the images, then add all of them to G and C."""
        hidden = RidgeHead(self.projection, self.correlation).hidden(features)
        classes = self.stream.classes_seen(self.session)
        targets = F.one_hot(labels, classes).to(hidden)
        old = F.pad(self.correlation, (0, classes - self.correlation.shape[1]))
        held, kept = held_out(len(labels), self, self.session)
        if len(held):
            gram = self.gram + hidden[kept].T @ hidden[kept]
            correlation = old + hidden[kept].T @ targets[kept]
            self.penalty = best_penalty(gram, correlation, hidden[held], targets[held])
        self.gram = self.gram + hidden.T @ hidden
        self.correlation = old + hidden.T @ targets

    def head(self) -> nn.Module:
        """The ridge solution for the statistics so far."""
        weight = self.correlation
        if not weight.is_meta:  # not an outline that is only counted
            weight = ridge_weights(self.gram, self.correlation, self.penalty).float()
        return RidgeHead(self.projection, weight)

    def state(self) -> dict[str, Tensor]:
        """G, C and the penalty. The projection is drawn again from the seed."""
        penalty = torch.tensor(self.penalty, dtype=torch.double)
        return {"gram": self.gram, "correlation": self.correlation, "penalty": penalty}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take up G, C and the penalty."""
        self.gram, self.correlation = state["gram"], state["correlation"]
        self.penalty = float(state["penalty"])

    def outline(self, sessions: int) -> None:
        """Empty statistics of all classes seen."""
        self.session = sessions
        shape = (len(self.gram), self.stream.classes_seen(sessions))
        self.correlation = torch.zeros(shape, device=self.device)


class RanPACNoProjection(RanPAC):
    """RanPAC without its random projection: the same ridge regression, on the features."""

    name = "ranpac_no_projection"

    Knobs = Knobs  # there is no M

    def draw_projection(self) -> None:
        """No projection."""
        return
