"""The notebooks as files, and the pages that go with them."""

import ast
import re
import subprocess
from pathlib import Path

import jupytext
import nbformat
import papermill
import pytest

from dynammo import catalogue
from dynammo.catalogue import METHODS
from dynammo.methods import adapter_methods
from dynammo.run.execute import fitted
from dynammo.run.jobs import parameters_of, settings_behind
from dynammo.run.settings import RunSettings, settings_from

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = "GLOSSARY LECTURER CARDS STUDY BEYOND SPEED GUARANTEES RUNNING"
PAGES = [ROOT / "notebooks" / f"{name}.md" for name in NAMES.split()]
OTHERS = {"run_folder", "figures_folder", "session", "method", "order_seed", "train_seed", "more"}
METHODS_WITH_KNOBS = tuple(f"{name}_" for name in METHODS)
# DynaMMo's four steps are to be seen at once.
LONGER = {"00_dynammo_in_ten_minutes": {("four_steps",): 35}}
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@each_notebook
def test_notebook_and_its_text_twin_are_the_same(path):
    twin = jupytext.read(path.with_suffix(".py"))
    cells = [(cell.cell_type, cell.source) for cell in nbformat.read(path, 4).cells]
    assert cells == [(cell.cell_type, cell.source) for cell in twin.cells]


@each_notebook
def test_no_output_is_committed_and_cells_are_short(path):
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None
            if "parameters" not in cell.metadata.get("tags", []):
                lines = cell.source.splitlines()
                imports = [line for line in lines if line.startswith(("from ", "import ", "%"))]
                most = LONGER.get(path.stem, {}).get(tuple(cell.metadata.get("tags", [])), 20)
                assert len(lines) - len(imports) <= most, cell.source


@pytest.mark.parametrize("path", [*NOTEBOOKS, *PAGES], ids=lambda path: path.stem)
def test_tables_and_code_in_text_stand_on_lines_of_their_own(path):
    text = path.read_text()
    if path.suffix == ".ipynb":
        cells = nbformat.reads(text, 4).cells
        text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    for line in text.splitlines():
        assert not re.search(r"\|\s+\|\s*:?-{3}", line), line
        assert "```" not in line or line.lstrip().startswith("```"), line
    assert len(re.findall(r"(?m)^ *```", text)) % 2 == 0


@each_notebook
def test_the_cell_that_reads_the_settings_may_be_run_again(path):
    """It takes the notebook's variables that are called as settings are: only parameters may be."""
    text = re.sub(r"(?m)^%.*$", "", path.with_suffix(".py").read_text())
    before, read, _ = text.partition("settings_from(globals())")
    first = before.count("\n") + 1
    made = [node for node in ast.parse(text).body if read and node.lineno >= first]
    made = [node for node in made if not isinstance(node, ast.FunctionDef | ast.ClassDef)]
    found = [one for node in made for one in ast.walk(node) if isinstance(one, ast.Name)]
    names = {one.id for one in found if isinstance(one.ctx, ast.Store)}
    assert not names & RunSettings().as_dict().keys()


@each_notebook
def test_parameters_are_settings_with_the_same_defaults(path):
    defaults = RunSettings().as_dict()
    for name in METHODS:
        defaults |= RunSettings().knobs_by_name(catalogue.load(name))
    for name, parameter in papermill.inspect_notebook(str(path)).items():
        assert parameter["inferred_type_name"] != "None", f"{name} has no type"
        if name not in OTHERS:
            own_choice = path.stem[:2] == "14" and name == "methods"
            if name in defaults and not own_choice:
                assert eval(parameter["default"]) == defaults[name], name
            explained_by_its_name = ("adapter_", "head_", "methods", *METHODS_WITH_KNOBS)
            assert parameter["help"] or name.startswith(explained_by_its_name), name


def given_to(path, parameters):
    """The settings that a notebook finds when it is run with some parameters."""
    known = papermill.inspect_notebook(str(path))
    defaults = {name: eval(parameter["default"]) for name, parameter in known.items()}
    return settings_from(defaults | fitted(path, parameters))


