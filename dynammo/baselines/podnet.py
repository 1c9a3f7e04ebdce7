"""PODNet: distillation of pooled maps all along the network."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynammo.backbones import at_stages
from dynammo.baselines.cosine_head import CosineHead
from dynammo.baselines.ucir import UCIR, less_forget
from dynammo.settings import Count, Knobs, Positive, Weight


def pod_spatial(maps: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Distance between two networks' maps, pooled over width and over height.

    Source: PODNet (arXiv 2004.13513), equations 4 to 6, on squared maps as in the released code:
    each map [N, C, H, W] becomes its sums over width and over height, brought to length 1; the
    distance is Euclidean, averaged over images and layers.
    """
    distances = []
    for new, old in zip(maps, teacher, strict=True):
        pooled = [
            F.normalize(
                torch.cat([x.square().sum(dim=3).flatten(1), x.square().sum(dim=2).flatten(1)], 1),
                dim=1,
            )
            for x in (new, old)
        ]
        # The small constant keeps the gradient finite where the two networks agree exactly.
        distances.append(((pooled[0] - pooled[1]).square().sum(dim=1) + 1e-12).sqrt().mean())
    return torch.stack(distances).mean()


def nca_loss(similarities: Tensor, labels: Tensor, scale: Tensor, margin: float) -> Tensor:
    """Softmax with a margin, without the own class below the line, cut off at 0 (equation 9)."""
    own = similarities.gather(1, labels[:, None]).squeeze(1) - margin
    others = (scale * similarities).scatter(1, labels[:, None], float("-inf"))
    return F.relu(-scale * own + others.logsumexp(dim=1)).mean()


class PODNetKnobs(Knobs):
    """Settings of PODNet alone."""

    # lambda_c, lambda_f, the margin and the proxies of a class, as in the paper for CIFAR-100.
    spatial: Weight = 3.0
    flat: Weight = 1.0
    margin: Weight = 0.6
    proxies: Count = 10
    # Scale of the cosines, fixed: learned as in the paper, it falls below 0 in short sessions.
    scale: Positive = 10.0


class PODNet(UCIR):
    """Replay under a head with several proxies a class, all stages' maps held near the old ones.

    Source: Douillard et al. 2020 (arXiv 2004.13513): equations 4 to 9, weights times the square
    root of all over new classes, then the head alone tuned on the balanced memory (here by
    DynaMMo's step 4). The flat term is 1 minus the cosine, half the squared distance of unit
    vectors. The scale of the cosines is fixed, see :meth:`make_head`.
    """

    name = "podnet"
    Knobs = PODNetKnobs
    holds_old_classes = False

    @property
    def proxies(self) -> int:
        """How many vectors stand for a class."""
        return self.knobs.proxies

    def make_head(self) -> nn.Module:
        """A cosine head whose scale stays what it is.

        The paper learns it. Under the NCA loss it falls for as long as the right class leads by
        less than the margin, and in sessions of few steps it falls below 0, which turns the
        classifier around.
        """
        size, scale = self.backbone.feature_size, self.knobs.scale
        return CosineHead(size, self.proxies, scale, learn_scale=False).to(self.device)

    def batch_loss(self, images: Tensor, labels: Tensor, positions: Tensor) -> Tensor:
        """The classification loss, and both distillations from session 2 on."""
        features, maps = self.features_and_maps(self.classifier.extractor, images)
        head, knobs = self.classifier.head, self.knobs
        similarities = head.similarities(features)
        loss = nca_loss(similarities, labels, head.scale, knobs.margin)
        if self.teacher is None:
            return loss
        with torch.no_grad():
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
        """Tune the head on the balanced memory, from session 2 on."""
        if self.session == 1:
            return
        head: CosineHead = self.classifier.head
        margin = self.knobs.margin

        def loss(features: Tensor, labels: Tensor) -> Tensor:
            return nca_loss(head.similarities(features[:, 0]), labels, head.scale, margin)

        self.fit_balanced_head(loss)
