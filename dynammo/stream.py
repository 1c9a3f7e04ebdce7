"""A stream: images whose classes arrive session by session. :mod:`dynammo.data` makes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from dynammo.errors import InputError

SPLITS = ("train", "val", "test")


class Selection:
    """Some of many images, read when they are indexed: uint8 [N, H, W, 3], read-only.

    So a large set can stay in its file. ``images`` is an array, or anything that is indexed like
    one; ``positions`` are int64 [N].
    """

    def __init__(self, images: Images, positions: np.ndarray) -> None:
        self.images, self.positions = images, positions

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, 3)."""
        return len(self), *self.images.shape[1:]

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, which: int | slice | np.ndarray) -> np.ndarray:
        return self.images[self.positions[which]]

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)


Images = np.ndarray | Selection


@dataclass(frozen=True, eq=False)
class Split:
    """Images of one split, uint8 [N, H, W, 3], and their labels, int64 [N]."""

    images: Images
    labels: np.ndarray

    def select(self, positions: np.ndarray) -> Selection:
        """Images at some positions, read when they are used."""
        return Selection(self.images, positions)

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Stream:
    """Three splits with labels renumbered in order of arrival, and what each session brings.

    Session 1 brings labels 0..k-1, session 2 the next ones, so "all classes seen so far" is always
    a range from 0. Sessions are numbered from 1, as in the papers.
    """

    name: str  # the specification, shortened: "phantom", "pbc8_64+lc5_64"
    train: Split
    val: Split
    test: Split
    class_names: tuple[str, ...]  # by label
    sessions: tuple[tuple[int, ...], ...]  # the labels that each session brings
    original_labels: tuple[int, ...]  # by label: its number in the sets, counted through
    order_seed: int
    synthetic: bool
    checksum: str  # SHA-256 of the whole data sets
    note: str = ""  # for figures: how the images were split, where that was done here
    framing: str = ""  # what part of a photograph an image shows

    @property
    def number_of_sessions(self) -> int:
        """How many sessions n there are."""
        return len(self.sessions)

    @property
    def number_of_classes(self) -> int:
        """How many classes K there are after the last session."""
        return len(self.class_names)

    @property
    def image_size(self) -> int:
        """Side of the square images, in pixels."""
        return self.train.images.shape[1]

    @property
    def session_of_class(self) -> np.ndarray:
        """Session number that brings each class, int64 [K]."""
        return session_of_class(self.sessions)

    def classes(self, session: int) -> tuple[int, ...]:
        """Labels that a session (1..n) brings; InputError if there is no such session."""
        if not 1 <= session <= self.number_of_sessions:
            raise InputError(
                f"{self.name} has no session {session}. Sessions are numbered "
                f"1..{self.number_of_sessions}."
            )
        return self.sessions[session - 1]

    def classes_seen(self, session: int) -> int:
        """How many classes are known after a session (1..n): labels 0 to one less."""
        return self.classes(session)[-1] + 1

    def indices(self, split: str, sessions: int | Iterable[int]) -> np.ndarray:
        """Where the images of one session or of several lie in a split, int64, ascending.

        InputError for a split that is none of SPLITS, or a session that there is not.
        """
        if split not in SPLITS:
            raise InputError(f"There is no split {split!r}. Use one of {', '.join(SPLITS)}.")
        numbers = [sessions] if isinstance(sessions, int | np.integer) else list(sessions)
        labels = [label for session in numbers for label in self.classes(session)]
        return np.flatnonzero(np.isin(getattr(self, split).labels, labels))


def session_of_class(sessions: Sequence[Sequence[int]]) -> np.ndarray:
    """Session number that brings each class, int64 [K], from the labels that each brings."""
    return np.repeat(np.arange(1, len(sessions) + 1), [len(labels) for labels in sessions])
