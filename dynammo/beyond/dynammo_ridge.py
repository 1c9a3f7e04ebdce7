"""Beyond the paper: DynaMMo's merged adapters under a ridge head that remembers every image."""

import copy
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynammo.baselines.ridge import best_penalty, held_out, ridge_weights
from dynammo.beyond.several_depths import SeveralDepths
from dynammo.chain import Chain
from dynammo.errors import InputError
from dynammo.merging import StateDict, entry_by_entry, running_mean
from dynammo.methods import DynaMMo
from dynammo.settings import Knobs, Positive


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


class RidgeOnMerged(nn.Module):
    """Linear scores from ridge regression."""

    def __init__(self, feature_size: int, classes: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(feature_size, classes), requires_grad=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map features [N, 1, D] to scores [N, K]."""
        return features.flatten(1) @ self.weight


class DynaMMoRidge(DynaMMo):
    """One pass through the merged adapters, and a head solved from statistics of **all** images.

    Ours, not the paper's. DynaMMo tunes its heads on the memory, a few images a class; RanPAC
    (arXiv 2307.02251) solves its head from sums over all images ever seen, which is only possible
    because its features never move. Merged features do, by less and less: W_t differs from W_{t-1}
    by a t-th of (theta_t - W_{t-1}). So the statistics of old classes are moved along, by a linear
    map fitted to the session's and the memory's images, whose features are known under both sets.
    (Drift correction by a map between feature spaces: Yu et al. 2020, arXiv 2004.00440, for class
    means; Gomez-Villa et al. 2024, arXiv 2407.08536.)

    The head reads the means of later stages' maps besides the features, and every image counts with
    its mirror image. Storage grows by one mean a class. The penalty is chosen as in RanPAC.
    """

    name = "dynammo_ridge"
    trains = "one adapter set; the head is solved"
    head_kind = RidgeOnMerged
    statistics_kind = ClassStatistics
    reader = SeveralDepths
    follows_drift = True
    needs_exemplars = False  # they help the map, but the session's own images give one

    class Knobs(Knobs):
        """How old statistics are moved along (ClassStatistics.move), and how classes weigh."""

        stiffness: Positive = 0.1  # 1 did equally well on validation images
        balanced: bool = False  # each class weighs the same, however many images it brought

    def __init__(self, chain: Chain) -> None:
        super().__init__(chain)
        self.statistics = self.statistics_kind(0)
        self.penalty = 1.0

    def fit(self) -> None:
        """Move the statistics to the newly merged features, add the session's, solve the head."""
        stream, session, running = self.stream, self.chain.session, self.adapter_sets()[0]
        positions = stream.indices("train", session)
        features = self.both_sides(running, positions)
        if session == 1:
            self.statistics = self.statistics_kind(features.shape[2]).to(self.device)
        elif self.follows_drift:
            known = self.chain.training_positions(session)  # with the exemplars of old classes
            was = self.both_sides(self.set_before(), known)
            now = torch.cat([features, self.both_sides(running, known[len(positions) :])], dim=1)
            self.statistics.move(was.flatten(0, 1), now.flatten(0, 1), self.knobs.stiffness)
        self._solve(features, torch.as_tensor(stream.train.labels[positions], device=self.device))

    def set_before(self) -> StateDict:
        """The set that ran before the newest session, from what is stored."""
        chain = self.chain
        if chain.steps.mean is running_mean:
            return without_newest(chain.merged_state, chain.adapter_states[-1], chain.session)
        mean, *others = chain.adapter_states[:-1]  # a mean of one's own has no known way back
        for count, state in enumerate(others, start=2):
            mean = chain.steps.mean(mean, state, count)
        return mean

    def both_sides(self, state: StateDict | None, positions: np.ndarray) -> Tensor:
        """What the head reads [2, N, D] of training images and of their mirror images."""
        return self.chain.both_sides(state, positions, self.reader)

    def _solve(self, features: Tensor, labels: Tensor) -> None:
        """Add the session's images, [2, N, D] with labels [N], and solve the head for all."""
        classes, old = self.stream.classes_seen(self.session), self.statistics
        held, kept = held_out(len(labels), self, self.session)
        # Every class needs an image to be fitted to, or its place among the others would be empty.
        if len(held) and len(labels[kept].unique()) == len(labels.unique()):
            fitted = old.with_images(features[:, kept].flatten(0, 1), labels[kept].repeat(2))
            targets = F.one_hot(labels[held], classes).double()
            sums = fitted.sums(self.knobs.balanced)
            self.penalty = best_penalty(*sums, features[0, held], targets)
        self.statistics = old.with_images(features.flatten(0, 1), labels.repeat(2))
        self.head = RidgeOnMerged(features.shape[2], classes).to(self.device)
        self.head.weight.copy_(
            ridge_weights(*self.statistics.sums(self.knobs.balanced), self.penalty)
        )

    def trained_numbers(self) -> int:
        """One adapter set in step 1; the head is solved."""
        return self.one_set()

    def stored_numbers(self) -> int:
        """Backbone, head and sets, and the statistics: means, counts and scatter."""
        return super().stored_numbers() + sum(x.numel() for x in self.statistics.buffers())

    def outline(self, sessions: int) -> None:
        """Give the head the shape it has after some sessions, with any weights."""
        self.session = sessions
        classes = self.stream.classes_seen(sessions) if sessions else 0
        image = torch.zeros(1, 3, 32, 32, device=self.device)
        wide = self.chain.network(None, self.reader)(image).shape[1]
        self.head = RidgeOnMerged(wide, classes).to(self.device)
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


def without_newest(mean: StateDict, newest: StateDict, count: int) -> dict[str, Tensor]:
    """Mean of the first ``count - 1`` sets, from that of ``count`` and the newest of them.

    The way back from :func:`dynammo.merging.running_mean`, up to rounding; so the old mean need
    not be stored. InputError for a count under 2, or sets of different layout.
    """
    if count < 2:
        raise InputError(f"A mean of {count} set(s) has no earlier one.")
    return entry_by_entry([newest, mean], lambda new, now: now + (now - new) / (count - 1))
