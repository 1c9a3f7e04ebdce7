"""Figures over several streams: the claim in one picture, and every claim with its bounds."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from dynammo.catalogue import METHODS
from dynammo.draw.style import (
    NOT_FROM_ZERO,
    PALETTE,
    canvas,
    checked,
    finished,
    grid_of,
    look,
    methods_in,
    outer,
    styled,
)

# What trains the whole network and takes one pass: too many for colours of their own.
DOTS = [
    name
    for name, kind in METHODS.items()
    if name == "fine_tuning" or kind.family in ("replay", "distillation", "regularization")
]


@styled
def accuracy_against_macs_by_stream(summaries: Mapping[str, pd.DataFrame], note: str) -> Figure:
    """Average accuracy against multiply-accumulates, a panel for each stream.

    An arrow goes from ACL to DynaMMo and tells both differences. Methods that train the whole
    network cost the same single pass, but for DER, and are so many that they are grey dots.

    Args:
        summaries: by the stream's title, tables of :func:`dynammo.measure.summary.summarise`.
    """
    columns = ["method", "average_accuracy", "average_accuracy_sd", "macs"]
    told = f"{NOT_FROM_ZERO}, and differs from panel to panel; bar: ± 1 standard deviation over "
    told += "runs (each run has a class order and a training seed)"
    rows, wide = grid_of(len(summaries) + 1, 3)
    figure, axes = canvas(f"{told} · {note}", 11, 0.6 + 3.4 * rows, rows, wide)
    left, low = outer(axes, len(summaries))
    shown = {}
    for ax, (title, summary) in zip(axes.flat, summaries.items(), strict=False):
        table = checked(summary, columns, "summary").set_index("method")
        for method in methods_in(summary):
            shown[method] = _point(ax, method, table.loc[method])
        ax.set(xscale="log", title=title)
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_locator(NullLocator())
        ax.margins(0.12, 0.1)
        ax.grid()
        _saving(ax, table)
        if ax in left:
            ax.set_ylabel("average accuracy (%)")
        if ax in low:
            ax.set_xlabel("million multiply-accumulates an image\n(logarithmic)")
    free = axes.flat[len(summaries)]
    free.set_visible(True)
    free.axis("off")
    in_order = sorted(shown, key=lambda name: (name in DOTS, look(name).place))
    titles = [look(name).title for name in in_order]
    apart = sum(name not in DOTS for name in in_order)
    dots = textwrap.fill(", ".join(titles[apart:]), 40, break_on_hyphens=False)
    names = [*titles[:apart], *filter(None, [dots])]
    handles = [shown[name] for name in in_order[: len(names)]]
    free.legend(handles, names, loc="center left", fontsize=9, borderaxespad=0)
    return finished(figure)


def _point(ax: Axes, method: str, row: pd.Series):
    kind, at = look(method), (row["macs"] / 1e6, 100 * row["average_accuracy"])
    if method in DOTS:
        return ax.plot(*at, "o", color="0.65", mec="white", mew=0.5, ms=5, zorder=1.5)[0]
    if row["average_accuracy_sd"] > 0:
        bar = {"ecolor": kind.colour, "elinewidth": 1, "capsize": 0, "alpha": 0.6}
        ax.errorbar(*at, 100 * row["average_accuracy_sd"], fmt="none", **bar)
    size = 9 if method in ("acl", "dynammo") else 6
    return ax.plot(*at, **{**kind.line, "ls": "", "ms": size})[0]


def _saving(ax: Axes, table: pd.DataFrame) -> None:
    """Draw an arrow from ACL to DynaMMo with both differences."""
    if not {"acl", "dynammo"} <= set(table.index):
        return
    acl, merged = table.loc["acl"], table.loc["dynammo"]
    ends = [(row["macs"] / 1e6, 100 * row["average_accuracy"]) for row in (merged, acl)]
    arrow = {"arrowstyle": "-|>", "color": "0.3", "lw": 1.2, "shrinkA": 6, "shrinkB": 6}
    ax.annotate("", *ends, arrowprops=arrow)
    points = 100 * (merged["average_accuracy"] - acl["average_accuracy"])
    text = f"ACL → DynaMMo: {acl['macs'] / merged['macs']:.1f}× fewer MACs, {points:+.1f} points"
    text = text.replace("-", "\u2212")
    ax.annotate(text, (0.98, 0.02), xycoords="axes fraction", ha="right", fontsize=8, color="0.25")


@styled
def claims_figure(claims: pd.DataFrame, note: str) -> Figure:
    """Differences of average accuracy that the claims are about, one row each, with their bounds.

    Args:
        claims: as :func:`dynammo.measure.claims.judged` gives them.
    """
    columns = ["claim", "measure", "method", "other", "stream", "mean", "sd", "at_least", "holds"]
    table = checked(claims, columns, "claims")
    table = checked(table[table["measure"] == "average"], columns, "claims (average accuracy)")
    asked = table.drop_duplicates("claim").reset_index(drop=True)
    streams = list(table["stream"].unique())
    told = "Difference of average accuracy, run by run on the same class order and seed; bar: ± 1 "
    told += "standard deviation over runs; orange line: the claim holds to the right of it; "
    told += "hollow: it does not"
    figure, axes = canvas(f"{told} · {note}", 9.4, 1.6 + 0.62 * len(asked))
    ax = axes[0, 0]
    ax.axvline(0, color="0.6", lw=1, ls=":")
    for y, claim in asked.iterrows():
        ax.plot([claim["at_least"]] * 2, [y - 0.42, y + 0.42], color=PALETTE[3], lw=1.6)
        for i, stream in enumerate(streams):
            own = table[(table["claim"] == claim["claim"]) & (table["stream"] == stream)]
            place, colour = y + 0.7 * ((i + 0.5) / len(streams) - 0.5), PALETTE[_COLOURS[i]]
            for row in own.itertuples():
                if row.sd > 0:
                    ax.plot([row.mean - row.sd, row.mean + row.sd], [place] * 2, color=colour, lw=1)
                face = colour if row.holds else "white"
                ax.plot(row.mean, place, _MARKERS[i], color=colour, mfc=face, ms=5.5, ls="")
    names = [f"{look(row.method).title} − {look(row.other).title}" for row in asked.itertuples()]
    ax.set_yticks(range(len(asked)), names)
    ax.set_ylim(len(asked) - 0.5, -0.5)
    ax.set_xlabel("points of average accuracy")
    ax.set_title("What the paper's accuracy claims come to, and controls")
    ax.grid(axis="x")
    keys = [
        ax.plot([], [], _MARKERS[i], color=PALETTE[_COLOURS[i]], ms=5.5, ls="", label=stream)[0]
        for i, stream in enumerate(streams)
    ]
    ax.legend(handles=keys, loc="center left", bbox_to_anchor=(1, 0.5))
    return finished(figure)


_COLOURS = (0, 1, 2, 4, 10, 11, 12, 13)
_MARKERS = "osD^vPX*"


def _mark(row) -> str:
    if not row.holds:
        return "✗"
    return "✓" if 2 * row.runs_that_hold > row.runs else "~"


def with_checks(claims: pd.DataFrame) -> pd.DataFrame:
    """The claims as a table to print: a row each, a column for each stream, with a mark.

    ✓ where the mean is within the bounds and so are most runs by themselves, ~ where the mean is
    and most runs are not, ✗ where the mean is not. In brackets is in how many runs it is.
    """
    cells = []
    for row in claims.itertuples():
        number = f"{row.mean:.2f}" if row.measure == "macs" else f"{row.mean:+.1f}"
        if row.sd > 0 and row.measure != "macs":
            number += f" ± {row.sd:.1f} ({row.runs_that_hold} of {row.runs})"
        cells.append(f"{_mark(row)} {number}")
    keys = ["claim", "source", "holds_if"]
    wide = claims.assign(cell=np.array(cells, dtype=object))
    wide = wide.pivot_table(index=keys, columns="stream", values="cell", aggfunc="first")
    order = claims.drop_duplicates("claim")[keys]
    return wide.loc[list(order.itertuples(index=False, name=None)), claims["stream"].unique()]
