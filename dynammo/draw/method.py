"""The method in one picture: how DynaMMo learns session by session, and how it predicts.

Drawn with a run's own numbers and the default heads, one with "others" for each session. Lengths
are in tenths of an inch on a page 12 inches wide.
"""

import textwrap
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from dynammo.draw.style import Picture, styled
from dynammo.errors import InputError

WIDTH, HEIGHT = 120, 80
INK, SOFT, LINE = "0.15", "0.42", "0.55"
ICE = {"facecolor": "#E4EEF5", "edgecolor": "#8FB1C8"}  # the frozen backbone
LEFT, RIGHT = 10, WIDTH - 1  # of everything but the rail with the steps' numbers


def shown_sessions(number_of_sessions: int) -> list[int | None]:
    """Sessions that find room in the picture; None stands for those left out."""
    if number_of_sessions <= 5:
        return list(range(1, number_of_sessions + 1))
    return [1, 2, 3, None, number_of_sessions]


def _box(ax: Axes, x: float, y: float, width: float, height: float, **options) -> None:
    options = {"facecolor": "white", "edgecolor": LINE, **options}
    corners = "round,pad=0,rounding_size=0.4"
    ax.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=corners, **options))


def _text(ax: Axes, x: float, y: float, text: str, size: float = 9, **options) -> None:
    ax.text(x, y, text, size=size, **{"va": "center", **options})


def _title(ax: Axes, x: float, y: float, text: str, size: float = 10.5, **options) -> None:
    _text(ax, x, y, text, size, weight="bold", **options)


def _arrow(ax: Axes, start: tuple, end: tuple, **options) -> None:
    style = {"arrowstyle": "-|>", "color": LINE, "shrinkA": 0, "shrinkB": 0, **options}
    ax.annotate("", end, start, arrowprops=style)


def _stripes(ax: Axes, x: float, y: float, width: float, height: float, colours: Sequence) -> None:
    """Fill a frame with one stripe of each colour."""
    step = width / len(colours)
    places = x + step * np.arange(len(colours))
    ax.bar(places, height, step, y, align="edge", color=colours)
    ax.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=INK, linewidth=0.7))


def _network(
    ax: Axes, stages: Sequence, adapted: Sequence, place: Sequence, colours: Sequence, names=False
) -> None:
    """Draw frozen stages with adapters and a head, of several colours where they are merged.

    The place is: left, middle, width, height.
    """
    x, y, width, height = place
    tall, unit = 1.24 * height, (width - 3) / (len(stages) + 0.45 * len(adapted))
    ax.plot([x - 1, x + width], [y, y], color=LINE, lw=1, zorder=0)
    for stage in stages:
        if stage in adapted:
            _stripes(ax, x + 0.05 * unit, y - tall / 2, 0.35 * unit, tall, colours)
            x += 0.45 * unit
        _box(ax, x + 0.05 * unit, y - height / 2, 0.9 * unit, height, **ICE)
        if names:
            size = min(8.5, 64 / len(stage))
            _text(ax, x + unit / 2, y, stage, size, ha="center", rotation=90)
        x += unit
    _stripes(ax, x + 1, y - height / 2, 2, height, colours)


def _learning(ax: Axes, network: Callable, classes: Sequence[int], colours: Sequence) -> None:
    """Step 1: a card for each session, and its adapter set going down to be merged."""
    sessions = shown_sessions(len(classes))
    step = (RIGHT - LEFT + 2) / len(sessions)
    for i, session in enumerate(sessions):
        x, middle = LEFT + i * step, LEFT + (i + 0.5) * step - 1
        if session is None:
            _text(ax, middle, 61.5, "\u2026", 22, ha="center", color=SOFT)
            continue
        colour, new = colours[session - 1], classes[session - 1]
        theta, before = f"$\\theta_{{{session}}}$", f"from $\\theta_{{{session - 1}}}$"
        counted = f"{new} class{'es' if new > 1 else ''}"
        _box(ax, x, 52, step - 2, 19, edgecolor=colour, linewidth=1.4)
        _title(ax, middle, 68.3, f"Session {session}: {counted}", 9, ha="center")
        network((x + 2, 62.8, step - 6, 4), [colour])
        told = f"tune {theta} ({before if i else 'fresh'}) and a head\n"
        told += f"outputs: {new} + \u201cothers\u201d{' (old)' if i else ''}"
        _text(ax, middle, 56, told, 8.5, ha="center", linespacing=1.8)
        _arrow(ax, (middle, 52), (middle, 45.8), color=colour, lw=1.8)
        _text(ax, middle + 0.9, 49, theta, 12)


def _merging(ax: Axes, classes: Sequence[int], budget: int, colours: Sequence) -> None:
    """Steps 2 to 4: the average, the memory and the heads."""
    n, share = len(classes), budget // sum(classes)
    merged = "parameter by parameter, kept as a running mean: one set, however many sessions"
    memory = (
        f"equally many of each class ({share} in the end), near the class\u2019s mean (herding)"
    )
    head = "one per session, on as many images of each class; then cut to the memory"
    _box(ax, LEFT, 39, RIGHT - LEFT, 6.6)
    _box(ax, LEFT, 25.3, RIGHT - LEFT, 11.4)
    rows = ((42.3, "Merge the sets", merged), (34, "Fill the memory", memory))
    for y, title, told in (*rows, (28, "Tune the heads", head)):
        _title(ax, LEFT + 2, y, title)
        _text(ax, LEFT + 17, y, told, color=SOFT)
    dots = r"+ \ldots +" if n > 2 else "+"
    formula = rf"$W_{{{n}}}\;=\;\frac{{1}}{{{n}}}\,(\theta_1 {dots} \theta_{{{n}}})$"
    _stripes(ax, 85, 40.3, 3, 4, colours)
    _text(ax, 90, 42.3, formula if n > 1 else r"$W_1\;=\;\theta_1$", 13)
    _text(ax, 85, 35.2, f"memory: at most {budget} images")
    _stripes(ax, 85, 30.6, 32, 3, np.repeat(colours, classes, axis=0))
    _arrow(ax, (84.2, 31.5), (76.5, 28), connectionstyle="arc3,rad=-0.2")


