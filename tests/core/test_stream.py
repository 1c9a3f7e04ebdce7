"""Streams and selections of images: which images are whose, and nothing read that is not asked."""

import numpy as np
import pytest

from dynammo.data.make_stream import Joined
from dynammo.errors import InputError
from dynammo.stream import SPLITS, Selection, Split, Stream, session_of_class

# Images of each class; different in each split so that mixing splits up would show.
PER_CLASS = {"train": 3, "val": 1, "test": 2}


def five_classes() -> Stream:
    """Five classes in sessions of two and a last one, the classes of a split taking turns."""
    splits = {
        split: Split(np.zeros((5 * count, 4, 4, 3), np.uint8), np.tile(np.arange(5), count))
        for split, count in PER_CLASS.items()
    }
    return Stream(
        name="five",
        **splits,
        class_names=tuple("abcde"),
        sessions=((0, 1), (2, 3), (4,)),
        original_labels=(3, 0, 1, 4, 2),
        order_seed=3,
        synthetic=False,
        checksum="",
    )


FIVE = five_classes()


def test_indices_find_the_images_of_sessions():
    for split in SPLITS:
        labels = getattr(FIVE, split).labels
        assert len(FIVE.indices(split, [1])) == 2 * PER_CLASS[split]
        assert set(labels[FIVE.indices(split, range(1, 3))]) == {0, 1, 2, 3}
        assert set(labels[FIVE.indices(split, 3)]) == {4}
        assert FIVE.indices(split, range(1, 4)).tolist() == list(range(len(labels)))
    mixed = FIVE.indices("test", iter([3, 1]))
    assert mixed.tolist() == sorted(mixed)
    assert FIVE.indices("test", []).tolist() == []


@pytest.mark.parametrize("session", [0, 4, -1])
def test_sessions_are_numbered_from_one(session):
    with pytest.raises(InputError, match=r"numbered 1\.\.3"):
        FIVE.classes(session)
    with pytest.raises(InputError, match=r"numbered 1\.\.3"):
        FIVE.indices("train", [session])


def test_unknown_split_is_refused():
    with pytest.raises(InputError, match="Use one of train, val, test"):
        FIVE.indices("validation", [1])


def test_every_class_knows_its_session():
    assert FIVE.session_of_class.tolist() == [1, 1, 2, 2, 3]
    assert session_of_class([[0, 1, 2], [3]]).tolist() == [1, 1, 1, 2]
    assert [FIVE.classes_seen(session) for session in (1, 2, 3)] == [2, 4, 5]


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
    selection = Selection(Joined(parts), positions)
    assert len(selection) == 8
    assert selection.shape == (8, 2, 2, 3)
    np.testing.assert_array_equal(selection[which], expected[which])
    np.testing.assert_array_equal(np.asarray(selection), expected)
    np.testing.assert_array_equal(Joined([selection])[which], expected[which])
    nested = Selection(selection, np.array([5, 1]))
    np.testing.assert_array_equal(np.asarray(nested), expected[[5, 1]])


def test_a_selection_reads_nothing_but_what_is_asked_for():
    class Watched(np.ndarray):
        asked = 0

        def __getitem__(self, which):
            Watched.asked += len(which)
            return np.asarray(self)[which]

    joined = Joined([numbered(100).view(Watched), numbered(50).view(Watched)])
    selection = Selection(joined, np.arange(20, 140))
    assert Watched.asked == 0
    selection[70:90]
    assert Watched.asked == 20
