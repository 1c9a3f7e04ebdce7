"""Figures of data: what the images of a stream look like, and how many there are."""

import numpy as np
from matplotlib.figure import Figure

from dynammo.draw.style import PALETTE, canvas, finished, short_name, styled
from dynammo.stream import Stream


@styled
def sample_sheet(stream: Stream, note: str, split: str = "train", per_class: int = 8) -> Figure:
    """The first images of each class, one row a class in order of arrival, under its session."""
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
    images, labels = getattr(stream, split).images, getattr(stream, split).labels
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
def kept_and_left(stream: Stream, positions: np.ndarray, count: int, note: str) -> Figure:
    """The first and the last images of an order of choice, as one row of kept, one of left.

    Args:
        positions: training images of one class, in the order that they would be chosen in.
    """
    figure, axes = canvas(note, 0.9 * count + 1, 2.6, 2, 1)
    rows = {"kept": positions[:count], "left": positions[len(positions) - count :]}
    name = stream.class_names[int(stream.train.labels[positions[0]])]
    for ax, (title, chosen) in zip(axes, rows.items(), strict=True):
        ax.imshow(np.concatenate(stream.train.select(chosen), axis=1))
        ax.set_ylabel(title, rotation=0, ha="right", va="center")
        ax.set(xticks=[], yticks=[])
    axes[0].set_title(f"{name}: kept first, and what is left last")
    return finished(figure)
