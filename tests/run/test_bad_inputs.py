"""What can be wrong with images, tried the way a user would: one case for each place that refuses.

Each case spoils one thing and gives it to the command; all end in one message that names what is
wrong and says what to do. All else that is refused there is in tests/data; what can be wrong with
anything but images is in test_bad_settings.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import OpensAFile, assert_told, changed, run, small_arrays, told
from PIL import Image

from dynammo.stream import SPLITS


def own(write: Callable[[Path], object]) -> Callable[[Path], str]:
    """A case on a file of one's own: ``write`` makes it."""

    def case(folder: Path) -> str:
        write(folder / "mine.npz")
        return told(folder, "--stream", str(folder / "mine.npz"))

    return case


def arrays(**replaced: np.ndarray | None) -> Callable[[Path], str]:
    """A case on arrays of which some were replaced, or left out for None."""
    return own(lambda path: np.savez(path, **changed(**replaced)))


def tree(spoil: Callable[[Path], object]) -> Callable[[Path], str]:
    """A case on a folder of images, spoilt in one place."""

    def case(folder: Path) -> str:
        for split in SPLITS:
            for name in ("a", "b"):
                place = folder / "photos" / split / name
                place.mkdir(parents=True)
                for number in (1, 2):
                    Image.new("RGB", (8, 8)).save(place / f"{number}.png")
        spoil(folder / "photos")
        return told(folder, "--stream", str(folder / "photos"))

    return case


def of_two_sizes(folder: Path) -> str:
    """Data sets that do not fit together."""
    paths = [str(folder / f"{size}.npz") for size in (6, 8)]
    for path, size in zip(paths, (6, 8), strict=True):
        np.savez(path, **small_arrays(size=size))
    return told(folder, "--stream", "+".join(paths))


def cut_off(path: Path) -> None:
    """An npz without its end."""
    np.savez_compressed(path, **small_arrays(per_class=50))
    path.write_bytes(path.read_bytes()[:-500])


def pickled(path: Path) -> None:
    """An npz whose images are Python objects that do something when they are unpickled."""
    trap = np.array([OpensAFile(path.with_name("ran"))], dtype=object)
    np.savez(path, **changed(train_images=trap))


IMAGES, LABELS = small_arrays()["train_images"], small_arrays()["train_labels"]

# What is spoilt: the case, and a part of what must be said.
CASES: dict[str, tuple[Callable[[Path], str], str]] = {
    "npz cut off": (own(cut_off), "Copy or download it again"),
    "pickled payload inside an npz": (own(pickled), "never loaded because they can run code"),
    "no validation images": (
        arrays(val_images=None, val_labels=None),
        "missing val_images, val_labels",
    ),
    "pixels as fractions": (arrays(train_images=IMAGES / 255), "8-bit values 0..255"),
    "class only in test": (
        arrays(train_labels=LABELS % 2, val_labels=LABELS % 2),
        "no train images of class 2",
    ),
    "folder without test": (tree(lambda f: (f / "test").rename(f / "t")), "has no folder test"),
    "notes among the images": (tree(lambda f: (f / "train/a/notes.txt").touch()), "Keep only"),
    "damaged image file": (
        tree(lambda f: (f / "val/a/1.png").write_bytes(b"no image")),
        "Replace or remove it",
    ),
    "set with several labels": (run("--stream", "chestmnist"), "single-label"),
    "CIFAR-100 in another size": (run("--stream", "cifar100@64"), "cifar100 without a size"),
    "nothing after a plus": (run("--stream", "phantom+"), "on each side of every '+'"),
    "joined sets of two sizes": (of_two_sizes, "need one image size"),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_gets_one_message_that_says_what_to_do(name, tmp_path, monkeypatch):
    monkeypatch.setenv("DYNAMMO_DATA", str(tmp_path / "data"))
    assert_told(*CASES[name], tmp_path)
