"""The lecture's slides show the notebooks' code and a run's figures, and need nothing else."""

import re

import pytest
from helpers_for_figures import committed
from PIL import Image

from dynammo.run.places import NOTEBOOKS
from dynammo.run.slides import FIGURE, write_slides

SLIDES = (NOTEBOOKS / "SLIDES.md").read_text()
HEADINGS = re.findall(r"^##+ (.+)", SLIDES, re.MULTILINE)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slides")
    own = folder / "figures"
    own.mkdir()
    Image.new("RGB", (5, 7)).save(own / "confusion.png")  # drawn by a run; the rest is not
    write_slides(NOTEBOOKS / "SLIDES.md", own, folder / "pages")
    return folder / "pages"


def test_every_slide_has_its_heading_and_what_to_say(pages):
    text = (pages / "index.html").read_text()
    headings = re.findall(r"<h[123]>(.+?)</h[123]>", text)
    assert [re.sub("[“”]", '"', found) for found in headings[1:]] == HEADINGS
    assert (
        text.count('<aside class="notes"') == SLIDES.count("{revealjs-notes}") == 1 + len(HEADINGS)
    )
    assert "is not drawn" not in text and text.count("<svg") == SLIDES.count("$$") // 2 + len(
        re.findall(r"(?<!\$)\$[^$]+\$(?!\$)", SLIDES)
    )


def test_code_is_the_notebooks(pages):
    text = (pages / "index.html").read_text()
    wanted = re.findall(r"\{literalinclude\} (\S+)\n:pyobject: (\w+)", SLIDES)
    assert len(wanted) > 10 and text.count("<pre") == len(wanted)
    for name, function in wanted:
        source = (NOTEBOOKS / name).read_text()
        assert len(re.findall(rf"^(?:def|class) {function}\b", source, re.MULTILINE)) == 1
        assert re.search(rf"(?:def|class) {function}\b", text)


def test_figures_are_the_runs_own_where_it_drew_them(pages):
    images = {path.name: Image.open(path).size for path in (pages / "_images").iterdir()}
    assert set(images) == {name.rpartition("/")[2] for _, name in FIGURE.findall(SLIDES)}
    assert images.pop("confusion.png") == (5, 7)
    assert all(width > 500 for width, _ in images.values())


def test_nothing_is_loaded_from_elsewhere(pages):
    text = (pages / "index.html").read_text()
    loaded = re.findall(r'(?:src|href)="([^"#]+)', text)
    assert loaded and not [place for place in loaded if "://" in place or place.startswith("//")]
    assert not [place for place in loaded if not (pages / place.split("?")[0]).exists()]
    styles = [place.split("?")[0] for place in loaded if ".css" in place]
    for style in styles:
        assert not re.search(r"url\(['\"]?(https?:)?//", (pages / style).read_text()), style


def test_the_lecturers_plan_goes_through_all_slides():
    plan = (NOTEBOOKS / "LECTURER.md").read_text().partition("## 90 minutes")[2]
    rows = re.findall(r"^\| \d+ – \d+ \| (.+?) \|", plan, re.MULTILINE)
    named = [name for row in rows for name in re.findall(r'"(.+?)"(?:,| to|$)', row)]
    places = [[heading.strip('"') for heading in HEADINGS].index(name) for name in named]
    assert places == sorted(places) and places[0] == 0 and places[-1] == len(HEADINGS) - 1


def test_what_is_told_of_the_demo_was_measured():
    sessions = committed("figures/demo/sessions.csv")
    shares = 100 * sessions.groupby(["method", "session"])[["accuracy", "session_inference"]].mean()
    right, found = shares.loc[("dynammo", 4)]
    assert f"| the right session is believed | {found:.0f} %" in SLIDES
    assert f"| and its answer is right | {right:.0f} %" in SLIDES
    words = " ".join(SLIDES.split())
    assert f"of {100 - right:.0f} wrong answers in a hundred {100 - found:.0f} are of" in words
    assert abs(shares.accuracy["dynammo_unified_head", 4] - right) < 1
    assert f"and {shares.accuracy['ridge_frozen', 4]:.0f} % are right at the end" in words
    first = 100 * sessions.query("order_seed == 0").set_index(["method", "session"]).accuracy
    fall = {name: first[name, 1] - first[name, 4] for name in ("dynammo", "joint")}
    assert f"falls by {fall['dynammo']:.0f} points over the sessions" in words
    assert f"all images, by {fall['joint']:.0f}" in words
    assert fall["joint"] / fall["dynammo"] == pytest.approx(0.25, abs=0.05)  # "a quarter"
    gaps = committed("figures/demo/intervals.csv").set_index(["method", "other", "measure"])["mean"]
    assert f"ACL is {gaps['acl', 'dynammo', 'last']:.1f} ahead" in words
