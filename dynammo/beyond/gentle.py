"""Adapters that move little after the first session, or not at all, under a solved head."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

from torch import nn

from dynammo.beyond.dynammo_ridge import DynaMMoRidge
from dynammo.beyond.own_chain import OwnChain
from dynammo.beyond.solved_head import SolvesItsHead
from dynammo.learner import Setup
from dynammo.merging import StateDict
from dynammo.settings import Positive


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
