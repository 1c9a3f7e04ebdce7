"""Shared by tests of figures: tables of made-up numbers, and what of a figure says which."""

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from dynammo.catalogue import title
from dynammo.errors import InputError

NOTE = "made-up numbers"
DRAWN = ["frozen_features", "dynammo", "dynammo_unified_head", "last_adapter", "acl"]


def sessions_table(seeds: int = 3, methods=DRAWN, sessions: int = 4) -> pd.DataFrame:
    random = np.random.default_rng(0)
    rows = [
        {
            "method": method,
            "order_seed": seed,
            "train_seed": seed,
            "session": t,
            "classes_seen": 2 * t,
            "images": 20 * t,
            "accuracy": random.uniform(0.5, 1),
            "macs": 31e6 * (t if method == "acl" else 1),
            "session_inference": 0.9 if method == "dynammo" else np.nan,
        }
        for method in methods
        for seed in range(seeds)
        for t in range(1, sessions + 1)
    ]
    return pd.DataFrame(rows)


def summary_table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "method": DRAWN,
            "average_accuracy": [0.6, 0.81, 0.75, 0.7, 0.843],
            "average_accuracy_sd": [0.01, 0.02, np.nan, 0.01, 0.02],
            "macs": [24_000_000, 31_000_000, 31_000_000, 31_000_000, 124_000_000],
        }
    )


def growth_table() -> pd.DataFrame:
    table = pd.DataFrame(itertools.product(DRAWN, (1, 5, 20)), columns=["method", "sessions"])
    sets = table.sessions.where(table.method == "acl", 1)
    costs = {"macs": 3e9 * sets, "parameters_stored": 1e7 + 6e6 * sets}
    return table.assign(**costs, memory_bytes=5e7 + 2.4e7 * sets)


def losses_table() -> pd.DataFrame:
    return pd.DataFrame({"session": [1, 1, 2, 2], "epoch": [1, 2, 1, 2], "loss": [1, 0.5, 2, 0.7]})


def confusion_table(methods=("dynammo", "acl")) -> pd.DataFrame:
    names = ["platelet", "immature granulocyte", "basophil"]
    shares = np.array([[0.9, 0.1, 0], [0.25, 0.75, 0], [0.003, 0.197, 0.8]])
    rows = [
        {"method": m, "true_class": t, "predicted_class": p, "share": shares[i, j]}
        for m in methods
        for i, t in enumerate(names)
        for j, p in enumerate(names)
    ]
    return pd.DataFrame(rows)


def line(figure, method: str, panel: int = 0):
    """The line drawn for a method."""
    lines = figure.axes[panel].get_lines()
    return next(one for one in lines if one.get_label() == title(method))


def words(figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def cannot_be_drawn(draw, table: pd.DataFrame) -> None:
    """Whether a figure refuses a table without rows, and one without its first column."""
    with pytest.raises(InputError, match="no rows"):
        draw(table.iloc[:0], note=NOTE)
    with pytest.raises(InputError, match="lacks the column"):
        draw(table.iloc[:, 1:], note=NOTE)
