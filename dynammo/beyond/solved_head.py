"""A head solved from statistics of every image ever seen, for features that move or stay."""

import copy
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynammo.adapters import AdaptedNetwork
from dynammo.baselines.ridge import best_penalty, held_out, ridge_weights
from dynammo.beyond.several_depths import SeveralDepths
from dynammo.chain import Reader
from dynammo.learner import Learner
from dynammo.settings import Knobs


class ClassStatistics(nn.Module):
    """Mean of each class and the scatter of all within theirs: what a ridge regression needs.

    Kept apart from each other, unlike in RanPAC's sums, so that both can follow the features when
    those move.
    """

    def __init__(self, feature_size: int, classes: int = 0) -> None:
        super().__init__()
        shapes = {"means": (classes, feature_size), "counts": (classes,)}
        for name, shape in (shapes | {"scatter": (feature_size, feature_size)}).items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.double))

    def with_images(self, features: Tensor, labels: Tensor) -> Self:
        """Statistics with new classes added, from features [N, D] with labels [N]."""
        result = copy.deepcopy(self)
        for label in labels.unique():  # sorted, and classes arrive in the order of their labels
            own = features[labels == label].double()
            mean, count = own.mean(dim=0, keepdim=True), self.counts.new_tensor([len(own)])
            result.scatter += (own - mean).T @ (own - mean)
            result.means = torch.cat([result.means, mean])
            result.counts = torch.cat([result.counts, count])
        return result

    def sums(self, balanced: bool = False) -> tuple[Tensor, Tensor]:
        """G = sum of f' f, [D, D], and C = sum of f' e_y, [D, K], over all images ever seen.

        Balanced, as if every class had brought as many of them, about its own mean.
        """
        counts = self.counts.mean().expand_as(self.counts) if balanced else self.counts
        weighted = self.means.T * counts
        return self.scatter + weighted @ self.means, weighted

    def move(self, old: Tensor, new: Tensor, stiffness: float) -> None:
        """Follow the features of old classes from where they were to where they are.

        An affine map f -> f + (f - m) A + b is fitted by ridge regression to images whose features
        [N, D] are known before (``old``) and after (``new``), and applied to means and scatter. The
        ridge pulls towards "no change but a shift"; ``stiffness`` is its penalty, in units of the
        mean variance of the features times N.
        """
        old, new = old.double(), new.double()
        centre, moved = old.mean(dim=0), new - old
        shift = moved.mean(dim=0)
        x, y = old - centre, moved - shift
        penalty = stiffness * x.square().sum() / x.shape[1]
        # A, or two thin factors of it, from a system of the size of D or of N: the smaller.
        if len(x) < x.shape[1]:
            factors = [x.T, ridge_weights(x @ x.T, y, penalty)]
        else:
            factors = [ridge_weights(x.T @ x, x.T @ y, penalty)]
        transposed = [factor.T for factor in reversed(factors)]
        multiply = torch.linalg.multi_dot
        self.means = self.means + multiply([self.means - centre, *factors]) + shift
        half = self.scatter + multiply([self.scatter, *factors])
        self.scatter = half + multiply([*transposed, half])


class SolvedHead(nn.Module):
    """Linear scores whose weights are solved for."""

    def __init__(self, feature_size: int, classes: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(feature_size, classes), requires_grad=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map features [N, D], or of a single pass [N, 1, D], to scores [N, K]."""
        return features.flatten(1) @ self.weight


class SolvesItsHead(Learner):
    """What learners with such a head share, wherever their features come from."""

    statistics_kind = ClassStatistics
    reader: Reader | None = SeveralDepths  # what the head reads; None: the last features alone

    class Knobs(Knobs):
        """How classes weigh."""

        balanced: bool = False  # each class weighs the same, however many images it brought

    statistics: ClassStatistics
    head: SolvedHead
    penalty = 1.0

    def reading(self) -> nn.Module:
        """The bare backbone and what the head reads of it: images to [N, D]."""
        network = AdaptedNetwork(self.backbone, None)
        return (self.reader(network) if self.reader else network).eval()

    def solve(self, features: Tensor, labels: Tensor) -> None:
        """Add a session's images, [2, N, D] with labels [N], and solve the head for all.

        They count with their mirror images. The penalty is the one that predicts a held-out fifth
        of them best, as in RanPAC.
        """
        wide, classes = features.shape[2], self.stream.classes_seen(self.session)
        if self.session == 1:
            self.statistics = self.statistics_kind(wide).to(self.device)
        old, balanced = self.statistics, self.knobs.balanced
        held, kept = held_out(len(labels), self, self.session)
        # Every class needs an image to be fitted to, or its place among the others would be empty.
        if len(held) and len(labels[kept].unique()) == len(labels.unique()):
            fitted = old.with_images(features[:, kept].flatten(0, 1), labels[kept].repeat(2))
            targets = F.one_hot(labels[held], classes).double()
            self.penalty = best_penalty(*fitted.sums(balanced), features[0, held], targets)
        self.statistics = old.with_images(features.flatten(0, 1), labels.repeat(2))
        self.head = SolvedHead(wide, classes).to(self.device)
        self.head.weight.copy_(ridge_weights(*self.statistics.sums(balanced), self.penalty))

    def outline(self, sessions: int) -> None:
        """Give the head the shape it has after some sessions, with any weights."""
        self.session, side = sessions, self.input_size
        classes = self.stream.classes_seen(sessions)
        wide = self.reading()(torch.zeros(1, 3, side, side, device=self.device)).shape[1]
        self.head = SolvedHead(wide, classes).to(self.device)
        self.statistics = self.statistics_kind(wide, classes).to(self.device)

    def state(self) -> dict[str, Tensor]:
        """The head and what it was solved from."""
        penalty = {"penalty": torch.tensor(self.penalty, dtype=torch.double)}
        statistics = self.statistics.state_dict(prefix="statistics.")
        return self.head.state_dict() | statistics | penalty

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take up what :meth:`state` gave."""
        self.penalty = float(state["penalty"])
        self.head.load_state_dict({"weight": state["weight"]})
        names = self.statistics.state_dict()
        self.statistics.load_state_dict({name: state[f"statistics.{name}"] for name in names})
