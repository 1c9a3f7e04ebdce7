"""UCIR: a unified classifier by cosine normalisation, less forgetting and a margin."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynammo.baselines.cosine_head import CosineHead, imprint
from dynammo.baselines.whole_network import WholeNetworkLearner
from dynammo.settings import Count, Knobs, Positive, Weight


def less_forget(features: Tensor, teacher: Tensor) -> Tensor:
    """1 minus the cosine of features [N, D] with the old network's (equation 6), mean over N."""
    return (1 - F.cosine_similarity(features, teacher, dim=1)).mean()


def margin_ranking(
    similarities: Tensor, labels: Tensor, old_classes: int, margin: float, negatives: int
) -> Tensor:
    """Keep exemplars nearer to their class than to the nearest new classes (equation 8).

    Args:
        similarities: [N, K].
        labels: [N]; only images of old classes count, the loss is 0 without any.
        negatives: how many of the nearest new classes are pushed away.
    """
    old = labels < old_classes
    if not old.any():
        return similarities.new_zeros(())
    own = similarities[old].gather(1, labels[old, None])
    new = similarities[old, old_classes:]
    nearest = new.topk(min(negatives, new.shape[1]), dim=1).values
    return F.relu(margin - own + nearest).sum(dim=1).mean()


class UCIRKnobs(Knobs):
    """Settings of UCIR alone."""

    # lambda_base, the margin and K, the nearest new classes, as in the paper for CIFAR-100.
    less_forget: Weight = 5.0
    margin: Weight = 0.5
    negatives: Count = 2
    # Initial scale of the cosines. It is learned (released: from 1, for 160 epochs).
    scale: Positive = 10.0


class UCIR(WholeNetworkLearner):
    """Replay under a cosine head, with features held in direction and exemplars kept apart.

    Source: Hou et al. 2019, *Learning a Unified Classifier Incrementally via Rebalancing*,
    equations 4, 6, 8 and 9. The less-forget weight is ``less_forget`` times the square root
    of old over new classes, as in the released code, and old classes' weights stay as they are.
    Left out: removing the network's last ReLU, which would change the shared backbone.
    """

    name = "ucir"
    Knobs = UCIRKnobs
    has_teacher = True
    proxies = 1
    holds_old_classes = True  # their weights in the head do not change

    def make_head(self) -> nn.Module:
        """A cosine head for no classes yet."""
        return CosineHead(self.backbone.feature_size, self.proxies, self.knobs.scale).to(
            self.device
        )

    def grow_head(self) -> None:
        """Imprint the new classes from the features the network has of them already."""
        positions = self.stream.indices("train", self.session)
        features = self.features(self.stream.train.select(positions))
        labels = torch.as_tensor(self.stream.train.labels[positions], device=self.device)
        self.classifier.head.add_classes(imprint(features, labels, self.proxies, self.seed))
        if self.holds_old_classes:
            self.classifier.head.weight.register_hook(self._hold)

    def _hold(self, gradient: Tensor) -> Tensor:
        # Weight decay still shortens the old rows, but only directions count under cosines.
        held = gradient.clone()
        held[: self.old_classes] = 0
        return held

    def outline(self, sessions: int) -> None:
        """A cosine head with empty rows for all classes seen."""
        self.session, self.classifier.head = sessions, self.make_head()
        shape = (self.stream.classes_seen(sessions), self.proxies, self.backbone.feature_size)
        self.classifier.head.add_classes(torch.zeros(shape, device=self.device))

    def batch_loss(self, images: Tensor, labels: Tensor, positions: Tensor) -> Tensor:
        """Equation 9."""
        features = self.classifier.extractor(images)
        head, knobs = self.classifier.head, self.knobs
        similarities = head.similarities(features)
        loss = F.cross_entropy(head.scale * similarities, labels)
        if self.teacher is None:
            return loss
        with torch.no_grad():
            teacher = self.teacher.extractor(images)
        old = self.old_classes
        weight = knobs.less_forget * math.sqrt(old / self.new_classes)
        apart = margin_ranking(similarities, labels, old, knobs.margin, knobs.negatives)
        return loss + weight * less_forget(features, teacher) + apart
