"""DynaMMo, ACL and their controls: which adapter sets run at inference, and which head reads them.

These learners are fed by one :class:`dynammo.chain.Chain` and differ in two choices only: the
passes an image takes, and the kind of head. So they stay comparable.
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
from dynammo.heads import TaskHeads, UnifiedHead, session_targets
from dynammo.learner import Learner, count_parameters
from dynammo.merging import StateDict
from dynammo.selection import Images
from dynammo.training import (
    both_flips,
    fit_head,
    generator_for,
    in_batches,
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


class AdapterLearner(Learner):
    """One way to turn the chain into predictions; subclasses say which adapters run.

    The chain does steps 1 to 3 once for all of them; :meth:`learn_session` is step 4.
    """

    head_kind: type[TaskHeads] | type[UnifiedHead] = TaskHeads
    trains = "one adapter set, then the heads"
    reads_stages = False  # its head also reads the means of later stages' maps

    def __init__(self, chain: Chain) -> None:
        super().__init__(chain)
        self.chain = chain
        self.head = self.head_kind(chain.backbone.feature_size)

    @property
    def knows_others(self) -> bool:
        """Whether each session has a head, with the output "others"."""
        return self.head_kind is TaskHeads

    @property
    def session(self) -> int:
        """The chain's newest session."""
        return self.chain.session

    def adapter_sets(self) -> Sequence[StateDict | None]:
        """Adapter sets that run at inference, one pass each; None is the bare backbone."""
        raise NotImplementedError

    def stored_adapter_sets(self) -> int:
        """How many adapter sets must be kept to predict and to go on learning."""
        return len(self.adapter_sets())

    def network(self) -> InferenceNetwork:
        """The network that predicts after the chain's newest session."""
        sets, stages = self.adapter_sets(), self.reads_stages
        passes = [self.chain.network(state, stages=stages) for state in sets]
        return InferenceNetwork(passes, self.head).eval()

    def auxiliary_head(self) -> nn.Linear:
        """Head of the newest session's classes and "others" that the learner's head starts from."""
        return self.chain.auxiliary

    def learn_session(self, *, progress: bool = True) -> list[float]:
        """Step 4 for the chain's newest session: grow the head, tune it on the balanced memory.

        As in the released code, the first session keeps its auxiliary head: there is nothing yet
        to balance it against. The losses of step 1 are the chain's; none are returned here.
        """
        chain = self.chain
        self.head.add_session(self.auxiliary_head())
        if chain.session == 1:
            return []
        positions = chain.memory.all_positions()
        sets, stages = self.adapter_sets(), self.reads_stages
        fit_head(
            list(self.head.parameters()),
            self.head.loss,
            torch.stack([chain.both_sides(x, positions, stages=stages) for x in sets], dim=2),
            chain.stream.train.labels[positions],
            chain.settings,
            generator_for("head", *chain.seeds, chain.session),
        )
        return []

    @torch.no_grad()
    def features(self, images: Images) -> Tensor:
        """Features [N, P, D] of uint8 images [N, H, W, 3]."""
        return in_batches(self.network().features, self.backbone, images)

    def judge(self, images: Images) -> tuple[Tensor, Tensor | None]:
        """Scores [N, K], and the heads' "others" [N, t] where each session has a head."""
        return self.read(self.features(images))

    def judge_split(self, split: str, positions: np.ndarray) -> tuple[Tensor, Tensor | None]:
        """The same for images of the stream, by their positions in a split."""
        sets, how = self.adapter_sets(), {"stages": self.reads_stages}
        passes = [self.chain.features(x, split, positions, **how) for x in sets]
        return self.read(torch.stack(passes, dim=1))

    @torch.no_grad()
    def read(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """Scores and "others" from features [N, P, D]."""
        others = self.head.others(features) if self.knows_others else None
        return self.head(features), others

    def _one_set(self) -> int:
        return count_parameters(self.chain.adapters(None))

    def trained_numbers(self) -> int:
        """One adapter set in step 1, all heads in step 4."""
        return self._one_set() + count_parameters(self.head)

    def stored_numbers(self) -> int:
        """The backbone, the heads and the adapter sets that are kept."""
        fixed = count_parameters(self.backbone, self.head)
        return fixed + self.stored_adapter_sets() * self._one_set()

    def stored_images(self) -> int:
        """The chain's exemplars."""
        return len(self.chain.memory.all_positions())

    def outline(self) -> None:
        """Give the head the shape it has after the chain's newest session, with any weights."""
        self.head = self.head_kind(self.backbone.feature_size)
        for session in range(1, self.session + 1):
            outputs = len(self.stream.classes(session)) + 1
            self.head.add_session(linear_head(self.head.feature_size, outputs, 0, self.device))

    def save(self, folder: Path) -> None:
        """Write the head into an existing folder."""
        save_file(self.head.state_dict(), folder / f"head_{self.name}.safetensors")

    def restore(self, folder: Path) -> None:
        """Take up the head saved after the chain's newest session."""
        self.outline()
        self.head.load_state_dict(load_file(folder / f"head_{self.name}.safetensors"))


class DynaMMo(AdapterLearner):
    """All adapter sets averaged into one: one pass, however many sessions.

    Task heads are the default because ACL and the released code have them, so that ACL and DynaMMo
    differ in merging alone. A unified head was as good on validation images.
    """

    name = "dynammo"
    title = "DynaMMo"
    family = "merging"

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


class ACL(AdapterLearner):
    """Adapter-based continual learning (arXiv 2304.09042): every set kept, t passes."""

    name = "acl"
    title = "ACL"
    family = "expansion"

    def adapter_sets(self) -> Sequence[StateDict | None]:
        """Every session's own set."""
        return self.chain.adapter_states


class LastAdapter(AdapterLearner):
    """The control without merging: only the newest adapter set, one pass."""

    name = "last_adapter"
    title = "last adapter"
    family = "merging"

    def adapter_sets(self) -> Sequence[StateDict | None]:
        """The newest set alone."""
        return [self.chain.adapter_states[-1]]


class FrozenFeatures(AdapterLearner):
    """The control without adapters: the same data, recipes and head on the bare backbone."""

    name = "frozen_features"
    title = "frozen features"
    family = "frozen_features"
    trains = "the heads"

    def adapter_sets(self) -> Sequence[StateDict | None]:
        """The bare backbone."""
        return [None]

    def stored_adapter_sets(self) -> int:
        """None are needed."""
        return 0

    def trained_numbers(self) -> int:
        """The heads alone."""
        return count_parameters(self.head)

    def auxiliary_head(self) -> nn.Linear:
        """A head trained as in step 1, on the same images and schedule, on frozen features."""
        chain = self.chain
        session, classes = chain.session, chain.stream.classes(chain.session)
        head = linear_head(
            chain.backbone.feature_size,
            len(classes) + 1,
            seed_for("auxiliary head", *chain.seeds, session),
            chain.device,
        )
        # The memory now holds this session's exemplars too; those are already in its own images.
        old = chain.memory.all_positions()
        labels = chain.stream.train.labels
        old = old[labels[old] < classes[0]]
        positions = np.concatenate([chain.stream.indices("train", session), old])
        targets = session_targets(torch.as_tensor(labels[positions]), classes[0], len(classes))
        tune_auxiliary_head(
            head,
            both_flips([chain.network(None)], self.backbone, self.stream.train.select(positions)),
            targets.numpy(),
            chain.settings,
            generator_for("auxiliary head", *chain.seeds, session),
        )
        return head.requires_grad_(False)
