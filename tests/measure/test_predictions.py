"""What is said of a session's predictions, against numbers that were worked out by hand."""

import math

import numpy as np
import pytest

from dynammo.measure.predictions import Predictions, accuracy_rows, session_row

# Test labels of three sessions with classes 0 1, 2 and 3.
SESSIONS = ((0, 1), (2,), (3,))
LABELS = np.array([3, 0, 1, 2, 0, 1, 3, 2])


def test_a_sessions_row_counts_only_classes_seen():
    # Seen after session 2: labels 0 1 2 0 1 2 at positions 1 2 3 4 5 7.
    answers = Predictions(2, SESSIONS, LABELS, np.array([0, 1, 2, 1, 0, 2]))
    row = session_row(answers)
    assert row["classes_seen"] == 3
    assert row["images"] == 6
    assert row["accuracy"] == pytest.approx(4 / 6)
    assert row["mean_class_recall"] == pytest.approx((1 / 2 + 1 / 2 + 1) / 3)
    for name in ("session_inference", "open_set_auroc", "open_set_fpr95"):
        assert math.isnan(row[name])  # a unified head has no "others"
    rows = accuracy_rows(answers)
    assert [r["evaluated_session"] for r in rows] == [1, 2]
    assert [r["images"] for r in rows] == [4, 2]
    assert [r["accuracy"] for r in rows] == pytest.approx([2 / 4, 1])


def test_a_sessions_row_with_task_heads_measures_others_on_the_whole_split():
    lowest = np.array([0.6, 0.1, 0.2, 0.3, 0.4, 0.7, 0.8, 0.5], np.float32)
    inferred = np.array([1, 1, 1, 2, 2, 1, 2, 1])
    answers = Predictions(2, SESSIONS, LABELS, np.array([0, 1, 2, 2, 1, 0]), lowest, inferred)
    row = session_row(answers)
    # Positions 1 2 3 4 5 7 are of sessions 1 1 2 1 1 2, inferred 1 1 2 2 1 1.
    assert row["session_inference"] == pytest.approx(4 / 6)
    # Unseen are positions 0 and 6, others 0.6 and 0.8; of the seen, only 0.7 is not below 0.6.
    assert row["open_set_auroc"] == pytest.approx(11 / 12)
    # All known pass at 0.7, and so does the unseen 0.6.
    assert row["open_set_fpr95"] == pytest.approx(1 / 2)


def test_after_the_last_session_nothing_is_unseen_and_open_set_is_empty():
    answers = Predictions(
        3,
        SESSIONS,
        LABELS,
        np.zeros(8, np.int64),
        np.linspace(0, 1, 8, dtype=np.float32),
        np.ones(8, np.int64),
    )
    row = session_row(answers)
    assert row["images"] == 8
    assert row["session_inference"] == pytest.approx(1 / 2)
    assert math.isnan(row["open_set_auroc"]) and math.isnan(row["open_set_fpr95"])
