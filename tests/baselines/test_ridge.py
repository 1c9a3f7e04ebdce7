"""Ridge regression against scikit-learn, and its penalty against trying all of them."""

import numpy as np
import pytest
from helpers_for_baselines import normal
from sklearn.linear_model import Ridge

from dynammo.baselines.ridge import PENALTIES, best_penalty, ridge_weights


def ridge_problem(noise: float, seed: int = 0):
    """Hidden features [60, 12] and targets [60, 3] that follow from them but for some noise."""
    hidden = normal(60, 12, seed=seed).relu()
    return hidden, hidden @ normal(12, 3, seed=seed + 1) + noise * normal(60, 3, seed=seed + 2)


@pytest.mark.parametrize("penalty", [1e-3, 1.0, 100.0])
def test_ridge_weights_are_scikit_learns(penalty):
    hidden, targets = ridge_problem(noise=1.0)
    found = ridge_weights(hidden.T @ hidden, hidden.T @ targets, penalty)
    expected = Ridge(alpha=penalty, fit_intercept=False).fit(hidden.double(), targets.double())
    np.testing.assert_allclose(found, expected.coef_.T, rtol=1e-4, atol=1e-5)


def test_the_best_penalty_is_that_of_trying_them_all():
    chosen = []
    for noise, images in ((0.0, 48), (1.0, 30), (5.0, 15), (30.0, 30)):
        hidden, targets = ridge_problem(noise, seed=images)
        kept, held = slice(0, images), slice(images, None)
        gram, correlation = hidden[kept].T @ hidden[kept], hidden[kept].T @ targets[kept]
        errors = []
        for penalty in PENALTIES:
            matrix = gram.double().numpy() + penalty * np.eye(12)
            weight = np.linalg.solve(matrix, correlation.double().numpy())
            missed = hidden[held].double().numpy() @ weight - targets[held].double().numpy()
            errors.append(np.mean(missed**2))
        chosen.append(best_penalty(gram, correlation, hidden[held], targets[held]))
        assert chosen[-1] == PENALTIES[int(np.argmin(errors))]
    assert len(set(chosen)) >= 3
