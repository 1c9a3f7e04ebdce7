"""The student version: everything but the solutions, and never over a student's work."""

import json
import shutil

import nbformat
import pytest

from dynammo.errors import InputError
from dynammo.run import student
from dynammo.run.student import NOTEBOOKS, ROOT, main, make_student_version

TAG = "solution"
SOURCES = sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))
WITH_EXERCISES = [path for path in SOURCES if "## Exercises" in path.read_text()]

PAGES = [path for path in NOTEBOOKS.glob("*.md") if path.name not in student.LECTURERS]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The student version of all notebooks."""
    folder = tmp_path_factory.mktemp("project") / "student"
    make_student_version(folder)
    return folder


@pytest.fixture
def few(tmp_path, monkeypatch):
    """Two notebooks and a page in the place of all."""
    sources = tmp_path / "notebooks"
    sources.mkdir()
    for path in (SOURCES[0], WITH_EXERCISES[-1], NOTEBOOKS / "GLOSSARY.md"):
        shutil.copyfile(path, sources / path.name)
    monkeypatch.setattr(student, "NOTEBOOKS", sources)
    return sources


@pytest.fixture
def folder(few, tmp_path):
    """The student version of these, which a test may change."""
    make_student_version(tmp_path / "student")
    return tmp_path / "student"


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def read(path):
    return nbformat.read(path, 4)


def change(path, old, new):
    """Edit a notebook as a student would, in its first cell that has ``old``."""
    notebook = read(path)
    cell = next(cell for cell in notebook.cells if old in cell.source)
    cell.source = cell.source.replace(old, new)
    nbformat.write(notebook, path)


def test_every_notebook_and_page_is_there_but_the_lecturers(made):
    assert sorted(path.name for path in made.iterdir()) == sorted(
        [".made.json", *(path.name for path in [*SOURCES, *PAGES])]
    )
    assert (made / "GLOSSARY.md").read_text() == (NOTEBOOKS / "GLOSSARY.md").read_text()


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_student_notebook_has_the_same_cells_but_no_solution(made, source):
    original, copy = read(source), read(made / source.name)
    nbformat.validate(copy)
    assert not any(TAG in cell.metadata.get("tags", []) for cell in copy.cells)
    assert not any("## Solutions" in cell.source for cell in copy.cells)
    others = [cell for cell in original.cells if TAG not in cell.metadata.get("tags", [])]
    assert len(others) < len(original.cells) or "## Exercises" not in source.read_text()
    link = "[lecturer's page](LECTURER.md)"
    expected = [(c.cell_type, c.source.replace(link, "lecturer's page")) for c in others]
    assert [(cell.cell_type, cell.source) for cell in copy.cells] == expected
    assert [cell.metadata for cell in copy.cells] == [cell.metadata for cell in others]
    assert copy.metadata.kernelspec == original.metadata.kernelspec


def test_links_of_the_student_version_lead_somewhere_in_it(made):
    names = {path.name for path in NOTEBOOKS.iterdir()}
    for path in (*made.glob("*.ipynb"), *made.glob("*.md")):
        for link in path.read_text().split("](")[1:]:
            target = link.partition(")")[0].partition("#")[0]
            # A target that is nowhere is for the test of the notebooks themselves.
            if target in names:
                assert (made / target).exists(), (path.name, target)


def test_outputs_are_left_out_and_the_copy_is_not_paired_with_a_text_file(tmp_path):
    notebook = nbformat.v4.new_notebook()
    cell = nbformat.v4.new_code_cell("1 + 1", execution_count=3)
    cell.outputs = [nbformat.v4.new_output("stream", text="2")]
    solution = nbformat.v4.new_code_cell("2", metadata={"tags": ["solution", "more"]})
    page = nbformat.v4.new_markdown_cell("See the [lecturer's page](LECTURER.md), [b](b.ipynb).")
    notebook.cells = [cell, solution, page]
    notebook.metadata["jupytext"] = {"formats": "ipynb,py:percent"}
    nbformat.write(notebook, tmp_path / "n.ipynb")
    copy = student.student_version(tmp_path / "n.ipynb")
    first, last = copy.cells
    assert first.source == "1 + 1" and first.outputs == [] and first.execution_count is None
    assert last.source == "See the lecturer's page, [b](b.ipynb)."
    assert copy.metadata["jupytext"] == {"formats": "ipynb"}


def test_making_it_twice_changes_nothing(folder):
    before = contents(folder)
    make_student_version(folder)
    assert contents(folder) == before


def test_a_notebook_that_was_only_run_keeps_its_outputs(folder):
    path = folder / SOURCES[0].name
    notebook = read(path)
    cell = next(cell for cell in notebook.cells if cell.cell_type == "code")
    cell.outputs, cell.execution_count = [nbformat.v4.new_output("stream", text="seen")], 1
    nbformat.write(notebook, path)
    before = contents(folder)
    make_student_version(folder)
    assert contents(folder) == before


@pytest.mark.parametrize("with_record", [True, False])
def test_a_changed_notebook_is_never_overwritten_and_nothing_else_is_written(folder, with_record):
    first, last = SOURCES[0].name, WITH_EXERCISES[-1].name
    change(folder / last, "## Exercises", "## My answers")
    (folder / first).unlink()
    if not with_record:
        (folder / ".made.json").unlink()
    before = contents(folder)
    with pytest.raises(InputError, match=rf"changes that would be lost: {last}\. Move these"):
        make_student_version(folder)
    assert contents(folder) == before


@pytest.mark.parametrize("text", ["", "{}", '{"cells": [1]}'])
def test_a_broken_notebook_counts_as_changed(folder, text):
    (folder / SOURCES[0].name).write_text(text)
    with pytest.raises(InputError, match="changes that would be lost"):
        make_student_version(folder)


def test_files_as_they_were_made_are_replaced_when_the_notebooks_have_changed(folder, few):
    first = SOURCES[0].name
    change(few / first, "## Exercises", "## Harder exercises")
    make_student_version(folder)
    assert "## Harder exercises" in (folder / first).read_text()
    make_student_version(folder)

    change(few / first, "## Harder exercises", "## Exercises")
    change(folder / first, "## Harder exercises", "## Mine")
    with pytest.raises(InputError, match=first):
        make_student_version(folder)
    assert "## Mine" in (folder / first).read_text()


def test_a_deleted_notebook_comes_back(folder):
    before = contents(folder)
    (folder / SOURCES[0].name).unlink()
    make_student_version(folder)
    assert contents(folder) == before


@pytest.mark.parametrize("record", ["", "[1]", "{"])
def test_a_broken_record_is_made_anew(folder, record):
    before = contents(folder)
    (folder / ".made.json").write_text(record)
    make_student_version(folder)
    assert contents(folder) == before


def test_the_notebooks_themselves_are_no_place_for_it(tmp_path):
    before = {path.name: path.read_bytes() for path in SOURCES}
    for place in (NOTEBOOKS, NOTEBOOKS / ".." / "notebooks"):
        with pytest.raises(InputError, match="name another one"):
            make_student_version(place)
    assert before == {path.name: path.read_bytes() for path in SOURCES}
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="name another one"):
        make_student_version(tmp_path / "file")


def test_the_command_says_where_the_notebooks_are_or_what_to_do(tmp_path, capsys):
    assert main([str(tmp_path / "student")]) == 0
    said = capsys.readouterr().out
    assert f"{len(SOURCES)} notebooks" in said and str(tmp_path / "student") in said
    change(tmp_path / "student" / SOURCES[0].name, "## Exercises", "## My answers")
    assert main([str(tmp_path / "student")]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: ") and "Traceback" not in said.err


def test_the_default_folder_lies_in_the_project_and_is_ignored_by_git(few, tmp_path, monkeypatch):
    assert "student/" in (ROOT / ".gitignore").read_text().splitlines()
    monkeypatch.setattr(student, "ROOT", tmp_path)
    assert main([]) == 0
    assert (tmp_path / "student" / SOURCES[0].name).exists()


def test_the_record_has_a_checksum_for_every_file(folder):
    record = json.loads((folder / ".made.json").read_text())
    assert sorted(record) == sorted(path.name for path in folder.iterdir() if path.name[0] != ".")
