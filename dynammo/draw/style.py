"""How every figure looks, and how it is written: styles, colours per method, byte-identical files.

A method has one colour, marker and line style in every figure (`look`) and is named beside its
line, so that no figure is read by colour alone. A `note` at the foot says what data it is of.
"""

import textwrap
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.transforms import offset_copy
from sklearn.isotonic import isotonic_regression

from dynammo.catalogue import FAMILIES, METHODS, family, title
from dynammo.data.files import write_csv, write_whole
from dynammo.errors import InputError

# Letters in the SVG are drawn as outlines ("path"), because the page that shows it (GitHub, a
# browser without DejaVu Sans) would otherwise put another font's wider letters into the layout.
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "figure.titlesize": 10.5,
    "figure.titleweight": "bold",
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

# Ten colours that colour-blind readers tell apart, and six dark ones that go with them.
MORE = ("#332288", "#882255", "#117733", "#999933", "#aa4499", "#222222")
PALETTE = [*sns.color_palette("colorblind"), *map(to_rgb, MORE)]
DASHES = (
    "-",
    (0, (5, 1.5)),
    (0, (1, 1)),
    (0, (5, 1, 1, 1)),
    (0, (3, 1, 1, 1, 1, 1)),
    (0, (1, 2.5)),
)
# Palette number, marker and dash number. No colour comes twice in a family, and no pair of colour
# and marker twice at all; the colours of the methods met most are theirs alone.
LOOKS = {
    "dynammo": (0, "o", 0),
    "dynammo_unified_head": (9, "D", 2),
    "dynammo_ridge": (2, "p", 4),
    "last_adapter": (1, "^", 3),
    "last_adapter_ridge": (15, "v", 5),
    "acl": (3, "s", 1),
    "frozen_features": (7, "v", 0),
    "fine_tuning": (13, "<", 1),
    "joint": (15, "D", 0),
    "replay": (5, "P", 0),
    "der_plus_plus": (14, "X", 1),
    "lwf": (13, "p", 3),
    "icarl": (2, "s", 0),
    "wa": (4, ">", 1),
    "ucir": (10, "P", 2),
    "podnet": (11, "d", 4),
    "ewc": (11, "X", 3),
    "der": (10, "h", 2),
    "nearest_class_mean": (14, "<", 2),
    "ranpac": (12, ">", 1),
    "ranpac_no_projection": (4, "D", 3),
    "ridge_frozen_last": (8, "h", 4),
    "ridge_frozen": (10, "s", 5),
    "replay_balanced_head": (8, "D", 2),
    "acl_fresh": (11, "s", 1),
    "dynammo_fresh": (6, "*", 0),
    "adapted_once": (12, "D", 2),
    "dynammo_gentle": (9, "H", 4),
}
SPARE_COLOURS = (2, 4, 5, 6, 8, 10, 11, 12, 13, 14, 15)  # for methods without a look of their own
SPARE_MARKERS = "H8o"
SEED = ["order_seed", "train_seed"]
NOT_FROM_ZERO = "The accuracy axis does not start at 0"  # where differences are small


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
        marks = {"marker": self.marker, "ms": 6.5, "mec": "white", "mew": 0.5}
        return {"color": self.colour, "ls": self.dash, "lw": 1.6, **marks}

    @property
    def ink(self) -> tuple[float, ...]:
        """The colour, darkened where letters in it would be too light on white."""
        light = np.dot(self.colour, (0.3, 0.59, 0.11))
        return tuple(min(1, 0.42 / light) * channel for channel in self.colour)


def look(method: str) -> Look:
    """Look of a method; of one that is not in METHODS it follows from its name alone."""
    known = list(METHODS)
    place = known.index(method) if method in known else len(known) + zlib.crc32(method.encode())
    colour = SPARE_COLOURS[place % len(SPARE_COLOURS)]
    spare = (colour, SPARE_MARKERS[place % len(SPARE_MARKERS)], place % len(DASHES))
    colour, marker, dash = LOOKS.get(method, spare)
    return Look(title(method), PALETTE[colour], marker, DASHES[dash], place)


class Picture(Figure):
    """A Figure that notebooks show without pyplot, which would keep it and show it twice."""

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.savefig(buffer, format="png", dpi=100)
        return buffer.getvalue()


