"""EWC: elastic weight consolidation, a penalty on moving the weights that mattered."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dynammo.baselines.fisher import fisher_of_session
from dynammo.baselines.whole_network import WholeNetworkKnobs, WholeNetworkLearner
from dynammo.learner import Setup
from dynammo.settings import Count, Weight


def as_long_as(old: Tensor) -> tuple[slice, ...]:
    """The part of a grown tensor that is as long as it was; all of one without dimensions."""
    return tuple(slice(length) for length in old.shape[:1])


class EWC(WholeNetworkLearner):
    """Pull each weight back to where it was, the harder the more old predictions depend on it.

    Source: Kirkpatrick et al. 2017 (arXiv 1612.00796), equation 3: cross-entropy over the new
    classes' outputs plus ``strength`` / 2 times the Fisher-weighted squared distance. The
    Fisher terms of all sessions are added up around the newest weights (Huszar, arXiv 1712.03847),
    so that what is stored does not grow with the sessions. No weight is pulled harder than what
    brings it right back in one step: under SGD, more than that overshoots and diverges. (PyCIL
    clips the Fisher information instead, at 1e-4, and so holds the hardest springs more softly.)
    """

    name = "ewc"
    remembers = False

    class Knobs(WholeNetworkKnobs):
        """Lambda of equation 3, and how many of a session's images give its information."""

        strength: Weight = 1000.0  # PyCIL's; the paper searches it
        fisher_images: Count = 100

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.fisher: dict[str, Tensor] = {}
        self.anchor: dict[str, Tensor] = {}

    def penalty(self) -> Tensor:
        """The second term of equation 3: strength / 2 x Fisher x squared distance, summed.

        The head has grown since: its old rows are held, its new ones are free.
        """
        hardest = 1 / self.learning_rate
        named = dict(self.classifier.named_parameters())
        total = torch.zeros((), device=self.device)
        for name, anchor in self.anchor.items():
            pull = (self.knobs.strength * self.fisher[name]).clamp(max=hardest)
            moved = named[name][as_long_as(anchor)] - anchor
            total = total + (pull * moved.square()).sum() / 2
        return total

    def batch_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Equation 3."""
        old = self.old_classes
        loss = F.cross_entropy(self.classifier(images)[:, old:], labels - old)
        return loss + self.penalty()

    def finish_session(self) -> None:
        """Add the session's Fisher information, from some of its images, and move the anchor."""
        count, old_classes = self.knobs.fisher_images, self.old_classes
        fisher = fisher_of_session(self, self.session, self.classifier, old_classes, count)
        for name, old in self.fisher.items():
            fisher[name][as_long_as(old)] += old
        self.fisher = fisher
        self.anchor = {k: p.detach().clone() for k, p in self.classifier.named_parameters()}

    def stored_numbers(self) -> int:
        """The network, its Fisher information and the anchor, which is the network itself."""
        return super().stored_numbers() + self.trained_numbers()

    def extra_state(self) -> dict[str, Tensor]:
        """The Fisher information; the anchor is the network as saved."""
        return self.fisher

    def load_extra_state(self, tensors: dict[str, Tensor]) -> None:
        """Take up the Fisher information, anchored at the network just loaded."""
        self.anchor = {k: p.detach().clone() for k, p in self.classifier.named_parameters()}
        # In the memory layout of the weights, as computed: it decides the order of sums.
        self.fisher = {k: torch.empty_like(self.anchor[k]).copy_(v) for k, v in tensors.items()}
