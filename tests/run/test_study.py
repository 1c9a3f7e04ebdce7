"""The study's page says what its archives hold."""

import json
import warnings
from pathlib import Path

import pandas as pd
import pytest

from dynammo.catalogue import METHODS, title
from dynammo.run.archive import unpack
from dynammo.run.collect import collect
from dynammo.run.compare import differences
from dynammo.run.profiles import load_runs

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "notebooks/STUDY.md").read_text()
NAMES = {title(name): name for name in METHODS}


def tables(heading: str) -> list[dict[str, list[str]]]:
    """The tables of a section: each row's cells, by its first one, without stars."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0].replace("*", "")
    found = [block.splitlines()[2:] for block in section.split("\n\n") if block[:2] == "| "]
    rows = [[line.strip("| ").split(" | ") for line in block] for block in found]
    return [{first: cells for first, *cells in block} for block in rows]


def held_by(stream: str, methods: list[str], folder: Path, **changes) -> dict[str, pd.DataFrame]:
    """The tables of an archive of the study."""
    unpack(ROOT / f"figures/study/{stream}_sessions.tar.xz", folder)
    settings = load_runs("study")[f"study-{stream.partition('_')[0]}"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the code that made them, which is not today's
        return collect(folder, settings.with_changes({"methods": methods, **changes}))


def measures(sessions: pd.DataFrame) -> pd.DataFrame:
    """Average and last accuracy in percent, by method, mean and deviation over runs."""
    runs = sessions.groupby(["method", "order_seed", "train_seed"]).accuracy
    return (100 * runs.agg(["mean", "last"])).groupby("method").agg(["mean", "std"])


@pytest.mark.parametrize(("stream", "column"), [("blood", 0), ("mixed", 1)])
def test_the_page_tells_what_the_archive_holds(stream, column, tmp_path):
    averages, differences = tables("The new study, so far")
    names = {NAMES[row]: cells[2 * column :] for row, cells in averages.items()}
    methods = [name for name, cells in names.items() if cells[0] != "–"]
    found = held_by(stream, methods, tmp_path)
    first = next(tmp_path.glob("order0-seed*"))
    measured = [json.loads(path.read_text()) for path in first.glob("**/session1/measured.json")]
    held = {row["method"] for rows in measured for row in rows if row["part"] == "test"}
    assert held <= set(methods) and len(methods) > 8
    numbers = measures(found["sessions"])
    for name in methods:
        for told, measure in zip(names[name][:2], ("mean", "last"), strict=True):
            assert told == "{:.1f} ± {:.1f}".format(*numbers.loc[name, measure]), (name, measure)

    intervals = found["intervals"].set_index(["method", "other", "measure"])
    for row, cells in differences.items():
        pair = tuple(NAMES[part] for part in row.split(" - "))
        for told, measure in zip(cells[2 * column :][:2], ("average", "last"), strict=True):
            assert (told == "–") == ((*pair, measure) not in intervals.index)
            if told != "–":
                bounds = intervals.loc[(*pair, measure), ["mean", "low", "high"]]
                assert told == "{:+.1f} [{:+.1f}, {:+.1f}]".format(*bounds), row


def test_the_page_tells_what_was_tried_for_the_colours():
    tried = pd.read_csv(ROOT / "figures/study/white_balance.csv")
    key = ["changed", "stream", "penalty"]
    means = tried.groupby(key, sort=False)[["average_accuracy", "last_accuracy"]].mean()
    best = means.loc[means.groupby(level=[0, 1]).average_accuracy.idxmax()]
    written = {"{:.1f} / {:.1f}".format(*row) for row in best.to_numpy()}
    (table,) = tables("A white balance")[:1]
    assert len(table) == tried.changed.nunique()
    assert {cell for cells in table.values() for cell in cells} - {"–"} == written


def test_the_page_tells_what_colours_change_on_test_images(tmp_path):
    _, table = tables("A white balance")
    rows = {NAMES[row]: cells for row, cells in table.items()}
    plain = held_by("blood", list(rows), tmp_path / "plain")["sessions"]
    moved = held_by("blood_balanced", list(rows), tmp_path / "moved", colour_shift=0.5)["sessions"]
    means = measures(moved).xs("mean", axis=1, level=1)
    gains = differences({"plain": plain, "moved": moved}).set_index(["method", "measure"])
    for name, (told, *gained) in rows.items():
        assert told == "{:.1f} / {:.1f}".format(*means.loc[name, ["mean", "last"]]), name
        for cell, measure in zip(gained, ("average", "last"), strict=True):
            bounds = gains.loc[(name, measure), ["mean", "low", "high"]]
            assert cell == "{:+.1f} [{:+.1f}, {:+.1f}]".format(*bounds), (name, measure)
