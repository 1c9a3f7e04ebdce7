"""What a newcomer relies on: pins that agree, code that is clean, imports that are allowed."""

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from functools import partial
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PINS = {
    canonicalize_name(requirement.name): requirement
    for line in (ROOT / "requirements.txt").read_text().splitlines()
    if line and not line.startswith("#")
    for requirement in [Requirement(line)]
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NEEDED = [
    Requirement(text) for text in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]
]
MODULES = sorted((ROOT / "dynammo").rglob("*.py"))


@pytest.mark.parametrize("needed", NEEDED, ids=lambda needed: needed.name)
def test_pins_satisfy_the_project_and_are_what_runs_here(needed):
    (specifier,) = PINS[canonicalize_name(needed.name)].specifier
    assert specifier.operator == "=="
    assert needed.specifier.contains(specifier.version)


def test_conda_installs_the_same_pins():
    text = (ROOT / "environment.yml").read_text()
    assert "--requirement requirements.txt" in text and "--editable ." in text
    assert "==" not in text


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=" ".join)
def test_code_is_lint_clean_and_formatted(command):
    answer = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "dynammo", "tests", "notebooks"],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout


def imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_nothing_imports_torchvision():
    assert [path.name for path in MODULES if any("torchvision" in n for n in imports(path))] == []


def test_imports_run_one_way():
    own = {module(path): {n for n in imports(path) if n.startswith("dynammo.")}
           for path in MODULES}  # fmt: skip
    for name, imported in own.items():
        # Names of things in a module, beside names of modules; a package stands for its last file.
        own[name] = {n for n in imported if n in own} - {name}
    done: set[str] = set()
    while left := own.keys() - done:
        free = {name for name in left if own[name] <= done}
        assert free, f"imports run in a circle among {sorted(left)}"
        done |= free
    parts = {"data", "streams", "backbones", "training"}
    assert not own["dynammo.merging"] & {f"dynammo.{name}" for name in parts}
    for name, imported in own.items():
        assert "learners" not in name or "dynammo.draw.accuracy" not in imported, name


def test_the_library_alone_works_outside_the_repository(tmp_path):
    """As ``pip install .`` puts it: the packages and their data, nothing beside them."""
    for path in (ROOT / "dynammo").rglob("*"):
        if path.suffix in (".py", ".toml"):
            copy = tmp_path / "site" / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    run = partial(
        subprocess.run, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    program = """if True:
        import importlib, pkgutil, dynammo
        from dynammo.settings import load_runs, profile_names
        for module in pkgutil.walk_packages(dynammo.__path__, "dynammo."):
            importlib.import_module(module.name)
        print(dynammo.__file__, sum(len(load_runs(name)) for name in profile_names()))"""
    file, runs = run([sys.executable, "-c", program]).stdout.split()
    assert Path(file).is_relative_to(tmp_path) and int(runs) > 10
    asked = run([sys.executable, "-m", "dynammo.run.command", "--profile", "smoke"])
    assert asked.returncode == 2 and "Clone the repository" in asked.stderr


def test_one_version_everywhere():
    import dynammo

    assert version("dynammo-companion") == dynammo.__version__
    assert f"version: {dynammo.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## {dynammo.__version__} (" in (ROOT / "CHANGELOG.md").read_text()