def test_every_setting_that_a_session_depends_on_reaches_its_notebook():
    path = ROOT / "notebooks/02_incremental_session.ipynb"
    every = RunSettings().with_changes({"methods": adapter_methods(METHODS)})
    changes = {"adapter_width": 0.5, "head_epochs": 3, "dynammo_ridge_stiffness": 0.3}
    changes |= {"train_per_class": 7, "head_milestones": [0.5], "precision": "bfloat16"}
    wanted = parameters_of(every.with_changes(changes))
    assert parameters_of(given_to(path, wanted)) == wanted


@pytest.mark.parametrize("method", [m for m in METHODS if not adapter_methods([m])])
def test_each_family_has_a_notebook_with_the_knobs_of_its_methods(method):
    (path,) = (ROOT / "notebooks").glob(f"[0-9]*_{METHODS[method].family}.ipynb")
    known = papermill.inspect_notebook(str(path))
    assert {"method", "order_seed", "train_seed", "run_folder", "more"} <= set(known)
    assert f"`{method}`" in path.read_text()
    wanted = settings_behind(RunSettings().with_changes({"head_epochs": 3, "threads": 2}), method)
    found = settings_behind(given_to(path, {"method": method, **wanted}), method)
    assert found == wanted


@each_notebook
def test_every_exercise_has_a_solution_in_the_next_cell(path):
    cells = nbformat.read(path, 4).cells
    tagged = [
        i
        for i, cell in enumerate(cells)
        if "solution" in cell.metadata.get("tags", []) and cell.cell_type == "markdown"
    ]
    places = [i for i, cell in enumerate(cells) if "## Exercises" in cell.source]
    assert tagged == [i + 1 for i in places]
    for i in places:
        exercises, solutions = cells[i].source, cells[i + 1].source
        assert exercises.startswith("## Exercises\n") and solutions.startswith("## Solutions\n")
        # Code in it would run headlessly, so a solution's code stands in fences.
        assert cells[i + 1].cell_type == "markdown" and solutions.count("```") % 2 == 0
        numbers = re.findall(r"^(\d+)\. ", exercises, re.MULTILINE)
        assert numbers == [str(n) for n in range(1, len(numbers) + 1)] != []
        assert re.findall(r"^(\d+)\. ", solutions, re.MULTILINE) == numbers


@pytest.mark.parametrize(
    "path", [*NOTEBOOKS, *PAGES, ROOT / "README.md"], ids=lambda path: path.stem
)
def test_links_lead_to_something_that_is_kept(path):
    text = path.read_text()
    if path.suffix == ".ipynb":
        cells = [cell for cell in nbformat.reads(text, 4).cells if cell.cell_type == "markdown"]
        text = "\n".join(cell.source for cell in cells)
    targets = [link.partition(")")[0].partition("#")[0] for link in text.split("](")[1:]]
    elsewhere = ("http", "../../actions/", "../../deployments/")  # of the code host
    targets = [target for target in targets if target and not target.startswith(elsewhere)]
    for target in targets:
        assert (path.parent / target).exists(), target
    ignored = subprocess.run(
        ["git", "check-ignore", *targets], capture_output=True, text=True, cwd=path.parent
    )
    assert ignored.stdout == ""  # a file that git ignores is here, and in no clone


def test_method_notebooks_share_no_code_cell():
    """One line may stand in several: the call that draws a picture."""
    places = {}
    for path in NOTEBOOKS[3:8]:
        for cell in nbformat.read(path, 4).cells:
            lines = [line for line in cell.source.splitlines() if line]
            if cell.cell_type == "code" and len(lines) > 1:
                places.setdefault(tuple(lines), set()).add(path.stem)
    assert not {cell: where for cell, where in places.items() if len(where) > 1}


def test_the_lecturer_is_sent_to_headings_that_there_are():
    text = (ROOT / "notebooks/LECTURER.md").read_text()
    sent = re.findall(r'\]\((\d\d_\w+)\.ipynb\), "([^"]+)"', text)
    assert len(sent) > 1
    for name, heading in sent:
        notebook = (ROOT / f"notebooks/{name}.py").read_text()
        assert re.search(rf"^# #+ (\d\. )?{re.escape(heading)}(:.+)?$", notebook, re.MULTILINE), (
            heading
        )


def test_the_glossary_is_in_alphabetical_order():
    terms = re.findall(r'^\* \*\*"?(.+?)"?\.\*\*', PAGES[0].read_text(), re.MULTILINE)
    assert len(terms) >= 45
    assert terms == sorted(terms, key=lambda term: term.lower().replace("-", " "))
