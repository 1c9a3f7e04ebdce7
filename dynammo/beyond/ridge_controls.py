"""Controls for the ridge head on merged adapters: what is each part of it worth?

They follow a tuned chain (notebook 15), beside those that need none. That on the newest set is a
method of the catalogue too.
"""

import torch

from dynammo.beyond.dynammo_ridge import DynaMMoRidge
from dynammo.beyond.ridge_frozen import RidgeFrozen, RidgeFrozenLast
from dynammo.merging import StateDict
from dynammo.methods import LastAdapter


class RidgeFeaturesAlone(DynaMMoRidge):
    """The head reads the last features alone, not those of the stages before."""

    title = "ridge on merged, last features alone"
    reader = None


class RidgeDriftIgnored(DynaMMoRidge):
    """Statistics of each session stay as they were under the merge of that time."""

    title = "ridge on merged, drift ignored"
    follows_drift = False


class LastAdapterRidge(DynaMMoRidge):
    """The same head on the newest set alone, whose features move further each session."""

    name = "last_adapter_ridge"
    starts_apart = LastAdapter.starts_apart
    adapter_sets = LastAdapter.adapter_sets

    def set_before(self) -> StateDict:
        """The set of the session before."""
        return self.chain.adapter_states[-2]


class RidgeOracle(DynaMMoRidge):
    """Statistics of all old images, measured again in every session: an upper bound that cheats.

    The images of old sessions are gone; this shows what following the drift could bring at best.
    """

    title = "ridge on merged, sees old images (cheats)"
    follows_drift = False

    def fit(self) -> None:
        """Measure the old sessions' statistics under the newly merged set."""
        old = self.stream.indices("train", range(1, self.chain.session))
        if len(old):
            features = self.both_sides(self.adapter_sets()[0], old).flatten(0, 1)
            labels = torch.as_tensor(self.stream.train.labels[old], device=self.device)
            empty = self.statistics_kind(features.shape[1]).to(self.device)
            self.statistics = empty.with_images(features, labels.repeat(2))
        super().fit()


CONTROLS = (
    RidgeFrozen,
    RidgeFrozenLast,
    RidgeFeaturesAlone,
    RidgeDriftIgnored,
    LastAdapterRidge,
    RidgeOracle,
)
