"""Figures of results: every function takes a table and returns a Figure, with no files involved."""

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from dynammo.catalogue import METHODS
from dynammo.draw.style import (
    DASHES,
    SEED,
    Look,
    by_family,
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

# What each family is compared with, in grey.
GREYS = {
    "dynammo": "-",
    "acl": (0, (5, 1.5)),
    "joint": (0, (5, 1, 1, 1)),
    "fine_tuning": (0, (9, 1.5, 1, 1.5, 1, 1.5)),
}
CHANCE = Look("chance", (0.6,) * 3, "", ":")


def _marks_note(table: pd.DataFrame, note: str) -> str:
    """Put before the note what lines, bars and dots stand for."""
    seeds = table[["method", *SEED]].drop_duplicates().groupby("method").size()
    if seeds.max() == 1:
        return f"One run, so no spread is known · {note}"
    few = "" if seeds.min() == seeds.max() else f" (of {seeds.min()} for some methods)"
    told = f"Line: mean of {seeds.max()} runs{few}; bar: ± 1 standard deviation; dot: one run"
    return f"{told} · {note}"


def _session_axis(ax: Axes, table: pd.DataFrame) -> None:
    """Label the x axis by session with the number of classes seen in a second line."""
    seen = table.groupby("session")["classes_seen"].max()
    ax.set_xlim(seen.index[0] - 0.3, seen.index[-1] + 0.3)
    shown = seen[:: -(-len(seen) // 20)]
    ax.set_xticks(shown.index, [f"{t}\n{k}" for t, k in shown.items()])
    ax.set_xlabel("session (second line: classes seen by then)")


def _mean_and_seeds(ax: Axes, own: pd.DataFrame, shift: float, kind: Look, size: float = 6.5):
    """Draw one method's mean, sd and seeds by session, in %; return the end of its line."""
    by_session = 100 * own.groupby("session")["accuracy"].agg(["mean", "std"])
    x, mean = by_session.index.to_numpy() + shift, by_session["mean"].to_numpy()
    if by_session["std"].notna().any():
        ax.scatter(own["session"] + shift, 100 * own["accuracy"], 9, [kind.colour], alpha=0.4, lw=0)
        ax.errorbar(x, mean, by_session["std"], fmt="none", ecolor=kind.colour, elinewidth=1)
    ax.plot(x, mean, label=kind.title, **{**kind.line, "ms": size})
    return x[-1], mean[-1]


def _session_panel(
    ax: Axes, table: pd.DataFrame, methods: list[str], size: float = 6.5
) -> list[tuple]:
    """Draw methods' accuracy by session over chance; return where their lines end."""
    ends = []
    apart = min(0.013 * table["session"].max(), 0.4 / len(methods))  # so that bars stay in sight
    for i, method in enumerate(methods):
        own, shift = table[table["method"] == method], apart * (i - (len(methods) - 1) / 2)
        ends.append((*_mean_and_seeds(ax, own, shift, look(method), size), look(method)))
    chance = 100 / table.groupby("session")["classes_seen"].max()
    ax.plot(chance.index, chance, color="0.55", lw=1, ls=":", label="chance")
    ends.append((chance.index[-1], chance.iloc[-1], CHANCE))
    _session_axis(ax, table)
    ax.set_ylim(0, 101)
    ax.grid(axis="y")
    return ends


@styled
def accuracy_by_family(sessions: pd.DataFrame, note: str) -> Figure:
    """Accuracy over all classes seen, after each session: mean, sd and each seed, with chance.

    One panel for a few methods, else one for each family, with DynaMMo, ACL and the bounds in grey.
    The axes run from 0 to 100 %, so that a difference looks as big as it is.
    """
    table = checked(sessions, ["method", *SEED, "session", "classes_seen", "accuracy"], "sessions")
    methods, note = methods_in(table), _marks_note(table, note)
    if len(methods) < 7:
        figure, axes = canvas(note, 8.2, 4.4)
        ends = _session_panel(axes[0, 0], table, methods)
        axes[0, 0].set(ylabel="accuracy (%)", title="Accuracy on all classes seen so far")
        label_ends({axes[0, 0]: ends})
        return finished(figure)
    families = by_family(methods)
    rows, columns = grid_of(len(families) + 1, 3)  # the last one names the grey lines
    figure, axes = canvas(note, 10.4, 1 + 2.6 * rows, rows, columns)
    left, low = outer(axes, len(families))
    named: dict[str, Line2D] = {}
    ends_of = {}
    for ax, (family, own) in zip(axes.flat, families.items(), strict=False):
        for method in (name for name in GREYS if name in methods and name not in own):
            mean = 100 * table[table["method"] == method].groupby("session")["accuracy"].mean()
            grey = {"color": "0.6", "ls": GREYS[method], "lw": 1, "zorder": 1}
            (named[look(method).title],) = ax.plot(mean.index, mean, **grey)
        *ends_of[ax], _ = _session_panel(ax, table, own, 5.5)
        ax.set_title(family)
        if ax in left:
            ax.set_ylabel("accuracy on all classes\nseen so far (%)")
        else:
            ax.tick_params(labelleft=False)
        if ax is not low[-1]:
            ax.set_xlabel("")
        if ax not in low:
            ax.tick_params(labelbottom=False)
    named["chance"] = next(one for one in ax.get_lines() if one.get_label() == "chance")
    free = axes.flat[len(families)]
    free.set_visible(True)
    free.axis("off")
    key = {"title": "grey lines, to compare with", "loc": "upper left", "alignment": "left"}
    free.legend(named.values(), named, **key)
    label_ends(ends_of, letters=13)
    return finished(figure)


@styled
def training_losses(losses: pd.DataFrame, note: str) -> Figure:
    """Training loss by epoch, one line a session, from 0; of one method, or of the adapters."""
    table = checked(losses, ["session", "epoch", "loss"], "losses")
    methods = methods_in(table) if "method" in table else ["adapters"]
    if len(methods) > 1:
        raise InputError(f"Choose one of the methods {', '.join(methods)} to draw its losses.")
    known = methods[0] in METHODS
    of = look(methods[0]).title if known else "the " + methods[0].replace("_", " ")
    figure, axes = canvas(note, 7.4, 4)
    ax, ends = axes[0, 0], []
    colours = sns.color_palette("crest", table["session"].nunique())
    for i, (session, own) in enumerate(table.groupby("session")):
        by_epoch = own.groupby("epoch")["loss"].mean()
        kind = Look(f"session {session}", colours[i], "", DASHES[i % len(DASHES)])
        ax.plot(by_epoch.index, by_epoch, label=kind.title, **kind.line)
        ends.append((by_epoch.index[-1], by_epoch.iloc[-1], kind))
    ax.set(xlabel="epoch", ylabel="training loss", title=f"Training loss of {of}")
    ax.set_ylim(0, 1.05 * table["loss"].max())
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(axis="y")
    label_ends({ax: ends})
    return finished(figure)
