"""What grows with the sessions, from numbers made up and from a small stream."""

import numpy as np
import pytest

from dynammo.data.make_stream import make_stream
from dynammo.measure.growth import growth_rows, many_classes, patterned_images, storage_row


def test_the_last_ten_sessions_against_sessions_3_to_12():
    # The first two are dear and do not count; nor do those between.
    learning = [9.0, 9.0, *[2.0] * 10, *[50.0] * 8, *[2.1] * 10]
    rows = [{"learning": one, "memory": 100 * one, "test": 1 + i} for i, one in enumerate(learning)]
    found = list(growth_rows(rows, "resnet18", accuracy=0.25))
    assert [row["ratio"] for row in found] == pytest.approx([1.05, 1.05, 25.5 / 7.5])
    assert [row.get("at_most") for row in found] == [1.1, 1.1, None]
    assert [row["note"] for row in found] == [
        *("2.10 and 2.00 s", "210.00 and 200.00 MB"),
        "25.50 and 7.50 s; 25 % right in the end",
    ]
    assert found[0]["what"].startswith("30 sessions: ")


def test_many_classes_are_a_stream_of_easy_ones(tmp_path):
    many_classes(tmp_path / "many.npz", 6, 32)
    stream = make_stream(str(tmp_path / "many.npz"), classes_per_session=2, order_seed=0)
    assert (stream.number_of_sessions, stream.number_of_classes, len(stream.test)) == (3, 6, 12)
    train, test = (part.images.astype(float) for part in (stream.train, stream.test))
    far = [np.square(train - image).mean(axis=(1, 2, 3)).argmin() for image in test]
    assert np.array_equal(stream.train.labels[far], stream.test.labels)  # nearest in pixels
    assert not set(map(bytes, stream.train.images)) & set(map(bytes, stream.test.images))


def test_patterns_are_of_a_class_and_noise_of_an_image():
    labels = np.array([0, 0, 1])
    first, again, other = patterned_images(labels, 16).astype(float)
    assert 0 < np.abs(first - again).mean() < 40 < np.abs(first - other).mean()
    assert np.array_equal(patterned_images(labels, 16)[0], first)


def test_the_merged_network_takes_the_same_bytes_after_any_session(random_resnet):
    row = storage_row(random_resnet, 32, 1, 3)
    assert row["ratio"] == 1 == row["at_most"]
    assert "44" < row["note"] < "60"  # MB: ResNet-18 has 11.2 million numbers, and adapters
