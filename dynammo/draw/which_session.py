"""How an image finds its session, in pictures: what the heads say, and what that costs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dynammo.draw.style import PALETTE, canvas, checked, finished, look, short_name, styled
from dynammo.errors import InputError
from dynammo.stream import Stream

# What an answer can be, by what went wrong first: look and hatch.
OUTCOMES = {"right": (0, ""), "wrong class": (1, "////"), "wrong session": (3, "xxxx")}


@styled
def heads_figure(data: Stream, images: Sequence[int], heads: pd.DataFrame, note: str) -> Figure:
    """Test images, and what each session's head says of them: its classes, and "others".

    Args:
        images: positions in the test split, a row of panels each.
        heads: ``image``, ``head``, ``output`` (a class's name or "others") and ``probability``.
    """
    columns = ["image", "head", "output", "probability"]
    table = checked(heads, columns, "heads")
    numbers = sorted(table["head"].unique())
    size = (1.4 + 1.9 * len(numbers), 0.8 + 1.9 * len(images))
    figure, axes = canvas(note, *size, len(images), 1 + len(numbers), squeeze=False)
    for row, position in zip(axes, images, strict=True):
        label = data.test.labels[position]
        row[0].imshow(data.test.images[position])
        row[0].set_xlabel(
            f"{short_name(data.class_names[label], 16)}\nof session {data.session_of_class[label]}"
        )
        row[0].set(xticks=[], yticks=[])
        own = table[table.image == position]
        others = own[own.output == "others"].set_index("head").probability
        for ax, number in zip(row[1:], numbers, strict=True):
            said = own[own["head"] == number]
            foreign = (said.output == "others").to_numpy()
            colours = [(*PALETTE[7 if one else 0], 0.75) for one in foreign]
            bars = ax.barh(range(len(said)), 100 * said.probability, color=colours)
            for bar, one in zip(bars, foreign, strict=True):
                bar.set_hatch("////" if one else "")
                bar.set_edgecolor("white")
            ax.bar_label(bars, fmt="%.0f", padding=2, fontsize=8)
            ax.set_yticks(range(len(said)), [short_name(name, 13) for name in said.output])
            ax.tick_params(labelsize=8)
            ax.set(xlim=(0, 118), xticks=[0, 50, 100])
            ax.invert_yaxis()
            ax.set_title(f"head {number}", fontsize=9.5)
            if number == others.idxmin():
                for side in ("left", "bottom"):
                    ax.spines[side].set(linewidth=2.5, color=PALETTE[3])
                box = {"facecolor": "white", "linewidth": 0, "pad": 1}
                corner = {"transform": ax.transAxes, "ha": "right", "va": "bottom", "size": 8.5}
                ax.text(1, 0.05, "believed", weight="bold", bbox=box, **corner)
    for ax in axes[-1, 1:]:
        ax.set_xlabel("probability (%)")
    return finished(figure)


@styled
def answers_figure(shares: pd.DataFrame, note: str) -> Figure:
    """Of each method, how many answers are right, and what went wrong first with the others.

    Args:
        shares: a row per ``method`` with the share of images of each of OUTCOMES, and ``told``: the
            share that would be right if each image's session were told.
    """
    table = checked(shares, ["method", *OUTCOMES, "told"], "answers").iloc[::-1]
    if not np.allclose(table[list(OUTCOMES)].sum(axis=1), 1):
        raise InputError("The shares of right and wrong answers must add up to 1.")
    figure, ax = canvas(note, 8.4, 1.5 + 0.5 * len(table))
    left = np.zeros(len(table))
    for name, (colour, hatch) in OUTCOMES.items():
        filled = {"facecolor": (*PALETTE[colour], 0.55), "edgecolor": "white", "hatch": hatch}
        bars = ax.barh(range(len(table)), 100 * table[name], 0.66, left, label=name, **filled)
        written = [f"{100 * share:.0f}" if share > 0.03 else "" for share in table[name]]
        box = {"facecolor": "white", "alpha": 0.85, "linewidth": 0, "pad": 1}
        ax.bar_label(bars, written, label_type="center", fontsize=8.5, bbox=box)
        left += 100 * table[name].to_numpy()
    told = {"color": "black", "mew": 2, "ls": "", "zorder": 4}
    ax.plot(100 * table.told, range(len(table)), "|", ms=26, **told)
    ax.plot([], [], "|", ms=12, label="right if the session were told", **told)
    ax.set_yticks(range(len(table)), [look(method).title for method in table.method])
    ax.set(xlim=(0, 100), xlabel="test images of all classes seen (%)")
    ax.set_title("What becomes of an image")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=8.5)
    return finished(figure)
