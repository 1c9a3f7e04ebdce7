"""Data sets in ``.npz`` files: nothing is unpickled, and arrays too large to load are mapped.

PathMNIST at 224 px is 13 GB packed and 16 GB unpacked: it is unpacked once beside its file. A
mapped array takes no memory of its own: the system reads the parts that are used, and forgets them
when it needs the room.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tqdm import tqdm

from dynammo.data.dataset import LAYOUT_KEYS, DataSet, from_arrays
from dynammo.data.files import write_whole
from dynammo.errors import InputError

LARGE = 2**30  # bytes of an array, unpacked, from which it is mapped
BLOCK = 2**22  # bytes read at a time


def read_npz(path: str | Path) -> dict[str, np.ndarray]:
    """Read the arrays of MedMNIST's layout from an ``.npz``, leaving any other array unread.

    Nothing is ever unpickled: a file can only give numbers and text. Arrays too large for memory
    are mapped.

    Raises:
        InputError: no such file, not an npz, cut off or damaged, or a pickled object inside.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no file {path}. Check the path, or create it with np.savez.")
    arrays: dict[str, np.ndarray] = {}
    key = "it"
    try:
        if not zipfile.is_zipfile(path):  # an npz is a zip; its table of contents comes last
            raise zipfile.BadZipFile("not a zip archive, or its end is missing")
        with np.load(path, allow_pickle=False) as npz:
            for key in (*LAYOUT_KEYS, "class_names"):
                if key in npz.files:
                    large = is_large(npz.zip, key)
                    arrays[key] = map_array(npz.zip, key, path) if large else npz[key]
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise InputError(f"{path} is damaged ({error}). Copy or download it again.") from error
        raise InputError(
            f"{path}: {key} holds pickled Python objects, which are never loaded because they can "
            "run code. Save plain arrays: numbers, and class_names as np.array(list_of_str)."
        ) from error
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            f"{path} is not a complete npz file ({error}). Copy or download it again, or write it "
            "with np.savez."
        ) from error
    return arrays


def load_npz(path: str | Path) -> DataSet:
    """Load a data set from an ``.npz`` in MedMNIST's layout; it is called after the file.

    Raises:
        InputError: the file cannot be read, or its arrays break the layout (`from_arrays`).
    """
    return from_arrays(Path(path).stem, read_npz(path))


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays uncompressed, so that the file is complete or not there at all.

    Raises:
        InputError: the folder cannot be written to, or there is no room.
    """

    def write(part: Path) -> None:
        with part.open("wb") as file:  # np.savez would add another ending to a path
            np.savez(file, **arrays)

    try:
        write_whole(path, write)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}). Make room there, or set DYNAMMO_DATA to "
            "a folder that can be written to."
        ) from error


def is_large(archive: zipfile.ZipFile, key: str) -> bool:
    """Whether an array of an ``.npz`` takes too much memory to be loaded."""
    return archive.getinfo(f"{key}.npy").file_size >= LARGE


def map_array(archive: zipfile.ZipFile, key: str, path: Path) -> np.ndarray:
    """An array of the ``.npz`` at ``path``, mapped from a copy in a folder beside.

    The first use unpacks it. The copy belongs to the file as it is: another size or date makes a
    new one. What is damaged is found while unpacking, by the archive's own checksums.

    Raises:
        InputError: the folder cannot be written to, or there is no room.
    """
    found = path.stat()
    folder = path.with_name(f"{path.stem}-unpacked")
    copy = folder / f"{key}-{found.st_size}-{found.st_mtime_ns}.npy"

    def unpack(part: Path) -> None:
        size = archive.getinfo(f"{key}.npy").file_size
        with (
            archive.open(f"{key}.npy") as packed,
            part.open("wb") as file,
            tqdm(desc=f"unpacking {key}", total=size, unit="B", unit_scale=True) as bar,
        ):
            while block := packed.read(BLOCK):
                file.write(block)
                bar.update(len(block))

    if not copy.exists():
        for outdated in folder.glob(f"{key}-*.npy"):
            outdated.unlink()
        try:
            write_whole(copy, unpack)
        except OSError as error:
            raise InputError(
                f"{key} of {path} cannot be unpacked into {folder} ({error.strerror}). Make room "
                "there, or move the file to a disk with more."
            ) from error
    return np.load(copy, mmap_mode="r", allow_pickle=False)
