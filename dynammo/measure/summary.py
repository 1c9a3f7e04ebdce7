"""What sessions come to: one row a method, and tables to print."""

from __future__ import annotations

import numpy as np
import pandas as pd

from dynammo.catalogue import family, title
from dynammo.measure import metrics
from dynammo.stream import SPLITS, Stream

BALANCED = {  # each class weighs the same
    "mean_class_recall": "balanced accuracy (%)",
    "macro_f1": "macro F1 (%)",
    "auroc": "AUROC (%)",
}
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
                **{name: last[name].mean() for name in BALANCED},
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
            "method": [title(name) for name in summary.method],
            "family": [family(name) for name in summary.method],
            "runs": summary.seeds,
            "average accuracy (%)": accuracy.map("{:.1f}".format) + spread,
            "last accuracy (%)": (100 * summary.last_accuracy).map("{:.1f}".format),
            **{
                words: (100 * summary[name]).map("{:.1f}".format)
                for name, words in BALANCED.items()
                if name in summary  # of older runs not all are there
            },
            "forgetting (points)": (100 * summary.forgetting).map("{:.1f}".format),
            "MMACs an image": (summary.macs / 1e6).map("{:.1f}".format),
            "parameters trained (M)": (summary.parameters_trained / 1e6).map("{:.2f}".format),
            "numbers stored (M)": (summary.parameters_stored / 1e6).map("{:.2f}".format),
            "exemplars (kB)": (summary.exemplar_bytes / 1e3).map("{:.0f}".format),
        }
    )


def cost_by_session(collected: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """What a session costs, measured: a row for each, and for each method if there are several.

    Of a single pair of seeds. Adapters that several methods share are in no method's seconds; those
    of a single method are in its own.
    """
    several = len(set(collected["sessions"].method)) > 1
    key = ["method", "session"] if several else "session"
    sessions = collected["sessions"].set_index(key)
    timings = collected["timings"].query("part != 'test'").groupby(key)
    trained = timings.agg({"seconds": "sum", "peak_megabytes": "max"}).reindex(sessions.index)
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
    by_part = by_part.rename(title, level="method").round({"seconds": 1, "peak_megabytes": 0})
    return by_part.rename(columns={"peak_megabytes": "peak memory (MB)"})


def class_counts(stream: Stream) -> pd.DataFrame:
    """Images per class and split, classes in order of arrival."""
    counts = {"class": stream.class_names, "session": stream.session_of_class}
    for split in SPLITS:
        labels = getattr(stream, split).labels
        counts[split] = np.bincount(labels, minlength=stream.number_of_classes)
    return pd.DataFrame(counts)


def _matrix(rows: pd.DataFrame) -> np.ndarray:
    wide = rows.pivot_table(index="session", columns="evaluated_session", values="accuracy")
    return wide.to_numpy()
