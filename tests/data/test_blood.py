"""The cells that come with the project: as they came, real, and ready in seconds."""

import numpy as np
import pytest
from PIL import Image

from dynammo.data import blood
from dynammo.data.make_stream import make_stream
from dynammo.errors import InputError


def test_they_are_the_images_that_were_embedded():
    data_set = blood.load_blood()  # refuses any other pixel, label or order
    assert [len(data_set.train), len(data_set.val), len(data_set.test)] == [2400, 400, 800]
    assert not data_set.synthetic and data_set.image_size == 64
    assert all((np.bincount(part.labels) == len(part) // 8).all()
               for part in (data_set.train, data_set.val, data_set.test))  # fmt: skip


def test_a_stream_of_them_needs_no_download():
    stream = make_stream("blood", classes_per_session=2)
    assert stream.name == "blood" and stream.number_of_sessions == 4
    assert sorted(stream.class_names) == list(blood.CLASS_NAMES)
    with pytest.raises(InputError, match="Type blood without a size"):
        make_stream("blood@28")


def test_a_sheet_that_changed_is_refused(tmp_path, monkeypatch):
    for path in blood.FOLDER.glob("*.webp"):
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.setattr(blood, "FOLDER", tmp_path)
    sheet = tmp_path / "val_platelet.webp"
    with Image.open(sheet) as image:
        pixels = np.array(image)
    pixels[0, 0] += 1
    sheet.unlink()
    Image.fromarray(pixels).save(sheet, lossless=True)
    with pytest.raises(InputError, match="not as they came"):
        blood.load_blood()
    Image.fromarray(pixels[:-1]).save(sheet, lossless=True)
    with pytest.raises(InputError, match="val_platelet.webp cannot be read"):
        blood.load_blood()
    sheet.unlink()
    with pytest.raises(InputError, match="val_platelet.webp cannot be read"):
        blood.load_blood()
