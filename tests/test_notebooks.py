"""The notebooks as files, and how one of them is run headlessly."""

import re
import subprocess
import sys
import time
from pathlib import Path

import jupytext
import nbclient
import nbformat
import papermill
import psutil
import pytest

from dynammo.catalogue import LEARNERS, adapter_methods
from dynammo.errors import InputError
from dynammo.run.execute import NotebookFailed, execute, fitted
from dynammo.run.sessions import comparable
from dynammo.settings import Settings

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAGES = [ROOT / "notebooks" / name for name in ("GLOSSARY.md", "LECTURER.md", "CARDS.md")]
OTHERS = {"run_folder", "figures_folder", "session", "method", "order_seed", "train_seed", "more"}
METHODS_WITH_KNOBS = tuple(f"{name}_" for name in LEARNERS)
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
                assert len(cell.source.splitlines()) <= 20, cell.source


@each_notebook
def test_parameters_are_settings_with_the_same_defaults(path):
    defaults = Settings().as_dict()
    for name, parameter in papermill.inspect_notebook(str(path)).items():
        assert parameter["inferred_type_name"] != "None", f"{name} has no type"
        if name not in OTHERS:
            own_choice = path.stem[:2] == "11" and name == "methods"
            if name in defaults and not own_choice:
                assert eval(parameter["default"]) == defaults[name], name
            explained_by_its_name = ("adapter_", "head_", "methods", *METHODS_WITH_KNOBS)
            assert parameter["help"] or name.startswith(explained_by_its_name), name


def test_the_session_notebook_has_a_parameter_for_every_setting_a_session_depends_on():
    known = papermill.inspect_notebook(str(ROOT / "notebooks/02_incremental_session.ipynb"))
    assert set(comparable(Settings())) <= set(known)


@pytest.mark.parametrize("method", [m for m in LEARNERS if not adapter_methods([m])])
def test_each_family_has_a_notebook_with_the_knobs_of_its_methods(method):
    (path,) = (ROOT / "notebooks").glob(f"0*_{LEARNERS[method].family}.ipynb")
    known = papermill.inspect_notebook(str(path))
    others = set(comparable(Settings(), "fine_tuning"))
    assert set(comparable(Settings(), method)) - others <= set(known)
    assert {"method", "stream", "order_seed", "train_seed", "run_folder", "more"} <= set(known)
    assert f"`{method}`" in path.read_text()


def test_settings_a_notebook_does_not_show_go_into_more():
    path = ROOT / "notebooks/03_bounds.ipynb"
    given = fitted(path, {"method": "joint", "head_epochs": 3, "adapter_alpha": 2.0})
    assert given == {"method": "joint", "more": {"head_epochs": 3}}


@each_notebook
def test_every_exercise_has_a_solution_in_the_next_cell(path):
    cells = nbformat.read(path, 4).cells
    tagged = [i for i, cell in enumerate(cells) if "solution" in cell.metadata.get("tags", [])]
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
    targets = [link.partition(")")[0] for link in path.read_text().split("](")[1:]]
    targets = [target for target in targets if not target.startswith(("http", "#"))]
    for target in targets:
        assert (path.parent / target).exists(), target
    ignored = subprocess.run(
        ["git", "check-ignore", *targets], capture_output=True, text=True, cwd=path.parent
    )
    assert ignored.stdout == ""  # a file that git ignores is here, and in no clone


@pytest.mark.parametrize("table", ["claims", "methods"])
def test_the_readme_shows_the_tables_that_the_study_wrote(table):
    written = (ROOT / f"figures/study/{table}.md").read_text()
    assert written.strip() in (ROOT / "README.md").read_text()


def test_the_glossary_is_in_alphabetical_order():
    terms = re.findall(r'^\* \*\*"?(.+?)"?\.\*\*', PAGES[0].read_text(), re.MULTILINE)
    assert len(terms) >= 45
    assert terms == sorted(terms, key=lambda term: term.lower().replace("-", " "))


def test_unknown_parameter_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(InputError, match="no parameter 'sesion'.*session"):
        execute(
            ROOT / "notebooks/02_incremental_session.ipynb", tmp_path / "o.ipynb", {"sesion": 2}
        )
    assert list(tmp_path.iterdir()) == []


def test_a_failing_cell_is_named_and_its_copy_kept(tmp_path):
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell("1 / 0")]
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "", "language": "python"}
    nbformat.write(notebook, tmp_path / "broken.ipynb")
    output = tmp_path / "out" / "broken.ipynb"
    with pytest.raises(NotebookFailed, match="broken.ipynb stopped in cell 1: ZeroDivisionError"):
        execute(tmp_path / "broken.ipynb", output, {})
    assert [path.name for path in output.parent.iterdir()] == ["broken.failed.ipynb"]


def test_a_job_ends_soon_after_the_command_that_started_it():
    command = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    program = f"""
import subprocess, sys, time
from dynammo.run.processes import end_with
kernel = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(kernel.pid, flush=True)
end_with({command.pid}, every=0.05)
time.sleep(60)
"""
    job = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    kernel = psutil.Process(int(job.stdout.readline()))
    time.sleep(0.3)
    assert job.poll() is None and kernel.is_running()
    command.kill()
    command.wait()
    assert job.wait(timeout=10) == 1
    kernel.wait(timeout=10)


@pytest.mark.parametrize("deaths", [1, 2, 3])
def test_a_kernel_that_does_not_come_up_is_started_again(deaths, tmp_path, monkeypatch):
    notebook, output = ROOT / "notebooks/01_prepare_data.ipynb", tmp_path / "out.ipynb"
    calls = []

    def start(_notebook, part, **_options):
        calls.append(part)
        Path(part).write_text("{}")
        if len(calls) <= deaths:
            raise RuntimeError("Kernel died before replying to kernel_info")

    monkeypatch.setattr(papermill, "execute_notebook", start)
    if deaths < 3:
        execute(notebook, output, {})
        assert len(calls) == deaths + 1
        assert output.exists()
    else:
        with pytest.raises(NotebookFailed, match="--cores 1"):
            execute(notebook, output, {})
        assert not list(tmp_path.iterdir())


def test_a_kernel_that_dies_at_work_is_not_started_again(tmp_path, monkeypatch):
    calls = []

    def die(*_arguments, **_options):
        calls.append(1)
        raise nbclient.exceptions.DeadKernelError("Kernel died")

    monkeypatch.setattr(papermill, "execute_notebook", die)
    with pytest.raises(NotebookFailed, match="Most often memory ran out"):
        execute(ROOT / "notebooks/01_prepare_data.ipynb", tmp_path / "out.ipynb", {})
    assert len(calls) == 1
