"""Figures of matrices as heat maps: what is forgotten, and who is taken for whom."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from dynammo.draw.style import (
    canvas,
    checked,
    finished,
    look,
    methods_in,
    panels,
    short_name,
    styled,
)
from dynammo.errors import InputError

SHARES = {"cmap": "Blues", "vmin": 0, "vmax": 100, "square": True}  # in %


def heat_map(ax: Axes, table: pd.DataFrame, letters: float, fmt: str, **options) -> QuadMesh:
    """Draw a table with its numbers in letters of a size (0: none); NaN is left blank.

    Options are those of seaborn's heatmap. Tick labels are the caller's.
    """
    labels = {"xlabel": ax.get_xlabel(), "ylabel": ax.get_ylabel()}
    many = table.size > 2500  # as single shapes they would make an SVG of many megabytes
    lines = {"rasterized": True} if many else {"linewidths": min(1, 12 / len(table))}
    plain = {"cbar": False, "xticklabels": False, "yticklabels": False}
    numbers = {"annot": letters > 0, "annot_kws": {"fontsize": letters}, "fmt": fmt}
    sns.heatmap(table, ax=ax, **plain, **lines, **numbers, **options)
    ax.set(**labels)
    ax.tick_params(length=0)
    return ax.collections[0]


@styled
def accuracy_matrices(accuracy: pd.DataFrame, note: str) -> Figure:
    """A heat map per method: accuracy on each session's classes after each session, runs' mean.

    A star marks methods with fewer runs than others, where the table says which (its seeds).
    """
    columns = ["method", "session", "evaluated_session", "accuracy"]
    methods = methods_in(table := checked(accuracy, columns, "accuracy"))
    run = [name for name in ("method", "order_seed", "train_seed") if name in table]
    runs = table.drop_duplicates(run)["method"].value_counts()
    stars = {method: "*" if runs[method] < runs.max() else "" for method in methods}
    if any(stars.values()):
        note = f"* {runs.min()} of {runs.max()} runs · {note}"
    sessions = range(1, int(table["session"].max()) + 1)
    count = len(methods)
    side = 1.45 if count > 8 else 2.3 * max(1, len(sessions) / 8)
    room = 0.4 * 72 * side / len(sessions)  # points a letter; too small to read is left out
    letters = min(9, room) if room > 5.5 else 0
    most, size = (4 if count <= 8 else 6), (side, side + 0.4)
    figure, axes = panels(note, count, most, size, "classes of session", "after session")
    for ax, method in zip(axes, methods, strict=True):
        own = table[table["method"] == method]
        matrix = own.pivot_table("accuracy", "session", "evaluated_session")
        matrix = 100 * matrix.reindex(index=sessions, columns=sessions)
        mesh = heat_map(ax, matrix, letters, ".0f", **SHARES)
        heading = short_name(look(method).title, 13 if count > 8 else 22) + stars[method]
        ax.set_title(heading, fontsize=9.5)
        ticks = np.arange(len(sessions))[:: -(-len(sessions) // (7 if count > 8 else 10))]
        ax.set_xticks(ticks + 0.5, ticks + 1)
        ax.set_yticks(ticks + 0.5, ticks + 1)
        ax.tick_params(labelsize=8)
    figure.colorbar(mesh, ax=axes, label="accuracy (%)", shrink=0.6, pad=0.02)
    return finished(figure)


@styled
def confusion_matrices(
    confusion: pd.DataFrame, session_of_class: Sequence[int] | None = None, *, note: str
) -> Figure:
    """A heat map per method: the share of each true class that is given each name, in %.

    Classes are in order of arrival; lines part sessions where ``session_of_class`` is given.
    """
    shares, letters, side = _shares(confusion)
    note = f"Each row adds up to 100 %; under 0.5 % is left empty · {note}"
    size, y = (side, side + 0.5), "true class, in order of arrival"
    figure, axes = panels(note, len(shares), 3, size, "predicted class", y)
    for ax, (method, table) in zip(axes, shares.items(), strict=True):
        mesh = heat_map(ax, table.where(table >= 0.5), letters, ".0f", **SHARES)
        ax.set_title(look(method).title)
        _name_classes(ax, list(table.index), session_of_class)
    figure.colorbar(mesh, ax=axes, label="share of the true class (%)", shrink=0.8, pad=0.02)
    return finished(figure)


@styled
def confusion_and_difference(
    confusion: pd.DataFrame,
    one: str,
    other: str,
    session_of_class: Sequence[int] | None = None,
    *,
    note: str,
) -> Figure:
    """One method's confusion matrix in %, and the other's minus it in points.

    Classes are in order of arrival; lines part sessions where ``session_of_class`` is given.
    """
    shares, letters, side = _shares(confusion)
    missing = [method for method in (one, other) if method not in shares]
    if missing:
        raise InputError(f"The confusion table lacks the method(s) {', '.join(missing)}.")
    first, change = shares[one], shares[other] - shares[one]
    classes, most = list(first.index), max(1, np.nanmax(np.abs(change.to_numpy())))
    note = f"Each row adds up to 100 %, or to 0; under 0.5 is left empty · {note}"
    size, y = (side + 0.5, side + 1), "true class, in order of arrival"
    figure, (left, right) = panels(note, 2, 2, size, "predicted class", y)
    signed = {"cmap": "PuOr", "vmin": -most, "vmax": most, "square": True}
    drawn = (
        (left, look(one).title, first, ".0f", SHARES, "share of the true class (%)"),
        (right, f"{look(other).title} − {look(one).title}", change, "+.0f", signed, "points"),
    )
    for ax, title, table, form, colours, told in drawn:
        mesh = heat_map(ax, table.where(table.abs() >= 0.5), letters, form, **colours)
        ax.set_title(title)
        _name_classes(ax, classes, session_of_class)
        figure.colorbar(mesh, ax=ax, label=told, shrink=0.7, pad=0.02)
    return finished(figure)


def _shares(confusion: pd.DataFrame) -> tuple[dict[str, pd.DataFrame], float, float]:
    """Each method's confusion matrix in %, the size of its letters and of its side (inches)."""
    columns = ["method", "true_class", "predicted_class", "share"]
    methods = methods_in(table := checked(confusion, columns, "confusion"))
    names = list(pd.unique(table["true_class"]))
    shares = {}
    for method in methods:
        own = table[table["method"] == method]
        wide = own.pivot_table("share", "true_class", "predicted_class", sort=False)
        shares[method] = 100 * wide.reindex(index=names, columns=names)
    letters = 0 if len(names) > 25 else min(8, 130 / len(names))
    return shares, letters, 3.6 if len(names) <= 9 else 4.8


