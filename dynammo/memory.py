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
    ``balanced`` are what heads are tuned on in the newest session: all kept before it, and as many
    of each new class; only then is the memory cut (``get_unified_sample_dataset``, as released).
    """

    budget: int
    positions: Mapping[int, np.ndarray] = field(default_factory=dict)
    balanced: Mapping[int, np.ndarray] = field(default_factory=dict)

    def after_session(
        self, stream: Stream, session: int, features: Tensor, choose: Choice = herd
    ) -> ExemplarMemory:
        """Memory after a session: new classes herded, then all classes cut to the new share.

        ``features`` [N, D]: of the session's images. InputError where a class is left without any.
        """
        positions, new = stream.indices("train", session), stream.classes(session)
        labels, features = stream.train.labels[positions], features.cpu().numpy()
        classes = len(self.positions) + len(new)
        share, before = self.budget // classes, self.budget // (len(self.positions) or len(new))
        if share < 1 and self.budget:
            told = f"cannot hold one of each of {classes} classes: raise memory_budget."
            raise InputError(f"A memory of {self.budget} images {told}")
        balanced = dict(self.positions)
        for label in new:
            own = np.flatnonzero(labels == label)
            balanced[label] = positions[own[choose(features[own], before)]]
        kept = {label: chosen[:share] for label, chosen in balanced.items()}
        return ExemplarMemory(self.budget, kept, balanced)

    def all_positions(self) -> np.ndarray:
        """Positions of every exemplar, class by class."""
        return _class_by_class(self.positions)

    def balanced_positions(self) -> np.ndarray:
        """Positions of all images that heads are tuned on, class by class."""
        return _class_by_class(self.balanced)


def _class_by_class(positions: Mapping[int, np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.int64), *(positions[k] for k in sorted(positions))])
