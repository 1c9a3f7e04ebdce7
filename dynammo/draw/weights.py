"""Pictures of a network's weights: how much each mattered, and how far springs let it move."""

import itertools

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dynammo.draw.style import DASHES, PALETTE, canvas, checked, finished, styled

GREY = "0.6"
FREE_AND_HELD = ((PALETTE[1], "s"), (PALETTE[0], "o"), (PALETTE[2], "^"), (PALETTE[4], "D"))


@styled
def information_by_stage(shares: pd.DataFrame, note: str) -> Figure:
    """For each stage a bar for its share of the weights, and one for that of the information.

    Args:
        shares: a row per ``stage`` with ``weights`` and ``information``; each adds up to 1.
    """
    table = checked(shares, ["stage", "weights", "information"], "shares")
    figure, ax = canvas(note, 7.5, 1.2 + 0.42 * len(table))
    rows = np.arange(len(table))
    kinds = (
        ("weights", "of the weights", GREY, "////", -0.2),
        ("information", "of the Fisher information", PALETTE[0], "", 0.2),
    )
    for column, label, colour, hatch, shift in kinds:
        options = {"color": colour, "hatch": hatch, "edgecolor": "white", "lw": 0.3}
        bars = ax.barh(rows + shift, 100 * table[column], 0.38, label=label, **options)
        ax.bar_label(bars, fmt="%.1f", fontsize=7.5, padding=2, color="0.35")
    ax.set_yticks(rows, table.stage)
    ax.invert_yaxis()  # the image comes in at the top
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("share (%)")
    ax.set_xlim(0, 110 * table[["weights", "information"]].to_numpy().max())
    ax.set_title("Where the weights are, and where they mattered")
    ax.legend(loc="lower right")
    return finished(figure)


@styled
def moved_by_information(moves: pd.DataFrame, note: str, limit: float | None = None) -> Figure:
    """How far weights moved, by the Fisher information of each; below, how many there are.

    Args:
        moves: a row per ``strength`` of the springs and ``information``, the lower end of a power
            of ten, with ``moved`` (root mean square) and ``weights`` (how many).
        limit: information from which springs are no stiffer.
    """
    table = checked(moves, ["strength", "information", "moved", "weights"], "moves")
    figure, (above, below) = canvas(note, 7.5, 5.2, 2, 1, sharex=True, height_ratios=(2, 1))
    looks = itertools.cycle(FREE_AND_HELD)
    for i, (strength, own) in enumerate(table.groupby("strength")):
        colour, marker = next(looks)
        label = f"springs of strength {strength:g}" if strength else "no springs"
        line = {"color": colour, "marker": marker, "mec": "white", "ls": DASHES[i % len(DASHES)]}
        middle = own.information * np.sqrt(10)
        above.plot(middle, own.moved, label=label, **line)
    counts = table.drop_duplicates("information")
    below.bar(counts.information, counts.weights, 9 * counts.information, align="edge", color=GREY)
    if limit:
        for ax in (above, below):
            ax.axvline(limit, color="0.35", lw=1, ls=":")
        beside = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
        told = "springs are no stiffer from here on"
        above.annotate(told, (limit, 1), (-4, -4), ha="right", va="top", fontsize=8, **beside)
    above.set(xscale="log", yscale="log", ylabel="moved (root mean square)")
    above.set_title("How far weights moved, by how much they had mattered")
    below.set(yscale="log", ylim=(1, None), ylabel="weights (logarithmic)")
    below.set_xlabel("Fisher information of a weight after the session before (logarithmic)")
    for ax in (above, below):
        ax.grid(axis="y")
    above.legend(loc="upper left")
    return finished(figure)
