"""Figures: every function takes a table and returns a matplotlib Figure, with no files involved.

A method has one colour, one marker and one line style, the same in every figure (`look`), and is
named beside its line, so that no figure is read by colour alone. Every figure carries a `note` at
the bottom that says what data it is of. `save_figure` writes figures so that the same numbers
give the same bytes.
"""

import os
import textwrap
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from sklearn.isotonic import isotonic_regression

from dynammo.errors import InputError
from dynammo.learners import LEARNERS
from dynammo.streams import Stream

# Letters in the SVG are drawn as outlines ("path"), because the page that shows it (GitHub, a
# browser without DejaVu Sans) would otherwise put another font's wider letters into the layout.
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "0.4",
    "axes.axisbelow": True,
    "axes.labelcolor": "0.2",
    "xtick.color": "0.3",
    "ytick.color": "0.3",
    "grid.color": "0.92",
    "legend.frameon": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "dynammo",
}
styled = style.context(["default", STYLE])

PALETTE = sns.color_palette("colorblind")
MARKERS = "osD^vXPph<>"  # 11, so that with 10 colours the pairs repeat after 110 methods
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))
# Palette number of the methods met most; the others follow in the order of LEARNERS.
COLOURS = {"dynammo": 0, "acl": 3, "dynammo_task_heads": 9, "last_adapter": 1, "frozen_features": 7}
SEED = ["order_seed", "train_seed"]


@dataclass(frozen=True)
class Look:
    """How a method is drawn, and the place it takes in legends and rows of panels."""

    title: str
    colour: tuple[float, ...]
    marker: str
    dash: str | tuple
    place: int = 0

    @property
    def line(self) -> dict:
        """Options of Axes.plot."""
        marks = {"marker": self.marker, "ms": 6.5, "mec": "white", "mew": 0.7}
        return {"color": self.colour, "ls": self.dash, "lw": 1.6, **marks}

    @property
    def ink(self) -> tuple[float, ...]:
        """The colour, dark enough for letters on white."""
        return tuple(0.62 * channel for channel in self.colour)


def look(method: str) -> Look:
    """Look of a method; of one that is not in LEARNERS it follows from its name alone."""
    known = list(LEARNERS)
    place = known.index(method) if method in known else len(known) + zlib.crc32(method.encode())
    colours = [*COLOURS.values(), *(i for i in range(10) if i not in COLOURS.values())]
    others = [name for name in known if name not in COLOURS]
    if method in COLOURS:
        turn = list(COLOURS).index(method)
    else:
        turn = len(COLOURS) + (others.index(method) if method in others else place)
    title = LEARNERS[method].title if method in known else method.replace("_", " ")
    marker, dash = MARKERS[turn % len(MARKERS)], DASHES[turn % len(DASHES)]
    return Look(title, PALETTE[colours[turn % 10]], marker, dash, place)


class Picture(Figure):
    """A Figure that notebooks show without pyplot, which would keep it and show it twice."""

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.savefig(buffer, format="png", dpi=100)
        return buffer.getvalue()


def _canvas(note: str, width: float, height: float, rows: int = 1, columns: int = 1):
    """Return a Picture of so many inches with the note at its foot, and its axes as an array."""
    figure = Picture(figsize=(width, height), layout="constrained")
    lines = textwrap.wrap(note, int(16.5 * width))
    foot = (0.1 + 0.14 * len(lines)) / height
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08, rect=(0, foot, 1, 1 - foot))
    text = figure.text(0.1 / width, 0.08 / height, "\n".join(lines), fontsize=7.5, color="0.42")
    text.set_in_layout(False)
    return figure, figure.subplots(rows, columns, squeeze=False)


