"""Learners on the tuned chain: which adapter sets run at inference, and which head reads them.

A learner is fed by a :class:`dynammo.chain.Chain` and differs from the others in two choices only:
the passes an image takes, and the kind of head. So DynaMMo, ACL and the controls stay comparable.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dynammo.adapters import AdaptedNetwork
from dynammo.chain import Chain
from dynammo.errors import InputError
from dynammo.heads import TaskHeads, UnifiedHead, session_targets
from dynammo.merging import StateDict
from dynammo.training import (
    EVALUATION_BATCH,
    both_flips,
    fit_head,
    generator_for,
    linear_head,
    seed_for,
    tune_auxiliary_head,
)


class InferenceNetwork(nn.Module):
    """What runs at test time: one pass per adapter set, then the head."""

    def __init__(self, passes: Sequence[AdaptedNetwork], head: nn.Module) -> None:
        super().__init__()
        self.passes = nn.ModuleList(passes)
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised images [N, 3, H, W] to scores [N, K] whose maximum is the prediction."""
        return self.head(self.features(x))

    def features(self, x: Tensor) -> Tensor:
        """Features [N, P, D] under each of the P passes."""
        return torch.stack([network(x) for network in self.passes], dim=1)


class Learner:
    """One way to turn the chain into predictions; subclasses say which adapters run."""

    name: str  # in files
    title: str  # in figures
    head_kind: type[TaskHeads] | type[UnifiedHead] = TaskHeads

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.head = self.head_kind(chain.backbone.feature_size)

    def adapter_sets(self) -> Sequence[StateDict | None]:
        """Adapter sets that run at inference, one pass each; None is the bare backbone."""
        raise NotImplementedError

    def stored_adapter_sets(self) -> int:
        """How many adapter sets must be kept to predict and to go on learning."""
        return len(self.adapter_sets())

    def network(self) -> InferenceNetwork:
        """The network that predicts after the chain's newest session."""
        passes = [self.chain.network(state) for state in self.adapter_sets()]
        return InferenceNetwork(passes, self.head).eval()

    def auxiliary_head(self) -> nn.Linear:
        """Head of the newest session's classes and "others" that the learner's head starts from."""
        return self.chain.auxiliary

    def learn_session(self) -> None:
        """Step 4 for the chain's newest session: grow the head, tune it on the balanced memory.

        As in the released code, the first session keeps its auxiliary head: there is nothing yet
        to balance it against.
        """
        chain = self.chain
        self.head.add_session(self.auxiliary_head())
        if chain.session == 1:
            return
        positions = chain.memory.all_positions()
        fit_head(
            list(self.head.parameters()),
            self.head.loss,
            both_flips(self.network().passes, chain.stream.train.images[positions]),
            chain.stream.train.labels[positions],
            chain.settings,
            generator_for("head", *chain.seeds, chain.session),
        )

    @torch.no_grad()
    def features(self, images: np.ndarray) -> Tensor:
        """Features [N, P, D] of uint8 images [N, H, W, 3]."""
        network = self.network()
        normalise = self.chain.backbone.normalise
        starts = range(0, len(images), EVALUATION_BATCH)
        return torch.cat(
            [network.features(normalise(images[i : i + EVALUATION_BATCH])) for i in starts]
        )

    def grow_head(self) -> None:
        """Give the head the shape it has after the chain's newest session, with any weights."""
        self.head = self.head_kind(self.chain.backbone.feature_size)
        for session in range(1, self.chain.session + 1):
            outputs = len(self.chain.stream.classes(session)) + 1
            device = self.chain.backbone.mean.device
            self.head.add_session(linear_head(self.head.feature_size, outputs, 0, device))

    def save(self, folder: Path) -> None:
        """Write the head into an existing folder."""
        save_file(self.head.state_dict(), folder / f"head_{self.name}.safetensors")

    def restore(self, folder: Path) -> None:
        """Take up the head saved after the chain's newest session."""
        self.grow_head()
        self.head.load_state_dict(load_file(folder / f"head_{self.name}.safetensors"))


class DynaMMo(Learner):
    """All adapter sets averaged into one: one pass, however many sessions.

    Task heads are the default because ACL and the released code have them, so that ACL and DynaMMo
    differ in merging alone. A unified head was as good on validation images.
    """

    name = "dynammo"
    title = "DynaMMo"

    def adapter_sets(self) -> Sequence[StateDict | None]:
        """The running mean alone."""
        return [self.chain.merged_state]

    def stored_adapter_sets(self) -> int:
        """The running mean, and the newest set, which the next session starts from."""
        return min(self.chain.session, 2)


class DynaMMoUnifiedHead(DynaMMo):
    """DynaMMo with one linear layer over all classes, as in the paper's figure 2."""

    name = "dynammo_unified_head"
    title = "DynaMMo, unified head"
    head_kind = UnifiedHead


class ACL(Learner):
    """Adapter-based continual learning (arXiv 2304.09042): every set kept, t passes."""

    name = "acl"
    title = "ACL"

    def adapter_sets(self) -> Sequence[StateDict | None]:
        """Every session's own set."""
        return self.chain.adapter_states


class LastAdapter(Learner):
    """The control without merging: only the newest adapter set, one pass."""

    name = "last_adapter"
    title = "last adapter"

    def adapter_sets(self) -> Sequence[StateDict | None]:
        """The newest set alone."""
        return [self.chain.adapter_states[-1]]


class FrozenFeatures(Learner):
    """The control without adapters: the same data, recipes and head on the bare backbone."""

    name = "frozen_features"
    title = "frozen features"

    def adapter_sets(self) -> Sequence[StateDict | None]:
        """The bare backbone."""
        return [None]

    def stored_adapter_sets(self) -> int:
        """None are needed."""
        return 0

    def auxiliary_head(self) -> nn.Linear:
        """A head trained as in step 1, on the same images and schedule, on frozen features."""
        chain = self.chain
        session, classes = chain.session, chain.stream.classes(chain.session)
        head = linear_head(
            chain.backbone.feature_size,
            len(classes) + 1,
            seed_for("auxiliary head", *chain.seeds, session),
            chain.backbone.mean.device,
        )
        # The memory now holds this session's exemplars too; those are already in its own images.
        old = chain.memory.all_positions()
        labels = chain.stream.train.labels
        old = old[labels[old] < classes[0]]
        positions = np.concatenate([chain.stream.indices("train", session), old])
        targets = session_targets(torch.as_tensor(labels[positions]), classes[0], len(classes))
        tune_auxiliary_head(
            head,
            both_flips([chain.network(None)], chain.stream.train.images[positions]),
            targets.numpy(),
            chain.settings,
            generator_for("auxiliary head", *chain.seeds, session),
        )
        return head.requires_grad_(False)


LEARNERS: dict[str, type[Learner]] = {
    kind.name: kind for kind in (FrozenFeatures, DynaMMo, DynaMMoUnifiedHead, LastAdapter, ACL)
}


def make_learners(names: Sequence[str], chain: Chain) -> list[Learner]:
    """Learners by name, all fed by one chain.

    Raises:
        InputError: a name that is not in LEARNERS.
    """
    for name in names:
        if name not in LEARNERS:
            raise InputError(f"Unknown method '{name}': choose from {', '.join(LEARNERS)}.")
    return [LEARNERS[name](chain) for name in names]
