"""What sessions come to, on made-up runs, against numbers worked out by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dynammo.measure.summary import (
    BALANCED,
    COSTS,
    class_counts,
    cost_by_session,
    summarise,
    training_cost,
)
from dynammo.stream import Split

MATRICES = {0: [[0.9], [0.95, 0.8], [0.5, 0.6, 0.7]], 1: [[0.8], [0.6, 0.7], [0.4, 0.7, 0.9]]}
OVERALL = {0: (0.9, 0.85, 0.6), 1: (0.8, 0.65, 0.7)}  # accuracy over all classes, by class order


def collected(**orders: tuple[int, ...]) -> dict[str, pd.DataFrame]:
    """Tables of methods that were run under some class orders."""
    rows = {"sessions": [], "accuracy": [], "timings": []}
    for method, order in ((method, order) for method, own in orders.items() for order in own):
        run = {"method": method, "order_seed": order, "train_seed": 1}
        for session, accuracy in enumerate(OVERALL[order], start=1):
            own = run | {"session": session, "accuracy": accuracy}
            own |= dict.fromkeys([*BALANCED, "session_inference"], accuracy / 2)
            rows["sessions"].append(own | dict.fromkeys(COSTS, 1e6 * session))
            for part, seconds in (("training", 10 * session + order), ("test", 99.0)):
                took = {"part": part, "seconds": seconds, "peak_megabytes": 5 * seconds}
                rows["timings"].append(run | {"session": session} | took)
            rows["accuracy"] += [
                run | {"session": session, "evaluated_session": old, "accuracy": one}
                for old, one in enumerate(MATRICES[order][session - 1], start=1)
            ]
    return {name: pd.DataFrame(own) for name, own in rows.items()}


def test_a_summary_has_means_and_deviations_over_runs_and_the_cost_at_the_end():
    found = summarise(collected(acl=(1,), dynammo=(0, 1))).set_index("method")
    averages = np.mean(OVERALL[0]), np.mean(OVERALL[1])
    expected = {
        "seeds": 2,
        "average_accuracy": np.mean(averages),
        "average_accuracy_sd": abs(averages[0] - averages[1]) / 2**0.5,
        "last_accuracy": 0.65,
        "last_accuracy_sd": 0.1 / 2**0.5,
        "forgetting": (0.45 + 0.2 + 0.4 + 0.0) / 4,
        "backward_transfer": -(0.4 + 0.2 + 0.4 + 0.0) / 4,
        **dict.fromkeys([*BALANCED, "session_inference"], 0.325),
        **dict.fromkeys(COSTS, 3e6),
    }
    assert found.loc["dynammo", list(expected)].to_dict() == pytest.approx(expected)
    alone = found.loc["acl"]
    assert (alone.seeds, alone.last_accuracy) == (1, 0.7)
    assert alone[["average_accuracy_sd", "last_accuracy_sd"]].isna().all()


def test_a_session_s_cost_stands_beside_what_its_training_took():
    found = cost_by_session(collected(ewc=(0,)))
    assert found.index.tolist() == [1, 2, 3]
    columns = ["accuracy (%)", "MMACs an image", "exemplars (kB)", "training (s)"]
    assert found[columns].to_numpy().tolist() == [
        [90, 1, 1000, 10],
        [85, 2, 2000, 20],
        [60, 3, 3000, 30],
    ]
    several = cost_by_session(collected(ewc=(0,), der=(1,)))
    assert several["training (s)"]["der", 2] == 21 and several["accuracy (%)"]["ewc", 3] == 60
    tables = collected(dynammo=(0,))  # its adapters are tuned beside it, for all methods on them
    shared = tables["timings"].assign(method="adapters", peak_megabytes=7.0)
    tables["timings"] = pd.concat([tables["timings"], shared])
    alone = cost_by_session(tables)
    assert alone.index.tolist() == [1, 2, 3] and alone["training (s)"].tolist() == [20, 40, 60]
    assert alone["peak memory (MB)"].tolist() == [50, 100, 150]


def test_training_s_cost_is_the_mean_over_sessions_and_runs():
    found = training_cost(collected(ewc=(0, 1), der=(1,)))
    assert found.index.tolist() == [("EWC", "training"), ("DER", "training")]
    assert found.to_numpy().tolist() == [[20.5, 102], [21, 105]]  # 102.5, to the even number


def test_images_are_counted_by_class_and_split(blobs):
    few = Split(blobs.test.images[:5], np.array([0, 0, 0, 2, 1]))
    found = class_counts(replace(blobs, test=few))
    assert found["class"].tolist() == list(blobs.class_names)
    assert found[["session", "train", "val", "test"]].to_numpy().tolist() == [
        [1, 24, 2, 3],
        [1, 24, 2, 1],
        [2, 24, 2, 1],
        [2, 24, 2, 0],
    ]
