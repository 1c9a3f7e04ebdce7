"""Where a data set comes from: drawn, downloaded and checked, or the user's own files.

Nothing that was downloaded is ever unpickled. Importing `medmnist` would pull in torch and need a
working torchvision, so only its table of links (``medmnist/info.py``) is read.
"""

import difflib
import importlib.util
import os
import re
import runpy
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dynammo.data import cell_types, phantom
from dynammo.data.blood import load_blood
from dynammo.data.dataset import DataSet, from_arrays
from dynammo.data.download import fetch
from dynammo.data.image_folder import DEFAULT_SIZE, load_image_folder
from dynammo.data.npz import load_npz, read_npz, write_npz
from dynammo.errors import InputError
from dynammo.stream import SPLITS

ONLY_SIZE = {"blood": 64, "cifar100": 32}
MEDMNIST_SIZES = (28, 64, 128, 224)
PHANTOM_PER_CLASS = {"train": 150, "val": 25, "test": 50}

# Names that stand for several sets, one session each (`make_stream.make_stream`). The four sets and
# their order are those of LifeLonger (arXiv 2204.05737) and of DynaMMo's released configuration.
ALIASES = {"medmnist4": ("bloodmnist", "organamnist", "pathmnist", "tissuemnist")}

# The *binary* version of CIFAR-100: the usual one holds Python pickles.
CIFAR100_URL = "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"
CIFAR100_HASH = "md5:03b5dce01913d631647c71ecec9e9cb8"

# The paper's PATH16: how many classes each sub-set has (the release's datasets/path16.py).
PATH16_CLASSES = dict(
    MHIST=2, breast_cancer=2, oral_cancer=2, Patch_Camelyon=2, TCGA_STD=4, lung=2, colon=2
)
# The paper's SKIN8: the lists of its images (in the release's datasets/).
SKIN8_LISTS = {"train": "skin8_train_500.txt", "test": "skin8_test_500.txt"}
# Sets of the paper that have no single download, and what the user gathers.
FOLDER_SETS = {
    "skin8": f"Get ISIC 2019's training images and the lists {' and '.join(SKIN8_LISTS.values())}",
    "path16": "Gather 800 training and 100 test images of each class of "
    + ", ".join(f"{part} ({count} classes)" for part, count in PATH16_CLASSES.items()),
}


def data_folder() -> Path:
    """Return where data sets are kept: $DYNAMMO_DATA, or ~/.medmnist as medmnist itself does."""
    return Path(os.environ.get("DYNAMMO_DATA") or "~/.medmnist").expanduser()


def expand_alias(spec: str) -> tuple[str, ...]:
    """Return the data sets that a name stands for: four for "medmnist4@28", else itself.

    A set of the paper whose folder holds one folder for each sub-set stands for those, by name.
    """
    base, at, size = spec.partition("@")
    members = ALIASES.get(base, ())
    if base in FOLDER_SETS and not (data_folder() / base / "train").exists():
        members = [str(train.parent) for train in sorted((data_folder() / base).glob("*/train"))]
    return tuple(f"{member}{at}{size}" for member in members) or (spec,)


def absolute_spec(spec: str) -> str:
    """Return a specification whose paths are absolute, so that it means the same in any folder."""
    named = {"", *ONLY_SIZE, "phantom", *ALIASES, *FOLDER_SETS, *medmnist_info()}
    parts = []
    for part in map(str.strip, spec.split("+")):
        base, _ = _base_and_size(part)
        for typed in (part, base) if base not in named else ():
            if os.path.exists(path := os.path.expanduser(typed)):
                part = f"{Path(path).resolve()}{part[len(typed) :]}"
                break
        parts.append(part)
    return "+".join(parts)


