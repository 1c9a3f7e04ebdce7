"""Step 2, merging: small algebra over state dicts, knowing nothing of data or networks.

Integer entries (batch norm's count of batches) are not averaged but taken from the newest set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from dynammo.errors import InputError

StateDict = Mapping[str, Tensor]


def uniform_mean(states: Sequence[StateDict]) -> dict[str, Tensor]:
    """W = (1/n) sum of the n sets, parameter by parameter (DynaMMo, equation 3)."""
    return entry_by_entry(states, lambda *sets: sum(sets) / len(sets))


def running_mean(mean: StateDict | None, newest: StateDict, count: int) -> dict[str, Tensor]:
    """Mean of ``count`` sets from the mean of the first ``count - 1`` and the newest set.

    Only the mean is kept, so what a learner stores does not grow with the number of sessions. It
    is None when ``count`` is 1. InputError for a count that does not fit.
    """
    if count < 1 or (mean is None) != (count == 1):
        raise InputError(f"A running mean of {count} sets does not fit what was passed as mean.")
    if mean is None:
        return {name: tensor.clone() for name, tensor in newest.items()}
    return entry_by_entry([mean, newest], lambda old, new: old + (new - old) / count)


def entry_by_entry(states: Sequence[StateDict], mix: Callable[..., Tensor]) -> dict[str, Tensor]:
    """A new set from several: ``mix`` gets an entry of each, in double precision."""
    check_same_layout(states)
    mixed = {}
    for name, newest in states[-1].items():
        if newest.is_floating_point():
            mixed[name] = mix(*(state[name].double() for state in states)).to(newest.dtype)
        else:
            mixed[name] = newest.clone()
    return mixed


def check_same_layout(states: Sequence[StateDict], called: Sequence[object] = ()) -> None:
    """Raise InputError unless there is at least one set and all have the same names and shapes.

    ``called`` is what the message calls the sets; without it they are numbered.
    """
    if not states:
        raise InputError("Nothing to merge: pass at least one adapter set.")
    called = called or [f"adapter set {i + 1}" for i in range(len(states))]
    first, one = states[0], called[0]
    for state, other in zip(states, called, strict=True):
        if missing := sorted(first.keys() ^ state.keys()):
            raise InputError(
                f"{one} and {other} differ in their entries ({', '.join(missing[:3])}): "
                f"'{missing[0]}' is in {one if missing[0] in first else other} alone; only sets of "
                "the same backbone and stages can be merged."
            )
        for name, tensor in first.items():
            if tensor.shape != state[name].shape:
                raise InputError(
                    f"'{name}' is {tuple(tensor.shape)} in {one} but {tuple(state[name].shape)} in "
                    f"{other}: only sets of one width can be merged."
                )
