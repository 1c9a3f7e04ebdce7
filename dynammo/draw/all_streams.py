"""Figures over several streams: the claim in one picture, and every claim with its bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from dynammo.draw.costs import off_the_scale
from dynammo.draw.style import PALETTE, Look, canvas, checked, finished, look, panels, styled

ENDS = -14, 11  # points over DynaMMo at which a panel ends
MARK = {"ls": "", "ms": 6}  # a mark without a line
# How verdicts are told apart: colour, marker, face, and what they mean.
VERDICTS = {
    "✓": (PALETTE[0], "o", PALETTE[0], "✓ holds: all of the interval is\nwithin the claim's bound"),
    "✗": (PALETTE[3], "X", PALETTE[3], "✗ does not hold: all of it is\noutside"),
    "open": ("0.45", "D", "white", "open: the bound is inside the\ninterval"),
}


@styled
def accuracy_and_cost_by_stream(
    methods: Sequence[str],
    compared: Mapping[str, pd.DataFrame],
    summaries: Mapping[str, pd.DataFrame],
    note: str,
) -> Figure:
    """Points over DynaMMo on the same runs, with intervals, a panel a stream; and what each costs.

    Args:
        methods: a row each, from the top.
        compared: by a stream's title, of :func:`dynammo.measure.intervals.over_runs` or its like.
        summaries: by the same titles, of :func:`dynammo.measure.summary.summarise`.
    """
    costs_of = {title: table.set_index("method").macs for title, table in summaries.items()}
    over = dict.fromkeys(name for table in compared.values() for name in table["covers"])
    told = "Points of average accuracy over DynaMMo's in the same runs; line: 5 % to 95 % bound "
    told += f"over {' or '.join(over)}; ◂ ▸: further than the panel goes; right: a mark a stream"
    height, widths = 1.7 + 0.25 * len(methods), (*[2] * len(compared), 2.4)
    figure, axes = canvas(
        f"{told} · {note}",
        2.6 + 1.75 * (len(compared) + 1),
        height,
        1,
        len(compared) + 1,
        sharey=True,
        width_ratios=widths,
    )
    for ax, (title, table) in zip(axes[:-1], compared.items(), strict=True):
        table = checked(table, ["method", "other", "mean", "low", "high"], "intervals")
        own = table[(table.other == "dynammo") & (table.measure == "average")].set_index("method")
        ax.axvline(0, color="0.5", lw=1, zorder=0)
        for row, method in enumerate(methods):
            if method == "dynammo":
                ax.plot([0], [row], **look(method).line)
            elif method in own.index:
                low, mean, high = own.loc[method, ["low", "mean", "high"]].astype(float)
                _draw_interval(ax, low, mean, high, row, look(method))
        ax.set(xlim=ENDS, xlabel="points")
        ax.set_title(title.replace(" (", "\n("), fontsize=9)
        ax.grid(axis="x")
    costs = axes[-1]
    for row, method in enumerate(methods):
        macs = [macs[method] / 1e6 for macs in costs_of.values() if method in macs]
        costs.plot([min(macs), max(macs)], [row] * 2, color="0.8", lw=1, zorder=0)
        costs.plot(macs, [row] * len(macs), **look(method).line | MARK)
    costs.set(xscale="log", xlabel="million multiply-accumulates\nan image (logarithmic)")
    costs.set_title("cost", fontsize=9)
    costs.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    costs.xaxis.set_major_formatter("{x:g}")
    costs.xaxis.set_minor_locator(NullLocator())
    costs.grid(axis="x")
    axes[0].set_yticks(range(len(methods)), [look(method).title for method in methods])
    axes[0].set(ylim=(len(methods) - 0.4, -0.6))
    for ax in axes:
        ax.tick_params(axis="y", length=0)
    figure.suptitle(_finding(compared, costs_of), x=0.01, ha="left")
    return finished(figure)


def _draw_interval(ax: Axes, low: float, mean: float, high: float, row: int, kind: Look) -> None:
    """Draw a mean with its interval, or the number at the edge if it is further away."""
    if not ENDS[0] < mean < ENDS[1]:
        off_the_scale(ax, mean, row, kind)
        return
    if np.isfinite(low):
        ax.plot([low, high], [row, row], color=kind.colour, lw=1.5)
    ax.plot([mean], [row], **kind.line | MARK)


def _finding(compared: Mapping[str, pd.DataFrame], costs_of: Mapping[str, pd.Series]) -> str:
    """What keeping every set brings and costs, as a title."""
    gaps, times = [], []
    for title, table in compared.items():
        own = table[(table.method == "acl") & (table.other == "dynammo")]
        gaps += own[own.measure == "average"]["mean"].tolist()
        macs = costs_of[title]
        times += [macs["acl"] / macs["dynammo"]] if {"acl", "dynammo"} <= set(macs.index) else []
    if not gaps:
        return "Accuracy and what it costs, stream by stream"
    points, cost = (f"{min(x):.1f} to {max(x):.1f}" for x in (gaps, times))
    return f"ACL, which keeps every set, is {points} points over DynaMMo, at {cost} times its cost"


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
