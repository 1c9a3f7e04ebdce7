"""Shared by tests of baselines: losses in NumPy, small networks, what learners answer."""

import math

import numpy as np
import pytest
import torch
from helpers import generator
from torch import nn

from dynammo.baselines.cosine_head import CosineHead
from dynammo.baselines.whole_network import Classifier, WholeNetworkLearner
from dynammo.catalogue import METHODS
from dynammo.heads import UnifiedHead
from dynammo.learner import Learner
from dynammo.methods import adapter_methods


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed))


def softmax(logits) -> np.ndarray:
    powers = np.exp(np.asarray(logits, dtype=np.float64))
    return powers / powers.sum(axis=-1, keepdims=True)


def unit(rows) -> np.ndarray:
    rows = np.asarray(rows, dtype=np.float64)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def cross_entropy(logits, labels) -> float:
    shares = softmax(logits)
    return float(np.mean([-math.log(shares[i, label]) for i, label in enumerate(labels)]))


class Flat(nn.Module):
    """An extractor simple enough for NumPy: features [N, D] are a matrix times the pixels."""

    def __init__(self, feature_size: int, seed: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(normal(feature_size, 12, seed=seed))

    def forward(self, x):
        return x.flatten(1) @ self.weight.T


def linear_head(classes: int, seed: int, features: int = 5) -> UnifiedHead:
    head = UnifiedHead(features)
    head.add_classes(normal(classes, features, seed=seed) / 5, normal(classes, seed=seed + 50))
    return head


def numbers(classifier: Classifier, images: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Features and logits of a :class:`Flat` extractor with a linear head."""
    pixels = images.flatten(1).double().numpy()
    features = pixels @ classifier.extractor.weight.detach().double().numpy().T
    weight = classifier.head.weight.detach().double().numpy()
    return features, features @ weight.T + classifier.head.bias.detach().double().numpy()


IMAGES = normal(6, 3, 2, 2, seed=9)
LABELS = torch.tensor([0, 3, 2, 3, 1, 3])  # class 3 is session 2's


def cosine_similarities(features, weight) -> np.ndarray:
    """PODNet's equation 8 in loops; with one proxy it is UCIR's cosine."""
    found = np.zeros((len(features), len(weight)))
    for i, row in enumerate(unit(features)):
        for k, proxies in enumerate(unit(weight)):
            cosines = proxies @ row
            found[i, k] = (softmax(cosines) * cosines).sum()
    return found


def cosine_head(classes: int, proxies: int, scale: float, seed: int = 0) -> CosineHead:
    head = CosineHead(5, proxies, scale)
    head.add_classes(normal(classes, proxies, 5, seed=seed))
    return head


# For tests/baselines: which there are, and what they answer on a small network.

BASELINES = [
    name
    for name, row in METHODS.items()
    if not adapter_methods([name]) and row.family != "own_sets"
]
FROZEN = [name for name in BASELINES if METHODS[name].family == "frozen_features"]
TRAINED = [name for name in BASELINES if name not in FROZEN]
NO_IMAGES = ["fine_tuning", "lwf", "ewc", *FROZEN]
REPLAYING = [name for name in BASELINES if name not in [*NO_IMAGES, "joint"]]
every_baseline = pytest.mark.parametrize("run", BASELINES, indirect=True)
every_trained = pytest.mark.parametrize("run", TRAINED, indirect=True)

FEATURES, WIDE, PROXIES = 32, 40, 3  # of the small network, of RanPAC, of a class in PODNet


def scores(learner: Learner) -> np.ndarray:
    """Scores of the test images of all classes seen."""
    seen = learner.stream.indices("test", range(1, learner.session + 1))
    found, others = learner.judge(learner.stream.test.images[seen])
    assert others is None
    return found.numpy()


def accuracies(learner: Learner) -> list[float]:
    """Test accuracy on each session's images, by a loop over images."""
    stream = learner.stream
    labels = stream.test.labels[stream.indices("test", range(1, learner.session + 1))]
    found = scores(learner).argmax(axis=1)
    rows = [
        [int(found[i] == labels[i]) for i in range(len(labels)) if labels[i] in stream.classes(j)]
        for j in range(1, learner.session + 1)
    ]
    return [float(np.mean(row)) for row in rows]


def tensors(learner: Learner) -> dict[str, torch.Tensor]:
    """Everything that a learner saves, out of its memory rather than its files."""
    if isinstance(learner, WholeNetworkLearner):
        return dict(learner.classifier.state_dict())
    return learner.state()
