"""Figures of results: every function takes a table and returns a Figure, with no files involved."""

import math

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dynammo.draw.style import (
    DASHES,
    NOT_FROM_ZERO,
    SEED,
    Look,
    by_family,
    canvas,
    checked,
    draw_means,
    finished,
    label_ends,
    look,
    methods_in,
    panels,
    styled,
)

# What each family is compared with, in grey.
GREYS = {"dynammo": "-", "acl": "--", "joint": "-.", "fine_tuning": (0, (9, 1.5, 1, 1.5, 1, 1.5))}
CHANCE = Look("chance", (0.6,) * 3, "", ":")


def _marks_note(table: pd.DataFrame, note: str) -> str:
    """Put before the note what lines, bars and dots stand for."""
    seeds = table[["method", *SEED]].drop_duplicates().groupby("method").size()
    if seeds.max() == 1:
        return f"One run, so no spread is known · {note}"
    few = "" if seeds.min() == seeds.max() else f" (of {seeds.min()} for some methods)"
    told = f"Line: mean of {seeds.max()} runs{few}; bar: ± 1 standard deviation; dot: one run"
    return f"{told} · {note}"


def _session_panel(
    ax: Axes, table: pd.DataFrame, methods: list[str], size: float = 6.5
) -> list[tuple]:
    """Draw methods' means, sd and seeds by session over chance; return where their lines end.

    The axis begins at the ten below the lowest: lines of one panel lie close to each other.
    """
    ends = []
    apart = min(0.013 * table["session"].max(), 0.4 / len(methods))  # so that bars stay in sight
    for i, method in enumerate(methods):
        own, shift = table[table["method"] == method], apart * (i - (len(methods) - 1) / 2)
        kind, x, y = look(method), own["session"] + shift, 100 * own["accuracy"]
        if own.groupby("session").size().max() > 1:
            ax.scatter(x, y, 9, [kind.colour], alpha=0.4, lw=0)
        mean = y.groupby(x).agg(["mean", "std"])
        ends.append(draw_means(ax, mean.index, mean["mean"], mean["std"], kind, ms=size))
    seen = table.groupby("session")["classes_seen"].max()
    lowest = 100 * table[table["method"].isin(methods)]["accuracy"].min()
    low = max(0, 10 * math.floor((lowest - 2) / 10))
    ax.plot(seen.index, 100 / seen, color="0.55", lw=1, ls=":", label="chance")
    if 100 / seen.iloc[-1] > low:
        ends.append((seen.index[-1], 100 / seen.iloc[-1], CHANCE))
    step = -(-len(seen) // 8)
    shown = seen.iloc[(len(seen) - 1) % step :: step]  # the last one is among them
    ax.set_xticks(shown.index, [f"{t}\n{k}" for t, k in shown.items()])
    ax.set(xlim=(seen.index[0] - 0.3, seen.index[-1] + 0.3), ylim=(low, 101))
    ax.grid(axis="y")
    return ends


@styled
def accuracy_by_family(sessions: pd.DataFrame, note: str) -> Figure:
    """Accuracy over all classes seen, after each session: mean, sd and each seed, with chance.

    One panel for a few methods, else one for each family, with DynaMMo, ACL and the bounds in grey.
    Each panel begins at the ten below its lowest, as its axis says.
    """
    table = checked(sessions, ["method", *SEED, "session", "classes_seen", "accuracy"], "sessions")
    methods, note = methods_in(table), _marks_note(table, note)
    if len(methods) < 7:
        figure, ax = canvas(f"{NOT_FROM_ZERO} · {note}", 8.2, 4.4)
        ends = _session_panel(ax, table, methods)
        ax.set(ylabel="accuracy (%)", title="Accuracy on all classes seen so far")
        ax.set_xlabel("session (second line: classes seen by then)")
        label_ends({ax: ends})
        return finished(figure)
    families, key, ends_of = by_family(methods), {}, {}
    note = f"Each panel begins below its own methods, so grey lines may leave it · {note}"
    y = "accuracy on all classes\nseen so far (%)"
    session = "session (second line:\nclasses seen by then)"
    figure, axes = panels(note, len(families), 3, (3.2, 3.2), session, y, key=True)
    for ax, (family, own) in zip(axes[:-1], families.items(), strict=True):
        for method in (name for name in GREYS if name in methods and name not in own):
            mean = 100 * table[table["method"] == method].groupby("session")["accuracy"].mean()
            grey = {"color": "0.6", "ls": GREYS[method], "lw": 1, "zorder": 1}
            (key[look(method).title],) = ax.plot(mean.index, mean, **grey)
        ends_of[ax] = [end for end in _session_panel(ax, table, own, 5.5) if end[2] is not CHANCE]
        ax.set_title(family)
    key["chance"] = next(one for one in ax.get_lines() if one.get_label() == "chance")
    aside = {"loc": "upper left", "alignment": "left"}
    axes[-1].legend(key.values(), key, title="grey lines, to compare with", **aside)
    label_ends(ends_of, letters=13)
    return finished(figure)


@styled
def training_losses(losses: pd.DataFrame, note: str) -> Figure:
    """Training loss by epoch, one line a session, from 0; a panel a method, or of the adapters."""
    table = checked(losses, ["session", "epoch", "loss"], "losses")
    methods = methods_in(table) if "method" in table else ["adapters"]
    size = (6.5, 3.3) if len(methods) == 1 else (3.8, 3.3)
    figure, axes = panels(note, len(methods), 2, size, "epoch", "training loss")
    colours, ends_of = sns.color_palette("crest", table["session"].nunique()), {}
    for ax, method in zip(axes, methods, strict=True):
        drawn, ends_of[ax] = table[table["method"] == method] if "method" in table else table, []
        for i, (session, own) in enumerate(drawn.groupby("session")):
            by_epoch = own.groupby("epoch")["loss"].mean()
            kind = Look(f"session {session}", colours[i], "", DASHES[i % len(DASHES)])
            ends_of[ax].append(draw_means(ax, by_epoch.index, by_epoch, None, kind))
        the = "the " if method == "adapters" else ""
        ax.set_title(f"Training loss of {the}{look(method).title}")
        ax.set_ylim(0, 1.05 * drawn["loss"].max())
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.grid(axis="y")
    label_ends(ends_of)
    return finished(figure)
