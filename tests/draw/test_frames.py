"""A slider goes through pictures in a page of its own, without a kernel."""

import base64
import re
from io import BytesIO

import pytest
from helpers_for_draw import NOTE
from PIL import Image

from dynammo.draw import style
from dynammo.draw.frames import Frames
from dynammo.errors import InputError


def test_all_pictures_are_in_the_page_and_one_is_shown():
    pictures = {f"w = {w}": style.canvas(NOTE, 3 + w, 2)[0] for w in range(3)}
    page = Frames(pictures, start="w = 1")._repr_html_()
    images = re.findall(r'<img alt="(w = \d)".*?base64,([\w+/=]+)"( hidden)?>', page)
    assert [(name, bool(hidden)) for name, _, hidden in images] == [
        ("w = 0", True),
        ("w = 1", False),
        ("w = 2", True),
    ]
    widths = [Image.open(BytesIO(base64.b64decode(data))).width for _, data, _ in images]
    assert widths == sorted(widths) and len(set(widths)) == 3
    assert 'min="0" max="2" value="1"' in page and "<output> w = 1</output>" in page
    assert "://" not in page  # nothing is fetched


def test_names_are_text_and_not_html():
    page = Frames({'a < "b"': style.canvas(NOTE, 3, 2)[0]}, start='a < "b"')._repr_html_()
    assert "a &lt; &quot;b&quot;" in page and 'a < "b"' not in page


@pytest.mark.parametrize("pictures", [{}, {"a": None}])
def test_a_start_that_is_not_there_is_refused(pictures):
    with pytest.raises(InputError, match="Start with one of"):
        Frames(pictures, start="b")
