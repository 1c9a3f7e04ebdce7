"""UCIR: a unified classifier by cosine normalisation, less forgetting and a margin."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from dynammo.backbones import at_stages
from dynammo.baselines.cosine_head import CosineHead, imprint
from dynammo.baselines.whole_network import WholeNetworkKnobs, WholeNetworkLearner
from dynammo.errors import InputError
from dynammo.learner import Setup
from dynammo.settings import Count, Positive, Weight

RELUS = (nn.ReLU, nn.ReLU6)


def less_forget(features: Tensor, teacher: Tensor) -> Tensor:
    """1 minus the cosine of features [N, D] with the old network's (equation 6), mean over N."""
    return (1 - F.cosine_similarity(features, teacher, dim=1)).mean()


def margin_ranking(
    similarities: Tensor, labels: Tensor, old_classes: int, margin: float, negatives: int
) -> Tensor:
    """Keep exemplars nearer to their class than to the nearest new classes (equation 8).

    From similarities [N, K] and labels [N], of which only those of old classes count: the loss is 0
    without any. ``negatives`` is how many of the nearest new classes are pushed away; the loss is
    the mean over them, as released.
    """
    old = labels < old_classes
    if not old.any():
        return similarities.new_zeros(())
    own = similarities[old].gather(1, labels[old, None])
    new = similarities[old, old_classes:]
    nearest = new.topk(min(negatives, new.shape[1]), dim=1).values
    return F.relu(margin - own + nearest).mean()


def without_last_relu(network: nn.Module) -> None:
    """Take out the ReLU that a network's last layer is followed by, in place, if it is a module.

    InputError where that ReLU is run in other places as well.
    """
    layers = dict(network.named_modules())
    passed: list[str] = []
    note = {
        name: lambda *_maps, name=name: passed.append(name)
        for name, layer in layers.items()
        if isinstance(layer, RELUS) or next(layer.parameters(recurse=False), None) is not None
    }
    with torch.no_grad(), at_stages(network, before=note):  # of one in another the inner is last
        network(torch.zeros(2, 3, 64, 64, device=next(network.parameters()).device))
    last = passed[-1]
    if isinstance(layers[last], RELUS):
        if passed.count(last) > 1:
            raise InputError(f"'{last}' is a network's last ReLU and others of it: make them two.")
        network.set_submodule(last, nn.Identity())


class UCIR(WholeNetworkLearner):
    """Replay under a cosine head, with features held in direction and exemplars kept apart.

    Source: Hou et al. 2019, *Learning a Unified Classifier Incrementally via Rebalancing*,
    equations 4, 6, 8 and 9. The less-forget weight is ``less_forget`` times the square root
    of old over new classes, as in the released code, and old classes' weights stay as they are.
    New ones begin as mean features in session 1 as well, and keep their length; released, from
    session 2 on, brought to the old ones' length. Directions are the same.
    The network's last ReLU is taken out, so that features may point anywhere.
    """

    name = "ucir"
    has_teacher = True
    hold: RemovableHandle  # keeps old classes' weights in the head as they are

    class Knobs(WholeNetworkKnobs):
        """lambda_base, margin and K, the nearest new classes, as in the paper for CIFAR-100."""

        less_forget: Weight = 5.0
        margin: Weight = 0.5
        negatives: Count = 2
        scale: Positive = 10.0  # of the cosines, at first; it is learned (released: from 1)

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        without_last_relu(self.classifier.extractor.network)

    def make_head(self) -> nn.Module:
        """A cosine head for no classes yet."""
        return CosineHead(self.backbone.feature_size, 1, self.knobs.scale).to(self.device)

    def grow_head(self) -> None:
        """Imprint the new classes from the features the network has of them already."""
        head, features = self.classifier.head, self.session_features()
        positions = self.stream.indices("train", self.session)
        labels = torch.as_tensor(self.stream.train.labels[positions], device=self.device)
        head.add_classes(imprint(features, labels, head.weight.shape[1], self.seed))
        # Weight decay still shortens old classes' weights, but only directions count.
        old = self.old_classes
        self.hold = head.weight.register_hook(
            lambda gradient: F.pad(gradient[old:], (0, 0, 0, 0, old, 0))
        )

    def outline(self, sessions: int) -> None:
        """A cosine head with empty rows for all classes seen."""
        self.session, self.classifier.head = sessions, self.make_head()
        _, *proxies = self.classifier.head.weight.shape
        classes = self.stream.classes_seen(sessions)
        self.classifier.head.add_classes(torch.zeros(classes, *proxies, device=self.device))

    def batch_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Equation 9."""
        features, old = self.classifier.extractor(images), self.old_classes
        head, knobs = self.classifier.head, self.knobs
        similarities = head.similarities(features)
        loss = F.cross_entropy(head.scale * similarities, labels)
        if self.teacher is None:
            return loss
        weight = knobs.less_forget * math.sqrt(old / self.new_classes)
        kept = less_forget(features, self.teacher.extractor(images))
        apart = margin_ranking(similarities, labels, old, knobs.margin, knobs.negatives)
        return loss + weight * kept + apart