def load_data_set(
    spec: str,
    *,
    phantom_seed: int = 0,
    phantom_per_class: Mapping[str, int] | None = None,
    split_seed: int = 0,
    cache: Path | None = None,
) -> DataSet:
    """Load one data set by name or path, downloading it on first use.

    Args:
        spec: "blood"; "phantom" or a single-label MedMNIST 2D name such as "bloodmnist", with
            "@size" in pixels (default 64); "cifar100"; "path16" or "skin8" in the user's data
            folder; a path to an ``.npz`` or to a folder of images, looked for from the current
            folder and then in the data folder. Sets made of image files take "@size" too.
        phantom_seed: seed of the drawn images, for "phantom" only.
        phantom_per_class: how many images of each class to draw for each split.
        split_seed: seed of the split of a folder that has none.
        cache: folder that keeps drawn images, so that several jobs of a run draw them once.

    InputError if there is no such set, size or path, a download fails, or a file is damaged.
    """
    base, size = _base_and_size(spec)
    if size == 0:
        raise InputError(f"{spec} asks for images of 0 px. Type a size such as {base}@64.")
    if size not in (None, ONLY_SIZE.get(base, size)):
        raise InputError(f"{base} has {ONLY_SIZE[base]} px images. Type {base} without a size.")
    name = spec if size not in (None, DEFAULT_SIZE) else base
    if base == "phantom":
        per_class = PHANTOM_PER_CLASS | dict(phantom_per_class or {})
        arrays = _drawn(phantom_seed, per_class, size or DEFAULT_SIZE, cache)
        return from_arrays(name, arrays, phantom.CLASS_NAMES, synthetic=True)
    if base == "blood":
        return load_blood()
    if base == "cifar100":
        return _load_cifar100()
    info = medmnist_info()
    if base in info:
        return _load_medmnist(name, base, size or DEFAULT_SIZE, info[base])
    path, path_size = _find_path(spec, base, size)
    if path.is_dir():
        return load_image_folder(path, path_size, split_seed)
    if path_size is not None:
        raise InputError(f"{path} keeps the size of its arrays. Leave out @{path_size}.")
    return load_npz(path)


def _drawn(
    seed: int, per_class: Mapping[str, int], size: int, cache: Path | None
) -> dict[str, np.ndarray]:
    """Draw the phantom, or read what an earlier job drew by the same code and arguments."""
    if cache is None:
        return phantom.draw_phantom(seed, per_class, size)
    code = zlib.crc32(b"".join(Path(m.__file__).read_bytes() for m in (cell_types, phantom)))
    counts = "-".join(str(per_class[split]) for split in SPLITS)
    path = cache / f"phantom_{size}px_{counts}_seed{seed}_{code:08x}.npz"
    if not path.exists():
        write_npz(path, phantom.draw_phantom(seed, per_class, size))
    return read_npz(path)


def medmnist_info() -> dict[str, dict[str, Any]]:
    """Return ``medmnist.INFO`` (links, MD5s, class names by flag) without importing torch."""
    package = importlib.util.find_spec("medmnist")
    if package is None:
        raise InputError("The package medmnist is not installed. Install it: pip install medmnist.")
    return runpy.run_path(str(Path(package.origin).with_name("info.py")))["INFO"]


def convert_cifar100(archive: Path, path: Path, val_per_class: int = 50) -> None:
    """Write CIFAR-100's binary archive as an npz in MedMNIST's layout, complete or not at all.

    CIFAR-100 has no validation split, so the last `val_per_class` of the 500 training images of
    each class become one. The archive's records are 1 byte coarse label, 1 byte fine label and
    3 x 32 x 32 bytes of pixels, channels first (https://www.cs.toronto.edu/~kriz/cifar.html).
    """
    with tarfile.open(archive) as tar:
        test, train, names = (
            tar.extractfile(f"cifar-100-binary/{member}").read()
            for member in ("test.bin", "train.bin", "fine_label_names.txt")
        )
    test, train = (
        np.frombuffer(part, np.uint8).reshape(-1, 2 + 3 * 32 * 32) for part in (test, train)
    )
    left_of_class = pd.Series(train[:, 1]).groupby(train[:, 1]).cumcount(ascending=False)
    in_val = left_of_class.to_numpy() < val_per_class
    arrays = {"class_names": np.array(names.decode().split())}
    for split, records in {"train": train[~in_val], "val": train[in_val], "test": test}.items():
        pixels = records[:, 2:].reshape(-1, 3, 32, 32)
        arrays[f"{split}_images"] = pixels.transpose(0, 2, 3, 1)
        arrays[f"{split}_labels"] = records[:, 1:2]
    write_npz(path, arrays)


