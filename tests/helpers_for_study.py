"""What tests of the study's pages read: the pages' tables, and what its archives hold."""

import json
import warnings
from pathlib import Path

import pandas as pd

from dynammo.catalogue import METHODS, title
from dynammo.draw.all_streams import interval_text
from dynammo.measure.intervals import intervals, right_or_wrong
from dynammo.run.collect import collect
from dynammo.run.jobs import jobs
from dynammo.run.profiles import load_runs
from dynammo.run.sessions import load_predictions, read_record, session_folder
from dynammo.run.settings import RunSettings

ROOT = Path(__file__).resolve().parents[1]
STUDY = ROOT / "figures/study"
PAGE = "".join((ROOT / f"notebooks/{name}.md").read_text() for name in ("STUDY", "BEYOND"))
NAMES = {title(name): name for name in METHODS}
THREE = {"order_seeds": (0, 1, 2), "train_seeds": (1,)}  # runs
MOVED = {"colour_shift": 0.5, **THREE}  # half way


def tables(heading: str, keys: int = 1) -> list[dict]:
    """The tables of a section: each row's cells, by its first one or first ones, without stars."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0].replace("*", "")
    found = [block.splitlines()[2:] for block in section.split("\n\n") if block[:2] == "| "]
    rows = [[line.strip("| ").split(" | ") for line in block] for block in found]

    def key(cells: list[str]) -> str | tuple[str, ...]:
        return tuple(cells[:keys]) if keys > 1 else cells[0]

    return [{key(cells): cells[keys:] for cells in block} for block in rows]


def held_by(run: Path, methods: list[str], **changes) -> dict[str, pd.DataFrame]:
    """The tables of an archive of the study."""
    settings = settings_of_study(run).with_changes({"methods": methods, **changes})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the code that made them, which is not today's
        return collect(run, settings)


def settings_of_study(run: Path) -> RunSettings:
    """Of the run that an archive is of, or varies: study-blood, study-blood-balanced."""
    own = json.loads((run / "settings.json").read_text())
    as_run = {name: own[name] for name in ("order_seeds", "train_seeds", "backbone")}
    return load_runs("study")["-".join(run.name.split("-")[:2])].with_changes(as_run)


def paired(parts: dict[str, tuple[Path, str]]) -> dict[tuple[str, str, str], str]:
    """Differences over runs and images of methods of several archives, each under a name.

    By name, other name and measure. An archive's settings are not looked at: use :func:`held_by`.
    """
    right = {}
    for name, (run, method) in parts.items():
        for order, seed, owner in jobs(settings_of_study(run), [method]):
            sessions = session_folder(run, order, seed, 1, owner).parent.glob("session*")
            for folder in sorted(sessions, key=lambda one: int(one.name[7:])):
                answers = load_predictions(folder, read_record(folder))[method]
                right.setdefault((name, order, seed), []).append(right_or_wrong(answers))
    found = intervals(right, answers.labels).set_index(["method", "other", "measure"])
    return interval_text(found).to_dict()


def gains_by_colours(archives: Path, run: str, methods: list[str]) -> dict[tuple[str, str], str]:
    """What a white balance adds to methods, by method and measure, with intervals."""
    places = {"moved": archives / f"{run}-balanced", "plain": archives / run}
    gains = {}
    for method in methods:
        known = paired({name: (place, method) for name, place in places.items()})
        gains |= {(method, m): known["moved", "plain", m] for m in ("average", "last")}
    return gains


def measures(sessions: pd.DataFrame) -> pd.DataFrame:
    """Average and last accuracy in percent, by method, mean and deviation over runs."""
    runs = sessions.groupby(["method", "order_seed", "train_seed"]).accuracy
    return (100 * runs.agg(["mean", "last"])).groupby("method").agg(["mean", "std"])


def said(numbers: pd.DataFrame, name: str) -> list[str]:
    return ["{:.1f} ± {:.1f}".format(*numbers.loc[name, part]) for part in ("mean", "last")]
