"""Published figures' numbers as they came with the project."""

import io
import subprocess
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[1]


def committed(path: str, **options) -> pd.DataFrame:
    """A table of figures/demo by its last commit.

    The demo writes over its files, and on another processor it writes other numbers.
    """
    command = ["git", "-C", str(ROOT), "show", f"HEAD:{path}"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        pytest.skip("no clone: these may be numbers of a run made here, which may be others")
    return pd.read_csv(io.StringIO(found), **options)
