"""iCaRL: its targets, class by class, and the nearest mean by Euclidean distance."""

import math

import numpy as np
import pytest
import torch
from helpers_for_baselines import IMAGES, LABELS, normal, numbers, unit

from dynammo.baselines.icarl import NearestMean


def test_the_nearest_mean_is_the_nearest_by_euclidean_distance():
    features, means = normal(50, 6), 3 * normal(5, 6, seed=1)
    expected = [
        np.argmin([np.linalg.norm(row - mean) for mean in unit(means)]) for row in unit(features)
    ]
    assert NearestMean(means)(features).argmax(dim=1).tolist() == expected
    assert len(set(expected)) == 5


def test_icarls_targets_are_labels_for_new_classes_and_old_answers_for_old_ones(in_session_two):
    learner = in_session_two("icarl")
    _, logits = numbers(learner.classifier, IMAGES)
    _, teacher = numbers(learner.teacher, IMAGES)
    expected = 0.0
    for i, label in enumerate(LABELS.tolist()):
        for k in range(4):
            q = 1 / (1 + math.exp(-teacher[i, k])) if k < 3 else float(label == 3)
            g = 1 / (1 + math.exp(-logits[i, k]))
            expected -= (q * math.log(g) + (1 - q) * math.log(1 - g)) / (6 * 4)
    assert learner.batch_loss(IMAGES, LABELS).item() == pytest.approx(expected, rel=1e-5)


def test_icarls_first_session_has_labels_alone(in_session_two):
    learner = in_session_two("icarl")
    learner.teacher = None
    _, logits = numbers(learner.classifier, IMAGES)
    expected = 0.0
    for i, label in enumerate(LABELS.tolist()):
        for k in range(4):
            g = 1 / (1 + math.exp(-logits[i, k]))
            expected -= math.log(g if k == label else 1 - g) / (6 * 4)
    assert learner.batch_loss(IMAGES, LABELS).item() == pytest.approx(expected, rel=1e-5)


def test_icarl_answers_with_the_nearest_mean_of_exemplars(runs, blobs):
    run = runs.learned["icarl"]
    learner, extractor = run.learner, run.learner.classifier.extractor.eval()

    def features(images) -> np.ndarray:
        with torch.no_grad():
            found = extractor(learner.backbone.normalise(images)).double().numpy()
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    means = []
    for label in range(4):
        mean = features(blobs.train.images[learner.memory.positions[label]]).mean(axis=0)
        means.append(mean / np.linalg.norm(mean))
    rows = features(blobs.test.images)
    distances = [[np.linalg.norm(row - mean) for mean in means] for row in rows]
    assert np.array_equal(np.argmin(distances, axis=1), run.scores[1].argmax(axis=1))
    # Points at distance 1 from the origin: their distance squared is 2 less twice the cosine.
    np.testing.assert_allclose(np.square(distances), 2 - 2 * run.scores[1], atol=1e-5)
