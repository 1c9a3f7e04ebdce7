"""RanPAC: random projections of frozen features, and ridge regression on them."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynammo.baselines.nearest_class_mean import FrozenFeatureLearner
from dynammo.setup import Study
from dynammo.training import generator_for

PENALTIES = tuple(10.0**power for power in range(-8, 9))


class RidgeHead(nn.Module):
    """Scores relu(f P) W of features f [N, D]: P [D, M] is random, W [M, K] solved for."""

    def __init__(self, projection: Tensor, weight: Tensor) -> None:
        super().__init__()
        self.projection = nn.Parameter(projection, requires_grad=False)
        self.weight = nn.Parameter(weight, requires_grad=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map features [N, D] to scores [N, K]."""
        return F.relu(features @ self.projection) @ self.weight


def ridge_weights(gram: Tensor, correlation: Tensor, penalty: float) -> Tensor:
    """W = (G + penalty I)^-1 C, [M, K], in double precision."""
    matrix = gram.double() + penalty * torch.eye(len(gram), dtype=torch.double, device=gram.device)
    return torch.linalg.solve(matrix, correlation.double()).float()


class RanPAC(FrozenFeatureLearner):
    """Ridge regression to one-hot labels from second-order statistics of projected features.

    Source: McDonnell et al. 2023 (arXiv 2307.02251), algorithm 1 without its optional first-session
    tuning: G = sum of h h', C = sum of h y', h = relu(f P). The penalty is the power of ten that
    predicts a held-out fifth of the newest session's training images best, as in the paper, which
    takes M = 10,000; ``ranpac_features`` says how many here.
    """

    name = "ranpac"
    title = "RanPAC"
    trains = "nothing: a ridge regression, solved"

    def __init__(self, study: Study) -> None:
        super().__init__(study)
        size, wide = self.backbone.feature_size, self.settings.ranpac_features
        generator = generator_for("projection", self.train_seed)
        projection = torch.randn(size, wide, generator=generator) / size**0.5
        self.projection = projection.to(self.device)
        self.gram = torch.zeros(wide, wide, device=self.device)
        self.correlation = torch.zeros(wide, 0, device=self.device)
        self.penalty = 1.0

    def take_in(self, features: Tensor, labels: Tensor) -> None:
        """Choose the penalty on a fifth of the images, then add all of them to G and C."""
        hidden = F.relu(features @ self.projection)
        classes = self.stream.classes_seen(self.session)
        targets = F.one_hot(labels, classes).to(hidden)
        old = F.pad(self.correlation, (0, classes - self.correlation.shape[1]))
        generator = generator_for("held out", *self.seeds, self.session)
        order = torch.randperm(len(labels), generator=generator).to(self.device)
        held, kept = order.split([len(labels) // 5, len(labels) - len(labels) // 5])
        if len(held):
            gram = self.gram + hidden[kept].T @ hidden[kept]
            correlation = old + hidden[kept].T @ targets[kept]
            self.penalty = best_penalty(gram, correlation, hidden[held], targets[held])
        self.gram = self.gram + hidden.T @ hidden
        self.correlation = old + hidden.T @ targets

    def head(self) -> nn.Module:
        """The ridge solution for the statistics so far."""
        if self.gram.is_meta:  # an outline, only counted
            return RidgeHead(self.projection, self.correlation)
        weight = ridge_weights(self.gram, self.correlation, self.penalty)
        return RidgeHead(self.projection, weight)

    def state(self) -> dict[str, Tensor]:
        """G, C and the penalty. The projection is drawn again from the seed."""
        penalty = torch.tensor(self.penalty, dtype=torch.double)
        return {"gram": self.gram, "correlation": self.correlation, "penalty": penalty}

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Take up G, C and the penalty."""
        self.gram, self.correlation = tensors["gram"], tensors["correlation"]
        self.penalty = float(tensors["penalty"])

    def outline(self) -> None:
        """Empty statistics of all classes seen."""
        shape = (len(self.gram), self.stream.classes_seen(self.session))
        self.correlation = torch.zeros(shape, device=self.device)


def best_penalty(gram: Tensor, correlation: Tensor, hidden: Tensor, targets: Tensor) -> float:
    """The penalty of PENALTIES with the least squared error on [N, M] and targets [N, K].

    Each is solved for anew by Cholesky's decomposition, which is quick. One eigendecomposition
    would serve all of them, but does not always converge where most eigenvalues are 0, which is so
    as long as there are fewer images than features.
    """
    gram, correlation, hidden = gram.double(), correlation.double(), hidden.double()
    eye = torch.eye(len(gram), dtype=torch.double, device=gram.device)
    errors = []
    for penalty in PENALTIES:
        factor, failed = torch.linalg.cholesky_ex(gram + penalty * eye)
        # Too small to make up for rounding in the sums; a larger one follows.
        if failed:
            errors.append(float("inf"))
            continue
        weight = torch.cholesky_solve(correlation, factor)
        errors.append((hidden @ weight - targets).square().mean().item())
    return PENALTIES[errors.index(min(errors))]
