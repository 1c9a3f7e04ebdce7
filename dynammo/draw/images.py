"""Figures of data: what the images of a stream look like, and how many there are."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dynammo.draw.style import PALETTE, canvas, finished, short_name, styled
from dynammo.stream import Stream


@styled
def sample_sheet(stream: Stream, note: str, per_class: int = 8) -> Figure:
    """The first training images of each class, a row each as they arrive, under their session."""
    stacks = -(-stream.number_of_classes // 20)
    per_stack = -(-stream.number_of_classes // stacks)
    cell, size = (0.5, 8.5) if stacks == 1 else (0.34, 7)  # inches an image, points a letter
    names = [short_name(name, 18) for name in stream.class_names]
    longest = max(len(line) for name in names for line in name.split("\n"))
    room = 0.4 + 0.0093 * size / cell * longest  # for the names, in images
    stride = room + per_class
    cuts = range(per_stack, stream.number_of_classes, per_stack)
    parts = np.split(stream.session_of_class, cuts)
    height = per_stack + 0.75 * max(len(np.unique(part)) for part in parts)
    figure, ax = canvas(note, cell * stacks * stride, cell * height + 0.5)
    images, labels = stream.train.images, stream.train.labels
    gap = max(1, stream.image_size // 20)
    for stack, sessions in enumerate(parts):
        left, y = stack * stride, 0.0
        for row, session in enumerate(sessions):
            if row == 0 or session != sessions[row - 1]:
                heading = {"weight": "bold", "va": "center", "size": size + 1}
                ax.text(left, y + 0.45, f"Session {session}", **heading)
                y += 0.75
            label = stack * per_stack + row
            chosen = images[np.flatnonzero(labels == label)[:per_class]]
            strip = np.pad(chosen, ((0, 0), (0, gap), (0, gap), (0, 0)), constant_values=255)
            ax.imshow(np.concatenate(strip, axis=1), extent=(left, left + len(chosen), y + 1, y))
            ax.text(left - 0.15, y + 0.47, names[label], ha="right", va="center", size=size)
            y += 1
    ax.set(xlim=(-room, stacks * stride - room), ylim=(height, 0), aspect="equal")
    ax.axis("off")
    return finished(figure)


@styled
def class_balance(stream: Stream, note: str) -> Figure:
    """How many images each class has for training, validation and test, grouped by session."""
    many = stream.number_of_classes > 24
    width = 0.12 * stream.number_of_classes + 2 if many else 0.75 * stream.number_of_classes + 1.5
    figure, ax = canvas(note, min(18, max(6, width)), 4.2)
    places = np.arange(stream.number_of_classes) + 0.5 * (stream.session_of_class - 1)
    shades = (("train", PALETTE[0], ""), ("val", "0.78", "////"), ("test", PALETTE[1], ""))
    for i, (split, colour, hatch) in enumerate(shades):
        counts = np.bincount(getattr(stream, split).labels, minlength=stream.number_of_classes)
        options = {"color": colour, "hatch": hatch, "edgecolor": "white", "lw": 0.3}
        bars = ax.bar(places + 0.28 * (i - 1), counts, 0.28, label=split, **options)
        if stream.number_of_classes <= 12:
            ax.bar_label(bars, fontsize=6.5, padding=1, color="0.35")
    names = [short_name(name, 22 if many else 14) for name in stream.class_names]
    slant = {"rotation": 90 if many else 30, "ha": "right", "rotation_mode": "anchor"}
    ax.set_xticks(places, names, va="center" if many else "top", **slant)
    ax.tick_params(axis="x", length=0, labelsize=6 if many else 8.5)
    for session in range(1, stream.number_of_sessions + 1):
        own = places[stream.session_of_class == session]
        if session % 2:
            ax.axvspan(own[0] - 0.75, own[-1] + 0.75, color="0.96", zorder=0, lw=0)
        text = f"session {session}" if session == 1 or not many else str(session)
        above = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
        ax.annotate(text, (own.mean(), 1), (0, 3), ha="center", color="0.4", **above)
    ax.set(xlim=(places[0] - 0.75, places[-1] + 0.75), ylabel="images")
    ax.margins(y=0.08)
    ax.grid(axis="y")
    figure.legend(loc="outside upper right", ncols=3)
    return finished(figure)


@styled
def image_rows(rows: Mapping[str, np.ndarray], title: str, note: str) -> Figure:
    """Rows of images, uint8 or float in 0..1 [N, H, W, 3], each under its name."""
    longest = max(map(len, rows.values()))
    size = 0.9 * longest + 1.6, 1.1 * len(rows) + 0.6
    figure, axes = canvas(note, *size, len(rows), 1, squeeze=False)
    for ax, (name, images) in zip(axes.flat, rows.items(), strict=True):
        ax.imshow(np.concatenate(images, axis=1))
        ax.set_ylabel(name, rotation=0, ha="right", va="center")
        ax.set(xticks=[], yticks=[])
    axes[0, 0].set_title(title)
    return finished(figure)


@styled
def memory_sheet(
    stream: Stream, kept: Sequence[Mapping[int, np.ndarray]], note: str, rows: int = 12
) -> Figure:
    """Every exemplar that a class ever had, in order of choice; those given up since are pale.

    A line under a number marks how many were left of each class after that session.

    Args:
        kept: the memory after each session: by class, positions of its training images.
        rows: no more classes than that, the first ones.
    """
    most = 24  # images a row
    labels = sorted(kept[-1])[:rows]
    first = {label: next(memory[label] for memory in kept if label in memory) for label in labels}
    shares = [max(map(len, memory.values())) for memory in kept]
    widest = min(most, max(shares))
    names = [short_name(stream.class_names[label], 18) for label in labels]
    figure, ax = canvas(note, 0.42 * widest + 2.2, 0.42 * len(labels) + 1.5)
    for row, label in enumerate(labels):
        for place, position in enumerate(first[label][:most]):
            left = place >= len(kept[-1][label])
            image = stream.train.images[[position]][0]
            edges = (place + 0.04, place + 0.96, row + 0.96, row + 0.04)
            ax.imshow(image, extent=edges, alpha=0.3 if left else 1)
    for share in sorted(set(shares)):
        if share <= widest:
            after = [str(t) for t, own in enumerate(shares, start=1) if own == share]
            ax.plot([share, share], [-0.15, len(labels)], color="0.25", lw=1.2, ls=":")
            ax.text(share, -0.25, ", ".join(after), ha="center", va="bottom", size=8.5)
    ax.text(-0.3, -0.25, "left after session", ha="right", va="bottom", size=8.5)
    ax.set_yticks(np.arange(len(labels)) + 0.5, names)
    ax.set(xlim=(0, widest + 0.2), ylim=(len(labels), -0.9), aspect="equal", xticks=[])
    ax.tick_params(axis="y", length=0)
    ax.spines[:].set_visible(False)
    return finished(figure)


@styled
def doubtful_sheet(images: np.ndarray, found: pd.DataFrame, note: str) -> Figure:
    """Images with the name that each is given and its probability, the least certain first.

    Args:
        images: uint8 [N, H, W, 3].
        found: a row each, with ``class``, ``probability`` and ``none_of_these``.
    """
    columns = min(8, len(images))
    rows = -(-len(images) // columns)
    size = 1.25 * columns + 0.2, 1.75 * rows + 0.6
    figure, axes = canvas(note, *size, rows, columns, squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, image, row in zip(axes.flat, images, found.to_dict("records"), strict=False):
        ax.imshow(image)
        none = row["none_of_these"]
        told = f"{short_name(row['class'], 14)}\n{100 * row['probability']:.0f} %"
        ink = {"color": PALETTE[3] if none else "0.2", "fontsize": 7.5, "weight": "normal"}
        ax.set_title(f"{told}{', none?' if none else ''}", loc="center", **ink)
    return finished(figure)
