"""The synthetic cells: same seed same bytes, MedMNIST layout, shapes that tell types apart."""

from __future__ import annotations

import numpy as np
import pytest

from dynammo.data.phantom import CLASS_NAMES, MORPHOLOGIES, draw_cell, draw_phantom

KINDS = {"basophil", "eosinophil", "erythroblast", "immature granulocyte"}
KINDS |= {"lymphocyte", "monocyte", "neutrophil", "platelet"}


@pytest.fixture(scope="module")
def small() -> dict[str, np.ndarray]:
    """24 images a class to train on and 12 to test on, seed 0, 64 px."""
    return draw_phantom(0, {"train": 24, "val": 1, "test": 12})


def images_of(data: dict[str, np.ndarray], name: str) -> np.ndarray:
    """All training images of one class as float [N, H, W, 3]."""
    label = CLASS_NAMES.index(name)
    return data["train_images"][data["train_labels"][:, 0] == label].astype(float)


def dark_purple(images: np.ndarray) -> np.ndarray:
    """Share of pixels per image [N] that look like nucleus or basophil granules: little green."""
    return (images[..., 1] < 95).mean(axis=(1, 2))


def ring(images: np.ndarray) -> np.ndarray:
    """Median colour [N, 3] of the non-nuclear pixels in the middle of the field."""
    middle = images[:, 20:44, 20:44].reshape(len(images), -1, 3)
    return np.array([np.median(m[m[:, 1] > 95], axis=0) for m in middle if (m[:, 1] > 95).any()])


def test_layout_is_that_of_a_medmnist_file(small: dict[str, np.ndarray]) -> None:
    assert set(small) == {
        f"{s}_{k}" for s in ("train", "val", "test") for k in ("images", "labels")
    }
    for split, count in {"train": 24, "val": 1, "test": 12}.items():
        images, labels = small[f"{split}_images"], small[f"{split}_labels"]
        assert images.shape == (8 * count, 64, 64, 3) and images.dtype == np.uint8
        assert labels.shape == (8 * count, 1) and labels.dtype == np.uint8
        assert np.bincount(labels[:, 0], minlength=8).tolist() == [count] * 8
        assert sorted(labels[:8, 0]) == list(range(8)), "the classes take turns"


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    first, again, other = (draw_phantom(seed, {"train": 2}) for seed in (7, 7, 8))
    assert first["train_images"].tobytes() == again["train_images"].tobytes()
    differing = (first["train_images"] != other["train_images"]).any(axis=(1, 2, 3))
    assert differing.all()


def test_asking_for_more_images_only_appends(small: dict[str, np.ndarray]) -> None:
    few = draw_phantom(0, {"test": 2, "train": 3})
    for split, count in {"train": 24, "test": 16}.items():
        n = min(len(few[f"{split}_images"]), 8 * count)
        assert np.array_equal(few[f"{split}_images"], small[f"{split}_images"][:n])
        assert np.array_equal(few[f"{split}_labels"], small[f"{split}_labels"][:n])


def test_no_image_is_drawn_twice(small: dict[str, np.ndarray]) -> None:
    every = [image.tobytes() for s in ("train", "val", "test") for image in small[f"{s}_images"]]
    assert len(set(every)) == len(every)


@pytest.mark.parametrize("size", [32, 64])
def test_the_image_size_is_a_parameter(size: int) -> None:
    for name in CLASS_NAMES:
        image = draw_cell(name, np.random.default_rng(1), image_size=size)
        assert image.shape == (size, size, 3) and image.dtype == np.uint8
        assert image.std() > 5, f"{name} at {size} px is an empty field"


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda: draw_cell("macrophage", np.random.default_rng(0)),
            "Unknown cell type 'macrophage'",
        ),
        (lambda: draw_cell("platelet", np.random.default_rng(0), image_size=0), "image_size is 0"),
        (lambda: draw_phantom(0, {"train": 0}), "0 images per class asked for in 'train'"),
        (lambda: draw_phantom(0, {"train": -3}), "-3 images per class"),
        (lambda: draw_phantom(0, {"holdout": 3}), "in 'holdout'. Ask for 1 or more in train"),
        (lambda: draw_phantom(-1, {"train": 1}), "The seed is -1"),
    ],
)
def test_bad_input_gives_one_clear_error(call, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()


def test_the_table_covers_every_type_with_shares_that_add_up() -> None:
    for name in CLASS_NAMES:
        shares = [kind.share for kind in MORPHOLOGIES if kind.cell_type == name]
        assert sum(shares) == pytest.approx(1.0), name
    assert {kind.cell_type for kind in MORPHOLOGIES} == set(CLASS_NAMES) == KINDS


def test_colour_alone_does_not_solve_it(small: dict[str, np.ndarray]) -> None:
    """Nearest class centroid in mean and spread of colour: above chance (1/8), far from solved."""

    def colours(split: str) -> np.ndarray:
        images = small[f"{split}_images"].astype(float)
        return np.concatenate([images.mean((1, 2)), images.std((1, 2))], axis=1)

    train, test, labels = colours("train"), colours("test"), small["train_labels"][:, 0]
    test, train = (test - train.mean(0)) / train.std(0), (train - train.mean(0)) / train.std(0)
    centroids = np.stack([train[labels == c].mean(0) for c in range(8)])
    guess = np.linalg.norm(test[:, None] - centroids, axis=2).argmin(1)
    accuracy = (guess == small["test_labels"][:, 0]).mean()
    assert 0.125 < accuracy < 0.5


def test_platelets_have_no_nucleus(small: dict[str, np.ndarray]) -> None:
    platelet, lymphocyte = (dark_purple(images_of(small, n)) for n in ("platelet", "lymphocyte"))
    assert np.median(platelet) < 0.25 * np.median(lymphocyte)


def test_eosinophil_granules_are_redder_than_neutrophil_cytoplasm(
    small: dict[str, np.ndarray],
) -> None:
    redness = {n: ring(images_of(small, n)) for n in ("eosinophil", "neutrophil")}
    eosinophil, neutrophil = (np.median(c[:, 0] - c[:, 1]) for c in redness.values())
    assert eosinophil > neutrophil + 20


def test_lymphocyte_nucleus_fills_the_middle_and_the_neutrophil_one_does_not(
    small: dict[str, np.ndarray],
) -> None:
    filled = {
        n: np.median(dark_purple(images_of(small, n)[:, 24:40, 24:40]))
        for n in ("lymphocyte", "neutrophil")
    }
    assert filled["lymphocyte"] > 0.8 > filled["neutrophil"] + 0.1


def test_basophils_are_the_darkest_granulocytes(small: dict[str, np.ndarray]) -> None:
    dark = {n: np.median(dark_purple(images_of(small, n))) for n in CLASS_NAMES}
    assert dark["basophil"] > max(dark["eosinophil"], dark["neutrophil"])


def test_erythroblasts_are_smaller_than_monocytes(small: dict[str, np.ndarray]) -> None:
    dark = {n: np.median(dark_purple(images_of(small, n))) for n in ("erythroblast", "monocyte")}
    assert dark["erythroblast"] < 0.7 * dark["monocyte"]
