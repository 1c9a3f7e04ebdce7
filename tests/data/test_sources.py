"""Names and paths of data sets. A server on this machine stands in for the internet."""

from pathlib import Path

import pytest
from helpers import cifar100_archive, md5, npz_bytes, write
from PIL import Image

from dynammo.data import sources
from dynammo.data.make_stream import make_stream
from dynammo.data.npz import load_npz
from dynammo.data.sources import convert_cifar100, data_folder, load_data_set, medmnist_info
from dynammo.errors import InputError
from dynammo.stream import SPLITS

FEW = {"train": 2, "val": 1, "test": 1}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty data folder and an empty current folder, so that no real file is ever touched."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DYNAMMO_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def test_data_folder_follows_the_environment(home, monkeypatch):
    assert data_folder() == home
    monkeypatch.delenv("DYNAMMO_DATA")
    assert data_folder() == home.parent / ".medmnist"


@pytest.mark.parametrize(("spec", "suffix"), [("bloodmnist@28", ""), ("bloodmnist", "_64")])
def test_medmnist_set_is_downloaded_under_its_own_file_name(
    server, home, monkeypatch, spec, suffix
):
    content = npz_bytes(8, size=28 if suffix == "" else 64)
    server.files[f"/bloodmnist{suffix}.npz"] = content
    info = medmnist_info()
    info["bloodmnist"][f"url{suffix}"] = f"{server.url}/bloodmnist{suffix}.npz?download=1"
    info["bloodmnist"][f"MD5{suffix}"] = md5(content)
    monkeypatch.setattr(sources, "medmnist_info", lambda: info)

    data_set = load_data_set(spec)
    assert data_set.name == spec
    assert data_set.image_size == (28 if suffix == "" else 64)
    assert data_set.class_names[0] == "basophil"
    assert [file.name for file in home.iterdir()] == [f"bloodmnist{suffix}.npz"]
    assert load_data_set(spec).checksum() == data_set.checksum()
    assert len(server.asked) == 1


def test_medmnist_links_are_those_of_the_package():
    blood = medmnist_info()["bloodmnist"]
    assert blood["url_64"] == (
        "https://zenodo.org/records/10519652/files/bloodmnist_64.npz?download=1"
    )
    assert blood["MD5"] == "7053d0359d879ad8a5505303e11de1dc"


def test_phantom_is_drawn_and_says_so():
    data_set = load_data_set("phantom@32", phantom_seed=3, phantom_per_class=FEW)
    assert data_set.synthetic
    assert data_set.image_size == 32
    assert (data_set.name, data_set.number_of_classes) == ("phantom@32", 8)
    assert [len(data_set.train), len(data_set.val), len(data_set.test)] == [16, 8, 8]
    other = load_data_set("phantom@32", phantom_seed=4, phantom_per_class=FEW)
    assert other.checksum() != data_set.checksum()


def test_drawn_images_are_kept_and_told_apart_by_all_that_they_depend_on(tmp_path, monkeypatch):
    def checksum(size=32, seed=3, **counts):
        options = {"phantom_seed": seed, "phantom_per_class": FEW | counts}
        return load_data_set(f"phantom@{size}", **options, cache=tmp_path / "kept").checksum()

    kinds = [{}, {"size": 28}, {"seed": 4}, *({split: 3} for split in SPLITS)]
    drawn = [checksum(**kind) for kind in kinds]
    assert len(set(drawn)) == len(kinds)
    monkeypatch.setattr(sources.phantom, "draw_phantom", None)  # drawing again would fail
    assert [checksum(**kind) for kind in kinds] == drawn


def test_own_npz_is_found_here_first_and_then_in_the_data_folder(home):
    write(home / "cells.npz", npz_bytes(3))
    assert load_data_set("cells.npz").number_of_classes == 3
    write(Path("cells.npz"), npz_bytes(2))
    assert load_data_set("cells.npz").number_of_classes == 2
    assert load_data_set(str(home / "cells.npz")).number_of_classes == 3


@pytest.mark.parametrize(("place", "spec"), [("here/mine", "mine"), ("data/skin8", "skin8")])
def test_image_folders_take_a_size(home, place, spec):
    for split in SPLITS:
        for class_name in ("a", "b"):
            folder = home.parent / place / split / class_name
            folder.mkdir(parents=True)
            Image.new("RGB", (20, 20)).save(folder / "1.png")
    assert load_data_set(spec).image_size == 64
    assert load_data_set(f"{spec}@16").image_size == 16
    assert load_data_set(spec).name == spec


