"""The study's page says what its archives hold."""

import json
import warnings
from pathlib import Path

import pandas as pd
import pytest

from dynammo.catalogue import METHODS, title
from dynammo.draw.all_streams import interval_text
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


@pytest.mark.parametrize(("stream", "column"), [("blood", 0), ("mixed", 2)])
def test_the_page_tells_what_the_archive_holds(stream, column, tmp_path):
    averages, paired = tables("The new study, so far")
    averages = {NAMES[row]: cells[column : column + 2] for row, cells in averages.items()}
    methods = [name for name, cells in averages.items() if cells[0] != "–"]
    found = held_by(stream, methods, tmp_path)
    whole = (tmp_path / "order0-seed1").glob("**/session1/measured.json")
    measured = [row for path in whole for row in json.loads(path.read_text())]
    assert {row["method"] for row in measured if row["part"] == "test"} == set(methods)
    numbers = measures(found["sessions"])
    for name in methods:
        for told, measure in zip(averages[name], ("mean", "last"), strict=True):
            assert told == "{:.1f} ± {:.1f}".format(*numbers.loc[name, measure]), (name, measure)

    known = found["intervals"].set_index(["method", "other", "measure"])
    known = interval_text(known).to_dict()
    for row, cells in paired.items():
        one, other = (NAMES[part] for part in row.split(" - "))
        for told, measure in zip(cells[column : column + 2], ("average", "last"), strict=True):
            assert told == known.get((one, other, measure), "–"), (row, measure)


def test_the_page_tells_what_was_tried_for_the_colours():
    tried = pd.read_csv(ROOT / "figures/study/white_balance.csv")
    key = ["changed", "stream", "penalty"]
    means = tried.groupby(key)[["average_accuracy", "last_accuracy"]].mean()
    best = means.loc[means.groupby(level=[0, 1]).average_accuracy.idxmax()].droplevel("penalty")
    known = {name: "{:.1f} / {:.1f}".format(*row) for name, row in best.T.items()}
    table, _ = tables("A white balance")
    assert set(table) == set(tried.changed)
    streams = "blood", "skin", "tissue", "mixed", "cifar part, 60 a class"
    for changed, cells in table.items():
        assert cells == [known.get((changed, stream), "–") for stream in streams], changed


def test_the_page_tells_what_colours_change_on_test_images(tmp_path):
    _, table = tables("A white balance")
    rows = {NAMES[row]: cells for row, cells in table.items()}
    plain = held_by("blood", list(rows), tmp_path / "plain")["sessions"]
    moved = held_by("blood_balanced", list(rows), tmp_path / "moved", colour_shift=0.5)["sessions"]
    means = measures(moved).xs("mean", axis=1, level=1)
    gains = differences({"plain": plain, "moved": moved}).set_index(["method", "measure"])
    gains = interval_text(gains)
    for name, (told, *gained) in rows.items():
        assert told == "{:.1f} / {:.1f}".format(*means.loc[name, ["mean", "last"]]), name
        assert gained == [gains[name, measure] for measure in ("average", "last")], name
