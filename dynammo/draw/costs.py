"""Figures of what methods cost: accuracy against computation, and growth with the sessions."""

from dataclasses import replace

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dynammo.draw.style import (
    SEED,
    Look,
    canvas,
    checked,
    draw_means,
    finished,
    label_ends,
    look,
    methods_in,
    points_over,
    styled,
)

FAR_OFF = 12  # points under DynaMMo from which a method is named at the edge, not drawn to scale


def average_and_cost(sessions: pd.DataFrame) -> pd.DataFrame:
    """Average accuracy (0..1) and its points over DynaMMo's in the same run, and MACs an image.

    A row per method and run, the best method first; points are NaN where DynaMMo has no such run.
    """
    table = checked(sessions, ["method", *SEED, "session", "accuracy", "macs"], "sessions")
    table = table.sort_values("session").groupby(["method", *SEED], sort=False)
    found = table.agg(average_accuracy=("accuracy", "mean"), macs=("macs", "last")).reset_index()
    accuracy = found.set_index(["method", *SEED])["average_accuracy"]
    found["points_over_dynammo"] = points_over(accuracy, "dynammo").to_numpy()
    found["best"] = -found.groupby("method")["average_accuracy"].transform("mean")
    return found.sort_values(["best", "method", *SEED]).drop(columns="best")


@styled
def accuracy_and_cost(found: pd.DataFrame, note: str) -> Figure:
    """What accuracy costs: each method's points over DynaMMo, run by run, beside its MACs.

    Args:
        found: of :func:`average_and_cost`.
    """
    methods = list(pd.unique(checked(found, ["points_over_dynammo"], "average")["method"]))
    told = (
        "Beside a name: average accuracy over the sessions. Position: that less DynaMMo's in the "
    )
    told += "same run; small: one run, large: the mean; (1 of 3): so many runs; ◂: off the scale"
    height, grid = 1.7 + 0.27 * len(methods), {"sharey": True, "width_ratios": (5, 3)}
    figure, (points, costs) = canvas(f"{told} · {note}", 9.6, height, 1, 2, **grid)
    figure.get_layout_engine().set(w_pad=0.16)  # long names are a little wider in a PNG
    scale, unit = mac_unit(found["macs"].max())
    beside = {"textcoords": "offset points", "va": "center", "fontsize": 8.5}
    runs, names = found.groupby("method").size(), []
    for row, method in enumerate(methods):
        own, kind = found[found["method"] == method], look(method)
        few = f" ({len(own)} of {runs.max()})" if len(own) < runs.max() else ""
        names.append(f"{kind.title}{few}  {100 * own['average_accuracy'].mean():.1f} %")
        _draw_points(points, own["points_over_dynammo"].dropna(), row, kind)
        macs = own["macs"].mean() / scale
        costs.barh(row, macs, 0.62, color=kind.colour)
        costs.annotate(f"{macs:.3g}", (macs, row), (3, 0), **beside)
    points.axvline(0, color="0.5", lw=1, zorder=0)
    points.set_yticks(range(len(methods)), names)
    points.set(ylim=(len(methods) - 0.4, -0.6), xlabel="points of accuracy over DynaMMo")
    points.grid(axis="x")
    # As the figure's: an axes' title of this width would take the room of the names.
    figure.suptitle(cost_finding(found), x=0.01, ha="left")
    costs.set_xlabel(f"multiply-accumulates per image\n({unit}; 1 MAC = 2 FLOPs)")
    costs.set_xlim(0, 1.15 * found["macs"].max() / scale)
    costs.tick_params(axis="y", length=0)
    return finished(figure)


def _draw_points(ax: Axes, points: pd.Series, row: int, kind: Look) -> None:
    """Draw a method's points of each run and their mean, or the number at the edge if far off."""
    mean = points.mean()
    if mean < -FAR_OFF:
        off_the_scale(ax, mean, row, kind)
    elif len(points):
        ax.scatter(points, [row] * len(points), 12, [kind.colour], alpha=0.5, lw=0)
        ax.plot([mean], [row], label=kind.title, **kind.line | {"ms": 7.5})


def off_the_scale(ax: Axes, points: float, row: int, kind: Look) -> None:
    """Say at a panel's edge what is too far away to be drawn in a row of it."""
    place, side, text = 0.01, "left", f"◂ \u2212{-points:.0f}"
    if points > 0:
        place, side, text = 0.99, "right", f"{points:.0f} ▸"
    edge = {"xycoords": ("axes fraction", "data"), "va": "center", "ha": side, "color": kind.ink}
    ax.annotate(text, (place, row), fontsize=8.5, **edge)


def cost_finding(found: pd.DataFrame) -> str:
    """What merging saves and costs against keeping every set, as a title."""
    macs = found.groupby("method")["macs"].mean()
    if not {"acl", "dynammo"} <= set(macs.index):
        return "Accuracy and what it costs"
    points = -found.loc[found["method"] == "acl", "points_over_dynammo"].mean()
    more = f"{abs(points):.1f} points {'more' if points > 0 else 'less'} accurate"
    fewer = f"{macs['acl'] / macs['dynammo']:.1f} times fewer multiply-accumulates"
    return f"DynaMMo beside ACL: {fewer}, {more}"


def mac_unit(most: float) -> tuple[float, str]:
    """How many MACs an axis counts as one, and what that is called."""
    return (1e9, "GMACs") if most >= 1e9 else (1e6, "MMACs")


@styled
def cost_bars(growth: pd.DataFrame, sessions: int, note: str) -> Figure:
    """Multiply-accumulates of each method after so many sessions, on an axis for the most of them.

    The table is that of :func:`dynammo.measure.cost.cost_growth`.
    """
    table = checked(growth, ["method", "sessions", "macs"], "growth")
    (scale, unit), own = mac_unit(table["macs"].max()), table[table["sessions"] == sessions]
    macs = checked(own, ["macs"], f"growth (after {sessions} sessions)").set_index("method")["macs"]
    methods = methods_in(own)
    figure, ax = canvas(note, 7.4, 1.4 + 0.3 * len(methods))
    kinds = [look(method) for method in methods]
    values = [macs[method] / scale for method in methods]
    drawn = ax.barh(range(len(methods)), values, color=[kind.colour for kind in kinds])
    ax.bar_label(drawn, fmt="%.3g", padding=3)
    ax.set_yticks(range(len(methods)), [kind.title for kind in kinds])
    ax.invert_yaxis()
    ax.set(xlim=(0, 1.12 * table["macs"].max() / scale), xlabel=f"{unit} an image")
    told = f"After {sessions} session{'s' if sessions > 1 else ''}"
    if {"acl", "dynammo"} <= set(methods):
        told += f": ACL takes {macs['acl'] / macs['dynammo']:.1f} times what DynaMMo takes"
    ax.set_title(told)
    return finished(figure)


@styled
def cost_growth_figure(growth: pd.DataFrame, note: str) -> Figure:
    """What grows with the sessions learned, from 0: computation, numbers stored and memory.

    The numbers stored are all that a method keeps (parameters, Fisher information, Gram
    matrices); the memory is 4 bytes for each of them and its exemplar images.
    """
    columns = ["method", "sessions", "macs", "parameters_stored", "memory_bytes"]
    table = checked(growth, columns, "growth").sort_values("sessions")
    methods, last = methods_in(table), table["sessions"].max()
    panels = (
        ("macs", "Multiply-accumulates per image", *mac_unit(table["macs"].max())),
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
