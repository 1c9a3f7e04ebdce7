"""Runs beside each other: what their settings change, and what that changes, run by run.

``./run_all.sh --compare RUN RUN ...`` reads what each has in figures/; nothing is learned. A run
of another machine can be compared too: put its folder there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dynammo.catalogue import title
from dynammo.data.files import write_csv
from dynammo.draw.all_streams import interval_text
from dynammo.draw.comparisons import runs_figure
from dynammo.draw.style import save_figure
from dynammo.errors import InputError
from dynammo.measure.intervals import over_runs
from dynammo.measure.summary import BALANCED
from dynammo.run.settings import DATA_SETTINGS, RunSettings

OTHER = "only runs of the same images and sessions can be compared run by run."


def compare_runs(figures: Path, names: Sequence[str]) -> Path:
    """Compare runs with the first of them; print what is found, return the folder written.

    Raises:
        InputError: fewer than two runs, one that has no figures, or one of other data.
    """
    if len(set(names)) < 2:
        raise InputError("--compare takes two runs or more, by the names of their folders.")
    origins = {name: _provenance(figures, name) for name in names}
    settings = changed_settings({name: origin["settings"] for name, origin in origins.items()})
    if len({origin["data_checksum"] for origin in origins.values()}) > 1:
        raise InputError(f"{', '.join(names)} learned other images under one name: {OTHER}")
    tables = {name: pd.read_csv(figures / name / "sessions.csv") for name in names}
    found = differences(tables)
    folder = figures / f"compare-{'-'.join(names)}"
    note = f"Differences to {names[0]} in the same class order and seed; line: 5 % to 95 % bound "
    note += "over runs; other test images are not in it"
    figure = runs_figure(found, names[0], note)
    save_figure(figure, found, folder / "differences", {"runs": ", ".join(names)})
    write_csv(folder / "settings.csv", settings)
    told = settings.to_string(index=False) if len(settings) else "none"
    print("Settings that differ:", told, sep="\n")
    points = found.assign(points=interval_text(found), method=found["method"].map(title))
    wide = points.pivot_table("points", ["run", "method"], "measure", aggfunc="first", sort=False)
    print(f"\nPoints over {names[0]}, run by run [lower, upper bound over runs]:")
    print(wide.to_string(), f"\nFigure: {folder / 'differences.png'}", sep="\n")
    return folder


def differences(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """What each run has over the first, for every method and pair of seeds that both have.

    Args:
        tables: ``sessions.csv`` by run.

    Returns:
        A row per ``run``, ``method`` and ``measure``, with ``runs``, ``mean``, ``low`` and
        ``high`` in points, as :func:`dynammo.measure.intervals.over_runs` has them. Measures are
        average and last accuracy, and at the end those in which each class weighs the same.

    Raises:
        InputError: a run has no method and seeds with the first in common.
    """
    (first, base), *others = tables.items()
    rows = []
    for name, table in others:
        both = [m for m in pd.unique(base["method"]) if m in set(table["method"])]
        for method in both:
            own = pd.concat(
                part[part["method"] == method].assign(method=run)
                for run, part in ((name, table), (first, base))
            )
            found = [over_runs(own)]
            for column in (one for one in BALANCED if one in own):
                at_the_end = over_runs(own, column).query("measure == 'last'")
                found.append(
                    at_the_end.assign(measure=f"last {BALANCED[column]}".removesuffix(" (%)"))
                )
            found = pd.concat(found).query("method == @name").drop(columns=["other"])
            rows += [found.assign(run=name, method=method)] if len(found) else []
        if not any((row["run"] == name).any() for row in rows):
            raise InputError(f"{name} has no method with a class order and seed that {first} has.")
    return pd.concat(rows, ignore_index=True)


def changed_settings(settings: dict[str, dict]) -> pd.DataFrame:
    """A row for each setting that is not the same in all runs; InputError if data differ.

    What a run does not know has its default; knobs of methods that some of them lack are left out.
    """
    defaults = RunSettings().as_dict()
    settings = {run: defaults | own for run, own in settings.items()}
    first, *others = settings.values()
    names = [key for key in first if all(key in own for own in others)]
    table = pd.DataFrame(
        [{"setting": key} | {run: own.get(key) for run, own in settings.items()} for key in names]
    )
    values = table.drop(columns="setting").map(json.dumps)
    table = table[values.ne(values.iloc[:, 0], axis=0).any(axis=1)]
    if data := [key for key in table["setting"] if key in DATA_SETTINGS]:
        raise InputError(f"These runs learned other data ({', '.join(data)} differ): {OTHER}")
    return table


def _provenance(figures: Path, name: str) -> dict:
    try:
        found = json.loads((figures / name / "provenance.json").read_text())
        found["settings"], found["data_checksum"], (figures / name / "sessions.csv").stat()
        return found
    except (OSError, KeyError, ValueError) as error:
        known = sorted(path.parent.name for path in figures.glob("*/sessions.csv"))
        raise InputError(
            f"There is no whole run '{name}' in {figures}: there are {', '.join(known) or 'none'}."
        ) from error
