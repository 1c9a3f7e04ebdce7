"""Step 4 and prediction: DynaMMo, ACL and the control without merging, all on one tuned chain.

They differ in two choices only: which adapter sets an image passes, and which head reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from dynammo import catalogue
from dynammo.chain import Chain, Reader
from dynammo.errors import InputError
from dynammo.heads import TaskHeads, UnifiedHead
from dynammo.learner import Learner, Setup, count_parameters
from dynammo.merging import StateDict
from dynammo.stream import Images
from dynammo.training import fit_head, generator_for, in_batches


class InferenceNetwork(nn.Module):
    """What runs at test time: one pass per adapter set, then the head."""

    def __init__(self, passes: Sequence[nn.Module], head: nn.Module) -> None:
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
    """One way to turn the chain, which does steps 1 to 3, into predictions: which adapters run?

    Of learners that share a chain the first to learn a session has the chain learn it.
    """

    head_kind: type[TaskHeads] | type[UnifiedHead] = TaskHeads
    tunes_adapters = True
    reader: Reader | None = None  # what the head reads, where that is more than the features
    starts_apart = ""  # the `adapter_start` that is another set than those that predict

    def __init__(self, chain: Chain) -> None:
        super().__init__(chain)
        self.chain = chain
        self.head = self.head_kind(chain.backbone.feature_size)

    @property
    def knows_others(self) -> bool:
        """Whether each session has a head, with the output "others"."""
        return self.head_kind is TaskHeads

    def adapter_sets(self) -> Sequence[StateDict | None]:
        """Adapter sets that run at inference, one pass each; None is the bare backbone."""
        raise NotImplementedError

    def stored_adapter_sets(self) -> int:
        """How many adapter sets must be kept to predict and to go on learning."""
        apart = self.session > 1 and self.settings.adapter_start == self.starts_apart
        return len(self.adapter_sets()) + apart

    def network(self) -> InferenceNetwork:
        """The network that predicts after the newest session."""
        passes = [self.chain.network(state, self.reader) for state in self.adapter_sets()]
        return InferenceNetwork(passes, self.head).eval()

    def learn_session(self, *, progress: bool = True) -> list[float]:
        """Step 4, after steps 1 to 3 unless the chain did them; InputError if it is further on."""
        ahead = self.chain.session - self.session
        if ahead not in (0, 1):
            raise InputError(f"The chain is {ahead} sessions ahead: let a learner follow each.")
        losses = [] if ahead else self.chain.learn_session(progress=progress)
        self.session += 1
        self.fit()
        return losses

    def fit(self) -> None:
        """Step 4: grow the head by the newest session, tune it on equally many of each class."""
        chain = self.chain
        fresh = self.session > 1 and self.settings.later_heads == "fresh"
        begin = chain.fresh_auxiliary_head(self.session) if fresh else self.auxiliary_head()
        self.head.add_session(begin)
        if self.session == 1:  # nothing yet to balance it against (as released)
            return
        positions = chain.memory.balanced_positions()
        features = [chain.both_sides(x, positions, self.reader) for x in self.adapter_sets()]
        fit_head(
            list(self.head.parameters()),
            self.head.loss,
            torch.stack(features, dim=2),
            self.stream.train.labels[positions],
            self.settings,
            generator_for("head", *self.seeds, self.session),
        )

    def auxiliary_head(self) -> nn.Linear:
        """Head of the newest session's classes and "others", as step 1 trained it."""
        return self.chain.auxiliary

    def judge(self, images: Images) -> tuple[Tensor, Tensor | None]:
        """Scores [N, K], and the heads' "others" [N, t] where each session has a head."""
        return self.read(in_batches(self.network().features, self.backbone, images))

    def judge_split(self, split: str, positions: np.ndarray) -> tuple[Tensor, Tensor | None]:
        """The same for images of the stream, by their positions in a split."""
        find, sets = self.chain.features, self.adapter_sets()
        passes = [find(state, split, positions, reader=self.reader) for state in sets]
        return self.read(torch.stack(passes, dim=1))

    @torch.no_grad()
    def read(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """Scores and "others" from features [N, P, D]."""
        others = self.head.others(features) if self.knows_others else None
        return self.head(features), others

    def one_set(self) -> int:
        """How many parameters an adapter set has (batch norm's statistics are counted nowhere)."""
        return count_parameters(self.chain.adapters(None))

    def trained_numbers(self) -> int:
        """One adapter set in step 1, all heads in step 4."""
        return self.one_set() + count_parameters(self.head)

    def stored_numbers(self) -> int:
        """The backbone, the heads and the adapter sets that are kept."""
        fixed = count_parameters(self.backbone, self.head)
        return fixed + self.stored_adapter_sets() * self.one_set()

    def stored_images(self) -> int:
        """The chain's exemplars."""
        return len(self.chain.memory.all_positions())

    def outline(self, sessions: int) -> None:
        """Give the head the shape it has after some sessions, with any weights."""
        self.session, self.head = sessions, self.head_kind(self.backbone.feature_size)
        for session in range(1, sessions + 1):
            self.head.add_session(self.chain.fresh_auxiliary_head(session))

    def state(self) -> dict[str, Tensor]:
        """The head."""
        return self.head.state_dict()

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take up the head."""
        self.head.load_state_dict(state)


class DynaMMo(AdapterLearner):
    """All adapter sets averaged into one: one pass, however many sessions.

    It has task heads, as ACL and the released code do, so that the two differ in merging alone.
    """

    name = "dynammo"
    starts_apart = "previous"

    def adapter_sets(self) -> Sequence[StateDict | None]:
        """The running mean alone."""
        return [self.chain.merged_state]


class DynaMMoUnifiedHead(DynaMMo):
    """DynaMMo with one linear layer over all classes, as in the paper's figure 2."""

    name = "dynammo_unified_head"
    head_kind = UnifiedHead


class ACL(AdapterLearner):
    """Adapter-based continual learning (arXiv 2304.09042): every set kept, t passes."""

    name = "acl"

    def adapter_sets(self) -> Sequence[StateDict | None]:
        """Every session's own set."""
        return self.chain.adapter_states


class LastAdapter(AdapterLearner):
    """The control without merging: only the newest adapter set, one pass."""

    name = "last_adapter"
    starts_apart = "merged"

    def adapter_sets(self) -> Sequence[StateDict | None]:
        """The newest set alone."""
        return [self.chain.adapter_states[-1]]


def kind_of(method: str | type[Learner]) -> type[Learner]:
    """A method's class, by name or by itself."""
    return catalogue.load(method) if isinstance(method, str) else method


def make_learner(method: str | type[Learner], setup: Setup) -> Learner:
    """A learner by name or class; one on adapters gets a chain of its own."""
    kind = kind_of(method)
    return kind(Chain.on(setup) if issubclass(kind, AdapterLearner) else setup)


def adapter_methods(methods: Iterable[str | type[Learner]]) -> list[str | type[Learner]]:
    """Those methods among some, names or classes, that are fed by a tuned chain of adapters."""
    return [method for method in methods if issubclass(kind_of(method), AdapterLearner)]


def learners_on(chain: Chain, methods: Iterable[str | type[Learner]]) -> list[AdapterLearner]:
    """Those of some methods that adapters are for, all fed by one chain."""
    return [kind_of(method)(chain) for method in adapter_methods(methods)]
