"""What a book's pages are made of: markdown and notebooks in a folder, with their links."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import nbformat
from nbformat.v4 import new_markdown_cell

from dynammo.data.files import write_text
from dynammo.run.chapters import Runs, captions, names_in, side_by_side, tab_title
from dynammo.run.places import NOTEBOOKS, ROOT

LINK = re.compile(r"\[((?:[^][]|\[[^]]*\])*)\]\(([^)#\s]+)(#[^)\s]*)?\)")
FENCED = re.compile(r"(^ *```.*?^ *```)", re.MULTILINE | re.DOTALL)
LANGUAGES = {".py": "python", ".toml": "toml", ".yml": "yaml", ".json": "json", ".cff": "yaml"}
LANGUAGES |= {".txt": "", "": ""}
NOT_RUN = """:::{note}
This notebook was not part of the run: it is shown as it is written, without results.
:::"""


class Sources:
    """Markdown and notebooks of which pages are made, in a folder.

    Attributes:
        figures: where the run's pictures and their numbers are.
        captions: for each name of a figure the chapter that draws it, the heading that it stands
            under there, and what is said of it.
    """

    def __init__(self, folder: Path, figures: Path | None = None):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.figures = folder, figures
        self.captions: dict[str, tuple[str, str, str]] = {}

    def page(self, name: str, text: str) -> None:
        """Write a page."""
        write_text(self.folder / f"{name}.md", text)

    def linked(self, text: str, base: Path = NOTEBOOKS) -> str:
        """Text whose links, relative to a folder, lead to where their targets are in the book."""

        def link(found: re.Match[str]) -> str:
            words, target, anchor = found.groups(default="")
            path = (base / target).resolve()
            if path.name == "SLIDES.md":
                return f'<a href="slides/index.html">{words}</a>'
            if path.is_file():
                return f"[{words}](/{self.brought(path)}{anchor})"
            # A folder, or a file that is not here, cannot be linked; code only looks like a link.
            return words if "/" in target and "://" not in target else found[0]

        parts = FENCED.split(text)
        return "".join(part if i % 2 else LINK.sub(link, part) for i, part in enumerate(parts))

    def brought(self, path: Path) -> str:
        """Where a file is in the book: text is a page of it, anything else is brought along."""
        if path.parent == NOTEBOOKS and path.suffix in (".md", ".ipynb"):
            return path.name
        inside = path.relative_to(ROOT) if path.is_relative_to(ROOT) else Path(path.name)
        # Pages in hidden folders are not published by every host.
        inside = Path(*(part.lstrip(".") for part in inside.parts))
        place = self.folder / "files" / inside
        if path.suffix not in (".md", *LANGUAGES):
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
            return place.relative_to(self.folder).as_posix()
        name = f"files/{inside.as_posix()}".removesuffix(".md")
        if not (self.folder / f"{name}.md").exists():
            text = path.read_text()
            self.page(name, "")  # so that two pages can link each other
            if path.suffix != ".md":
                text = f"``````{LANGUAGES[path.suffix]}\n{text}\n``````\n"
            heading = "" if text.startswith("# ") else f"# {inside.as_posix()}\n\n"
            self.page(name, f"---\norphan: true\n---\n{heading}{self.linked(text, path.parent)}")
        return f"{name}.md"

    def numbers(self, code: str) -> str:
        """Links to the numbers behind the run's pictures that some code names."""
        names = dict.fromkeys(names_in(code)) if self.figures else ()
        files = [self.figures / f"{name}.csv" for name in names]
        drawn = [path for path in files if path.exists() and path.with_suffix(".png").exists()]
        links = [f"[{path.name}](/{self.brought(path)})" for path in drawn]
        return f"*Numbers of this picture: {', '.join(links)}.*" if links else ""

    def chapter(self, name: str, runs: Runs) -> None:
        """Write a chapter: what ran first is shown, other seeds are pages under it.

        Args:
            runs: executed notebooks by seeds and tab; without any it is shown as it is written.
        """
        left = list(runs.items()) or [("", {"": NOTEBOOKS / f"{name}.ipynb"})]
        made = []
        while left:
            seeds, tabs = left.pop(0)
            notebook, others = side_by_side(tabs, self.linked, self.numbers)
            left[:0] = [(seeds, others)] if others else []  # of another version of the notebook
            which = re.sub(r"order(\d+)-seed(\d+)", r"class order \1, train seed \2", seeds)
            shown = ", ".join(tab_title(tab) for tab in tabs if tab and tab not in others)
            told = "; ".join(filter(None, [which, shown]))
            note = f"*Shown here: {told}.*" if told else "" if runs else NOT_RUN
            notebook.cells.insert(1, new_markdown_cell(note))
            made.append((next(iter(tabs.values())).stem, which or shown, notebook))
            for figure, (heading, said) in captions(notebook).items():
                if runs or figure not in self.captions:
                    self.captions[figure] = (name, heading, said)
        if listed := "\n".join(page for page, *_ in made[1:]):
            others = f"{{dropdown}} Other class orders and seeds\n```{{toctree}}\n{listed}\n```"
            made[0][2].cells[1].source += f"\n\n:::{others}\n:::"
        nbformat.write(made[0][2], self.folder / f"{name}.ipynb")
        for page, which, notebook in made[1:]:
            heading, _, rest = notebook.cells[0].source.partition("\n")
            notebook.cells[0].source = f"{heading} ({which})\n{rest}"
            nbformat.write(notebook, self.folder / f"{page}.ipynb")
