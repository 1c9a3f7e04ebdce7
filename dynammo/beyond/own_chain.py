"""Learners that tune adapter sets of their own: from a fresh beginning, gently, or only once.

All others share one chain, whose sets start each from the one before, as released.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from torch import Tensor, nn

from dynammo.beyond.dynammo_ridge import DynaMMoRidge
from dynammo.beyond.solved_head import SolvesItsHead
from dynammo.chain import Chain
from dynammo.learner import Learner, Setup
from dynammo.memory import ExemplarMemory
from dynammo.merging import StateDict
from dynammo.methods import ACL, AdapterLearner, DynaMMo
from dynammo.settings import Knobs, Positive, Weight
from dynammo.stream import Images


class OwnChain(Learner):
    """A learner on adapters with a chain of its own."""

    kind: type[AdapterLearner]
    changes: Mapping[str, Any] = MappingProxyType({})  # settings of this chain, in any run
    tunes_adapters = True

    class Knobs(Knobs):
        """How sets are tuned, where not as all other adapters are."""

        learning_rate: Weight = 0.0  # 0: `adapter_learning_rate`
        alpha: Weight = 0.0  # 0: `adapter_alpha`

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        given = {
            "adapter_learning_rate": self.knobs.learning_rate,
            "adapter_alpha": self.knobs.alpha,
        }
        knobs = {name: value for name, value in given.items() if value}
        settings = setup.settings.with_changes({**self.changes, **knobs})
        own = Setup(settings, setup.stream, setup.backbone, setup.train_seed)
        self.inner = self.kind(Chain.on(own))
        heads = {k: v for k, v in self.knobs if k in self.kind.Knobs.model_fields}
        self.inner.knobs = self.kind.Knobs(**heads)  # by this method's names, not the inner one's
        self.knows_others = self.inner.knows_others
        self.inner.chain.memory = ExemplarMemory(settings.memory_budget)

    @property
    def memory(self) -> ExemplarMemory:
        """The chain's."""
        return self.inner.chain.memory

    @memory.setter
    def memory(self, memory: ExemplarMemory) -> None:
        self.inner.chain.memory = memory

    def learn_session(self, *, progress: bool = True) -> list[float]:
        """Steps 1 to 4."""
        self.session += 1
        return self.inner.learn_session(progress=progress)

    def network(self) -> nn.Module:
        """As under the chain."""
        return self.inner.network()

    def judge(self, images: Images) -> tuple[Tensor, Tensor | None]:
        """Scores, and the heads' "others"."""
        return self.inner.judge(images)

    def judge_split(self, split: str, positions: np.ndarray) -> tuple[Tensor, Tensor | None]:
        """The same for images of the stream."""
        return self.inner.judge_split(split, positions)

    def trained_numbers(self) -> int:
        """One adapter set, and the heads."""
        return self.inner.trained_numbers()

    def stored_numbers(self) -> int:
        """As on a shared chain; sets that start fresh need not keep the newest for the next."""
        return self.inner.stored_numbers()

    def outline(self, sessions: int) -> None:
        """Sets for all sessions, untuned, and a head of their shape."""
        self.session, chain = sessions, self.inner.chain
        states = tuple(chain.adapters(None).state_dict() for _ in range(sessions))
        chain.go_to(sessions, states, chain.fresh_auxiliary_head(sessions))
        chain.merged_state = states[-1]
        self.inner.outline(sessions)

    def state(self) -> dict[str, Tensor]:
        """Sets, their mean, and the head; a set that is the first one again stands once."""
        chain = self.inner.chain
        first, *others = chain.adapter_states
        later = {f"set{i}": own for i, own in enumerate(others, start=1) if own is not first}
        sets = {"set0": first} | later
        parts = {**sets, "head": self.inner.state()}
        if self.session > 1:  # the mean of one set is that set
            parts["merged"] = chain.merged_state
        return {f"{part}/{k}": v for part, own in parts.items() for k, v in own.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take up what :meth:`state` gave."""
        parts: dict[str, dict[str, Tensor]] = {}
        for name, tensor in state.items():
            part, _, rest = name.partition("/")
            parts.setdefault(part, {})[rest] = tensor
        chain, self.inner.session = self.inner.chain, self.session
        states = tuple(parts.get(f"set{i}", parts["set0"]) for i in range(self.session))
        chain.go_to(self.session, states, chain.auxiliary)
        chain.merged_state = states[0] if self.session == 1 else parts["merged"]
        self.inner.load_state(parts["head"])


class FromFreshSets(OwnChain):
    """A control: each set starts from the same random beginning, so that none descends from one."""

    changes = MappingProxyType({"adapter_start": "fresh"})


class ACLFresh(FromFreshSets):
    """ACL, whose sets know nothing of each other."""

    name = "acl_fresh"
    kind = ACL


class DynaMMoFresh(FromFreshSets):
    """The mean of sets that know nothing of each other."""

    name = "dynammo_fresh"
    kind = DynaMMo


class DynaMMoGentle(OwnChain):
    """DynaMMo with a ridge head, whose adapters are tuned gently from session 2 on.

    Ours, not the paper's. A solved head remembers the features of old images, and follows them as
    adapters move. What adapters learn first serves all classes; what later sessions add is little,
    and the less they move, the less is lost in following (notebooks/BEYOND.md, "Tuned gently").
    """

    name = "dynammo_gentle"
    kind = DynaMMoRidge
    needs_exemplars = False

    class Knobs(OwnChain.Knobs, DynaMMoRidge.Knobs):
        """The rate of step 1 after the first session, and the head's."""

        later_rate: Positive = 0.01
        stiffness: Positive = 10.0

    def learn_session(self, *, progress: bool = True) -> list[float]:
        """Steps 1 to 4; session 1 as all other methods on adapters do."""
        if self.session:
            gentle, chain = {"adapter_learning_rate": self.knobs.later_rate}, self.inner.chain
            chain.settings = chain.settings.with_changes(gentle)
        return super().learn_session(progress=progress)


class OnTheFirstSet(DynaMMoRidge):
    """A solved head on session 1's adapter set, whose features never move after it."""

    follows_drift = False

    def adapter_sets(self) -> Sequence[StateDict]:
        """The first set, after every session."""
        return self.chain.adapter_states[:1]

    def stored_adapter_sets(self) -> int:
        """That one."""
        return 1

    def trained_numbers(self) -> int:
        """The set in session 1; after it all is solved."""
        return self.one_set() if self.session == 1 else 0


class AdaptedOnce(OwnChain):
    """Adapters tuned in the first session alone, then frozen, under a solved head.

    The control for merging: no drift, and no exemplar. First-session adaptation is that of APER
    (arXiv 2303.07338) and RanPAC (arXiv 2307.02251).
    """

    name = "adapted_once"
    kind = OnTheFirstSet
    changes = MappingProxyType({"memory_budget": 0})
    remembers = False

    class Knobs(OwnChain.Knobs, SolvesItsHead.Knobs):
        """How the set is tuned, and how classes weigh."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.inner.chain.recall = self.first_again

    def first_again(self, session: int) -> tuple[StateDict, nn.Linear, list[float]] | None:
        """In place of tuning after session 1, that session's set; the head is not used."""
        chain = self.inner.chain
        if session == 1:
            return None
        return chain.adapter_states[0], chain.fresh_auxiliary_head(session), []
