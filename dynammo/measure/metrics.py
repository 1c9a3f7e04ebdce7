"""Measures of incremental learning, from labels and predictions alone.

All are shares in 0..1, but for forgetting and backward transfer, which are differences of these.

Notation of the literature: A[i, j] is the accuracy on session j's test images after session i,
with predictions free to choose any class seen by then.
"""

from __future__ import annotations

import numpy as np
from sklearn.metrics import confusion_matrix, f1_score, recall_score, roc_auc_score, roc_curve


def accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Share of right predictions; both int [N]."""
    return float(np.mean(labels == predicted))


def accuracy_row(
    labels: np.ndarray, predicted: np.ndarray, session_of_class: np.ndarray, sessions: int
) -> np.ndarray:
    """Row i of the accuracy matrix: accuracy on the images of each session 1..i.

    Args:
        labels: int [N], of test images of the classes seen so far.
        predicted: int [N].
        session_of_class: int [K], the session (from 1) that brings each class.
        sessions: i, how many sessions were learned.

    Returns:
        [i] accuracies.
    """
    session = session_of_class[labels]
    return np.array(
        [accuracy(labels[session == j], predicted[session == j]) for j in range(1, sessions + 1)]
    )


def mean_class_recall(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Recall averaged over classes, each weighing the same (SKIN8's measure in the paper).

    Also called balanced accuracy.
    """
    return float(
        recall_score(labels, predicted, labels=np.unique(labels), average="macro", zero_division=0)
    )


def macro_f1(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Harmonic mean of precision and recall of each class, averaged over the classes."""
    return float(
        f1_score(labels, predicted, labels=np.unique(labels), average="macro", zero_division=0)
    )


def macro_auroc(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Area under the ROC curve of each class against all others, averaged over the classes.

    Args:
        labels: int [N], of at least two classes.
        probabilities: [N, K], or any scores that can be compared between images.
    """
    return float(
        np.mean([roc_auc_score(labels == k, probabilities[:, k]) for k in np.unique(labels)])
    )


def forgetting(matrix: np.ndarray) -> float:
    """Mean drop from the best earlier accuracy to the last (Chaudhry et al. 2018, equation 3).

    Args:
        matrix: A [n, n], lower triangle used, n >= 2.

    Returns:
        Mean over sessions j < n of max over i < n of A[i, j], minus A[n, j].
    """
    last = len(matrix) - 1
    return float(np.mean([matrix[j:last, j].max() - matrix[last, j] for j in range(last)]))


def backward_transfer(matrix: np.ndarray) -> float:
    """Mean change since a session was just learned (Lopez-Paz and Ranzato 2017, equation 3).

    Args:
        matrix: A [n, n], lower triangle used, n >= 2.

    Returns:
        Mean over sessions j < n of A[n, j] - A[j, j]; negative where sessions are forgotten.
    """
    last = len(matrix) - 1
    return float(np.mean([matrix[last, j] - matrix[j, j] for j in range(last)]))


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Confusion matrix [classes, classes] of shares: rows are true classes and sum to 1."""
    return confusion_matrix(labels, predicted, labels=range(classes), normalize="true")


def open_set(known: np.ndarray, unknown: np.ndarray) -> tuple[float, float]:
    """How well a score tells classes already seen from classes still to come.

    Args:
        known: score of images of seen classes, high meaning "seen".
        unknown: the same for images of future classes.

    Returns:
        Area under the ROC curve, and the false positive rate where 95 % of known are accepted.
    """
    truth = np.concatenate([np.ones(len(known)), np.zeros(len(unknown))])
    scores = np.concatenate([known, unknown])
    false_positive, true_positive, _ = roc_curve(truth, scores, drop_intermediate=False)
    accepted = int(np.argmax(true_positive >= 0.95))
    return float(roc_auc_score(truth, scores)), float(false_positive[accepted])
