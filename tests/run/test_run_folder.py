"""What a run's settings decide: its stream, its backbone, and how many of its seeds are taken."""

import numpy as np
import pytest
from helpers import write_images

from dynammo.data.files import write_json
from dynammo.run.run_folder import load_stream, open_setup, settings_of


@pytest.fixture
def folder(tmp_path):
    """Images of two classes without splits."""
    generator = np.random.default_rng(0)
    for name in ("a", "b"):
        write_images(tmp_path / "photos" / name, 12, generator)
    return tmp_path / "photos"


def test_settings_of_the_data_decide_the_stream(tiny_settings, blobs_npz, folder, tmp_path):
    def stream(order_seed=0, **changes):
        return load_stream(tiny_settings.with_changes(changes), order_seed)

    as_is = stream()
    assert stream(1).original_labels != as_is.original_labels
    assert stream(classes_per_session=1).number_of_sessions == 4
    assert len(stream(train_per_class=5).train) == 4 * 5
    few = {"stream": "phantom@16", "phantom_train": 3, "phantom_val": 1, "phantom_test": 2}
    drawn = stream(**few)
    assert [len(split) for split in (drawn.train, drawn.val, drawn.test)] == [24, 8, 16]
    assert stream(**few, phantom_seed=1).checksum != drawn.checksum
    split = {"stream": str(folder), "classes_per_session": 1}
    assert stream(**split, split_seed=1).checksum != stream(**split).checksum
    other = tmp_path / "other.npz"
    other.write_bytes(blobs_npz.read_bytes())
    joined = {"stream": f"{blobs_npz}+{other}", "classes_per_session": 2}
    after, in_turn = (stream(**joined, sets_in_turn=on).original_labels for on in (False, True))
    assert [old // 4 for old in after] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert [old // 4 for old in in_turn] == [0, 0, 1, 1, 0, 0, 1, 1]


def test_images_are_enlarged_as_the_settings_say(tiny_settings, tmp_path):
    plain, larger = (
        open_setup(tmp_path, tiny_settings.with_changes({"enlarge_to": size}), 0, 1)
        for size in (0, 64)
    )
    image = plain.stream.test.images[:1]
    assert plain.backbone.normalise(image).shape[2:] == image.shape[1:3]
    assert larger.backbone.normalise(image).shape[2:] == (64, 64)


@pytest.mark.parametrize(
    ("runs", "orders", "seeds"),
    [
        (0, (3, 4, 5), (1, 2)),
        (1, (3,), (1,)),
        (2, (3, 4), (1,)),
        (3, (3, 4, 5), (1,)),
        (6, (3, 4, 5), (1, 2)),
    ],
)
def test_fewer_runs_take_class_orders_first(tiny_settings, tmp_path, runs, orders, seeds):
    settings = tiny_settings.with_changes({"order_seeds": [3, 4, 5], "train_seeds": [1, 2]})
    write_json(tmp_path / "settings.json", settings.as_dict())
    found = settings_of(tmp_path, runs)
    assert (found.order_seeds, found.train_seeds) == (orders, seeds)
