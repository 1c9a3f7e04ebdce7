"""Where the mean of adapter sets is ahead, and where others are: memory, epochs, sessions."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dynammo.draw.style import (
    SEED,
    canvas,
    checked,
    draw_means,
    finished,
    label_ends,
    look,
    methods_in,
    points_over,
    styled,
)


def to_dynammo(table: pd.DataFrame) -> pd.DataFrame:
    """Each method's average accuracy less DynaMMo's, run by run, in points: mean and spread.

    Args:
        table: ``sessions``, ``memory``, ``epochs``, ``method``, seeds, ``average_accuracy``.

    Returns:
        ``mean`` and ``std`` by method, sessions, memory and epochs.
    """
    cell = ["sessions", "memory", "epochs"]
    accuracy = table.groupby(["method", *cell, *SEED]).average_accuracy.mean()
    gaps = points_over(accuracy, "dynammo").drop("dynammo", level="method")
    return gaps.groupby(["method", *cell]).agg(["mean", "std"])


@styled
def sweep_figure(table: pd.DataFrame, distances: pd.DataFrame, note: str) -> Figure:
    """Points over DynaMMo against epochs, a panel for each memory (rows) and number of sessions.

    Args:
        table: as for :func:`to_dynammo`.
        distances: ``sessions``, ``memory``, ``epochs`` and ``distance`` of consecutive sets, whose
            mean is written below each number of epochs.
    """
    checked(table, ["sessions", "memory", "epochs", "method", *SEED, "average_accuracy"], "sweep")
    gaps = to_dynammo(table)
    apart = distances.groupby(["sessions", "memory", "epochs"]).distance.mean()
    cut, memories = sorted(table.sessions.unique()), sorted(table.memory.unique())
    epochs = sorted(table.epochs.unique())
    methods = [method for method in methods_in(table) if method != "dynammo"]
    runs = len(table[SEED].drop_duplicates())
    told = f"Mean and spread over {runs} run(s); above 0 a method is ahead of the mean of all sets."
    figure, axes = canvas(
        f"{told} Below each number of epochs: how far a set moves from the one before, in its "
        f"relative length · {note}",
        1.6 + 4.2 * len(cut),
        1.2 + 2.3 * len(memories),
        len(memories),
        len(cut),
    )
    axes = np.reshape(axes, (len(memories), len(cut)))
    ends = {}
    for row, memory in zip(axes, memories, strict=True):
        for ax, sessions in zip(row, cut, strict=True):
            ax.axhline(0, color=look("dynammo").colour, lw=1.4, zorder=0)
            ends[ax] = []
            for method in methods:
                own = gaps.loc[method, sessions, memory].reindex(epochs)
                x = range(len(epochs))
                ends[ax].append(draw_means(ax, x, own["mean"], own["std"], look(method)))
            below = [f"{e}\n{apart.get((sessions, memory, e), float('nan')):.2f}" for e in epochs]
            ax.set_xticks(range(len(epochs)), below)
            ax.set(title=f"memory of {memory}, {sessions} sessions", xlim=(-0.3, len(epochs) - 0.7))
            ax.grid(axis="y")
        row[0].set_ylabel("points over DynaMMo")
    for ax in axes[-1]:
        ax.set_xlabel("epochs a session, distance between sets")
    label_ends(ends)
    return finished(figure)
