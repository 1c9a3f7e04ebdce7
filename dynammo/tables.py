"""From session folders to the tables behind every figure: plain csv, one row per fact."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from dynammo import metrics
from dynammo.cost import count_cost, outline_chain
from dynammo.errors import InputError
from dynammo.evaluation import accuracy_rows, session_row
from dynammo.learners import make_learners
from dynammo.runs import load_predictions, load_stream, session_folder
from dynammo.settings import Settings
from dynammo.streams import Stream


def collect(run: Path, settings: Settings, split: str = "test") -> dict[str, pd.DataFrame]:
    """Read every session of a run and compute its tables.

    Returns:
        ``sessions`` (a row per method, seeds and session), ``accuracy`` (the accuracy matrices),
        ``confusion`` (after the last session, mean over seeds), ``losses`` and ``timings``.

    Raises:
        InputError: a session of the run is missing.
    """
    rows: dict[str, list[dict]] = {"sessions": [], "accuracy": [], "losses": [], "timings": []}
    confusions: dict[tuple[int, str], list[np.ndarray]] = {}
    streams = {order: load_stream(settings, order, run) for order in settings.order_seeds}
    for order_seed, stream in streams.items():
        for train_seed in settings.train_seeds:
            for session in range(1, stream.number_of_sessions + 1):
                folder = session_folder(run, order_seed, train_seed, session)
                if not (folder / "session.json").exists():
                    raise InputError(f"{folder} is missing: run ./run_all.sh to complete the run.")
                key = {"order_seed": order_seed, "train_seed": train_seed, "session": session}
                _add_training(rows, folder, key)
                for method, answers in load_predictions(folder, session).items():
                    tag = {"method": method, **key}
                    rows["sessions"].append(tag | session_row(stream, split, answers))
                    rows["accuracy"] += [tag | r for r in accuracy_rows(stream, split, answers)]
                    if session == stream.number_of_sessions:
                        matrix = _confusion(stream, split, answers.predicted)
                        confusions.setdefault((order_seed, method), []).append(matrix)
    tables = {name: pd.DataFrame(row) for name, row in rows.items()}
    tables["confusion"] = _confusion_table(confusions, streams)
    return tables


def summarise(tables: dict[str, pd.DataFrame], costs: pd.DataFrame) -> pd.DataFrame:
    """One row per method: means and standard deviations over seeds, and what it costs.

    ``average_accuracy`` is the paper's: the mean over sessions of the accuracy over all classes
    seen. Standard deviations are over runs (n - 1), empty for a single run.
    """
    seeds = ["order_seed", "train_seed"]
    rows = []
    for method, sessions in tables["sessions"].groupby("method", sort=False):
        matrices = tables["accuracy"].query("method == @method").groupby(seeds)
        last = sessions[sessions.session == sessions.session.max()]
        averages = sessions.groupby(seeds).accuracy.mean()
        matrix = [_matrix(rows_of_run) for _, rows_of_run in matrices]
        rows.append(
            {
                "method": method,
                "seeds": len(averages),
                "average_accuracy": averages.mean(),
                "average_accuracy_sd": averages.std(),
                "last_accuracy": last.accuracy.mean(),
                "last_accuracy_sd": last.accuracy.std(),
                "forgetting": np.mean([metrics.forgetting(m) for m in matrix]),
                "backward_transfer": np.mean([metrics.backward_transfer(m) for m in matrix]),
                "mean_class_recall": last.mean_class_recall.mean(),
                "session_inference": last.session_inference.mean(),
            }
        )
    return pd.DataFrame(rows).merge(costs, on="method", how="left")


def costs_of_run(settings: Settings, stream: Stream) -> pd.DataFrame:
    """MACs and parameters of each method after the run's last session, counted."""
    chain = outline_chain(settings, [len(c) for c in stream.sessions], stream.image_size, "meta")
    return pd.DataFrame([count_cost(x) for x in make_learners(settings.methods, chain)])


def class_counts(stream: Stream) -> pd.DataFrame:
    """Images per class and split, classes in order of arrival."""
    counts = {"class": stream.class_names, "session": stream.session_of_class}
    for split in ("train", "val", "test"):
        labels = getattr(stream, split).labels
        counts[split] = np.bincount(labels, minlength=stream.number_of_classes)
    return pd.DataFrame(counts)


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table so that it is the same bytes whenever its numbers are the same."""
    part = path.with_name(f".{path.name}.part")
    table.to_csv(part, index=False, float_format="%.6g", lineterminator="\n")
    part.replace(path)


def write_tables(figures: Path, collected: dict[str, pd.DataFrame], summary: pd.DataFrame) -> None:
    """Write ``summary.csv``, ``accuracy.csv``, ``sessions.csv`` and ``timings.csv``.

    The summary comes last: where it is, the others are complete.
    """
    for name in ("accuracy", "sessions", "timings"):
        write_csv(figures / f"{name}.csv", collected[name])
    write_csv(figures / "summary.csv", summary)


def _add_training(rows: dict[str, list[dict]], folder: Path, key: dict[str, int]) -> None:
    record = json.loads((folder / "session.json").read_text())
    for epoch, loss in enumerate(record["losses"], start=1):
        rows["losses"].append(key | {"epoch": epoch, "loss": loss})
    for part, seconds in json.loads((folder / "seconds.json").read_text()).items():
        rows["timings"].append(key | {"part": part, "seconds": seconds})


def _confusion(stream: Stream, split: str, predicted: np.ndarray) -> np.ndarray:
    labels = getattr(stream, split).labels
    return metrics.confusion(labels, predicted, stream.number_of_classes)


def _confusion_table(confusions: dict, streams: dict[int, Stream]) -> pd.DataFrame:
    # Classes come in another order under another order seed, so only the first order is drawn.
    first = min(streams)
    names = streams[first].class_names
    rows = []
    for (order, method), matrices in confusions.items():
        if order != first:
            continue
        mean = np.mean(matrices, axis=0)
        rows += [
            {"method": method, "true_class": t, "predicted_class": p, "share": mean[i, j]}
            for i, t in enumerate(names)
            for j, p in enumerate(names)
        ]
    return pd.DataFrame(rows)


def _matrix(rows: pd.DataFrame) -> np.ndarray:
    wide = rows.pivot_table(index="session", columns="evaluated_session", values="accuracy")
    return wide.to_numpy()