def _name_classes(ax: Axes, names: Sequence[str], sessions: Sequence[int] | None) -> None:
    """Name the rows of the first panel and all columns by their classes; part the sessions."""
    places = np.arange(len(names))[:: -(-len(names) // 50)]
    written = [short_name(names[i]) for i in places]
    ax.set_xticks(places + 0.5, written, rotation=90)
    ax.set_yticks(places + 0.5, written if ax.get_subplotspec().is_first_col() else [])
    ax.tick_params(labelsize=8 if len(names) <= 25 else 5.5)
    part_sessions(ax, [] if sessions is None else sessions)


def part_sessions(ax: Axes, session_of_class: Sequence[int]) -> None:
    """Draw lines between the classes of one session and of the next, both ways."""
    for edge in np.flatnonzero(np.diff(session_of_class)) + 1:
        ax.axhline(edge, color="0.35", lw=0.9)
        ax.axvline(edge, color="0.35", lw=0.9)


@styled
def spoken_for(shares: pd.DataFrame, note: str) -> Figure:
    """How much each extractor raises the logit of the right class, for the images of each session.

    Args:
        shares: a row per ``session`` and ``extractor``, with ``logit``: above 0 it speaks for the
            right class, below 0 for others.
    """
    table = checked(shares, ["session", "extractor", "logit"], "shares")
    matrix = table.pivot_table("logit", "session", "extractor")
    side = max(2.6, 0.62 * len(matrix))
    figure, ax = canvas(note, side + 3, side + 1.3)
    most = max(matrix.abs().to_numpy().max(), 1e-9)
    letters = 9 if len(matrix) <= 10 else 0
    signed = {"cmap": "PuOr_r", "vmin": -most, "vmax": most, "square": True}
    mesh = heat_map(ax, matrix, letters, ".1f", **signed)
    ax.set_xticks(np.arange(matrix.shape[1]) + 0.5, matrix.columns)
    ax.set_yticks(np.arange(len(matrix)) + 0.5, matrix.index, rotation=0)
    ax.set(xlabel="extractor, by its session", ylabel="test images of session")
    ax.set_title("Who speaks for the right class?")
    told = "raises the right logit by\n(over the mean of all logits)"
    figure.colorbar(mesh, ax=ax, label=told, shrink=0.8, pad=0.03)
    return finished(figure)


@styled
def cosines_between(
    cosines: np.ndarray, names: Sequence[str], session_of_class: Sequence[int], note: str
) -> Figure:
    """Cosines between the mean features of classes, in order of arrival; lines part sessions."""
    side = max(3.4, 0.5 * len(names))
    figure, ax = canvas(note, side + 3.4, side + 1.7)
    table = pd.DataFrame(cosines).mask(np.eye(len(names), dtype=bool))  # a class and itself: 1
    letters = 0 if len(names) > 20 else 8
    ax.set_facecolor("0.88")
    mesh = heat_map(ax, table, letters, ".2f", cmap="Blues", square=True)
    written, places = [short_name(name) for name in names], np.arange(len(names)) + 0.5
    ax.set_xticks(places, written, rotation=90)
    ax.set_yticks(places, written, rotation=0)
    ax.tick_params(labelsize=8 if len(names) <= 20 else 5.5)
    part_sessions(ax, session_of_class)
    ax.set_title("How alike are the class means?")
    figure.colorbar(mesh, ax=ax, label="cosine of two class means", shrink=0.8, pad=0.03)
    return finished(figure)
