"""Exercises to code: the check fails before its solution, says what is wrong, and passes after."""

import ast
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = Path(__file__).parent.parent.parent / "notebooks"


def tags(cell) -> list[str]:
    return cell.metadata.get("tags", [])


def cells_of(path: Path) -> list:
    return [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]


WITH_CODE = [
    path
    for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))
    if any("exercise" in tags(cell) for cell in cells_of(path))
]


def definitions(source: str) -> str:
    """Imports, functions and classes of a cell: what an exercise may rely on."""
    lines = [line for line in source.splitlines() if line[:1] not in ("%", "!")]
    kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
    kept = [node for node in ast.parse("\n".join(lines)).body if isinstance(node, kinds)]
    return ast.unparse(ast.Module(kept, []))


def run(path: Path, *, solved: bool) -> list[Exception]:
    """Run a notebook's definitions, exercises and checks in order; return what checks raised."""
    names: dict = {"__name__": "__main__"}
    raised = []
    for cell in cells_of(path):
        if "check" in tags(cell):
            try:
                exec(cell.source, names)
            except Exception as error:
                raised.append(error)
        elif "solution" not in tags(cell) or solved:
            exec(definitions(cell.source), names)
    return raised


@pytest.mark.parametrize("path", WITH_CODE, ids=lambda path: path.stem)
def test_a_coding_exercise_fails_before_its_solution_and_passes_after(path, capsys):
    cells = cells_of(path)
    checks = [cell for cell in cells if "check" in tags(cell)]
    for i, cell in enumerate(cells):
        if "exercise" in tags(cell):
            assert ["solution" in tags(cells[i + 1]), "check" in tags(cells[i + 2])] == [True] * 2
    before = run(path, solved=False)
    assert [type(error) for error in before] == [NotImplementedError] * len(checks)
    assert run(path, solved=True) == []
    assert len(capsys.readouterr().out.splitlines()) >= len(checks)  # what was reached is said
    for check in checks:  # each assert tells what is wrong
        asserts = [n for n in ast.walk(ast.parse(check.source)) if isinstance(n, ast.Assert)]
        assert asserts and all(n.msg is not None for n in asserts)
