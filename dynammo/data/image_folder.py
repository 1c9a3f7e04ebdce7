"""A data set from image files sorted into folders, with splits of their own or without."""

from __future__ import annotations

import csv
import io
import warnings
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.model_selection import StratifiedGroupKFold
from tqdm import tqdm

from dynammo.data.dataset import DataSet, from_arrays
from dynammo.errors import InputError
from dynammo.stream import SPLITS

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
DEFAULT_SIZE = 64  # pixels; the side of images unless told otherwise
SQUARE = "the square about the centre, resized bicubic"  # of what `read_image` takes
GROUPS = "groups.csv"  # beside the folders of classes: file, group
FOLDS = {"test": 5, "val": 8}  # a fifth of the images tests, an eighth of the others validates


def is_image(path: Path) -> bool:
    """Whether a file is called as an image is, and is not hidden."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def load_image_folder(
    path: str | Path, image_size: int | None = None, split_seed: int = 0
) -> DataSet:
    """Load image files from folders, one a class; the set is called after the folder.

    ``path/{train,val,test}/<class>/*`` has splits of its own. Without ``val``, every split of
    ``train`` by ``split_seed`` gives one; with ``path/<class>/*`` alone it gives all three: a fifth
    of the images tests, a tenth validates, every class in its share. ``path/groups.csv``, with the
    columns ``file`` (below ``path``, such as ``cyst/1.png``) and ``group`` (a patient or a slide),
    keeps each group within one split; splits that are there already are checked.

    Classes are numbered in the order of their names, images taken in the order of theirs. Each
    image (its first frame) is turned to RGB, cropped to a square about its centre and resized
    bicubic to ``image_size`` pixels, 64 if not given. Hidden files are passed over.

    InputError if a split or a class is missing, a file cannot be read as an 8-bit image, a class
    has too few images to split, an image has no group, or a group is in two splits.
    """
    path = Path(path).resolve()
    size = DEFAULT_SIZE if image_size is None else image_size
    if size < 1:
        raise InputError(f"The image size is {size} px. Give 1 or more.")
    there = [split for split in SPLITS if (path / split).is_dir()]
    if there not in ([], ["train", "test"], list(SPLITS)):
        absent = " or ".join(split for split in SPLITS if split not in there)
        raise InputError(
            f"{path} has no folder {absent}. Sort images into train/<class>/ and test/<class>/, "
            "val/<class>/ too if you like; or into <class>/ alone, and they are split for you."
        )
    found = {split: _by_class(path / split, path) for split in there or [""]}
    class_names = sorted(set().union(*found.values()))
    files = {split: [one for own in found[split].values() for one in own] for split in found}
    groups = _groups(path, files) if (path / GROUPS).exists() else {}
    told = ""
    if missing := [split for split in FOLDS if split not in there]:
        told = f"{'validation images split off' if there else 'split'} by seed {split_seed}"
        told += f", {len(set(groups.values()))} groups kept whole" if groups else ""
        whole = files.pop("train" if there else "")
        groups = groups or {_below(path, file): str(file) for file in whole}
        files |= _parted(path, whole, groups, missing, split_seed)
    arrays: dict[str, np.ndarray] = {}
    for split in SPLITS:
        labels = [class_names.index(file.parent.name) for file in files[split]]
        images = np.empty((len(labels), size, size, 3), dtype=np.uint8)
        progress = tqdm(files[split], desc=f"{path.name}/{split}", unit=" images", disable=None)
        for position, file in enumerate(progress):
            images[position] = read_image(file, size)
        arrays |= {f"{split}_images": images, f"{split}_labels": np.array(labels)}
    return from_arrays(path.name, arrays, class_names, note=told, framing=SQUARE)


def _parted(
    path: Path, files: list[Path], groups: Mapping[str, str], missing: list[str], seed: int
) -> dict[str, list[Path]]:
    """Split test and validation images off, every class in its share, no group in both."""
    named = [(file, file.parent.name, groups[_below(path, file)]) for file in files]
    parted: dict[str, list[Path]] = {}
    left = named
    for split in missing:
        kept, off = _part(left, FOLDS[split], seed)
        if not off:
            members = Counter(name for name, _ in {one[1:] for one in named})
            fewest = min(sorted(members), key=members.get, default="?")
            kind = "groups" if (path / GROUPS).exists() else "images"
            raise InputError(
                f"{path}: class {fewest} has {members[fewest]} {kind}, too few to split off some "
                "to validate and to test. Add some, or make the folders train, val and test "
                "yourself."
            )
        parted[split], left = [file for file, *_ in off], kept
    return parted | {"train": [file for file, *_ in left]}


def _part(named: list[tuple[Path, str, str]], folds: int, seed: int) -> tuple[list, list]:
    """Split a part in so many off; nothing where no part has some of every class and leaves some.

    A class may have fewer members than there are parts: then some parts have none of it. Where
    groups leave no such part, there are fewer parts, which are larger.
    """
    _, labels, whose = zip(*named, strict=True) if named else ((), (), ())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")
        most = min(max(Counter(labels).values(), default=0), len(set(whose)))
        for parts in range(min(folds, most), 1, -1):
            splitter = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
            for kept, off in splitter.split(named, labels, whose):
                if {labels[i] for i in kept} == {labels[i] for i in off} == set(labels):
                    return [named[i] for i in kept], [named[i] for i in off]
    return named, []


def _groups(path: Path, files: Mapping[str, list[Path]]) -> dict[str, str]:
    """Which group each file is of, by its path below the folder; every file has one."""
    table = path / GROUPS
    try:  # with Excel's mark or without
        text = table.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{table} is not UTF-8: save it as CSV UTF-8.") from error
    rows = csv.DictReader(io.StringIO(text))
    if not {"file", "group"} <= set(rows.fieldnames or ()):
        raise InputError(f"{table} needs the columns file and group in its first line.")
    given = [(row["file"], row["group"]) for row in rows]
    groups = {name.replace("\\", "/"): group for name, group in given if name and group}
    split_of = {_below(path, file): split for split, own in files.items() for file in own}
    if odd := groups.keys() ^ split_of.keys():
        name = min(odd)
        why = "there is no such image" if name in groups else "which is there, has no group"
        example = next(iter(split_of), "class/1.png")
        raise InputError(f"{table}: {name}: {why}. Name each image by its path, as in {example}.")
    first: dict[str, str] = {}
    for name, group in groups.items():
        if (other := first.setdefault(group, split_of[name])) != split_of[name]:
            raise InputError(
                f"{table}: group {group} is in {other} and in {split_of[name]}. Move its images "
                "into one of them."
            )
    return groups


def _below(path: Path, file: Path) -> str:
    return file.relative_to(path).as_posix()


def _by_class(folder: Path, top: Path) -> dict[str, list[Path]]:
    """Return the image files of each class in a folder, sorted by name."""
    found = {entry.name: entry for entry in _visible(folder) if entry != top / GROUPS}
    for entry in found.values():
        if entry.name == GROUPS:
            raise InputError(f"Move {entry} up, into {top}: its groups are those of all splits.")
        if not entry.is_dir():
            raise InputError(f"{entry} is not in a class folder. Move it into one, or remove it.")
        for file in _visible(entry):
            if not (is_image(file) and file.is_file()):
                raise InputError(
                    f"{file} is not an image file. Keep only {', '.join(IMAGE_SUFFIXES)} files in "
                    "class folders."
                )
    return {name: _visible(entry) for name, entry in found.items()}


def _visible(folder: Path) -> list[Path]:
    """Return what is in a folder and not hidden, sorted by name."""
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def read_image(file: Path, size: int) -> np.ndarray:
    """Return an image file as uint8 [size, size, 3]."""
    try:
        with Image.open(file) as image:
            if image.mode[0] in "IF":  # converting these would clip at 255, not scale
                raise InputError(
                    f"{file} has more than 8 bits per pixel (mode {image.mode}). Convert it to "
                    "8-bit grey or RGB first, choosing the grey range that matters."
                )
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            square = image.convert("RGB").crop((left, top, left + side, top + side))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{file} cannot be read ({error}). Replace or remove it.") from error
    return np.asarray(square.resize((size, size), Image.Resampling.BICUBIC))
