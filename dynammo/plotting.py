"""Figures of results: every function takes a table and returns a Figure, with no files involved."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from dynammo.errors import InputError
from dynammo.looks import (
    DASHES,
    HEADS,
    SEED,
    Look,
    canvas,
    checked,
    finished,
    label_ends,
    look,
    methods_in,
    short_name,
    styled,
)


def _grid_of(count: int, most: int = 4) -> tuple[int, int]:
    """Return rows and columns for so many panels."""
    rows = -(-count // most)
    return rows, -(-count // rows)


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


def _seeds_note(table: pd.DataFrame, note: str) -> str:
    """Put before the note what lines, bars and dots stand for."""
    seeds = len(table[SEED].drop_duplicates())
    if seeds == 1:
        return f"One seed, so no spread is known · {note}"
    return f"Line: mean of {seeds} seeds; bar: ± 1 standard deviation; dot: one seed · {note}"


def _session_axis(ax: Axes, table: pd.DataFrame) -> None:
    """Label the x axis by session with the number of classes seen in a second line."""
    seen = table.groupby("session")["classes_seen"].max()
    ax.set_xlim(seen.index[0] - 0.3, seen.index[-1] + 0.3)
    shown = seen[:: -(-len(seen) // 20)]
    ax.set_xticks(shown.index, [f"{t}\n{k}" for t, k in shown.items()])
    ax.set_xlabel("session (second line: classes seen by then)")


def _mean_and_seeds(ax: Axes, own: pd.DataFrame, shift: float, kind: Look, column="accuracy"):
    """Draw one method's mean, sd and seeds by session, in %; return the end of its line."""
    by_session = 100 * own.groupby("session")[column].agg(["mean", "std"])
    x, mean = by_session.index.to_numpy() + shift, by_session["mean"].to_numpy()
    if by_session["std"].notna().any():
        ax.scatter(own["session"] + shift, 100 * own[column], 9, [kind.colour], alpha=0.4, lw=0)
        ax.errorbar(x, mean, by_session["std"], fmt="none", ecolor=kind.colour, elinewidth=1)
    ax.plot(x, mean, label=kind.title, **kind.line)
    return x[-1], mean[-1]


@styled
def accuracy_by_session(sessions: pd.DataFrame, note: str) -> Figure:
    """Accuracy over all classes seen, after each session: mean, sd and each seed, with chance.

    The axis runs from 0 to 100 %, so that a difference looks as big as it is.
    """
    table = checked(sessions, ["method", *SEED, "session", "classes_seen", "accuracy"], "sessions")
    methods = methods_in(table)
    height = max(4.4, 1.6 + 0.22 * len(methods))
    figure, axes = canvas(_seeds_note(table, note), 8.2, height)
    ax, ends = axes[0, 0], []
    apart = min(0.013 * table["session"].max(), 0.4 / len(methods))  # so that bars stay in sight
    for i, method in enumerate(methods):
        own, shift = table[table["method"] == method], apart * (i - (len(methods) - 1) / 2)
        ends.append((*_mean_and_seeds(ax, own, shift, look(method)), look(method)))
    chance = 100 / table.groupby("session")["classes_seen"].max()
    ax.plot(chance.index, chance, color="0.55", lw=1, ls=":", label="chance")
    ends.append((chance.index[-1], chance.iloc[-1], Look("chance", (0.6,) * 3, "", ":")))
    _session_axis(ax, table)
    ax.set(ylim=(0, 101), ylabel="accuracy (%)", title="Accuracy on all classes seen so far")
    ax.grid(axis="y")
    label_ends(ax, ends)
    return finished(figure)


