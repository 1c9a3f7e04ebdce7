"""Data sets cut into sessions, each of which brings classes never seen before.

The class order is a variable of its own (``order_seed``), apart from the seed of training: on eight
classes it moves the average accuracy by several points.
"""

import hashlib
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from dynammo.data.dataset import DataSet
from dynammo.data.sources import expand_alias, load_data_set
from dynammo.errors import InputError
from dynammo.stream import SPLITS, Images, Split, Stream

DEFAULT_CLASSES_PER_SESSION = 2


def make_stream(
    spec: str,
    classes_per_session: int | None = None,
    order_seed: int = 0,
    *,
    train_per_class: int | None = None,
    phantom_seed: int = 0,
    phantom_per_class: Mapping[str, int] | None = None,
    split_seed: int = 0,
    sets_in_turn: bool = False,
    cache: Path | None = None,
) -> Stream:
    """Load the data sets of a specification and cut them into sessions.

    Classes are put in the order ``np.random.RandomState(order_seed).permutation(K)``, which is
    what the released code does for CIFAR-100. Joined sets come in the order typed; the classes of
    each are permuted by the same seed.

    Args:
        spec: a data set as in `sources.load_data_set`, or several joined with "+"; "medmnist4"
            stands for four sets.
        classes_per_session: new classes in a session; a set's last session may be smaller. Not
            given: 2 for one set, all classes of a set in one session for joined sets.
        sets_in_turn: sessions of joined sets come from the first, the second, ... in turn; classes
            that are left over at the sets' ends share sessions.
        train_per_class: keep only the first so many training images of each class, for shortened
            runs; all are kept where there are fewer. Validation and test images always all stay.
        phantom_seed, phantom_per_class, split_seed, cache: as in `sources.load_data_set`.

    InputError if a set cannot be loaded, sets do not fit together, or make fewer than two sessions.
    """
    for knob, seed in {"order_seed": order_seed, "split_seed": split_seed}.items():
        if not 0 <= seed < 2**32:
            raise InputError(f"{knob} is {seed}. Give a whole number from 0 to 2**32 - 1.")
    asked = {"classes_per_session": classes_per_session, "train_per_class": train_per_class}
    for knob, value in asked.items():
        if value is not None and value < 1:
            raise InputError(f"{knob} is {value}. Give 1 or more, or leave it out.")

    load = partial(
        load_data_set,
        phantom_seed=phantom_seed,
        phantom_per_class=phantom_per_class,
        split_seed=split_seed,
        cache=cache,
    )
    sets: list[DataSet] = []
    short_names: list[str] = []
    for part in _split_spec(spec):
        members = expand_alias(part)
        sets += map(load, members)
        short_names.append(part if len(members) > 1 else sets[-1].name)
    _check_joinable(sets)

    # Old labels are counted through all sets; each set's begin at its `first`.
    first = [0, *itertools.accumulate(data_set.number_of_classes for data_set in sets)]
    queues: list[list[int]] = []  # each set's old labels, as they arrive
    for start, data_set in zip(first, sets, strict=False):
        count = data_set.number_of_classes
        if count < (classes_per_session or 1):
            raise InputError(
                f"classes_per_session is {classes_per_session}, but {data_set.name} has only "
                f"{count} classes. Pass fewer classes per session."
            )
        order = np.random.RandomState(order_seed).permutation(count)
        queues.append((start + order).tolist())
    whole = max(map(len, queues)) if len(sets) > 1 else DEFAULT_CLASSES_PER_SESSION
    taken = _take(queues, classes_per_session or whole, sets_in_turn and bool(classes_per_session))
    arriving = list(itertools.chain(*taken))  # old labels, in the order of the new ones
    ends = list(itertools.accumulate(map(len, taken)))
    sessions = [tuple(range(end - len(own), end)) for own, end in zip(taken, ends, strict=True)]
    every = [(data_set.name, name) for data_set in sets for name in data_set.class_names]
    named = [every[label] for label in arriving]
    new_labels = np.split(np.argsort(arriving), first[1:-1])  # by set, for each old label
    if len(sessions) < 2:
        raise InputError(
            f"{spec} has {len(named)} classes, all in its only session, but class-incremental "
            "learning needs two sessions or more. Pass a smaller classes_per_session, or join "
            "several sets with '+'."
        )

    splits = {split: _joined_split(sets, split, new_labels) for split in SPLITS}
    if train_per_class is not None:
        images, labels = splits["train"].images, splits["train"].labels
        kept = np.flatnonzero(pd.Series(labels).groupby(labels).cumcount() < train_per_class)
        splits["train"] = Split(images[kept], labels[kept])
    names = [name for _, name in named]
    return Stream(
        name="+".join(short_names),
        **splits,
        class_names=tuple(f"{s}: {name}" if names.count(name) > 1 else name for s, name in named),
        sessions=tuple(sessions),
        original_labels=tuple(arriving),
        order_seed=int(order_seed),
        synthetic=any(data_set.synthetic for data_set in sets),
        checksum=hashlib.sha256("".join(s.checksum() for s in sets).encode()).hexdigest(),
        note="; ".join(filter(None, (data_set.note for data_set in sets))),
        framing="; ".join(dict.fromkeys(data_set.framing for data_set in sets)),
    )