def _base_and_size(spec: str) -> tuple[str, int | None]:
    """Return "bloodmnist", 28 for "bloodmnist@28", and no size where none is typed."""
    match = re.fullmatch(r"(.+)@([0-9]+)", spec)
    return (match[1], int(match[2])) if match else (spec, None)


def _unusable(flag: str, entry: Mapping[str, Any]) -> str:
    """Why a MedMNIST set cannot be cut into sessions, or "" if it can."""
    if flag.endswith("3d"):
        return "volumes, not images"
    return "several labels per image" if "multi-label" in entry["task"] else ""


def _load_medmnist(name: str, flag: str, size: int, entry: Mapping[str, Any]) -> DataSet:
    """Load a MedMNIST 2D set, in the file names and folder that medmnist itself uses."""
    if _unusable(flag, entry):
        raise InputError(
            f"{flag} has {_unusable(flag, entry)}, so it cannot be cut into sessions of new "
            "classes. Choose a MedMNIST 2D set that is single-label, such as bloodmnist."
        )
    if size not in MEDMNIST_SIZES:
        raise InputError(
            f"{flag} does not come in {size} px. Type one of "
            f"{', '.join(f'{flag}@{available}' for available in MEDMNIST_SIZES)}."
        )
    suffix = "" if size == 28 else f"_{size}"
    path = data_folder() / f"{flag}{suffix}.npz"
    fetch(entry[f"url{suffix}"], f"md5:{entry[f'MD5{suffix}']}", path)
    class_names = [entry["label"][str(label)] for label in range(len(entry["label"]))]
    return from_arrays(name, read_npz(path), class_names)


def _load_cifar100() -> DataSet:
    """Load CIFAR-100 from ``cifar100.npz``, which the first use downloads and converts."""
    path = data_folder() / "cifar100.npz"
    if not path.exists():
        archive = data_folder() / CIFAR100_URL.rpartition("/")[2]
        convert_cifar100(fetch(CIFAR100_URL, CIFAR100_HASH, archive), path)
    data_set = from_arrays("cifar100", read_npz(path))
    counts = [len(data_set.train), len(data_set.val), len(data_set.test)]
    if counts != [45_000, 5_000, 10_000]:
        raise InputError(
            f"{path} has {counts} train, val and test images, so it is not the whole CIFAR-100. "
            "Delete it to have it made again; to use a part on purpose, give it another name."
        )
    return data_set


def _find_path(spec: str, base: str, size: int | None) -> tuple[Path, int | None]:
    """Return the user's file or folder and the size to resize to, or explain what exists."""
    if base in FOLDER_SETS:
        folder = data_folder() / base
        if folder.is_dir():
            return folder, size
        raise InputError(
            f"{base} has no download of its own. {FOLDER_SETS[base]}, then have .venv/bin/python "
            f"-m dynammo.data.paper_sets {base} sort them (--help says more). Images of your own "
            f"choice go into {folder}/train/<class>/, .../val/<class>/ and .../test/<class>/."
        )
    for folder in (Path(), data_folder()):
        for typed, typed_size in ((spec, None), (base, size)):
            path = folder / os.path.expanduser(typed)
            if typed and path.exists():
                return path, typed_size
    if "/" in spec or spec.endswith(".npz"):
        raise InputError(
            f"There is no {spec} in {Path.cwd()} or {data_folder()}. Check the path to the .npz "
            "file or the folder with train, val and test, or set DYNAMMO_DATA to the folder it is "
            "in. The study's files are described in notebooks/CARDS.md."
        )
    usable = [flag for flag, entry in medmnist_info().items() if not _unusable(flag, entry)]
    names = ["blood", "phantom", *usable, *ALIASES, "cifar100", *FOLDER_SETS]
    near = difflib.get_close_matches(base, names, n=3)
    meant = f"Did you mean {' or '.join(near)}? " if near else ""
    raise InputError(
        f"There is no data set {spec!r}. {meant}Use one of {', '.join(names)}, with @size where "
        "sizes exist, or a path to an .npz file or a folder with train, val and test."
    )
