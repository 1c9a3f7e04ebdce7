"""The method in one picture: how DynaMMo learns session by session, and how it predicts.

The heads drawn are the default ones, a head with "others" for each session.

Drawn with the run's own numbers, in units of about a tenth of an inch on a page 12 inches wide.
"""

import textwrap
from collections.abc import Sequence

import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch, Rectangle

from dynammo.draw.style import Picture, styled
from dynammo.errors import InputError

WIDTH, HEIGHT = 120.0, 80.0
INK, SOFT, LINE = "0.15", "0.42", "0.55"
ICE, ICE_EDGE = "#E4EEF5", "#8FB1C8"  # the frozen backbone
CHOICE = "session\nwith least\n\u201cothers\u201d"  # how task heads decide
LEFT, RIGHT = 10.0, WIDTH - 1  # of everything but the rail with the steps' numbers


def shown_sessions(number_of_sessions: int) -> list[int | None]:
    """Sessions that find room in the picture; None stands for those left out."""
    if number_of_sessions <= 5:
        return list(range(1, number_of_sessions + 1))
    return [1, 2, 3, None, number_of_sessions]


def _box(ax: Axes, x: float, y: float, width: float, height: float, **options) -> None:
    """Draw a rounded box with its lower left corner at x, y."""
    options = {"facecolor": "white", "edgecolor": LINE, "linewidth": 1, **options}
    round_off = f"round,pad=0,rounding_size={min(0.8, 0.25 * width, 0.25 * height)}"
    ax.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=round_off, **options))


def _text(ax: Axes, x: float, y: float, text: str, **options) -> None:
    """Write text whose middle line is at height y."""
    ax.text(x, y, text, **{"va": "center", **options})


def _arrow(ax: Axes, start: tuple, end: tuple, bend: float = 0, **options) -> None:
    """Draw an arrow between two points, bent to its side."""
    style = {"arrowstyle": "-|>", "color": LINE, "lw": 1.2, "shrinkA": 0, "shrinkB": 0, **options}
    ax.annotate("", end, start, arrowprops={**style, "connectionstyle": f"arc3,rad={bend}"})


def _stripes(ax: Axes, x: float, y: float, width: float, height: float, colours: Sequence) -> None:
    """Fill an adapter's place with one stripe for each set that was merged into it."""
    step = width / len(colours)
    for i, colour in enumerate(colours):
        ax.add_patch(Rectangle((x + i * step, y), step, height, facecolor=colour, linewidth=0))
    ax.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=INK, linewidth=0.7))


def _network(
    ax: Axes,
    place: tuple[float, float, float, float],
    stages: Sequence[str],
    adapter_stages: Sequence[str],
    colours: Sequence,
    names: bool = False,
) -> None:
    """Draw the frozen stages from left to right with an adapter before the chosen ones.

    Args:
        ax: where to draw.
        place: x, y, width, height.
        stages: names of the backbone's stages.
        adapter_stages: those that an adapter goes before.
        colours: one for an adapter of one session, several for a merged one.
        names: whether to write the stages' names.
    """
    x, y, width, height = place
    unit = width / (len(stages) + 0.45 * len(adapter_stages))
    ax.plot([x - 1, x + width + 1], [y + height / 2] * 2, color=LINE, lw=1, zorder=0)
    for stage in stages:
        if stage in adapter_stages:
            _stripes(ax, x + 0.05 * unit, y - 0.12 * height, 0.35 * unit, 1.24 * height, colours)
            x += 0.45 * unit
        _box(ax, x + 0.05 * unit, y, 0.9 * unit, height, facecolor=ICE, edgecolor=ICE_EDGE)
        if names:
            size = min(9, 0.9 * 7.2 * unit / (0.62 * max(map(len, stages))))
            _text(ax, x + unit / 2, y + height / 2, stage, ha="center", size=size)
        x += unit


