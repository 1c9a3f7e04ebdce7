"""DER: dynamically expandable representation, a new extractor for every session."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynammo.baselines.whole_network import Extractor, WholeNetworkKnobs, WholeNetworkLearner
from dynammo.heads import UnifiedHead, session_targets
from dynammo.settings import Positive, Weight
from dynammo.training import linear_head


class ExpandedExtractor(nn.Module):
    """Features of several extractors side by side: [N, t D]. All but the newest are frozen."""

    def __init__(self, extractors: list[Extractor]) -> None:
        super().__init__()
        self.extractors = nn.ModuleList(extractors)
        self.extractors[:-1].requires_grad_(False)

    def train(self, mode: bool = True) -> ExpandedExtractor:
        """Leave frozen extractors in evaluation mode, so that their statistics do not move."""
        super().train(mode)
        self.extractors[:-1].eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised images [N, 3, H, W] to features [N, t D]."""
        return torch.cat([extractor(x) for extractor in self.extractors], dim=1)


def expand(head: UnifiedHead, fresh: nn.Linear) -> UnifiedHead:
    """A head shaped like ``fresh`` that answers for old classes on old features as before.

    Old weights are taken over; what is new, in rows (classes) or columns (features), is fresh.
    """
    weight, bias = fresh.weight.detach().clone(), fresh.bias.detach().clone()
    classes, features = head.weight.shape
    weight[:classes, :features] = head.weight.detach()
    bias[:classes] = head.bias.detach()
    grown = UnifiedHead(weight.shape[1])
    grown.add_classes(weight, bias)
    return grown


class DER(WholeNetworkLearner):
    """Freeze what was learned, add a whole extractor, classify on all features together.

    Source: Yan et al. 2021 (arXiv 2103.16788): equation 5 (auxiliary loss: new classes, and one
    output for all old ones), then the head tuned on equally many images of each class (from the
    weights it has; the paper draws them anew). Channel pruning is left out, as in most comparisons.
    A new extractor starts from the one before. Probabilities are of the undivided logits, although
    the balanced head is tuned with divided ones: so is AUROC.
    """

    name = "der"

    class Knobs(WholeNetworkKnobs):
        """Weight of the auxiliary loss, and temperature of the balanced head, as released."""

        auxiliary: Weight = 1.0
        temperature: Positive = 5.0

    def grow_head(self) -> None:
        """Add an extractor and the head's new rows and columns."""
        extractors = [Extractor(self.backbone)]
        if self.session > 1:
            extractors = [*self.classifier.extractor.extractors, *extractors]
            extractors[-1].load_state_dict(extractors[-2].state_dict())
        self.classifier.extractor = ExpandedExtractor(extractors)
        size, classes = self.backbone.feature_size, self.old_classes + self.new_classes
        fresh = linear_head(size * self.session, classes, self.seed, self.device)
        self.classifier.head = expand(self.classifier.head, fresh)
        # Only training needs the auxiliary head, so it is no part of the classifier.
        self.auxiliary = linear_head(size, self.new_classes + 1, self.seed, self.device)

    def trained(self) -> list[nn.Parameter]:
        """The newest extractor and the head, from session 2 on the auxiliary head too."""
        extra = self.auxiliary.parameters() if self.session > 1 else ()
        return [*super().trained(), *extra]

    def batch_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy on all features, plus the auxiliary one on the new extractor's."""
        features = [extractor(images) for extractor in self.classifier.extractor.extractors]
        loss = F.cross_entropy(self.classifier.head(torch.cat(features, dim=1)), labels)
        if self.session == 1:
            return loss
        targets = session_targets(labels, self.old_classes, self.new_classes)
        extra = F.cross_entropy(self.auxiliary(features[-1]), targets)
        return loss + self.knobs.auxiliary * extra

    def finish_session(self) -> None:
        """Tune the head on equally many images of each class, from session 2 on."""
        if self.session > 1:
            head, temperature = self.classifier.head, self.knobs.temperature
            self.fit_balanced_head(
                lambda x, y: F.cross_entropy(head(x) / temperature, y),
                self.memory.balanced_positions(),
            )
