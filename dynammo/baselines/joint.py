"""Joint training: the upper bound."""

import numpy as np

from dynammo.baselines.whole_network import (
    Classifier,
    Extractor,
    WholeNetworkKnobs,
    WholeNetworkLearner,
)
from dynammo.settings import CountOrNone


class Joint(WholeNetworkLearner):
    """Train anew, from the pretrained weights, on all images of all sessions seen.

    Not incremental at all: what the same network can do when nothing has to be remembered. Other
    methods have trained for t times the epochs after t sessions; a bound may take as many.
    """

    name = "joint"
    remembers = False

    class Knobs(WholeNetworkKnobs):
        """Epochs of each session's training from the beginning; 0: as many as other methods."""

        epochs: CountOrNone = 0

    def epochs(self) -> int:
        """Its own number, or that of all."""
        return self.knobs.epochs or super().epochs()

    def grow_head(self) -> None:
        """Begin again: pretrained weights, and a fresh head for all classes seen."""
        self.classifier = Classifier(Extractor(self.backbone), self.make_head())
        newest = self.session
        for self.session in range(1, newest + 1):
            super().grow_head()

    def training_positions(self) -> np.ndarray:
        """All images of all sessions seen."""
        return self.stream.indices("train", range(1, self.session + 1))

    def stored_images(self) -> int:
        """Every training image so far."""
        return len(self.training_positions())
