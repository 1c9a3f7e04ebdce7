"""Pictures of the data name its classes and sessions and count its images."""

from types import SimpleNamespace

import numpy as np
import pytest
from helpers_for_draw import NOTE, words

from dynammo.draw.images import class_balance, sample_sheet


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
