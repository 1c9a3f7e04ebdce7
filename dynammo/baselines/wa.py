"""WA: weight aligning, a correction of the head's bias towards new classes."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dynammo.baselines.distillation import distillation_loss
from dynammo.baselines.whole_network import WholeNetworkKnobs, WholeNetworkLearner
from dynammo.settings import Positive


def align(weight: Tensor, old_classes: int) -> Tensor:
    """Scale the new classes' rows of [K, D] by gamma, to the old ones' mean length (equation 6)."""
    lengths = weight.norm(dim=1)
    gamma = lengths[:old_classes].mean() / lengths[old_classes:].mean()  # equation 7
    return torch.cat([weight[:old_classes], gamma * weight[old_classes:]])


class WA(WholeNetworkLearner):
    """Replay with distillation, then make new and old classes' weights equally long.

    Source: Zhao et al. 2020 (arXiv 1911.07053): equation 3 with lambda the share of old classes,
    then :func:`align`; the head's weights are clipped at 0 after each step, so that rows of equal
    length give logits of equal size (section 4.3), up to biases, which stay as they are. After
    sessions of few steps the new rows may be the shorter ones: gamma is then above 1 and favours
    new classes.
    """

    name = "wa"
    has_teacher = True

    class Knobs(WholeNetworkKnobs):
        """As in the paper (section 5)."""

        temperature: Positive = 2.0
        clip: bool = True  # negative weights of the head become 0
        biases: bool = True  # as implementations have them; the paper's equations have none

    def grow_head(self) -> None:
        """Grow, with biases or without: aligning leaves these, and they favour new classes."""
        super().grow_head()
        if not self.knobs.biases:
            self.classifier.head.bias.requires_grad_(False).zero_()

    def clip(self) -> None:
        """Leave no negative weight in the head."""
        if self.knobs.clip:
            self.classifier.head.weight.data.clamp_(min=0)

    def batch_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """(1 - share) x cross-entropy + share x distillation, share = old / all classes."""
        self.clip()  # after each step is before the next
        logits, old = self.classifier(images), self.old_classes
        loss = F.cross_entropy(logits, labels)
        if self.teacher is None:
            return loss
        share = old / (old + self.new_classes)
        kept = distillation_loss(logits[:, :old], self.teacher(images), self.knobs.temperature)
        return (1 - share) * loss + share * kept

    def finish_session(self) -> None:
        """Align the head's weights."""
        self.clip()
        if self.old_classes:
            weight = self.classifier.head.weight
            weight.data = align(weight.data, self.old_classes)
