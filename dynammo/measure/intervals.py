"""How sure the difference of two methods is: an interval over runs and over test images at once.

A run is a class order with a training seed. Two methods are compared on the runs that both have and
on the same images. Another order, or other images of the same classes, would give another
difference; runs and images are crossed, as readers and cases are in studies of radiologists, and
the variance is estimated as there (Obuchowski and Rockette 1995; Hillis 2007 for the degrees of
freedom):

    variance = s² / R + c

s² is the variance of the difference over R class orders, and holds what orders, seeds and a run's
own luck with images do; c is what any two orders share, because all are tested on the same images.
Few orders may lie close by luck, closer than seeds within an order let their means be: s² is no
less than that.
Drawing runs and images again by chance (a bootstrap) is not taken: simulated with 3 to 10 orders,
its 95 % bounds were right in 85 to 99.8 % of cases and these in 93 to 96. It knows nothing of how
little three orders tell, and counts the images' chance up to three times.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import permutations

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from dynammo.measure.predictions import Predictions

MEASURES = ("average", "last")
RUN = ["order_seed", "train_seed"]
COLUMNS = ["method", "other", "measure", "runs", "orders", "covers", "mean", "low", "high"]
LEVEL = 0.95  # of each bound by itself

# Of one method, by order and training seed: [2, 1 + N], for average and last accuracy. First is the
# accuracy, then how much more or less each image brings than its class's mean.
Runs = dict[tuple[int, int], np.ndarray]


def right_or_wrong(answers: Predictions) -> np.ndarray:
    """Whether each image of a split was right: 1, 0, or NaN where its class is still to come.

    An image's place in the split says which image it is, whatever the class order: orders give
    images other labels, and leave them where they are in the files.

    Returns:
        float32 [N of the whole split].
    """
    right = np.full(len(answers.labels), np.nan, np.float32)
    right[answers.seen] = answers.predicted == answers.labels[answers.seen]
    return right


def intervals(
    right: Mapping[tuple[str, int, int], Sequence[np.ndarray]], classes: np.ndarray
) -> pd.DataFrame:
    """Differences of any two methods of a stream, with bounds over runs and test images.

    Args:
        right: by method, order seed and training seed, :func:`right_or_wrong` after each session,
            [T, N].
        classes: int [N], the class of each image under any one order.

    Returns:
        A row per ``method``, ``other`` and ``measure`` (average accuracy over sessions, last
        accuracy): ``runs`` that both have, different class ``orders`` among them, what the bounds
        cover, ``mean`` difference over orders, and the lower and the upper bound ``low`` and
        ``high``, each of which is right in 95 % of cases by itself. In points.
    """
    found: dict[str, Runs] = {}
    orders: dict[tuple, Hashable] = {}
    for (method, *run), rows in right.items():
        answers = np.stack(rows)
        seen = ~np.isnan(answers)
        shares = np.nan_to_num(answers) / seen.sum(axis=1, keepdims=True)
        shares = np.stack([shares.mean(axis=0), shares[-1]])
        parts = [shares.sum(axis=1, keepdims=True), _less_class_means(shares, classes)]
        found.setdefault(method, {})[*run] = np.hstack(parts)
        # Orders that bring the same images in the same sessions only number the classes.
        orders[*run] = seen.tobytes()
    return _table(found, orders)


def over_runs(sessions: pd.DataFrame, of: str = "accuracy") -> pd.DataFrame:
    """The same from a column of ``sessions.csv`` alone: bounds that cover runs, not images."""
    wide = sessions.pivot_table(of, ["method", *RUN], "session")
    found: dict[str, Runs] = {}
    for (method, *run), row in zip(wide.index, wide.to_numpy(), strict=True):
        found.setdefault(method, {})[*run] = np.array([[row.mean()], [row[-1]]])
    return _table(found, {run: run[0] for runs in found.values() for run in runs})


def bounds(
    differences: np.ndarray, noise: np.ndarray, least: np.ndarray | float = 0.0
) -> tuple[np.ndarray, ...]:
    """Mean difference over class orders with its lower and its upper bound.

    Args:
        differences: [R, ...], one for each order.
        noise: [R, ..., N], of each image, about 0 within its class, so that the product of two
            rows is the covariance of two orders' differences over other images. N may be 0.
        least: [...], what the variance over orders cannot be less than.

    Returns:
        Mean, lower and upper bound, each [...]; the bounds are NaN for one order without images.
    """
    count = len(differences)
    total, own = (noise.sum(axis=0) ** 2).sum(axis=-1), (noise**2).sum(axis=(0, -1))
    if count > 1:
        among = np.maximum(differences.var(axis=0, ddof=1), least) / count
        shared = np.maximum((total - own) / (count * (count - 1)), 0)
    else:
        among, shared = np.zeros_like(own), own if noise.shape[-1] else np.full_like(own, np.nan)
    variance = among + shared
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = (count - 1) * (variance / among) ** 2
    freedom = np.where(among > 0, freedom, np.inf)
    half = stdtrit(freedom, LEVEL) * np.sqrt(variance)
    mean = differences.mean(axis=0)
    return mean, mean - half, mean + half


def _less_class_means(shares: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Shares [2, N] about 0 in each class, scaled as a variance with n - 1 is."""
    _, members, sizes = np.unique(classes, return_inverse=True, return_counts=True)
    means = np.stack([np.bincount(members, row) for row in shares]) / sizes
    return (shares - means[:, members]) * np.sqrt(sizes / np.maximum(sizes - 1, 1))[members]


def _table(found: Mapping[str, Runs], orders: Mapping[tuple, Hashable]) -> pd.DataFrame:
    rows = []
    for method, other in permutations(found, 2):
        runs = [run for run in found[method] if run in found[other]]
        if not runs:
            continue
        several = len({orders[run] for run in runs}) > 1
        # Seeds of one order are no draws of orders: their mean is one. Of a single order, seeds are
        # all that is drawn.
        units: dict[Hashable, list[np.ndarray]] = {}
        for run in runs:
            gap = found[method][run] - found[other][run]
            units.setdefault(orders[run] if several else run, []).append(gap)
        gaps = np.stack([np.mean(unit, axis=0) for unit in units.values()])
        drawn = {
            "runs": several,
            "runs of one class order": not several and len(runs) > 1,
            "images": gaps.shape[-1] > 1,
        }
        names = [name for name, is_drawn in drawn.items() if is_drawn]
        covers = " and ".join(names or ["nothing"]) + (" only" if len(names) == 1 else "")
        counts = (len(runs), len(units) if several else 1, covers)
        # An order's mean has its seeds' variance, divided by how many they are.
        seeds = [[gap[:, 0] for gap in unit] for unit in units.values() if len(unit) > 1]
        least = np.mean([np.var(own, axis=0, ddof=1) / len(own) for own in seeds or [[0, 0]]], 0)
        told = 100 * np.stack(bounds(gaps[..., 0], gaps[..., 1:], least), axis=-1)
        rows += [(method, other, name, *counts, *told[i]) for i, name in enumerate(MEASURES)]
    return pd.DataFrame(rows, columns=COLUMNS)
