"""Notebook 12 executed headlessly; no other test runs its cells."""

from pathlib import Path

import nbformat
import pytest

from dynammo.run.execute import execute

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("method", ["dynammo_fresh", "adapted_once"])
def test_its_distances_are_the_library_s(method, blobs_npz, tmp_path):
    small = {"stream": str(blobs_npz), "adapter_epochs": 1, "head_epochs": 2, "head_steps": 0}
    small |= {"classes_per_session": 2, "adapter_stages": ["stage4"], "adapter_width": 0.25}
    given = {"method": method, "run_folder": str(tmp_path / "run"), "more": small}
    executed = tmp_path / "12.ipynb"
    execute(ROOT / "notebooks/12_own_sets.ipynb", executed, given)  # with its asserts
    cells = nbformat.read(executed, 4).cells
    shown = "".join(str(cell.get("outputs", "")) for cell in cells)
    assert "distance to the mean" in shown and "these settings are others" in shown