def _predicting(ax: Axes, network: Callable, colours: Sequence) -> None:
    """DynaMMo: once through the network with merged adapters. ACL: once for every session."""
    n = len(colours)
    passes = f"ACL predicts in {n} pass{'es' if n > 1 else ''}"
    boxes = ((LEFT, 62, "DynaMMo predicts in 1 pass", INK), (LEFT + 64, 45, passes, LINE))
    for left, width, title, edge in boxes:
        _box(ax, left, 1, width, 21.5, edgecolor=edge)
        _title(ax, left + 1.5, 20, title)
        _text(ax, left + 1.5, 11.5, "image", 8.5)
        _arrow(ax, (left + width - 10.8, 11.5), (left + width - 8.6, 11.5))
        _text(ax, left + width - 8, 11.5, "session\nwith least\n\u201cothers\u201d", 8.5)
    _arrow(ax, (LEFT + 6, 11.5), (LEFT + 8, 11.5))
    network((LEFT + 9, 11.5, 41, 7), colours, names=True)
    _text(ax, LEFT + 49, 16.2, f"{n} head{'s' if n > 1 else ''}", 8.5, ha="center")
    _box(ax, LEFT + 2, 3, 3, 2.4, **ICE)
    _stripes(ax, LEFT + 20.5, 2.8, 1.6, 2.8, colours[:1])
    _stripes(ax, LEFT + 32.2, 2.8, 1.6, 2.8, colours)
    key = ((5.8, "frozen stage \u2744"), (22.9, "adapter"), (34.6, f"merged adapter, $W_{{{n}}}$"))
    for x, name in key:
        _text(ax, LEFT + x, 4.2, name, 8.5, color=SOFT)
    x, sessions = LEFT + 70, shown_sessions(n)
    for i, session in enumerate(sessions):
        y = 17.8 - 16 * (i + 0.5) / len(sessions)
        if session is None:
            _text(ax, x + 14, y, "\u22ee", 12, ha="center", color=SOFT)
            continue
        ax.plot([x, x + 2.4], [11.5, y], color=LINE, lw=1)
        _text(ax, x + 2.8, y, f"$\\theta_{{{session}}}$", 10)
        network((x + 6.5, y, 19.5, min(2.4, 9.6 / len(sessions))), [colours[session - 1]])
        ax.plot([x + 26.2, x + 28.2], [y, 11.5], color=LINE, lw=1)


@styled
def method_diagram(
    classes_per_session: Sequence[int],
    stage_names: Sequence[str],
    adapter_stages: Sequence[str],
    backbone_title: str,
    memory_budget: int,
    note: str,
) -> Figure:
    """Draw DynaMMo with a run's own numbers; sessions past five are left out of the middle.

    ``classes_per_session`` counts new classes, ``stage_names`` are all stages of the backbone,
    ``adapter_stages`` those that an adapter goes before, ``memory_budget`` are exemplars in all.
    Raises InputError for numbers that contradict each other.
    """
    n, classes = len(classes_per_session), classes_per_session
    if not classes:
        raise InputError("Give how many classes each session brings: there is no session.")
    if unknown := [stage for stage in adapter_stages if stage not in stage_names]:
        raise InputError(f"The backbone has no stage {', '.join(unknown)} for an adapter.")
    figure = Picture(figsize=(WIDTH / 10, HEIGHT / 10 + 0.3))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, WIDTH), ylim=(-3, HEIGHT), aspect="equal")
    ax.axis("off")
    title = "DynaMMo: tune adapters session by session, average them into one set"
    _title(ax, LEFT, 77.3, title, 14)
    where = f"{n} session{'s' if n > 1 else ''}, {sum(classes)} classes; backbone {backbone_title},"
    where += f" frozen throughout; an adapter before {', '.join(adapter_stages)}"
    _text(ax, LEFT, 73.7, where, min(9.5, 9.5 * 125 / len(where)), color=SOFT)
    ax.plot([6, 6, 2, 2], [61.5, 28, 28, 61.5], color=LINE, lw=1.2, zorder=0)
    _arrow(ax, (2, 61.5), (4.1, 61.5))
    circle = {"boxstyle": "circle,pad=0.45", "facecolor": INK, "linewidth": 0}
    for step, y in enumerate((61.5, 42.3, 34, 28), start=1):
        _title(ax, 6, y, str(step), 11, color="white", ha="center", bbox=circle)
    _text(ax, 1, 45, "next session", 8.5, rotation=90, ha="center", color=SOFT)
    _title(ax, 6, 11.7, "then predict", rotation=90, ha="center")
    colours = sns.color_palette("flare", n)
    network = partial(_network, ax, stage_names, adapter_stages)
    _learning(ax, network, classes, colours)
    _merging(ax, classes, memory_budget, colours)
    _predicting(ax, network, colours)
    _text(ax, 1, -1.4, textwrap.fill(note, 210), 7.5, color=SOFT)
    return figure
