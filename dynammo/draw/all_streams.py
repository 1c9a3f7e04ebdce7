"""Figures over several streams: the claim in one picture, and every claim with its bounds."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from dynammo.catalogue import METHODS
from dynammo.draw.costs import against_cost, finish_cost_axes
from dynammo.draw.style import (
    NOT_FROM_ZERO,
    PALETTE,
    canvas,
    checked,
    draw_means,
    finished,
    look,
    panels,
    styled,
)

# What trains the whole network and takes one pass: too many for colours of their own.
DOTS = [
    name
    for name, kind in METHODS.items()
    if name == "fine_tuning" or kind.family in ("replay", "distillation", "regularization")
]
# How streams are told apart.
_COLOURS = (0, 1, 2, 4, 10, 11, 12, 13)
_MARKERS = "osD^vPX*"


@styled
def accuracy_against_macs_by_stream(summaries: Mapping[str, pd.DataFrame], note: str) -> Figure:
    """Average accuracy against multiply-accumulates, a panel for each stream.

    An arrow goes from ACL to DynaMMo and tells both differences. Methods that train the whole
    network cost the same single pass, but for DER, and are so many that they are grey dots.

    The tables are by the stream's title, of :func:`dynammo.measure.summary.summarise`.
    """
    told = f"{NOT_FROM_ZERO}, and differs from panel to panel; bar: ± 1 standard deviation over "
    told += "runs (each run has a class order and a training seed); arrow: from ACL to DynaMMo"
    x, y = "million multiply-accumulates an image\n(logarithmic)", "average accuracy (%)"
    figure, axes = panels(f"{told} · {note}", len(summaries), 3, (3.4, 3.4), x, y, key=True)
    shown = {}
    for ax, (title, summary) in zip(axes[:-1], summaries.items(), strict=True):
        table = against_cost(summary, 1e6)
        for method, row in table.iterrows():
            kind, at = look(method), ([row["macs"]], [row["accuracy"]])
            if method in DOTS:
                ax.plot(*at, "o", color="0.65", mec="white", ms=5, zorder=1.5)
            else:
                size = 9 if method in ("acl", "dynammo") else 6
                draw_means(ax, *at, [row["sd"]], kind, ls="", ms=size)
            shown[method] = ax.get_lines()[-1]
        ax.set_title(title)
        ax.margins(0.12, 0.1)
        finish_cost_axes(ax, table)
    dots = [name for name in DOTS if name in shown]
    apart = sorted(shown.keys() - set(dots), key=lambda name: look(name).place)
    names = [look(name).title for name in apart]
    if dots:
        names.append(textwrap.fill(", ".join(look(name).title for name in dots), 40))
    handles = [shown[name] for name in [*apart, *dots[:1]]]
    axes[-1].legend(handles, names, loc="center left", fontsize=9, borderaxespad=0)
    return finished(figure)


@styled
def claims_figure(claims: pd.DataFrame, note: str) -> Figure:
    """Differences of average accuracy that the claims are about, one row each, with their bounds.

    The table is as :func:`dynammo.measure.claims.judged` gives it.
    """
    columns = ["claim", "measure", "method", "other", "stream", "mean", "sd", "at_least", "holds"]
    table = checked(claims, columns, "claims").query("measure == 'average'")
    table = checked(table, columns, "claims (average accuracy)")
    asked = table.drop_duplicates("claim").reset_index(drop=True)
    told = "Difference of average accuracy, run by run on the same class order and seed; bar: ± 1 "
    told += "standard deviation over runs; orange line: the claim holds to the right of it; "
    told += "hollow: it does not"
    figure, ax = canvas(f"{told} · {note}", 9.4, 1.6 + 0.62 * len(asked))
    ax.axvline(0, color="0.6", lw=1, ls=":")
    rows = {claim: y for y, claim in asked["claim"].items()}
    ax.vlines(asked["at_least"], asked.index - 0.42, asked.index + 0.42, PALETTE[3], lw=1.6)
    for i, (stream, own) in enumerate(table.groupby("stream", sort=False)):
        colour, marker = PALETTE[_COLOURS[i]], _MARKERS[i]
        y = own["claim"].map(rows) + 0.7 * ((i + 0.5) / table["stream"].nunique() - 0.5)
        ax.errorbar(own["mean"], y, xerr=own["sd"], fmt="none", ecolor=colour, elinewidth=1)
        for holds, face in ((True, colour), (False, "white")):
            part = own["holds"] == holds
            ax.plot(own["mean"][part], y[part], marker, color=colour, mfc=face, ms=5.5)
        ax.plot([], [], marker, color=colour, ms=5.5, label=stream)
    names = [f"{look(row.method).title} − {look(row.other).title}" for row in asked.itertuples()]
    ax.set_yticks(range(len(asked)), names)
    ax.set_ylim(len(asked) - 0.5, -0.5)
    ax.set_xlabel("points of average accuracy")
    ax.set_title("What the paper's accuracy claims come to, and controls")
    ax.grid(axis="x")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return finished(figure)


def with_checks(claims: pd.DataFrame) -> pd.DataFrame:
    """The claims as a table to print: a row each, a column for each stream, with a mark.

    ✓ where the mean is within the bounds and so are most runs by themselves, ~ where the mean is
    and most runs are not, ✗ where the mean is not. In brackets is in how many runs it is.
    """
    cells = []
    for row in claims.itertuples():
        mark = "✗" if not row.holds else "✓" if 2 * row.runs_that_hold > row.runs else "~"
        number = f"{row.mean:.2f}" if row.measure == "macs" else f"{row.mean:+.1f}"
        if row.sd > 0 and row.measure != "macs":
            number += f" ± {row.sd:.1f} ({row.runs_that_hold} of {row.runs})"
        cells.append(f"{mark} {number}")
    keys = ["claim", "source", "holds_if"]
    wide = claims.assign(cell=pd.Series(cells, claims.index, dtype=object))
    wide = wide.pivot_table(index=keys, columns="stream", values="cell", aggfunc="first")
    order = claims.drop_duplicates("claim")[keys]
    return wide.loc[list(order.itertuples(index=False, name=None)), claims["stream"].unique()]
