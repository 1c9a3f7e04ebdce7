"""Looking inside a merge: how alike adapter sets are, and what lies between them."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Collection, Sequence

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from dynammo.beyond.ways_of_merging import is_learned
from dynammo.catalogue import title
from dynammo.chain import Chain
from dynammo.errors import InputError
from dynammo.heads import UnifiedHead
from dynammo.measure import metrics
from dynammo.merging import StateDict, check_same_layout, entry_by_entry
from dynammo.methods import AdapterLearner
from dynammo.training import fit_head, generator_for, progress_bar


def blend(states: Sequence[StateDict], shares: Sequence[float]) -> dict[str, Tensor]:
    """Weighted sum of adapter sets; shares that add up to 1 give a point between them.

    Raises:
        InputError: another number of shares than sets, or shares that do not add up to 1.
    """
    if len(shares) != len(states) or abs(sum(shares) - 1) > 1e-6:
        raise InputError(f"{len(states)} sets need as many shares that add up to 1, not {shares}.")
    return entry_by_entry(
        states, lambda *sets: sum(w * one for w, one in zip(shares, sets, strict=True))
    )


def unified_head(learners: Sequence[AdapterLearner]) -> UnifiedHead:
    """The unified head among some learners' heads; InputError if none has one."""
    for learner in learners:
        if isinstance(learner.head, UnifiedHead):
            return learner.head
    raise InputError("There is no head over all classes: run 'dynammo_unified_head' too.")


def judge_set(
    chain: Chain,
    head: UnifiedHead,
    state: StateDict | None,
    split: str = "test",
    answers: list[np.ndarray] | None = None,
) -> dict[str, float]:
    """Accuracy and loss with an adapter set in place, after the head was tuned for it.

    The head is tuned on balanced images as in step 4 of DynaMMo, on a copy: without that it
    would be measured how well the head fits one of the sets, not what the features are worth.

    Args:
        answers: a list to which the predicted classes of all images of classes seen are added.

    Returns:
        ``accuracy`` and ``loss`` (mean cross-entropy) over all classes seen, and ``session 1``,
        ``session 2``, ...: accuracy on each session's classes.
    """
    stream = chain.stream
    head = copy.deepcopy(head)
    positions = chain.memory.balanced_positions()
    fit_head(
        list(head.parameters()),
        head.loss,
        chain.both_sides(state, positions)[:, :, None],
        stream.train.labels[positions],
        chain.settings,
        generator_for("head", *chain.seeds, chain.session),
    )
    data = getattr(stream, split)
    seen = stream.indices(split, range(1, chain.session + 1))
    labels = data.labels[seen]
    with torch.no_grad():
        scores = head(chain.features(state, split, seen))
        loss = F.cross_entropy(scores, torch.as_tensor(labels, device=scores.device)).item()
    predicted = scores.argmax(dim=1).cpu().numpy()
    if answers is not None:
        answers.append(predicted)
    row = metrics.accuracy_row(labels, predicted, stream.session_of_class, chain.session)
    by_session = {f"session {j}": float(value) for j, value in enumerate(row, start=1)}
    return {"accuracy": metrics.accuracy(labels, predicted), "loss": loss, **by_session}


def judge_blends(
    chain: Chain,
    head: UnifiedHead,
    sets: Sequence[StateDict],
    points: Collection[Sequence[float]],
    progress: str = "points between sets",
    mix: Callable[[Sequence[StateDict], Sequence[float]], StateDict] = blend,
    answers: list[np.ndarray] | None = None,
) -> pd.DataFrame:
    """:func:`judge_set` at several blends of some sets: ``share 1``, ``share 2``, ... and results.

    Points on a line are ``[(1 - w, w) for w in ...]``; :func:`triangle` gives those of a triangle.
    ``mix`` makes a set of the sets and their shares: :func:`blend`, or a function of one's own.
    ``progress`` names the bar; what is predicted at each point is added to ``answers``.
    """
    rows = []
    for shares in progress_bar(points, progress):
        named = {f"share {i}": share for i, share in enumerate(shares, start=1)}
        rows.append(named | judge_set(chain, head, mix(sets, shares), answers=answers))
    return pd.DataFrame(rows)


def triangle(steps: int) -> list[tuple[float, float, float]]:
    """Evenly spaced shares of three sets, ``steps`` along each side."""
    return [
        (i / steps, j / steps, (steps - i - j) / steps)
        for i in range(steps + 1)
        for j in range(steps + 1 - i)
    ]


def change_cosines(states: Sequence[StateDict], initial: StateDict) -> pd.DataFrame:
    """Cosine between the changes of any two sessions, entry by entry.

    A session's change is its set minus the set it started from, the previous session's. Changes of
    independent directions have a cosine near 0 in many dimensions.

    Returns:
        A row per ``entry`` of the state dict and pair of sessions ``one`` < ``other``: ``cosine``,
        and ``size``, the entry's count of numbers.
    """
    check_same_layout([*states, initial])
    starts = [initial, *states[:-1]]
    rows = []
    for name, first in initial.items():
        if not is_learned(name, first) or first.numel() < 2:
            continue
        changes = [
            (state[name].double() - start[name].double()).ravel()
            for state, start in zip(states, starts, strict=True)
        ]
        for (i, one), (j, other) in itertools.combinations(enumerate(changes, start=1), 2):
            cosine = F.cosine_similarity(one, other, dim=0).item()
            pair = {"one": i, "other": j, "cosine": cosine}
            rows.append({"entry": name, "size": first.numel(), **pair})
    return pd.DataFrame(rows)


@torch.no_grad()
def others_scores(learner: AdapterLearner) -> pd.DataFrame:
    """Each head's "others" probability of each test image of the classes seen.

    Returns:
        A row per image and head: ``true_session`` of the image, ``head`` (its session), ``others``,
        and whether the head is the one that says "others" least (``chosen``).
    """
    stream, data = learner.stream, learner.stream.test
    seen = stream.indices("test", range(1, learner.session + 1))
    _, others = learner.judge(data.select(seen))
    if others is None:
        raise InputError(f"{title(learner.name)} has a single head, which has no output 'others'.")
    truth = stream.session_of_class[data.labels[seen]]
    count, heads = others.shape
    return pd.DataFrame(
        {
            "true_session": np.repeat(truth, heads),
            "head": np.tile(np.arange(1, heads + 1), count),
            "others": others.cpu().numpy().ravel(),
            "chosen": (others == others.amin(dim=1, keepdim=True)).cpu().numpy().ravel(),
        }
    )


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
