"""The one place where data are checked: what is accepted, and what each refusal says."""

import numpy as np
import pytest
from helpers import changed, small_arrays

from dynammo.data.dataset import from_arrays
from dynammo.data.npz import load_npz
from dynammo.errors import InputError
from dynammo.stream import SPLITS


def test_arrays_become_a_data_set():
    arrays = small_arrays()
    data_set = from_arrays("mine", arrays, class_names=["a", "b", "c"])
    assert data_set.image_size == 6
    assert data_set.number_of_classes == 3
    assert data_set.class_names == ("a", "b", "c")
    assert data_set.val.labels.dtype == np.int64
    assert data_set.val.labels.tolist() == [0, 1, 2, 0, 1, 2]
    np.testing.assert_array_equal(data_set.test.images, arrays["test_images"])
    assert not data_set.synthetic


def test_classes_without_names_are_numbered():
    assert from_arrays("mine", small_arrays()).class_names == ("class 0", "class 1", "class 2")


def test_grey_images_get_three_equal_channels():
    arrays = small_arrays()
    for split in SPLITS:
        arrays[f"{split}_images"] = arrays[f"{split}_images"][..., 0]
    images = from_arrays("grey", arrays).train.images
    assert images.shape == (6, 6, 6, 3)
    for channel in range(3):
        np.testing.assert_array_equal(images[..., channel], arrays["train_images"])


def test_checksum_is_of_the_content(tmp_path):
    arrays = small_arrays()
    np.savez(tmp_path / "one.npz", **arrays)
    np.savez_compressed(tmp_path / "two.npz", extra=np.arange(3), **arrays)
    one, two = load_npz(tmp_path / "one.npz"), load_npz(tmp_path / "two.npz")
    assert one.checksum() == two.checksum() == from_arrays("in memory", arrays).checksum()
    for key in ("test_images", "val_labels"):
        swapped = {name: array.copy() for name, array in arrays.items()}
        swapped[key][[0, 1]] = swapped[key][[1, 0]]
        assert from_arrays("swapped", swapped).checksum() != one.checksum()


def test_checksum_means_the_same_in_old_run_folders():
    arrays = small_arrays()
    for split in SPLITS:
        arrays[f"{split}_images"] = (np.arange(648) % 256).astype(np.uint8).reshape(6, 6, 6, 3)
    assert from_arrays("pinned", arrays).checksum() == (
        "e7076f4c50f337bdd910b259397b4fba251450888826058c76351ea03e2dd169"
    )


def test_checksum_covers_every_image_of_a_large_grey_set():
    arrays = small_arrays(classes=2)
    arrays["train_images"] = np.zeros((5000, 2, 2), np.uint8)
    arrays["train_labels"] = np.arange(5000) % 2
    for split in ("val", "test"):
        arrays[f"{split}_images"] = arrays[f"{split}_images"][:, :2, :2]
    before = from_arrays("large", arrays).checksum()
    arrays["train_images"][-1, 1, 1] = 1
    assert from_arrays("large", arrays).checksum() != before


IMAGES = small_arrays()["train_images"]


LABELS = small_arrays()["train_labels"]


@pytest.mark.parametrize(
    ("arrays", "wrong", "to_do"),
    [
        (changed(val_images=None, val_labels=None), "missing val_images, val_labels", "Give the"),
        (changed(train_images=IMAGES / 255), "dtype float64", "8-bit"),
        (changed(train_images=IMAGES.astype(np.uint16)), "dtype uint16", "8-bit"),
        (changed(train_images=IMAGES[..., :2]), "(6, 6, 6, 2)", "Give square images"),
        (changed(train_images=IMAGES[..., [0, 1, 2, 0]]), "(6, 6, 6, 4)", "Give square images"),
        (changed(train_images=IMAGES[:, :5]), "(6, 5, 6, 3)", "crop or pad"),
        (changed(train_images=IMAGES.transpose(0, 3, 1, 2)), "(6, 3, 6, 6)", "channels last"),
        (changed(train_images=IMAGES[0, 0, 0, 0]), "shape ()", "Give square images"),
        (changed(val_images=IMAGES[:, :4, :4]), "val 4 px", "Resize all"),
        (changed(train_images=IMAGES[:5]), "5 images", "one label per image"),
        (changed(train_labels=LABELS.astype(float)), "not integer", "Save class numbers"),
        (changed(train_labels=LABELS.astype(np.int8) - 1), "contains -1", "from 0 upwards"),
        (changed(train_labels=np.eye(6, 3, dtype=int)), "several labels", "one class number"),
        (changed(train_labels=LABELS[..., None, None]), "(6, 1, 1, 1)", "one class number"),
        (changed(train_labels=np.uint32(LABELS) * 10**9), "up to 2000000000", "without gaps"),
        (changed(class_names=np.array(["a", "b"])), "only 2 class names", "add the missing"),
        (changed(class_names=np.array(["a", "b", "a"])), "['a'] occur twice", "its own name"),
        (changed(class_names=np.array([1, 2, 3])), "class_names has dtype int64", "array of text"),
        (changed(train_labels=LABELS * 0), "no train images of class 1 (class 1), 2", "to train"),
        (changed(test_labels=LABELS * 0), "no test images of class 1", "Add images"),
        (changed(val_labels=LABELS * 0), "no val images of class 1", "Add images"),
        (changed(val_images=IMAGES[:0], val_labels=LABELS[:0]), "empty", "never on test"),
        (changed(test_images=IMAGES[:0], test_labels=LABELS[:0]), "empty", "Put some images"),
    ],
)
def test_bad_arrays_are_refused_with_advice(arrays, wrong, to_do):
    with pytest.raises(InputError) as refusal:
        from_arrays("mine", arrays)
    assert str(refusal.value).startswith("mine: ")
    assert wrong in str(refusal.value)
    assert to_do in str(refusal.value)
