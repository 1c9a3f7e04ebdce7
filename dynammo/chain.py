"""Steps 1 to 3 for every learner on adapters: tune once, merge many.

They are done once per session and shared, which makes every comparison of learners a paired one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynammo.adapters import AdaptedNetwork, Adapter, AdapterSet, make_adapters
from dynammo.heads import session_targets
from dynammo.learner import Setup
from dynammo.memory import Choice, ExemplarMemory, herd
from dynammo.merging import StateDict, running_mean
from dynammo.training import (
    Loss,
    extract_features,
    generator_for,
    linear_head,
    seed_for,
    tune_adapters,
)

# What of a network a head reads, where that is more than its features.
Reader = Callable[[AdaptedNetwork], nn.Module]


@dataclass(frozen=True)
class Steps:
    """What steps 1 to 3 are made of; a class or a function of one's own may stand for each."""

    adapter: Callable[..., nn.Module] = Adapter  # called with channels, hidden, alpha, padding
    loss: Loss = F.cross_entropy  # of the auxiliary head's logits and targets
    mean: Callable[[StateDict, StateDict, int], StateDict] = running_mean
    choose: Choice = herd

    def of_ones_own(self) -> tuple[Callable, ...]:
        """Those that are not DynaMMo's."""
        each = [(getattr(self, part.name), part.default) for part in fields(self)]
        return tuple(own for own, default in each if own is not default)


DYNAMMO = Steps()


