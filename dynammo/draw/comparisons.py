"""Figures of ablations, each with a caption that says what was found, computed from its numbers."""

from __future__ import annotations

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
    short_name,
    styled,
)
from dynammo.errors import InputError

STATISTICS_MARKS = {"averaged": "o", "mixture": "s", "measured again": "D"}


def runs_counted(table: pd.DataFrame) -> str:
    """``1 run``, ``3 runs``."""
    count = len(table[SEED].drop_duplicates())
    return f"{count} run{'s' if count != 1 else ''}"


def paired(table: pd.DataFrame, one: str | tuple, other: str | tuple, by: str | list[str]) -> str:
    """Difference of two choices in average accuracy, run by run, in points: ``+1.2 ± 0.3``."""
    wide = 100 * table.pivot_table("average_accuracy", SEED, by)
    difference = (wide[one] - wide[other]).dropna()
    sd = f" ± {difference.std():.1f}" if len(difference) > 1 else ""
    return f"{difference.mean():+.1f}{sd}"


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
    text += f"; best is {name} with {100 * means[best]:.1f} %, {paired(table, best, start, by)}"
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
def contenders_figure(averages: pd.DataFrame, against: str, title: str, note: str) -> Figure:
    """Average and last accuracy of several learners on the same chains, one row each.

    The table is that of :func:`dynammo.run.ablations.averages`, with labels in the order to show;
    the caption compares the others with the label ``against``, run by run.
    """
    table = checked(averages, ["label", *SEED, "average_accuracy", "last_accuracy"], "contenders")
    labels = list(pd.unique(table.label))[::-1]
    note = f"{contenders_finding(table, against)}. {NOT_FROM_ZERO} · {note}"
    figure, axes = canvas(note, 9.6, 1.6 + 0.36 * len(labels), 1, 2)
    panels = (("average_accuracy", "average over sessions"), ("last_accuracy", "after the last"))
    for ax, (column, words) in zip(axes.flat, panels, strict=True):
        for place, label in enumerate(labels):
            values = 100 * table[table.label == label][column]
            colour = PALETTE[3 if label == against else 0]
            ax.scatter(values, np.full(len(values), place), 14, [colour], alpha=0.45, lw=0)
            ax.plot(values.mean(), place, "D", color=colour, ms=6, mec="white")
        base = 100 * table[table.label == against][column].mean()
        ax.axvline(base, color="0.6", lw=1, ls=":", zorder=0)
        ax.set_yticks(range(len(labels)), labels)
        ax.set(xlabel=f"accuracy {words} (%)", ylim=(-0.6, len(labels) - 0.4))
        ax.label_outer()
        ax.grid(axis="x")
    axes[0].set_title(title)
    return finished(figure)


def contenders_finding(averages: pd.DataFrame, against: str) -> str:
    """Each label's difference to one of them, run by run, in a sentence."""
    others = [label for label in averages.label.unique() if label != against]
    parts = [f"{label} {paired(averages, label, against, 'label')}" for label in others]
    return f"Points over {against} on average: {'; '.join(parts)} ({runs_counted(averages)})"
