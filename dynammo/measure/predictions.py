"""What a learner predicts after a session, and the numbers that follow from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from dynammo.catalogue import AdapterLearner, Learner
from dynammo.data.make_stream import Stream
from dynammo.measure import metrics


@dataclass(frozen=True)
class Predictions:
    """A learner's answers on one split after ``session`` sessions.

    ``others`` is there for task heads only: the lowest "others" probability of every image of the
    split, classes still to come included, and the session it points to.
    """

    session: int
    predicted: np.ndarray  # int64 [N], for the images of classes seen so far, in split order
    lowest_others: np.ndarray | None = None  # float32 [N of the whole split]
    inferred_session: np.ndarray | None = None  # int64 [N of the whole split], from 1


def predict(learner: Learner, split: str) -> Predictions:
    """Predict a split of the learner's stream, by image alone: which session is not told."""
    seen = learner.stream.indices(split, range(1, learner.session + 1))
    if not isinstance(learner, AdapterLearner):
        scores, _ = learner.judge_split(split, seen)
        return Predictions(learner.session, scores.argmax(dim=1).cpu().numpy())
    # Of the whole split, because some heads are asked about classes still to come, and all on one
    # chain share the passes.
    everything = np.arange(len(getattr(learner.stream, split).labels))
    scores, others = learner.judge_split(split, everything)
    predicted = scores[torch.as_tensor(seen)].argmax(dim=1).cpu().numpy()
    if others is None:
        return Predictions(learner.session, predicted)
    lowest, inferred = others.min(dim=1)
    return Predictions(learner.session, predicted, lowest.cpu().numpy(), inferred.cpu().numpy() + 1)


def session_row(stream: Stream, split: str, answers: Predictions) -> dict[str, float]:
    """Numbers over all classes seen; NaN where a measure does not apply to the head or session."""
    all_labels = getattr(stream, split).labels
    seen = stream.indices(split, range(1, answers.session + 1))
    labels = all_labels[seen]
    row = {
        "classes_seen": stream.classes_seen(answers.session),
        "images": len(seen),
        "accuracy": metrics.accuracy(labels, answers.predicted),
        "mean_class_recall": metrics.mean_class_recall(labels, answers.predicted),
        "session_inference": float("nan"),
        "open_set_auroc": float("nan"),
        "open_set_fpr95": float("nan"),
    }
    if answers.lowest_others is not None:
        true_session = stream.session_of_class[labels]
        row["session_inference"] = metrics.accuracy(true_session, answers.inferred_session[seen])
        unseen = np.setdiff1d(np.arange(len(all_labels)), seen)
        if len(unseen):
            known = 1 - answers.lowest_others
            row["open_set_auroc"], row["open_set_fpr95"] = metrics.open_set(
                known[seen], known[unseen]
            )
    return row


def accuracy_rows(stream: Stream, split: str, answers: Predictions) -> list[dict[str, float]]:
    """Row of the accuracy matrix after the session, one entry per evaluated session."""
    seen = stream.indices(split, range(1, answers.session + 1))
    labels = getattr(stream, split).labels[seen]
    row = metrics.accuracy_row(labels, answers.predicted, stream.session_of_class, answers.session)
    return [
        {
            "evaluated_session": j,
            "images": len(stream.indices(split, j)),
            "accuracy": float(row[j - 1]),
        }
        for j in range(1, answers.session + 1)
    ]
