"""The exemplar memory: a fixed number of training images, shared evenly by the classes seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from dynammo.errors import InputError
from dynammo.stream import Stream


def herd(features: np.ndarray, count: int) -> np.ndarray:
    """Positions, in order of choice, of ``count`` images whose mean best follows the class mean.

    Greedy: each step takes the image that brings the mean of those chosen closest to the mean of
    all (iCaRL, arXiv 1611.07725, algorithm 4), on L2-normalised features [N, D]. Any prefix of the
    order is the herded choice of that length, so a memory shrinks by cutting its end off.
    """
    unit = features.astype(np.float64)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    mean = unit.mean(axis=0)
    chosen: list[int] = []
    total = np.zeros_like(mean)
    free = np.ones(len(unit), dtype=bool)
    for k in range(1, min(count, len(unit)) + 1):
        distance = np.linalg.norm(mean - (total + unit) / k, axis=1)
        best = int(np.argmin(np.where(free, distance, np.inf)))
        chosen.append(best)
        free[best] = False
        total += unit[best]
    return np.array(chosen, dtype=np.int64)


Choice = Callable[[np.ndarray, int], np.ndarray]  # what `herd` is


@dataclass(frozen=True)
class ExemplarMemory:
    """Which training images are kept: positions in the stream's training split, by class.

    ``budget`` is the total number of images, whatever the number of classes; 0 keeps none.
    """

    budget: int
    positions: Mapping[int, np.ndarray] = field(default_factory=dict)

    def after_session(
        self, stream: Stream, session: int, features: Tensor, choose: Choice = herd
    ) -> ExemplarMemory:
        """:meth:`with_session` for a session of a stream, from its images' features [N, D]."""
        positions = stream.indices("train", session)
        known = positions, stream.train.labels[positions], features.cpu().numpy()
        return self.with_session(stream.classes(session), *known, choose)

    def with_session(
        self,
        classes: tuple[int, ...],
        positions: np.ndarray,
        labels: np.ndarray,
        features: np.ndarray,
        choose: Choice = herd,
    ) -> ExemplarMemory:
        """Memory after a session: old classes cut to the new share, new classes herded.

        The session's images have ``positions`` [N] in the training split, ``labels`` [N] and
        ``features`` [N, D]. InputError where the budget leaves a class without a single image.
        """
        share = self.budget // (len(self.positions) + len(classes))
        if share < 1 and self.budget:
            seen = len(self.positions) + len(classes)
            told = f"cannot hold one of each of {seen} classes: raise memory_budget."
            raise InputError(f"A memory of {self.budget} images {told}")
        kept = {label: chosen[:share] for label, chosen in self.positions.items()}
        for label in classes:
            own = np.flatnonzero(labels == label)
            kept[label] = positions[own[choose(np.asarray(features)[own], share)]]
        return ExemplarMemory(self.budget, kept)

    def all_positions(self) -> np.ndarray:
        """Positions of every exemplar, class by class."""
        if not self.positions:
            return np.zeros(0, dtype=np.int64)
        return np.concatenate([self.positions[label] for label in sorted(self.positions)])
