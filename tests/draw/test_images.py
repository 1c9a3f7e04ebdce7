"""Pictures of the data name its classes and sessions and count its images."""

from types import SimpleNamespace

import numpy as np
import pytest
from helpers_for_draw import NOTE, words

from dynammo.draw.images import class_balance, memory_sheet, sample_sheet


@pytest.fixture
def stream():
    splits = {
        name: SimpleNamespace(
            images=np.full((3 * size, 8, 8, 3), 40, np.uint8), labels=np.repeat(range(3), size)
        )
        for name, size in (("train", 5), ("val", 2), ("test", 3))
    }
    return SimpleNamespace(
        **splits,
        class_names=("platelet", "immature granulocyte", "basophil"),
        number_of_classes=3,
        number_of_sessions=2,
        session_of_class=np.array([1, 1, 2]),
        image_size=8,
    )


def test_stream_figures_name_classes_and_sessions(stream):
    sheet = sample_sheet(stream, NOTE, per_class=4)
    assert len(sheet.axes[0].get_images()) == 3
    assert "Session 2" in words(sheet) and "immature\ngranulocyte" in words(sheet)
    balance = class_balance(stream, NOTE)
    heights = [bar.get_height() for bars in balance.axes[0].containers for bar in bars]
    assert heights == [5] * 3 + [2] * 3 + [3] * 3


def test_the_memory_shows_what_was_kept_and_what_was_given_up(stream):
    stream.train.images[:, 0, 0, 0] = np.arange(15)  # to know them by
    kept = [
        {0: np.array([4, 1, 0]), 1: np.array([7, 5, 9])},
        {0: np.array([4, 1]), 1: np.array([7, 5]), 2: np.array([12, 10])},
    ]
    figure = memory_sheet(stream, kept, NOTE)
    (ax,) = figure.axes
    shown = ax.get_images()
    assert [int(image.get_array()[0, 0, 0]) for image in shown] == [4, 1, 0, 7, 5, 9, 12, 10]
    assert [image.get_alpha() == 1 for image in shown] == [True, True, False] * 2 + [True, True]
    cuts = {line.get_xdata()[0] for line in ax.get_lines()}
    assert cuts == {3, 2}  # how many each class had after either session
    assert "left after session" in words(figure) and "immature\ngranulocyte" in words(figure)


def test_a_large_memory_is_shown_in_part(stream):
    kept = [{0: np.arange(5), 1: np.arange(5, 10)}, dict.fromkeys(range(3), np.arange(4))]
    kept[0][0] = np.tile(np.arange(5), 10)  # 50 images
    figure = memory_sheet(stream, kept, NOTE, rows=2)
    assert len(figure.axes[0].get_images()) == 24 + 5
