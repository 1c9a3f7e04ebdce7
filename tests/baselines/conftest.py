"""Fixtures of the baselines: learners in the middle of a session, and whole runs of all of them.

The runs are on a network of two layers with random weights, which learns the blobs in a second.
"""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from helpers import global_generators
from helpers_for_baselines import (
    BASELINES,
    FEATURES,
    PROXIES,
    WIDE,
    Flat,
    accuracies,
    linear_head,
    scores,
)
from torch import nn

from dynammo.backbones import Backbone
from dynammo.baselines import ridge
from dynammo.baselines.whole_network import Classifier
from dynammo.data.make_stream import make_stream
from dynammo.learner import Learner, Setup
from dynammo.methods import make_learner
from dynammo.networks.recipes import Recipe
from dynammo.run.sessions import save_learner


@pytest.fixture(scope="session")
def uneven(blobs_npz):
    """The four classes as sessions of three and one, so that their numbers differ."""
    return make_stream(str(blobs_npz), classes_per_session=3, order_seed=0)


@pytest.fixture
def in_session_two(tiny_settings, uneven, random_resnet):
    """Makes a learner in the middle of session 2, on features of 5 numbers from 2 x 2 pixels."""

    def make(name: str, head=None, **changes):
        settings = tiny_settings.with_changes(changes)
        learner = make_learner(name, Setup(settings, uneven, random_resnet, 1))
        learner.session = 2
        learner.classifier = Classifier(Flat(5, seed=1), head or linear_head(4, seed=2))
        learner.teacher = Classifier(Flat(5, seed=3), linear_head(3, seed=4))
        return learner

    return make


class SmallNetwork(nn.Module):
    """Two layers with batch norm, one as slow as EfficientNet's: images to features [N, 32]."""

    def __init__(self) -> None:
        super().__init__()
        self.stage1 = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16, momentum=0.01), nn.ReLU()
        )
        self.stage2 = nn.Sequential(
            nn.Conv2d(16, FEATURES, 3, 2, 1, bias=False), nn.BatchNorm2d(FEATURES), nn.ReLU()
        )

    def forward(self, x):
        return self.stage2(self.stage1(x)).mean(dim=(2, 3))


@pytest.fixture(scope="session")
def backbone():
    """The small network, shared by all learners here as the pretrained one is in a run."""
    recipe = Recipe(
        network=SmallNetwork,
        weights=dict,
        stages=("stage1", "stage2"),
        adapter_stages=("stage2",),
        feature_size=FEATURES,
        mean=(0.5, 0.5, 0.5),
        standard_deviation=(0.25, 0.25, 0.25),
        feature_scale=1.0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Backbone("small", SmallNetwork(), recipe)


@pytest.fixture(scope="session")
def settings(tiny_settings):
    return tiny_settings.with_changes(
        {
            "network_learning_rate": 0.02,
            "head_epochs": 20,
            "lwf_weight": 3.0,
            "adapter_stages": ("stage2",),
            "podnet_proxies": PROXIES,
            "podnet_spatial": 1.0,
            "podnet_margin": 2.0,  # with the paper's the loss is cut off at 0 on these images
            "ranpac_features": WIDE,
        }
    )


@pytest.fixture(scope="session")
def start(settings, blobs, backbone):
    """Makes a learner, by name or class, that has learned nothing yet."""

    def make(method: str | type[Learner], train_seed: int = 1, stream=blobs, **changes) -> Learner:
        setup = Setup(settings.with_changes(changes), stream, backbone, train_seed)
        return make_learner(method, setup)

    return make


PENALTIES = ridge.PENALTIES  # before any fixture


@contextmanager
def all_penalties():
    """All that there are: on this network each is cheap, and seeds differ by which is chosen."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ridge, "PENALTIES", PENALTIES)
        yield


@pytest.fixture(autouse=True)
def every_penalty():
    """For each test here; other tests have few."""
    with all_penalties():
        yield


@pytest.fixture(scope="session")
def runs(start, backbone, tmp_path_factory):
    """Two sessions of every baseline, saved and with notes of all counts after each."""
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    generators = global_generators()
    found = SimpleNamespace(learned={}, backbone_before=before)
    for name in BASELINES:
        learner = start(name)
        run = SimpleNamespace(learner=learner, losses=[], accuracies=[], scores=[], folders=[])
        run.counts, run.memories = [], []
        for session in (1, 2):
            with all_penalties():
                run.losses.append(learner.learn_session(progress=False))
            run.accuracies.append(accuracies(learner))
            run.scores.append(scores(learner))
            run.counts.append(
                SimpleNamespace(
                    trained=learner.trained_numbers(),
                    stored=learner.stored_numbers(),
                    images=learner.stored_images(),
                )
            )
            run.memories.append(learner.memory)
            run.folders.append(tmp_path_factory.mktemp(f"{name}_{session}"))
            save_learner(learner, run.folders[-1])
        found.learned[name] = run
    found.generators = generators, global_generators()
    return found


@pytest.fixture
def run(runs, request):
    """What one baseline's two sessions left: give its name by ``indirect``."""
    return runs.learned[request.param]