def _finished(figure: Picture) -> Picture:
    """Fix the layout, so that PNG, SVG and notebook show the same one."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


def _checked(table: pd.DataFrame, columns: Iterable[str], what: str) -> pd.DataFrame:
    """Return the table, or raise InputError if there is nothing in it to draw."""
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise InputError(f"The {what} table lacks the column(s) {', '.join(missing)}.")
    if table.empty:
        raise InputError(f"The {what} table has no rows, so there is nothing to draw.")
    return table


def _methods(table: pd.DataFrame) -> list[str]:
    return sorted(table["method"].unique(), key=lambda name: (look(name).place, name))


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> np.ndarray:
    """Positions nearest to those wanted (least squares) with a gap between any two."""
    wanted = np.asarray(wanted, dtype=float)
    order = np.argsort(wanted, kind="stable")
    ladder = gap * np.arange(len(wanted))
    top = max(low, high - ladder[-1])
    placed = np.empty_like(wanted)
    placed[order] = isotonic_regression(wanted[order] - ladder, y_min=low, y_max=top) + ladder
    return placed


def _label(ax: Axes, points: Sequence[tuple[float, float, Look]], x: float = 1.05) -> None:
    """Name points (x, y in data units) in a column at axes fraction x, tied to them by thin lines.

    The axes need their final limits.
    """
    places = [point[:2] for point in points]
    texts = [
        ax.annotate(
            kind.title,
            place,
            (x, 0.5),
            textcoords=ax.transAxes,
            color=kind.ink,
            va="center",
            fontsize=9,
            arrowprops={
                "arrowstyle": "-",
                "color": kind.colour,
                "lw": 0.8,
                "shrinkA": 3,
                "shrinkB": 5,
                "relpos": (0, 0.5),
            },
        )
        for place, (_, _, kind) in zip(places, points, strict=True)
    ]
    ax.figure.draw_without_rendering()  # the layout now leaves room for the labels
    height = ax.get_window_extent().height * 72 / ax.figure.dpi
    wanted = ax.transAxes.inverted().transform(ax.transData.transform(places))[:, 1]
    for text, y, (_, _, kind) in zip(
        texts, spread(wanted, 13 / height, 0.01, 1), points, strict=True
    ):
        text.set_position((x, y))
        key = {**kind.line, "ms": 5, "transform": ax.transAxes, "clip_on": False}
        ax.plot([x - 0.012], [y], scalex=False, scaley=False, **key)


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
        return f"One seed, so no spread is known. {note}"
    return f"Line: mean of {seeds} seeds; bar: \u00b1 1 standard deviation; dot: one seed. {note}"


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
    table = _checked(sessions, ["method", *SEED, "session", "classes_seen", "accuracy"], "sessions")
    methods = _methods(table)
    height = max(4.4, 1.6 + 0.22 * len(methods))
    figure, axes = _canvas(_seeds_note(table, note), 8.2, height)
    ax, ends = axes[0, 0], []
    for i, method in enumerate(methods):
        kind = look(method)
        shift = (i - (len(methods) - 1) / 2) * min(
            0.013 * table["session"].max(), 0.4 / len(methods)
        )
        end = _mean_and_seeds(ax, table[table["method"] == method], shift, kind)
        ends.append((*end, kind))
    chance = 100 / table.groupby("session")["classes_seen"].max()
    ax.plot(chance.index, chance, color="0.55", lw=1, ls=":", label="chance")
    ends.append((chance.index[-1], chance.iloc[-1], Look("chance", (0.6,) * 3, "", ":")))
    _session_axis(ax, table)
    ax.set(ylim=(0, 101), ylabel="accuracy (%)", title="Accuracy on all classes seen so far")
    ax.grid(axis="y")
    _label(ax, ends)
    return _finished(figure)


@styled
def accuracy_matrices(accuracy: pd.DataFrame, note: str) -> Figure:
    """A heat map per method: accuracy on each session's classes after each session, seeds' mean."""
    columns = ["method", "session", "evaluated_session", "accuracy"]
    methods = _methods(table := _checked(accuracy, columns, "accuracy"))
    sessions = range(1, int(table["session"].max()) + 1)
    rows, width = _grid_of(len(methods))
    side = min(3.2, max(2.3, 0.36 * len(sessions)))
    figure, axes = _canvas(note, 0.9 + side * width, 0.7 + (side + 0.25) * rows, rows, width)
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
    return _finished(figure)


@styled
def accuracy_against_macs(summary: pd.DataFrame, note: str) -> Figure:
    """What accuracy costs: average accuracy against multiply-accumulates per image.

    Where both are in the table, an arrow from ACL to DynaMMo tells the two differences.
    """
    columns = ["method", "average_accuracy", "average_accuracy_sd", "macs"]
    table = _checked(summary, columns, "summary").set_index("method")
    scale, unit = (1e9, "GMACs") if table["macs"].max() >= 1e9 else (1e6, "MMACs")
    x, y = table["macs"] / scale, 100 * table["average_accuracy"]
    sd = 100 * table["average_accuracy_sd"].fillna(0)
    told = "The accuracy axis does not start at 0. Bar: \u00b1 1 standard deviation over seeds."
    figure, axes = _canvas(f"{told} {note}", 7.6, 4.6)
    ax, points = axes[0, 0], []
    for method in _methods(summary):
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
        fewer = f"{ratio:.1f}\u00d7 fewer" if ratio >= 1 else f"{1 / ratio:.1f}\u00d7 more"
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
    return _finished(figure)


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
        _label(ax, [points[i] for i in column], max(fraction[i] for i in column) + 0.04)


@styled
def cost_growth(growth: pd.DataFrame, note: str) -> Figure:
    """MACs per image and parameters kept, against the number of sessions learned; from 0."""
    columns = ["method", "sessions", "macs", "parameters_stored"]
    table = _checked(growth, columns, "growth").sort_values("sessions")
    methods = _methods(table)
    height = max(3.9, 1.4 + 0.2 * len(methods))
    figure, axes = _canvas(note, 10.4, height, 1, 2)
    for ax, column, title, unit in zip(
        axes.flat,
        ("macs", "parameters_stored"),
        ("Multiply-accumulates per image", "Parameters stored"),
        ("MAC", ""),
        strict=True,
    ):
        scale, prefix = (1e9, "G") if table[column].max() >= 1e9 else (1e6, "M")
        ends = []
        for i, method in enumerate(methods):
            own, kind = table[table["method"] == method], look(method)
            # Lines that coincide stay in sight: the first drawn are the widest.
            sizes = {"ms": 5 + 5 * (1 - i / len(methods)), "lw": 1.2 + 3 * (1 - i / len(methods))}
            y = own[column] / scale
            ax.plot(own["sessions"], y, label=kind.title, **{**kind.line, **sizes})
            ends.append((own["sessions"].iloc[-1], y.iloc[-1], kind))
        unit = f"{prefix}{unit}s" if unit else "millions" if prefix == "M" else "billions"
        ax.set(title=title, ylabel=unit, xlabel="sessions learned")
        ax.set_ylim(0, 1.08 * table[column].max() / scale)
        counted = table["sessions"].unique()
        ax.set_xticks(counted if len(counted) <= 8 else [counted[0], *counted[counted % 5 == 0]])
        ax.grid(axis="y")
        _label(ax, ends)
    return _finished(figure)


@styled
def confusion_matrices(
    confusion: pd.DataFrame, note: str, session_of_class: Sequence[int] | None = None
) -> Figure:
    """A heat map per method: the share of each true class that is given each name, in %.

    Args:
        confusion: classes in order of arrival.
        note: what data the figure is of.
        session_of_class: session number of each class; lines are drawn between sessions.
    """
    columns = ["method", "true_class", "predicted_class", "share"]
    methods = _methods(table := _checked(confusion, columns, "confusion"))
    names = list(pd.unique(table["true_class"]))
    side = 3.6 if len(names) <= 9 else 4.8
    letters = {True: 8.0, len(names) > 9: 7.0, len(names) > 14: 5.5, len(names) > 25: 0}[True]
    rows, width = _grid_of(len(methods), 3)
    note = f"Each row adds up to 100 %; under 0.5 % is left empty. {note}" if letters else note
    size = (1.9 + side * width, 1.8 + side * rows)
    figure, axes = _canvas(note, *size, rows, width)
    step = -(-len(names) // 50)
    for panel, (ax, method) in enumerate(zip(axes.flat, methods, strict=False)):
        own = table[table["method"] == method]
        shares = own.pivot_table("share", "true_class", "predicted_class", sort=False)
        shares = shares.reindex(index=names, columns=names).fillna(0).to_numpy()
        mesh = _heat_map(ax, shares, letters, smallest=0.005)
        ax.set(title=look(method).title, xlabel="predicted class")
        ticks = np.arange(0, len(names), step)
        small = {"fontsize": 8 if len(names) <= 25 else 5.5}
        ax.set_xticks(ticks + 0.5, [_short(names[i]) for i in ticks], rotation=90, **small)
        ax.set_yticks(ticks + 0.5, [_short(names[i]) for i in ticks], **small)
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
    return _finished(figure)


def _short(name: str, width: int = 22) -> str:
    """Break a class name into lines of at most so many letters."""
    return textwrap.fill(str(name).replace("_", " "), width)


@styled
def head_comparison(sessions: pd.DataFrame, note: str) -> Figure:
    """DynaMMo's unified head against its task heads by session, and the difference seed by seed."""
    columns = ["method", *SEED, "session", "classes_seen", "accuracy", "session_inference"]
    table = _checked(sessions, columns, "sessions")
    pair = ["dynammo", "dynammo_task_heads"]
    table = table[table["method"].isin(pair)]
    if table["method"].nunique() < 2:
        raise InputError(f"The heads are compared on the methods {' and '.join(pair)}: run both.")
    own = table[table["method"] == pair[1]]
    if own["session_inference"].notna().any():
        note = f"Grey: images for which the task heads choose the right session. {note}"
    figure, axes = _canvas(_seeds_note(table, note), 10.4, 4.2, 1, 2)
    ends = []
    for method, title, shift in zip(
        pair, ("unified head", "task heads"), (-0.03, 0.03), strict=True
    ):
        own, kind = table[table["method"] == method], replace(look(method), title=title)
        ends.append((*_mean_and_seeds(axes[0, 0], own, shift, kind), kind))
    if own["session_inference"].notna().any():
        right = 100 * own.groupby("session")["session_inference"].mean()
        kind = Look("right session", (0.5,) * 3, ".", ":")
        axes[0, 0].plot(right.index, right, **{**kind.line, "lw": 1})
        ends.append((right.index[-1], right.iloc[-1], kind))
    wide = 100 * table.pivot_table("accuracy", [*SEED, "session"], "method")
    difference = (wide[pair[0]] - wide[pair[1]]).rename("difference").reset_index()
    ax = axes[0, 1]
    for _, own in difference.groupby(SEED):
        ax.plot(own["session"], own["difference"], color="0.7", lw=0.9, marker=".", zorder=1)
    by_session = difference.groupby("session")["difference"].agg(["mean", "std"])
    options = {**look(pair[0]).line, "ls": "", "marker": "D", "zorder": 3}
    ax.errorbar(by_session.index, by_session["mean"], by_session["std"], elinewidth=1.4, **options)
    ax.axhline(0, color="0.3", lw=0.9)
    reach = max(5, 1.35 * difference["difference"].abs().max())
    ax.set(ylim=(-reach, reach), ylabel="difference (points)")
    ax.set_title("Unified minus task heads, same seed")
    for text, y, va in (
        ("unified head better", 0.98, "top"),
        ("task heads better", 0.02, "bottom"),
    ):
        ax.text(0.01, y, text, transform=ax.transAxes, va=va, color="0.45", fontsize=8.5)
    for ax in axes.flat:
        _session_axis(ax, table)
        ax.grid(axis="y")
    _label(axes[0, 0], ends)
    return _finished(figure)


