"""Images chosen by position and read when asked for, so that a large set can stay in its file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class Selection:
    """Some images of one array or of several in a row: uint8 [N, H, W, 3], read-only.

    Indexing along N by a number, a slice or positions reads those images into a plain array;
    ``np.asarray`` reads all of them.

    Args:
        parts: arrays (or selections) [N_i, H, W, 3] of one image size.
        positions: int64 [N], counted through the parts; all images if not given.
    """

    def __init__(
        self, parts: Sequence[np.ndarray | Selection], positions: np.ndarray | None = None
    ) -> None:
        self.parts = tuple(parts)
        self.ends = np.cumsum([len(part) for part in self.parts])
        self.positions = np.arange(self.ends[-1]) if positions is None else positions

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, 3)."""
        return len(self), *self.parts[0].shape[1:]

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, which: int | slice | np.ndarray) -> np.ndarray:
        wanted = self.positions[which]
        if np.ndim(wanted) == 0:
            return self[[which]][0]
        if len(self.parts) == 1:
            return self.parts[0][wanted]
        images = np.empty((len(wanted), *self.shape[1:]), np.uint8)
        owners = np.searchsorted(self.ends, wanted, side="right")
        for i, part in enumerate(self.parts):
            mine = owners == i
            images[mine] = part[wanted[mine] - (self.ends[i] - len(part))]
        return images

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)


Images = np.ndarray | Selection
