"""The two kinds of classifier head: one over all classes, or one per session with "others".

Both read features of shape [N, P, D], where P is the number of passes through the backbone that
an image took: 1 for merged adapters, t for ACL, whose head i reads pass i.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynammo.errors import InputError


class UnifiedHead(nn.Module):
    """One linear layer over every class seen (DynaMMo, figure 2)."""

    def __init__(self, feature_size: int) -> None:
        super().__init__()
        self.feature_size = feature_size
        self.weight = nn.Parameter(torch.empty(0, feature_size))
        self.bias = nn.Parameter(torch.empty(0))

    def add_session(self, auxiliary: nn.Linear) -> None:
        """Grow by a session's classes, whose rows start from its auxiliary head without "others".

        Rows of old classes stay as they are. ``auxiliary`` maps D features to |C_t| + 1 outputs.
        """
        self.add_classes(auxiliary.weight[:-1], auxiliary.bias[:-1])

    def add_classes(self, weight: Tensor, bias: Tensor) -> None:
        """Append rows [k, D] and biases [k] of new classes."""
        new_weight, new_bias = weight.detach(), bias.detach()
        self.weight = nn.Parameter(torch.cat([self.weight.detach().to(new_weight), new_weight]))
        self.bias = nn.Parameter(torch.cat([self.bias.detach().to(new_bias), new_bias]))

    def forward(self, features: Tensor) -> Tensor:
        """Map features [N, 1, D] or [N, D] to logits [N, K] of the K classes seen."""
        if features.ndim == 3 and features.shape[1] != 1:
            raise InputError("A unified head reads one pass; use task heads for several.")
        return F.linear(features.flatten(1), self.weight, self.bias)

    def loss(self, features: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy of labels [N] in 0..K-1."""
        return F.cross_entropy(self(features), labels)


class TaskHeads(nn.Module):
    """One linear head per session, each with an extra output "others" for what is not its own.

    Source: ACL (arXiv 2304.09042) and the released DynaMMo code. A prediction takes the session
    whose "others" probability is lowest, then that session's best class.
    """

    def __init__(self, feature_size: int) -> None:
        super().__init__()
        self.feature_size = feature_size
        self.heads = nn.ModuleList()

    def add_session(self, auxiliary: nn.Linear) -> None:
        """Add the head of a new session, a copy of its auxiliary head (|C_t| + 1 outputs)."""
        self.heads.append(copy.deepcopy(auxiliary).requires_grad_(True))

    def session_logits(self, features: Tensor) -> list[Tensor]:
        """Logits [N, |C_i| + 1] of each session i from features [N, P, D] with P = 1 or t."""
        if features.shape[1] not in (1, len(self.heads)):
            raise InputError(
                f"{len(self.heads)} task heads read 1 or {len(self.heads)} passes, not "
                f"{features.shape[1]}."
            )
        if features.shape[1] > 1:
            return [head(features[:, i]) for i, head in enumerate(self.heads)]
        # All read the same features: one multiplication instead of many small ones.
        weight = torch.cat([head.weight for head in self.heads])
        bias = torch.cat([head.bias for head in self.heads])
        outputs = [head.out_features for head in self.heads]
        return list(F.linear(features[:, 0], weight, bias).split(outputs, dim=1))

    def others(self, features: Tensor) -> Tensor:
        """Probability [N, t] that an image is none of session i's classes."""
        return _others(self.session_logits(features))

    def forward(self, features: Tensor) -> Tensor:
        """Log-probabilities [N, K] of the inferred session's classes, minus infinity elsewhere."""
        logits = self.session_logits(features)
        chosen = _others(logits).argmin(dim=1)
        scores = []
        for i, session in enumerate(logits):
            own = F.log_softmax(session, dim=1)[:, :-1]
            scores.append(own.masked_fill((chosen != i)[:, None], float("-inf")))
        return torch.cat(scores, dim=1)

    def loss(self, features: Tensor, labels: Tensor) -> Tensor:
        """Sum over sessions of the mean cross-entropy, foreign classes labelled "others"."""
        total = features.new_zeros(())
        first = 0
        for session in self.session_logits(features):
            own_classes = session.shape[1] - 1
            targets = session_targets(labels, first, own_classes)
            total = total + F.cross_entropy(session, targets)
            first += own_classes
        return total


def _others(logits: list[Tensor]) -> Tensor:
    return torch.stack([F.softmax(session, dim=1)[:, -1] for session in logits], dim=1)


def session_targets(labels: Tensor, first_class: int, own_classes: int) -> Tensor:
    """Relabel stream labels [N] for one session's head: its classes 0..k-1, all others k.

    Args:
        first_class: stream label of the session's first class.
        own_classes: k, how many classes the session brings.
    """
    own = labels - first_class
    return torch.where((own >= 0) & (own < own_classes), own, own_classes)
