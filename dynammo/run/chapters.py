"""Chapters of a book: what several runs of one notebook gave, side by side in a single one."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from dynammo.catalogue import METHODS, title
from dynammo.run.places import notebooks_by_name

# 02_incremental_session-order0-seed1-session2, 14_ablations-memory, 18_figures
NAME = re.compile(r"(?P<chapter>\d+_\w+?)(-(?P<seeds>order\d+-seed\d+))?(-(?P<tab>\w+))?")
PROGRESS = re.compile(r"\d+%\|.*?\| *\S+/\S+")  # a bar that overwrites its own line
WIDGET = "application/vnd.jupyter.widget-view+json"
NO_WIDGET = "*Here is something to move in a live notebook, which a page cannot have.*"

Runs = dict[str, dict[str, Path]]


def executed(graph: Mapping[str, Any]) -> list[str]:
    """Names of the executed notebooks in which the jobs of a run's graph learn."""
    called, names = notebooks_by_name(), []
    for order, seed, method in graph["jobs"]:
        seeds = f"order{order}-seed{seed}"
        if method:
            names.append(f"{called[graph['families'][method]]}-{seeds}-{method}")
        else:
            sessions = range(1, graph["number_of_sessions"] + 1)
            names += [f"{called['incremental_session']}-{seeds}-session{t}" for t in sessions]
    return names


def looking_closer(graph: Mapping[str, Any]) -> dict[str, str]:
    """Executed notebooks of a graph's ablations: the name of each, or "" for one of its own."""
    ablations = notebooks_by_name()["ablations"]
    own = graph["ablations"].items()
    return {notebook or f"{ablations}-{name}": "" if notebook else name for name, notebook in own}


def by_chapter(notebooks: Iterable[Path]) -> dict[str, Runs]:
    """Executed notebooks by chapter, by seeds, and by what else differs: a session or a method.

    What comes first of each is the chapter; methods come in the catalogue's order.
    """
    found: dict[str, Runs] = {}
    for path in sorted(notebooks, key=_place):
        if name := NAME.fullmatch(path.stem):
            runs = found.setdefault(name["chapter"], {})
            runs.setdefault(name["seeds"] or "", {})[name["tab"] or ""] = path
    return found


def _place(path: Path) -> tuple:
    chapter, *others = path.stem.split("-")
    methods = [list(METHODS).index(name) for name in others if name in METHODS]
    return chapter, [int(n) for n in re.findall(r"\d+", "-".join(others))], methods, others


def side_by_side(
    runs: Mapping[str, Path],
    written: Callable[[str], str],
    numbers: Callable[[str], str] = lambda _: "",
) -> tuple[NotebookNode, dict[str, Path]]:
    """One notebook of several that differ in their outputs alone, and the rest, if some do not.

    Outputs that differ follow their cell, each in a cell of its own whose metadata name its tab.

    Args:
        runs: executed notebooks by the name of the tab.
        written: what is made of a markdown cell's text.
        numbers: what is said of the numbers behind the pictures that a cell's code saves.
    """
    read = {name: _read(path) for name, path in runs.items()}
    first, _ = next(iter(read.values()))
    same = {name: found for name, found in read.items() if _sources(found[0]) == _sources(first)}
    cells, heading = [], ""
    for number, cell in enumerate(first):
        if cell.cell_type == "markdown":
            headings = re.findall(r"^#+ (.+)", cell.source, re.MULTILINE)
            heading = headings[-1] if headings else heading
            cells.append(new_markdown_cell(_folded(cell, written(cell.source))))
            continue
        tags = cell.metadata.get("tags", [])
        outputs = {name: found[number].outputs for name, (found, _) in same.items()}
        differ = any(_said(one) != _said(cell.outputs) for one in outputs.values())
        cells.append(_code(cell.source, tags, [] if differ else cell.outputs, heading))
        if differ:
            cells += [
                _tab(number, name, _code(cell.source, ["remove-input"], found, heading))
                for name, found in outputs.items()
            ]
        if any(outputs.values()) and (told := numbers(cell.source)):
            cells.append(new_markdown_cell(told))
        if "parameters" in tags:
            changed = {name: text for name, (_, text) in same.items() if text}
            cells += [_tab(number, name, _code(text)) for name, text in changed.items()]
    python = {"language_info": {"name": "python", "pygments_lexer": "ipython3"}}
    return new_notebook(cells=cells, metadata=python), {
        name: runs[name] for name in runs if name not in same
    }


