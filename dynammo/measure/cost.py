"""What a learner costs: multiply-accumulates, parameters, images. Counted, not estimated.

MACs are multiply-accumulates of one image; FLOPs = 2 x MACs. ptflops counts them with its "aten"
backend (named because its default backend counts other things); torch's own counter checks it.
ptflops adds the biases, so it is a little higher.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dynammo.backbones import Backbone, make_backbone
from dynammo.errors import InputError
from dynammo.learner import Learner, Setup, count_parameters
from dynammo.methods import AdapterLearner, make_learner
from dynammo.settings import Settings
from dynammo.stream import Split, Stream

PTFLOPS_BACKEND = "aten"


@dataclass(frozen=True)
class Macs:
    """Multiply-accumulates of one image, counted twice."""

    ptflops: int
    torch: int


class _Unregistered(nn.Module):
    """Hides a network's submodules from ptflops, which would leave its hooks on them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._network = (network,)

    def forward(self, x: Tensor) -> Tensor:
        return self._network[0](x)


@contextmanager
def _torchvision_hidden() -> Iterator[None]:
    # ptflops imports torchvision if it can, but only expects an ImportError. Next to a CPU build
    # of torch, torchvision's import fails with a RuntimeError instead.
    saved: ModuleType | None = sys.modules.get("torchvision")
    sys.modules["torchvision"] = None
    try:
        yield
    finally:
        if saved is None:
            del sys.modules["torchvision"]
        else:
            sys.modules["torchvision"] = saved


def count_macs(network: nn.Module, image_size: int) -> Macs:
    """Count the MACs of one normalised image [1, 3, image_size, image_size].

    The network may be on the meta device, where nothing is computed.

    Raises:
        InputError: the two counters differ by more than 5 %, so neither can be trusted.
    """
    with _torchvision_hidden():
        import ptflops
    device = next(network.parameters()).device
    x = torch.zeros(1, 3, image_size, image_size, device=device)
    network.eval()
    with torch.no_grad():
        macs, _ = ptflops.get_model_complexity_info(
            _Unregistered(network),
            (3, image_size, image_size),
            backend=PTFLOPS_BACKEND,
            as_strings=False,
            print_per_layer_stat=False,
            input_constructor=lambda _: {"x": x},
        )
        counter = FlopCounterMode(display=False)
        with counter:
            network(x)
    checked = counter.get_total_flops() // 2
    if macs is None or abs(macs - checked) > 0.05 * checked:
        raise InputError(f"ptflops counts {macs} MACs, torch {checked}: the counts cannot be used.")
    return Macs(int(macs), int(checked))


def _empty_backbone(settings: Settings, device: str) -> Backbone:
    with torch.device(device):
        return make_backbone(settings.backbone, "random")


def outline_learner(
    method: str,
    settings: Settings,
    classes_per_session: Sequence[int],
    image_size: int,
    device: str = "meta",
    backbone: Backbone | None = None,
) -> Learner:
    """A learner with the shape that some learned sessions leave but nothing learned.

    Enough to count and time what it would run, for any number of sessions; on the meta device it
    takes no memory and no time.

    Args:
        classes_per_session: how many classes each session brought; its length is T.
        backbone: that of the settings, on the device, if it is there already.
    """
    backbone = backbone or _empty_backbone(settings, device)
    empty = Split(np.zeros((1, image_size, image_size, 3), np.uint8), np.zeros(1, np.int64))
    ends = np.cumsum([0, *classes_per_session])
    stream = Stream(
        name="outline",
        train=empty,
        val=empty,
        test=empty,
        class_names=tuple(f"class {i}" for i in range(ends[-1])),
        sessions=tuple(tuple(range(a, b)) for a, b in itertools.pairwise(ends)),
        original_labels=tuple(range(ends[-1])),
        order_seed=0,
        synthetic=True,
        checksum="",
    )
    sessions = len(classes_per_session)
    learner = make_learner(method, Setup(settings, stream, backbone, train_seed=0))
    if isinstance(learner, AdapterLearner):
        chain = learner.chain
        chain.merged_state = chain.adapters(None).state_dict()
        chain.session, chain.adapter_states = sessions, (chain.merged_state,) * sessions
    learner.outline(sessions)
    return learner


def count_cost(learner: Learner) -> dict[str, int]:
    """What a learner costs after its newest session: counts for a row of a table."""
    network = learner.network()
    macs = count_macs(network, learner.input_size)
    return {
        "macs": macs.ptflops,
        "macs_torch_counter": macs.torch,
        "parameters_used": count_parameters(network),
        "parameters_stored": learner.stored_numbers(),
        "parameters_trained": learner.trained_numbers(),
    }


def exemplar_bytes(learner: Learner) -> int:
    """Bytes of the training images that a learner keeps, uncompressed."""
    return learner.stored_images() * 3 * learner.stream.image_size**2


def cost_growth(
    settings: Settings,
    methods: Sequence[str],
    sessions: Sequence[int],
    image_size: int,
    classes_per_session: int = 2,
) -> list[dict[str, int | str]]:
    """MACs, parameters and memory of learners after each number of sessions, one row each.

    ``memory_bytes`` is what is kept between sessions: numbers of 4 bytes, and a full memory of
    uncompressed images where the method has one. Counted on the learners' own networks, built on
    the meta device.
    """
    rows = []
    backbone = _empty_backbone(settings, "meta")
    for count, method in itertools.product(sessions, methods):
        brought = [classes_per_session] * count
        learner = outline_learner(method, settings, brought, image_size, backbone=backbone)
        images = settings.memory_budget if learner.remembers else 0
        row = {"sessions": count, "method": method} | count_cost(learner)
        row["memory_bytes"] = 4 * row["parameters_stored"] + images * 3 * image_size**2
        rows.append(row)
    return rows


def paper_cost_growth() -> list[dict[str, int | str]]:
    """Cost over 1 to 10 sessions in the paper's setting: ResNet-18, 224 px, adapters as released.

    Independent of any run: nothing is trained for it.
    """
    settings = Settings(backbone="resnet18", adapter_padding="valid")
    methods = ("frozen_features", "ranpac", "replay", "ewc", "der", "acl", "dynammo")
    return cost_growth(settings, methods, (1, 2, 5, 10), image_size=224)
