"""PODNet: distillation of pooled maps all along the network."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynammo.backbones import at_stages
from dynammo.baselines.cosine_head import CosineHead
from dynammo.baselines.ucir import UCIR, less_forget
from dynammo.baselines.whole_network import WholeNetworkKnobs
from dynammo.settings import Count, Positive, Weight


def pod_spatial(maps: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Distance between two networks' maps, pooled over width and over height.

    Source: PODNet (arXiv 2004.13513), equations 4 to 6, on squared maps as in the released code:
    each map [N, C, H, W] becomes its sums over width and over height, brought to length 1; the
    distance is Euclidean, averaged over images and layers.
    """
    distances = []
    for pair in zip(maps, teacher, strict=True):
        sums = [[x.square().sum(dim=side).flatten(1) for side in (3, 2)] for x in pair]
        new, old = (F.normalize(torch.cat(both, dim=1), dim=1) for both in sums)
        # The small constant keeps the gradient finite where the two networks agree exactly.
        distances.append(((new - old).square().sum(dim=1) + 1e-12).sqrt().mean())
    return torch.stack(distances).mean()


def nca_loss(similarities: Tensor, labels: Tensor, scale: Tensor, margin: float) -> Tensor:
    """Softmax with a margin, without the own class below the line, cut off at 0 (equation 9)."""
    own = similarities.gather(1, labels[:, None]).squeeze(1) - margin
    others = (scale * similarities).scatter(1, labels[:, None], float("-inf"))
    return F.relu(-scale * own + others.logsumexp(dim=1)).mean()


class PODNet(UCIR):
    """Replay under a head with several proxies a class, all stages' maps held near the old ones.

    Source: Douillard et al. 2020 (arXiv 2004.13513): equations 4 to 9, weights times the square
    root of all over new classes, old proxies frozen as released, then the head alone tuned on the
    balanced memory (here by DynaMMo's step 4). The flat term is 1 minus the cosine, half the
    squared distance. The paper learns the scale of the cosines, here it is fixed: under the NCA
    loss it falls for as long as the right class leads by less than the margin, in short sessions
    below 0.
    """

    name = "podnet"

    class Knobs(WholeNetworkKnobs):
        """lambda_c, lambda_f, margin and proxies of a class as in the paper for CIFAR-100."""

        spatial: Weight = 3.0
        flat: Weight = 1.0
        margin: Weight = 0.6
        proxies: Count = 10
        scale: Positive = 10.0  # of the cosines

    def make_head(self) -> nn.Module:
        """A cosine head whose scale stays what it is, for no classes yet."""
        size, proxies, scale = self.backbone.feature_size, self.knobs.proxies, self.knobs.scale
        return CosineHead(size, proxies, scale, learn_scale=False).to(self.device)

    def batch_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """The classification loss, and both distillations from session 2 on."""
        features, maps = self.features_and_maps(self.classifier.extractor, images)
        head, knobs = self.classifier.head, self.knobs
        similarities = head.similarities(features)
        loss = nca_loss(similarities, labels, head.scale, knobs.margin)
        if self.teacher is None:
            return loss
        old_features, old_maps = self.features_and_maps(self.teacher.extractor, images)
        kept = knobs.spatial * pod_spatial(maps, old_maps)
        kept = kept + knobs.flat * less_forget(features, old_features)
        return loss + math.sqrt((self.old_classes + self.new_classes) / self.new_classes) * kept

    def features_and_maps(self, extractor: nn.Module, images: Tensor) -> tuple[Tensor, list]:
        """Features [N, D] and the map after each stage of the backbone."""
        maps: list[Tensor] = []
        with at_stages(extractor.network, after=dict.fromkeys(self.backbone.stages, maps.append)):
            return extractor(images), maps

    def finish_session(self) -> None:
        """Tune the head on the memory, already cut (as released), from session 2 on."""
        if self.session > 1:
            self.hold.remove()  # to balance classes, all proxies have to move
            head, margin = self.classifier.head, self.knobs.margin
            self.fit_balanced_head(
                lambda x, y: nca_loss(head.similarities(x[:, 0]), y, head.scale, margin),
                self.memory.all_positions(),
            )
