"""What pages of a book are made of, before Sphinx makes them."""

import re
from pathlib import Path

import nbformat

from dynammo.run.book import PARTS, write_sources
from dynammo.run.book_sources import Sources
from dynammo.run.chapters import by_chapter
from dynammo.run.places import NOTEBOOKS, ROOT


def test_a_run_of_which_nothing_is_there_has_sources(tmp_path):
    sources = Sources(tmp_path / "sources")
    write_sources(sources, tmp_path, tmp_path, [])
    made = {path.stem for path in sources.folder.glob("*.ipynb")}
    assert made == {path.stem for path in NOTEBOOKS.glob("[0-9]*.ipynb")}
    assert "Nothing." in (sources.folder / "settings.md").read_text()


def test_published_pages_say_where_they_can_be_run(tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_REPOSITORY", "someone/a-copy")
    write_sources(Sources(tmp_path / "sources"), tmp_path, tmp_path / "figures", [])
    page = (tmp_path / "sources/index.md").read_text()
    assert "(https://codespaces.new/someone/a-copy)" in page
    assert "(https://mybinder.org/v2/gh/someone/a-copy/HEAD?urlpath=lab/tree/notebooks)" in page
    path = re.search(r"research.google.com/github/someone/a-copy/blob/HEAD/(\S+)\)", page)[1]
    first = next(c for c in nbformat.read(ROOT / path, 4).cells if c.cell_type == "code")
    assert {"colab", "remove-cell"} <= set(first.metadata.tags)
    exec(first.source, {})  # does nothing here


def test_a_book_of_several_runs_leads_to_the_book_of_each(tmp_path):
    for name in ("many", "many-blood", "other"):
        (tmp_path / name / "report").mkdir(parents=True)
    (tmp_path / "many/graph.json").write_text('{"profile": "many"}')  # a graph without jobs
    sources = Sources(tmp_path / "sources")
    write_sources(sources, tmp_path / "many", tmp_path / "figures", [])
    page = (sources.folder / "index.md").read_text()
    assert '<a href="../../many-blood/report/index.html">blood</a>.' in page
    assert "mybinder" not in page
    assert "not complete" not in page
    (tmp_path / "many/graph.json").unlink()  # a run, and another that is called after it
    write_sources(sources, tmp_path / "many", tmp_path / "figures", [])
    assert "many-blood" not in (sources.folder / "index.md").read_text()


def test_sessions_come_by_number_and_methods_as_in_the_catalogue():
    names = [f"02_incremental_session-order{o}-seed1-session{s}" for o in (50, 1) for s in (10, 9)]
    names += [f"05_distillation-order0-seed1-{method}" for method in ("podnet", "lwf", "my_own")]
    found = by_chapter(Path(f"{name}.ipynb") for name in names)
    assert {name: list(runs) for name, runs in found.items()} == {
        "02_incremental_session": ["order1-seed1", "order50-seed1"],
        "05_distillation": ["order0-seed1"],
    }
    assert list(found["02_incremental_session"]["order1-seed1"]) == ["session9", "session10"]
    assert list(found["05_distillation"]["order0-seed1"]) == ["my_own", "lwf", "podnet"]


def test_links_of_a_page_lead_to_what_the_book_has(tmp_path):
    sources = Sources(tmp_path)
    text = "[a](03_bounds.ipynb) [b](RUNNING.md#what-it-costs) [c](../dynammo/settings.py) "
    text += "[d](../dynammo/data/blood_cells) [e](https://arxiv.org) [f](#x) [g](../no/such.csv)"
    assert sources.linked(text) == (
        "[a](/03_bounds.ipynb) [b](/RUNNING.md#what-it-costs) [c](/files/dynammo/settings.py.md) "
        "d [e](https://arxiv.org) [f](#x) g"
    )
    fenced = "```python\n[a](../dynammo)\n```"
    assert sources.linked(fenced) == fenced
    assert (tmp_path / "files/dynammo/settings.py.md").exists()


def test_the_book_has_every_notebook_in_the_order_of_their_numbers():
    numbers = [number for part in PARTS.values() for number in part]
    assert numbers == sorted(set(numbers))
    assert {int(path.stem[:2]) for path in NOTEBOOKS.glob("[0-9]*.ipynb")} <= set(numbers)


def test_what_lies_in_a_hidden_folder_is_a_page_that_hosts_publish(tmp_path):
    sources = Sources(tmp_path / "sources")
    text = sources.linked("[book](../.github/workflows/book.yml) and [container](../.devcontainer)")
    assert "(/files/github/workflows/book.yml.md)" in text
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]
