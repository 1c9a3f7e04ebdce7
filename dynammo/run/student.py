"""The student version: the notebooks without their solutions.

``python -m dynammo.run.student [FOLDER]`` copies every notebook without the cells tagged
``solution``, with the pages that they link to, into a folder that lies beside ``notebooks/``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbconvert.preprocessors import ClearOutputPreprocessor, TagRemovePreprocessor

from dynammo.data.files import entry_point, write_json, write_text
from dynammo.errors import InputError
from dynammo.run.places import NOTEBOOKS, ROOT

LECTURERS = ("LECTURER.md", "SLIDES.md")  # have answers: they stay behind, links become text
RECORD = ".made.json"  # checksum of each file as it was made, so that a student's changes show


def student_version(path: Path) -> nbformat.NotebookNode:
    """A notebook without solutions and outputs, and no longer paired with a text file."""
    notebook = nbformat.read(path, 4)
    for preprocessor in (
        TagRemovePreprocessor(remove_cell_tags={"solution"}, enabled=True),
        ClearOutputPreprocessor(enabled=True),
    ):
        notebook, _ = preprocessor(notebook, {})
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = without_lecturers_pages(cell.source)
    notebook.metadata["jupytext"] = {"formats": "ipynb"}
    return notebook


def without_lecturers_pages(text: str) -> str:
    """Links to them become plain text."""
    return re.sub(rf"\[([^]]+)\]\(({'|'.join(LECTURERS)})(#[^)]*)?\)", r"\1", text)


def checksum(name: str, text: str) -> str:
    """SHA-256 of what a student can change in a file: of a notebook, the cells without outputs."""
    if name.endswith(".ipynb"):
        try:
            cells = json.loads(text)["cells"]
            text = json.dumps([[cell["cell_type"], "".join(cell["source"])] for cell in cells])
        except (ValueError, KeyError, TypeError):
            pass  # not a notebook any more, so not as it was made
    return hashlib.sha256(text.encode()).hexdigest()


def make_student_version(folder: Path) -> list[Path]:
    """Write the student version; return its notebooks.

    Files that are there already and say the same are left alone, with the outputs that running them
    gave. Others are replaced if they are as they were made.

    Raises:
        InputError: a file that was changed since it was made, or a place that cannot be used;
            nothing is written then.
    """
    if folder.resolve() == NOTEBOOKS or (folder.exists() and not folder.is_dir()):
        raise InputError(f"{folder} cannot be the student version's folder: name another one.")
    sources = sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))
    texts = {path.name: nbformat.writes(student_version(path)) + "\n" for path in sources}
    for path in sorted(NOTEBOOKS.glob("*.md")):
        if path.name not in LECTURERS:
            texts[path.name] = without_lecturers_pages(path.read_text())
    made = {name: checksum(name, text) for name, text in texts.items()}

    record, there = _read_record(folder), {}
    for name in made:
        if (folder / name).exists():
            there[name] = checksum(name, (folder / name).read_text(errors="replace"))
    changed = [name for name in there if there[name] not in (made[name], record.get(name))]
    if changed:
        raise InputError(
            f"In {folder} there are changes that would be lost: {', '.join(changed)}. Move these "
            "files elsewhere, or name another folder: ./run_all.sh --student FOLDER"
        )
    for name, text in texts.items():
        if there.get(name) != made[name]:
            write_text(folder / name, text)
    write_json(folder / RECORD, made)
    return [folder / path.name for path in sources]


def _read_record(folder: Path) -> dict[str, str]:
    try:
        record = json.loads((folder / RECORD).read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


@entry_point
def main(arguments: Sequence[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="./run_all.sh --student", description="Copy the notebooks without their solutions."
    )
    told, default = "where to (default: student/ in this project)", ROOT / "student"
    parser.add_argument(
        "folder", nargs="?", type=Path, default=default, metavar="FOLDER", help=told
    )
    folder = parser.parse_args(arguments).folder
    notebooks = make_student_version(folder)
    print(
        f"{len(notebooks)} notebooks without solutions, and the pages beside them, are in {folder}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
