"""Pictures of what one network teaches another, and of how long a head's rows are."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from dynammo.draw.style import DASHES, PALETTE, canvas, finished, short_name, styled
from dynammo.errors import InputError

OLD, NEW = PALETTE[0], PALETTE[1]


@styled
def sureness(largest: Mapping[float, np.ndarray], classes: int, note: str) -> Figure:
    """How sure a teacher is of its answers, at each temperature: a histogram, in steps.

    Args:
        largest: by temperature, the largest probability [N] that each of N images gets.
        classes: how many the teacher knows, so that guessing is one over it.
    """
    if not largest or not all(len(each) for each in largest.values()):
        raise InputError("There are no answers, so there is nothing to draw.")
    figure, ax = canvas(note, 7.4, 3.6)
    edges = np.linspace(1 / classes, 1, 11)
    for i, (temperature, probabilities) in enumerate(largest.items()):
        shares = 100 * np.histogram(probabilities, edges)[0] / len(probabilities)
        look = {"color": PALETTE[i], "lw": 2, "ls": DASHES[i % len(DASHES)], "baseline": None}
        ax.stairs(shares, edges, label=f"temperature {temperature:g}", **look)
    ax.set(xlabel="largest probability in the teacher's answer", ylabel="images (%)")
    ax.set(xlim=(edges[0], 1), ylim=0, title="How sure the teacher is")
    ax.grid(axis="y")
    figure.legend(loc="outside upper right", ncols=len(largest))
    return finished(figure)


@styled
def row_lengths(
    before: np.ndarray, after: np.ndarray, old: int, names: Sequence[str], note: str
) -> Figure:
    """Length of each class's row in a head, before and after it was aligned.

    Args:
        before, after: lengths [K], of the ``old`` classes first.
        names: of the K classes.
    """
    figure, ax = canvas(note, max(6, 0.9 * len(names) + 2.4), 3.8)
    places = np.arange(len(names)) + 0.6 * (np.arange(len(names)) >= old)
    pair = (("before", before, "////", -0.2), ("after", after, "", 0.2))
    for label, lengths, hatch, shift in pair:
        colours = [OLD if i < old else NEW for i in range(len(names))]
        faces = [(*colour, 0.3 if hatch else 1) for colour in colours]
        options = {"color": faces, "hatch": hatch, "edgecolor": "white", "lw": 0.3}
        bars = ax.bar(places + shift, lengths, 0.38, label=f"{label} aligning", **options)
        white = {"facecolor": "white", "linewidth": 0, "pad": 0.6}  # the dotted lines pass behind
        ax.bar_label(bars, fmt="%.2f", fontsize=7.5, padding=2, color="0.35", bbox=white)
    groups = ((slice(None, old), "old classes", OLD), (slice(old, None), "new classes", NEW))
    for part, told, colour in groups:
        own = places[part]
        ax.hlines(after[part].mean(), own[0] - 0.45, own[-1] + 0.45, color="0.25", ls=":", lw=1.4)
        above = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
        ax.annotate(told, (own.mean(), 1), (0, 3), ha="center", color=colour, **above)
    ax.set_xticks(places, [short_name(name, 14) for name in names])
    ax.tick_params(axis="x", length=0)
    ax.set(ylabel="length of the row")
    ax.margins(y=0.12)
    ax.grid(axis="y")
    figure.legend(loc="outside upper right", ncols=2)
    return finished(figure)
