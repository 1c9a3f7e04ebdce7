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


def run(cells: list, *, solved: bool) -> list[Exception]:
    """Run a notebook's definitions, exercises and checks in order; return what checks raised."""
    names: dict = {"__name__": "__main__"}
    raised = []
    for cell in cells:
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
    before = run(cells, solved=False)
    assert [type(error) for error in before] == [NotImplementedError] * len(checks)
    assert run(cells, solved=True) == []
    assert len(capsys.readouterr().out.splitlines()) >= len(checks)  # what was reached is said
    for check in checks:  # each assert tells what is wrong
        asserts = [n for n in ast.walk(ast.parse(check.source)) if isinstance(n, ast.Assert)]
        assert asserts and all(n.msg is not None for n in asserts)


class OneSlip(ast.NodeTransformer):
    """The n-th slip of these: a sum becomes a difference, a product a quotient, or the reverse;

    the right side of either is forgotten; a case of its own (`if`) is.
    """

    OTHER = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}

    def __init__(self, which: int):
        self.left = which

    def visit_BinOp(self, node):
        self.generic_visit(node)
        if type(node.op) not in self.OTHER:
            return node
        self.left -= 2
        if self.left == -2:
            node.op = self.OTHER[type(node.op)]()
        return node.left if self.left == -1 else node

    def visit_If(self, node):
        self.generic_visit(node)
        self.left -= 1
        return node.orelse or None if self.left == -1 else node


def with_slips(source: str) -> list[str]:
    """A solution with one slip in it, for each place where there can be one."""
    found = []
    while True:
        slip = OneSlip(len(found))
        tree = slip.visit(ast.parse(source))
        if slip.left >= 0:
            return found
        found.append(ast.unparse(tree))


def solutions(path: Path) -> list[str]:
    return [cell.source for cell in cells_of(path) if "solution" in tags(cell)]


WITH_SLIPS = [path for path in WITH_CODE if any(map(with_slips, solutions(path)))]


@pytest.mark.parametrize("path", WITH_SLIPS, ids=lambda path: path.stem)
def test_a_check_says_what_is_wrong_with_a_slip(path, capsys):
    """One wrong sign or factor in a solution, and its own check tells in words."""
    cells, told = cells_of(path), []
    for cell in [cell for cell in cells if "solution" in tags(cell)]:
        right = cell.source
        for wrong in with_slips(right):
            cell.source = wrong
            raised = run(cells, solved=True)
            assert raised, f"This passes:\n{wrong}"
            told.append(any(isinstance(error, AssertionError) and error.args for error in raised))
        cell.source = right
    # The others raise an error of Python's or torch's own.
    assert len(told) < 3 or sum(told) >= len(told) / 2
