"""The diagonal of the Fisher information, where it can be written down by hand."""

import numpy as np
import torch
from helpers import generator
from helpers_for_baselines import normal, softmax
from torch import nn

from dynammo.baselines.fisher import fisher_diagonal


def linear_classifier(weight: torch.Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], len(weight))
    layer.weight.data, layer.bias.data = weight.clone(), torch.zeros(len(weight))
    return layer


def test_fisher_is_the_mean_of_squared_gradients_and_not_the_square_of_their_mean():
    """Two classes of probability 1/2: whichever is drawn, the gradient is +- x / 2."""
    x = normal(6, 3)
    fisher = fisher_diagonal(linear_classifier(torch.zeros(2, 3)), x, 0, generator())
    expected = np.mean([0.25 * image**2 for image in x.double().numpy()], axis=0)
    np.testing.assert_allclose(fisher["weight"], [expected, expected], rtol=1e-5)
    np.testing.assert_allclose(fisher["bias"], [0.25, 0.25], rtol=1e-6)


def test_a_weight_that_is_not_used_has_no_information():
    layer = linear_classifier(torch.zeros(2, 3))
    layer.unused = torch.nn.Parameter(torch.ones(2))
    assert fisher_diagonal(layer, normal(2, 3), 0, generator())["unused"].tolist() == [0, 0]


def test_fisher_of_a_session_leaves_earlier_outputs_out():
    weight = torch.cat([normal(2, 3), torch.zeros(2, 3)])
    x = normal(6, 3, seed=1)
    fisher = fisher_diagonal(linear_classifier(weight), x, 2, generator())
    assert fisher["weight"][:2].abs().max() == fisher["bias"][:2].abs().max() == 0
    expected = np.mean([0.25 * image**2 for image in x.double().numpy()], axis=0)
    np.testing.assert_allclose(fisher["weight"][2:], [expected, expected], rtol=1e-5)


def test_fisher_draws_labels_from_the_models_own_prediction():
    """With p the prediction, the gradient's mean square is p (1 - p) x^2, class by class."""
    layer, x = linear_classifier(normal(3, 2) / 2), normal(1, 2, seed=1)
    shares = softmax(x.double().numpy() @ layer.weight.detach().double().numpy().T)[0]
    fisher = fisher_diagonal(layer, x.expand(3000, 2), 0, generator())
    expected = np.outer(shares * (1 - shares), x[0].double().numpy() ** 2)
    np.testing.assert_allclose(fisher["weight"], expected, rtol=0.1)
    np.testing.assert_allclose(fisher["bias"], shares * (1 - shares), rtol=0.1)


def test_fisher_is_only_of_what_is_trained():
    layer = linear_classifier(normal(3, 2))
    layer.weight.requires_grad_(False)
    assert set(fisher_diagonal(layer, normal(4, 2), 0, generator())) == {"bias"}
    assert layer.bias.grad is None
