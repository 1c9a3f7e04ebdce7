"""Everything that can be wrong with images, tried the way a user would, with what is said of it.

Each case spoils one thing and gives it to the command; all end in one message that names what is
wrong and says what to do. What else can be wrong is in test_bad_settings.py.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import OpensAFile, changed, small_arrays, told
from PIL import Image

from dynammo.stream import SPLITS


def own(write: Callable[[Path], object], *arguments: str) -> Callable[[Path], str]:
    """A case on a file of one's own: ``write`` makes it."""

    def case(folder: Path) -> str:
        write(folder / "mine.npz")
        return told(folder, "--stream", str(folder / "mine.npz"), *arguments)

    return case


def arrays(**replaced: np.ndarray | None) -> Callable[[Path], str]:
    """A case on arrays of which some were replaced, or left out for None."""
    return own(lambda path: np.savez(path, **changed(**replaced)))


def spoilt(spoil: Callable[[bytes], bytes]) -> Callable[[Path], str]:
    """A case on a file whose bytes were damaged."""

    def write(path: Path) -> None:
        np.savez_compressed(path, **small_arrays(per_class=50))
        path.write_bytes(spoil(path.read_bytes()))

    return own(write)


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


def run(*arguments: str) -> Callable[[Path], str]:
    """A case of bad arguments alone."""
    return lambda folder: told(folder, *arguments)


def joined(**sizes: int) -> Callable[[Path], str]:
    """A case of data sets that do not fit together; a single one is joined with itself."""

    def case(folder: Path) -> str:
        paths = [str(folder / f"{name}.npz") for name in sizes]
        for path, size in zip(paths, sizes.values(), strict=True):
            np.savez(path, **small_arrays(size=size))
        return told(folder, "--stream", "+".join(paths * (2 if len(paths) == 1 else 1)))

    return case


IMAGES, LABELS = small_arrays()["train_images"], small_arrays()["train_labels"]
RGBA = np.concatenate([IMAGES, IMAGES[..., :1]], axis=3)
ONE = {f"{s}_{part}": small_arrays()[f"{s}_{part}"][:1] for s in SPLITS for part in ("images",)}
ONE |= {f"{s}_labels": LABELS[:1] * 0 for s in SPLITS}


def pickled(path: Path) -> None:
    """An npz whose images are Python objects that do something when they are unpickled."""
    trap = np.array([OpensAFile(path.with_name("ran"))], dtype=object)
    np.savez(path, **changed(train_images=trap))


def single_array(path: Path) -> None:
    """A file of one array under an npz's name."""
    with path.open("wb") as file:
        np.save(file, IMAGES)


