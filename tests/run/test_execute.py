"""How one notebook is run headlessly, and what is said where it cannot be."""

from pathlib import Path

import nbclient
import nbformat
import papermill
import pytest

from dynammo.errors import InputError
from dynammo.run.execute import NotebookFailed, execute, fitted

ROOT = Path(__file__).parents[2]


def test_settings_a_notebook_does_not_show_go_into_more():
    path = ROOT / "notebooks/03_bounds.ipynb"
    given = fitted(path, {"method": "joint", "head_epochs": 3, "adapter_alpha": 2.0})
    assert given == {"method": "joint", "more": {"head_epochs": 3}}


def test_what_is_the_notebook_s_default_is_not_given_again():
    path = ROOT / "notebooks/03_bounds.ipynb"
    same = {"method": "fine_tuning", "order_seed": 0, "train_seed": 1, "head_epochs": 100}
    assert fitted(path, same | {"order_seed": 2}) == {"order_seed": 2}


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
