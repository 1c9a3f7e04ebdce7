"""Joint training: the upper bound."""

import numpy as np

from dynammo.baselines.whole_network import Classifier, Extractor, WholeNetworkLearner


class Joint(WholeNetworkLearner):
    """Train anew, from the pretrained weights, on all images of all sessions seen.

    Not incremental at all: what the same network can do when nothing has to be remembered. Other
    methods have trained for t times the epochs after t sessions; a bound may take as many
    (``joint_epochs``).
    """

    name = "joint"
    remembers = False

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
