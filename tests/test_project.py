"""What a newcomer relies on: pins that agree, code that is clean, imports that are allowed."""

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dynammo.run.ablations import ablations
from dynammo.run.command import LOOK_CLOSER
from dynammo.run.options import parse, resolve

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
TESTS = sorted((ROOT / "tests").rglob("*.py"))


@pytest.mark.parametrize("needed", NEEDED, ids=lambda needed: needed.name)
def test_pins_satisfy_the_project_and_are_what_runs_here(needed):
    (specifier,) = PINS[canonicalize_name(needed.name)].specifier
    assert specifier.operator == "=="
    assert needed.specifier.contains(specifier.version)
    # Of torch a build is a local version: 2.13.0+cpu.
    assert specifier.contains(version(needed.name).partition("+")[0])


def test_conda_installs_the_same_pins():
    text = (ROOT / "environment.yml").read_text()
    assert "--requirement requirements.txt" in text and "--editable ." in text
    assert "==" not in text


def test_what_other_machines_run_is_there():
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        for job in yaml.safe_load(path.read_text())["jobs"].values():
            for line in "\n".join(step.get("run", "") for step in job["steps"]).splitlines():
                if line.startswith((".", "/")):
                    assert os.access(ROOT / line.split()[0], os.X_OK), line
                _, *words = shlex.split(line) if line.startswith("./run_all.sh") else [""]
                if words and words[0] != "--test":
                    (settings,) = resolve(parse(words)).values()  # refuses what there is not
                    assert set(settings.ablations) <= {*LOOK_CLOSER, *ablations(settings, 8)}
                for name in re.findall(r"python -m ([\w.]+)", line):
                    assert find_spec(name), line
    book = yaml.safe_load((ROOT / ".github/workflows/book.yml").read_text())["jobs"]
    assert "runs/demo/report" in str(book["build"]) and book["publish"]["needs"] == "build"
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    assert "--requirement requirements.txt" in container["postCreateCommand"]
    recipe = (ROOT / ".devcontainer/Containerfile").read_text()
    steps = re.findall(r"^(RUN|ENTRYPOINT) (.+)", recipe, re.MULTILINE)
    assert [step.strip('[]"').split()[0] for _, step in steps] == ["./run_all.sh"] * 2


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=" ".join)
def test_code_is_lint_clean_and_formatted(command):
    answer = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "dynammo", "tests", "notebooks"],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout


