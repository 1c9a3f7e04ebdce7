"""The tuned chain of adapters: tune once, merge many.

Step 1 (adapter tuning) and step 3 (exemplars) are the same for DynaMMo, ACL and every way of
merging, so they are done once per session and shared by all learners. That makes every comparison
between learners a paired one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dynammo.adapters import AdaptedNetwork, AdapterSet, make_adapters
from dynammo.beyond.several_depths import PooledStages
from dynammo.heads import session_targets
from dynammo.memory import ExemplarMemory
from dynammo.merging import StateDict, running_mean
from dynammo.setup import Study
from dynammo.training import (
    extract_features,
    generator_for,
    linear_head,
    seed_for,
    tune_adapters,
)


class SavedSet(Mapping):
    """An adapter set in its file, read when it is first used: only ACL and the like need old ones.

    So what a session loads does not grow with the sessions before it.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        self.path = path
        self.device = device

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """The state dict."""
        return load_file(self.path, device=str(self.device))

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)


@dataclass
class Chain(Study):
    """Adapter sets theta_1..theta_t of one order and training seed, with their exemplars.

    The fields here are the state after ``session`` sessions; a new chain is at 0.
    """

    session: int = 0
    adapter_states: tuple[StateDict, ...] = ()  # theta_1..theta_t
    merged_state: StateDict | None = None  # W_t, the running mean of adapter_states
    auxiliary: nn.Linear | None = None  # the newest session's head, |C_t| + 1 outputs
    memory: ExemplarMemory | None = None
    _kept: dict = field(default_factory=dict, repr=False, compare=False)  # see `features`

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
        )
        if state is not None:
            adapters.load_state_dict(state)
        return adapters.requires_grad_(False)

    def network(
        self, state: StateDict | None, *, stages: bool = False
    ) -> AdaptedNetwork | PooledStages:
        """Backbone with the adapters ``state``, in evaluation mode; None is the backbone alone.

        With ``stages``, its features have the means of later stages' maps beside them.
        """
        adapters = None if state is None else self.adapters(state)
        network = AdaptedNetwork(self.backbone, adapters).eval()
        return PooledStages(network).eval() if stages else network

    def features(
        self,
        state: StateDict | None,
        split: str,
        positions: np.ndarray,
        *,
        flip: bool = False,
        stages: bool = False,
    ) -> Tensor:
        """Features [N, D] of images of a split, all mirrored with ``flip``, under :meth:`network`.

        Those of the sets that several learners run (none, the merged, the newest) are kept until
        the session ends: one pass for all of them. ACL's older sets are its own, so what is kept
        does not grow with the sessions.
        """
        key = (id(state), split, positions.tobytes(), flip, stages)
        if key in self._kept:
            return self._kept[key][1]
        images = getattr(self.stream, split).select(positions)
        network = self.network(state, stages=stages)
        found = extract_features(network, self.backbone, images, flip=flip)
        if any(state is one for one in (None, self.merged_state, *self.adapter_states[-1:])):
            self._kept[key] = state, found  # with the set, so that no other can get its id
        return found

    def both_sides(
        self, state: StateDict | None, positions: np.ndarray, *, stages: bool = False
    ) -> Tensor:
        """Features [2, N, D] of training images and of their mirror images."""
        how = {"split": "train", "positions": positions, "stages": stages}
        return torch.stack([self.features(state, flip=flip, **how) for flip in (False, True)])

    def training_positions(self, session: int) -> np.ndarray:
        """Positions in the training split that a session may see: its own images, the memory.

        The memory is the one the previous session left, so this is only for the session that
        comes next or has just been tuned before its exemplars were chosen.
        """
        old = self.memory.all_positions() if self.memory else np.zeros(0, dtype=np.int64)
        return np.concatenate([self.stream.indices("train", session), old])

    def start(self) -> StateDict | None:
        """The set that the next session's starts from; None is a fresh one.

        The paper starts from the previous session's. The merged set is where all sessions' sets
        have gone on average; fresh sets are the same for all sessions, up to tuning.
        """
        start = self.settings.adapter_start
        if not self.adapter_states or start == "fresh":
            return None
        return self.merged_state if start == "merged" else self.adapter_states[-1]

    def tune(self, *, progress: bool = True) -> list[float]:
        """Step 1: tune theta_t, from what ``adapter_start`` says, on session t's images and memory.

        Exemplars of old classes are labelled with the extra output "others". Moves the chain on
        by one session (exemplars excepted, see :meth:`choose_exemplars`).

        Returns:
            Mean training loss of each epoch.
        """
        session = self.session + 1
        classes = self.stream.classes(session)
        head = linear_head(
            self.backbone.feature_size,
            len(classes) + 1,
            seed_for("auxiliary head", *self.seeds, session),
            self.device,
        )
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
            progress=progress,
        )
        self.session = session
        self._kept.clear()
        self.adapter_states = (*self.adapter_states, _contiguous(adapters.state_dict()))
        self.auxiliary = head.requires_grad_(False)
        return losses

    def merge(self) -> None:
        """Step 2: W_t, the mean of all adapter sets, kept as a running mean; one is its own."""
        newest = self.adapter_states[-1]
        if self.session == 1:
            self.merged_state = newest
        else:
            self.merged_state = running_mean(self.merged_state, newest, self.session)

    def choose_exemplars(self) -> None:
        """Step 3: herd the session's exemplars on the features of theta_t, shrink the old ones."""
        positions = self.stream.indices("train", self.session)
        features = self.features(self.adapter_states[-1], "train", positions)
        memory = self.memory or ExemplarMemory(self.settings.memory_budget)
        self.memory = memory.with_session(
            self.stream.classes(self.session),
            positions,
            self.stream.train.labels[positions],
            features.cpu().numpy(),
        )

    def save(self, folder: Path) -> None:
        """Write the newest session's share of the state into an existing folder."""
        save_file(self.adapter_states[-1], folder / "adapters.safetensors")
        save_file(self.merged_state, folder / "merged_adapters.safetensors")
        save_file(self.auxiliary.state_dict(), folder / "auxiliary_head.safetensors")
        self.memory.save(folder / "exemplars.npz")

    def restore(self, folders: list[Path]) -> None:
        """Take up the state saved by sessions 1..t, given their folders in that order."""
        device = str(self.device)
        self.session = len(folders)
        self._kept.clear()
        self.adapter_states = tuple(
            SavedSet(folder / "adapters.safetensors", self.device) for folder in folders
        )
        if not folders:
            return
        self.merged_state = load_file(folders[-1] / "merged_adapters.safetensors", device=device)
        auxiliary = load_file(folders[-1] / "auxiliary_head.safetensors", device=device)
        outputs, feature_size = auxiliary["weight"].shape
        self.auxiliary = linear_head(feature_size, outputs, 0, self.device)
        self.auxiliary.load_state_dict(auxiliary)
        self.auxiliary.requires_grad_(False)
        self.memory = ExemplarMemory.load(
            folders[-1] / "exemplars.npz", self.settings.memory_budget
        )


def _contiguous(state: StateDict) -> dict[str, Tensor]:
    # safetensors stores plain layouts only; channels-last weights are copied into that.
    return {name: tensor.detach().clone().contiguous() for name, tensor in state.items()}
