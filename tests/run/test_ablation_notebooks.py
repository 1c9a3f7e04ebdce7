"""The notebooks that look closer at a run, executed headlessly: minutes, so only on request."""

import pandas as pd
import pytest

from dynammo.run.command import main

ABLATIONS = ["dynammo_in_ten_minutes", "merging", "inside_a_merge", "which_session"]
ABLATIONS += ["beyond_the_paper", "memory"]
METHODS = "acl,dynammo,dynammo_unified_head,dynammo_ridge,last_adapter"


@pytest.mark.slow
def test_every_ablation_runs_headlessly_and_leaves_its_pictures(tmp_path):
    command = ["--profile", "smoke", "--methods", METHODS, "--output", str(tmp_path)]
    assert main([*command, "--set", f"ablations={ABLATIONS}"]) == 0
    figures = tmp_path / "figures" / "smoke"
    names = {path.stem for path in figures.glob("*.png")}
    assert {"ablation_merging", "ablation_memory", "beyond_the_paper"} <= names
    assert "forget_adapt_average" in names
    inside = {"path", "line", "cosines", "heads", "others", "answers", "kept"}
    assert {f"inside_{name}" for name in inside} <= names
    merging = pd.read_csv(figures / "ablation_merging.csv")
    assert len(merging) == 9 * 3 and merging.average_accuracy.between(0, 1).all()
    memory = pd.read_csv(figures / "ablation_memory.csv")
    assert set(memory.variant) == {16, 32, 40, 200}
    book = tmp_path / "runs/smoke/report"
    for number in ("00", "09", "10", "11", "14", "15"):
        (chapter,) = book.glob(f"{number}_*.html")
        assert "was not part of the run" not in chapter.read_text()
