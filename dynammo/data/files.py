"""Files that are either whole or not there: written beside their place, then renamed."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import pandas as pd

from dynammo.errors import InputError


def unwritable(error: OSError) -> str:
    """What to say when the system refuses to read or write something."""
    return (
        f"{error.filename or 'A file'} cannot be written or read ({error.strerror or error}). Make "
        "room or check permissions, and give the same command again: what was finished is kept."
    )


def entry_point(main: Callable[[Sequence[str]], int]) -> Callable[[Sequence[str]], int]:
    """A command whose bad input, and what the system refuses, are one line and no traceback."""

    @wraps(main)
    def run(arguments: Sequence[str]) -> int:
        try:
            return main(arguments)
        except (InputError, OSError) as error:
            said = unwritable(error) if isinstance(error, OSError) else error
            print(f"error: {said}", file=sys.stderr)
        return 2

    return run


def write_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Have ``write`` fill a file beside ``path`` and move it there when it is complete."""
    if not path.name or path.is_dir():
        raise InputError(f"{path} is a folder: name a file.")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def write_text(path: Path, text: str) -> Path:
    """Write a whole text file."""
    return write_whole(path, lambda part: part.write_text(text))


def write_json(path: Path, value: Any) -> Path:
    """Write a whole JSON file."""
    return write_text(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


def write_csv(path: Path, table: pd.DataFrame) -> Path:
    """Write a whole csv, the same bytes whenever its numbers are the same."""
    options = {"index": False, "float_format": "%.6g", "lineterminator": "\n"}
    return write_whole(path, lambda part: table.to_csv(part, **options))


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder that takes the place of ``path`` if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own, in case that a job which was given up for lost is still writing.
    part = Path(tempfile.mkdtemp(".part", f".{path.name}.", path.parent))
    part.chmod(0o755)
    try:
        yield part
        remove_folder(path)
        part.replace(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Remove a folder, if it is there, in such a way that half of it is never in its place."""
    old = path.with_name(f".{path.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        path.replace(old)
        shutil.rmtree(old)


def remove_left_overs(folder: Path) -> None:
    """Remove what killed writers left behind in a folder that nothing writes to now."""
    for path in [*folder.rglob(".*.part"), *folder.rglob(".*.old"), *folder.rglob(".*.part.ipynb")]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)  # it may have gone with its folder
