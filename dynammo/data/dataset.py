"""A data set: labelled square images in three splits, checked once, here.

Whoever takes one may rely on: images are uint8 RGB, all of one square size; labels are
int64 counted from 0; every class has at least one image in each split. The layout on disk is
MedMNIST's (https://medmnist.com, Yang et al., Scientific Data 2023): one ``.npz`` with
``{train,val,test}_images`` and ``{train,val,test}_labels``.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dynammo.errors import InputError
from dynammo.stream import SPLITS, Split

UNKNOWN = "not known: as in the file that was learned from"  # of images' framing
PARTS = ("images", "labels")
LAYOUT_KEYS = tuple(f"{split}_{part}" for split in SPLITS for part in PARTS)


@dataclass(frozen=True, eq=False)
class DataSet:
    """Three splits of labelled images that share one size and one list of classes.

    ``val`` is for every choice made while developing; ``test`` is for reporting only.
    ``synthetic`` is true for drawn images, so that figures can say so.
    """

    name: str
    train: Split
    val: Split
    test: Split
    class_names: tuple[str, ...]
    synthetic: bool = False
    note: str = ""  # for figures: how the images were split, where that was done here
    framing: str = UNKNOWN  # what part of a photograph an image shows

    @property
    def image_size(self) -> int:
        """Side of the square images, in pixels."""
        return self.train.images.shape[1]

    @property
    def number_of_classes(self) -> int:
        """How many classes there are; labels run from 0 to one less."""
        return len(self.class_names)

    def checksum(self) -> str:
        """Return the SHA-256 (hex) of shapes, pixels and labels: content, whatever the file."""
        digest = hashlib.sha256()
        for split in (self.train, self.val, self.test):
            digest.update(repr(split.images.shape).encode())
            # In blocks, because a grey set is a view that would triple when made contiguous.
            for start in range(0, len(split), 4096):
                block = split.images[start : start + 4096]
                digest.update(np.ascontiguousarray(block).data)
            digest.update(np.ascontiguousarray(split.labels, dtype="<i8").data)
        return digest.hexdigest()


def from_arrays(
    name: str,
    arrays: Mapping[str, np.ndarray],
    class_names: Sequence[str] | None = None,
    synthetic: bool = False,
    note: str = "",
    framing: str = UNKNOWN,
) -> DataSet:
    """Check arrays in MedMNIST's layout and build the data set.

    ``arrays`` holds for each split ``<split>_images`` uint8 [N, H, H] (grey) or [N, H, H, 3] (RGB)
    and ``<split>_labels`` integers [N] or [N, 1]; and ``class_names`` text [K], if none are given
    here. Without either, classes are numbered. InputError if the arrays break the layout, or a
    class has no image in some split.
    """
    missing = [key for key in LAYOUT_KEYS if key not in arrays]
    if missing:
        raise InputError(
            f"{name}: missing {', '.join(missing)}. Give the arrays {', '.join(LAYOUT_KEYS)}; "
            "val is needed too, because nothing may be selected on test images."
        )
    splits = {
        split: _checked_split(f"{name}: {split}", *(arrays[f"{split}_{part}"] for part in PARTS))
        for split in SPLITS
    }
    sizes = {split: checked.images.shape[1] for split, checked in splits.items()}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{split} {size} px" for split, size in sizes.items())
        raise InputError(f"{name}: image sizes differ ({told}). Resize all images to one size.")
    names = _checked_class_names(name, arrays, class_names, splits)
    about = {"synthetic": synthetic, "note": note, "framing": framing}
    return DataSet(name, **splits, class_names=names, **about)


def _checked_split(what: str, images: np.ndarray, labels: np.ndarray) -> Split:
    """Return a split; grey images become a view that repeats the channel."""
    images, labels = np.asarray(images), np.asarray(labels)
    if images.dtype != np.uint8:
        raise InputError(f"{what}_images has dtype {images.dtype}. Save 8-bit values 0..255.")
    is_grey, is_rgb = images.ndim == 3, images.ndim == 4 and images.shape[3] == 3
    if not (is_grey or is_rgb) or images.shape[1] != images.shape[2] or images.shape[1] == 0:
        raise InputError(
            f"{what}_images has shape {images.shape}. Give square images as N×H×H (grey) or "
            "N×H×H×3 (RGB, channels last); crop or pad others to a square first."
        )
    count = len(images)
    if count == 0:
        raise InputError(
            f"{what}_images is empty. Put some images of every class there; choices are made on "
            "val, never on test."
        )
    if labels.shape not in ((count,), (count, 1)):
        raise InputError(
            f"{what}_labels has shape {labels.shape} for {count} images. Give one label per image, "
            "one class number (N or N×1): sets with several labels cannot be cut into sessions."
        )
    if labels.dtype.kind not in "iu":
        raise InputError(
            f"{what}_labels has dtype {labels.dtype}, not integer. Save class numbers."
        )
    labels = labels.reshape(-1).astype(np.int64)
    if labels.min() < 0:
        raise InputError(f"{what}_labels contains {labels.min()}. Number classes from 0 upwards.")
    rgb = images if is_rgb else np.broadcast_to(images[..., None], (*images.shape, 3))
    return Split(rgb, labels)


def _checked_class_names(
    name: str,
    arrays: Mapping[str, np.ndarray],
    class_names: Sequence[str] | None,
    splits: Mapping[str, Split],
) -> tuple[str, ...]:
    """Return one distinct name per class, having checked that each split has every class."""
    if class_names is None and "class_names" in arrays:
        class_names = np.asarray(arrays["class_names"])
        if class_names.ndim != 1 or class_names.dtype.kind != "U":
            raise InputError(
                f"{name}: class_names has dtype {class_names.dtype} and shape {class_names.shape}. "
                "Save it as a one-dimensional array of text, np.array(['a', 'b'])."
            )
    last = max(int(split.labels.max()) for split in splits.values())
    what, known = "class names", class_names
    if class_names is None:
        what, known = "training images", splits["train"]
        class_names = [f"class {label}" for label in range(min(last + 1, len(known)))]
    if last >= len(known):
        raise InputError(
            f"{name}: labels go up to {last} but there are only {len(known)} {what}. Number the "
            "classes 0, 1, 2, ... without gaps, or add the missing names."
        )
    names = tuple(str(class_name) for class_name in class_names)
    if len(set(names)) < len(names):
        twice = sorted({class_name for class_name in names if names.count(class_name) > 1})
        raise InputError(f"{name}: class names {twice} occur twice. Give each class its own name.")
    for split, checked in splits.items():
        counts = np.bincount(checked.labels, minlength=len(names))
        absent = [f"{label} ({names[label]})" for label in np.flatnonzero(counts == 0)]
        if absent:
            raise InputError(
                f"{name}: no {split} images of class {', '.join(absent)}. Add images of it to "
                f"{split}, or leave the class out and number the others without gaps."
            )
    return names
