"""A data set from image files sorted into folders: ``train|val|test / class name / image``."""

from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from dynammo.data.dataset import DataSet, from_arrays
from dynammo.errors import InputError
from dynammo.stream import SPLITS

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
DEFAULT_SIZE = 64  # pixels; the side that images are resized to unless told otherwise


def load_image_folder(path: str | Path, image_size: int | None = None) -> DataSet:
    """Load ``path/{train,val,test}/<class name>/*`` image files; it is called after the folder.

    Classes are numbered in the order of their names, images taken in the order of theirs. Each
    image (its first frame) is turned to RGB, cropped to a square about its centre and resized
    bicubic. Hidden files are passed over; any other file that is no image is an error.

    Args:
        path: the folder.
        image_size: side to resize to, in pixels; 64 if not given.

    Raises:
        InputError: a split or class is missing, or a file cannot be read as an 8-bit image.
    """
    path = Path(path).resolve()
    size = DEFAULT_SIZE if image_size is None else image_size
    if size < 1:
        raise InputError(f"The image size is {size} px. Give 1 or more.")
    absent = [split for split in SPLITS if not (path / split).is_dir()]
    if absent:
        raise InputError(
            f"{path} has no folder {' or '.join(absent)}. Sort the images into train/<class>/, "
            "val/<class>/ and test/<class>/; val is needed, as nothing is selected on test images."
        )
    class_names = sorted(
        {entry.name for split in SPLITS for entry in _visible(path / split) if entry.is_dir()}
    )
    arrays: dict[str, np.ndarray] = {}
    for split in SPLITS:
        files = [file for folder in _visible(path / split) for file in _image_files(folder)]
        labels = [class_names.index(file.parent.name) for file in files]
        images = np.empty((len(files), size, size, 3), dtype=np.uint8)
        progress = tqdm(files, desc=f"{path.name}/{split}", unit=" images", disable=None)
        for position, file in enumerate(progress):
            images[position] = _read_image(file, size)
        arrays[f"{split}_images"] = images
        arrays[f"{split}_labels"] = np.array(labels, dtype=np.int64)
    return from_arrays(path.name, arrays, class_names)


def _visible(folder: Path) -> list[Path]:
    """Return what is in a folder and not hidden, sorted by name."""
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _image_files(class_folder: Path) -> list[Path]:
    """Return the image files of one class, sorted by name."""
    if not class_folder.is_dir():
        raise InputError(
            f"{class_folder} is not in a class folder. Move it into one, or remove it."
        )
    files = _visible(class_folder)
    for file in files:
        if file.suffix.lower() not in IMAGE_SUFFIXES or not file.is_file():
            raise InputError(
                f"{file} is not an image file. Keep only {', '.join(IMAGE_SUFFIXES)} files in "
                "class folders."
            )
    return files


def _read_image(file: Path, size: int) -> np.ndarray:
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
        raise InputError(
            f"{file} cannot be read as an image ({error}). Replace or remove it."
        ) from error
    return np.asarray(square.resize((size, size), Image.Resampling.BICUBIC))
