"""For tests of merging: small adapter sets, two that do not fit them, and what matters in each."""

import torch
from helpers import generator

LEARNED = {"conv.weight": (4, 3, 3, 3), "conv.bias": (4,), "bn1.weight": (4,), "alpha": (1,)}
MEASURED = ("bn1.running_mean", "bn1.running_var")


def random_state(seed: int, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """A small set with everything an adapter's state has."""
    random = generator(seed)
    state = {name: torch.randn(shape, generator=random) for name, shape in LEARNED.items()}
    state |= {name: 0.1 + torch.rand(4, generator=random) for name in MEASURED}
    state = {name: tensor.to(dtype) for name, tensor in state.items()}
    return state | {"bn1.num_batches_tracked": torch.tensor(10 * seed + 3)}


def other_keys() -> dict[str, torch.Tensor]:
    state = random_state(1)
    state["bn9.weight"] = state.pop("alpha")
    return state


def other_shape() -> dict[str, torch.Tensor]:
    return random_state(1) | {"conv.weight": torch.zeros(5, 3, 3, 3)}


def random_importance(seed: int) -> dict[str, torch.Tensor]:
    random = generator(100 + seed)
    return {n: torch.rand(shape, generator=random) ** 4 for n, shape in LEARNED.items()}


STATES = [random_state(seed) for seed in (1, 2, 3)]
INITIAL = random_state(9)
IMPORTANCES = [random_importance(seed) for seed in (1, 2, 3)]