def _take(queues: Sequence[list[int]], step: int, in_turn: bool) -> list[list[int]]:
    """Cut the classes of each set into sessions, one set after another or in turn.

    In turn, what single sets have left over at their end shares sessions.
    """
    cut = [_pieces(queue, step) for queue in queues]
    if not in_turn:
        return [session for one in cut for session in one]
    in_turns = itertools.chain(*itertools.zip_longest(*cut, fillvalue=[]))
    sessions = [session for session in in_turns if session]
    left = [one for session in sessions if len(session) < step for one in session]
    return [s for s in sessions if len(s) == step] + _pieces(left, step)


def _pieces(queue: list[int], step: int) -> list[list[int]]:
    return [queue[start : start + step] for start in range(0, len(queue), step)]


def repeated_images(stream: Stream) -> dict[str, int]:
    """How many validation and test images are also among the training images, pixel by pixel.

    A network that has seen an image is not tested on it. Splits with none are left out.
    """
    known = set(_image_digests(stream.train))
    counts = {}
    for split in SPLITS[1:]:
        counts[split] = sum(digest in known for digest in _image_digests(getattr(stream, split)))
    return {split: count for split, count in counts.items() if count}


def _image_digests(split: Split) -> Iterator[bytes]:
    for start in range(0, len(split), 1024):
        for image in split.images[start : start + 1024]:
            yield hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()


def _split_spec(spec: str) -> list[str]:
    """Return the parts of a specification joined with "+"."""
    if "+" in spec and os.path.exists(os.path.expanduser(spec)):
        raise InputError(f"'+' joins data sets, so the path {spec} cannot be used. Rename it.")
    parts = [part.strip() for part in spec.split("+")]
    if "" in parts:
        raise InputError(
            f"The stream {spec!r} has an empty part. Name a data set on each side of every '+', "
            "for example phantom, or bloodmnist+dermamnist."
        )
    return parts


def _check_joinable(sets: list[DataSet]) -> None:
    """Raise InputError unless the sets have one image size and names that differ."""
    if len({data_set.image_size for data_set in sets}) > 1:
        sizes = ", ".join(f"{s.name} {s.image_size} px" for s in sets)
        raise InputError(
            f"Joined sets need one image size, but these differ: {sizes}. Add the same @size to "
            "each name or folder; an .npz file has to be made in that size."
        )
    names = [data_set.name for data_set in sets]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            f"{', '.join(twice)} is joined more than once. Name each set once; if two different "
            "files share a name, rename one."
        )


def _joined_split(sets: list[DataSet], split: str, new_labels: list[np.ndarray]) -> Split:
    """Return one split of all sets in a row, images in their own order, with new labels."""
    parts: list[Split] = [getattr(data_set, split) for data_set in sets]
    labels = [new[part.labels] for new, part in zip(new_labels, parts, strict=True)]
    images = [part.images for part in parts]  # shared, not copied: some sets take gigabytes
    return Split(images[0] if len(images) == 1 else Joined(images), np.concatenate(labels))


class Joined:
    """Images of several sets in a row, uint8 [N, H, W, 3]: each is read from its own when asked."""

    def __init__(self, parts: list[Images]) -> None:
        self.parts = parts
        self.ends = np.cumsum([len(part) for part in parts])
        self.shape = (int(self.ends[-1]), *parts[0].shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, which: int | slice | np.ndarray) -> np.ndarray:
        wanted = np.arange(len(self))[which]
        if np.ndim(wanted) == 0:
            return self[[which]][0]
        images = np.empty((len(wanted), *self.shape[1:]), np.uint8)
        owners = np.searchsorted(self.ends, wanted, side="right")
        for i, part in enumerate(self.parts):
            mine = owners == i
            images[mine] = part[wanted[mine] - (self.ends[i] - len(part))]
        return images

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)
