"""Figures of what methods cost: accuracy against computation, and growth with the sessions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from dynammo.draw.style import (
    NOT_FROM_ZERO,
    Look,
    canvas,
    checked,
    finished,
    label_ends,
    look,
    methods_in,
    styled,
)

PATHS = ("dynammo", "acl", "der")  # whose cost and accuracy are followed from session to session


@styled
def accuracy_against_macs(summary: pd.DataFrame, sessions: pd.DataFrame, note: str) -> Figure:
    """What accuracy costs: average accuracy against multiply-accumulates per image.

    A method has a point for all sessions; DynaMMo, ACL and DER have a path to it too, over the
    first T sessions. Where both are in the table, an arrow from ACL to DynaMMo tells the two
    differences.
    """
    columns = ["method", "average_accuracy", "average_accuracy_sd", "macs"]
    table = checked(summary, columns, "summary").set_index("method")
    checked(sessions, ["method", "session", "accuracy", "macs"], "sessions")
    scale, unit = _unit(table["macs"])
    x, y = table["macs"] / scale, 100 * table["average_accuracy"]
    sd = 100 * table["average_accuracy_sd"].fillna(0)
    both = set(table.index) & set(sessions["method"])
    paths = {name: _path(sessions, name, scale) for name in PATHS if name in both}
    told = f"{NOT_FROM_ZERO}; methods of equal cost stand side by side"
    told += "; bar: ± 1 standard deviation over runs" if sd.any() else ""
    told += "; small points: over the first T sessions, T beside them" if paths else ""
    figure, axes = canvas(f"{told} · {note}", 9.6, 4 + 0.15 * len(table))
    ax = axes[0, 0]
    seen = pd.concat([y - sd, y + sd, *(path["accuracy"] for path in paths.values())])
    spare = max(0, 20 - (seen.max() - seen.min())) / 2  # never less than 20 points in sight
    low, high = seen.min() - spare, seen.max() + spare
    ax.set_ylim(max(0, low - 0.05 * (high - low)), high + 0.2 * (high - low))
    ax.set_yticks([tick for tick in ax.get_yticks() if ax.get_ylim()[0] <= tick <= 100])
    ax.set(xscale="log", xlim=_limits(x, y, 0.02 * (high - low)))
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel(f"multiply-accumulates per image ({unit}, 1 MAC = 2 FLOPs; logarithmic)")
    ax.set_ylabel("average accuracy over sessions (%)")
    ax.set_title("Accuracy and what it costs")
    ax.grid()
    if {"acl", "dynammo"} <= set(table.index):
        _draw_saving(ax, x, y, high + 0.1 * (high - low))
    figure.draw_without_rendering()  # gives the axes their size
    taken = _draw_points(ax, x, y, sd, paths)
    highest = max((path["accuracy"].iloc[-1] for path in paths.values()), default=0)
    for method, path in paths.items():
        above = path["accuracy"].iloc[-1] == highest
        _draw_path(ax, path, look(method), taken, 11 if above else -11)
    return finished(figure)


def _unit(macs: pd.Series) -> tuple[float, str]:
    """How many MACs the axis counts as one, and what that is called."""
    return (1e9, "GMACs") if macs.max() >= 1e9 else (1e6, "MMACs")


def _limits(x: pd.Series, y: pd.Series, near: float) -> tuple[float, float]:
    """Limits of a logarithmic axis of 9 inches that leave room for names on both sides.

    On the left there is also room for the cheapest methods that are so near to one another in
    accuracy that they have to stand side by side.
    """
    cheapest = y[x < 1.12 * x.min()]
    crowd = max(sum(abs(cheapest - one) < near) for one in cheapest)
    left, right = 1.9 + 0.15 * crowd, 1.0
    inch = max(0.7, np.log(x.max() / x.min())) / (9 - left - right)
    return x.min() * np.exp(-left * inch), x.max() * np.exp(right * inch)


def _path(sessions: pd.DataFrame, method: str, scale: float) -> pd.DataFrame:
    """MACs after T sessions and average accuracy (%) over sessions 1..T, seeds' mean, by T."""
    by_session = sessions[sessions["method"] == method].groupby("session")[["macs", "accuracy"]]
    mean = by_session.mean()
    average = 100 * mean["accuracy"].expanding().mean()
    return pd.DataFrame({"macs": mean["macs"] / scale, "accuracy": average})


def _draw_points(
    ax: Axes, x: pd.Series, y: pd.Series, sd: pd.Series, paths: Mapping[str, pd.DataFrame]
) -> list[np.ndarray]:
    """Draw a named point for each method; return where they are on the page.

    Methods without a path are moved aside until they are clear of all others and of DynaMMo's path.
    """
    blocked = _along(_in_points(ax, paths["dynammo"])) if "dynammo" in paths else []
    taken: list[np.ndarray] = []
    for side, column in _columns(ax, x):
        points = []
        for method in sorted(column, key=lambda name: (name not in paths, -y[name])):
            at, kind = (x[method], y[method]), look(method)
            place = _in_points(ax, [at])[0]
            while method not in paths and _nearest(place, taken + blocked) < 8.9:
                place = place + (side, 0)
                at = (ax.transData.inverted().transform(place * ax.figure.dpi / 72)[0], y[method])
            taken.append(place)
            if sd[method]:
                bar = {"ecolor": kind.colour, "elinewidth": 1.2, "capsize": 2}
                ax.errorbar(*at, sd[method], fmt="none", **bar)
            ax.plot(*at, label=kind.title, **{**kind.line, "ms": 8, "ls": ""})
            points.append((*at, kind))
        outermost = max(points, key=lambda point: side * point[0])
        edge = (ax.transData - ax.transAxes).transform(outermost[:2])[0]
        label_ends({ax: points}, edge, side)
    return taken


