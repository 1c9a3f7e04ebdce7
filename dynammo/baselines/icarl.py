"""iCaRL: distillation on exemplars, and classification by the nearest mean of exemplars."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynammo.baselines.whole_network import Classifier, WholeNetworkLearner


class NearestMean(nn.Module):
    """Scores by closeness to class means [K, D]; features and means are brought to length 1.

    The nearest of several points at distance 1 from the origin has the largest cosine.
    """

    def __init__(self, means: Tensor) -> None:
        super().__init__()
        self.means = nn.Parameter(F.normalize(means, dim=1), requires_grad=False)

    def forward(self, features: Tensor) -> Tensor:
        """Cosines [N, K] of features [N, D]."""
        return F.linear(F.normalize(features, dim=1), self.means)


class ICaRL(WholeNetworkLearner):
    """Train on new images and exemplars; the old network's answers are the targets of old classes.

    Source: Rebuffi et al. 2017 (arXiv 1611.07725), algorithm 3 (binary cross-entropy with every
    class, the old network's sigmoid for old ones) and algorithm 1 (nearest mean of exemplars).
    The paper writes a sum over classes; the released code takes the mean, as here, so that the
    loss does not grow with the classes, and a larger learning rate.
    """

    name = "icarl"
    has_teacher = True

    def batch_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Algorithm 3: the mean over classes and images."""
        logits = self.classifier(images)
        targets = F.one_hot(labels, logits.shape[1]).to(logits)
        if self.teacher is not None:
            targets[:, : self.old_classes] = torch.sigmoid(self.teacher(images))
        return F.binary_cross_entropy_with_logits(logits, targets)

    def network(self) -> nn.Module:
        """The extractor and the mean of each class's exemplars, each of length 1 (equation 2)."""
        images, chosen = self.stream.train.images, sorted(self.memory.positions.items())
        features = [F.normalize(self.features(images[own]), dim=1) for _, own in chosen]
        means = torch.zeros_like(self.classifier.head.weight)  # of an outline
        if features:
            means = torch.stack([own.mean(dim=0) for own in features])
        return Classifier(self.classifier.extractor, NearestMean(means))
