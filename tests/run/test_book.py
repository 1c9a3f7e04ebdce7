"""The book of a run that was made by hand: what is on its pages, and that every link leads on."""

import base64
import contextlib
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from dynammo.run.book import main, write_book
from dynammo.run.book_sources import Sources
from dynammo.run.chapters import WIDGET, by_chapter

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    "AAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
BAR = (
    "\radapters:   0%|          | 0/10 [00:00<?, ?it/s]\radapters: 100%|██████████| 10/10 [00:03]\n"
)
SOLUTION = "## Solutions\n1. A secret:\n\n```python\nx[0](1)\n```"
# Sphinx and what extends it warn each other of what will be gone.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{kind}")
    for kind in ("DeprecationWarning", "PendingDeprecationWarning")
]


def code(source, *outputs, tags=()):
    return new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})


def said(text):
    return new_output("stream", name="stdout", text=text)


def shown(**data):
    return new_output(
        "display_data", {name.replace("_", "/"): value for name, value in data.items()}
    )


def write(path, *cells):
    path.parent.mkdir(parents=True, exist_ok=True)
    notebook = new_notebook(cells=list(cells), metadata={"papermill": {"duration": 2.5}})
    nbformat.write(notebook, path)
    return path


def session_notebook(run, order, session, title="# 2 · One incremental session"):
    return write(
        run / f"notebooks/02_incremental_session-order{order}-seed1-session{session}.ipynb",
        new_markdown_cell(f"{title}\nKept by herding, unlike [there](03_bounds.ipynb)."),
        code('session: int = 1  # which\nrun_folder: str = "../runs/x"', tags=["parameters"]),
        code(
            f'# Parameters\nsession = {session}\nrun_folder = "{run}"', tags=["injected-parameters"]
        ),
        new_markdown_cell(r"## Merge" "\n" r"$$W_t = \frac1t \sum_i \theta_i$$ with $\theta_i$."),
        code("tune()", said(BAR), said(f"accuracy {90 + session}\n")),
        code("what()", said("the same for all\n")),
        new_markdown_cell("## Exercises\n1. Why?"),
        new_markdown_cell(SOLUTION, metadata={"tags": ["solution"]}),
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """What a run leaves that stopped on its way."""
    run = tmp_path_factory.mktemp("output") / "runs" / "tiny"
    for order, session in ((0, 1), (0, 2), (1, 1)):
        session_notebook(run, order, session)
    widget = new_output("display_data", {WIDGET: {}, "text/plain": "SelectionSlider(options)"})
    ten = run / "notebooks/00_dynammo_in_ten_minutes.ipynb"
    write(ten, new_markdown_cell("# 0 · Ten minutes"), code("slider", widget, widget))
    write(
        run / "notebooks/18_figures.ipynb",
        new_markdown_cell("# 13 · The figures"),
        new_markdown_cell("## After each session\nOver **all** classes.\n\nMore."),
        code('save(x, "accuracy_by_session")', shown(image_png=PIXEL, text_plain="<Figure>")),
    )
    write(run / "notebooks/03_bounds-order0-seed1-joint.failed.ipynb", new_markdown_cell("# 3"))
    graph = {
        "jobs": [[0, 1, ""], [1, 1, ""], [0, 1, "joint"]],
        "number_of_sessions": 2,
        "families": {"joint": "bounds"},
        "ablations": {"dynammo_in_ten_minutes": ten.stem, "memory": ""},
    }
    for name, value in (
        ("graph", graph),
        ("settings", {"adapter_epochs": 3, "stream": "blood"}),
        ("provenance", {"torch": "2.13.0"}),
    ):
        (run / f"{name}.json").write_text(json.dumps(value))
    return run


@pytest.fixture(scope="module")
def figures(run):
    figures = run.parents[1] / "figures" / "tiny"
    figures.mkdir(parents=True)
    (figures / "accuracy_by_session.png").write_bytes(base64.b64decode(PIXEL))
    (figures / "accuracy_by_session.csv").write_text("session,accuracy\n1,0.5\n")
    (figures / "timings.csv").write_text("part,seconds\n")
    summary = "seeds average_accuracy average_accuracy_sd last_accuracy forgetting macs "
    summary += "parameters_trained parameters_stored exemplar_bytes"
    row = {"method": "joint"} | dict.fromkeys(summary.split(), 0.5)
    pd.DataFrame([row]).to_csv(figures / "summary.csv", index=False)
    return figures


@pytest.fixture(scope="module")
def book(run, figures):
    """The built book's folder; Sphinx has nothing to warn of."""
    with contextlib.redirect_stderr(io.StringIO()) as warnings:
        index = write_book(run, figures)
    assert warnings.getvalue() == ""
    assert index == run / "report" / "index.html" and index.exists()
    assert [path.name for path in run.glob(".*")] == []  # nothing is left of the making
    return index.parent


class Page(HTMLParser):
    """The ids of a page, what it links to, and what it loads."""

    def __init__(self, path: Path):
        super().__init__()
        self.ids, self.links, self.loaded = {"", "top"}, [], []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        found = {name: value or "" for name, value in attrs}
        self.ids.add(found.get("id", ""))
        if tag == "a":
            self.links.append(found.get("href", ""))
        elif tag in ("link", "script", "img", "iframe", "source", "video"):
            self.loaded += [found[name] for name in ("src", "href", "srcset") if found.get(name)]


def test_links_lead_on_and_nothing_comes_from_elsewhere(book):
    pages = {path: Page(path) for path in book.rglob("*.html") if "_static" not in path.parts}
    assert len(pages) > 30
    dead = []
    for path, page in pages.items():
        for link in page.links + page.loaded:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if link in page.loaded and parts.scheme != "data":
                    dead.append((path.name, link))
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchors = pages[target].ids if target in pages else {unquote(parts.fragment)}
            if not target.is_file() or unquote(parts.fragment) not in anchors:
                dead.append((path.name, link))
    assert dead == []
    for sheet in book.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", sheet.read_text()), sheet


def text_of(page: Path) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page.read_text()))


