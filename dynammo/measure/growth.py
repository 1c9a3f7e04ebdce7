"""What grows with the sessions, and what must not: storage, memory, seconds of a session."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors.torch import save_file

from dynammo.backbones import Backbone
from dynammo.measure.cost import outline_learner
from dynammo.settings import Settings


def storage_row(backbone: Backbone, size: int, few: int, many: int) -> dict:
    """Bytes of the merged learner's file, its head apart, after few and many sessions."""
    found = {}
    for sessions in (few, many):
        settings = Settings(backbone=backbone.name)
        learner = outline_learner("dynammo", settings, [2] * sessions, size, "cpu", backbone)
        with tempfile.TemporaryDirectory() as folder:
            (adapted,) = learner.network().passes
            path = Path(folder) / "merged.safetensors"
            save_file({k: v.contiguous() for k, v in adapted.state_dict().items()}, path)
            found[sessions] = path.stat().st_size
    return {
        "what": f"storage: the merged network after {many} sessions against after {few}",
        "backbone": backbone.name,
        "sessions": many,
        "ratio": found[many] / found[few],
        "at_most": 1.0,
        "note": f"{found[many] / 1e6:.2f} and {found[few] / 1e6:.2f} MB, head apart",
    }


def patterned_images(labels: np.ndarray, size: int, seed: int = 0) -> np.ndarray:
    """Uint8 images [N, size, size, 3]: each class has a pattern of its own, under noise."""
    patterns = np.random.default_rng(0).integers(0, 256, (labels.max() + 1, 8, 8, 3))
    patterns = patterns.repeat(size // 8, axis=1).repeat(size // 8, axis=2)
    noise = np.random.default_rng(seed).normal(0, 30, (len(labels), size, size, 3))
    return (patterns[labels] + noise).clip(0, 255).astype(np.uint8)


def many_classes(path: Path, classes: int, size: int) -> None:
    """Write a data set of many easy classes."""
    arrays = {}
    for seed, (split, each) in enumerate((("train", 16), ("val", 1), ("test", 2))):
        labels = np.arange(classes * each) % classes
        arrays[f"{split}_images"] = patterned_images(labels, size, seed)
        arrays[f"{split}_labels"] = labels
    np.savez(path, **arrays)


def growth_rows(
    measured: Sequence[Mapping[str, float]], backbone: str, accuracy: float
) -> Iterator[dict]:
    """Late sessions against early ones: seconds and peak memory of what the method does.

    And seconds of the test over all classes seen, which grow because there is more to test.

    Args:
        measured: by session, ``learning``, ``test`` (seconds) and ``memory`` (MB).
        accuracy: share that is right in the end.
    """
    sessions = len(measured)
    # The first sessions have few exemplars to replay; the memory is full from the third on.
    early, late = slice(2, 12), slice(-10, None)
    for what, title in (
        ("learning", "seconds of learning a session"),
        ("memory", "peak memory"),
        ("test", "seconds of testing all classes seen"),
    ):
        values = np.array([row[what] for row in measured])
        unit = "MB" if what == "memory" else "s"
        yield {
            "what": f"{sessions} sessions: {title}, the last ten against sessions 3 to 12",
            "backbone": backbone,
            "sessions": sessions,
            "ratio": float(np.median(values[late]) / np.median(values[early])),
            **({} if what == "test" else {"at_most": 1.1}),
            "note": f"{np.median(values[late]):.2f} and {np.median(values[early]):.2f} {unit}"
            + (f"; {100 * accuracy:.0f} % right in the end" if what == "test" else ""),
        }
