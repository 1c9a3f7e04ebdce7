"""What settings were chosen from, and by what: accuracy on validation images. A script, not a test.

    DYNAMMO_DATA=FOLDER python tests/selection.py [--runs blood,skin] [--orders 2]

One setting at a time is changed from its default, on runs of the profile ``study``; test images are
not looked at. Prints a table and writes figures/study/selection.csv and .md. Takes half an hour
on two cores for one order; what is in the csv already, by the same code, is not learned again.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd

from dynammo.catalogue import make_adapter_learners, make_learner
from dynammo.chain import Chain
from dynammo.data.files import write_csv, write_text
from dynammo.measure.predictions import predict, session_row
from dynammo.run.provenance import results_checksum
from dynammo.run.sessions import open_study
from dynammo.settings import Settings, load_runs

FOLDER = Path(__file__).resolve().parent.parent / "figures" / "study"
# The setting, what was tried, and the methods that it was judged by.
ADAPTERS, NETWORKS = ("acl", "dynammo"), ("joint", "replay")
TRIED = {
    "adapter_alpha": ((0.02, 0.2, 0.5, 1.0, 2.0, 4.0), ADAPTERS),
    "adapter_learning_rate": ((0.01, 0.03, 0.1, 0.3), ADAPTERS),
    "network_learning_rate": ((0.01, 0.03, 0.1, 0.3), NETWORKS),
}


def validation_accuracies(settings: Settings, order: int) -> dict[str, float]:
    """Average accuracy over sessions, on validation images, of each method in the settings."""
    with tempfile.TemporaryDirectory() as folder:
        study = open_study(Path(folder), settings, order, train_seed=order + 1)
    chain = Chain(study.settings, study.stream, study.backbone, study.train_seed)
    learners = make_adapter_learners(settings.methods, chain)
    tunes = bool(learners)
    learners += [make_learner(name, study) for name in set(settings.methods) - set(ADAPTERS)]
    found: dict[str, list[float]] = {learner.name: [] for learner in learners}
    for _ in range(study.stream.number_of_sessions):
        if tunes:
            chain.tune(progress=False)
            chain.merge()
            chain.choose_exemplars()
        for learner in learners:
            learner.learn_session(progress=False)
            row = session_row(study.stream, "val", predict(learner, "val"))
            found[learner.name].append(row["accuracy"])
    return {name: 100 * float(np.mean(values)) for name, values in found.items()}


def rows_of(run: str, settings: Settings, name: str, value: float, order: int) -> list[dict]:
    """A row for each method that a setting is judged by."""
    found = validation_accuracies(
        settings.with_changes({name: value, "methods": list(TRIED[name][1]), "threads": 1}), order
    )
    key = {"setting": name, "value": value, "run": run, "order_seed": order}
    return [
        key | {"method": method, "accuracy": accuracy, "code": results_checksum()}
        for method, accuracy in found.items()
    ]


def work(
    runs: dict[str, Settings], orders: int, done: pd.DataFrame
) -> Iterator[tuple[str, Settings, str, float, int]]:
    """What is not in the table yet."""
    columns = ["run", "setting", "value", "order_seed"]
    known = set() if done.empty else set(done[columns].itertuples(index=False, name=None))
    for order in range(orders):
        for name, (values, _) in TRIED.items():
            for run, settings in runs.items():
                for value in values:
                    if (run, name, value, order) not in known:
                        yield run, settings, name, value, order


def table_of(rows: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of each value of a setting by run, over methods and orders; which is the default.

    A run that some value is still missing for does not count in a setting's mean.
    """
    by_run = rows.pivot_table("accuracy", ["setting", "value"], "run")
    whole = by_run.where(by_run.notna().groupby("setting").transform("all"))
    table = by_run.assign(mean=whole.mean(axis=1)).round(1)
    table["default"] = ["✓" if getattr(Settings(), n) == value else "" for n, value in table.index]
    table = table.reset_index()
    table["setting"] = [f"{name} ({', '.join(TRIED[name][1])})" for name in table.setting]
    return table.astype(object).fillna("")


def main() -> None:
    """Parse the command line, learn what is missing, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", default="blood,skin,histology,mixed")
    parser.add_argument("--orders", type=int, default=2)
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    runs = {name: load_runs(f"study/{name}")[f"study-{name}"] for name in options.runs.split(",")}
    path = FOLDER / "selection.csv"
    rows = pd.read_csv(path) if path.exists() else pd.DataFrame()
    if len(rows):
        rows = rows[rows.code == results_checksum()]
    with ProcessPoolExecutor(options.cores, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(rows_of, *job) for job in work(runs, options.orders, rows)]
        for future in as_completed(jobs):
            rows = pd.concat([rows, pd.DataFrame(future.result())])
            write_csv(path, rows.sort_values(["setting", "value", "run", "order_seed", "method"]))
            print(future.result(), flush=True)
    words = table_of(rows).to_markdown(index=False)
    print(words)
    write_text(FOLDER / "selection.md", words + "\n")


if __name__ == "__main__":
    main()
