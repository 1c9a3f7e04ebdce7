"""Every measure against numbers that were worked out by hand."""

import itertools

import numpy as np
import pytest

from dynammo.measure import metrics

# Seven images of classes 0, 1 (session 1) and 2, 3 (session 2).
LABELS = np.array([0, 0, 0, 1, 2, 2, 3])
PREDICTED = np.array([0, 1, 0, 1, 2, 0, 2])

# Accuracy on session j (column) after session i (row); nothing may read above the diagonal.
MATRIX = np.array(
    [
        [0.90, np.nan, np.nan, np.nan],
        [0.95, 0.80, np.nan, np.nan],
        [0.70, 0.60, 0.70, np.nan],
        [0.75, 0.85, 0.40, 1.00],
    ]
)


def open_set_by_pairs(known, unknown) -> tuple[float, float]:
    """AUROC as the share of pairs in the right order; the false positive rate by trying all cuts.

    A tie counts half.
    """
    pairs = [(k > u) + 0.5 * (k == u) for k, u in itertools.product(known, unknown)]
    rates = [
        np.mean(np.asarray(unknown) >= cut)
        for cut in sorted({*known, *unknown})
        if np.mean(np.asarray(known) >= cut) >= 0.95
    ]
    return float(np.mean(pairs)), float(min(rates))


def test_accuracy_is_the_share_of_right_predictions():
    assert metrics.accuracy(LABELS, PREDICTED) == pytest.approx(4 / 7)
    assert metrics.accuracy(LABELS, LABELS) == 1.0


def test_the_accuracy_row_parts_the_images_by_the_session_of_their_true_class():
    row = metrics.accuracy_row(LABELS, PREDICTED, np.array([1, 1, 2, 2]), 2)
    assert row.tolist() == pytest.approx([3 / 4, 1 / 3])


def test_mean_class_recall_weighs_classes_the_same():
    # Recalls 2/3, 1, 1/2 and 0.
    expected = (2 / 3 + 1 + 1 / 2 + 0) / 4
    assert metrics.mean_class_recall(LABELS, PREDICTED) == pytest.approx(expected)


def test_mean_class_recall_leaves_out_classes_without_images():
    # A class that is only ever predicted has no recall.
    assert metrics.mean_class_recall(np.array([0, 0, 2]), np.array([0, 1, 2])) == 0.75


def test_macro_f1_weighs_classes_the_same():
    # Class 0: precision 2/3, recall 2/3. Class 1: 1/2 and 1. Class 2: 1/2 and 1/2. Class 3: none.
    expected = (2 / 3 + 2 * (1 / 2) / (3 / 2) + 1 / 2 + 0) / 4
    assert metrics.macro_f1(LABELS, PREDICTED) == pytest.approx(expected)


def test_macro_auroc_is_the_mean_over_classes_of_pairs_in_the_right_order():
    labels = np.array([0, 0, 1, 2, 2, 2])
    scores = np.random.default_rng(3).normal(size=(6, 3)).round(1)
    by_class = [
        open_set_by_pairs(scores[labels == k, k], scores[labels != k, k])[0] for k in range(3)
    ]
    assert metrics.macro_auroc(labels, scores) == pytest.approx(np.mean(by_class))


def test_forgetting_is_the_mean_drop_from_the_best_earlier_accuracy():
    # Session 1: 0.95 - 0.75; session 2: 0.80 - 0.85, a gain; session 3: 0.70 - 0.40.
    assert metrics.forgetting(MATRIX) == pytest.approx((0.20 - 0.05 + 0.30) / 3)
    assert metrics.forgetting(MATRIX[:2, :2]) == pytest.approx(-0.05)


def test_backward_transfer_is_the_mean_change_since_a_session_was_learned():
    # 0.75 - 0.90, 0.85 - 0.80, 0.40 - 0.70.
    assert metrics.backward_transfer(MATRIX) == pytest.approx((-0.15 + 0.05 - 0.30) / 3)
    assert metrics.backward_transfer(MATRIX[:2, :2]) == pytest.approx(0.05)


def test_the_confusion_matrix_has_true_classes_as_rows_that_sum_to_one():
    expected = [
        [2 / 3, 1 / 3, 0, 0],
        [0, 1, 0, 0],
        [1 / 2, 0, 1 / 2, 0],
        [0, 0, 1, 0],
    ]
    np.testing.assert_allclose(metrics.confusion(LABELS, PREDICTED, 4), expected)


def test_open_set_measures_of_a_small_example_by_hand():
    known, unknown = np.array([0.9, 0.8, 0.4]), np.array([0.7, 0.4, 0.1])
    # Pairs in order: 3 for 0.9, 3 for 0.8, 1.5 for 0.4. All known pass at 0.4, as do 2 unknown.
    auroc, fpr95 = metrics.open_set(known, unknown)
    assert auroc == pytest.approx(7.5 / 9)
    assert fpr95 == pytest.approx(2 / 3)


@pytest.mark.parametrize("seed", range(6))
def test_open_set_measures_equal_counting_pairs(seed):
    generator = np.random.default_rng(seed)
    known = generator.normal(0.7, 1, 43).round(1)  # rounded, for ties
    unknown = generator.normal(0, 1, 31).round(1)
    assert metrics.open_set(known, unknown) == pytest.approx(open_set_by_pairs(known, unknown))


def test_open_set_measures_of_a_perfect_and_an_upside_down_score():
    high, low = np.array([0.8, 0.9]), np.array([0.1, 0.2])
    assert metrics.open_set(high, low) == (1.0, 0.0)
    assert metrics.open_set(low, high) == (0.0, 1.0)
