"""WA: weight aligning, a correction of the head's bias towards new classes."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dynammo.baselines.distillation import distillation_loss
from dynammo.baselines.whole_network import WholeNetworkLearner
from dynammo.settings import Knobs, Positive


def align(weight: Tensor, old_classes: int) -> Tensor:
    """Scale the new classes' rows of [K, D] to the old ones' mean length (equations 6 to 8)."""
    lengths = weight.norm(dim=1)
    gamma = lengths[:old_classes].mean() / lengths[old_classes:].mean()
    return torch.cat([weight[:old_classes], gamma * weight[old_classes:]])


class WA(WholeNetworkLearner):
    """Replay with distillation, then make new and old classes' weights equally long.

    Source: Zhao et al. 2020 (arXiv 1911.07053): equation 3 with lambda the share of old classes,
    then :func:`align`. The paper's clipping of negative weights is left out. After sessions of few
    steps the new rows may be the shorter ones: aligning then favours the new classes.
    """

    name = "wa"
    has_teacher = True

    class Knobs(Knobs):
        """As in the paper (section 5)."""

        temperature: Positive = 2.0

    def batch_loss(self, images: Tensor, labels: Tensor, positions: Tensor) -> Tensor:
        """(1 - share) x cross-entropy + share x distillation, share = old / all classes."""
        logits, old = self.classifier(images), self.old_classes
        loss = F.cross_entropy(logits, labels)
        if self.teacher is None:
            return loss
        share = old / (old + self.new_classes)
        kept = distillation_loss(logits[:, :old], self.teacher(images), self.knobs.temperature)
        return (1 - share) * loss + share * kept

    def finish_session(self) -> None:
        """Align the head's weights."""
        if self.old_classes:
            weight = self.classifier.head.weight
            weight.data = align(weight.data, self.old_classes)
