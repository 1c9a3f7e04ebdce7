"""How merging works, in pictures: of single numbers, of statistics, of a path of sets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dynammo.draw.between_sets import session_look
from dynammo.draw.style import PALETTE, canvas, checked, finished, styled
from dynammo.errors import InputError

# Looks of ways of merging, in the order in which they are given.
MARKS = (("D", 3), ("P", 7), ("X", 9), ("v", 10), ("h", 12))


@styled
def numbers_figure(changes: pd.DataFrame, merged: pd.DataFrame, note: str) -> Figure:
    """What ways of merging make of single numbers: a panel for each.

    Args:
        changes: a row per session, a column per number: its change from the initial set.
        merged: a row per way of merging, the same columns: the change that it makes of them.
    """
    if changes.empty or list(changes.columns) != list(merged.columns):
        raise InputError("Give changes of some numbers, and what is made of the same numbers.")
    t, ways = len(changes), len(merged)
    wide = 1.2 + (0.34 * (t + ways) + 0.3) * changes.shape[1]
    figure, axes = canvas(note, wide, 3.7, 1, changes.shape[1], sharey=True)
    looks = [session_look(i) for i in range(1, t + 1)]
    said = {"textcoords": "offset points", "fontsize": 8}
    at = np.arange(t + 0.7, t + 0.7 + ways)
    for ax, name in zip(np.atleast_1d(axes), changes.columns, strict=True):
        drawn = ax.bar(range(t), changes[name], color=[own.colour for own in looks], width=0.8)
        ax.bar_label(drawn, fmt="%+.2g", padding=2, fontsize=8)
        for x, value, (marker, colour) in zip(at, merged[name], MARKS * ways, strict=False):
            ax.plot([x, x], [0, value], color=PALETTE[colour], lw=1.4)
            ax.plot(x, value, marker, color=PALETTE[colour], ms=8, mec="white", mew=0.6)
            up = (0, 7) if value >= 0 else (0, -7)
            va = "bottom" if value >= 0 else "top"
            ax.annotate(f"{value:+.2g}", (x, value), up, ha="center", va=va, **said)
        ax.axhline(0, color="0.4", lw=0.8)
        ax.axvline(t - 0.15, color="0.8", lw=0.8, ls=":")
        names = [own.title for own in looks] + list(merged.index)
        ax.set_xticks([*range(t), *at], names, rotation=90, fontsize=8.5)
        ax.set_title(name, fontsize=9.5)
        ax.set_xlim(-0.7, at[-1] + 0.7)
        ax.margins(y=0.16)
    np.atleast_1d(axes)[0].set_ylabel("change from the initial set")
    return finished(figure)


@styled
def pooled_figure(statistics: pd.DataFrame, merged: pd.DataFrame, what: str, note: str) -> Figure:
    """Normal curves with the mean and variance that each session measured, and the merged ones.

    Args:
        statistics: a row per session with ``mean`` and ``variance``.
        merged: the same columns, a row per way of merging them, by name.
        what: the values that were measured, for the axis.
    """
    table = checked(statistics, ["mean", "variance"], "statistics")
    both = pd.concat([table, merged])
    reach = 3.2 * np.sqrt(both.variance)
    x = np.linspace((both["mean"] - reach).min(), (both["mean"] + reach).max(), 400)
    mixture = np.zeros_like(x)
    figure, ax = canvas(note, 7.4, 3.6)

    def curve(row):
        return np.exp(-((x - row["mean"]) ** 2) / 2 / row.variance) / np.sqrt(
            2 * np.pi * row.variance
        )

    for i, (_, row) in enumerate(table.iterrows(), start=1):
        own = session_look(i)
        ax.plot(x, curve(row), color=own.colour, ls=own.dash, lw=1.2, label=own.title)
        mixture += curve(row) / len(table)
    ax.fill_between(x, mixture, color="0.88", lw=0, label="all sessions together")
    for dash, (name, row) in zip(("--", "-", ":", "-."), merged.iterrows(), strict=False):
        ax.plot(x, curve(row), color="black", ls=dash, lw=1.8, label=name)
    ax.set(xlabel=what, ylabel="density", title="What a merged batch norm takes for granted")
    ax.set_ylim(0, None)
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return finished(figure)


@styled
def path_figure(points: pd.DataFrame, arrows: Sequence[tuple[str, str]], note: str) -> Figure:
    """Sets of weights as points of a plane, with arrows from a set to the one that grew out of it.

    Args:
        points: ``name``, ``x`` and ``y``; a name that starts with "mean" is drawn as a star.
        arrows: pairs of names.
    """
    table = checked(points, ["name", "x", "y"], "path").set_index("name")
    low, high = table[["x", "y"]].min(), table[["x", "y"]].max()
    size = high - low
    edge = 0.08 * size.max() or 1.0
    tall = (size.y + 2 * edge) / (size.x + 2 * edge)
    figure, ax = canvas(note, 8.6, 1.3 + 5.4 * min(1.0, tall))
    place = {name: (row.x, row.y) for name, row in table.iterrows()}
    for start, end in arrows:
        arrow = {"arrowstyle": "-|>", "color": "0.6", "shrinkA": 7, "shrinkB": 7, "lw": 1.4}
        ax.annotate("", place[end], place[start], arrowprops=arrow)
    for name, (x, y) in place.items():
        number = name.removeprefix("session ")
        if name.startswith("mean"):
            drawn = {"marker": "*", "color": "white", "mec": "black", "ms": 17}
        elif number.isdigit():
            drawn = session_look(int(number)).line | {"ms": 9}
        else:
            drawn = {"marker": "o", "color": "white", "mec": "0.3", "ms": 8}
        ax.plot(x, y, **drawn | {"ls": ""}, label=name)
    ax.set(aspect="equal", xlabel="first direction", ylabel="second direction")
    ax.set_title("Sets of weights in the plane that shows most of their distances")
    ax.set(xlim=(low.x - edge, high.x + edge), ylim=(low.y - edge, high.y + edge))
    ax.grid()
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return finished(figure)
