"""The whole story as a strip of three panels: forget, adapt, average."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dynammo.draw.costs import mac_unit
from dynammo.draw.heat_maps import SHARES, heat_map
from dynammo.draw.style import canvas, checked, finished, look, styled
from dynammo.errors import InputError

# What happens in each panel: its method, the message, and how in a line.
PANELS = (
    (
        "fine_tuning",
        "Fine-tuning forgets",
        "the whole network is trained\non each session's images",
    ),
    (
        "acl",
        "ACL keeps adapters",
        "the network is frozen; each session\nadds a set, and each set a pass",
    ),
    (
        "dynammo",
        "DynaMMo averages them",
        "all sessions' sets become their mean:\none set, and one pass",
    ),
)


@styled
def forget_adapt_average(accuracy: pd.DataFrame, macs: Mapping[str, float], note: str) -> Figure:
    """Accuracy matrices of fine-tuning, ACL and DynaMMo in a row, each over its cost.

    Args:
        accuracy: ``method``, ``session``, ``evaluated_session``, ``accuracy`` (0..1) and how many
            ``images`` it is of; seeds are averaged.
        macs: multiply-accumulates of one image after the last session, by method.
    """
    columns = ["method", "session", "evaluated_session", "accuracy", "images"]
    table = checked(accuracy, columns, "accuracy")
    methods = [method for method, *_ in PANELS]
    if missing := [m for m in methods if m not in macs or m not in set(table.method)]:
        raise InputError(f"The strip needs accuracy and MACs of {', '.join(missing)} too.")
    note = f"Row i, column j: accuracy on session j's classes after session i, in % · {note}"
    figure, axes = canvas(note, 10.6, 6, 2, 3, height_ratios=(7, 1))
    figure.get_layout_engine().set(wspace=0.12)
    sessions = range(1, int(table.session.max()) + 1)
    for i, (ax, bar, (method, message, how)) in enumerate(zip(*axes, PANELS, strict=True)):
        own = table[table.method == method]
        matrix = own.pivot_table("accuracy", "session", "evaluated_session")
        matrix = 100 * matrix.reindex(index=sessions, columns=sessions)
        end = own[own.session == sessions[-1]]
        total = 100 * np.average(end.accuracy, weights=end.images)
        ax.set_xlabel(f"classes of session\n{total:.0f} % over all classes at the end")
        if i == 0:
            ax.set_ylabel("after session")
        heat_map(ax, matrix, min(13, 60 / len(sessions)), ".0f", **SHARES)
        ticks = np.arange(len(sessions)) + 0.5
        ax.set_xticks(ticks, sessions)
        ax.set_yticks(ticks if i == 0 else [], sessions if i == 0 else [])
        above = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "bottom"}
        ax.annotate(message, (0, 1), (0, 35), fontsize=14, weight="bold", **above)
        ax.annotate(how, (0, 1), (0, 6), fontsize=9.5, color="0.25", **above)
        _cost_bar(bar, method, macs)
    return finished(figure)


def _cost_bar(ax: Axes, method: str, macs: Mapping[str, float]) -> None:
    """Draw what an image costs, on a scale that all panels share."""
    own, most, ratio = macs[method], max(macs.values()), macs[method] / macs["dynammo"]
    scale, unit = mac_unit(most)
    whole = "billions" if scale == 1e9 else "millions"
    times = f", {ratio:.1f} times DynaMMo's" if ratio > 1.05 else ""
    ax.barh([0], [own / scale], color=look(method).colour, height=0.5)
    ax.text(0, 0.4, f"{own / scale:.3g} {unit}{times}", va="bottom", color="0.2")
    ax.set(xlim=(0, 1.02 * most / scale), ylim=(-0.45, 1.1), yticks=[])
    ax.set_xlabel(f"multiply-accumulates an image ({whole})")
    ax.spines["left"].set_visible(False)
