"""Settings for a comparison, chosen alike for every method: as many trials each, none on test data.

``python -m dynammo.run.tuning TABLE [NAME ...]`` tries what ``trials.toml`` says, or for some names
of it, on validation images, under class orders that the study does not use. Each result is written
as it comes, so an interrupted call goes on; what the table already has is not tried again.
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

from dynammo.data.files import exit_status, write_csv
from dynammo.errors import InputError
from dynammo.run.ablations import try_out
from dynammo.run.options import ROOT
from dynammo.run.settings import RunSettings

TRIALS = Path(__file__).with_name("trials.toml")
TABLE = ROOT / "figures" / "study" / "tuning.csv"
WORTH = 0.005  # two of the 400 validation images; joint training twice as long gains less
KEY = ["tried_for", "changes", "stream"]


def trials() -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]], dict[str, list[str]]]:
    """What all trials have in common; the trials of each method or group; the groups' methods."""
    table = tomllib.loads(TRIALS.read_text())
    return table["common"], table["trials"], table["groups"]


def planned(names: Sequence[str] = ()) -> Iterator[tuple[dict[str, str], RunSettings]]:
    """Each trial's key in the table, and its settings; of some methods or groups, or of all."""
    common, tried, groups = trials()
    for stream in common["streams"]:
        # The defaults, not the study's profile: that has what was chosen.
        settings = RunSettings().with_changes({"stream": stream} | common["settings"])
        for name in names or tried:
            methods = groups.get(name, [name])
            for change in tried[name]:
                key = {"tried_for": name, "changes": json.dumps(change), "stream": stream}
                yield key, settings.with_changes({"methods": methods, **change})


def chosen(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The changes with the best average accuracy, mean over streams and a group's methods.

    The defaults stay where nothing is WORTH its while over them.
    """
    found = {}
    for name, rows in table.groupby("tried_for", sort=False):
        mean = rows.groupby("changes", sort=False).average_accuracy.mean()
        better = mean.max() - mean.get("{}", 0.0) >= WORTH
        found[name] = json.loads(mean.idxmax()) if better else {}
    return found


def tune(path: Path, folder: Path, names: Sequence[str] = ()) -> pd.DataFrame:
    """Make the planned trials that the table does not have; return the table.

    Args:
        path: of the table, a csv.
        folder: for drawn or split images, which are not kept.
        names: whose trials; all if empty.

    Returns:
        A row per trial, stream and method: ``tried_for``, ``changes`` (JSON), ``average_accuracy``
        and ``last_accuracy`` on validation images (0..1), ``seconds``, ``date``.
    """
    table = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=KEY)
    done = set(map(tuple, table[KEY].to_numpy()))
    for key, settings in planned(names):
        if tuple(key.values()) in done:
            continue
        begun = time.time()
        found = try_out(folder, settings, {"": {}})
        seconds = round(time.time() - begun)
        accuracy = found.groupby(["method", "order_seed", "train_seed"], sort=False).accuracy
        rows = pd.DataFrame({"average_accuracy": accuracy.mean(), "last_accuracy": accuracy.last()})
        rows = rows.groupby("method", sort=False).mean().reset_index()
        told = {**key, "seconds": seconds, "date": time.strftime("%Y-%m-%d")}
        table = pd.concat([table, rows.assign(**told)], ignore_index=True)
        write_csv(path, table)
        print(json.dumps(told), rows.round(3).to_dict("records"), flush=True)
    return table


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
    sys.exit(exit_status(lambda: main(sys.argv[1:])))
