"""From session folders to the tables behind every figure: plain csv, one row per fact."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from dynammo.catalogue import FAMILIES, LEARNERS
from dynammo.data.files import write_csv, write_text
from dynammo.data.make_stream import Stream
from dynammo.errors import InputError
from dynammo.measure import metrics
from dynammo.measure.predictions import accuracy_rows, session_row
from dynammo.run.run_folder import load_stream
from dynammo.run.sessions import check_same_study, jobs, load_predictions, session_folder
from dynammo.settings import Settings


def collect(
    run: Path, settings: Settings, methods: Sequence[str] | None = None, split: str = "test"
) -> dict[str, pd.DataFrame]:
    """Read every session of a run and compute its tables.

    Args:
        methods: which to read; by default all that the settings name.

    Returns:
        ``sessions`` (a row per method, seeds and session, with its cost), ``accuracy`` (the
        accuracy matrices), ``confusion`` (after the last session, mean over seeds), ``losses`` and
        ``timings``.

    Raises:
        InputError: a session of the run is missing, or was run with other settings, data or code.
    """
    rows: dict[str, list[dict]] = {"sessions": [], "accuracy": [], "losses": [], "timings": []}
    confusions: dict[tuple[int, str], list[np.ndarray]] = {}
    streams = {order: load_stream(settings, order, run) for order in settings.order_seeds}
    wanted = settings.methods if methods is None else methods
    for order_seed, train_seed, fed_by in jobs(settings, wanted):
        stream = streams[order_seed]
        for session in range(1, stream.number_of_sessions + 1):
            folder = session_folder(run, order_seed, train_seed, session, fed_by)
            if not (folder / "session.json").exists():
                raise InputError(f"{folder} is missing: run ./run_all.sh to complete the run.")
            check_same_study(folder, settings, stream, fed_by)
            key = {"order_seed": order_seed, "train_seed": train_seed, "session": session}
            costs = _add_record(rows, folder, key, fed_by or "adapters")
            for method, answers in load_predictions(folder, session).items():
                if method not in wanted:
                    continue
                tag = {"method": method, **key}
                row = session_row(stream, split, answers) | costs[method]
                rows["sessions"].append(tag | row)
                rows["accuracy"] += [tag | r for r in accuracy_rows(stream, split, answers)]
                if session == stream.number_of_sessions:
                    matrix = _confusion(stream, split, answers.predicted)
                    confusions.setdefault((order_seed, method), []).append(matrix)
    tables = {name: pd.DataFrame(row) for name, row in rows.items()}
    for name in ("sessions", "accuracy"):
        in_order = tables[name].method.map(list(LEARNERS).index)
        tables[name] = tables[name].iloc[in_order.argsort(kind="stable")].reset_index(drop=True)
    tables["confusion"] = _confusion_table(confusions, streams)
    return tables


COSTS = (
    "macs",
    "macs_torch_counter",
    "parameters_used",
    "parameters_stored",
    "parameters_trained",
    "exemplar_bytes",
)


def summarise(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per method: means and standard deviations over seeds, and its cost at the end.

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
                **{name: last[name].iloc[0] for name in COSTS},
            }
        )
    return pd.DataFrame(rows)


def readable(summary: pd.DataFrame) -> pd.DataFrame:
    """The summary as a table to print: in percent, millions and kilobytes, methods by title."""
    accuracy = 100 * summary.average_accuracy
    spread = (100 * summary.average_accuracy_sd).map(
        lambda sd: "" if np.isnan(sd) else f" ± {sd:.1f}"
    )
    return pd.DataFrame(
        {
            "method": [LEARNERS[name].title for name in summary.method],
            "family": [FAMILIES[LEARNERS[name].family] for name in summary.method],
            "runs": summary.seeds,
            "average accuracy (%)": accuracy.map("{:.1f}".format) + spread,
            "last accuracy (%)": (100 * summary.last_accuracy).map("{:.1f}".format),
            "forgetting (points)": (100 * summary.forgetting).map("{:.1f}".format),
            "MMACs an image": (summary.macs / 1e6).map("{:.1f}".format),
            "parameters trained (M)": (summary.parameters_trained / 1e6).map("{:.2f}".format),
            "numbers stored (M)": (summary.parameters_stored / 1e6).map("{:.2f}".format),
            "exemplars (kB)": (summary.exemplar_bytes / 1e3).map("{:.0f}".format),
        }
    )


def cost_by_session(collected: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """What a session costs, measured: one row per session of a single method and pair of seeds."""
    sessions = collected["sessions"].set_index("session")
    trained = collected["timings"].query("part != 'test'").set_index("session")
    return pd.DataFrame(
        {
            "accuracy (%)": (100 * sessions.accuracy).round(1),
            "MMACs an image": (sessions.macs / 1e6).round(1),
            "parameters trained (M)": (sessions.parameters_trained / 1e6).round(2),
            "numbers stored (M)": (sessions.parameters_stored / 1e6).round(2),
            "exemplars (kB)": (sessions.exemplar_bytes / 1e3).round(0),
            "training (s)": trained.seconds.round(1),
            "peak memory (MB)": trained.peak_megabytes.round(0),
        }
    )


def training_cost(collected: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Seconds a session and peak memory of training, mean over sessions and seeds, by method."""
    trained = collected["timings"].query("part != 'test'")
    by_part = trained.groupby(["method", "part"], sort=False)[["seconds", "peak_megabytes"]].mean()
    titles = {name: kind.title for name, kind in LEARNERS.items()}
    by_part = by_part.rename(index=titles, level="method").round(
        {"seconds": 1, "peak_megabytes": 0}
    )
    return by_part.rename(columns={"peak_megabytes": "peak memory (MB)"})


def class_counts(stream: Stream) -> pd.DataFrame:
    """Images per class and split, classes in order of arrival."""
    counts = {"class": stream.class_names, "session": stream.session_of_class}
    for split in ("train", "val", "test"):
        labels = getattr(stream, split).labels
        counts[split] = np.bincount(labels, minlength=stream.number_of_classes)
    return pd.DataFrame(counts)


def write_tables(figures: Path, collected: dict[str, pd.DataFrame], summary: pd.DataFrame) -> None:
    """Write ``accuracy``, ``sessions`` and ``timings`` as csv, ``summary`` as csv, md and tex.

    The summary comes last: where it is, the others are complete.
    """
    for name in ("accuracy", "sessions", "timings"):
        write_csv(figures / f"{name}.csv", collected[name])
    printed = readable(summary)
    write_text(figures / "summary.md", printed.to_markdown(index=False) + "\n")
    write_text(figures / "summary.tex", printed.to_latex(index=False, escape=True))
    write_csv(figures / "summary.csv", summary)


def _add_record(
    rows: dict[str, list[dict]], folder: Path, key: dict[str, int], trained: str
) -> dict[str, dict[str, int]]:
    """Add a session's losses and measured times; return the cost of each method in it."""
    record = json.loads((folder / "session.json").read_text())
    for epoch, loss in enumerate(record["losses"], start=1):
        rows["losses"].append({"method": trained, **key, "epoch": epoch, "loss": loss})
    rows["timings"] += [key | row for row in json.loads((folder / "measured.json").read_text())]
    return record["costs"]


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
