"""Fixtures shared by the tests: streams that are easy to learn, and settings that are fast.

Autouse are the number of threads, which changes the last digits of float sums, and how many
penalties ridge regression has to choose from.
"""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import blob_images, global_generators, learn_session, serving, shares_right

from dynammo import chain as chain_module
from dynammo.backbones import make_backbone
from dynammo.baselines import ridge
from dynammo.catalogue import METHODS
from dynammo.chain import Chain
from dynammo.data.make_stream import make_stream
from dynammo.measure.predictions import predict
from dynammo.methods import learners_on
from dynammo.run.outdated import checksums
from dynammo.run.sessions import save_chain, save_learner
from dynammo.run.settings import RunSettings

torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def few_penalties():
    """Three to choose from, not 17: each is a decomposition of 1984 x 1984 numbers in double."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ridge, "PENALTIES", (1e-4, 1e-2, 1.0))
        yield


@pytest.fixture(scope="session")
def blobs_npz(tmp_path_factory):
    """A data set of four classes as a file in MedMNIST's layout: 24, 2 and 12 images a class."""
    generator = np.random.default_rng(7)
    arrays = {}
    for split, count in {"train": 24, "val": 2, "test": 12}.items():
        images = np.concatenate([blob_images(label, count, generator) for label in range(4)])
        order = generator.permutation(len(images))
        arrays[f"{split}_images"] = images[order]
        arrays[f"{split}_labels"] = np.repeat(np.arange(4), count)[order][:, None]
    path = tmp_path_factory.mktemp("blobs") / "blobs.npz"
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="session")
def blobs(blobs_npz):
    """The four classes as a stream of two sessions."""
    return make_stream(str(blobs_npz), classes_per_session=2, order_seed=0)


@pytest.fixture(scope="session")
def tiny_settings(blobs_npz):
    """Settings with which the blobs are learned in about a second."""
    return RunSettings(
        stream=str(blobs_npz),
        classes_per_session=2,
        order_seeds=(0,),
        train_seeds=(1,),
        adapter_stages=("stage4", "stage6"),
        adapter_width=0.25,
        adapter_alpha=0.2,
        adapter_epochs=10,
        adapter_learning_rate=0.1,
        batch_size=16,
        head_epochs=100,
        head_steps=0,
        head_learning_rate=1e-2,
        memory_budget=24,
        device="cpu",
    )


@pytest.fixture(scope="session")
def pretrained():
    """EfficientNet-Lite0 with ImageNet weights, shared because it is frozen."""
    return make_backbone("efficientnet_lite0", "imagenet")


@pytest.fixture(scope="session")
def random_resnet():
    """ResNet-18 with random weights, shared because it is frozen."""
    return make_backbone("resnet18", "random", seed=0)


@pytest.fixture
def no_proxies(monkeypatch):
    """What the machine says of proxies, in small letters or capitals, is not so here."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server(no_proxies, monkeypatch):
    """A web server on this machine, past any proxy."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as running:
        yield running


@pytest.fixture(scope="session")
def new_chain(tiny_settings, blobs, pretrained):
    """Makes a chain at its start, and learners of all methods that it feeds, by name."""

    def make(stream=blobs, train_seed=1, **changes):
        settings = tiny_settings.with_changes(changes)
        chain = Chain(settings, stream, pretrained, train_seed)
        return chain, {learner.name: learner for learner in learners_on(chain, METHODS)}

    return make


@pytest.fixture(scope="session")
def two_sessions(new_chain, pretrained, tmp_path_factory):
    """Two sessions of every method on a chain, with a note of everything and saved after each."""
    before = {k: v.clone() for k, v in pretrained.state_dict().items()}
    generators = global_generators()
    chain, learners = new_chain()
    run = SimpleNamespace(chain=chain, learners=learners, backbone_before=before)
    run.tuned, run.losses, run.accuracies, run.memories, run.folders = [], [], [], [], []
    run.predictions = []
    original = chain_module.tune_adapters

    def noted(network, head, images, targets, *rest, **options):
        state = {k: v.clone() for k, v in network.adapters.state_dict().items()}
        run.tuned.append(SimpleNamespace(images=images, targets=targets, start=state, head=head))
        return original(network, head, images, targets, *rest, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chain_module, "tune_adapters", noted)
        for session in (1, 2):
            run.losses.append(learn_session(chain, learners))
            run.accuracies.append({k: shares_right(v) for k, v in learners.items()})
            run.predictions.append({k: predict(v, "test") for k, v in learners.items()})
            run.memories.append(chain.memory)
            folder = tmp_path_factory.mktemp(f"session{session}")
            save_chain(chain, folder, run.losses[-1], checksums(chain))
            for learner in learners.values():
                save_learner(learner, folder)
            run.folders.append(folder)
    run.generators = generators, global_generators()
    return run
