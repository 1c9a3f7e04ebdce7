"""How many copies of an image each stage of a network computes on, and what that costs."""

import itertools

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dynammo.draw.style import PALETTE, canvas, checked, finished, styled

HATCHES = ("", "//", "..", "xx")


@styled
def copies_figure(stages: pd.DataFrame, note: str) -> Figure:
    """Stages as columns, as wide as they are costly and as high as copies: the area is the cost.

    Args:
        stages: a row per ``stage`` with its ``macs`` for one copy, and one more column for each way
            of passing an image, which counts the copies. The first way is the unit.
    """
    table = checked(stages, ["stage", "macs"], "stages")
    table = table[table.macs > 0]
    ways = [name for name in table.columns if name not in ("stage", "macs")]
    most = int(table[ways].to_numpy().max())
    ends = np.cumsum([0, *table.macs / 1e6])
    figure, axes = canvas(note, 10.4, 3.9, 1, len(ways), sharey=True)
    unit = (table.macs * table[ways[0]]).sum()
    shapes = [(PALETTE[place], hatch) for place, hatch in zip((0, 1, 3, 4), HATCHES, strict=True)]
    shapes = itertools.cycle(shapes)
    for ax, way, (colour, hatch) in zip(np.atleast_1d(axes), ways, shapes, strict=False):
        colours = {"facecolor": (*colour, 0.45), "edgecolor": colour, "hatch": hatch}
        ax.bar(ends[:-1], table[way], np.diff(ends), align="edge", **colours)
        total = (table.macs * table[way]).sum()
        ax.set_title(f"{way}\n{total / 1e9:.2f} GMACs: {total / unit:.1f} times one pass", size=9.5)
        ax.set(xlim=(0, ends[-1]), ylim=(0, 1.05 * most))
        ax.set_xlabel("MMACs of one copy, stage after stage")
        for left, right, stage in zip(ends, ends[1:], table.stage, strict=False):
            room = (right - left) / ends[-1]
            if room > 0.1:  # else its name would hide it
                up = {"rotation": 90 if room < 0.15 else 0, "ha": "center", "va": "bottom"}
                white = {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1}
                ax.text((left + right) / 2, 0.02 * most, stage, fontsize=8, bbox=white, **up)
    np.atleast_1d(axes)[0].set_ylabel("copies that a stage computes on")
    return finished(figure)
