"""How a ridge regression's penalty is chosen: error on images it has seen, and on others."""

import pandas as pd
from matplotlib.figure import Figure

from dynammo.draw.style import PALETTE, canvas, checked, finished, styled


@styled
def penalty_curve(errors: pd.DataFrame, note: str) -> Figure:
    """Mean squared error of each penalty, on the images solved for and on those held out.

    Args:
        errors: a row per ``penalty`` with ``solved_for`` and ``held_out``.
    """
    table = checked(errors, ["penalty", "solved_for", "held_out"], "errors").sort_values("penalty")
    figure, ax = canvas(note, 7.5, 3.8)
    lines = (
        ("held_out", "images held out", PALETTE[0], "o", "-"),
        ("solved_for", "images solved for", PALETTE[1], "s", "--"),
    )
    for column, label, colour, marker, dash in lines:
        line = {"color": colour, "marker": marker, "mec": "white", "ls": dash}
        ax.plot(table.penalty, table[column], label=label, **line)
    best = table.loc[table.held_out.idxmin()]
    ax.axvline(best.penalty, color="0.35", lw=1, ls=":")
    beside = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
    ax.annotate(
        f"chosen: {best.penalty:g}", (best.penalty, 1), (-4, -4), ha="right", va="top", **beside
    )
    ax.set(xscale="log", xlabel=r"penalty $\lambda$ (logarithmic)", ylabel="mean squared error")
    ax.set_ylim(0, 1.15 * table[["solved_for", "held_out"]].to_numpy().max())
    ax.grid(axis="y")
    ax.set_title("The penalty that suits images not solved for")
    ax.legend(loc="center left")
    return finished(figure)
