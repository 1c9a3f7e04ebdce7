"""How data sets become sessions: order, numbering, and who is refused."""

from pathlib import Path

import numpy as np
import pytest
from helpers import small_arrays

from dynammo.data.make_stream import make_stream, repeated_images
from dynammo.data.npz import load_npz
from dynammo.errors import InputError
from dynammo.stream import SPLITS

# Images of each class; different in each split so that mixing splits up would show.
PER_CLASS = {"train": 3, "val": 1, "test": 2}


def save_set(name: str, classes: int, size: int = 4, mark: int = 0, names=None) -> None:
    """Write ``name.npz``; each pixel of an image holds mark + 10 * class + which of its class."""
    arrays = {}
    for split in SPLITS:
        labels = np.tile(np.arange(classes), PER_CLASS[split])
        which = np.repeat(np.arange(PER_CLASS[split]), classes)
        values = (mark + 10 * labels + which).astype(np.uint8)
        arrays[f"{split}_images"] = np.broadcast_to(
            values[:, None, None, None], (len(values), size, size, 3)
        )
        arrays[f"{split}_labels"] = labels
    arrays["class_names"] = np.array(names or [f"{name} {label}" for label in range(classes)])
    np.savez(f"{name}.npz", **arrays)


@pytest.fixture(autouse=True)
def sets(tmp_path, monkeypatch):
    """A current folder with three small sets, and an empty data folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DYNAMMO_DATA", str(tmp_path / "data"))
    save_set("five", 5)
    save_set("three", 3, mark=100)
    save_set("big", 2, size=8)


def original_class(stream, split: str) -> np.ndarray:
    """The class written into the pixels of `save_set`'s "five", read back."""
    return getattr(stream, split).images[:, 0, 0, 0] // 10


def test_one_set_in_sessions_of_two_with_a_smaller_last():
    stream = make_stream("five.npz", order_seed=1993)
    order = np.random.RandomState(1993).permutation(5)
    assert stream.name == "five"
    assert stream.sessions == ((0, 1), (2, 3), (4,))
    assert stream.original_labels == tuple(order)
    assert stream.class_names == tuple(f"five {label}" for label in order)
    assert stream.session_of_class.tolist() == [1, 1, 2, 2, 3]
    assert [stream.classes_seen(session) for session in (1, 2, 3)] == [2, 4, 5]
    assert stream.classes(3) == (4,)
    assert (stream.number_of_sessions, stream.number_of_classes, stream.image_size) == (3, 5, 4)
    assert stream.order_seed == 1993
    assert not stream.synthetic
    for split in SPLITS:  # each image still shows the class that its new label stands for
        np.testing.assert_array_equal(
            order[getattr(stream, split).labels], original_class(stream, split)
        )


def test_class_order_is_the_released_codes():
    save_set("hundred", 100)
    stream = make_stream("hundred.npz", 10, order_seed=1993)
    np.random.seed(1993)  # noqa: NPY002 - the released code's own way
    assert stream.original_labels == tuple(np.random.permutation(100))  # noqa: NPY002
    assert stream.original_labels[:4] == (68, 56, 78, 8)  # known from iCaRL's successors
    assert make_stream("hundred.npz", 10, order_seed=1).original_labels != stream.original_labels


