"""Sort the paper's two medical sets, which have no download of their own, into folders.

    .venv/bin/python -m dynammo.data.paper_sets skin8 FOLDER_OF_LISTS FOLDER_OF_IMAGES
    .venv/bin/python -m dynammo.data.paper_sets path16 FOLDER

Both write into the data folder ($DYNAMMO_DATA), where --stream skin8 and --stream path16 look.

SKIN8: the training images of ISIC 2019 (https://challenge.isic-archive.com/data, 9.1 GB), anywhere
below FOLDER_OF_IMAGES, and the lists skin8_train_500.txt and skin8_test_500.txt from datasets/ of
ACL's release (https://github.com/GiantJun/CL_Pytorch), which DynaMMo's is built on.

PATH16: FOLDER/<sub-set>/{train,test}/<class>/ with 800 training and 100 test images of each class,
as that release reads it. MHIST (2 classes): https://bmirds.github.io/MHIST. Patch_Camelyon (2):
https://github.com/basveeling/pcam. lung and colon (2 each): most likely LC25000,
https://github.com/tampapath/lung_colon_image_set. breast_cancer (2), oral_cancer (2), TCGA_STD (4):
the release does not say from where, nor which images of any were drawn; its authors know.

The release has no validation images and reads test accuracy every epoch. Here every tenth training
image of a class, in the order of names, is held out for validation.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from dynammo.data.files import entry_point, whole_folder
from dynammo.data.image_folder import is_image
from dynammo.data.sources import PATH16_CLASSES, SKIN8_LISTS, data_folder
from dynammo.errors import InputError
from dynammo.stream import SPLITS

EVERY = 10  # one of so many training images of a class is held out for validation
Sorted = dict[tuple[str, str, str], list[Path]]  # by sub-set (or ""), split and class


def gather_skin8(lists: Path, images: Path, folder: Path) -> dict[str, int]:
    """Sort ISIC 2019's images as the release's lists say; return how many each split has.

    A list's lines are ``Data/<class>/<file name> <class number>``, as ``datasets/skin8.py`` there
    reads them. Images may lie anywhere below ``images``, as they were unpacked.
    InputError if a list or an image is missing, or a list cannot be read.
    """
    found = {path.name: path for path in images.rglob("*") if is_image(path)}
    sorted_images: Sorted = {}
    for split, name in SKIN8_LISTS.items():
        if not (lists / name).is_file():
            raise InputError(f"There is no {name} in {lists}. It is in datasets/ of the release.")
        listed = [line.split() for line in (lists / name).read_text().splitlines() if line.strip()]
        wrong = [line for line in listed if len(line) != 2 or "/" not in line[0]]
        if wrong:
            raise InputError(f"{lists / name} has a line {' '.join(wrong[0])!r}. Copy it again.")
        paths = [Path(path) for path in dict.fromkeys(path for path, _ in listed)]
        missing = [path.name for path in paths if path.name not in found]
        if missing:
            raise InputError(
                f"{len(missing)} of {len(paths)} images that {name} names are not in {images}, "
                f"{missing[0]} for one. Download all of ISIC 2019's training images."
            )
        for path in paths:
            sorted_images.setdefault(("", split, path.parent.name), []).append(found[path.name])
    return _arrange(sorted_images, folder)


def gather_path16(source: Path, folder: Path) -> dict[str, int]:
    """Hold out validation images from sub-sets in the release's layout (``datasets/path16.py``).

    Returns how many images each split has. InputError if a sub-set is missing, or has another
    number of classes than the paper's.
    """
    sorted_images: Sorted = {}
    for part, split in itertools.product(PATH16_CLASSES, ("train", "test")):
        classes = sorted((source / part / split).glob("*/"))
        if len(classes) != PATH16_CLASSES[part]:
            raise InputError(
                f"{source / part / split} has {len(classes)} folders of classes, the paper's "
                f"{part} {PATH16_CLASSES[part]}. Sort its images into one folder for each class."
            )
        for place in classes:
            sorted_images[part, split, place.name] = list(filter(is_image, place.iterdir()))
    return _arrange(sorted_images, folder)


def _arrange(sorted_images: Sorted, folder: Path) -> dict[str, int]:
    """Write ``folder/[part/]split/class/image``, all or nothing, with links where they work."""
    if folder.exists():
        raise InputError(f"{folder} is there already. Remove it to have it made again.")
    placed: list[tuple[str, Path, Path]] = []
    for (part, split, name), images in sorted_images.items():
        paths = sorted(images)
        held = () if split == "test" else paths[EVERY - 1 :: EVERY] or paths[-1:]
        for path in paths:
            target = "val" if path in held else split
            placed.append((target, path, Path(part, target, name, path.name)))
    with whole_folder(folder) as made:
        for _, path, place in tqdm(placed, desc=folder.name, unit=" images", disable=None):
            (made / place).parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(path, made / place)
            except OSError:  # another disk, or one without links
                shutil.copyfile(path, made / place)
    targets = [target for target, *_ in placed]
    return {split: targets.count(split) for split in SPLITS}


@entry_point
def main(arguments: Sequence[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog=".venv/bin/python -m dynammo.data.paper_sets",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sets = parser.add_subparsers(dest="name", required=True)
    skin8 = sets.add_parser("skin8")
    skin8.add_argument("lists", type=Path)
    skin8.add_argument("images", type=Path)
    sets.add_parser("path16").add_argument("source", type=Path)
    options = parser.parse_args(arguments)
    folder = data_folder() / options.name
    if options.name == "skin8":
        counts = gather_skin8(options.lists, options.images, folder)
    else:
        counts = gather_path16(options.source, folder)
    print(f"{folder}: {', '.join(f'{count} {split}' for split, count in counts.items())} images")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
