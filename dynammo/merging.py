"""Merging adapter sets: small algebra over state dicts, knowing nothing of data or networks.

A state dict here is a mapping from names to tensors, as ``module.state_dict()`` gives it. Integer
entries (batch norm's count of batches) are not averaged but taken from the newest set: they only
matter to training with cumulative averages, and a mean of counts has no meaning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from dynammo.errors import InputError

StateDict = Mapping[str, Tensor]


def check_same_layout(states: Sequence[StateDict]) -> None:
    """Raise InputError unless there is at least one set and all have the same names and shapes."""
    if not states:
        raise InputError("Nothing to merge: pass at least one adapter set.")
    first = states[0]
    for i, state in enumerate(states[1:], start=2):
        if missing := sorted(first.keys() ^ state.keys()):
            raise InputError(
                f"Adapter sets 1 and {i} differ in their entries ({', '.join(missing[:3])}): only "
                "sets of the same backbone and stages can be merged."
            )
        for name, tensor in first.items():
            if tensor.shape != state[name].shape:
                raise InputError(
                    f"'{name}' is {tuple(tensor.shape)} in adapter set 1 but "
                    f"{tuple(state[name].shape)} in set {i}: only sets of one width can be merged."
                )


def uniform_mean(states: Sequence[StateDict]) -> dict[str, Tensor]:
    """W = (1/n) sum of the n sets, parameter by parameter (DynaMMo, equation 3).

    Returns new tensors; the sum is taken in double precision, so merging n identical sets gives
    back exactly that set.

    Raises:
        InputError: an empty list, or sets that do not have the same names and shapes.
    """
    check_same_layout(states)
    merged = {}
    for name, newest in states[-1].items():
        if newest.is_floating_point():
            total = sum(state[name].double() for state in states)
            merged[name] = (total / len(states)).to(newest.dtype)
        else:
            merged[name] = newest.clone()
    return merged


def running_mean(mean: StateDict | None, newest: StateDict, count: int) -> dict[str, Tensor]:
    """Mean of ``count`` sets from the mean of the first ``count - 1`` and the newest set.

    The storage-free form of :func:`uniform_mean`: only the mean is kept, so what a learner stores
    does not grow with the number of sessions. Equal to the uniform mean up to rounding.

    Args:
        mean: mean of the first ``count - 1`` sets; None when ``count`` is 1.
        newest: the set to take in.
        count: how many sets the result stands for, 1 or more.

    Raises:
        InputError: a count that does not fit, or sets of different layout.
    """
    if count < 1 or (mean is None) != (count == 1):
        raise InputError(f"A running mean of {count} sets does not fit what was passed as mean.")
    if mean is None:
        return {name: tensor.clone() for name, tensor in newest.items()}
    check_same_layout([mean, newest])
    merged = {}
    for name, new in newest.items():
        if new.is_floating_point():
            old = mean[name].double()
            merged[name] = (old + (new.double() - old) / count).to(new.dtype)
        else:
            merged[name] = new.clone()
    return merged


def without_newest(mean: StateDict, newest: StateDict, count: int) -> dict[str, Tensor]:
    """Mean of the first ``count - 1`` sets, from that of ``count`` and the newest of them.

    The way back from :func:`running_mean`, up to rounding; so the old mean need not be stored.

    Raises:
        InputError: a count under 2, or sets of different layout.
    """
    if count < 2:
        raise InputError(f"A mean of {count} set(s) has no earlier one.")
    check_same_layout([mean, newest])
    earlier = {}
    for name, now in mean.items():
        if now.is_floating_point():
            back = (now.double() - newest[name].double()) / (count - 1)
            earlier[name] = (now.double() + back).to(now.dtype)
        else:
            earlier[name] = now.clone()
    return earlier


def is_learned(name: str, tensor: Tensor) -> bool:
    """Whether an entry is learned by gradient, rather than measured (batch norm) or counted."""
    return tensor.is_floating_point() and "running_" not in name


def relative_distance(state: StateDict, reference: StateDict) -> float:
    """Length of ``state - reference`` over that of ``reference``, over all learned weights.

    Batch norm's running statistics are left out: they are measured, not learned, and their scale
    would hide everything else.
    """
    check_same_layout([state, reference])
    learned = [name for name in state if is_learned(name, state[name])]
    difference = sum((state[n].double() - reference[n].double()).square().sum() for n in learned)
    length = sum(reference[n].double().square().sum() for n in learned)
    return float((difference / length).sqrt())