def test_joined_sets_come_as_typed_one_session_each():
    stream = make_stream("three.npz + five.npz", order_seed=2)
    assert stream.name == "three+five"
    assert stream.sessions == ((0, 1, 2), (3, 4, 5, 6, 7))
    of_three, of_five = (np.random.RandomState(2).permutation(n) for n in (3, 5))
    assert stream.original_labels == (*of_three, *(3 + of_five))
    assert stream.class_names[0] == f"three {of_three[0]}"
    assert stream.class_names[3] == f"five {of_five[0]}"
    first = stream.train.images[stream.indices("train", [1])][:, 0, 0, 0]
    second = stream.train.images[stream.indices("train", [2])][:, 0, 0, 0]
    assert first.min() == 100
    assert second.max() == 42
    labels = stream.train.labels[stream.indices("train", [2])]
    np.testing.assert_array_equal(of_five[labels - 3], second // 10)


def test_joined_sets_are_each_cut_on_their_own():
    stream = make_stream("five.npz+three.npz", 2)
    assert stream.sessions == ((0, 1), (2, 3), (4,), (5, 6), (7,))


def test_only_shared_class_names_get_the_name_of_their_set():
    save_set("lung", 2, names=["normal", "tumour"])
    save_set("colon", 2, names=["normal", "polyp"])
    stream = make_stream("lung.npz+colon.npz")
    assert set(stream.class_names) == {"lung: normal", "tumour", "colon: normal", "polyp"}


def test_medmnist4_is_four_sets_of_the_size_asked_for(monkeypatch):
    loaded = []

    def stand_in(spec, **options):
        loaded.append(spec)
        set_name = spec.partition("@")[0]
        save_set(set_name, 2)
        return load_npz(f"{set_name}.npz")

    monkeypatch.setattr("dynammo.data.make_stream.load_data_set", stand_in)
    stream = make_stream("medmnist4@28")
    assert loaded == ["bloodmnist@28", "organamnist@28", "pathmnist@28", "tissuemnist@28"]
    assert stream.name == "medmnist4@28"
    assert stream.number_of_sessions == 4


def test_train_per_class_keeps_the_first_images_and_leaves_the_rest_alone():
    whole, short = make_stream("five.npz"), make_stream("five.npz", train_per_class=2)
    assert len(short.train) == 10
    assert set(short.train.images[:, 0, 0, 0] % 10) == {0, 1}
    np.testing.assert_array_equal(short.test.images, whole.test.images)
    np.testing.assert_array_equal(short.val.labels, whole.val.labels)
    assert short.checksum == whole.checksum
    assert len(make_stream("five.npz", train_per_class=99).train) == len(whole.train)


def test_phantom_passes_its_options_on_and_stays_marked_as_synthetic():
    few = {"train": 2, "val": 1, "test": 1}
    stream = make_stream("phantom@32", phantom_seed=5, phantom_per_class=few)
    assert stream.synthetic
    assert (stream.number_of_sessions, len(stream.train)) == (4, 16)
    again = make_stream("phantom@32", order_seed=9, phantom_seed=5, phantom_per_class=few)
    other = make_stream("phantom@32", phantom_seed=6, phantom_per_class=few)
    assert again.checksum == stream.checksum != other.checksum
    save_set("square", 2, size=32)
    joined = make_stream("square.npz+phantom@32", phantom_per_class=few)
    assert joined.synthetic


def test_images_that_are_trained_on_as_well_are_counted():
    arrays = small_arrays(classes=4)
    np.savez("apart.npz", **arrays)
    assert repeated_images(make_stream("apart.npz")) == {}
    arrays["test_images"][[1, 6]] = arrays["train_images"][[3, 3]]
    np.savez("shared.npz", **arrays)
    assert repeated_images(make_stream("shared.npz")) == {"test": 2}
    arrays["val_images"][0] = arrays["train_images"][7]
    np.savez("both.npz", **arrays)
    assert repeated_images(make_stream("both.npz")) == {"val": 1, "test": 2}


@pytest.mark.parametrize(
    ("spec", "options", "wrong", "to_do"),
    [
        ("five.npz", {"classes_per_session": 0}, "classes_per_session is 0", "1 or more"),
        ("five.npz", {"classes_per_session": 6}, "only 5 classes", "fewer classes per session"),
        ("five.npz", {"classes_per_session": 5}, "its only session", "smaller classes_per_session"),
        ("big.npz", {}, "its only session", "join several sets"),
        ("five.npz+three.npz", {"classes_per_session": 4}, "three has only 3", "Pass fewer"),
        ("five.npz", {"order_seed": -1}, "order_seed is -1", "from 0"),
        ("five.npz", {"order_seed": 2**32}, "order_seed is", "from 0"),
        ("five.npz", {"split_seed": 2**32}, "split_seed is", "from 0"),
        ("five.npz", {"train_per_class": 0}, "train_per_class is 0", "1 or more"),
        ("five.npz+", {}, "empty part", "on each side of every '+'"),
        ("five.npz++big.npz", {}, "empty part", "on each side of every '+'"),
        ("  ", {}, "empty part", "Name a data set"),
        ("five.npz+big.npz", {}, "five 4 px, big 8 px", "same @size"),
        (
            "five.npz+three.npz+./five.npz",
            {},
            "five is joined more than once",
            "Name each set once",
        ),
        ("a+b.npz", {}, "'+' joins data sets", "Rename it"),
        ("five.npz+fantom", {}, "no data set 'fantom'", "Did you mean phantom?"),
    ],
)
def test_bad_streams_are_refused_with_advice(spec, options, wrong, to_do):
    Path("a+b.npz").touch()
    with pytest.raises(InputError) as refusal:
        make_stream(spec, **options)
    assert wrong in str(refusal.value)
    assert to_do in str(refusal.value)


def test_joined_sets_may_come_in_turn_and_what_is_left_over_shares_sessions(tmp_path):
    for name, classes, shade in (("a", 5, 10), ("b", 3, 100)):
        images = {f"{s}_images": np.zeros((2 * classes, 8, 8, 3), np.uint8) for s in SPLITS}
        for split in SPLITS:  # the shade says which set and class an image is of
            images[f"{split}_labels"] = labels = np.repeat(np.arange(classes), 2)[:, None]
            images[f"{split}_images"] += (shade + labels[:, :, None, None]).astype(np.uint8)
        np.savez(tmp_path / f"{name}.npz", **images)
    spec = f"{tmp_path}/a.npz+{tmp_path}/b.npz"
    stream = make_stream(spec, 2, order_seed=3, sets_in_turn=True)
    assert [len(session) for session in stream.sessions] == [2, 2, 2, 2]
    shades = [
        {int(x) for x in stream.train.images[stream.indices("train", t)][:, 0, 0, 0]}
        for t in range(1, 5)
    ]
    sources = [{"a" if shade < 100 else "b" for shade in session} for session in shades]
    assert sources == [{"a"}, {"b"}, {"a"}, {"a", "b"}]
    assert len(set.union(*shades)) == 8
    after = make_stream(spec, 2, order_seed=3)  # the same classes in each set's own order
    assert [len(session) for session in after.sessions] == [2, 2, 1, 2, 1]
    assert sorted(after.original_labels) == sorted(stream.original_labels) == list(range(8))
    assert after.original_labels[:5] == tuple(x for x in stream.original_labels if x < 5)
    whole = make_stream(spec, order_seed=3, sets_in_turn=True)  # a set is a session, in turn or not
    assert [len(session) for session in whole.sessions] == [5, 3]
    for one in (stream, after, whole):
        for label in range(8):
            own = one.train.images[one.train.labels == label][:, 0, 0, 0]
            old = one.original_labels[label]
            assert set(own.tolist()) == {10 + old if old < 5 else 100 + old - 5}
