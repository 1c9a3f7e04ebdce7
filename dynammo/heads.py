"""The two kinds of classifier head: one over all classes, or one per session with "others".

Both read features [N, P, D] of P passes: 1 for merged adapters, t for ACL (head i, pass i).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynammo.errors import InputError


class GrowingLinear(nn.Module):
    """A linear layer that gets rows as classes arrive; old rows stay as they are."""

    def __init__(self, feature_size: int) -> None:
        super().__init__()
        self.feature_size = feature_size
        self.weight = nn.Parameter(torch.empty(0, feature_size))
        self.bias = nn.Parameter(torch.empty(0))

    def add_classes(self, weight: Tensor, bias: Tensor) -> None:
        """Append rows [k, D] and biases [k]."""
        new_weight, new_bias = weight.detach(), bias.detach()
        self.weight = nn.Parameter(torch.cat([self.weight.detach().to(new_weight), new_weight]))
        self.bias = nn.Parameter(torch.cat([self.bias.detach().to(new_bias), new_bias]))


class UnifiedHead(GrowingLinear):
    """One linear layer over every class seen (DynaMMo, figure 2)."""

    def add_session(self, auxiliary: nn.Linear) -> None:
        """Grow by a session's classes: rows of its auxiliary head (|C_t| + 1), but "others"."""
        self.add_classes(auxiliary.weight[:-1], auxiliary.bias[:-1])

    def forward(self, features: Tensor) -> Tensor:
        """Map features [N, 1, D] or [N, D] to logits [N, K] of the K classes seen."""
        if features.ndim == 3 and features.shape[1] != 1:
            raise InputError("A unified head reads one pass; use task heads for several.")
        return F.linear(features.flatten(1), self.weight, self.bias)

    def loss(self, features: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy of labels [N] in 0..K-1."""
        return F.cross_entropy(self(features), labels)


class TaskHeads(GrowingLinear):
    """One linear head per session, each with an extra output "others" for what is not its own.

    Source: ACL (arXiv 2304.09042) and the released DynaMMo code. A prediction takes the session
    whose "others" probability is lowest, then that session's best class.

    All heads' rows lie in one matrix, so that a step costs the same few calls however many there
    are: ``weight`` [K + t, D], session after session, "others" last in each.
    """

    def __init__(self, feature_size: int) -> None:
        super().__init__(feature_size)
        self.outputs: list[int] = []
        for name in ("rows", "places", "targets"):
            self.register_buffer(name, torch.empty(0, dtype=torch.int64), persistent=False)

    def add_session(self, auxiliary: nn.Linear) -> None:
        """Add the head of a new session, a copy of its auxiliary head (|C_t| + 1 outputs)."""
        self.outputs.append(auxiliary.out_features)
        self.add_classes(auxiliary.weight, auxiliary.bias)
        self._lay_out()

    def _lay_out(self) -> None:
        """Say where in [t, most outputs] each output stands: "others" last, gaps before it."""
        rows, places, targets = [], [], []
        most, none = max(self.outputs), sum(self.outputs)
        classes = torch.arange(none - len(self.outputs))
        for session, outputs in enumerate(self.outputs):
            own, first = outputs - 1, sum(self.outputs[:session])
            rows += [*range(first, first + own), *[none] * (most - outputs), first + own]
            places += range(session * most, session * most + own)
            wanted = session_targets(classes, first - session, own)
            targets.append(wanted.where(wanted < own, most - 1))
        device = self.weight.device
        self.rows = torch.tensor(rows, device=device)
        self.places = torch.tensor(places, device=device)
        self.targets = torch.stack(targets, dim=1).to(device)

    def session_logits(self, features: Tensor) -> Tensor:
        """Logits [N, t, M], M the most outputs of a session; "others" last, gaps minus infinity."""
        sessions = len(self.outputs)
        if features.shape[1] not in (1, sessions):
            raise InputError(
                f"{sessions} task heads read 1 or {sessions} passes, not {features.shape[1]}."
            )
        if features.shape[1] == 1:  # all read the same
            logits = F.linear(features[:, 0], self.weight, self.bias)
        else:
            weights, biases = self.weight.split(self.outputs), self.bias.split(self.outputs)
            own = zip(features.unbind(1), weights, biases, strict=True)
            logits = torch.cat([F.linear(*head) for head in own], dim=1)
        if len(self.rows) > logits.shape[1]:  # some have fewer classes than others
            logits = F.pad(logits, (0, 1), value=float("-inf")).index_select(1, self.rows)
        return logits.unflatten(1, (sessions, -1))

    def others(self, features: Tensor) -> Tensor:
        """Probability [N, t] that an image is none of session i's classes."""
        return _others(self.session_logits(features))

    def forward(self, features: Tensor) -> Tensor:
        """Log-probabilities [N, K] of the inferred session's classes, minus infinity elsewhere."""
        logits = self.session_logits(features)
        inferred = _others(logits).argmin(dim=1, keepdim=True)
        foreign = torch.arange(len(self.outputs), device=logits.device) != inferred
        scores = F.log_softmax(logits, dim=2).masked_fill(foreign[:, :, None], float("-inf"))
        return scores.flatten(1)[:, self.places]

    def loss(self, features: Tensor, labels: Tensor) -> Tensor:
        """Sum over sessions of the mean cross-entropy, foreign classes labelled "others"."""
        logits = self.session_logits(features).flatten(0, 1)
        return F.cross_entropy(logits, self.targets[labels].flatten()) * len(self.outputs)


def _others(logits: Tensor) -> Tensor:
    return F.softmax(logits, dim=2)[:, :, -1]


def session_targets(labels: Tensor, first_class: int, own_classes: int) -> Tensor:
    """Relabel stream labels [N] for one session's head: its k classes 0..k-1, all others k."""
    own = labels - first_class
    return torch.where((own >= 0) & (own < own_classes), own, own_classes)
