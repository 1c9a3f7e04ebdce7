"""What a learner predicts after a session, and the numbers that follow from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from dynammo.learner import Learner
from dynammo.measure import metrics
from dynammo.methods import AdapterLearner
from dynammo.stream import session_of_class


@dataclass(frozen=True)
class Predictions:
    """A learner's answers on one split after ``session`` sessions, and the truth.

    ``lowest_others`` is there for task heads only: the lowest "others" probability of every image
    of the split, classes still to come included, and the session it points to.
    """

    session: int
    sessions: tuple[tuple[int, ...], ...]  # the labels that each session of the stream brings
    labels: np.ndarray  # int64 [N of the whole split]
    predicted: np.ndarray  # int64 [N], for the images of classes seen so far, in split order
    lowest_others: np.ndarray | None = None  # float32 [N of the whole split]
    inferred_session: np.ndarray | None = None  # int64 [N of the whole split], from 1
    auroc: float = float("nan")  # one class against all others seen, mean; NaN for one class

    @property
    def classes_seen(self) -> int:
        """How many classes were known."""
        return self.sessions[self.session - 1][-1] + 1

    @property
    def seen(self) -> np.ndarray:
        """Whether each image of the split is of a class seen so far, bool."""
        return self.labels < self.classes_seen


def predict(learner: Learner, split: str, *, unseen: bool = True) -> Predictions:
    """Predict a split of the learner's stream, by image alone: which session is not told.

    Args:
        unseen: whether task heads are asked about classes still to come, too.
    """
    stream, session = learner.stream, learner.session
    seen = asked = stream.indices(split, range(1, session + 1))
    labels = getattr(stream, split).labels
    # Of the whole split, because some heads are asked about classes still to come, and all on one
    # chain share the passes.
    if unseen and (learner.knows_others or isinstance(learner, AdapterLearner)):
        asked = np.arange(len(labels))
    scores, others = learner.judge_split(split, asked)
    known = torch.as_tensor(np.isin(asked, seen))
    scores, auroc = scores[known].cpu(), float("nan")
    if len(np.unique(labels[seen])) > 1:
        # Task heads give log-probabilities already, with what is left to 1 for "others".
        logs = scores.double() if others is not None else scores.double().log_softmax(dim=1)
        auroc = metrics.macro_auroc(labels[seen], logs.exp().numpy())
    found = (session, stream.sessions, labels, scores.argmax(dim=1).numpy())
    if others is None or len(asked) < len(labels):
        return Predictions(*found, auroc=auroc)
    lowest, inferred = others.min(dim=1)
    return Predictions(*found, lowest.cpu().numpy(), inferred.cpu().numpy() + 1, auroc)


def session_row(answers: Predictions) -> dict[str, float]:
    """Numbers over all classes seen; NaN where a measure does not apply to the head or session."""
    seen = answers.seen
    labels = answers.labels[seen]
    row = {
        "classes_seen": answers.classes_seen,
        "images": len(labels),
        "accuracy": metrics.accuracy(labels, answers.predicted),
        "mean_class_recall": metrics.mean_class_recall(labels, answers.predicted),
        "macro_f1": metrics.macro_f1(labels, answers.predicted),
        "auroc": answers.auroc,
        "session_inference": float("nan"),
        "open_set_auroc": float("nan"),
        "open_set_fpr95": float("nan"),
    }
    if answers.lowest_others is not None:
        true_session = session_of_class(answers.sessions)[labels]
        row["session_inference"] = metrics.accuracy(true_session, answers.inferred_session[seen])
        if not seen.all():
            known = 1 - answers.lowest_others
            row["open_set_auroc"], row["open_set_fpr95"] = metrics.open_set(
                known[seen], known[~seen]
            )
    return row


def accuracy_rows(answers: Predictions) -> list[dict[str, float]]:
    """Row of the accuracy matrix after the session, one entry per evaluated session."""
    labels, whose = answers.labels[answers.seen], session_of_class(answers.sessions)
    row = metrics.accuracy_row(labels, answers.predicted, whose, answers.session)
    counts = np.bincount(whose[labels], minlength=answers.session + 1)
    return [
        {"evaluated_session": j, "images": int(counts[j]), "accuracy": float(row[j - 1])}
        for j in range(1, answers.session + 1)
    ]