def _read(path: Path) -> tuple[list[NotebookNode], str]:
    """A notebook's cells as they are printed, and the parameters that are not its defaults."""
    from nbconvert.preprocessors import CoalesceStreamsPreprocessor

    notebook, _ = CoalesceStreamsPreprocessor(enabled=True)(nbformat.read(path, 4), {})
    cells, defaults, changed = [], {}, ""
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "injected-parameters" in tags:
            given = _assigned(cell.source).items()
            # Folders are this machine's, and of no use to a reader.
            own = [(name, value) for name, value in given if not name.endswith("_folder")]
            changed = "\n".join(f"{n} = {v}" for n, v in own if defaults.get(n) != v)
            continue
        if "parameters" in tags:
            defaults = _assigned(cell.source)
        if cell.cell_type == "code":
            cell.outputs = _printable(cell.outputs)
        cells.append(cell)
    return cells, changed


def _assigned(source: str) -> dict[str, str]:
    """What some code assigns to names, as code."""
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            found[ast.unparse(target)] = ast.unparse(node.value)
    return found


def _printable(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Outputs without progress bars, and with a line where widgets were."""
    kept = []
    for output in outputs:
        if output.output_type == "stream":
            lines = [line for line in output.text.splitlines() if not PROGRESS.search(line)]
            output.text = "\n".join(lines).strip("\n")
            if output.text:
                kept.append(output)
        elif WIDGET in output.get("data", {}):
            note = new_output("display_data", {"text/markdown": NO_WIDGET})
            kept += [] if kept[-1:] == [note] else [note]
        else:
            kept.append(output)
    return kept


def _sources(cells: list[NotebookNode]) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in cells]


def _said(outputs: list[NotebookNode]) -> list[tuple]:
    return [(one.get("text"), one.get("data"), one.get("evalue")) for one in outputs]


def _code(
    source: str, tags: Iterable[str] = (), outputs: Iterable[NotebookNode] = (), heading: str = ""
) -> NotebookNode:
    cell = new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})
    shown = {"image": {"alt": heading}} if heading else {}  # alt: what is read out for a picture
    if "parameters" in tags:
        cell.metadata.tags.append("hide-input")
        shown["code_prompt_show"] = "Parameters, and what they are by default"
    if "solution" in tags:
        cell.metadata.tags.append("hide-cell")
        shown["code_prompt_show"] = "Solution"
    if shown:
        cell.metadata.mystnb = shown
    return cell


def _tab(group: int, name: str, cell: NotebookNode) -> NotebookNode:
    if name:  # without one there is nothing to choose from
        cell.metadata.tab = {"group": group, "name": tab_title(name)}
    return cell


def tab_title(name: str) -> str:
    """``session 2``, or what figures call a method."""
    return title(re.sub(r"^session(?=\d)", "session ", name))


def _folded(cell: NotebookNode, text: str) -> str:
    """Solutions behind a click, under their own heading."""
    if "solution" not in cell.metadata.get("tags", []):
        return text
    heading, _, rest = text.partition("\n")
    return f"::::::{{dropdown}} {heading.lstrip('# ')}\n{rest}\n::::::"


def names_in(code: str) -> list[str]:
    """What may be names of figures in some code: its short texts in double quotes."""
    return re.findall(r'"(\w+)"', code)


def captions(notebook: NotebookNode) -> dict[str, tuple[str, str]]:
    """For each name that code cells mention: the heading above, and the paragraph under it."""
    found, above = {}, ("", "")
    for cell in notebook.cells:
        if cell.cell_type == "code":
            for name in names_in(cell.source):
                found.setdefault(name, above)
        elif heading := re.search(r"^##+ (.+)\n*((?:.+\n?)*)", cell.source, re.MULTILINE):
            above = (heading[1], heading[2].strip())
    return found