# What is spoilt: the case, and a part of what must be said.
CASES: dict[str, tuple[Callable[[Path], str], str]] = {
    "npz that is not there": (own(lambda path: None), "Check the path"),
    "npz cut off": (spoilt(lambda b: b[:-500]), "Copy or download it again"),
    "npz with damaged bytes": (
        spoilt(lambda b: b[:2000] + bytes(100) + b[2100:]),
        "Copy or download it again",
    ),
    "empty file": (own(lambda path: path.touch()), "not a complete npz"),
    "text under the name of an npz": (own(lambda path: path.write_text("a,b")), "np.savez"),
    "one array (npy) under the name of an npz": (own(single_array), "np.savez"),
    "pickled payload inside an npz": (own(pickled), "never loaded because they can run code"),
    "no validation images": (
        arrays(val_images=None, val_labels=None),
        "missing val_images, val_labels",
    ),
    "pixels as fractions": (arrays(train_images=IMAGES / 255), "8-bit values 0..255"),
    "pixels that are NaN": (
        arrays(test_images=np.full(IMAGES.shape, np.nan)),
        "8-bit values 0..255",
    ),
    "16-bit pixels": (arrays(train_images=IMAGES.astype(np.uint16)), "8-bit values 0..255"),
    "RGBA images": (arrays(train_images=RGBA), "N×H×H×3 (RGB"),
    "images that are not square": (arrays(train_images=IMAGES[:, :5]), "crop or pad"),
    "channels before pixels": (arrays(train_images=IMAGES.transpose(0, 3, 1, 2)), "channels last"),
    "another size in val": (arrays(val_images=IMAGES[:, :4, :4]), "Resize all images"),
    "fewer images than labels": (arrays(train_images=IMAGES[:5]), "one label per image"),
    "labels that are fractions": (arrays(train_labels=LABELS / 2), "Save class numbers"),
    "labels below 0": (arrays(train_labels=LABELS.astype(int) - 1), "from 0 upwards"),
    "labels far out of range": (
        arrays(train_labels=LABELS.astype(np.int64) + 10**9),
        "without gaps",
    ),
    "several labels an image": (arrays(train_labels=np.eye(6, 3, dtype=int)), "one class number"),
    "empty val": (arrays(val_images=IMAGES[:0], val_labels=LABELS[:0]), "val_images is empty"),
    "class only in test": (
        arrays(train_labels=LABELS % 2, val_labels=LABELS % 2),
        "no train images of class 2",
    ),
    "class missing in val": (arrays(val_labels=LABELS % 2), "no val images of class 2"),
    "one image": (arrays(**ONE), "needs two sessions or more"),
    "a class name twice": (arrays(class_names=np.array(["a", "b", "a"])), "its own name"),
    "too few class names": (arrays(class_names=np.array(["a", "b"])), "add the missing names"),
    "class names as objects": (
        arrays(class_names=np.array(["a", "b", "c"], dtype=object)),
        "Save plain arrays",
    ),
    "folder without test": (tree(lambda f: (f / "test").rename(f / "t")), "has no folder test"),
    "folder without val, too few images to split": (
        tree(lambda f: shutil.rmtree(f / "val")),
        "too few to split off some",
    ),
    "class folder without images": (
        tree(lambda f: [file.unlink() for file in (f / "test/a").iterdir()]),
        "no test images of class 0 (a)",
    ),
    "class folder in test only": (
        tree(lambda f: shutil.copytree(f / "test/b", f / "test/c")),
        "no train images of class 2 (c)",
    ),
    "notes among the images": (tree(lambda f: (f / "train/a/notes.txt").touch()), "Keep only"),
    "damaged image file": (
        tree(lambda f: (f / "val/a/1.png").write_bytes(b"no image")),
        "Replace or remove it",
    ),
    "16-bit image file": (
        tree(lambda f: Image.fromarray(np.full((8, 8), 4000, np.uint16)).save(f / "val/a/3.png")),
        "Convert it to 8-bit",
    ),
    "mistyped data set": (run("--stream", "bloodmnst"), "Did you mean bloodmnist"),
    "size that does not exist": (run("--stream", "bloodmnist@32"), "bloodmnist@28, bloodmnist@64"),
    "set with several labels": (run("--stream", "chestmnist"), "single-label"),
    "set of volumes": (run("--stream", "organmnist3d"), "Choose a MedMNIST 2D set"),
    "CIFAR-100 in another size": (run("--stream", "cifar100@64"), "cifar100 without a size"),
    "SKIN8, not gathered yet": (run("--stream", "skin8"), "ISIC 2019"),
    "PATH16, not gathered yet": (run("--stream", "path16"), "TCGA_STD (4 classes)"),
    "nothing after a plus": (run("--stream", "phantom+"), "on each side of every '+'"),
    "a set joined with itself": (joined(a=6), "Name each set once"),
    "joined sets of two sizes": (joined(a=6, b=8), "need one image size"),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_gets_one_message_that_says_what_to_do(name, tmp_path, monkeypatch):
    monkeypatch.setenv("DYNAMMO_DATA", str(tmp_path / "data"))
    case, wanted = CASES[name]
    message = case(tmp_path)
    assert wanted in message
    assert len(message) < 700 and "Traceback" not in message
    assert not (tmp_path / "ran").exists()  # nothing was unpickled
