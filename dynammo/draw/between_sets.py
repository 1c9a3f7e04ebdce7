"""Figures of what lies inside a merge: between sets, in their weights, in their features."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dynammo.draw.heat_maps import heat_map
from dynammo.draw.style import (
    DASHES,
    PALETTE,
    Look,
    canvas,
    checked,
    draw_means,
    finished,
    label_ends,
    panels,
    short_name,
    styled,
)

SESSION_MARKERS = "osD^vPX<>ph"


def session_look(session: int) -> Look:
    """Look of a session: colour, marker and line, the same in every figure of this module."""
    place = session - 1
    marker, dash = SESSION_MARKERS[place % len(SESSION_MARKERS)], DASHES[place % len(DASHES)]
    return Look(f"session {session}", PALETTE[place % len(PALETTE)], marker, dash)


def sessions_in(table: pd.DataFrame) -> list[str]:
    """The columns that are of one session's classes."""
    return [name for name in table.columns if name.startswith("session ")]


@styled
def line_figure(line: pd.DataFrame, one: str, other: str, note: str) -> Figure:
    """Accuracy and loss along the straight line from one adapter set (share 0) to another (1).

    The table is :func:`dynammo.measure.between_sets.judge_blends` of two sets.
    """
    table = checked(line, ["share 2", "accuracy", "loss"], "line").sort_values("share 2")
    middle = table.iloc[(table["share 2"] - 0.5).abs().argmin()]
    gain = 100 * (middle.accuracy - table.accuracy.iloc[[0, -1]].mean())
    caption = f"In the middle accuracy is {gain:+.1f} points from the mean of the two ends (1 seed)"
    figure, axes = canvas(f"{caption} · {note}", 9.6, 4, 1, 2)
    (ax, losses), x = axes, table["share 2"]
    everything = Look("all classes", (0.1,) * 3, "o", "-")
    thin, points = {"lw": 1, "ms": 4}, []
    for name in sessions_in(table):
        kind = session_look(int(name.split()[1]))
        points.append(draw_means(ax, x, 100 * table[name], None, kind, **thin))
    points.append(draw_means(ax, x, 100 * table.accuracy, None, everything))
    ax.set(ylabel="accuracy (%)", title="Accuracy between two adapter sets", ylim=(0, 101))
    label_ends({ax: points})
    losses.plot(x, table.loss, **everything.line)
    losses.set(ylabel="cross-entropy", title="Loss", ylim=(0, 1.1 * table.loss.max()))
    for ax in axes.flat:
        ax.set_xticks([0, 0.5, 1], [f"{one}\nalone", "halfway", f"{other}\nalone"])
        ax.grid(axis="y")
    return finished(figure)


def turning_images(labels: np.ndarray, answers: Sequence[np.ndarray], count: int = 7) -> np.ndarray:
    """Images whose answer changes from the first point to the last, and is right at one of them.

    Args:
        labels: int [N], the classes of the images.
        answers: for each point, int [N], the predicted classes.

    Returns:
        Places among the images, at most so many: some that are lost and some gained, in turn.
    """
    first, last = answers[0] == labels, answers[-1] == labels
    lost, gained = np.flatnonzero(first & ~last), np.flatnonzero(last & ~first)
    # Spread over all, since images are in order of their classes.
    spaced = [
        np.linspace(0, len(one) - 1, min(count, len(one))).astype(int) for one in (lost, gained)
    ]
    lost, gained = lost[spaced[0]], gained[spaced[1]]
    in_turn = [place for pair in itertools.zip_longest(lost, gained) for place in pair]
    return np.array([place for place in in_turn if place is not None][:count], dtype=int)


@styled
def weight_figure(
    line: pd.DataFrame,
    place: int,
    merged_at: float,
    note: str,
    images: Sequence[tuple[np.ndarray, str, str]] = (),
) -> Figure:
    """One point of a line between two sets: accuracy by session as bars, and where the point is.

    The table is :func:`dynammo.measure.between_sets.judge_blends` of two sets, ``place`` which row
    of it, ``merged_at`` the weight of the plain mean of all sets. Images [H, W, 3], each with its
    class and the answer that it gets at this point, stand below.
    """
    table = checked(line, ["share 2", "accuracy"], "line")
    row, sessions = table.iloc[place], sessions_in(table)
    rows = {"height_ratios": (6, 5)} if images else {}
    figure, axes = canvas(note, 8.2, 5.9 if images else 3.4, 2 if images else 1, 2, **rows)
    bars, path = axes.flat[:2]
    colours = [session_look(i + 1).colour for i in range(len(sessions))]
    drawn = bars.bar(sessions, [100 * row[name] for name in sessions], color=colours)
    bars.bar_label(drawn, fmt="%.0f", padding=2)
    bars.set(ylabel="accuracy on its classes (%)", ylim=(0, 108))
    bars.set_title(f"w = {row['share 2']:.2f}: {100 * row.accuracy:.1f} % over all classes")
    path.plot(table["share 2"], 100 * table.accuracy, color="0.6", marker="o", ms=3, lw=1.2)
    path.plot(row["share 2"], 100 * row.accuracy, "o", color="black", ms=9)
    path.axvline(merged_at, color=PALETTE[0], lw=1, ls=":")
    path.text(merged_at, 3, " mean of all sets", fontsize=8)
    path.set(xlabel="weight w of the last set", ylim=(0, 108))
    path.set_ylabel("accuracy over all classes (%)")
    if images:
        grid = axes[1, 0].get_gridspec()
        for ax in axes[1]:
            ax.remove()
        _draw_answers(figure.add_subplot(grid[1, :]), images)
    return finished(figure)


