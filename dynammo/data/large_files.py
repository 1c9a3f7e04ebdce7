"""Arrays too large to load: unpacked once beside their file, then mapped.

PathMNIST at 224 px is 13 GB packed and 16 GB unpacked. A mapped array takes no memory of its own:
the system reads the parts that are used, and forgets them when it needs the room.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from tqdm import tqdm

from dynammo.data.files import write_whole
from dynammo.errors import InputError

LARGE = 2**30  # bytes of an array, unpacked, from which it is mapped
BLOCK = 2**22  # bytes read at a time


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