def _in_points(ax: Axes, places: Sequence) -> np.ndarray:
    """Places [N, 2] in data units, in points of 1/72 inch on the page."""
    return np.round(ax.transData.transform(places) * 72 / ax.figure.dpi, 3)


def _along(places: np.ndarray) -> list[np.ndarray]:
    """Places on the line through some, near to one another."""
    steps = np.linspace(0, len(places) - 1, 30 * len(places))
    return list(np.column_stack([np.interp(steps, range(len(places)), c) for c in places.T]))


def _nearest(place: np.ndarray, others: Sequence[np.ndarray]) -> float:
    """How far the nearest of other places is."""
    return min((np.hypot(*(place - other)) for other in others), default=np.inf)


def _columns(ax: Axes, x: pd.Series) -> list[tuple[int, list[str]]]:
    """Part methods by cost into columns, each with the side its names are on.

    The cheapest are named on their left (-1), the others on their right (1); a column takes in
    what its names would run into.
    """
    places = pd.Series(_in_points(ax, np.column_stack([x, x]))[:, 0], x.index)
    places = places.sort_values(kind="stable") - places.min()
    columns: list[tuple[int, list[str]]] = [(-1, list(places.index[places < 25]))]
    for method in places.index[places >= 25]:
        side, last = columns[-1]
        letters = max(len(look(name).title) for name in last)
        if side > 0 and places[method] < places[last].max() + 40 + 5.2 * letters:
            last.append(method)
        else:
            columns.append((1, [method]))
    return columns


def _draw_path(
    ax: Axes, path: pd.DataFrame, kind: Look, taken: list[np.ndarray], lift: float
) -> None:
    """Draw a thin line through the points of T = 1, 2, ..., and T where its place is not taken.

    T stands so many points above its point, or left of it where the path goes straight up.
    """
    x, y = path["macs"].to_numpy(), path["accuracy"].to_numpy()
    ax.plot(x, y, color=kind.colour, lw=0.9, zorder=1.5)
    ax.plot(x[:-1], y[:-1], color=kind.colour, ls="", marker="o", ms=3, zorder=1.6)
    shift = (-9, 0) if x[-1] < 1.1 * x[0] else (0, lift)
    options = {"textcoords": "offset points", "ha": "center", "va": "center", "zorder": 1.9}
    options |= {
        "fontsize": 7.5,
        "color": kind.ink,
        "bbox": {"facecolor": "white", "linewidth": 0, "pad": 0.5},
    }
    places = _in_points(ax, path)
    for t, place in enumerate(places[:-1] + shift, start=1):
        if _nearest(place, taken) > 9.9:
            taken.append(place)
            ax.annotate(t, (x[t - 1], y[t - 1]), shift, **options)
    taken.extend(_along(places))


def _draw_saving(ax: Axes, x: pd.Series, y: pd.Series, top: float) -> None:
    """Draw an arrow from ACL to DynaMMo, at a height, with both differences."""
    ratio, points = x["acl"] / x["dynammo"], y["dynammo"] - y["acl"]
    fewer = f"{ratio:.1f}× fewer" if ratio >= 1 else f"{1 / ratio:.1f}× more"
    text = f"{fewer} MACs, {points:+.1f} points".replace("-", "\u2212")
    ends = x[["dynammo", "acl"]]
    ax.vlines(ends, y[["dynammo", "acl"]], top, "0.6", ":", lw=1, zorder=0)
    arrow = {"arrowstyle": "-|>", "color": "0.3", "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", (ends["dynammo"], top), (ends["acl"], top), arrowprops=arrow)
    middle = (np.sqrt(ends.prod()), top)
    ax.annotate(text, middle, (0, 4), textcoords="offset points", ha="center")


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
    told = f"Beside a name: the value at {last} sessions"
    told += "; memory: 4 bytes a number, and the exemplar images"
    figure, axes = canvas(f"{told} · {note}", 11, max(4.2, 1.6 + 0.2 * len(methods)), 1, 3)
    ends: dict[Axes, list[tuple]] = {}
    for ax, (column, title, scale, unit) in zip(axes.flat, panels, strict=True):
        ends[ax] = []
        for i, method in enumerate(methods):
            own, kind = table[table["method"] == method], look(method)
            # Lines that coincide stay in sight: the first drawn are the widest.
            sizes = {"ms": 4 + 4 * (1 - i / len(methods)), "lw": 1.2 + 1.8 * (1 - i / len(methods))}
            y = own[column] / scale
            ax.plot(own["sessions"], y, label=kind.title, **{**kind.line, **sizes})
            named = replace(kind, title=f"{kind.title} {y.iloc[-1]:.3g}")
            ends[ax].append((own["sessions"].iloc[-1], y.iloc[-1], named))
        ax.set(title=title, ylabel=unit, xlabel="sessions learned")
        ax.set_ylim(0, 1.08 * table[column].max() / scale)
        ax.set_xticks(range(1, last + 1) if last <= 8 else [1, *range(5, last + 1, 5)])
        ax.grid(axis="y")
    label_ends(ends, letters=13)
    return finished(figure)
