"""Controls for the ridge head on merged adapters: what is each part of it worth?

They are replayed over a tuned chain (notebook 12); those on the frozen network need none, and are
rows of the catalogue too.
"""

import torch

from dynammo.baselines.frozen_features import FrozenFeatures
from dynammo.beyond.dynammo_ridge import ClassStatistics, DynaMMoRidge
from dynammo.merging import StateDict
from dynammo.methods import LastAdapter
from dynammo.settings import Knobs


class RidgeFrozen(DynaMMoRidge):
    """The same head on the bare backbone, whose features never move."""

    name = "ridge_frozen"
    title = "ridge on the frozen network"
    trains = "nothing: the head is solved"
    remembers = False  # statistics are all that it needs
    follows_drift = False
    adapter_sets = FrozenFeatures.adapter_sets
    stored_adapter_sets = FrozenFeatures.stored_adapter_sets

    class Knobs(Knobs):
        """Nothing moves, so there is no stiffness."""

        balanced: bool = False  # each class weighs the same, however many images it brought

    def trained_numbers(self) -> int:
        """None by gradient."""
        return 0


class RidgeFeaturesAlone(DynaMMoRidge):
    """The head reads the last features alone, not those of the stages before."""

    title = "ridge on merged, last features alone"
    reader = None


class RidgeFrozenFeaturesAlone(RidgeFrozen):
    """The head on the bare backbone's last features alone: neither adapters nor earlier stages."""

    name = "ridge_frozen_last"
    title = "ridge on frozen, last features alone"
    reader = None


class RidgeDriftIgnored(DynaMMoRidge):
    """Statistics of each session stay as they were under the merge of that time."""

    title = "ridge on merged, drift ignored"
    follows_drift = False


class RidgeLast(DynaMMoRidge):
    """The same head on the newest set alone, whose features move further each session."""

    title = "ridge on the last set"
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
            empty = ClassStatistics(features.shape[1]).to(self.device)
            self.statistics = empty.with_images(features, labels.repeat(2))
        super().fit()


CONTROLS = (
    RidgeFrozen,
    RidgeFrozenFeaturesAlone,
    RidgeFeaturesAlone,
    RidgeDriftIgnored,
    RidgeLast,
    RidgeOracle,
)
