"""Methods on frozen features, RanPAC and nearest class means: sums over all images."""

import numpy as np
import pytest
import torch
from helpers_for_baselines import FROZEN, normal

from dynammo.baselines.ranpac import RidgeHead
from dynammo.data.make_stream import make_stream


def test_a_ridge_head_projects_cuts_off_and_multiplies():
    features, projection, weight = normal(6, 5), normal(5, 8, seed=1), normal(8, 3, seed=2)
    f, p, w = (t.double().numpy() for t in (features, projection, weight))
    expected = np.where(f @ p > 0, f @ p, 0) @ w
    np.testing.assert_allclose(RidgeHead(projection, weight)(features), expected, atol=1e-5)


@pytest.mark.parametrize("run", FROZEN, indirect=True)
def test_methods_on_frozen_features_run_the_backbone_itself(run, backbone):
    assert backbone in run.learner.network().extractor.modules()
    assert run.losses == [[], []]


@pytest.mark.parametrize("per_session", [1, 3])
def test_frozen_features_do_not_mind_how_classes_are_divided_into_sessions(
    runs, start, blobs_npz, per_session
):
    stream = make_stream(str(blobs_npz), classes_per_session=per_session)
    for name in FROZEN:
        learner = start(name, stream=stream)
        for _ in range(stream.number_of_sessions):
            learner.learn_session()
        expected = runs.learned[name].learner.state()
        for key, found in learner.state().items():
            if key not in ("penalty", "weight"):  # which depend on the newest session's choice
                torch.testing.assert_close(found, expected[key], rtol=1e-4, atol=1e-4)


def test_class_means_and_statistics_are_sums_over_all_images(runs, blobs, backbone):
    with torch.no_grad():
        features = backbone(backbone.normalise(blobs.train.images)).double().numpy()
    labels, state = blobs.train.labels, runs.learned["ranpac"].learner.state()
    projection = runs.learned["ranpac"].learner.projection.double().numpy()
    hidden = np.maximum(features @ projection, 0)
    gram = sum(np.outer(row, row) for row in hidden)
    np.testing.assert_allclose(state["gram"], gram, rtol=1e-3, atol=1e-3)
    plain = runs.learned["ranpac_no_projection"].learner.state()["gram"]
    np.testing.assert_allclose(plain, features.T @ features, rtol=1e-3, atol=1e-4)
    columns = [hidden[labels == label].sum(axis=0) for label in range(4)]
    np.testing.assert_allclose(state["correlation"], np.stack(columns, 1), rtol=1e-3, atol=1e-3)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    means = [unit[labels == label].mean(axis=0) for label in range(4)]
    found = runs.learned["nearest_class_mean"].learner.state()["means"]
    np.testing.assert_allclose(found, means, atol=1e-5)
