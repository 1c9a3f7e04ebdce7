"""Data larger than memory: unpacked once, mapped, and read only where they are used."""

import subprocess
import sys
import zipfile

import numpy as np
import pytest
from test_data import small_arrays

from dynammo.data import large_files
from dynammo.data.dataset import load_npz
from dynammo.data.make_stream import make_stream
from dynammo.errors import InputError
from dynammo.selection import Selection


def numbered(count: int, first: int = 0) -> np.ndarray:
    """Images [count, 2, 2, 3] whose pixels are their number."""
    return np.broadcast_to(
        np.arange(first, first + count, dtype=np.uint8)[:, None, None, None], (count, 2, 2, 3)
    )


@pytest.mark.parametrize("which", [5, slice(2, 7), np.array([6, 0, 3, 3]), np.arange(8) % 3 == 0])
def test_a_selection_over_several_arrays_is_what_their_concatenation_gives(which):
    parts = [numbered(3), numbered(1, 3), numbered(6, 4)]
    positions = np.array([9, 0, 3, 2, 5, 1, 4, 8])
    expected = np.concatenate(parts)[positions]
    selection = Selection(parts, positions)
    assert len(selection) == 8
    assert selection.shape == (8, 2, 2, 3)
    np.testing.assert_array_equal(selection[which], expected[which])
    np.testing.assert_array_equal(np.asarray(selection), expected)
    nested = Selection([selection], np.array([5, 1]))
    np.testing.assert_array_equal(np.asarray(nested), expected[[5, 1]])


def test_a_selection_reads_nothing_but_what_is_asked_for():
    class Watched(np.ndarray):
        asked = 0

        def __getitem__(self, which):
            Watched.asked += len(which)
            return np.asarray(self)[which]

    selection = Selection([numbered(100).view(Watched), numbered(50).view(Watched)])
    selection = Selection([selection], np.arange(20, 140))
    assert Watched.asked == 0
    selection[70:90]
    assert Watched.asked == 20


@pytest.fixture
def everything_is_large(monkeypatch):
    monkeypatch.setattr(large_files, "LARGE", 1)


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
    monkeypatch.setattr(large_files, "LARGE", 1)
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
    with pytest.raises(InputError, match="cannot be unpacked into"):
        load_npz(path)


# Half of what the images take: the heap may grow by so much and no more.
MEMORY_IS_BOUNDED = """
import resource, sys
from dynammo.data import large_files
from dynammo.data.make_stream import make_stream
large_files.LARGE = 2**20
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
