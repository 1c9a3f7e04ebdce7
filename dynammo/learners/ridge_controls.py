"""Controls for the ridge head on merged adapters: what is each part of it worth?

None of them is a method to use; they are replayed over a tuned chain (notebook 12).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from dynammo.learners.dynammo_ridge import ClassStatistics, DynaMMoRidge
from dynammo.merging import StateDict


class RidgeFrozen(DynaMMoRidge):
    """The same head on the bare backbone, whose features never move: RanPAC without its P."""

    title = "ridge on frozen features"
    follows_drift = False

    def adapter_sets(self) -> Sequence[StateDict | None]:
        """The bare backbone."""
        return [None]


class RidgeDriftIgnored(DynaMMoRidge):
    """Statistics of each session stay as they were under the merge of that time."""

    title = "ridge on merged, drift ignored"
    follows_drift = False


class RidgeLast(DynaMMoRidge):
    """The same head on the newest set alone, whose features move further each session."""

    title = "ridge on the last set"

    def adapter_sets(self) -> Sequence[StateDict | None]:
        """The newest set."""
        return [self.chain.adapter_states[-1]]

    def set_before(self) -> StateDict:
        """The set of the session before."""
        return self.chain.adapter_states[-2]


class RidgeOracle(DynaMMoRidge):
    """Statistics of all old images, measured again in every session: an upper bound that cheats.

    The images of old sessions are gone; this shows what following the drift could bring at best.
    """

    title = "ridge on merged, old images seen again (cheats)"
    follows_drift = False

    def learn_session(self, *, progress: bool = True) -> list[float]:
        """Measure the old sessions' statistics under the newly merged set."""
        chain = self.chain
        with torch.no_grad():
            self.head.statistics = ClassStatistics(self.backbone.feature_size).to(self.device)
            if chain.session > 1:
                positions = self.stream.indices("train", range(1, chain.session))
                features = chain.features(self.adapter_sets()[0], "train", positions)
                labels = torch.as_tensor(self.stream.train.labels[positions], device=self.device)
                self.head.statistics = self.head.statistics.with_images(features, labels)
        return super().learn_session(progress=progress)


CONTROLS = (RidgeFrozen, RidgeDriftIgnored, RidgeLast, RidgeOracle)
