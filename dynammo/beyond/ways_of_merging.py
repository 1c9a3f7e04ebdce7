"""Ways to merge adapter sets other than the mean: each a pure function over state dicts.

From sets theta_1..theta_t, in the order in which they were tuned, to a new one. What a strategy
weighs, trims or selects are the *learned* entries (weights, biases, alphas). *Measured* ones, batch
norm's statistics, are averaged by all of them: see :mod:`dynammo.beyond.batch_norm`. *Changes* are
theta_i - theta_0 from the initial set ("task vectors" in Ilharco et al. 2023, arXiv 2212.04089).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dynammo.errors import InputError
from dynammo.merging import StateDict, check_same_layout, uniform_mean

Sets = Sequence[StateDict]
# A way of merging in one line: from changes [t, N], a set's learned numbers in each row, to [N].
Rule = Callable[[Tensor], Tensor]


def merge_changes(states: Sets, initial: StateDict, rule: Rule) -> StateDict:
    """theta_0 + rule(changes), for all learned numbers at once: any rule of one's own.

    ``rule`` gets changes [t, N] in double precision and returns the merged change [N]. InputError
    if it returns another shape, or numbers that are not finite.
    """
    check_same_layout([*states, initial])
    merged, start = uniform_mean(states), flat(initial)
    change = rule(torch.stack([flat(state) - start for state in states]))
    tensor = isinstance(change, Tensor)
    if not tensor or change.shape != start.shape or not change.isfinite().all():
        returned = list(change.shape) if tensor else f"a {type(change).__name__}"
        raise InputError(
            f"A way of merging gets changes [{len(states)}, {len(start)}] and returns one finite "
            f"change for each number, a tensor [{len(start)}]; this one returned {returned}"
            f"{', not all finite' if returned == list(start.shape) else ''}."
        )
    names = learned_names(initial)
    parts = (start + change).split([initial[name].numel() for name in names])
    for name, part in zip(names, parts, strict=True):
        merged[name] = part.reshape(initial[name].shape).to(initial[name].dtype)
    return merged


def flat(state: StateDict) -> Tensor:
    """All learned numbers of a set in one row [N], in double precision, by names in order."""
    return torch.cat([state[name].double().ravel() for name in learned_names(state)])


def learned_names(state: StateDict) -> list[str]:
    """Names of the learned entries, in alphabetical order."""
    return sorted(name for name, tensor in state.items() if is_learned(name, tensor))


def exponential_moving_average(states: Sets, decay: float) -> StateDict:
    """E_1 = theta_1, E_t = decay E_{t-1} + (1 - decay) theta_t: recent sets weigh more.

    decay 0 keeps the last set alone. One set is stored, whatever t is.
    """
    if not 0 <= decay < 1:
        raise InputError(f"A moving average's decay is {decay}: it must be 0 or more, below 1.")

    def average(_initial: Tensor, sets: Tensor) -> Tensor:
        mean = sets[0]
        for newest in sets[1:]:
            mean = decay * mean + (1 - decay) * newest
        return mean

    return _merge(states, states[0] if states else {}, average)


def task_arithmetic(states: Sets, initial: StateDict, scale: float) -> StateDict:
    """theta_0 + scale * sum of the changes (Ilharco et al. 2023, arXiv 2212.04089, equation 1).

    scale 1/t is the uniform mean, scale 0 the initial set. A running sum is enough to store.
    """
    return merge_changes(states, initial, lambda changes: scale * changes.sum(0))


def magmax(states: Sets, initial: StateDict, scale: float) -> StateDict:
    """theta_0 + scale * the change of greatest magnitude, number by number.

    Source: Marczak et al. 2024 (arXiv 2407.06322), for sets tuned one from the other, as here. The
    greatest so far is enough to store.
    """

    def greatest(changes: Tensor) -> Tensor:
        return scale * changes.gather(0, changes.abs().argmax(0, keepdim=True))[0]

    return merge_changes(states, initial, greatest)


def ties(states: Sets, initial: StateDict, density: float, scale: float) -> StateDict:
    """Trim the changes, elect a sign for each number, average the changes of that sign.

    Source: Yadav et al. 2023 (arXiv 2306.01708), algorithm 1: of each set's changes the share
    ``density`` of greatest magnitude is kept; the sign is that of their sum; numbers of that sign
    are averaged. Needs all sets.
    """
    if not 0 < density <= 1:
        raise InputError(f"TIES' density is {density}: it must be above 0, at most 1.")

    def elect(changes: Tensor) -> Tensor:
        sizes, kept = changes.abs(), max(1, int(density * changes.shape[1]))
        changes = changes * (sizes >= sizes.topk(kept).values[:, -1:])
        agree = (changes != 0) & (changes.sign() == changes.sum(0).sign())
        return scale * (changes * agree).sum(0) / agree.sum(0).clamp(min=1)

    return merge_changes(states, initial, elect)


def dare(states: Sets, initial: StateDict, drop_rate: float, seed: int) -> StateDict:
    """Drop changes of weights at random, enlarge the others to make up, average.

    Source: Yu et al. 2024 (arXiv 2311.03099), equation 1. Changes are dropped with probability
    ``drop_rate``, else divided by 1 - drop_rate. Vectors are few numbers: averaged as they are.
    """
    if not 0 <= drop_rate < 1:
        raise InputError(f"DARE's drop rate is {drop_rate}: it must be 0 or more, below 1.")
    if seed != int(seed):
        raise InputError(f"DARE's seed is {seed}: it must be a whole number.")
    generator = torch.Generator().manual_seed(int(seed))

    def drop(start: Tensor, sets: Tensor) -> Tensor:
        if start.ndim < 2:
            return sets.mean(0)
        kept = torch.rand(sets.shape, generator=generator) >= drop_rate
        return start + ((sets - start) * kept.to(sets) / (1 - drop_rate)).mean(0)

    return _merge(states, initial, drop)


def fisher_weighted(states: Sets, importances: Sets, floor: float) -> StateDict:
    """Weigh each number of each set by its Fisher information on that set's session.

    Source: Matena and Raffel 2022 (arXiv 2111.09832), equation 3. ``importances`` has for each set
    the diagonal of its Fisher information, under the names of the learned entries. Each is divided
    by its mean, so that a large loss does not outweigh others; ``floor`` is added, so numbers that
    matter to no session are averaged. Running sums of F theta and of F are enough to store.
    """
    if len(importances) != len(states):
        raise InputError(f"{len(states)} sets need as many importances, not {len(importances)}.")
    if not 0 < floor < torch.inf:
        raise InputError(f"Fisher's floor is {floor}: it must be a number above 0.")
    if any((value < 0).any() for importance in importances for value in importance.values()):
        raise InputError("Importances are squares of gradients: none may be below 0.")
    merged = uniform_mean(states)
    shapes = {name: value.shape for name, value in merged.items() if is_learned(name, value)}
    if any({n: v.shape for n, v in importance.items()} != shapes for importance in importances):
        raise InputError("Importances must have the names and shapes of the sets' learned entries.")
    rows = [torch.cat([value.double().ravel() for value in i.values()]) for i in importances]
    means = [numbers.mean().clamp(min=1e-30) for numbers in rows]
    for name in shapes:
        shares = [i[name].double() / m for i, m in zip(importances, means, strict=True)]
        weights = torch.stack(shares) + floor
        sets = torch.stack([state[name].double() for state in states])
        merged[name] = ((weights * sets).sum(0) / weights.sum(0)).to(merged[name].dtype)
    return merged


def _merge(states: Sets, initial: StateDict, mix: Callable[[Tensor, Tensor], Tensor]) -> StateDict:
    """The uniform mean, but learned entries by ``mix`` in double: from initial, sets' [t, ...]."""
    check_same_layout([*states, initial])
    merged = uniform_mean(states)
    for name in learned_names(initial):  # in one order, for what draws at random
        sets = torch.stack([state[name].double() for state in states])
        merged[name] = mix(initial[name].double(), sets).to(initial[name].dtype)
    return merged


def is_learned(name: str, tensor: Tensor) -> bool:
    """Whether an entry is learned by gradient, rather than measured (batch norm) or counted."""
    return tensor.is_floating_point() and "running_" not in name