@styled
def accuracy_matrices(accuracy: pd.DataFrame, note: str) -> Figure:
    """A heat map per method: accuracy on each session's classes after each session, seeds' mean."""
    columns = ["method", "session", "evaluated_session", "accuracy"]
    methods = methods_in(table := checked(accuracy, columns, "accuracy"))
    sessions = range(1, int(table["session"].max()) + 1)
    rows, width = _grid_of(len(methods))
    side = min(3.2, max(2.3, 0.36 * len(sessions)))
    figure, axes = canvas(note, 0.9 + side * width, 0.7 + (side + 0.25) * rows, rows, width)
    for ax, method in zip(axes.flat, methods, strict=False):
        own = table[table["method"] == method]
        matrix = own.pivot_table("accuracy", "session", "evaluated_session")
        matrix = matrix.reindex(index=sessions, columns=sessions).to_numpy()
        mesh = _heat_map(ax, matrix, min(9, 0.4 * 72 * side / len(sessions)))
        ax.set_title(look(method).title)
        ticks = np.arange(len(sessions))[:: -(-len(sessions) // 10)]
        ax.set_xticks(ticks + 0.5, ticks + 1)
        ax.set_yticks(ticks + 0.5, ticks + 1)
    for ax in axes.flat[len(methods) :]:
        ax.set_visible(False)
    for ax in axes[:, 0]:
        ax.set_ylabel("after session")
    for column in axes.T:
        last = [ax for ax in column if ax.get_visible()][-1]
        last.set_xlabel("on the classes of session")
    figure.colorbar(mesh, ax=axes, label="accuracy (%)", shrink=0.9 / rows**0.5, pad=0.02)
    return finished(figure)


@styled
def accuracy_against_macs(summary: pd.DataFrame, note: str) -> Figure:
    """What accuracy costs: average accuracy against multiply-accumulates per image.

    Where both are in the table, an arrow from ACL to DynaMMo tells the two differences.
    """
    columns = ["method", "average_accuracy", "average_accuracy_sd", "macs"]
    table = checked(summary, columns, "summary").set_index("method")
    scale, unit = (1e9, "GMACs") if table["macs"].max() >= 1e9 else (1e6, "MMACs")
    x, y = table["macs"] / scale, 100 * table["average_accuracy"]
    sd = 100 * table["average_accuracy_sd"].fillna(0)
    told = "The accuracy axis does not start at 0. Bar: ± 1 standard deviation over seeds"
    figure, axes = canvas(f"{told} · {note}", 7.6, 4.6)
    ax, points = axes[0, 0], []
    for method in methods_in(summary):
        kind = look(method)
        at = (x[method], y[method])
        if sd[method]:
            ax.errorbar(*at, sd[method], fmt="none", ecolor=kind.colour, elinewidth=1.2, capsize=3)
        ax.plot(*at, label=kind.title, **{**kind.line, "ms": 9, "ls": ""})
        points.append((*at, kind))
    middle = ((y - sd).min() + (y + sd).max()) / 2
    half = max(10, 0.6 * ((y + sd).max() - (y - sd).min()))  # never less than 20 points in sight
    ax.set_ylim(max(0, middle - half), middle + 1.35 * half)  # the rest is for the arrow
    ax.set_yticks([tick for tick in ax.get_yticks() if ax.get_ylim()[0] <= tick <= 100])
    if x.max() > 25 * x.min():
        ax.set(xscale="log", xlim=(x.min() / 1.5, x.max() * (x.max() / x.min()) ** 0.45))
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_locator(NullLocator())
    else:
        ax.set_xlim(0, 1.4 * x.max())
    ax.set_xlabel(f"multiply-accumulates per image ({unit}, 1 MAC = 2 FLOPs)")
    ax.set_ylabel("average accuracy over sessions (%)")
    ax.set_title("Accuracy and what it costs")
    ax.grid()
    if {"acl", "dynammo"} <= set(table.index):
        ratio = table["macs"]["acl"] / table["macs"]["dynammo"]
        fewer = f"{ratio:.1f}× fewer" if ratio >= 1 else f"{1 / ratio:.1f}× more"
        points_lost = f"{y['dynammo'] - y['acl']:+.1f}".replace("-", "\u2212")
        top = np.dot(ax.get_ylim(), (0.1, 0.9))
        ends = [x["dynammo"], x["acl"]]
        ax.vlines(ends, y[["dynammo", "acl"]], top, "0.6", ":", lw=1, zorder=0)
        arrow = {"arrowstyle": "-|>", "color": "0.3", "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", (ends[0], top), (ends[1], top), arrowprops=arrow)
        middle = np.sqrt(np.prod(ends)) if ax.get_xscale() == "log" else np.mean(ends)
        text = f"{fewer} MACs, {points_lost} points"
        ax.annotate(text, (middle, top), (0, 4), textcoords="offset points", ha="center")
    _label_columns(ax, points)
    return finished(figure)


def _label_columns(ax: Axes, points: Sequence[tuple]) -> None:
    """Label points to their right, in one column for all whose labels would collide."""
    figure_x = ax.transAxes.inverted()
    fraction = [figure_x.transform(ax.transData.transform(p[:2]))[0] for p in points]
    order = np.argsort(fraction, kind="stable")
    columns: list[list[int]] = []
    for i in order:
        if columns and fraction[i] - fraction[columns[-1][0]] < 0.3:
            columns[-1].append(i)
        else:
            columns.append([i])
    for column in columns:
        label_ends(ax, [points[i] for i in column], max(fraction[i] for i in column))


@styled
def cost_growth(growth: pd.DataFrame, note: str) -> Figure:
    """MACs per image and parameters kept, against the number of sessions learned; from 0."""
    columns = ["method", "sessions", "macs", "parameters_stored"]
    table = checked(growth, columns, "growth").sort_values("sessions")
    methods = methods_in(table)
    height = max(3.9, 1.4 + 0.2 * len(methods))
    figure, axes = canvas(note, 10.4, height, 1, 2)
    panels = (
        ("macs", "Multiply-accumulates per image", "{}MACs"),
        ("parameters_stored", "Parameters stored", "parameters ({})"),
    )
    for ax, (column, title, unit) in zip(axes.flat, panels, strict=True):
        scale, prefix = (1e9, "G") if table[column].max() >= 1e9 else (1e6, "M")
        ends = []
        for i, method in enumerate(methods):
            own, kind = table[table["method"] == method], look(method)
            # Lines that coincide stay in sight: the first drawn are the widest.
            sizes = {"ms": 5 + 5 * (1 - i / len(methods)), "lw": 1.2 + 2 * (1 - i / len(methods))}
            y = own[column] / scale
            ax.plot(own["sessions"], y, label=kind.title, **{**kind.line, **sizes})
            ends.append((own["sessions"].iloc[-1], y.iloc[-1], kind))
        ax.set(title=title, ylabel=unit.format(prefix), xlabel="sessions learned")
        ax.set_ylim(0, 1.08 * table[column].max() / scale)
        counted = table["sessions"].unique()
        ax.set_xticks(counted if len(counted) <= 8 else [counted[0], *counted[counted % 5 == 0]])
        ax.grid(axis="y")
        label_ends(ax, ends)
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
    rows, width = _grid_of(len(methods), 3)
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
    for ax in axes.flat[len(methods) :]:
        ax.set_visible(False)
    for ax in axes[:, 0]:
        ax.set_ylabel("true class, in order of arrival")
    figure.colorbar(mesh, ax=axes, label="share of the true class (%)", shrink=0.8, pad=0.02)
    return finished(figure)


@styled
def head_comparison(sessions: pd.DataFrame, note: str) -> Figure:
    """DynaMMo's task heads against a unified head by session, and the difference seed by seed."""
    columns = ["method", *SEED, "session", "classes_seen", "accuracy", "session_inference"]
    table = checked(sessions, columns, "sessions")
    table = table[table["method"].isin(HEADS)]
    if table["method"].nunique() < 2:
        raise InputError(f"The heads are compared on the methods {' and '.join(HEADS)}: run both.")
    right = table[table["session_inference"].notna()].groupby("session")["session_inference"].mean()
    if len(right):
        note = f"Grey: share of images whose session the task heads find · {note}"
    figure, axes = canvas(_seeds_note(table, note), 10.4, 4.2, 1, 2)
    ends = []
    for (method, title), shift in zip(HEADS.items(), (-0.03, 0.03), strict=True):
        own, kind = table[table["method"] == method], replace(look(method), title=title)
        ends.append((*_mean_and_seeds(axes[0, 0], own, shift, kind), kind))
    if len(right):
        kind = Look("session found", (0.5,) * 3, ".", ":")
        axes[0, 0].plot(right.index, 100 * right, **{**kind.line, "lw": 1})
        ends.append((right.index[-1], 100 * right.iloc[-1], kind))
    axes[0, 0].set(ylim=(0, 101), ylabel="accuracy (%)", title="DynaMMo's two heads")
    wide = 100 * table.pivot_table("accuracy", [*SEED, "session"], "method")
    task, unified = (wide[method] for method in HEADS)
    difference = (task - unified).rename("difference").reset_index()
    ax = axes[0, 1]
    for _, own in difference.groupby(SEED):
        ax.plot(own["session"], own["difference"], color="0.7", lw=0.9, marker=".", zorder=1)
    by_session = difference.groupby("session")["difference"].agg(["mean", "std"])
    options = {**look("dynammo").line, "ls": "", "marker": "D", "zorder": 3}
    ax.errorbar(by_session.index, by_session["mean"], by_session["std"], elinewidth=1.4, **options)
    ax.axhline(0, color="0.3", lw=0.9)
    spans = [difference["difference"].abs(), by_session["mean"].abs() + by_session["std"]]
    reach = max(5, 1.35 * pd.concat(spans).max())
    ax.set(ylim=(-reach, reach), ylabel="difference (points)")
    ax.set_title("Task heads minus unified head, same seed")
    for title, y, va in zip(HEADS.values(), (0.98, 0.02), ("top", "bottom"), strict=True):
        options = {"transform": ax.transAxes, "va": va, "color": "0.45", "fontsize": 8.5}
        box = {"facecolor": "white", "linewidth": 0, "pad": 1}
        ax.text(0.01, y, f"{title} better", bbox=box, **options)
    for ax in axes.flat:
        _session_axis(ax, table)
        ax.grid(axis="y")
    label_ends(axes[0, 0], ends)
    return finished(figure)


@styled
def training_losses(losses: pd.DataFrame, note: str) -> Figure:
    """Training loss by epoch, one line a session, from 0."""
    table = checked(losses, ["session", "epoch", "loss"], "losses")
    figure, axes = canvas(note, 7.4, 4)
    ax, ends = axes[0, 0], []
    colours = sns.color_palette("crest", table["session"].nunique())
    for i, (session, own) in enumerate(table.groupby("session")):
        by_epoch = own.groupby("epoch")["loss"].mean()
        kind = Look(f"session {session}", colours[i], "", DASHES[i % len(DASHES)])
        ax.plot(by_epoch.index, by_epoch, label=kind.title, **kind.line)
        ends.append((by_epoch.index[-1], by_epoch.iloc[-1], kind))
    ax.set(xlabel="epoch", ylabel="cross-entropy", title="Training loss of the adapters")
    ax.set_ylim(0, 1.05 * table["loss"].max())
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(axis="y")
    label_ends(ax, ends)
    return finished(figure)