def canvas(note: str, width: float, height: float, rows: int = 1, columns: int = 1, **grid):
    """Return a Picture of so many inches with a note at its foot, and its axes as subplots does."""
    figure = Picture(figsize=(width, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)
    foot = {"x": 0.1 / width, "ha": "left", "fontsize": 7.5, "color": "0.42"}
    figure.supxlabel(textwrap.fill(note, int(17.5 * width)), **foot)
    return figure, figure.subplots(rows, columns, **grid)


def panels(
    note: str, count: int, most: int, side: tuple[float, float], x: str, y: str, key: bool = False
) -> tuple[Picture, list[Axes]]:
    """Return a Picture of so many panels, at most so many in a row, each so many inches.

    The outer ones are labelled. With a key there is an empty panel more, for a legend: rather one
    more in a row than a row of its own.
    """
    most += key and count % most == 0
    rows = -(-(count + key) // most)
    columns = -(-(count + key) // rows)
    figure, axes = canvas(note, 0.9 + side[0] * columns, 0.7 + side[1] * rows, rows, columns)
    axes = np.reshape(axes, (rows, columns))
    for ax in axes.flat[count:]:
        ax.axis("off")
    for ax in axes.flat[:count][-columns:]:
        ax.set_xlabel(x)
    for ax in axes[:, 0]:
        ax.set_ylabel(y)
    return figure, list(axes.flat[: count + key])


def draw_means(ax: Axes, x: Sequence, mean: Sequence, sd: Sequence, kind: Look, **changes):
    """Draw means with a bar of ± 1 standard deviation, where known; return the end, for label_ends.

    Changes are to the options of Axes.plot.
    """
    ax.errorbar(x, mean, sd, fmt="none", ecolor=kind.colour, elinewidth=1)
    ax.plot(x, mean, label=kind.title, **kind.line | changes)
    return np.asarray(x)[-1], np.asarray(mean)[-1], kind


def finished(figure: Picture) -> Picture:
    """Fix the layout, so that PNG, SVG and notebook show the same one.

    The layout's last digits differ now and then from one time to the next, and an SVG names its
    parts by hashes of them, so they are rounded away.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for ax in figure.axes:
        ax.set_position(np.round(ax.get_position(original=True).bounds, 5))
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


def points_over(accuracy: pd.Series | pd.DataFrame, against: str) -> pd.Series | pd.DataFrame:
    """Accuracies (0..1), in points over those that one of them has in the same run.

    The index is what is compared, then the run; NaN where ``against`` has no such run.
    """
    what, *run = accuracy.index.names
    own = accuracy[accuracy.index.get_level_values(what) == against].droplevel(what)
    return 100 * (accuracy - own.reindex(accuracy.index.droplevel(what)).to_numpy())


def by_family(methods: Iterable[str]) -> dict[str, list[str]]:
    """Group methods under the titles of their families, in the order of FAMILIES."""
    groups = {name.capitalize(): [] for name in [*FAMILIES.values(), family("")]}
    for name in methods:
        groups[family(name).capitalize()].append(name)
    return {name: group for name, group in groups.items() if group}


def spread(wanted: Sequence, size: float | Sequence, low: float, high: float) -> np.ndarray:
    """Positions nearest to those wanted (least squares) for things of a size, side by side."""
    wanted = np.asarray(wanted, dtype=float)
    order = np.argsort(wanted, kind="stable")
    sizes = np.broadcast_to(size, wanted.shape)[order]
    ladder = np.cumsum([0, *(sizes[1:] + sizes[:-1]) / 2])
    top = max(low, high - ladder[-1])
    placed = np.empty_like(wanted)
    placed[order] = isotonic_regression(wanted[order] - ladder, y_min=low, y_max=top) + ladder
    return placed


def label_ends(ends: Mapping[Axes, Sequence[tuple[float, float, Look]]], letters: int = 40) -> None:
    """Name points (x, y in data units) of some axes, tied to their names by thin lines.

    The names are right of the axes, and broken into lines of so many letters. The axes need their
    final limits.
    """
    line = {"arrowstyle": "-", "lw": 0.8, "shrinkA": 3, "shrinkB": 5, "relpos": (0, 0.5)}
    white = {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.5}
    aside = {"va": "center", "ha": "left", "fontsize": 9, "bbox": white}
    names = {ax: [] for ax in ends}
    for ax, points in ends.items():
        aside["textcoords"] = offset_copy(ax.transAxes, ax.figure, 20, units="points")
        for *place, kind in points:
            ink = {"color": kind.ink, "arrowprops": {**line, "color": kind.colour}}
            text = textwrap.fill(kind.title, letters)
            names[ax].append(ax.annotate(text, place, (1, 0.5), **aside, **ink))
    next(iter(ends)).figure.draw_without_rendering()  # the layout now leaves room for the names
    for ax, points in ends.items():
        height = ax.get_window_extent().height * 72 / ax.figure.dpi  # in points
        places = ax.transData.transform([point[:2] for point in points])
        wanted = ax.transAxes.inverted().transform(places)[:, 1]
        sizes = [(2 + 11 * (1 + name.get_text().count("\n"))) / height for name in names[ax]]
        heights = np.round(spread(wanted, sizes, 0.01, 1), 4)
        for name, y in zip(names[ax], heights, strict=True):
            name.set_position((1, y))


def short_name(name: str, width: int = 22) -> str:
    """Break a class name into lines of at most so many letters."""
    return textwrap.fill(str(name).replace("_", " "), width)


@styled
def save_figure(
    figure: Figure, table: pd.DataFrame | None, stem: Path, provenance: Mapping[str, str]
) -> list[Path]:
    """Write stem.png, stem.svg and the numbers as stem.csv; the same input gives the same bytes.

    No csv is written without a table. The provenance, where the numbers come from, is kept in the
    PNG's text and the SVG's description. Returns the paths written.
    """
    stem = Path(stem)
    facts = {key: str(value) for key, value in provenance.items()}
    described = "; ".join(f"{key}: {value}" for key, value in facts.items())
    metadata = {
        "png": {"Title": stem.name, **facts},
        "svg": {"Title": stem.name, "Description": described, "Date": None},
    }
    paths = []
    for kind, known in metadata.items():
        write = partial(figure.savefig, format=kind, dpi=150, metadata=known)
        paths.append(write_whole(stem.with_name(f"{stem.name}.{kind}"), write))
    if table is not None:
        paths.append(write_csv(stem.with_name(f"{stem.name}.csv"), table))
    return paths
