"""Where old classes go when features move, and how well remembered means follow them."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dynammo.draw.style import PALETTE, canvas, checked, finished, styled

STALE, FOLLOWED = (PALETTE[3], "X"), (PALETTE[0], "D")


@styled
def drift_figure(
    images: Mapping[str, np.ndarray],
    stale: np.ndarray,
    followed: np.ndarray,
    distances: pd.DataFrame,
    note: str,
) -> Figure:
    """Old classes in the plane that shows the drift of their means best; and the gap by session.

    Args:
        images: by class name, features [N, D] of its images as they are now.
        stale: means [K, D] of these classes as they were when the classes were learned.
        followed: those means after they followed the drift.
        distances: per ``session``, how far means of old classes are from where these classes are
            now: ``ignored`` where they stay as they were, ``followed`` where they follow; and
            ``closest``, how far apart the two closest classes are.
    """
    table = checked(distances, ["session", "ignored", "followed", "closest"], "distances")
    told = "Left: the plane that holds most of what parts these means. Dots are images that the "
    figure, (plane, gaps) = canvas(f"{told}learner no longer has · {note}", 10.4, 4.4, 1, 2)
    true = np.stack([features.mean(axis=0) for features in images.values()])
    every = np.concatenate([true, stale, followed])
    centre = every.mean(axis=0)
    axes = np.linalg.svd(every - centre, full_matrices=False)[2][:2].T
    for i, (name, features) in enumerate(images.items()):
        colour, marker = (PALETTE[(1, 2, 4, 5, 9, 8)[i % 6]]), "o^sv<>"[i % 6]
        x, y = ((features - centre) @ axes).T
        dots = {"color": [(*colour, 0.55)], "marker": marker, "lw": 0}
        plane.scatter(x, y, 16, **dots, label=f"{name}, now")
    for place in (true - centre) @ axes:
        plane.plot(*place, "o", ms=11, mfc="none", mec="black", mew=1.6)
    _means(plane, (stale - centre) @ axes, (followed - centre) @ axes)
    plane.plot([], [], "o", ms=9, mfc="none", mec="black", label="their means, now")
    plane.plot([], [], STALE[1], color=STALE[0], ms=9, ls="", label="means remembered")
    plane.plot([], [], FOLLOWED[1], color=FOLLOWED[0], ms=8, ls="", label="after following")
    plane.set(xticks=[], yticks=[], xlabel="first direction", ylabel="second direction")
    plane.set_title("Old classes after a merge")
    plane.set_aspect("equal", "datalim")
    plane.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=8.5)
    _gaps(gaps, table)
    return finished(figure)


def _means(ax: Axes, stale: Sequence, followed: Sequence) -> None:
    """Mark means before and after following, with an arrow between them."""
    for before, after in zip(stale, followed, strict=True):
        arrow = {"arrowstyle": "-|>", "color": "0.25", "shrinkA": 6, "shrinkB": 5, "lw": 1.3}
        ax.annotate("", after, before, arrowprops=arrow)
        ax.plot(*before, STALE[1], color=STALE[0], ms=10, mec="white")
        ax.plot(*after, FOLLOWED[1], color=FOLLOWED[0], ms=7.5, mec="white")


def _gaps(ax: Axes, table: pd.DataFrame) -> None:
    """Draw the distances against the sessions."""
    for column, (colour, marker), name in (
        ("ignored", STALE, "drift ignored"),
        ("followed", FOLLOWED, "drift followed"),
        ("closest", ("0.4", ""), "closest classes"),
    ):
        line = {"marker": marker, "ms": 8, "mec": "white", "ls": "-" if marker else ":"}
        ax.plot(table.session, table[column], color=colour, **line)
        end = table.session.iloc[-1], table[column].iloc[-1]
        aside = {"textcoords": "offset points", "va": "center", "color": colour}
        ax.annotate(name, end, (9, 0), **aside)
    ax.set(xlabel="after session", ylabel="distance to the mean now", ylim=0)
    ax.set_xticks(table.session)
    ax.set_title("How far off remembered means are")
    ax.grid(axis="y")
