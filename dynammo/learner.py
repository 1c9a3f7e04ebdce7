"""What every way of learning a stream is given, and what it has to do and to say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from dynammo.backbones import Backbone
from dynammo.memory import ExemplarMemory
from dynammo.settings import Knobs, Settings
from dynammo.stream import Images, Stream
from dynammo.training import in_batches


@dataclass(eq=False)
class Setup:
    """The protocol that all methods share, so that only the methods differ."""

    settings: Settings
    stream: Stream
    backbone: Backbone
    train_seed: int

    @property
    def seeds(self) -> tuple[int, int]:
        """Order seed and training seed, which all random numbers derive from."""
        return self.stream.order_seed, self.train_seed

    @property
    def input_size(self) -> int:
        """Side of the images as the network sees them, in pixels."""
        return self.settings.enlarge_to or self.stream.image_size

    @property
    def device(self) -> torch.device:
        """Where everything is computed."""
        return self.backbone.mean.device


class Learner(Setup):
    """One way to learn classes session by session, and to predict after each."""

    name: str  # in files and settings
    Knobs = Knobs  # the settings that are this method's alone

    session = 0  # how many sessions were learned
    memory: ExemplarMemory | None = None  # the exemplars, where there are any
    remembers = True  # keeps exemplars, where there is a memory
    needs_exemplars = True  # and cannot do without
    trains_nothing = False  # and takes seconds: its head is computed from features that stay
    tunes_adapters = False  # so that their settings concern it, and those of whole networks do not
    knows_others = False  # tells, session by session, images that are none of its classes

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup.settings, setup.stream, setup.backbone, setup.train_seed)
        self.knobs = self.settings.knobs(type(self))

    def learn_session(self, *, progress: bool = True) -> list[float]:
        """Learn the next session; return the mean loss of each training epoch, if there are any."""
        raise NotImplementedError

    def network(self) -> nn.Module:
        """What runs at test time: normalised images [N, 3, H, W] to scores [N, K]."""
        raise NotImplementedError

    def trained_numbers(self) -> int:
        """How many parameters the newest session could change."""
        raise NotImplementedError

    def stored_numbers(self) -> int:
        """How many parameters are kept, and statistics that a head is solved from; images apart."""
        raise NotImplementedError

    def stored_images(self) -> int:
        """How many training images are kept after the newest session."""
        return len(self.memory.all_positions()) if self.memory else 0

    def outline(self, sessions: int) -> None:
        """Take the shape that learning some sessions leaves, to be counted or loaded into."""
        raise NotImplementedError

    def state(self) -> dict[str, Tensor]:
        """All that is kept after the newest session, the exemplars' positions apart."""
        raise NotImplementedError

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take up what :meth:`state` gave, in a learner with the :meth:`outline` of that time."""
        raise NotImplementedError

    def judge(self, images: Images) -> tuple[Tensor, Tensor | None]:
        """Scores [N, K] of uint8 images [N, H, W, 3], and "others" [N, t] of task heads or None."""
        return in_batches(self.network().eval(), self.backbone, images), None

    def judge_split(self, split: str, positions: np.ndarray) -> tuple[Tensor, Tensor | None]:
        """The same for images of the stream, by their positions in a split."""
        return self.judge(getattr(self.stream, split).select(positions))


def count_parameters(*modules: nn.Module) -> int:
    """Number of distinct parameters in some modules; a shared backbone counts once."""
    return sum({id(p): p.numel() for m in modules for p in m.parameters()}.values())
