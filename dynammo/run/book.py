"""The run's book: every notebook as it ran, the pages that go with them, and every figure.

``python -m dynammo.run.book RUN_FOLDER FIGURES_FOLDER [NOTEBOOK ...]`` is what the graph calls,
with the executed notebooks. Without any it takes those that are there, so that a run that stopped
on its way has a book as well. ``report/index.html`` in the run folder is its first page.

The sources are put together here, in a folder that is gone afterwards; Sphinx makes pages of them
(:mod:`dynammo.run.book_sphinx`).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from dynammo.data.files import entry_point, whole_folder, write_csv
from dynammo.errors import InputError
from dynammo.measure.summary import readable
from dynammo.run.book_sources import Sources
from dynammo.run.book_sphinx import GLOSSARY, build
from dynammo.run.chapters import by_chapter, executed, looking_closer
from dynammo.run.places import NOTEBOOKS, notebooks_by_name
from dynammo.run.settings import changes_of, settings_from
from dynammo.run.slides import write_slides

PARTS = {  # and the numbers of the notebooks in each, in the order to read them
    "The method": (0, 1, 2),
    "Other methods, by family": (3, 4, 5, 6, 7, 8),
    "A closer look": range(9, 18),
    "Results, and what they rest on": range(18, 100),
}
PAGES = ["STUDY", "BEYOND", "SPEED", "GUARANTEES", "RUNNING", "CARDS", "LECTURER"]
LEAD = """\
A network that goes on training on new kinds of images forgets the old ones. **DynaMMo** freezes a
pretrained network, trains a few added layers (*adapters*) for each *session*, which brings new
classes, and averages these layers, so that one pass answers for all. **ACL** keeps the layers of
every session, and takes a pass for each. ([Paper](https://arxiv.org/abs/2404.14099); how much of it
holds on five data sets is in [the study](STUDY.md). **Not for clinical use.**)"""
# Of the summary, as much as fits beside the contents.
FEW = ["method", "runs", "average accuracy (%)", "last accuracy (%)", "forgetting (points)"]
FEW += ["MMACs an image"]


def write_book(run: Path, figures: Path, notebooks: Sequence[Path] = ()) -> Path:
    """Write a run's book to ``report/`` in its folder; return its first page.

    ``notebooks.csv`` there has each notebook's name and the seconds it took. The folder appears
    when all of it is there.
    """
    run, figures = run.resolve(), figures.resolve()
    there = (path for path in (run / "notebooks").glob("[0-9]*.ipynb") if "." not in path.stem)
    notebooks = sorted(notebooks or there)
    name = f"DynaMMo: {run.name}"
    seconds = times(notebooks)
    with tempfile.TemporaryDirectory(prefix=".book.", suffix=".part", dir=run) as work:
        sources = Sources(Path(work) / "sources", figures)
        write_sources(sources, run, figures, notebooks)
        build(sources.folder, Path(work) / "pages", name)
        write_slides(NOTEBOOKS / "SLIDES.md", figures, Path(work) / "pages" / "slides")
        with whole_folder(run / "report") as report:
            shutil.copytree(Path(work) / "pages", report, dirs_exist_ok=True)
            write_csv(report / "notebooks.csv", seconds)
    return run / "report" / "index.html"


def write_sources(sources: Sources, run: Path, figures: Path, notebooks: Sequence[Path]) -> None:
    """Write all that pages are made of: chapters, the pages that go with them, and the appendix."""
    chapters = by_chapter(notebooks)
    names = sorted({*notebooks_by_name().values(), *chapters})
    for name in names:
        sources.chapter(name, chapters.get(name, {}))
    for name in PAGES:
        sources.page(name, sources.linked((NOTEBOOKS / f"{name}.md").read_text()))
    sources.page(GLOSSARY, glossary(sources.linked((NOTEBOOKS / f"{GLOSSARY}.md").read_text())))
    sources.page("figures", figures_page(sources, figures))
    sources.page("settings", settings_page(run, times(notebooks)))
    parts = {
        part: [name for number in numbers for name in names if name.startswith(f"{number:02}_")]
        for part, numbers in PARTS.items()
    }
    parts |= {"This run": ["figures", "settings"], "Around it": [GLOSSARY, *PAGES]}
    absent = [name for name in wanted(run) if name not in {path.stem for path in notebooks}]
    together = "profile" in _read(run / "graph.json")  # not a run of its own, but what several are
    others = run.parent.glob(f"{run.name}-*/report") if together else ()
    others = sorted(path.parent.name for path in others)
    written = [str(int(name[:2])) for name in names if name not in chapters]
    page = first_page(sources, run.name, figures, parts, absent, others)
    if written:
        page += f"Without results, as they are written: notebooks {', '.join(written)}.\n"
    sources.page("index", page)


def times(notebooks: Iterable[Path]) -> pd.DataFrame:
    """Seconds that each executed notebook took."""
    records = {path.stem: json.loads(path.read_text())["metadata"] for path in notebooks}
    seconds = {name: found["papermill"]["duration"] for name, found in records.items()}
    return pd.DataFrame({"notebook": list(seconds), "seconds": list(seconds.values())})


def wanted(run: Path) -> list[str]:
    """The executed notebooks that a whole run has, by its graph; none without jobs there."""
    graph = _read(run / "graph.json")
    if "jobs" not in graph:
        return []
    first_and_last = [notebooks_by_name()[name] for name in ("prepare_data", "figures")]
    return sorted([*first_and_last, *executed(graph), *looking_closer(graph)])


def first_page(
    sources: Sources,
    name: str,
    figures: Path,
    parts: dict[str, list[str]],
    absent: list[str],
    others: list[str],
) -> str:
    """What the run came to, what of it is missing, the contents, and runs of the same profile."""
    text = f"# DynaMMo: {name}\n\n{LEAD}\n\nThis is what the run `{name}` came to: notebooks as "
    text += (
        "they ran, every [figure](figures.md), and [where the numbers come from](settings.md).\n"
    )
    text += 'For a lecture there are <a href="slides/index.html">slides</a>.\n\n'
    if absent:
        listed = "\n".join(f"* `{stem}`" for stem in absent)
        text += f":::{{warning}}\nThe run is not complete. What is missing:\n\n{listed}\n:::\n\n"
    shown = {"forget_adapt_average": "Forget, adapt, average", "accuracy_and_cost": "What it costs"}
    for name_of_picture, words in shown.items():
        if (picture := figures / f"{name_of_picture}.png").exists():
            *_, told = sources.captions.get(name_of_picture, ("", "", ""))
            numbers = picture.with_suffix(".csv")
            links = [f"[numbers](/{sources.brought(numbers)})"] if numbers.exists() else []
            text += _figure(sources, picture, words, told, links)
    if (figures / "summary.csv").exists():
        summary = pd.read_csv(figures / "summary.csv")
        table = readable(summary.sort_values("average_accuracy", ascending=False)).filter(FEW)
        sides = ["left", "left", *["right"] * (table.shape[1] - 2)]
        printed = table.to_markdown(index=False, disable_numparse=True, colalign=sides)
        text += f"{printed}\n\n(MMACs: million multiply-accumulates.) "
        text += f"[The whole table](/{sources.brought(figures / 'summary.csv')}).\n\n"
    if project := os.environ.get("GITHUB_REPOSITORY"):  # where its pages are made, and nowhere else
        text += "To run and change it, with nothing installed: "
        text += f"[Codespaces](https://codespaces.new/{project}), [Binder]"
        text += f"(https://mybinder.org/v2/gh/{project}/HEAD?urlpath=lab/tree/notebooks), [Colab]"
        colab = "https://colab.research.google.com/github"
        text += f"({colab}/{project}/blob/HEAD/notebooks/00_dynammo_in_ten_minutes.ipynb).\n\n"
    links = ", ".join(
        f'<a href="../../{one}/report/index.html">{one.removeprefix(f"{name}-")}</a>'
        for one in others
    )
    text += f"Its runs have books of their own: {links}.\n\n" if links else ""
    for part, names in parts.items():
        listed = "\n".join(names)
        text += f"```{{toctree}}\n:caption: {part}\n:maxdepth: 1\n\n{listed}\n```\n\n"
    return text


def figures_page(sources: Sources, figures: Path) -> str:
    """Every picture of a run with what it shows and its numbers, then the tables without one."""
    text = "# Figures\n\nEvery picture that the run drew, with the numbers behind it.\n\n"
    for picture in sorted(figures.glob("*.png")):
        words = picture.stem.replace("_", " ").capitalize().replace("macs", "MACs")
        chapter, heading, told = sources.captions.get(picture.stem, ("", "", ""))
        files = [picture.with_suffix(suffix) for suffix in (".csv", ".svg")]
        links = [f"[{path.name}](/{sources.brought(path)})" for path in files if path.exists()]
        links += [f"[{heading}]({chapter}.ipynb)"] if chapter else []
        text += f"## {words}\n\n{_figure(sources, picture, words, told, links)}"
    tables = [
        path for path in sorted(figures.glob("*.csv")) if not path.with_suffix(".png").exists()
    ]
    listed = "\n".join(f"* [{path.name}](/{sources.brought(path)})" for path in tables)
    return text + (f"## Tables without a picture\n\n{listed}\n" if listed else "")


def _figure(sources: Sources, picture: Path, words: str, told: str, links: list[str]) -> str:
    """A picture, with what its chapter tells of it, or its name in words, and links."""
    linked = f" ({' · '.join(links)})" if links else ""
    directive = f":::{{figure}} /{sources.brought(picture)}\n:alt: {words}\n\n"
    return f"{directive}{told or words}{linked}\n:::\n\n"


def settings_page(run: Path, seconds: pd.DataFrame) -> str:
    """The run's settings, those that are not the defaults first; its origin; what took how long."""
    text = "# Settings and origin\n\n## What is not the default\n\n"
    given = _read(run / "settings.json")
    changed = changes_of(settings_from(given))
    text += f"{_table(changed)}\n\n:::{{dropdown}} All settings\n{_table(given)}\n:::\n\n"
    text += f"## Where the numbers come from\n\n{_table(_read(run / 'provenance.json'))}\n\n"
    return f"{text}## What took how long\n\n{seconds.round(1).to_markdown(index=False)}\n"


def _read(path: Path) -> dict:
    return json.loads(path.read_text()) if path.exists() else {}


def _table(values: dict) -> str:
    rows = "\n".join(f"| {name} | `{json.dumps(value)}` |" for name, value in values.items())
    return f"| name | value |\n|---|---|\n{rows}" if rows else "Nothing."


def glossary(text: str) -> str:
    """The glossary's list as one whose entries can be linked."""
    intro, *entries = re.split(r"^\* \*\*(.+?)\.\*\* ", text, flags=re.MULTILINE)
    listed = "".join(
        f"{term}\n  {said.strip()}\n\n"
        for term, said in zip(entries[::2], entries[1::2], strict=True)
    )
    return f"{intro}````{{glossary}}\n{listed}````\n"


@entry_point
def main(arguments: Sequence[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m dynammo.run.book", description=__doc__)
    parser.add_argument("run", type=Path, help="a run's folder, such as runs/demo")
    parser.add_argument("figures", type=Path, help="its figures, such as figures/demo")
    parser.add_argument("notebooks", type=Path, nargs="*", help="executed ones (default: its own)")
    options = parser.parse_args(arguments)
    if not options.run.is_dir():
        raise InputError(f"There is no folder {options.run}: name a run's folder and its figures.")
    print(write_book(options.run, options.figures, options.notebooks))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