def _step(ax: Axes, number: int, y: float) -> None:
    """Put a step's number on the rail."""
    ax.add_patch(Circle((6, y), 1.9, facecolor=INK, linewidth=0))
    _text(ax, 6, y, str(number), color="white", weight="bold", ha="center", size=11)


def _cards(sessions: Sequence[int | None]) -> list[tuple[float, float]]:
    """Left edge and width of each session's card; the card of those left out is narrow."""
    gap, narrow = 2.2, 5.0
    wide = sum(session is not None for session in sessions)
    room = RIGHT - LEFT - gap * (len(sessions) - 1) - narrow * (len(sessions) - wide)
    places, x = [], LEFT
    for session in sessions:
        width = narrow if session is None else room / wide
        places.append((x, width))
        x += width + gap
    return places


def _learning(
    ax: Axes,
    classes_per_session: Sequence[int],
    stages: Sequence[str],
    adapter_stages: Sequence[str],
    colours: Sequence,
) -> None:
    """Step 1: a card for each session, and its adapter set going down to be merged."""
    sessions = shown_sessions(len(classes_per_session))
    _step(ax, 1, 61.5)
    for session, (x, width) in zip(sessions, _cards(sessions), strict=True):
        middle = x + width / 2
        if session is None:
            _text(ax, middle, 61.5, "\u2026", ha="center", size=22, color=SOFT)
            _text(ax, middle, 48.7, "\u2026", ha="center", size=14, color=SOFT)
            continue
        colour, new = colours[session - 1], classes_per_session[session - 1]
        _box(ax, x, 52, width, 19, edgecolor=colour, linewidth=1.4)
        _text(ax, x + 1.3, 68.3, f"Session {session}", weight="bold", size=10.5)
        counted = f"{new} new class{'es' if new > 1 else ''}"
        _text(ax, x + width - 1.3, 68.3, counted, size=8.5, ha="right", color=SOFT)
        _network(ax, (x + 2, 60.8, width - 6.2, 4), stages, adapter_stages, [colour])
        _box(ax, x + width - 3.4, 61.2, 2, 3.2, facecolor=colour, edgecolor=INK, linewidth=0.7)
        start = f"from $\\theta_{{{session - 1}}}$" if session > 1 else "fresh"
        told = f"tune $\\theta_{{{session}}}$ ({start}) and a head"
        _text(ax, middle, 57.3, told, size=9, ha="center")
        old = " (old)" if session > 1 else ""
        outputs = f"outputs: {new} + \u201cothers\u201d{old}"
        _text(ax, middle, 54.4, outputs, size=8, ha="center", color=SOFT)
        _arrow(ax, (middle, 52), (middle, 45.8), color=colour, lw=1.8)
        _text(ax, middle + 0.9, 49, f"$\\theta_{{{session}}}$", size=12)


def _merging(ax: Axes, n: int, classes: Sequence[int], budget: int, colours: Sequence) -> None:
    """Steps 2 to 4: the average, the memory and the heads."""
    _step(ax, 2, 42.3)
    _box(ax, LEFT, 39, RIGHT - LEFT, 6.6)
    _stripes(ax, LEFT + 2, 40.3, 3, 4, colours)
    dots = r"+ \ldots +" if n > 2 else "+"
    formula = rf"$W_{{{n}}}\;=\;\frac{{1}}{{{n}}}\,(\theta_1 {dots} \theta_{{{n}}})$"
    _text(ax, LEFT + 7.5, 42.3, "Merge:", weight="bold", size=10.5)
    _text(ax, LEFT + 15, 42.3, formula, size=13)
    told = "parameter by parameter, kept as a running mean:\none adapter set, however many sessions"
    _text(ax, LEFT + 46, 42.3, told, size=9, color=SOFT, linespacing=1.4)

    share = budget // sum(classes)
    _step(ax, 3, 34)
    _step(ax, 4, 28)
    _box(ax, LEFT, 25.3, RIGHT - LEFT, 11.4)
    head = "one per session, on the memory alone: every class counts the same"
    memory = f"with {share} images of each class, chosen to keep the class\u2019s mean (herding)"
    for y, title, told in ((34, "Fill the memory", memory), (28, "Tune the heads", head)):
        _text(ax, LEFT + 2, y, title, weight="bold", size=10.5)
        _text(ax, LEFT + 17, y, told, size=9, color=SOFT)
    x, unit = 85.0, 32 / sum(classes)
    _text(ax, x, 35.2, f"memory: at most {budget} images", size=9)
    for count, colour in zip(classes, colours, strict=True):
        for _ in range(count):
            bar = {"facecolor": colour, "edgecolor": "white", "linewidth": min(1.2, unit)}
            ax.add_patch(Rectangle((x, 30.6), unit, 3, **bar))
            x += unit
    _arrow(ax, (84.2, 31.5), (75, 28), -0.2)