def test_sessions_are_tabs_of_one_chapter_and_other_orders_are_under_it(book):
    page = (book / "02_incremental_session.html").read_text()
    assert re.findall(r'data-sync-id="([^"]+)"', page)[-2:] == ["session 1", "session 2"]
    assert [page.count(f"accuracy 9{i}") for i in (1, 2)] == [1, 1]
    assert page.count("the same for all") == page.count(">tune<") == 1
    assert "10/10" not in page  # a progress bar
    other = "02_incremental_session-order1-seed1-session1.html"
    assert page.count(f'href="{other}"') >= 1
    assert "One incremental session (class order 1, train seed 1)" in text_of(book / other)


def test_parameters_and_solutions_are_behind_a_click(book, run):
    page = (book / "02_incremental_session.html").read_text()
    folded, seen = (
        re.sub(r"<[^>]+>", "", text)
        for text in (
            "".join(re.findall(r"<details.*?</details>", page, re.DOTALL)),
            re.sub(r"<details.*?</details>", "", page, flags=re.DOTALL),
        )
    )
    for hidden in ("A secret", "# which"):
        assert hidden in folded and hidden not in seen
    assert "session = 2" in seen and "session = 1" not in seen  # which is the default
    for path in book.glob("*.html"):
        assert str(run) not in path.read_text(), path


def test_formulas_are_drawn_and_words_explained(book):
    page = (book / "02_incremental_session.html").read_text()
    assert page.count("<svg role=") == 2 and "\\(" not in page
    assert 'aria-label="W_t = \\frac1t \\sum_i \\theta_i"' in page
    assert 'href="GLOSSARY.html#term-Herding" title="' in page
    assert re.search('<dt id="term-Herding">', (book / "GLOSSARY.html").read_text())
    assert '"herd"' in (book / "searchindex.js").read_text()


def test_what_needs_a_kernel_is_said_once(book):
    page = text_of(book / "00_dynammo_in_ten_minutes.html")
    assert page.count("to move in a live notebook") == 1 and "SelectionSlider" not in page


def test_the_menu_button_that_is_seen_is_the_one_that_works(book):
    page = (book / "index.html").read_text()
    assert len(re.findall(r'<button class="[^"]*primary-toggle', page)) == 1


def test_figures_have_captions_and_numbers(book):
    page = (book / "figures.html").read_text()
    assert "Over <strong>all</strong> classes." in page and "More." not in page
    assert '18_figures.html">' in page and "accuracy_by_session.csv" in page
    assert "timings.csv" in page.partition("Tables without a picture")[2]
    chapter = (book / "18_figures.html").read_text()
    assert 'alt="After each session"' in chapter
    assert "Numbers of this picture: " in chapter and "accuracy_by_session.csv" in chapter


def test_settings_are_there_once_and_changes_come_first(book):
    page = text_of(book / "settings.html")
    changed, _, every = page.partition("All settings")
    assert "adapter_epochs 3" in changed and "blood" not in changed.partition("Settings and")[2]
    assert '"blood"' in every.replace("&quot;", '"') and "2.13.0" in every


def test_the_first_page_says_what_is_missing(book):
    page = text_of(book / "index.html")
    missing = page.partition("What is missing:")[2].partition("method")[0].split()
    assert missing == [
        "01_prepare_data",
        "02_incremental_session-order1-seed1-session2",
        "03_bounds-order0-seed1-joint",
        "14_ablations-memory",
    ]
    assert "joint training" in page
    assert "was not part of the run" in text_of(book / "03_bounds.html")
    assert "was not part of the run" not in text_of(book / "18_figures.html")


def test_a_book_of_nothing_is_refused(tmp_path, capsys):
    assert main([str(tmp_path / "demo"), str(tmp_path)]) == 2
    assert "There is no folder" in capsys.readouterr().err


def test_times_are_kept_for_the_closing_words(book, run):
    times = pd.read_csv(book / "notebooks.csv")
    names = [path.stem for path in sorted((run / "notebooks").glob("*.ipynb"))]
    assert list(times.notebook) == [name for name in names if "failed" not in name]
    assert set(times.seconds) == {2.5}


def test_another_version_of_a_notebook_is_a_page_of_its_own(tmp_path):
    paths = [session_notebook(tmp_path, 0, session) for session in (1, 2)]
    session_notebook(tmp_path, 0, 2, title="# 2 · As it was yesterday")
    sources = Sources(tmp_path / "sources")
    sources.chapter("02_incremental_session", by_chapter(paths)["02_incremental_session"])
    pages = {path.stem: path.read_text() for path in sources.folder.glob("*.ipynb")}
    assert sorted(pages) == ["02_incremental_session", paths[1].stem]
    assert "yesterday" in pages[paths[1].stem]
    assert "accuracy 92" not in pages["02_incremental_session"]
