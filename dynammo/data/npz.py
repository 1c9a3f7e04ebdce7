"""Data sets in ``.npz`` files: nothing is unpickled, and arrays too large to load are mapped.

PathMNIST at 224 px is 13 GB packed and 16 GB unpacked: it is unpacked once beside its file. A
mapped array takes no memory of its own: the system reads the parts that are used, and forgets them
when it needs the room.
"""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Callable, Mapping
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
    are mapped. InputError if there is no such file, it is no npz, cut off or damaged, or holds a
    pickled object.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no file {path}. Check the path, or create it with np.savez.")
    arrays: dict[str, np.ndarray] = {}
    try:
        with np.lib.npyio.NpzFile(path, allow_pickle=False) as npz:
            for key in (*LAYOUT_KEYS, "class_names"):
                if key in npz.files:
                    large = npz.zip.getinfo(f"{key}.npy").file_size >= LARGE
                    arrays[key] = map_array(npz.zip, key, path) if large else npz[key]
    except InputError:
        raise
    except (ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        if "allow_pickle" in str(error):
            raise InputError(
                f"{path}: {key} holds pickled Python objects, which are never loaded because they "
                "can run code. Save plain arrays: numbers, and class_names as np.array(['a', 'b'])."
            ) from error
        raise InputError(
            f"{path} is not a complete npz file ({error}). Copy or download it again, or write it "
            "with np.savez."
        ) from error
    return arrays


def load_npz(path: str | Path) -> DataSet:
    """Load a data set from an ``.npz`` (see `read_npz`, `from_arrays`), called after the file."""
    return from_arrays(Path(path).stem, read_npz(path))


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays uncompressed, so that the file is complete or not there at all.

    InputError if the folder cannot be written to, or there is no room.
    """

    def write(part: Path) -> None:
        with part.open("wb") as file:  # np.savez would add another ending to a path
            np.savez(file, **arrays)

    _write(path, write)


def _write(path: Path, write: Callable[[Path], object]) -> None:
    try:
        write_whole(path, write)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}). Make room there, or keep data in a "
            "folder that has more: DYNAMMO_DATA can name one."
        ) from error


def map_array(archive: zipfile.ZipFile, key: str, path: Path) -> np.ndarray:
    """An array of the ``.npz`` at ``path``, mapped from a copy in a folder beside.

    The first use unpacks it. The copy belongs to the file as it is: another size or date makes a
    new one. What is damaged is found while unpacking, by the archive's own checksums.
    InputError if the folder cannot be written to, or there is no room.
    """
    found = path.stat()
    folder = path.with_name(f"{path.stem}-unpacked")
    copy = folder / f"{key}-{found.st_size}-{found.st_mtime_ns}.npy"

    def unpack(part: Path) -> None:
        member = archive.getinfo(f"{key}.npy")
        with archive.open(member) as packed, part.open("wb") as file:
            bar = {"total": member.file_size, "desc": f"unpacking {key}"}
            with tqdm.wrapattr(packed, "read", **bar) as source:
                shutil.copyfileobj(source, file, BLOCK)

    if not copy.exists():
        for outdated in folder.glob(f"{key}-*.npy"):
            outdated.unlink()
        _write(copy, unpack)
    return np.load(copy, mmap_mode="r", allow_pickle=False)
