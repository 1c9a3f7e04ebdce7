"""How every figure looks, and how it is written: styles, colours per method, byte-identical files.

A method has one colour, one marker and one line style, the same in every figure (`look`), and is
named beside its line, so that no figure is read by colour alone. Every figure carries a `note` at
the bottom that says what data it is of. `save_figure` writes figures so that the same numbers
give the same bytes.
"""

import os
import textwrap
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.isotonic import isotonic_regression

from dynammo.errors import InputError
from dynammo.learners import LEARNERS

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
COLOURS = {
    "dynammo": 0,
    "acl": 3,
    "dynammo_unified_head": 9,
    "last_adapter": 1,
    "frozen_features": 7,
}
HEADS = {"dynammo": "task heads", "dynammo_unified_head": "unified head"}
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
        """The colour, darkened where letters in it would be too light on white."""
        light = np.dot(self.colour, (0.3, 0.59, 0.11))
        return tuple(min(1, 0.42 / light) * channel for channel in self.colour)


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


def canvas(note: str, width: float, height: float, rows: int = 1, columns: int = 1):
    """Return a Picture of so many inches with the note at its foot, and its axes as an array."""
    figure = Picture(figsize=(width, height), layout="constrained")
    lines = textwrap.wrap(note, int(17.5 * width))
    foot = (0.1 + 0.14 * len(lines)) / height
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08, rect=(0, foot, 1, 1 - foot))
    text = figure.text(0.1 / width, 0.08 / height, "\n".join(lines), fontsize=7.5, color="0.42")
    text.set_in_layout(False)
    return figure, figure.subplots(rows, columns, squeeze=False)


def finished(figure: Picture) -> Picture:
    """Fix the layout, so that PNG, SVG and notebook show the same one."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


def checked(table: pd.DataFrame, columns: Iterable[str], what: str) -> pd.DataFrame:
    """Return the table, or raise InputError if there is nothing in it to draw."""
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise InputError(f"The {what} table lacks the column(s) {', '.join(missing)}.")
    if table.empty:
        raise InputError(f"The {what} table has no rows, so there is nothing to draw.")
    return table


def methods_in(table: pd.DataFrame) -> list[str]:
    """Methods of a table, in the order they take in every figure."""
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


def label_ends(ax: Axes, points: Sequence[tuple[float, float, Look]], x: float = 1) -> None:
    """Name points (x, y in data units) right of axes fraction x, tied to them by thin lines.

    The axes need their final limits.
    """
    places = [point[:2] for point in points]
    line = {"arrowstyle": "-", "lw": 0.8, "shrinkA": 3, "shrinkB": 5, "relpos": (0, 0.5)}
    texts = []
    for place, (_, _, kind) in zip(places, points, strict=True):
        options = {"color": kind.ink, "arrowprops": {**line, "color": kind.colour}}
        aside = {"textcoords": ax.transAxes, "va": "center", "fontsize": 9}
        texts.append(ax.annotate(kind.title, place, (x + 0.1, 0.5), **aside, **options))
    ax.figure.draw_without_rendering()  # the layout now leaves room for the labels
    width, height = ax.get_window_extent().size * 72 / ax.figure.dpi  # in points
    wanted = ax.transAxes.inverted().transform(ax.transData.transform(places))[:, 1]
    heights = spread(wanted, 13 / height, 0.01, 1)
    for text, y, (_, _, kind) in zip(texts, heights, points, strict=True):
        text.set_position((x + 26 / width, y))
        key = {**kind.line, "ms": 5, "transform": ax.transAxes, "clip_on": False}
        ax.plot([x + 20 / width], [y], scalex=False, scaley=False, **key)


def short_name(name: str, width: int = 22) -> str:
    """Break a class name into lines of at most so many letters."""
    return textwrap.fill(str(name).replace("_", " "), width)


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
