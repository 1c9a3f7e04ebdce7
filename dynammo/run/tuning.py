"""Settings for a comparison, chosen alike for every method: as many trials each, none on test data.

``python -m dynammo.run.tuning TABLE [NAME ...]`` tries what ``trials.toml`` says, or for some names
of it, on validation images, under class orders that the study does not use. The best two of each
method are then tried again as long as the study learns (successive halving, Jamieson and Talwalkar
2016, arXiv 1502.07943): what is best for few steps need not be for many. Each result is written as
it comes, so an interrupted call goes on; what the table already has is not tried again.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dynammo.data.files import entry_point, write_csv
from dynammo.errors import InputError
from dynammo.run.ablations import try_out
from dynammo.run.places import ROOT
from dynammo.run.settings import RunSettings

TRIALS = Path(__file__).with_name("trials.toml")
TABLE = ROOT / "figures" / "study" / "tuning.csv"
WORTH = 0.005  # two of the 400 validation images; joint training twice as long gains less
KEY = ["tried_for", "changes", "stream", "length"]
FINALISTS = 2


def trials() -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]], dict[str, list[str]]]:
    """What all trials have in common; the trials of each method or group; the groups' methods."""
    table = tomllib.loads(TRIALS.read_text())
    return table["common"], table["trials"], table["groups"]


def planned(
    names: Sequence[str] = (), table: pd.DataFrame | None = None
) -> Iterator[tuple[dict[str, str], RunSettings]]:
    """Each trial's key in the table, and its settings; of some methods or groups, or of all.

    Given the table of all short trials, the long ones of the best of each.
    """
    common, tried, groups = trials()
    length, settings_of_length = "short", {}
    if table is not None:
        length, settings_of_length = "long", common["long"]
        tried = {name: best_of(table, name) for name in tried}
    for stream in common["streams"]:
        # The defaults, not the study's profile: that has what was chosen.
        settings = RunSettings().with_changes(
            {"stream": stream} | common["settings"] | settings_of_length
        )
        for name in names or tried:
            methods = groups.get(name, [name])
            for change in tried[name]:
                key = {"tried_for": name, "changes": json.dumps(change), "stream": stream}
                key["length"] = length
                yield key, settings.with_changes({"methods": methods, **change})


def best_of(table: pd.DataFrame, name: str) -> list[dict[str, Any]]:
    """The changes that the short trials of a method or group put first; ties as they were tried."""
    rows = table[(table["tried_for"] == name) & (table["length"] == "short")]
    mean = rows.groupby("changes", sort=False)["average_accuracy"].mean()
    order = mean.sort_values(ascending=False, kind="stable").index[:FINALISTS]
    return [json.loads(changes) for changes in order]


def chosen(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The changes with the best average accuracy, mean over streams and a group's methods.

    Of the long trials, once they are made; the defaults stay where nothing is WORTH its while.
    """
    found = {}
    for name, rows in table.groupby("tried_for", sort=False):
        long, short = (rows[rows["length"] == length] for length in ("long", "short"))
        streams = rows["stream"].nunique()
        rows = long if len(long.drop_duplicates(KEY)) >= FINALISTS * streams else short
        mean = rows.groupby("changes", sort=False).average_accuracy.mean()
        better = mean.max() - mean.get("{}", -1.0) >= WORTH
        found[name] = json.loads(mean.idxmax()) if better else {}
    return found


def tune(path: Path, folder: Path, names: Sequence[str] = ()) -> pd.DataFrame:
    """Make the planned trials that the table does not have; return the table.

    Args:
        path: of the table, a csv.
        folder: for drawn or split images, which are not kept.
        names: whose trials; all if empty.

    Returns:
        A row per trial, stream and method: ``tried_for``, ``changes`` (JSON), ``length`` of the
        trial, ``average_accuracy`` and ``last_accuracy`` on validation images (0..1), ``seconds``,
        ``date``.
    """
    table = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=KEY)
    for long in (False, True):
        for key, settings in list(planned(names, table if long else None)):
            if tuple(key.values()) not in set(map(tuple, table[KEY].to_numpy())):
                table = pd.concat([table, _tried(key, settings, folder)], ignore_index=True)
                write_csv(path, table)
    return table


def _tried(key: dict[str, str], settings: RunSettings, folder: Path) -> pd.DataFrame:
    begun = time.time()
    found = try_out(folder, settings, {"": {}})
    accuracy = found.groupby(["method", "order_seed", "train_seed"], sort=False).accuracy
    rows = pd.DataFrame({"average_accuracy": accuracy.mean(), "last_accuracy": accuracy.last()})
    rows = rows.groupby("method", sort=False).mean().reset_index()
    told = {**key, "seconds": round(time.time() - begun), "date": time.strftime("%Y-%m-%d")}
    print(json.dumps(told), rows.round(3).to_dict("records"), flush=True)
    return rows.assign(**told)[[*KEY, *rows.columns, "seconds", "date"]]


@entry_point
def main(arguments: Sequence[str]) -> int:
    """Try what is left, and print what is chosen."""
    path, names = Path(arguments[0]) if arguments else TABLE, arguments[1:]
    if unknown := sorted(set(names) - set(trials()[1])):
        raise InputError(f"No trials for {', '.join(unknown)}: {TRIALS.name} has others.")
    with tempfile.TemporaryDirectory() as folder:
        table = tune(path, Path(folder), names)
    for name, changes in chosen(table).items():
        print(f"{name}: {changes or 'as it is'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
