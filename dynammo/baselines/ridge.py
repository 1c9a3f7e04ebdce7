"""Ridge regression from sums over images, and the choice of its penalty on held-out images."""

import torch
from torch import Tensor

from dynammo.learner import Setup
from dynammo.training import generator_for

PENALTIES = tuple(10.0**power for power in range(-8, 9))


def ridge_weights(gram: Tensor, correlation: Tensor, penalty: float | Tensor) -> Tensor:
    """W = (G + penalty I)^-1 C, [M, K], in double, from G [M, M] and C [M, K]."""
    matrix = gram.double() + penalty * torch.eye(len(gram), dtype=torch.double, device=gram.device)
    return torch.linalg.solve(matrix, correlation.double())


def held_out(count: int, setup: Setup, session: int) -> tuple[Tensor, Tensor]:
    """Positions of a random fifth of a session's images, and of the others."""
    generator = generator_for("held out", *setup.seeds, session)
    order = torch.randperm(count, generator=generator).to(setup.device)
    return order.split([count // 5, count - count // 5])


def best_penalty(gram: Tensor, correlation: Tensor, hidden: Tensor, targets: Tensor) -> float:
    """The penalty of PENALTIES with the least squared error on held-out images.

    From G [M, M] and C [M, K] of the other images, and features [N, M] and targets [N, K] of these.

    Each is solved for anew by Cholesky's decomposition. One eigendecomposition would serve all of
    them, but does not always converge with fewer images than features: most eigenvalues are 0.
    """
    gram, correlation, hidden = gram.double(), correlation.double(), hidden.double()
    eye = torch.eye(len(gram), dtype=torch.double, device=gram.device)
    errors = []
    for penalty in PENALTIES:
        factor, failed = torch.linalg.cholesky_ex(gram + penalty * eye)
        missed = hidden @ torch.cholesky_solve(correlation, factor) - targets
        # A penalty too small to make up for rounding in the sums fails; a larger one follows.
        errors.append(float("inf") if failed else missed.square().mean().item())
    return PENALTIES[errors.index(min(errors))]
