"""Real blood cells that come with the project: 3,600 microscope images of eight kinds.

Source: A. Acevedo et al., *A dataset of microscopic peripheral blood cell images for development of
automatic recognition systems*, Data in Brief 30, 2020 (doi 10.17632/snkd93bnjr.1), CC BY 4.0: the
collection that BloodMNIST was made from. Of each image the middle 200 pixels, resized to 64; the
split is this project's own. ``blood_cells/`` has one sheet for each split and class, 20 images a
row, as lossless WebP: open one to see what is learned.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from dynammo.data.cell_types import CLASS_NAMES
from dynammo.data.dataset import DataSet, from_arrays
from dynammo.errors import InputError
from dynammo.stream import SPLITS

FOLDER = Path(__file__).parent / "blood_cells"
SIZE, COLUMNS = 64, 20
PER_CLASS = {"train": 300, "val": 50, "test": 100}
FRAMING = "the middle 200 of 360 pixels, resized to 64"
CHECKSUM = "662daa671c6ec738224fef41ea95036b646f73a758a1ee3c878459c2927ff4a9"  # DataSet.checksum()


def load_blood() -> DataSet:
    """All images, class after class: 2,400 to train, 400 to validate, 800 to test, of 64 pixels.

    InputError if a sheet is missing, or is not as it came.
    """
    arrays = {}
    for split in SPLITS:
        sheets = [read_sheet(split, label) for label in range(len(CLASS_NAMES))]
        arrays[f"{split}_images"] = np.concatenate(sheets)
        arrays[f"{split}_labels"] = np.repeat(np.arange(len(CLASS_NAMES)), PER_CLASS[split])
    data_set = from_arrays("blood", arrays, CLASS_NAMES, framing=FRAMING)
    if data_set.checksum() != CHECKSUM:
        raise InputError(f"The images in {FOLDER} are not as they came. Take them again from git.")
    return data_set


def read_sheet(split: str, label: int) -> np.ndarray:
    """Images [N, 64, 64, 3] of a split's class, from its sheet."""
    path = FOLDER / f"{split}_{CLASS_NAMES[label].replace(' ', '_')}.webp"
    try:
        with Image.open(path) as image:
            sheet = np.asarray(image.convert("RGB"))
        grid = sheet.reshape(-1, SIZE, COLUMNS, SIZE, 3).swapaxes(1, 2)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}). Take it again from git.") from error
    return grid.reshape(-1, SIZE, SIZE, 3)[: PER_CLASS[split]]
