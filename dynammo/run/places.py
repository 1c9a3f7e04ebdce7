"""Where this project's notebooks are, and how they are called."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"


def notebooks_by_name() -> dict[str, str]:
    """Notebooks' file names without the suffix, by what follows the number in them.

    A family's notebook is called after it, and so is an ablation's.
    """
    names = sorted(path.stem for path in NOTEBOOKS.glob("[0-9]*.ipynb"))
    return {name.partition("_")[2]: name for name in names}
