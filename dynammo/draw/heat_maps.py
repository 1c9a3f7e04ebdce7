"""Figures of matrices as heat maps: what is forgotten, and who is taken for whom."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from dynammo.draw.style import (
    canvas,
    checked,
    finished,
    grid_of,
    look,
    methods_in,
    outer,
    short_name,
    styled,
)


def _heat_map(ax: Axes, shares: np.ndarray, letters: float, smallest: float = 0.0) -> QuadMesh:
    """Draw shares [R, C] in 0..1 in %, NaN left blank.

    Letters have a size (0: none) and are left out in cells under the smallest share.
    """
    rows, columns = shares.shape
    many = shares.size > 2500  # as single shapes they would make an SVG of many megabytes
    mesh = ax.pcolormesh(
        np.ma.masked_invalid(100 * shares),
        cmap="Blues",
        vmin=0,
        vmax=100,
        edgecolors="none" if many else "white",
        linewidth=0 if many else min(1, 12 / rows),
        rasterized=many,
    )
    ax.set(aspect="equal", xlim=(0, columns), ylim=(rows, 0))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    for row, column in np.argwhere(shares >= smallest) if letters else ():
        share = shares[row, column]
        colour = "white" if share > 0.68 else "0.15"
        place = {"ha": "center", "va": "center_baseline", "fontsize": letters, "color": colour}
        ax.text(column + 0.5, row + 0.5, f"{100 * share:.0f}", **place)
    return mesh


@styled
def accuracy_matrices(accuracy: pd.DataFrame, note: str) -> Figure:
    """A heat map per method: accuracy on each session's classes after each session, seeds' mean."""
    columns = ["method", "session", "evaluated_session", "accuracy"]
    methods = methods_in(table := checked(accuracy, columns, "accuracy"))
    sessions = range(1, int(table["session"].max()) + 1)
    count = len(methods)
    rows, width = grid_of(count, 4 if count <= 8 else 6)
    side = 1.45 if count > 8 else 2.3 * max(1, len(sessions) / 8)
    room = 0.4 * 72 * side / len(sessions)  # points a letter; too small to read is left out
    letters = min(9, room) if room > 5.5 else 0
    figure, axes = canvas(note, 0.9 + side * width, 0.7 + (side + 0.4) * rows, rows, width)
    for ax, method in zip(axes.flat, methods, strict=False):
        own = table[table["method"] == method]
        matrix = own.pivot_table("accuracy", "session", "evaluated_session")
        matrix = matrix.reindex(index=sessions, columns=sessions).to_numpy()
        mesh = _heat_map(ax, matrix, letters)
        ax.set_title(short_name(look(method).title, 13 if count > 8 else 22), fontsize=9.5)
        ticks = np.arange(len(sessions))[:: -(-len(sessions) // (7 if count > 8 else 10))]
        ax.set_xticks(ticks + 0.5, ticks + 1)
        ax.set_yticks(ticks + 0.5, ticks + 1)
        ax.tick_params(labelsize=8)
    left, low = outer(axes, count)
    for ax in left:
        ax.set_ylabel("after session")
    for ax in low:
        ax.set_xlabel("classes of session")
    figure.colorbar(mesh, ax=axes, label="accuracy (%)", shrink=0.9 / rows**0.5, pad=0.02)
    return finished(figure)


@styled
def confusion_matrices(
    confusion: pd.DataFrame, session_of_class: Sequence[int] | None = None, *, note: str
) -> Figure:
    """A heat map per method: the share of each true class that is given each name, in %.

    Args:
        confusion: classes in order of arrival.
        session_of_class: session number of each class; lines are drawn between sessions.
        note: what data the figure is of.
    """
    columns = ["method", "true_class", "predicted_class", "share"]
    methods = methods_in(table := checked(confusion, columns, "confusion"))
    names = list(pd.unique(table["true_class"]))
    side = 3.6 if len(names) <= 9 else 4.8
    sizes = ((9, 8), (14, 7), (25, 5.5), (np.inf, 0))
    letters = next(size for most, size in sizes if len(names) <= most)
    rows, width = grid_of(len(methods), 3)
    note = f"Each row adds up to 100 %; under 0.5 % is left empty · {note}" if letters else note
    figure, axes = canvas(note, 1.9 + side * width, 1.8 + side * rows, rows, width)
    step = -(-len(names) // 50)
    for panel, (ax, method) in enumerate(zip(axes.flat, methods, strict=False)):
        own = table[table["method"] == method]
        shares = own.pivot_table("share", "true_class", "predicted_class", sort=False)
        shares = shares.reindex(index=names, columns=names).fillna(0).to_numpy()
        mesh = _heat_map(ax, shares, letters, smallest=0.005)
        ax.set(title=look(method).title, xlabel="predicted class")
        ticks = np.arange(0, len(names), step)
        small = {"fontsize": 8 if len(names) <= 25 else 5.5}
        ax.set_xticks(ticks + 0.5, [short_name(names[i]) for i in ticks], rotation=90, **small)
        ax.set_yticks(ticks + 0.5, [short_name(names[i]) for i in ticks], **small)
        if panel % width:
            ax.set_yticklabels([])
        if session_of_class is not None:
            for edge in np.flatnonzero(np.diff(session_of_class)) + 1:
                ax.axhline(edge, color="0.35", lw=0.9)
                ax.axvline(edge, color="0.35", lw=0.9)
    left, _ = outer(axes, len(methods))
    for ax in left:
        ax.set_ylabel("true class, in order of arrival")
    figure.colorbar(mesh, ax=axes, label="share of the true class (%)", shrink=0.8, pad=0.02)
    return finished(figure)
