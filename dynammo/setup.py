"""What every learner is given: settings, a stream, a pretrained backbone and a seed."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from dynammo.backbones import Backbone
from dynammo.data.make_stream import Stream
from dynammo.errors import InputError
from dynammo.settings import Settings


@dataclass
class Study:
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


def choose_device(name: str) -> torch.device:
    """Turn the setting ``device`` into a torch device; "auto" takes a GPU if there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.zeros(1, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"Device '{name}' cannot be used here: try 'cpu' or 'auto'.") from error