def imports(path: Path, source: str | None = None) -> set[str]:
    """What a file imports, wherever it stands in it; of "from a import b" that is a.b."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text() if source is None else source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(ROOT).parts[: -node.level] if node.level else ()
            start = ".".join([*package, *filter(None, [node.module])])
            names |= {f"{start}.{alias.name}" for alias in node.names}
    return names


def module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_nothing_imports_torchvision():
    assert [path.name for path in MODULES if any("torchvision" in n for n in imports(path))] == []


# The rooms of the library, and what the files of each may import of it. "" are the files in the
# root, which are the paper; nothing but run/ imports run/.
ROOMS = {
    "": ("", "networks"),
    "networks": ("networks", "errors", "data.download"),
    "data": ("data", "stream", "errors"),
    "draw": ("draw", "data", "stream", "catalogue", "errors"),
    "baselines": ("", "networks", "baselines"),
    "beyond": ("", "networks", "baselines", "beyond"),
    "measure": ("", "networks", "data", "baselines", "beyond", "measure"),
    "run": ("", "networks", "data", "draw", "baselines", "beyond", "measure", "run"),
}


def room(name: str) -> str:
    """The room of a name within the library, such as data.npz; "" for the root."""
    first = name.partition(".")[0]
    return first if first in ROOMS else ""


def broken_walls(path: Path, source: str | None = None) -> set[str]:
    """What a file of the library imports from rooms that are closed to it."""
    split = (name.partition(".") for name in imports(path, source))
    own = {within for package, _, within in split if package == "dynammo"}
    allowed = ROOMS[room(module(path).partition(".")[2])]
    return {
        name
        for name in own
        if ("" not in allowed or room(name))
        and not any(f"{name}.".startswith(f"{place}.") for place in allowed if place)
    }


def circle(imported: dict[str, set[str]]) -> set[str]:
    """Files that import one another in a circle, or need those that do."""
    left = dict(imported)
    while free := {name for name, others in left.items() if not others & left.keys() - {name}}:
        left = {name: others for name, others in left.items() if name not in free}
    return set(left)


def test_rooms_have_walls_and_imports_run_one_way():
    assert {path.parent.name for path in MODULES} == {"dynammo", *ROOMS} - {""}
    assert {module(path): broken_walls(path) for path in MODULES if broken_walls(path)} == {}
    names = {module(path) for path in MODULES}
    # "from dynammo.stream import Split" is of the file dynammo/stream.py.
    own = {
        module(path): {n if n in names else n.rpartition(".")[0] for n in imports(path)} & names
        for path in MODULES
    }
    assert circle(own) == set()


@pytest.mark.parametrize(
    ("file", "source", "closed"),
    [
        ("draw/mine.py", "from dynammo.run import command", {"run.command"}),
        ("draw/mine.py", "from ..methods import DynaMMo", {"methods.DynaMMo"}),
        ("draw/mine.py", "from dynammo.catalogue import title\nimport dynammo.data.npz", set()),
        ("chain.py", "def f():\n    import dynammo.data.sources as s", {"data.sources"}),
        ("chain.py", "from dynammo import heads\nfrom dynammo.networks import weights", set()),
        ("data/mine.py", "if True:\n    from dynammo import training", {"training"}),
        ("networks/mine.py", "from dynammo.data.npz import read_npz", {"data.npz.read_npz"}),
        ("networks/mine.py", "from dynammo.data.download import fetch", set()),
        ("baselines/mine.py", "from dynammo.beyond.merged_by import MergedBy",
         {"beyond.merged_by.MergedBy"}),
        ("beyond/mine.py", "import numpy, dynammo.measure.cost", {"measure.cost"}),
        ("measure/mine.py", "from dynammo import run, draw", {"run", "draw"}),
    ],
)  # fmt: skip
def test_a_broken_wall_is_found(file, source, closed):
    assert broken_walls(ROOT / "dynammo" / file, source) == closed


def test_a_circle_is_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == {"a", "b", "c"}
    assert circle({"a": {"b"}, "b": set()}) == set()


def lines(paths) -> dict[str, int]:
    return {module(path): len(path.read_text().splitlines()) for path in paths}


def test_files_are_short_enough_to_read_at_once():
    found = lines([*MODULES, *TESTS])
    assert {name: count for name, count in found.items() if count > 300} == {}


def test_the_paper_is_read_in_one_sitting():
    assert sum(lines((ROOT / "dynammo").glob("*.py")).values()) <= 1653


def test_the_networks_are_few_lines():
    assert sum(lines((ROOT / "dynammo/networks").glob("*.py")).values()) <= 427


def python(program: str) -> str:
    """What a program prints in a process of its own."""
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout


def test_torch_is_loaded_by_nothing_that_can_do_without():
    """In one process, which goes on from what loads the least."""
    program = """if True:
        import sys

        def told(what, *others):
            loaded = {name.partition(".")[0] for name in sys.modules}
            print(*(f"{what}: {name}" for name in sorted(loaded & {"torch", *others})))

        import dynammo.catalogue
        told("the names of methods", "numpy")
        print(*(name for name in sys.modules if "baselines" in name or "methods" in name))
        import dynammo.data.make_stream
        dynammo.data.sources.medmnist_info()
        told("data", "torchvision")
        import dynammo.run.execute, dynammo.run.book
        told("notebooks started and books")
        import pandas as pd
        from dynammo.draw import accuracy, all_streams, comparisons, costs, heat_maps
        rows = [("dynammo", 0, 1, t, 2 * t, 20 * t, 0.9, 1e9) for t in (1, 2)]
        names = "method order_seed train_seed session classes_seen images accuracy macs"
        table = pd.DataFrame(rows, columns=names.split())
        accuracy.accuracy_by_family(table, "made up").draw_without_rendering()
        told("figures drawn from tables")"""
    assert python(program).split() == []


def test_learning_loads_little_else_of_the_library_and_looks_for_no_widgets():
    """tqdm.auto does, and says so at the top of a notebook where there are none."""
    program = """if True:
        import sys
        from dynammo.methods import DynaMMo
        print(*(name for name in sys.modules if name.partition(".")[0] == "dynammo"))
        import dynammo.run.learn, dynammo.run.collect, dynammo.draw.accuracy
        print("tqdm.auto" in sys.modules)"""
    loaded, widgets = python(program).splitlines()
    assert len(loaded.split()) <= 14 and widgets == "False"


def test_test_files_stand_alone():
    own = {path.stem for path in TESTS if not path.stem.startswith(("helpers", "conftest"))}
    for path in TESTS:
        assert not own & {part for name in imports(path) for part in name.split(".")}, path
        assert not re.search(r"^if __name__", path.read_text(), re.MULTILINE), path


def test_the_library_alone_works_outside_the_repository(tmp_path):
    """As ``pip install .`` puts it: the packages and their data, nothing beside them."""
    for path in (ROOT / "dynammo").rglob("*"):
        if path.suffix in (".py", ".toml"):
            copy = tmp_path / "site" / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    program = """if True:
        import importlib, pkgutil, dynammo
        from dynammo.run import command
        from dynammo.run.profiles import load_runs, profile_names
        for module in pkgutil.walk_packages(dynammo.__path__, "dynammo."):
            importlib.import_module(module.name)
        print(dynammo.__file__, sum(len(load_runs(name)) for name in profile_names()))
        print(command.main(["--profile", "smoke"]))"""
    asked = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
    )
    file, runs, status = asked.stdout.split()
    assert Path(file).is_relative_to(tmp_path) and int(runs) > 10
    assert status == "2" and "Clone the repository" in asked.stderr


def test_one_version_everywhere():
    import dynammo

    assert version("dynammo-companion") == dynammo.__version__
    assert f"version: {dynammo.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## {dynammo.__version__} (" in (ROOT / "CHANGELOG.md").read_text()