def _draw_answers(ax: Axes, images: Sequence[tuple[np.ndarray, str, str]]) -> None:
    """Draw images with their class above, and the answer below with whether it is right."""
    for i, (image, name, answer) in enumerate(images):
        ax.imshow(image, extent=(i + 0.05, i + 0.95, 0, 0.9))
        said = {"ha": "center", "fontsize": 8}
        ax.text(i + 0.5, 1, short_name(name, 12), va="bottom", color="0.35", **said)
        right = name == answer
        ink, mark = (PALETTE[0], "✓") if right else (PALETTE[3], "✗")
        ax.text(i + 0.5, -0.1, f"{mark} {short_name(answer, 12)}", va="top", color=ink, **said)
    ax.set(xlim=(0, max(7, len(images))), ylim=(-0.5, 1.35), aspect="equal", anchor="W")
    ax.axis("off")
    ax.set_title("Test images whose answer changes: class above, answer below")


@styled
def triangle_figure(points: pd.DataFrame, names: Sequence[str], note: str) -> Figure:
    """Accuracy and loss over the triangle of three adapter sets, each at a corner.

    The table is :func:`dynammo.measure.between_sets.judge_blends` of three sets.
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
    shown = (("accuracy (%)", 100 * table.accuracy, "viridis"), ("loss", table.loss, "viridis_r"))
    for ax, (label, values, colours) in zip(axes.flat, shown, strict=True):
        drawn = ax.tricontourf(x, y, values, levels=12, cmap=colours)
        ax.scatter(x, y, 5, "white", lw=0)
        ax.plot(*corners.mean(axis=0), "*", color="white", mec="black", ms=13)
        for corner, name, va in zip(corners, names, ("top", "top", "bottom"), strict=True):
            place = {"ha": "center", "va": va, "textcoords": "offset points"}
            ax.annotate(name, corner, (0, -6 if va == "top" else 6), **place)
        ax.set(aspect="equal", title=label.split(" (")[0].title())
        ax.margins(0.12)
        ax.axis("off")
        figure.colorbar(drawn, ax=ax, label=label, shrink=0.8)
    axes[0].annotate("the mean", corners.mean(axis=0), (9, 0), textcoords="offset points")
    return finished(figure)


@styled
def cosine_figure(cosines: pd.DataFrame, stages: Sequence[str], note: str) -> Figure:
    """Cosine of the changes of each two sessions, layer by layer.

    The table is :func:`dynammo.measure.between_sets.change_cosines`, ``stages`` are the stages
    that adapters precede, in the order of the adapter set.
    """
    table = checked(cosines, ["entry", "size", "one", "other", "cosine"], "cosines")
    parts = table.entry.str.extract(r"adapters\.(\d+)\.(\w+)\.weight").dropna()
    table = table.loc[parts.index]
    mean = np.average(table.cosine, weights=table["size"])
    layers = (
        parts[0].astype(int).map(dict(enumerate(stages))) + ": " + parts[1].str.replace("_", " ")
    )
    pairs = table.one.astype(str) + " and " + table.other.astype(str)
    wide = table.assign(layer=layers, pair=pairs).pivot_table("cosine", "layer", "pair", sort=False)
    caption = f"Mean over all weights {mean:+.2f}: 1 is the same direction, 0 none in common"
    figure, ax = canvas(f"{caption} (1 seed) · {note}", 2.6 + 0.9 * wide.shape[1], 5.4)
    mesh = heat_map(ax, wide, 8, ".2f", cmap="PuOr_r", vmin=-1, vmax=1)
    ax.set_xticks(np.arange(wide.shape[1]) + 0.5, wide.columns)
    ax.set_yticks(np.arange(len(wide)) + 0.5, wide.index, fontsize=8)
    ax.set(xlabel="changes of sessions", title="Do sessions pull alike?")
    figure.colorbar(mesh, ax=ax, label="cosine", shrink=0.7)
    return finished(figure)


@styled
def others_figure(scores: pd.DataFrame, note: str) -> Figure:
    """What each session's head says of images of its own session and of others.

    The table is :func:`dynammo.measure.between_sets.others_scores`.
    """
    table = checked(scores, ["true_session", "head", "others", "chosen"], "others")
    own = table.true_session == table["head"]
    found = table[own].groupby("true_session").chosen.mean()
    total = 100 * table[own].chosen.mean()
    caption = f"The right head says 'others' least for {total:.1f} % of the images (1 seed)"
    heads = sorted(table["head"].unique())
    x, y = "probability of 'others'", "share of images (%)"
    figure, axes = panels(f"{caption} · {note}", len(heads), 5, (2.4, 2.6), x, y)
    for ax, head in zip(axes, heads, strict=True):
        here = table["head"] == head
        kinds = (("own session", own, PALETTE[0], ""), ("other sessions", ~own, PALETTE[1], "////"))
        for name, group, colour, hatch in kinds:
            values = table.others[here & group].to_numpy()
            filled = {"histtype": "stepfilled", "facecolor": (*colour, 0.35), "edgecolor": colour}
            share = np.full(len(values), 100 / max(1, len(values)))
            ax.hist(values, np.arange(11) / 10, weights=share, hatch=hatch, label=name, **filled)
        ax.set(xlim=(0, 1), ylim=(0, 101))
        ax.set_title(f"head {head}: finds {100 * found[head]:.0f} %", fontsize=9.5)
    axes[0].legend(loc="upper center", fontsize=8)
    return finished(figure)
