"""Pictures of training step by step: what becomes of old classes' logits."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dynammo.draw.style import PALETTE, canvas, checked, finished, styled

OWN, NEW = (PALETTE[0], "o", "-"), (PALETTE[1], "s", (0, (4, 1.5)))


@styled
def old_logits(steps: pd.DataFrame, note: str) -> Figure:
    """Logits of old classes' images by step of the next session; below, how many are still right.

    Args:
        steps: a row per ``training`` (a panel each, in their order) and ``step``, with means over
            images of old classes: the logit of the image's ``own`` class, the largest one of a
            ``new`` class, and the share that is answered ``right``.
    """
    table = checked(steps, ["training", "step", "own", "new", "right"], "steps")
    kinds = list(dict.fromkeys(table.training))
    grid = {"sharex": True, "sharey": "row", "squeeze": False, "height_ratios": (2, 1)}
    figure, axes = canvas(note, 2 + 3 * len(kinds), 4.9, 2, len(kinds), **grid)
    for (above, below), kind in zip(axes.T, kinds, strict=True):
        own = table[table.training == kind]
        lines = (("own", OWN, "its own class"), ("new", NEW, "the largest of a new class"))
        for column, (colour, marker, dash), label in lines:
            look = {"color": colour, "marker": marker, "ls": dash, "mec": "white", "mew": 0.5}
            above.plot(own.step, own[column], label=label, **look)
        above.set_title(kind)
        below.fill_between(own.step, 100 * own.right, color=PALETTE[0], alpha=0.25, lw=0)
        below.plot(own.step, 100 * own.right, color=PALETTE[0])
        below.set(ylim=(0, 101), xlabel="step of the next session")
        for ax in (above, below):
            ax.grid(axis="y")
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0, 0].set_ylabel("logit on images of old classes\n(mean)")
    axes[1, 0].set_ylabel("answered right\n(%)")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    return finished(figure)
