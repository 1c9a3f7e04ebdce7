"""What every way of learning a stream has in common, from DynaMMo to plain fine-tuning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from dynammo.selection import Images
from dynammo.setup import Study
from dynammo.training import in_batches

# Families of the paper's introduction, in the order figures show them, with the bounds first.
FAMILIES = {
    "bounds": "bounds",
    "replay": "memory replay",
    "distillation": "knowledge distillation",
    "regularization": "regularization",
    "expansion": "network expansion",
    "frozen_features": "frozen features",
    "merging": "one adapter set",
}


class Learner:
    """One way to learn classes session by session, and to predict after each.

    Subclasses are short: they say what is trained, with which loss, and what is kept. All of them
    start from the same pretrained backbone and see the same stream.
    """

    name: str  # in files and settings
    title: str  # in figures
    family: str  # one of FAMILIES
    trains: str  # what changes when a session is learned, in words

    session: int  # how many sessions were learned
    remembers = True  # keeps exemplars
    knows_others = False  # tells, session by session, images that are none of its classes

    def __init__(self, study: Study) -> None:
        self.settings = study.settings
        self.stream = study.stream
        self.backbone = study.backbone
        self.train_seed = study.train_seed
        self.seeds = study.seeds
        self.input_size = study.input_size
        self.device = study.device

    def learn_session(self, *, progress: bool = True) -> list[float]:
        """Learn the next session; return the mean loss of each training epoch, if there are any."""
        raise NotImplementedError

    def network(self) -> nn.Module:
        """What runs at test time, on normalised images [N, 3, H, W].

        Gives scores [N, K] of the K classes seen, whose maximum is the prediction. Everything that
        one prediction needs is among its parameters, so that they can be counted.
        """
        raise NotImplementedError

    def trained_numbers(self) -> int:
        """How many parameters the newest session could change."""
        raise NotImplementedError

    def stored_numbers(self) -> int:
        """How many numbers are kept between sessions, to predict and to go on; images apart."""
        raise NotImplementedError

    def stored_images(self) -> int:
        """How many training images are kept after the newest session."""
        raise NotImplementedError

    def outline(self) -> None:
        """Take the shape that learning ``session`` sessions leaves, with nothing learned.

        Enough to count what the learner costs, and to load weights into.
        """
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        """Write the state after the newest session into an existing folder."""
        raise NotImplementedError

    def restore(self, folder: Path) -> None:
        """Take up the state that :meth:`save` wrote."""
        raise NotImplementedError

    @torch.no_grad()
    def judge(self, images: Images) -> tuple[Tensor, Tensor | None]:
        """Scores [N, K] of uint8 images [N, H, W, 3], and "others" [N, t] of task heads or None."""
        return in_batches(self.network().eval(), self.backbone, images), None

    def judge_split(self, split: str, positions: np.ndarray) -> tuple[Tensor, Tensor | None]:
        """The same for images of the stream, by their positions in a split."""
        return self.judge(getattr(self.stream, split).select(positions))


def count_parameters(*modules: nn.Module) -> int:
    """Number of distinct parameters in some modules; a shared backbone counts once."""
    return sum({id(p): p.numel() for m in modules for p in m.parameters()}.values())