def _image(ax: Axes, x: float, y: float) -> tuple[float, float]:
    """Draw an image of a cell; return where an arrow leaves it."""
    ax.add_patch(Rectangle((x, y), 4.4, 4.4, facecolor="#FBEFE3", edgecolor=LINE, linewidth=0.8))
    ax.add_patch(Circle((x + 2.2, y + 2.2), 1.5, facecolor="#E3C9DD", linewidth=0))
    ax.add_patch(Circle((x + 2.4, y + 2.4), 0.8, facecolor="#7B4B94", linewidth=0))
    return x + 4.6, y + 2.2


def _one_pass(
    ax: Axes, n: int, stages: Sequence[str], adapter_stages: Sequence[str], colours: Sequence
) -> None:
    """How DynaMMo predicts: once through the network, with the merged adapters."""
    _box(ax, LEFT, 1, 62, 21.5, edgecolor=INK, linewidth=1.4)
    _text(ax, LEFT + 1.5, 20, "DynaMMo predicts in 1 pass", weight="bold", size=10.5)
    x, y = _image(ax, LEFT + 1.5, 10)
    _arrow(ax, (x, y), (x + 2.6, y))
    _network(ax, (x + 3.4, y - 3, 37, 6), stages, adapter_stages, colours, names=True)
    for i, colour in enumerate(colours):
        top = y + 3 - 6 * i / n
        ax.add_patch(Rectangle((x + 42, top - 6 / n), 2, 6 / n, facecolor=colour, linewidth=0))
    ax.add_patch(Rectangle((x + 42, y - 3), 2, 6, fill=False, edgecolor=INK, linewidth=0.7))
    _text(ax, x + 43, y + 4.2, f"{n} head{'s' if n > 1 else ''}", size=8.5, ha="center")
    _arrow(ax, (x + 44.2, y), (x + 46.6, y))
    _text(ax, x + 47, y, CHOICE, size=8.5, linespacing=1.25)
    _box(ax, LEFT + 2, 3, 3, 2.4, facecolor=ICE, edgecolor=ICE_EDGE)
    _text(ax, LEFT + 5.8, 4.2, "frozen stage \u2744", size=8.5, color=SOFT)
    _stripes(ax, LEFT + 20.5, 2.8, 1.6, 2.8, colours[:1])
    _text(ax, LEFT + 22.9, 4.2, "adapter", size=8.5, color=SOFT)
    _stripes(ax, LEFT + 32.2, 2.8, 1.6, 2.8, colours)
    _text(ax, LEFT + 34.6, 4.2, f"merged adapter, $W_{{{n}}}$", size=8.5, color=SOFT)


