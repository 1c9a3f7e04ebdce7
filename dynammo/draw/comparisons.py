"""Figures of ablations, each with a caption that says what was found, computed from its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dynammo.draw.style import (
    NOT_FROM_ZERO,
    PALETTE,
    SEED,
    canvas,
    checked,
    draw_means,
    finished,
    label_ends,
    look,
    methods_in,
    points_over,
    short_name,
    styled,
)
from dynammo.errors import InputError

STATISTICS_MARKS = {"averaged": "o", "mixture": "s", "measured again": "D"}


def runs_counted(table: pd.DataFrame) -> str:
    """``1 run``, ``3 runs``."""
    count = len(table[SEED].drop_duplicates())
    return f"{count} run{'s' if count != 1 else ''}"


def plain_mean(table: pd.DataFrame) -> tuple[str, str]:
    """DynaMMo's way among those of a table: the uniform mean, with averaged statistics if any.

    InputError if the uniform mean is not among them.
    """
    own = list(pd.unique(table.statistics[table.strategy == "uniform mean"]))
    if not own:
        raise InputError("Ways of merging are compared with the 'uniform mean': run it too.")
    return "uniform mean", "averaged" if "averaged" in own else own[0]


def merging_finding(table: pd.DataFrame) -> str:
    """The best way of merging against the uniform mean, in a sentence."""
    by = ["strategy", "statistics"]
    means = table.groupby(by).average_accuracy.mean()
    start, best = plain_mean(table), means.idxmax()
    named = "" if start[1] == "averaged" else f" with statistics {start[1]}"
    text = (
        f"The uniform mean{named} reaches {100 * means[start]:.1f} % on average over the sessions"
    )
    if means[best] <= means[start]:
        return f"{text}, and no other way is better ({runs_counted(table)})."
    name = best[0] if best[1] == start[1] else f"{best[0]} with statistics {best[1]}"
    wide = 100 * table.pivot_table("average_accuracy", SEED, by)
    gain = (wide[best] - wide[start]).dropna()
    points = f"{gain.mean():+.1f}" + (f" ± {gain.std():.1f}" if len(gain) > 1 else "")
    text += f"; best is {name} with {100 * means[best]:.1f} %, {points}"
    return f"{text} points run by run ({runs_counted(table)})."


@styled
def merging_figure(table: pd.DataFrame, note: str) -> Figure:
    """Average accuracy of every strategy (rows) with every choice for batch norm (marks).

    The table has a row per ``strategy``, ``statistics`` and seeds, with ``average_accuracy``.
    """
    checked(table, ["strategy", "statistics", *SEED, "average_accuracy"], "merging")
    note = f"{merging_finding(table)} {NOT_FROM_ZERO} · {note}"
    figure, ax = canvas(note, 8.2, 4.6)
    means = 100 * table.groupby(["strategy", "statistics"]).average_accuracy.agg(["mean", "std"])
    order = means["mean"].groupby("strategy").max().sort_values().index
    kinds = [kind for kind in STATISTICS_MARKS if kind in set(table.statistics)]
    for i, kind in enumerate(kinds):
        own = means.xs(kind, level="statistics").reindex(order)
        y = np.arange(len(order)) - 0.22 * (i - (len(kinds) - 1) / 2)
        look_of_kind = {"fmt": STATISTICS_MARKS[kind], "color": PALETTE[i], "mec": "white"}
        ax.errorbar(own["mean"], y, xerr=own["std"], label=kind, **look_of_kind)
    ax.axvline(means["mean"][plain_mean(table)], color="0.6", lw=1, ls=":", zorder=0)
    ax.set_yticks(np.arange(len(order)), order)
    ax.set(xlabel="average accuracy over the sessions (%)", title="Ways of merging adapter sets")
    ax.grid(axis="x")
    ax.legend(title="batch norm statistics", loc="upper left", bbox_to_anchor=(1, 1))
    return finished(figure)


def variants_finding(table: pd.DataFrame, methods: list[str]) -> str:
    """What the variants change for DynaMMo, and where merging beats the last set, in a sentence."""
    means = table.groupby(["variant", "method"]).average_accuracy.mean()
    first = "dynammo" if "dynammo" in methods else methods[0]
    own = means.xs(first, level="method")
    best, worst = own.idxmax(), own.idxmin()
    text = f"{look(first).title}: from {100 * own[worst]:.1f} % ({worst}) to "
    text += f"{100 * own[best]:.1f} % ({best})"
    if {"dynammo", "last_adapter"} <= set(methods):
        last = means.xs("last_adapter", level="method")
        wins = [name for name in own.index if own[name] > last[name]]
        text += f"; merging beats the last set alone in {len(wins)} of {len(own)} cases"
    return f"{text} ({runs_counted(table)} each)."


@styled
def variants_figure(sessions: pd.DataFrame, title: str, note: str) -> Figure:
    """Average accuracy of each method (lines) under each variant (places on the x axis).

    The table is that of :func:`dynammo.run.ablations.vary`, the title says what is varied.
    """
    columns = ["variant", "method", *SEED, "accuracy"]
    table = average_by_run(checked(sessions, columns, "variants"))
    methods, variants = methods_in(table), list(pd.unique(table["variant"]))
    note = f"{variants_finding(table, methods)} {NOT_FROM_ZERO} · {note}"
    figure, ax = canvas(note, 5.2 + 0.6 * len(variants), 4)
    ends = []
    # A line between names, unlike one between numbers, would say something of what lies between.
    unlined = {} if all(name[0].isdigit() for name in variants) else {"ls": ""}
    means = 100 * table.groupby(["method", "variant"]).average_accuracy.agg(["mean", "std"])
    for i, method in enumerate(methods):
        x = np.arange(len(variants)) + 0.05 * (i - (len(methods) - 1) / 2)
        own = means.loc[method].reindex(variants)
        ends.append(draw_means(ax, x, own["mean"], own["std"], look(method), **unlined))
    ax.set_xticks(range(len(variants)), [short_name(name, 14) for name in variants])
    ax.set_xlim(-0.4, len(variants) - 0.6)
    ax.set(ylabel="average accuracy (%)", title=title)
    ax.grid(axis="y")
    label_ends({ax: ends})
    return finished(figure)


def average_by_run(sessions: pd.DataFrame) -> pd.DataFrame:
    """Average accuracy over the sessions, a row per variant, method and seeds."""
    key = ["variant", "method", *SEED]
    averages = sessions.groupby(key, sort=False).accuracy.mean()
    return averages.rename("average_accuracy").reset_index()


@styled
def contenders_figure(
    averages: pd.DataFrame, against: str, groups: Mapping[str, Sequence[str]], note: str
) -> Figure:
    """Points of several learners over one of them, run by run, one row each, in groups.

    The title says which is best, those of a group "cheating" apart.

    Args:
        averages: of :func:`dynammo.run.ablations.averages`.
        against: the label that the others are compared with.
        groups: labels by the group they are drawn in; the best of each group on top.
    """
    columns = ["label", *SEED, "average_accuracy", "last_accuracy"]
    table = checked(averages, columns, "contenders").set_index(["label", *SEED])
    table = points_over(table[columns[-2:]], against).reset_index()
    note = f"Small: one run; large: the mean of {runs_counted(table)} · {note}"
    rows = sum(map(len, groups.values())) + len(groups)
    figure, axes = canvas(note, 9.6, 1.6 + 0.3 * rows, 1, 2, sharey=True)
    panels = (("average_accuracy", "average over sessions"), ("last_accuracy", "after the last"))
    means = table.groupby("label")[[column for column, _ in panels]].mean()
    names, row = {}, 0
    for number, (group, labels) in enumerate(groups.items()):
        names[row] = group
        for label in means.loc[list(labels)].sort_values(panels[0][0], ascending=False).index:
            row += 1
            names[row] = label
            for ax, (column, _) in zip(axes.flat, panels, strict=True):
                values = table[table.label == label][column]
                colour = PALETTE[number % len(PALETTE)]
                ax.scatter(values, np.full(len(values), row), 14, [colour], alpha=0.45, lw=0)
                ax.plot(means[column][label], row, "D", color=colour, ms=6, mec="white")
        row += 1
    for ax, (_, words) in zip(axes.flat, panels, strict=True):
        ax.axvline(0, color="0.5", lw=1, zorder=0)
        ax.set(xlabel=f"points over {against}, {words}", ylim=(row - 0.3, -0.6))
        ax.grid(axis="x")
        ax.tick_params(axis="y", length=0)
    axes[0].set_yticks(list(names), names.values())
    for text in axes[0].get_yticklabels():
        text.set_weight("bold" if text.get_text() in groups else "normal")
    axes[0].set_title(contenders_finding(means["average_accuracy"], against, groups))
    return finished(figure)


def contenders_finding(points: pd.Series, against: str, groups: Mapping[str, Sequence[str]]) -> str:
    """Which label is best and by how much, those of a group "cheating" apart."""
    fair = [label for group, labels in groups.items() if group != "cheating" for label in labels]
    best = points[fair].idxmax()
    if best == against:
        return f"None is ahead of {against}"
    return f"Best: {best}, {points[best]:+.1f} points on {against}"


@styled
def runs_figure(differences: pd.DataFrame, first: str, note: str) -> Figure:
    """What runs have over one of them, by method: the mean, with its bounds where they are known.

    The table is that of :func:`dynammo.run.compare.differences`.
    """
    columns = ["run", "method", "measure", "mean", "low", "high"]
    table = checked(differences, columns, "differences")
    runs, methods = list(pd.unique(table["run"])), methods_in(table)
    height = 1.6 + (0.22 + 0.12 * len(runs)) * len(methods)
    figure, axes = canvas(note, 9.6, height, 1, 2, sharey=True)
    for ax, measure in zip(axes.flat, ("average", "last"), strict=True):
        for i, run in enumerate(runs):
            own = table[(table["run"] == run) & (table["measure"] == measure)]
            y = own["method"].map(methods.index) + 0.5 * (i + 0.5) / len(runs) - 0.25
            half = ((own["high"] - own["low"]) / 2).fillna(0)
            kind = {"fmt": "os^D"[i % 4], "color": PALETTE[i % len(PALETTE)], "ms": 5}
            ax.errorbar(own["mean"], y, xerr=half, label=run, capsize=3, **kind)
        ax.axvline(0, color="0.5", lw=1, zorder=0)
        ax.set_xlabel(f"points over {first}, {measure} accuracy")
        ax.grid(axis="x")
    axes[0].set_yticks(range(len(methods)), [look(method).title for method in methods])
    axes[0].set_ylim(len(methods) - 0.5, -0.5)
    axes[1].legend(loc="upper left", bbox_to_anchor=(1, 1))
    return finished(figure)
