"""Learners that tune a chain of their own, where all others share one; among them fresh sets.

As released, a set starts from the one before, so that no two sets are independent.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from torch import Tensor, nn

from dynammo.chain import Chain
from dynammo.learner import Learner, Setup
from dynammo.memory import ExemplarMemory
from dynammo.methods import ACL, AdapterLearner, DynaMMo
from dynammo.settings import Knobs, Weight
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
