"""A head that compares directions: UCIR's cosine classifier, with PODNet's several proxies."""

import torch
import torch.nn.functional as F
from sklearn.cluster import KMeans
from torch import Tensor, nn


class CosineHead(nn.Module):
    """Cosine similarity of features to the proxies of each class, times a scale.

    Source: UCIR (Hou et al. 2019), equation 4, for one proxy a class; PODNet (arXiv 2004.13513),
    equation 8, for several: a class's similarity is the mean of its proxies', weighted by their
    softmax. Lengths cannot favour new classes, since neither features nor weights have any.
    """

    def __init__(
        self, feature_size: int, proxies: int, scale: float, *, learn_scale: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(0, proxies, feature_size))
        self.scale = nn.Parameter(torch.tensor(float(scale)), requires_grad=learn_scale)

    def add_classes(self, weight: Tensor) -> None:
        """Append the proxies [k, P, D] of new classes."""
        self.weight = nn.Parameter(torch.cat([self.weight.detach().to(weight), weight.detach()]))

    def similarities(self, features: Tensor) -> Tensor:
        """Similarity in -1..1 of features [N, D] to each class, [N, K]."""
        proxies = F.normalize(self.weight, dim=2)
        cosines = torch.einsum("nd,kpd->nkp", F.normalize(features, dim=1), proxies)
        return (F.softmax(cosines, dim=2) * cosines).sum(dim=2)

    def forward(self, features: Tensor) -> Tensor:
        """Logits [N, K] of features [N, D]: similarities times the scale."""
        return self.scale * self.similarities(features)


def imprint(features: Tensor, labels: Tensor, proxies: int, seed: int) -> Tensor:
    """First proxies [k, P, D] of classes, from features [N, D] with labels [N].

    That is the mean of a class's features of length 1, or their k-means centres for P > 1.
    """
    unit = F.normalize(features, dim=1)
    weights = []
    for label in labels.unique():
        own = unit[labels == label]
        centres = own.mean(dim=0, keepdim=True)
        if proxies > 1:
            clusters = KMeans(min(proxies, len(own)), n_init=1, random_state=seed)
            centres = torch.as_tensor(clusters.fit(own.cpu().numpy()).cluster_centers_).to(own)
        weights.append(centres[torch.arange(proxies) % len(centres)])
    return torch.stack(weights)
