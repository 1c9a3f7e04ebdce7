"""The loss that asks a network to answer as another one does."""

import torch.nn.functional as F
from torch import Tensor


def distillation_loss(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of softened outputs with the teacher's (Hinton et al. 2015, section 2).

    Both [N, K]. LwF (arXiv 1606.09282), equations 2 and 3, softens by the power 1/T of the
    probabilities, which is the same as dividing the logits by T. Not multiplied by T squared.
    """
    soft = F.softmax(teacher / temperature, dim=1)
    return -(soft * F.log_softmax(logits / temperature, dim=1)).sum(dim=1).mean()
