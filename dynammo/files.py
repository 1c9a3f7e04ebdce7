"""Files that are either whole or not there: written beside their place, then renamed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd


def write_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Have ``write`` fill a file beside ``path`` and move it there when it is complete."""
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
    part = path.with_name(f".{path.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    yield part
    if path.exists():
        shutil.rmtree(path)
    part.replace(path)
