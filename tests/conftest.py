"""Fixtures shared by the tests: pictures that are easy to tell apart, and settings that are fast.

Nothing here is autouse except the number of threads, which changes the last digits of float sums.
"""

import numpy as np
import pytest
import torch

from dynammo.backbones import make_backbone
from dynammo.data.make_stream import make_stream
from dynammo.settings import Settings

torch.set_num_threads(1)

BLOB_COLOURS = ((220, 40, 40), (40, 190, 60), (50, 70, 230), (230, 210, 40))
BLOB_SIZE = 32


def blob_images(label: int, count: int, generator: np.random.Generator) -> np.ndarray:
    """Noisy pictures [count, 32, 32, 3] of one class: disc, square, cross or ring, coloured."""
    images = np.full((count, BLOB_SIZE, BLOB_SIZE, 3), 128.0)
    y, x = np.mgrid[:BLOB_SIZE, :BLOB_SIZE]
    for image in images:
        centre_y, centre_x = generator.uniform(12, 20, size=2)
        radius = generator.uniform(7, 10)
        across, down = np.abs(x - centre_x), np.abs(y - centre_y)
        distance = np.hypot(across, down)
        shapes = (
            distance < radius,
            np.maximum(across, down) < radius,
            (np.minimum(across, down) < 3) & (np.maximum(across, down) < radius + 3),
            np.abs(distance - radius) < 3,
        )
        image[shapes[label]] = BLOB_COLOURS[label]
    return np.clip(images + generator.normal(0, 12, images.shape), 0, 255).astype(np.uint8)


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
    return Settings(
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
