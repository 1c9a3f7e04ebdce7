"""LwF: learning without forgetting, distillation without a memory."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dynammo.baselines.whole_network import WholeNetworkLearner


def distillation_loss(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of softened outputs with the teacher's (Hinton et al. 2015, section 2).

    Both [N, K]. LwF (arXiv 1606.09282), equations 2 and 3, softens by the power 1/T of the
    probabilities, which is the same as dividing the logits by T. Not multiplied by T squared.
    """
    soft = F.softmax(teacher / temperature, dim=1)
    return -(soft * F.log_softmax(logits / temperature, dim=1)).sum(dim=1).mean()


class LwF(WholeNetworkLearner):
    """Ask the new network to answer for old classes as the old one did, on the new images.

    Source: Li and Hoiem 2016 (arXiv 1606.09282), equations 1 to 3: cross-entropy over the new
    classes' outputs alone, plus ``lwf_weight`` times the distillation of the old outputs.
    """

    name = "lwf"
    title = "LwF"
    family = "distillation"
    has_teacher = True
    remembers = False

    def batch_loss(self, images: Tensor, labels: Tensor, positions: Tensor) -> Tensor:
        """Equation 1 for new classes, equation 2 for old ones."""
        logits, old = self.classifier(images), self.old_classes
        loss = F.cross_entropy(logits[:, old:], labels - old)
        if self.teacher is None:
            return loss
        with torch.no_grad():
            teacher = self.teacher(images)
        settings = self.settings
        kept = distillation_loss(logits[:, :old], teacher, settings.lwf_temperature)
        return loss + settings.lwf_weight * kept
