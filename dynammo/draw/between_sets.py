"""Figures of what lies inside a merge: between sets, in their weights, in their features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dynammo.draw.style import (
    DASHES,
    PALETTE,
    Look,
    canvas,
    checked,
    finished,
    grid_of,
    label_ends,
    look,
    methods_in,
    outer,
    styled,
)
from dynammo.errors import InputError

SESSION_MARKERS = "osD^vPX<>ph"


def session_look(session: int) -> Look:
    """Look of a session: colour, marker and line, the same in every figure of this module."""
    place = session - 1
    marker, dash = SESSION_MARKERS[place % len(SESSION_MARKERS)], DASHES[place % len(DASHES)]
    return Look(f"session {session}", PALETTE[place % len(PALETTE)], marker, dash)


@styled
def line_figure(line: pd.DataFrame, one: str, other: str, note: str) -> Figure:
    """Accuracy and loss along the straight line from one adapter set to another.

    Args:
        line: :func:`dynammo.measure.between_sets.judge_blends` of two sets;
            ``share 2`` is the way along.
        one: name of the set at share 0.
        other: name of the set at share 1.
        note: what data the figure is of.
    """
    table = checked(line, ["share 2", "accuracy", "loss"], "line").sort_values("share 2")
    middle = table.iloc[(table["share 2"] - 0.5).abs().argmin()]
    ends = table.iloc[[0, -1]]
    gain = 100 * (middle.accuracy - ends.accuracy.mean())
    caption = f"In the middle accuracy is {gain:+.1f} points from the mean of the two ends (1 seed)"
    figure, axes = canvas(f"{caption} · {note}", 9.6, 4, 1, 2)
    ax, x, points = axes[0, 0], table["share 2"].to_numpy(), []
    sessions = [name for name in table.columns if name.startswith("session ")]
    for name in sessions:
        kind = session_look(int(name.split()[1]))
        ax.plot(x, 100 * table[name], **{**kind.line, "lw": 1, "ms": 4})
        points.append((x[-1], 100 * table[name].iloc[-1], kind))
    kind = Look("all classes", (0.1,) * 3, "o", "-")
    ax.plot(x, 100 * table.accuracy, **kind.line)
    points.append((x[-1], 100 * table.accuracy.iloc[-1], kind))
    ax.set(ylabel="accuracy (%)", title="Accuracy between two adapter sets", ylim=(0, 101))
    label_ends({ax: points})
    axes[0, 1].plot(x, table.loss, **kind.line)
    axes[0, 1].set(ylabel="cross-entropy", title="Loss", ylim=(0, 1.1 * table.loss.max()))
    for ax in axes.flat:
        ax.set_xticks([0, 0.5, 1], [f"{one}\nalone", "halfway", f"{other}\nalone"])
        ax.grid(axis="y")
    return finished(figure)


@styled
def weight_figure(line: pd.DataFrame, place: int, merged_at: float, note: str) -> Figure:
    """One point of a line between two sets: accuracy by session as bars, and where the point is.

    Args:
        line: :func:`dynammo.measure.between_sets.judge_blends` of two sets.
        place: which row of it.
        merged_at: the weight of the plain mean of all sets, to be marked.
        note: what data the figure is of.
    """
    table = checked(line, ["share 2", "accuracy"], "line")
    row = table.iloc[place]
    figure, axes = canvas(note, 8.2, 3.4, 1, 2)
    bars, path = axes[0]
    sessions = [name for name in table.columns if name.startswith("session ")]
    for i, name in enumerate(sessions):
        bars.bar(i, 100 * row[name], color=session_look(i + 1).colour)
        bars.text(i, 100 * row[name] + 1, f"{100 * row[name]:.0f}", ha="center", va="bottom")
    bars.set_xticks(range(len(sessions)), sessions)
    bars.set(ylabel="accuracy on its classes (%)", ylim=(0, 108))
    bars.set_title(f"w = {row['share 2']:.2f}: {100 * row.accuracy:.1f} % over all classes")
    path.plot(table["share 2"], 100 * table.accuracy, color="0.6", marker="o", ms=3, lw=1.2)
    path.plot(row["share 2"], 100 * row.accuracy, "o", color="black", ms=9)
    path.axvline(merged_at, color=PALETTE[0], lw=1, ls=":")
    path.annotate(
        "mean of all sets", (merged_at, 3), (4, 0), textcoords="offset points", fontsize=8
    )
    path.set(
        xlabel="weight w of the last set", ylabel="accuracy over all classes (%)", ylim=(0, 108)
    )
    return finished(figure)


@styled
def triangle_figure(points: pd.DataFrame, names: Sequence[str], note: str) -> Figure:
    """Accuracy and loss over the triangle of three adapter sets, each at a corner.

    Args:
        points: :func:`dynammo.measure.between_sets.judge_blends` of three sets.
        names: of the sets.
        note: what data the figure is of.
    """
    columns = ["share 1", "share 2", "share 3", "accuracy", "loss"]
    table = checked(points, columns, "triangle")
    shares = table[columns[:3]].to_numpy()
    corners = np.array([[0, 0], [1, 0], [0.5, 3**0.5 / 2]])
    x, y = (shares @ corners).T
    best = table.accuracy.idxmax()
    mix = ", ".join(f"{100 * share:.0f} %" for share in shares[best])
    caption = f"Best at {mix} of {', '.join(names)}: {100 * table.accuracy[best]:.1f} % (1 seed)"
    figure, axes = canvas(f"{caption} · {note}", 9.6, 4.2, 1, 2)
    panels = (("accuracy (%)", 100 * table.accuracy, "viridis"), ("loss", table.loss, "viridis_r"))
    for ax, (label, values, colours) in zip(axes.flat, panels, strict=True):
        drawn = ax.tricontourf(x, y, values, levels=12, cmap=colours)
        ax.scatter(x, y, 5, "white", lw=0)
        ax.plot(*corners.mean(axis=0), "*", color="white", mec="black", ms=13)
        for corner, name, va in zip(corners, names, ("top", "top", "bottom"), strict=True):
            place = {"ha": "center", "va": va, "textcoords": "offset points"}
            ax.annotate(name, corner, (0, -6 if va == "top" else 6), **place)
        ax.set(
            aspect="equal", xlim=(-0.12, 1.12), ylim=(-0.12, 1), title=label.split(" (")[0].title()
        )
        ax.axis("off")
        figure.colorbar(drawn, ax=ax, label=label, shrink=0.8)
    axes[0, 0].annotate("the mean", corners.mean(axis=0), (9, 0), textcoords="offset points")
    return finished(figure)


@styled
def cosine_figure(cosines: pd.DataFrame, stages: Sequence[str], note: str) -> Figure:
    """Cosine of the changes of each two sessions, layer by layer.

    Args:
        cosines: :func:`dynammo.measure.between_sets.change_cosines`.
        stages: the stages that adapters precede, in the order of the adapter set.
        note: what data the figure is of.
    """
    table = checked(cosines, ["entry", "size", "one", "other", "cosine"], "cosines")
    parts = table.entry.str.extract(r"adapters\.(\d+)\.(\w+)\.(\w+)")
    table = table.assign(stage=[stages[int(i)] for i in parts[0]], layer=parts[1], kind=parts[2])
    table = table[table.kind == "weight"]
    table = table.assign(pair=[f"{i} and {j}" for i, j in zip(table.one, table.other, strict=True)])
    wide = table.pivot_table("cosine", ["stage", "layer"], "pair", sort=False)
    mean = np.average(table.cosine, weights=table["size"])
    caption = f"Mean over all weights {mean:+.2f}: 1 is the same direction, 0 none in common"
    figure, axes = canvas(f"{caption} (1 seed) · {note}", 2.6 + 0.9 * wide.shape[1], 5.4)
    ax = axes[0, 0]
    mesh = ax.pcolormesh(wide, cmap="PuOr_r", vmin=-1, vmax=1, edgecolors="white", linewidth=1)
    for row, column in np.ndindex(*wide.shape):
        value = wide.iloc[row, column]
        colour = "white" if abs(value) > 0.65 else "0.15"
        place = {"ha": "center", "va": "center", "fontsize": 8, "color": colour}
        ax.text(column + 0.5, row + 0.5, f"{value:.2f}", **place)
    ax.set_xticks(np.arange(wide.shape[1]) + 0.5, wide.columns)
    ax.set_yticks(
        np.arange(len(wide)) + 0.5,
        [f"{stage}: {layer.replace('_', ' ')}" for stage, layer in wide.index],
        fontsize=8,
    )
    ax.set(ylim=(len(wide), 0), xlabel="changes of sessions", title="Do sessions pull alike?")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    figure.colorbar(mesh, ax=ax, label="cosine", shrink=0.7)
    return finished(figure)


@styled
def others_figure(scores: pd.DataFrame, note: str) -> Figure:
    """What each session's head says of images of its own session and of others.

    Args:
        scores: :func:`dynammo.measure.between_sets.others_scores`.
        note: what data the figure is of.
    """
    table = checked(scores, ["true_session", "head", "others", "chosen"], "others")
    own = table.true_session == table["head"]
    found = table[own].groupby("true_session").chosen.mean()
    total = 100 * table[own].chosen.mean()
    caption = f"The right head says 'others' least for {total:.1f} % of the images (1 seed)"
    heads = sorted(table["head"].unique())
    rows, columns = grid_of(len(heads), 5)
    figure, axes = canvas(
        f"{caption} · {note}", 2.4 * columns + 0.8, 0.8 + 2.6 * rows, rows, columns
    )
    left, low = outer(axes, len(heads))
    kinds = ((True, "own session", PALETTE[0]), (False, "other sessions", PALETTE[1]))
    for ax, head in zip(axes.flat, heads, strict=False):
        here = table["head"] == head
        for is_own, name, colour in kinds:
            values = table.others[here & (own == is_own)]
            _share_histogram(ax, values, colour, name)
        ax.set(xlim=(0, 1), ylim=(0, 101))
        ax.set_title(f"head {head}: finds {100 * found[head]:.0f} %", fontsize=9.5)
        if ax in left:
            ax.set_ylabel("share of images (%)")
        else:
            ax.tick_params(labelleft=False)
        if ax in low:
            ax.set_xlabel("probability of 'others'")
    axes[0, 0].legend(loc="upper center", fontsize=8)
    return finished(figure)


def _share_histogram(ax: Axes, values: pd.Series, colour: tuple, name: str) -> None:
    """Histogram in % of the values, filled, with an outline that prints well in grey."""
    edges = np.linspace(0, 1, 11)
    shares = 100 * np.histogram(values, edges)[0] / max(1, len(values))
    hatch = "" if name.startswith("own") else "////"
    ax.stairs(shares, edges, fill=True, color=colour, alpha=0.35, hatch=hatch, label=name)
    ax.stairs(shares, edges, color=colour, lw=1.3)


@styled
def kept_figure(accuracy: pd.DataFrame, note: str) -> Figure:
    """What is left of each session at the end, against what its own set knew when it was tuned.

    Args:
        accuracy: the ``accuracy`` table of :func:`dynammo.measure.summary.collect`, with ACL.
        note: what data the figure is of.
    """
    columns = ["method", "session", "evaluated_session", "accuracy"]
    table = checked(accuracy, columns, "accuracy")
    if "acl" not in set(table.method):
        raise InputError("What was learned at first is read from ACL: run the method 'acl' too.")
    last = table.session.max()
    first = table[(table.method == "acl") & (table.session == table.evaluated_session)]
    first = 100 * first.groupby("evaluated_session").accuracy.mean()
    end = table[table.session == last]
    methods = [m for m in methods_in(table) if m in ("acl", "dynammo", "last_adapter")]
    left = {m: end[end.method == m].groupby("evaluated_session").accuracy.mean() for m in methods}
    figure, axes = canvas(f"{_kept_finding(first, left)} · {note}", 7.6, 4)
    ax, points = axes[0, 0], []
    kind = Look("as learned", (0.45,) * 3, "_", "")
    ax.plot(first.index, first, **{**kind.line, "ms": 26, "mew": 1.5, "mec": kind.colour})
    points.append((first.index[-1], first.iloc[-1], kind))
    for i, method in enumerate(methods):
        shift = 0.07 * (i - (len(methods) - 1) / 2)
        values = 100 * left[method]
        ax.plot(values.index + shift, values, **{**look(method).line, "ls": ""})
        points.append((values.index[-1] + shift, values.iloc[-1], look(method)))
    ax.set_xticks(first.index)
    ax.set(ylim=(0, 101), xlabel="classes of session", ylabel="accuracy (%)")
    ax.set_title(f"What is left after session {last}")
    ax.grid(axis="y")
    label_ends({ax: points})
    return finished(figure)


def _kept_finding(first: pd.Series, left: Mapping[str, pd.Series]) -> str:
    kept = left.get("dynammo", next(iter(left.values())))
    lost = first - 100 * kept
    most = int(lost.idxmax())
    return f"The merge loses most of session {most}: {lost[most]:.0f} points since it was learned"