@styled
def sample_sheet(stream: Stream, note: str, split: str = "train", per_class: int = 8) -> Figure:
    """The first images of each class, one row a class in order of arrival, under its session."""
    stacks = -(-stream.number_of_classes // 20)
    per_stack = -(-stream.number_of_classes // stacks)
    cell, size = (0.5, 8.5) if stacks == 1 else (0.34, 7)  # inches an image, points a letter
    names = [_short(name, 18) for name in stream.class_names]
    room = 0.4 + 0.0093 * size / cell * max(
        len(line) for name in names for line in name.split("\n")
    )
    images, labels = getattr(stream, split).images, getattr(stream, split).labels
    pixels = images.shape[1]
    gap = max(1, pixels // 20)
    stride = per_class + room  # from one column of rows to the next, in images
    figure, axes = _canvas(
        note,
        cell * stacks * stride,
        cell
        * (
            per_stack
            + 0.75 * (1 + max(np.ptp(part) for part in _parts(stream.session_of_class, per_stack)))
        )
        + 0.5,
    )
    ax, bottom = axes[0, 0], 0.0
    for stack, sessions in enumerate(_parts(stream.session_of_class, per_stack)):
        left, y = stack * stride, 0.0
        for row, session in enumerate(sessions):
            if row == 0 or session != sessions[row - 1]:
                ax.text(
                    left, y + 0.45, f"Session {session}", weight="bold", va="center", size=size + 1
                )
                y += 0.75
            label = stack * per_stack + row
            chosen = images[np.flatnonzero(labels == label)[:per_class]]
            strip = np.pad(chosen, ((0, 0), (0, gap), (0, gap), (0, 0)), constant_values=255)
            ax.imshow(np.concatenate(strip, axis=1), extent=(left, left + len(chosen), y + 1, y))
            ax.text(left - 0.15, y + 0.47, names[label], ha="right", va="center", size=size)
            y += 1
        bottom = max(bottom, y)
    ax.set(xlim=(-room, stacks * stride - room), ylim=(bottom, 0), aspect="equal")
    ax.axis("off")
    return _finished(figure)


def _parts(values: np.ndarray, length: int) -> list[np.ndarray]:
    """Cut an array into parts of a length; the last may be shorter."""
    return [values[i : i + length] for i in range(0, len(values), length)]


@styled
def class_balance(stream: Stream, note: str) -> Figure:
    """How many images each class has for training, validation and test, grouped by session."""
    many = stream.number_of_classes > 24
    width = 0.12 * stream.number_of_classes + 2 if many else 0.75 * stream.number_of_classes + 1.5
    figure, axes = _canvas(note, min(18, max(6, width)), 4.2)
    ax = axes[0, 0]
    places = np.arange(stream.number_of_classes) + 0.5 * (stream.session_of_class - 1)
    shades = (("train", PALETTE[0], ""), ("val", "0.78", "////"), ("test", PALETTE[1], ""))
    for i, (split, colour, hatch) in enumerate(shades):
        counts = np.bincount(getattr(stream, split).labels, minlength=stream.number_of_classes)
        options = {"color": colour, "hatch": hatch, "edgecolor": "white", "lw": 0.3}
        bars = ax.bar(places + 0.28 * (i - 1), counts, 0.28, label=split, **options)
        if stream.number_of_classes <= 12:
            ax.bar_label(bars, fontsize=6.5, padding=1, color="0.35")
    ax.set_xticks(places, [_short(name) for name in stream.class_names], rotation=90)
    if not many:
        names = [_short(name, 14) for name in stream.class_names]
        ax.set_xticks(places, names, rotation=30, ha="right", rotation_mode="anchor")
    ax.tick_params(axis="x", length=0, labelsize=6 if many else 8.5)
    for session in range(1, stream.number_of_sessions + 1):
        own = places[stream.session_of_class == session]
        if session % 2:
            ax.axvspan(own[0] - 0.75, own[-1] + 0.75, color="0.96", zorder=0, lw=0)
        text = f"session {session}" if session == 1 or not many else str(session)
        ax.annotate(
            text,
            (own.mean(), 1),
            (0, 3),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
            color="0.4",
        )
    ax.set(xlim=(places[0] - 0.75, places[-1] + 0.75), ylabel="images")
    ax.grid(axis="y")
    figure.legend(loc="outside upper right", ncols=3)
    return _finished(figure)


@styled
def training_losses(losses: pd.DataFrame, note: str) -> Figure:
    """Training loss by epoch, one line a session, from 0."""
    table = _checked(losses, ["session", "epoch", "loss"], "losses")
    figure, axes = _canvas(note, 7.4, 4)
    ax, ends = axes[0, 0], []
    colours = sns.color_palette("crest", table["session"].nunique())
    for i, (session, own) in enumerate(table.groupby("session")):
        by_epoch = own.groupby("epoch")["loss"].mean()
        kind = Look(f"session {session}", colours[i], "", DASHES[i % len(DASHES)])
        ax.plot(by_epoch.index, by_epoch, label=kind.title, **kind.line)
        ends.append((by_epoch.index[-1], by_epoch.iloc[-1], kind))
    ax.set(xlabel="epoch", ylabel="cross-entropy", title="Training loss of each session's adapters")
    ax.set_ylim(0, 1.05 * table["loss"].max())
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(axis="y")
    _label(ax, ends)
    return _finished(figure)


def _atomically(path: Path, write: Callable[[Path], object]) -> Path:
    """Have a file written beside its place and moved there when it is whole."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path


@styled
def save_figure(
    figure: Figure, table: pd.DataFrame | None, stem: Path, provenance: Mapping[str, str]
) -> list[Path]:
    """Write stem.png, stem.svg and the numbers as stem.csv; the same input gives the same bytes.

    The figure stays open, for a notebook to show.

    Args:
        figure: from a function of this module.
        table: the numbers in the figure; no csv is written without.
        stem: the path without its ending; its folder is made.
        provenance: where the numbers come from, kept in the PNG's text and the SVG's description.

    Returns:
        The paths written.
    """
    stem = Path(stem)
    stem.parent.mkdir(parents=True, exist_ok=True)
    facts = {key: str(value) for key, value in provenance.items()}
    described = "; ".join(f"{key}: {value}" for key, value in facts.items())
    metadata = {
        "png": {"Title": stem.name, **facts},
        "svg": {"Title": stem.name, "Description": described, "Date": None},
    }
    paths = []
    for kind, facts_of_kind in metadata.items():
        options = {"format": kind, "dpi": 150, "metadata": facts_of_kind}
        write = partial(figure.savefig, **options)
        paths.append(_atomically(stem.with_name(f"{stem.name}.{kind}"), write))
    if table is not None:
        options = {"index": False, "float_format": "%.6g", "lineterminator": "\n"}
        path = stem.with_name(f"{stem.name}.csv")
        paths.append(_atomically(path, partial(table.to_csv, **options)))
    return paths