@dataclass(eq=False)
class Chain(Setup):
    """Adapter sets theta_1..theta_t of one order and training seed, with their exemplars."""

    steps: Steps = DYNAMMO
    session: int = 0
    adapter_states: tuple[StateDict, ...] = ()  # theta_1..theta_t
    merged_state: StateDict | None = None  # W_t, the running mean of adapter_states
    auxiliary: nn.Linear | None = None  # the newest session's head, |C_t| + 1 outputs
    memory: ExemplarMemory | None = None
    tuned_on: np.ndarray | None = None  # the newest session's training positions in step 1
    # Asked before a session is tuned: its set, auxiliary head and losses, if it was tuned before.
    recall: Callable[[int], tuple[StateDict, nn.Linear, list[float]] | None] = lambda _session: None
    _kept: list = field(default_factory=list, repr=False)  # see `features`

    @classmethod
    def on(cls, setup: Setup, steps: Steps = DYNAMMO) -> Chain:
        """A new chain of a setup."""
        return cls(setup.settings, setup.stream, setup.backbone, setup.train_seed, steps)

    def learn_session(self, *, progress: bool = True) -> list[float]:
        """Steps 1 to 3 for the next session; return the mean loss of each epoch of step 1."""
        losses = self.tune(progress=progress)
        self.merge()
        self.choose_exemplars()
        return losses

    def tune(self, *, progress: bool = True) -> list[float]:
        """Step 1: tune theta_t on session t's images and the memory, labelled "others".

        Moves the chain on by one session (mean and exemplars excepted); returns epochs' losses.
        """
        session = self.session + 1
        if known := self.recall(session):
            state, head, losses = known
            self.go_to(session, (*self.adapter_states, state), head)
            return losses
        classes = self.stream.classes(session)
        head = self.fresh_auxiliary_head(session)
        positions = self.training_positions(session)
        labels = torch.as_tensor(self.stream.train.labels[positions])
        targets = session_targets(labels, classes[0], len(classes)).numpy()
        adapters = self.adapters(self.start())
        losses = tune_adapters(
            AdaptedNetwork(self.backbone, adapters),
            head,
            self.stream.train.select(positions),
            targets,
            self.settings,
            generator_for("tuning", *self.seeds, session),
            loss=self.steps.loss,
            progress=progress,
        )
        state = {k: v.detach().clone().contiguous() for k, v in adapters.state_dict().items()}
        self.go_to(session, (*self.adapter_states, state), head)
        return losses

    def merge(self) -> None:
        """Step 2: W_t, the mean of all adapter sets, kept as a running mean; one is its own."""
        newest = self.adapter_states[-1]
        if self.session == 1:
            self.merged_state = newest
        else:
            self.merged_state = self.steps.mean(self.merged_state, newest, self.session)

    def choose_exemplars(self) -> None:
        """Step 3: herd the session's exemplars on the features of theta_t, then cut all."""
        positions = self.stream.indices("train", self.session)
        features = self.features(self.adapter_states[-1], "train", positions)
        memory = self.memory or ExemplarMemory(self.settings.memory_budget)
        choose = self.steps.choose
        self.memory = memory.after_session(self.stream, self.session, features, choose)

    def start(self) -> StateDict | None:
        """The set that the next session's starts from; None is a fresh one, always the same."""
        start = self.settings.adapter_start
        if not self.adapter_states or start == "fresh":
            return None
        return self.merged_state if start == "merged" else self.adapter_states[-1]

    def fresh_auxiliary_head(self, session: int) -> nn.Linear:
        """A head of a session's classes and "others", before it is trained."""
        outputs, seed = len(self.stream.classes(session)) + 1, ("auxiliary head", *self.seeds)
        return linear_head(
            self.backbone.feature_size, outputs, seed_for(*seed, session), self.device
        )

    def training_positions(self, session: int) -> np.ndarray:
        """Positions in the training split of a session's images and of older exemplars."""
        old = self.memory.all_positions() if self.memory else np.zeros(0, dtype=np.int64)
        old = old[self.stream.train.labels[old] < self.stream.classes(session)[0]]
        return np.concatenate([self.stream.indices("train", session), old])

    def go_to(self, session: int, states: tuple[StateDict, ...], auxiliary: nn.Linear) -> None:
        """Stand after step 1 of a session, with its sets and its auxiliary head."""
        self.session, self.adapter_states = session, states
        self.tuned_on = self.training_positions(session)
        self.auxiliary = auxiliary.requires_grad_(False)
        self._kept.clear()

    def adapters(self, state: StateDict | None) -> AdapterSet:
        """Build an adapter set that holds ``state``; None gives a fresh one."""
        settings = self.settings
        adapters = make_adapters(
            self.backbone,
            settings.adapter_stages or self.backbone.adapter_stages,
            self.input_size,
            seed=seed_for("adapters", *self.seeds),
            width=settings.adapter_width,
            alpha=settings.adapter_alpha,
            padding=settings.adapter_padding,
            kind=self.steps.adapter,
        )
        if state is not None:
            adapters.load_state_dict(state)
        return adapters.requires_grad_(False)

    def network(self, state: StateDict | None, reader: Reader | None = None) -> nn.Module:
        """Backbone with the adapters ``state``, in evaluation mode; None is the backbone alone."""
        adapters = None if state is None else self.adapters(state)
        network = AdaptedNetwork(self.backbone, adapters)
        return (reader(network) if reader else network).eval()

    def features(
        self,
        state: StateDict | None,
        split: str,
        positions: np.ndarray,
        *,
        flip: bool = False,
        reader: Reader | None = None,
    ) -> Tensor:
        """Features [N, D] of images of a split, all mirrored with ``flip``, under :meth:`network`.

        Those of sets that several learners run (none, the merged, the newest) are kept until the
        session ends, one pass for all; ACL's older ones are not, so that this does not grow.
        """
        key = (split, positions.tobytes(), flip, reader)
        for kept_state, kept_key, found in self._kept:
            if kept_state is state and kept_key == key:
                return found
        images = getattr(self.stream, split).select(positions)
        found = extract_features(self.network(state, reader), self.backbone, images, flip=flip)
        if any(state is one for one in (None, self.merged_state, *self.adapter_states[-1:])):
            self._kept.append((state, key, found))
        return found

    def both_sides(
        self, state: StateDict | None, positions: np.ndarray, reader: Reader | None = None
    ) -> Tensor:
        """Features [2, N, D] of training images and of their mirror images."""
        find = partial(self.features, state, "train", positions, reader=reader)
        return torch.stack([find(flip=flip) for flip in (False, True)])
