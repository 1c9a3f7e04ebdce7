"""How many times as fast: ACL's time over DynaMMo's by the number of sessions, and the rest."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dynammo.draw.style import PALETTE, canvas, finished, styled


@styled
def speed_figure(table: pd.DataFrame, note: str) -> Figure:
    """ACL's time over DynaMMo's by the number of sessions, and every other speed-up."""
    merged = table[table["what"].str.contains("against every set kept")]
    others = table[table["what"].str.contains("tuning: in batches|export|features computed")]
    told = "Ratio of seconds, median over rounds in turn; bar: lowest and highest round"
    figure, (by_sessions, rest) = canvas(f"{told} · {note}", 11, 4.6, 1, 2)
    _sessions_panel(by_sessions, merged)
    _others_panel(rest, others)
    return finished(figure)


def _sessions_panel(ax: Axes, table: pd.DataFrame) -> None:
    most = 1.1 * table["sessions"].max()
    ax.plot([0, most], [0, most], color="0.6", lw=1, ls=":", label="T times")
    ax.plot([0, most], [0, 0.9 * most], color="0.6", lw=1, label="target: 0.9 T times")
    groups = table.groupby(["backbone", "batch"])
    for i, ((backbone, batch), own) in enumerate(groups):
        ax.errorbar(
            own["sessions"] + 0.25 * (i - (groups.ngroups - 1) / 2),
            own["ratio"],
            (own["ratio"] - own["lowest"], own["highest"] - own["ratio"]),
            color=PALETTE[(0, 9, 1, 3)[i % 4]],
            marker="oDs^"[i % 4],
            ls="",
            ms=5,
            label=f"{backbone}, batch {batch:.0f}",
        )
    high = max(most, 1.02 * table["highest"].max())
    ax.set(xlim=(0, most), ylim=(0, high), xlabel="sessions learned, T")
    ax.set_ylabel("seconds of ACL / seconds of DynaMMo")
    ax.set_title("A prediction, merged against every set kept")
    ax.set_xticks([0, *table["sessions"].unique()])
    ax.grid(axis="y")
    ax.legend(loc="upper left")


def _others_panel(ax: Axes, table: pd.DataFrame) -> None:
    names = []
    for y, (_, row) in enumerate(table.iterrows()):
        kind, _, detail = row["what"].partition(": ")
        passes = f", T = {row['sessions']:.0f}" if kind == "head tuning" else ""
        names.append(f"{kind} ({row['backbone']}, batch {row['batch']:.0f}{passes})\n{detail}")
        ax.plot(row["ratio"], y, "o", color=PALETTE[0], ms=6)
        ax.plot([row["lowest"], row["highest"]], [y, y], color=PALETTE[0], lw=1.5)
        if pd.notna(row["at_least"]):
            ax.plot([row["at_least"]] * 2, [y - 0.3, y + 0.3], color=PALETTE[3], lw=2)
        right = np.nanmax([row["highest"], row["at_least"]])
        aside = {"textcoords": "offset points", "va": "center"}
        ax.annotate(f"{row['ratio']:.2g}", (right, y), (6, 0), **aside)
    ax.axvline(1, color="0.6", lw=1, ls=":")
    ax.set(xscale="log", xlabel="times as fast (logarithmic; orange: target)")
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_yticks(range(len(names)), names, fontsize=7.5)
    ax.set_ylim(len(names) - 0.4, -0.7)
    ax.set_title("Everything else")
