"""Reading image files sorted into folders, and what each refusal says."""

import numpy as np
import pytest
from PIL import Image

from dynammo.data.image_folder import load_image_folder
from dynammo.errors import InputError
from dynammo.stream import SPLITS


@pytest.fixture
def folder(tmp_path):
    """A tree of two classes whose images differ in mode and shape."""
    rng = np.random.default_rng(0)
    for split in SPLITS:
        for class_name in ("mole", "naevus"):
            (tmp_path / "skin" / split / class_name).mkdir(parents=True)
            for name, shape in (("b.png", (40, 20, 3)), ("a.PNG", (10, 12)), ("c.tif", (9, 9, 4))):
                image = Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))
                image.save(tmp_path / "skin" / split / class_name / name)
    (tmp_path / "skin" / "train" / ".DS_Store").touch()
    (tmp_path / "skin" / "train" / "mole" / "._a.png").touch()
    return tmp_path / "skin"


def test_image_folder(folder):
    data_set = load_image_folder(folder, 16)
    assert data_set.name == "skin"
    assert data_set.class_names == ("mole", "naevus")
    assert data_set.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert data_set.test.images.shape == (6, 16, 16, 3)
    # a.PNG comes first and is grey; b.png is cropped to its middle 20 rows.
    grey = data_set.train.images[0]
    np.testing.assert_array_equal(grey[..., 0], grey[..., 2])
    middle = Image.open(folder / "train/mole/b.png").crop((0, 10, 20, 30))
    np.testing.assert_array_equal(
        data_set.train.images[1], np.asarray(middle.resize((16, 16), Image.Resampling.BICUBIC))
    )
    assert load_image_folder(folder).image_size == 64


def remove_val(folder):
    (folder / "val").rename(folder / "valid")


def empty_class(folder):
    for file in (folder / "test" / "mole").iterdir():
        file.unlink()


def extra_class(folder):
    (folder / "test" / "wart").mkdir()
    Image.new("RGB", (8, 8)).save(folder / "test" / "wart" / "a.png")


def cut_off_image(folder):
    file = folder / "train" / "mole" / "b.png"
    file.write_bytes(file.read_bytes()[:200])


def sixteen_bits(folder):
    Image.fromarray(np.full((8, 8), 4000, np.uint16)).save(folder / "train" / "mole" / "d.png")


@pytest.mark.parametrize(
    ("spoil", "wrong", "to_do"),
    [
        (remove_val, "has no folder val", "Sort the images"),
        (empty_class, "no test images of class 0 (mole)", "Add images"),
        (extra_class, "no train images of class 2 (wart)", "leave the class out"),
        (lambda folder: (folder / "train/mole/notes.txt").touch(), "notes.txt is not", "Keep only"),
        (lambda folder: (folder / "train/mole/more").mkdir(), "more is not an image", "Keep only"),
        (lambda folder: (folder / "train/a.png").touch(), "not in a class folder", "Move it"),
        (cut_off_image, "b.png cannot be read", "Replace or remove"),
        (lambda folder: (folder / "val/mole/e.jpg").touch(), "e.jpg cannot be read", "Replace"),
        (sixteen_bits, "more than 8 bits", "Convert it"),
    ],
)
def test_bad_folders_are_refused_with_advice(spoil, wrong, to_do, folder):
    spoil(folder)
    with pytest.raises(InputError) as refusal:
        load_image_folder(folder, 16)
    assert wrong in str(refusal.value)
    assert to_do in str(refusal.value)
