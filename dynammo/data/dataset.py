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

LAYOUT_KEYS = tuple(f"{split}_{part}" for split in SPLITS for part in ("images", "labels"))


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
) -> DataSet:
    """Check arrays in MedMNIST's layout and build the data set.

    Args:
        name: what to call the data set, in messages and figures.
        arrays: for each split, ``<split>_images`` uint8 [N, H, H] (grey) or [N, H, H, 3] (RGB) and
            ``<split>_labels`` integers [N] or [N, 1]; optionally ``class_names`` text [K].
        class_names: one name per label; taken from ``arrays`` or else "class 0", ... if not given.
        synthetic: whether the images are drawn rather than photographed.
        note: what figures say of the set, such as how it was split.

    Raises:
        InputError: the arrays break the layout, or a class has no image in some split.
    """
    missing = [key for key in LAYOUT_KEYS if key not in arrays]
    if missing:
        raise InputError(
            f"{name}: missing {', '.join(missing)}. Give the arrays {', '.join(LAYOUT_KEYS)}; "
            "val is needed too, because nothing may be selected on test images."
        )
    images = {split: _checked_images(name, split, arrays[f"{split}_images"]) for split in SPLITS}
    labels = {split: _checked_labels(name, split, arrays[f"{split}_labels"]) for split in SPLITS}
    for split in SPLITS:
        if len(images[split]) != len(labels[split]):
            raise InputError(
                f"{name}: {split}_images has {len(images[split])} images and {split}_labels has "
                f"{len(labels[split])} labels. Give one label per image."
            )
    sizes = {split: images[split].shape[1] for split in SPLITS}
    if len(set(sizes.values())) > 1:
        raise InputError(
            f"{name}: image sizes differ between splits "
            f"({', '.join(f'{split} {size} px' for split, size in sizes.items())}). "
            "Resize all images to one size."
        )
    names = _checked_class_names(name, arrays, class_names, labels)
    splits = (Split(images[split], labels[split]) for split in SPLITS)
    return DataSet(name, *splits, class_names=names, synthetic=synthetic, note=note)


def _checked_images(name: str, split: str, images: np.ndarray) -> np.ndarray:
    """Return images as uint8 [N, H, H, 3]; grey images become a view that repeats the channel."""
    images = np.asarray(images)
    what = f"{name}: {split}_images"
    if images.dtype != np.uint8:
        raise InputError(
            f"{what} has dtype {images.dtype}, not uint8. Save pixels as 8-bit values 0..255."
        )
    is_grey, is_rgb = images.ndim == 3, images.ndim == 4 and images.shape[3] == 3
    if not (is_grey or is_rgb) or images.shape[1] != images.shape[2] or images.shape[1] == 0:
        raise InputError(
            f"{what} has shape {images.shape}. Give square images as N×H×H (grey) or "
            "N×H×H×3 (RGB, channels last); crop or pad others to a square first."
        )
    if len(images) == 0:
        why = "; choices are made on val, never on test" if split == "val" else ""
        raise InputError(f"{what} is empty. Put some images of every class in {split}{why}.")
    return images if is_rgb else np.broadcast_to(images[..., None], (*images.shape, 3))


def _checked_labels(name: str, split: str, labels: np.ndarray) -> np.ndarray:
    """Return labels as int64 [N]."""
    labels = np.asarray(labels)
    what = f"{name}: {split}_labels"
    if labels.ndim == 2 and labels.shape[1] > 1:
        raise InputError(
            f"{what} has shape {labels.shape}, several labels per image. Give one class number "
            "per image (N or N×1): multi-label sets cannot be cut into class-incremental sessions."
        )
    if labels.ndim not in (1, 2):
        raise InputError(f"{what} has shape {labels.shape}. Give one class number per image (N).")
    if labels.dtype.kind not in "iu":
        raise InputError(
            f"{what} has dtype {labels.dtype}, not integer. Save class numbers 0, 1, 2, ... "
            "instead."
        )
    labels = labels.reshape(-1).astype(np.int64)
    if labels.size and labels.min() < 0:
        raise InputError(f"{what} contains {labels.min()}. Number the classes from 0 upwards.")
    return labels


def _checked_class_names(
    name: str,
    arrays: Mapping[str, np.ndarray],
    class_names: Sequence[str] | None,
    labels: Mapping[str, np.ndarray],
) -> tuple[str, ...]:
    """Return one distinct name per class, having checked that each split has every class."""
    number_of_classes = 1 + max(int(labels[split].max()) for split in SPLITS)
    if number_of_classes > len(labels["train"]):  # before anything that long is allocated
        raise InputError(
            f"{name}: labels go up to {number_of_classes - 1} but there are only "
            f"{len(labels['train'])} training images. Number the classes 0, 1, 2, ... without gaps."
        )
    if class_names is None and "class_names" in arrays:
        stored = np.asarray(arrays["class_names"])
        if stored.ndim != 1 or stored.dtype.kind != "U":
            raise InputError(
                f"{name}: class_names has dtype {stored.dtype} and shape {stored.shape}. "
                "Save it as a one-dimensional array of text, np.array(['a', 'b'])."
            )
        class_names = stored.tolist()
    elif class_names is None:
        class_names = [f"class {label}" for label in range(number_of_classes)]
    names = tuple(str(class_name) for class_name in class_names)
    if number_of_classes > len(names):
        raise InputError(
            f"{name}: labels go up to {number_of_classes - 1} but there are only {len(names)} "
            f"class names. Number classes 0..{len(names) - 1} or add the missing names."
        )
    if len(set(names)) < len(names):
        twice = sorted({class_name for class_name in names if names.count(class_name) > 1})
        raise InputError(f"{name}: class names {twice} occur twice. Give each class its own name.")
    for split in SPLITS:
        counts = np.bincount(labels[split], minlength=len(names))
        absent = [f"{label} ({names[label]})" for label in np.flatnonzero(counts == 0)]
        if absent:
            raise InputError(
                f"{name}: no {split} images of class {', '.join(absent)}. Add images of it to "
                f"{split}, or leave the class out and number the others without gaps."
            )
    return names
