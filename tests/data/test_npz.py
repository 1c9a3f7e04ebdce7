"""Files of arrays: what is read, what is refused, and data larger than memory."""

import subprocess
import sys
import zipfile

import numpy as np
import pytest
from helpers import OpensAFile, small_arrays

from dynammo.data import npz
from dynammo.data.make_stream import make_stream
from dynammo.data.npz import load_npz
from dynammo.errors import InputError


def test_npz_brings_its_name_and_class_names(tmp_path):
    np.savez(tmp_path / "cells.npz", class_names=np.array(["x", "y", "z"]), **small_arrays())
    data_set = load_npz(tmp_path / "cells.npz")
    assert data_set.name == "cells"
    assert data_set.class_names == ("x", "y", "z")


def write_text(path):
    path.write_text("labels,images\n")


def write_cut_off(path):
    np.savez(path, **small_arrays())
    path.write_bytes(path.read_bytes()[:-500])


def write_flipped_bytes(path):
    np.savez_compressed(path, **small_arrays(per_class=50))
    content = bytearray(path.read_bytes())
    content[2000:2100] = bytes(100)
    path.write_bytes(bytes(content))


def write_single_array(path):
    with path.open("wb") as file:
        np.save(file, np.arange(3))


def write_pickled(path):
    arrays = small_arrays()
    arrays["train_images"] = np.array([OpensAFile(path.with_name("ran"))], dtype=object)
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    ("write", "wrong", "to_do"),
    [
        (lambda path: None, "There is no file", "Check the path"),
        (lambda path: path.mkdir(), "There is no file", "Check the path"),
        (lambda path: path.touch(), "not a complete npz", "np.savez"),
        (write_text, "not a complete npz", "np.savez"),
        (write_cut_off, "not a complete npz", "Copy or download it again"),
        (write_flipped_bytes, "not a complete npz", "Copy or download it again"),
        (write_single_array, "not a complete npz", "np.savez"),
        (write_pickled, "train_images holds pickled Python objects", "Save plain arrays"),
    ],
)
def test_bad_files_are_refused_with_advice(write, wrong, to_do, tmp_path):
    write(tmp_path / "mine.npz")
    with pytest.raises(InputError) as refusal:
        load_npz(tmp_path / "mine.npz")
    assert "mine.npz" in str(refusal.value)
    assert wrong in str(refusal.value)
    assert to_do in str(refusal.value)
    assert not (tmp_path / "ran").exists()


@pytest.fixture
def everything_is_large(monkeypatch):
    monkeypatch.setattr(npz, "LARGE", 1)


def is_mapped(images: np.ndarray) -> bool:
    while images is not None and not isinstance(images, np.memmap):
        images = images.base
    return images is not None


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("grey", [False, True])
def test_large_arrays_are_mapped_and_the_same(save, grey, tmp_path, monkeypatch):
    arrays = small_arrays()
    if grey:
        arrays |= {k: v[..., 0] for k, v in arrays.items() if k.endswith("images")}
    save(tmp_path / "big.npz", **arrays)
    loaded = load_npz(tmp_path / "big.npz")
    monkeypatch.setattr(npz, "LARGE", 1)
    mapped = load_npz(tmp_path / "big.npz")
    assert is_mapped(mapped.train.images)
    assert not is_mapped(loaded.train.images)
    assert mapped.checksum() == loaded.checksum()
    stream = make_stream(str(tmp_path / "big.npz"), classes_per_session=1)
    assert is_mapped(stream.train.images)


def test_a_file_is_unpacked_once_and_again_when_it_changes(everything_is_large, tmp_path):
    path = tmp_path / "big.npz"
    np.savez_compressed(path, **small_arrays())
    load_npz(path)
    copies = {copy: copy.stat().st_mtime_ns for copy in (tmp_path / "big-unpacked").iterdir()}
    assert len(copies) == 6
    load_npz(path)
    assert copies == {c: c.stat().st_mtime_ns for c in (tmp_path / "big-unpacked").iterdir()}
    np.savez_compressed(path, **small_arrays(per_class=3))
    assert len(load_npz(path).train) == 9
    assert len(list((tmp_path / "big-unpacked").iterdir())) == 6


def test_a_damaged_large_file_is_refused_and_leaves_no_copy(everything_is_large, tmp_path):
    path = tmp_path / "big.npz"
    np.savez(path, **small_arrays(per_class=50))
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        content[archive.getinfo("val_images.npy").header_offset + 500] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="Copy or download it again"):
        load_npz(path)
    assert not list((tmp_path / "big-unpacked").glob("*val_images*"))


def test_a_folder_that_cannot_be_written_to_is_one_clear_error(everything_is_large, tmp_path):
    path = tmp_path / "big.npz"
    np.savez(path, **small_arrays())
    (tmp_path / "big-unpacked").write_text("a file in the way")
    with pytest.raises(InputError, match=r"cannot be written .* Make room there"):
        load_npz(path)


# Half of what the images take: the heap may grow by so much and no more.
MEMORY_IS_BOUNDED = """
import resource, sys
from dynammo.data import npz
from dynammo.data.make_stream import make_stream
npz.LARGE = 2**20
status = open("/proc/self/status").read()
data = 1024 * int(status.split("VmData:")[1].split()[0])
resource.setrlimit(resource.RLIMIT_DATA, (data + 60 * 2**20,) * 2)
stream = make_stream("+".join(sys.argv[1:]), classes_per_session=1)
seen = stream.train.select(stream.indices("train", [1, 2]))
total = sum(int(seen[start : start + 16].sum()) for start in range(0, len(seen), 16))
print(len(stream.train), len(seen), total > 0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_DATA")
def test_memory_is_bounded_for_a_stream_larger_than_it(tmp_path):
    arrays = small_arrays(classes=2, size=4)
    generator = np.random.default_rng(0)
    arrays["train_images"] = generator.integers(0, 256, (400, 224, 224, 3), dtype=np.uint8)
    arrays["train_labels"] = np.arange(400) % 2
    for split in ("val", "test"):
        arrays[f"{split}_images"] = arrays["train_images"][:4]
        arrays[f"{split}_labels"] = np.arange(4) % 2
    for name in ("one", "two"):
        np.savez(tmp_path / f"{name}.npz", **arrays)
    del arrays
    found = subprocess.run(
        [sys.executable, "-c", MEMORY_IS_BOUNDED, tmp_path / "one.npz", tmp_path / "two.npz"],
        capture_output=True,
        text=True,
    )
    assert found.stdout.split() == ["800", "400", "True"], found.stderr
