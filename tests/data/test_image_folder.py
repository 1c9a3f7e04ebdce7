"""Reading image files sorted into folders, and what each refusal says."""

import numpy as np
import pytest
from helpers import write_images
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


def remove_test(folder):
    (folder / "test").rename(folder / "tests")


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
        (remove_test, "has no folder test", "Sort images"),
        (empty_class, "no test images of class 0 (mole)", "Add images"),
        (extra_class, "no train images of class 2 (wart)", "leave the class out"),
        (lambda folder: (folder / "train/mole/notes.txt").touch(), "notes.txt is not", "Keep only"),
        (lambda folder: (folder / "train/mole/more").mkdir(), "more is not an image", "Keep only"),
        (lambda folder: (folder / "train/a.png").touch(), "not in a class folder", "Move it"),
        (cut_off_image, "b.png cannot be read", "Replace or remove"),
        (lambda folder: (folder / "val/mole/e.jpg").touch(), "e.jpg cannot be read", "Replace"),
        (lambda folder: (folder / "train/groups.csv").touch(), "Move", "up, into"),
        (sixteen_bits, "more than 8 bits", "Convert it"),
    ],
)
def test_bad_folders_are_refused_with_advice(spoil, wrong, to_do, folder):
    spoil(folder)
    with pytest.raises(InputError) as refusal:
        load_image_folder(folder, 16)
    assert wrong in str(refusal.value)
    assert to_do in str(refusal.value)


@pytest.fixture
def unsplit(tmp_path):
    """Two classes without splits: 20 and 10 images, of ten patients with three images each."""
    rng = np.random.default_rng(1)
    for name, count in (("mole", 20), ("naevus", 10)):
        write_images(tmp_path / "own" / name, count, rng)
    return tmp_path / "own"


def pixels(split) -> set[bytes]:
    return {image.tobytes() for image in split.images}


def test_a_folder_without_splits_is_split_by_a_seed_every_class_in_its_share(unsplit):
    one, same = (load_image_folder(unsplit, 8) for _ in range(2))
    other = load_image_folder(unsplit, 8, split_seed=1)
    counts = {split: np.bincount(getattr(one, split).labels).tolist() for split in SPLITS}
    assert counts == {"train": [14, 7], "val": [2, 1], "test": [4, 2]}
    assert one.checksum() == same.checksum() != other.checksum()
    assert one.note == "split by seed 0" and other.note == "split by seed 1"
    parts = [pixels(getattr(one, split)) for split in SPLITS]
    assert len(set.union(*parts)) == sum(map(len, parts)) == 30


@pytest.mark.parametrize("rare", [3, 4, 7])
def test_a_rare_class_leaves_the_others_their_shares(rare, tmp_path):
    for name, count in (("common", 100), ("rare", rare)):
        write_images(tmp_path / name, count, np.random.default_rng(0))
    data_set = load_image_folder(tmp_path, 8)
    common, few = zip(
        *(np.bincount(getattr(data_set, split).labels) for split in SPLITS), strict=True
    )
    assert common == pytest.approx((70, 10, 20), abs=3)
    assert min(few) >= 1 and sum(few) == rare


@pytest.fixture
def groups(unsplit):
    """A patient for every image, by its path."""
    files = sorted(file.relative_to(unsplit).as_posix() for file in unsplit.rglob("*.png"))
    return {name: f"patient{i % 10}" for i, name in enumerate(files)}


def write_groups(folder, groups):
    rows = [f"{name},{patient}" for name, patient in groups.items()]
    (folder / "groups.csv").write_text("\n".join(["file,group", *rows]))


def test_groups_stay_within_one_split(unsplit, groups):
    write_groups(unsplit, groups)
    data_set = load_image_folder(unsplit, 8)
    whose = {np.asarray(Image.open(unsplit / n)).tobytes(): p for n, p in groups.items()}
    seen = [{whose[image] for image in pixels(getattr(data_set, split))} for split in SPLITS]
    assert sum(map(len, seen)) == len(set.union(*seen)) == 10
    assert data_set.note == "split by seed 0, 10 groups kept whole"


def test_groups_that_do_not_fit_the_images_are_refused(unsplit, groups):
    (unsplit / "groups.csv").write_text("image,patient\n")
    with pytest.raises(InputError, match="needs the columns file and group"):
        load_image_folder(unsplit, 8)
    name = next(iter(groups))
    write_groups(unsplit, {k: v for k, v in groups.items() if k != name})
    with pytest.raises(InputError, match=f"{name}: which is there, has no group"):
        load_image_folder(unsplit, 8)
    write_groups(unsplit, groups | {name: ""})  # a cell left empty is no patient
    with pytest.raises(InputError, match=f"{name}: which is there, has no group"):
        load_image_folder(unsplit, 8)
    write_groups(unsplit, groups)
    text = (unsplit / "groups.csv").read_text()
    (unsplit / "groups.csv").write_text(text.replace(f"{name},{groups[name]}", name))  # cut short
    with pytest.raises(InputError, match=f"{name}: which is there, has no group"):
        load_image_folder(unsplit, 8)
    (unsplit / "groups.csv").write_text(text.replace("patient1", "Müller"), encoding="latin-1")
    with pytest.raises(InputError, match="save it as CSV UTF-8"):
        load_image_folder(unsplit, 8)
    (unsplit / "groups.csv").write_text(text, encoding="utf-8-sig")  # as Excel saves it
    assert load_image_folder(unsplit, 8).note.endswith("10 groups kept whole")
    write_groups(unsplit, groups | {"elsewhere.png": "patient1"})
    with pytest.raises(InputError, match="elsewhere.png: there is no such image"):
        load_image_folder(unsplit, 8)


def test_groups_in_two_splits_of_ones_own_are_refused(unsplit, groups):
    for split, chosen in (("train", 0), ("test", 1)):
        for i, name in enumerate(groups):
            if i % 2 == chosen:
                (unsplit / split / name).parent.mkdir(parents=True, exist_ok=True)
                (unsplit / name).rename(unsplit / split / name)
    for name in {name.partition("/")[0] for name in groups}:
        (unsplit / name).rmdir()
    apart = {f"{('train', 'test')[i % 2]}/{name}": v for i, (name, v) in enumerate(groups.items())}
    write_groups(unsplit, {name.replace("/", "\\"): patient for name, patient in apart.items()})
    assert len(load_image_folder(unsplit, 8).test) == 15
    write_groups(unsplit, apart | {next(iter(apart)): "patient1"})
    with pytest.raises(InputError, match="group patient1 is in train and in test"):
        load_image_folder(unsplit, 8)


def test_validation_images_are_split_off_training_where_only_they_are_missing(unsplit):
    for split in ("train", "test"):
        (unsplit / split).mkdir()
    for name in ("mole", "naevus"):
        (unsplit / name).rename(unsplit / "train" / name)
        (unsplit / "test" / name).mkdir()
        file = next((unsplit / "train" / name).iterdir())
        file.rename(unsplit / "test" / name / file.name)
    data_set = load_image_folder(unsplit, 8)
    assert [len(data_set.train), len(data_set.val), len(data_set.test)] == [24, 4, 2]
    assert data_set.note == "validation images split off by seed 0"


def test_too_few_images_to_split_are_refused(unsplit):
    for file in sorted((unsplit / "naevus").iterdir())[2:]:
        file.unlink()
    with pytest.raises(InputError, match="class naevus has 2 images, too few to split"):
        load_image_folder(unsplit, 8)
