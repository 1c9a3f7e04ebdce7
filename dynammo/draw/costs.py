"""Figures of what methods cost: accuracy against computation, and growth with the sessions."""

from dataclasses import replace

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from dynammo.draw.style import (
    NOT_FROM_ZERO,
    canvas,
    checked,
    draw_means,
    finished,
    label_ends,
    look,
    methods_in,
    styled,
)

# Whose way from session to session is drawn, and how many points from its point a T stands.
PATHS = {"dynammo": (-9, 0), "acl": (0, 8), "der": (0, -8)}


@styled
def accuracy_against_macs(summary: pd.DataFrame, sessions: pd.DataFrame, note: str) -> Figure:
    """What accuracy costs: average accuracy against multiply-accumulates per image.

    A method has a point for all sessions; DynaMMo, ACL and DER have a path to it too, over the
    first T sessions. Where both are in the table, an arrow from ACL to DynaMMo tells the two
    differences.
    """
    scale, unit = _unit(checked(summary, ["macs"], "summary")["macs"])
    table = against_cost(summary, scale)
    checked(sessions, ["method", "session", "accuracy", "macs"], "sessions")
    told = f"{NOT_FROM_ZERO}; methods of equal cost stand side by side; bar: ± 1 standard "
    told += "deviation over runs; small points: over the first T sessions, T beside them"
    figure, ax = canvas(f"{told} · {note}", 9.6, 4 + 0.15 * len(table))
    for method in table.index.intersection(list(PATHS)):
        _draw_path(ax, method, sessions[sessions["method"] == method], scale)
    columns = _draw_points(ax, table)
    finish_cost_axes(ax, table)
    ax.set_xlabel(f"multiply-accumulates per image ({unit}, 1 MAC = 2 FLOPs; logarithmic)")
    ax.set_ylabel("average accuracy over sessions (%)")
    ax.set_title("Accuracy and what it costs")
    figure.draw_without_rendering()  # gives the axes their size
    for points in columns:
        side = -1 if points is columns[0] else 1  # the cheapest are named on their left
        outermost = max(points, key=lambda point: side * point[0])
        edge = (ax.transData - ax.transAxes).transform(outermost[:2])[0]
        label_ends({ax: points}, edge, side)
    return finished(figure)


def _unit(macs: pd.Series) -> tuple[float, str]:
    """How many MACs the axis counts as one, and what that is called."""
    return (1e9, "GMACs") if macs.max() >= 1e9 else (1e6, "MMACs")


def against_cost(summary: pd.DataFrame, scale: float) -> pd.DataFrame:
    """Accuracy and its sd in %, and MACs in units of a scale, by method from cheap to costly."""
    columns = ["method", "average_accuracy", "average_accuracy_sd", "macs"]
    table = checked(summary, columns, "summary").set_index("method")[columns[1:]]
    table = table.set_axis(["accuracy", "sd", "macs"], axis=1).mul([100, 100, 1 / scale])
    return table.sort_values("macs", kind="stable")


def _draw_path(ax: Axes, method: str, sessions: pd.DataFrame, scale: float) -> None:
    """Draw a thin line through a method's averages over the first T sessions, seeds' mean."""
    mean, ink = sessions.groupby("session")[["macs", "accuracy"]].mean(), look(method).ink
    x, y = mean["macs"] / scale, 100 * mean["accuracy"].expanding().mean()
    ax.plot(x, y, color=look(method).colour, lw=0.9, marker="o", ms=3, zorder=1.5)
    beside = {"textcoords": "offset points", "ha": "center", "va": "center", "color": ink}
    for t in mean.index[:-1]:
        ax.annotate(t, (x[t], y[t]), PATHS[method], fontsize=7.5, **beside)


def _draw_points(ax: Axes, table: pd.DataFrame) -> list[list[tuple]]:
    """Draw a point for each method; return their ends for label_ends, by columns of equal cost.

    Points that would hide one another move aside; those with a path stay.
    """
    span = max(2, table["macs"].max() / table["macs"].min())
    ax.set_xlim(table["macs"].min() / span**0.38, table["macs"].max() * span**0.05)
    close = 0.03 * max(20, table["accuracy"].max() - table["accuracy"].min())
    columns, left = [], table.assign(free=~table.index.isin(list(PATHS)))
    while len(left):
        column = left[left["macs"] < 1.25 * left["macs"].iloc[0]]
        left, side, points = left.drop(column.index), 1 if columns else -1, []
        for method, row in column.sort_values(["free", "accuracy"], ascending=[1, 0]).iterrows():
            x, y = row["macs"], row["accuracy"]
            near = [other for other, height, _ in points if abs(height - y) < close]
            while row["free"] and any(0.98 < x / other < 1.02 for other in near):
                x *= span ** (0.02 * side)
            points.append(draw_means(ax, [x], [y], [row["sd"]], look(method), ms=8, ls=""))
        columns.append(points)
    return columns


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
def cost_growth(growth: pd.DataFrame, note: str) -> Figure:
    """What grows with the sessions learned, from 0: computation, numbers stored and memory.

    The numbers stored are all that a method keeps (parameters, Fisher information, Gram
    matrices); the memory is 4 bytes for each of them and its exemplar images.
    """
    columns = ["method", "sessions", "macs", "parameters_stored", "memory_bytes"]
    table = checked(growth, columns, "growth").sort_values("sessions")
    methods, last = methods_in(table), table["sessions"].max()
    panels = (
        ("macs", "Multiply-accumulates per image", *_unit(table["macs"])),
        ("parameters_stored", "Numbers stored", 1e6, "millions of numbers"),
        ("memory_bytes", "Memory kept between sessions", 1e6, "MB"),
    )
    told = f"Beside a name: the value at {last} sessions; memory: 4 bytes a number, and the "
    told += "exemplar images"
    figure, axes = canvas(f"{told} · {note}", 11, max(4.2, 1.6 + 0.2 * len(methods)), 1, 3)
    ends = {ax: [] for ax in axes.flat}
    for ax, (column, title, scale, unit) in zip(axes.flat, panels, strict=True):
        for i, method in enumerate(methods):
            own, kind = table[table["method"] == method], look(method)
            # Lines that coincide stay in sight: the first drawn are the widest.
            wide = 1 - i / len(methods)
            sizes = {"ms": 4 + 4 * wide, "lw": 1.2 + 1.8 * wide}
            x, y, _ = draw_means(ax, own["sessions"], own[column] / scale, None, kind, **sizes)
            ends[ax].append((x, y, replace(kind, title=f"{kind.title} {y:.3g}")))
        ax.set(title=title, ylabel=unit, xlabel="sessions learned")
        ax.set_ylim(0, 1.08 * table[column].max() / scale)
        ax.set_xticks(range(1, last + 1) if last <= 8 else [1, *range(5, last + 1, 5)])
        ax.grid(axis="y")
    label_ends(ends, letters=13)
    return finished(figure)