def test_sub_sets_in_folders_are_a_session_each(home):
    for part, names in (("colon", "ab"), ("breast", "cd")):
        for split in SPLITS:
            for class_name in names:
                folder = home / "path16" / part / split / class_name
                folder.mkdir(parents=True)
                Image.new("RGB", (9, 9)).save(folder / "1.png")
    stream = make_stream("path16@16")
    assert stream.name == "path16@16" and stream.image_size == 16
    assert stream.sessions == ((0, 1), (2, 3))
    assert set(stream.class_names[:2]) == {"c", "d"}  # breast comes before colon


def test_cifar100_is_converted_with_the_last_images_held_out(tmp_path):
    records = cifar100_archive(tmp_path / "archive.tar.gz")
    convert_cifar100(tmp_path / "archive.tar.gz", tmp_path / "cifar100.npz", val_per_class=1)
    data_set = load_npz(tmp_path / "cifar100.npz")
    assert data_set.class_names[42] == "name42"
    assert [len(data_set.train), len(data_set.val), len(data_set.test)] == [300, 100, 100]
    # The fourth round of classes is the last image of each.
    assert data_set.val.labels.tolist() == list(range(100))
    row, column, colour = 5, 9, 2
    pixel = 2 + colour * 1024 + row * 32 + column
    assert (data_set.val.images[:, row, column, colour] == records[300:, pixel]).all()
    assert (data_set.train.images[:, row, column, colour] == records[:300, pixel]).all()
    assert sorted(file.name for file in tmp_path.glob("*cifar*")) == ["cifar100.npz"]


def test_part_of_cifar100_does_not_pass_for_the_whole(home, server, monkeypatch):
    home.mkdir()
    cifar100_archive(home / "archive")
    content = (home / "archive").read_bytes()
    server.files["/cifar-100-binary.tar.gz"] = content
    monkeypatch.setattr(sources, "CIFAR100_URL", f"{server.url}/cifar-100-binary.tar.gz")
    monkeypatch.setattr(sources, "CIFAR100_HASH", f"md5:{md5(content)}")
    monkeypatch.setattr(sources.convert_cifar100, "__defaults__", (1,))
    for _ in range(2):
        with pytest.raises(InputError, match=r"\[300, 100, 100\].*not the whole.*another name"):
            load_data_set("cifar100")
    assert server.asked == ["/cifar-100-binary.tar.gz"]
    assert load_data_set("cifar100.npz").number_of_classes == 100  # a part, used on purpose


@pytest.mark.parametrize(
    ("spec", "wrong", "to_do"),
    [
        ("bloodmist", "no data set 'bloodmist'", "Did you mean bloodmnist"),
        ("bloodmnist@big", "no data set", "with @size where sizes exist"),
        ("", "no data set", "Use one of blood, phantom, "),
        ("bloodmnist@32", "does not come in 32 px", "bloodmnist@28, bloodmnist@64"),
        ("chestmnist", "several labels", "single-label"),
        ("organmnist3d@64", "volumes", "2D set"),
        ("phantom@0", "0 px", "phantom@64"),
        ("cifar100@64", "32 px", "without a size"),
        ("skin8", "ISIC 2019", "data/skin8/train/<class>/"),
        ("path16", "TCGA_STD (4 classes)", "data/path16/train/<class>/"),
        ("no/such.npz", "There is no no/such.npz", "Check the path"),
        ("no/such/folder@32", "There is no no/such/folder", "Check the path"),
        ("~nobody-here/x.npz", "There is no ~nobody-here", "Check the path"),
        ("there.npz@32", "size of its arrays", "Leave out @32"),
        ("notes.txt", "not a complete npz", "np.savez"),
    ],
)
def test_bad_specifications_are_refused_with_advice(spec, wrong, to_do):
    write(Path("there.npz"), npz_bytes(2))
    write(Path("notes.txt"), b"notes")
    with pytest.raises(InputError) as refusal:
        load_data_set(spec)
    assert wrong in str(refusal.value)
    assert to_do in str(refusal.value)
