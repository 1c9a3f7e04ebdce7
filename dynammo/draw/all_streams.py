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
# How verdicts are told apart: colour, marker, face, and what they mean.
VERDICTS = {
    "✓": (PALETTE[0], "o", PALETTE[0], "✓ holds: all of the interval is\nwithin the claim's bound"),
    "✗": (PALETTE[3], "X", PALETTE[3], "✗ does not hold: all of it is\noutside"),
    "open": ("0.45", "D", "white", "open: the bound is inside the\ninterval"),
}


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


def against_cost(summary: pd.DataFrame, scale: float) -> pd.DataFrame:
    """Accuracy and its sd in %, and MACs in units of a scale, by method from cheap to costly."""
    columns = ["method", "average_accuracy", "average_accuracy_sd", "macs"]
    table = checked(summary, columns, "summary").set_index("method")[columns[1:]]
    table = table.set_axis(["accuracy", "sd", "macs"], axis=1).mul([100, 100, 1 / scale])
    return table.sort_values("macs", kind="stable")


def finish_cost_axes(ax: Axes, table: pd.DataFrame) -> None:
    """Make costs logarithmic, and draw an arrow from ACL to DynaMMo with both differences."""
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.grid()
    low, high = ax.get_ylim()
    spare = max(0, 20 - (high - low)) / 2  # never less than 20 points in sight
    low, high = max(0, low - spare), high + spare
    ax.set_ylim(low, high + 0.16 * (high - low))
    ax.set_yticks([tick for tick in ax.get_yticks() if low <= tick <= min(100, high)])
    if not {"acl", "dynammo"} <= set(table.index):
        return
    ends, top = table.loc[["acl", "dynammo"]], high + 0.05 * (high - low)
    (acl, merged), (before, after) = ends["macs"], ends["accuracy"]
    ratio, points = acl / merged, after - before
    fewer = f"{ratio:.1f}× fewer" if ratio >= 1 else f"{1 / ratio:.1f}× more"
    text = f"{fewer} MACs, {points:+.1f} points".replace("-", "\u2212")
    ax.vlines(ends["macs"], ends["accuracy"], top, "0.6", ":", lw=1, zorder=0)
    arrow = {"arrowstyle": "-|>", "color": "0.3", "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", (merged, top), (acl, top), arrowprops=arrow)
    over = {"textcoords": "offset points", "ha": "right", "fontsize": 9}
    ax.annotate(text, (max(acl, merged), top), (0, 4), **over)


@styled
def claims_figure(claims: pd.DataFrame, note: str) -> Figure:
    """Differences of average accuracy that the claims are about, with intervals and bounds.

    A panel for each stream and a row for each claim, as :func:`dynammo.measure.claims.judged` gives
    them; colour and marker tell the verdict.
    """
    columns = ["claim", "measure", "method", "other", "stream", "mean", "low", "high", "verdict"]
    columns += ["at_least", "at_most", "covers"]
    table = checked(claims, columns, "claims").query("measure == 'average'")
    table = checked(table, columns, "claims (average accuracy)")
    asked = table.drop_duplicates("claim")["claim"].tolist()
    titles = table.drop_duplicates("claim")[["method", "other"]].map(lambda name: look(name).title)
    names = (titles["method"] + " − " + titles["other"]).tolist()
    streams = table["stream"].unique()
    told = "Difference of average accuracy, on the same runs and images; line: 5 % to 95 % bound "
    told += f"over {' or '.join(table['covers'].unique())}; black: the claim's bound"
    side = (3.1, 0.6 + 0.3 * len(asked))
    figure, axes = panels(f"{told} · {note}", len(streams), 3, side, "points", "", key=True)
    for ax, stream in zip(axes[:-1], streams, strict=True):
        if ax is not axes[0]:
            ax.sharex(axes[0])
        own = table[table["stream"] == stream]
        y = own["claim"].map(asked.index)
        ax.axvline(0, color="0.6", lw=1, ls=":")
        for bound in ("at_least", "at_most"):
            ax.vlines(
                own[bound].where(np.isfinite(own[bound])), y - 0.36, y + 0.36, "black", lw=1.2
            )
        for verdict, (colour, marker, face, _) in VERDICTS.items():
            part = own["verdict"] == verdict
            half = (own["high"] - own["low"])[part] / 2
            kind = {"color": colour, "mfc": face, "ms": 4.5, "elinewidth": 1.6, "capsize": 4}
            ax.errorbar(own["mean"][part], y[part], xerr=half, fmt=marker, **kind)
        ax.set_yticks(range(len(asked)), names)
        ax.set(ylim=(len(asked) - 0.5, -0.5), title=stream)
        ax.grid(axis="x")
        ax.tick_params(labelleft=ax.get_subplotspec().is_first_col())
    for colour, marker, face, text in VERDICTS.values():
        axes[-1].plot([], [], marker, color=colour, mfc=face, ms=4.5, ls="-", lw=1.6, label=text)
    axes[-1].legend(loc="center left", borderaxespad=0, labelspacing=1)
    return finished(figure)


def interval_text(table: pd.DataFrame) -> pd.Series:
    """Differences with their bounds as text, ``-1.4 [-2.4, -0.5]``; a single run has no bounds."""
    texts = [
        f"{mean:+.1f}" + ("" if np.isnan(low) else f" [{low:+.1f}, {high:+.1f}]")
        for mean, low, high in zip(table["mean"], table["low"], table["high"], strict=True)
    ]
    return pd.Series(texts, table.index, dtype=object)


def with_checks(claims: pd.DataFrame) -> pd.DataFrame:
    """The claims as a table to print: a row each, a column for each stream, with the verdict.

    In brackets are the bounds of the interval, and the last row says what they cover.
    """
    keys = ["claim", "source", "holds_if"]
    orders = claims["orders"].map(lambda count: f", {count} order{'s' if count > 1 else ''}")
    told = claims["verdict"] + " " + interval_text(claims) + orders
    different = claims.drop_duplicates(["stream", "covers"]).groupby("stream", sort=False)
    over = different["covers"].agg("; ".join).rename("cell").reset_index()
    over = over.assign(claim="the interval is over", source="", holds_if="")
    cells = pd.concat([claims.assign(cell=told), over])
    wide = cells.pivot_table("cell", keys, "stream", aggfunc="first")
    order = cells.drop_duplicates("claim")[keys]
    wide = wide.loc[list(order.itertuples(index=False, name=None)), over["stream"].tolist()]
    return wide.fillna("–")  # a stream that was not learned with both methods
