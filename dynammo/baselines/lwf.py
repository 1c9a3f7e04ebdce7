"""LwF: learning without forgetting, distillation without a memory."""

import torch.nn.functional as F
from torch import Tensor

from dynammo.baselines.distillation import distillation_loss
from dynammo.baselines.whole_network import WholeNetworkKnobs, WholeNetworkLearner
from dynammo.settings import Positive, Weight


class LwF(WholeNetworkLearner):
    """Ask the new network to answer for old classes as the old one did, on the new images.

    Source: Li and Hoiem 2016 (arXiv 1606.09282), equations 1 to 3: cross-entropy over the new
    classes' outputs alone, plus ``weight`` times the distillation of the old outputs. Without the
    paper's warm-up, in which the new outputs are trained first and all else is frozen.
    """

    name = "lwf"
    has_teacher = True
    remembers = False

    class Knobs(WholeNetworkKnobs):
        """As in the paper (section 3)."""

        temperature: Positive = 2.0
        weight: Weight = 1.0

    def batch_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Equation 1 for new classes, equation 2 for old ones."""
        logits, old = self.classifier(images), self.old_classes
        loss = F.cross_entropy(logits[:, old:], labels - old)
        if self.teacher is None:
            return loss
        kept = distillation_loss(logits[:, :old], self.teacher(images), self.knobs.temperature)
        return loss + self.knobs.weight * kept
