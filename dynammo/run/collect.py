"""From session folders to the tables behind every figure: plain csv, one row per fact."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dynammo.catalogue import METHODS
from dynammo.chain import DYNAMMO, Steps
from dynammo.data.files import write_csv, write_text
from dynammo.errors import InputError
from dynammo.learner import Learner
from dynammo.measure import metrics
from dynammo.measure.intervals import intervals, right_or_wrong
from dynammo.measure.predictions import Predictions, accuracy_rows, session_row
from dynammo.measure.summary import readable
from dynammo.methods import adapter_methods
from dynammo.run.jobs import jobs, name_of
from dynammo.run.outdated import other_code, other_inputs
from dynammo.run.sessions import (
    AGAIN,
    load_predictions,
    read_record,
    session_folder,
)
from dynammo.run.settings import RunSettings


def collect(
    run: Path,
    settings: RunSettings,
    methods: Sequence[str | type[Learner]] | None = None,
    steps: Steps = DYNAMMO,
) -> dict[str, pd.DataFrame]:
    """Read every session of a run and compute its tables; no image is looked at.

    What other code learned is read with a warning: the numbers are those of that code.

    Args:
        methods: which to read, names or classes; by default all that the settings name.
        steps: what the adapters' steps were made of.

    Returns:
        ``sessions`` (a row per method, seeds and session, with its cost), ``accuracy`` (the
        accuracy matrices), ``confusion`` (after the last session, mean over seeds), ``losses``,
        ``timings``, and ``intervals`` (of any two methods' difference in accuracy).

    Raises:
        InputError: a session of the run is missing, or was run with other settings or data.
    """
    rows: dict[str, list[dict]] = {"sessions": [], "accuracy": [], "losses": [], "timings": []}
    confusions: dict[str, list[np.ndarray]] = {}
    right: dict[tuple[str, int, int], list[np.ndarray]] = {}
    wanted = settings.methods if methods is None else methods
    first_order, checksum, outdated = settings.order_seeds[0], "", set()
    for order_seed, train_seed, owner in jobs(settings, wanted):
        session, sessions, owned_by = 1, 1, name_of(owner)
        while session <= sessions:
            folder = session_folder(run, order_seed, train_seed, session, owned_by)
            record = read_record(folder)
            sessions, checksum = len(record["sessions"]), checksum or record["data_checksum"]
            key = {"order_seed": order_seed, "train_seed": train_seed, "session": session}
            _add_record(rows, folder, record, key, owned_by or "adapters")
            answered = load_predictions(folder, record)
            for kind in [owner] if owner else adapter_methods(wanted):
                outdated |= _checked(folder, record, settings, kind, checksum, steps)
                method = name_of(kind)
                answers = answered[method]
                whose = (method, order_seed, train_seed)
                right.setdefault(whose, []).append(right_or_wrong(answers))
                tag = {"method": method, **key}
                rows["sessions"].append(tag | session_row(answers) | record["costs"][method])
                rows["accuracy"] += [tag | row for row in accuracy_rows(answers)]
                # Classes come in another order under another seed: only the first is drawn.
                if session == sessions and order_seed == first_order:
                    confusions.setdefault(method, []).append(_confusion(answers))
                    names = record["class_names"]
            session += 1
    if outdated:
        warnings.warn(f"Learned by other code of dynammo/: {', '.join(outdated)}.", stacklevel=2)
    tables = {name: pd.DataFrame(row) for name, row in rows.items()}
    if tables["losses"].empty:  # methods that train nothing
        columns = ["method", *key, "epoch", "loss"]
        tables["losses"] = pd.DataFrame(columns=columns)
    place = {method: i for i, method in enumerate(METHODS)}
    for name in ("sessions", "accuracy"):
        in_order = tables[name].method.map(place).fillna(len(place))
        tables[name] = tables[name].iloc[in_order.argsort(kind="stable")].reset_index(drop=True)
    ordered = sorted(right, key=lambda run: place.get(run[0], len(place)))
    tables["intervals"] = intervals({run: right[run] for run in ordered}, answers.labels)
    return tables | {"confusion": _confusion_table(confusions, names)}


def learned_methods(run: Path, settings: RunSettings) -> list[str]:
    """Those of the settings' methods that a run has, all their sessions under all seeds."""
    missing = set()
    for order_seed, train_seed, owner in jobs(settings, settings.methods):
        there, series = {}, session_folder(run, order_seed, train_seed, 1, owner).parent
        if (series / "session1" / "session.json").exists():
            last = series / f"session{len(read_record(series / 'session1')['sessions'])}"
            there = read_record(last)["parts"] if (last / "session.json").exists() else {}
        wanted = {owner} if owner else set(adapter_methods(settings.methods))
        missing |= wanted - there.keys()
    return [name for name in settings.methods if name not in missing]


def _checked(
    folder: Path,
    record: dict[str, Any],
    settings: RunSettings,
    method: str | type[Learner],
    checksum: str,
    steps: Steps,
) -> set[str]:
    """The method's name, if other code learned it; InputError for other settings or images."""
    if why := other_inputs(record, settings, method, {"data_checksum": checksum}):
        raise InputError(f"{folder} {why}: {AGAIN}")
    try:
        outdated = other_code(record, settings, method, steps)
    # Its network's code is not here; no image is looked at, so it is not needed.
    except (ImportError, OSError, AttributeError):
        outdated = True
    return {name_of(method)} if outdated else set()


def _add_record(
    rows: dict[str, list[dict]], folder: Path, record: dict[str, Any], key: dict, trained: str
) -> None:
    """Add a session's losses and measured times."""
    for epoch, loss in enumerate(record["losses"], start=1):
        rows["losses"].append({"method": trained, **key, "epoch": epoch, "loss": loss})
    rows["timings"] += [key | row for row in json.loads((folder / "measured.json").read_text())]


def _confusion(answers: Predictions) -> np.ndarray:
    return metrics.confusion(answers.labels, answers.predicted, answers.classes_seen)


def _confusion_table(confusions: dict[str, list[np.ndarray]], names: list[str]) -> pd.DataFrame:
    rows = []
    for method, matrices in confusions.items():
        mean = np.mean(matrices, axis=0)
        rows += [
            {"method": method, "true_class": t, "predicted_class": p, "share": mean[i, j]}
            for i, t in enumerate(names)
            for j, p in enumerate(names)
        ]
    return pd.DataFrame(rows)


def write_tables(figures: Path, collected: dict[str, pd.DataFrame], summary: pd.DataFrame) -> None:
    """Write ``accuracy``, ``sessions``, ``timings`` and ``intervals`` as csv, ``summary`` also as
    md and tex.

    The summary comes last: where it is, the others are complete.
    """
    for name in ("accuracy", "sessions", "timings", "intervals"):
        write_csv(figures / f"{name}.csv", collected[name])
    printed = readable(summary)
    write_text(figures / "summary.md", printed.to_markdown(index=False) + "\n")
    write_text(figures / "summary.tex", printed.to_latex(index=False, escape=True))
    write_csv(figures / "summary.csv", summary)
