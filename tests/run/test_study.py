"""The study's page says what its archives hold."""

import warnings
from pathlib import Path

import pytest

from dynammo.catalogue import METHODS, title
from dynammo.run.archive import unpack
from dynammo.run.collect import collect
from dynammo.run.profiles import load_runs

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "notebooks/STUDY.md").read_text()
NAMES = {title(name): name for name in METHODS}


def tables() -> list[dict[str, list[str]]]:
    """The tables of the study so far: each row's cells, by its first one."""
    section = PAGE.partition("## The new study, so far")[2].partition("\n## ")[0]
    found = [block.splitlines()[2:] for block in section.split("\n\n") if block[:2] == "| "]
    rows = [[line.strip("| ").split(" | ") for line in block] for block in found]
    return [{first: cells for first, *cells in block} for block in rows]


@pytest.mark.parametrize(("stream", "column"), [("blood", 0), ("mixed", 1)])
def test_the_page_tells_what_the_archive_holds(stream, column, tmp_path):
    averages, differences = tables()
    averages = {NAMES[row]: cells[2 * column :] for row, cells in averages.items()}
    methods = [name for name, cells in averages.items() if cells[0] != "–"]
    assert len(methods) > 8

    unpack(ROOT / f"figures/study/{stream}_sessions.tar.xz", tmp_path)
    settings = load_runs("study")[f"study-{stream}"].with_changes({"methods": methods})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the code that made them, which is not today's
        found = collect(tmp_path, settings)
    by_run = 100 * found["sessions"].groupby(["method", "order_seed", "train_seed"]).accuracy.agg(
        ["mean", "last"]
    )
    numbers = by_run.groupby("method").agg(["mean", "std"])
    for name in methods:
        for told, measure in zip(averages[name], ("mean", "last"), strict=False):
            assert told == "{:.1f} ± {:.1f}".format(*numbers.loc[name, measure]), (name, measure)

    intervals = found["intervals"].set_index(["method", "other", "measure"])
    for row, cells in differences.items():
        one, other = (NAMES[part] for part in row.split(" - "))
        if cells[column] != "–":
            mean, low, high = intervals.loc[(one, other, "average"), ["mean", "low", "high"]]
            assert cells[column] == f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]", row