def _many_passes(
    ax: Axes, n: int, stages: Sequence[str], adapter_stages: Sequence[str], colours: Sequence
) -> None:
    """How ACL predicts: once for every session, each with its own adapters and head."""
    left = LEFT + 64
    _box(ax, left, 1, RIGHT - left, 21.5)
    count = f"{n} pass{'es' if n > 1 else ''}"
    _text(ax, left + 1.5, 20, f"ACL predicts in {count}", weight="bold", size=10.5)
    x, y = _image(ax, left + 1.5, 7.6)
    sessions = shown_sessions(n)
    step = 16.0 / len(sessions)
    for i, session in enumerate(sessions):
        at = 17.8 - (i + 0.5) * step
        if session is None:
            _text(ax, x + 14, at, "\u22ee", ha="center", size=12, color=SOFT)
            continue
        height = min(2.4, 0.6 * step)
        ax.plot([x, x + 2.6, x + 3.6], [y, at, at], color=LINE, lw=1)
        _text(ax, x + 3.8, at, f"$\\theta_{{{session}}}$", size=10)
        place = (x + 7.2, at - height / 2, 17, height)
        _network(ax, place, stages, adapter_stages, [colours[session - 1]])
        _box(ax, x + 25.2, at - height / 2, 1.4, height, facecolor=colours[session - 1])
        ax.plot([x + 26.6, x + 27.8, x + 29.6], [at, at, y], color=LINE, lw=1)
    _arrow(ax, (x + 29.4, y), (x + 30.8, y))
    _text(ax, x + 31.2, y, CHOICE, size=8.5, linespacing=1.25)


@styled
def method_diagram(
    number_of_sessions: int,
    classes_per_session: Sequence[int],
    stage_names: Sequence[str],
    adapter_stages: Sequence[str],
    backbone_title: str,
    memory_budget: int,
    note: str,
) -> Figure:
    """Draw DynaMMo with a run's own numbers; sessions past five are left out of the middle.

    Args:
        number_of_sessions: n.
        classes_per_session: new classes of each session.
        stage_names: all stages of the backbone, in order.
        adapter_stages: those that an adapter goes before.
        backbone_title: the backbone's name for readers.
        memory_budget: exemplars in all.
        note: small line at the bottom.

    Raises:
        InputError: numbers that contradict each other.
    """
    if number_of_sessions != len(classes_per_session) or not classes_per_session:
        raise InputError(
            f"{number_of_sessions} sessions, but class counts of {len(classes_per_session)}: "
            "give one count for each session."
        )
    unknown = [stage for stage in adapter_stages if stage not in stage_names]
    if unknown:
        raise InputError(
            f"The backbone has no stage {', '.join(unknown)} to put an adapter before."
        )
    n = number_of_sessions
    figure = Picture(figsize=(WIDTH / 10, HEIGHT / 10 + 0.3))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, WIDTH), ylim=(-3, HEIGHT), aspect="equal")
    ax.axis("off")
    colours = sns.color_palette("flare", n)
    title = "DynaMMo: tune adapters session by session, average them into one set"
    _text(ax, LEFT, 77.3, title, weight="bold", size=14)
    where = (
        f"{n} session{'s' if n > 1 else ''}, {sum(classes_per_session)} classes; "
        f"backbone {backbone_title}, frozen throughout; "
        f"an adapter before {', '.join(adapter_stages)}"
    )
    _text(ax, LEFT, 73.7, where, size=min(9.5, 9.5 * 125 / len(where)), color=SOFT)
    ax.plot([6, 6], [61.5, 28], color=LINE, lw=1.2, zorder=0)
    ax.plot([4, 2, 2], [28, 28, 61.5], color=LINE, lw=1.2)
    _arrow(ax, (2, 61.5), (4.1, 61.5))
    _text(ax, 1, 45, "next session", rotation=90, size=8.5, ha="center", color=SOFT)
    _text(ax, 6, 11.7, "then predict", rotation=90, size=10.5, weight="bold", ha="center")
    _learning(ax, classes_per_session, stage_names, adapter_stages, colours)
    _merging(ax, n, classes_per_session, memory_budget, colours)
    _one_pass(ax, n, stage_names, adapter_stages, colours)
    _many_passes(ax, n, stage_names, adapter_stages, colours)
    _text(ax, 1, -1.4, textwrap.fill(note, 210), size=7.5, color=SOFT)
    return figure
