"""Which files a method's results depend on: its own and what it imports, and no other method's."""

import json
import shutil
from itertools import product

import pytest
import torch
from torch import Tensor

from dynammo.catalogue import METHODS
from dynammo.methods import ACL
from dynammo.run import code
from dynammo.run.code import PACKAGE, code_behind, code_checksum, files_behind, method_files


def named(files) -> set[str]:
    return {path.relative_to(PACKAGE).as_posix() for path in files}


def test_a_methods_results_depend_on_its_own_file_and_on_no_other_methods():
    behind = named(method_files("lwf"))
    assert {"baselines/lwf.py", "baselines/distillation.py", "training.py"} <= behind
    assert {"run/learn.py", "measure/cost.py", "networks/resnet18.py"} <= behind
    assert not {"baselines/ewc.py", "baselines/icarl.py", "beyond/dynammo_ridge.py"} & behind
    tuned = named(method_files())
    assert {"chain.py", "adapters.py", "networks/weights.py"} <= tuned
    others = {name for name in tuned if "/" in name and not name.startswith("networks/")}
    assert others == {"data/__init__.py", "data/download.py"}  # of the pretrained weights


def test_drawing_code_is_no_part_of_what_results_depend_on():
    behind = set().union(*(named(method_files(name)) for name in ("", *METHODS)))
    assert {"training.py", "baselines/replay.py", "merging.py"} <= behind
    assert not [name for name in behind if name.startswith("draw/")]


def test_imports_are_followed_wherever_they_stand(tmp_path):
    (tmp_path / "one.py").write_text("def later():\n    from dynammo.draw import costs\n")
    cell = {"cell_type": "code", "source": ["%matplotlib inline\n", "import dynammo.merging"]}
    text = {"cell_type": "markdown", "source": ["import dynammo.run.command"]}
    (tmp_path / "two.ipynb").write_text(json.dumps({"cells": [cell, text]}))
    drawn = named(files_behind(tmp_path / "one.py"))
    assert {"draw/costs.py", "draw/__init__.py", "draw/style.py", "catalogue.py"} <= drawn
    assert named(files_behind(tmp_path / "two.ipynb")) == {"__init__.py", "errors.py", "merging.py"}


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """The library in a folder where it can be changed, and what is said of its code there."""
    package = tmp_path / "dynammo"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    remembered = (code._library_code, code._imported)

    def codes() -> dict[str, str]:
        for function in remembered:
            function.cache_clear()
        return {method: code_behind(method) for method in ("", *METHODS)}

    with monkeypatch.context() as patch:
        patch.setattr(code, "PACKAGE", package)
        yield package, codes
    for function in remembered:
        function.cache_clear()


def test_a_new_method_changes_no_other_methods_code(copied):
    package, codes = copied
    before, everything = codes(), code_checksum()
    (package / "baselines" / "mine.py").write_text("from dynammo.baselines import lwf\n")
    with (package / "catalogue.toml").open("a") as file:
        file.write('mine = ["mine", "replay", "dynammo.baselines.mine:Mine"]\n')
    assert codes() == before and code_checksum() != everything


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("baselines/ewc.py", {"ewc"}),
        ("baselines/distillation.py", {"lwf", "wa"}),
        ("methods.py", set(METHODS)),
        ("training.py", {"", *METHODS}),
        ("draw/style.py", set()),
    ],
)
def test_a_change_concerns_those_that_import_the_file(copied, file, changed):
    package, codes = copied
    before = codes()
    with (package / file).open("a") as text:
        text.write("# more\n")
    now = codes()
    assert {method for method in before if now[method] != before[method]} == changed


class Mine(ACL):
    """A class of one's own, outside the library."""

    name = "mine"


class Other(ACL):
    """Another of the same name."""

    name = "mine"

    def stored_adapter_sets(self) -> int:
        return 1


def test_the_code_of_a_class_of_ones_own_counts_too():
    assert code_behind(Mine) == code_behind(Mine) and code_behind(Other) != code_behind(Mine)
    assert named(method_files(Mine)) == named(method_files("acl"))


def share(part):
    return part / 2


class Halved:
    def apart(self, part):
        return [share(each) for each in part]


class Asks(ACL):
    """It calls a class that calls a function: other cells of the same notebook."""

    name = "mine"

    def stored_adapter_sets(self) -> int:
        return len(Halved().apart([1, 2]))


def test_what_code_of_ones_own_calls_counts_too(monkeypatch):
    before = code_behind(Asks)

    def share(part):
        return part / 3

    share.__module__ = __name__
    monkeypatch.setitem(globals(), "share", share)
    assert code_behind(Asks) != before  # the class is the same, and so is what it calls by name


SCALE = 2.0


def scaled_by(scale):
    def loss(logits, targets):
        return scale * (logits - targets)

    return loss


def by_constant(logits, targets, weights=(1, 2)):
    return SCALE * weights[0] * (logits - targets)


def by_torch(logits, targets):
    return torch.as_tensor(logits) if isinstance(targets, torch.Tensor | Tensor) else SCALE


def test_libraries_and_classes_that_code_of_ones_own_names_are_no_values(monkeypatch):
    before = code_behind("", (by_torch,))
    monkeypatch.setitem(globals(), "SCALE", 3.0)
    assert code_behind("", (by_torch,)) != before


def test_values_that_code_of_ones_own_uses_count_too(monkeypatch):
    def code(part):
        return code_behind("", (part,))

    assert code(scaled_by(2.0)) == code(scaled_by(2.0)) != code(scaled_by(0.5))
    before = code(by_constant)
    monkeypatch.setitem(globals(), "SCALE", torch.tensor([0.5, 1.0]))
    changed = code(by_constant)
    monkeypatch.setitem(globals(), "SCALE", torch.tensor([0.5, 2.0]))
    assert len({before, changed, code(by_constant)}) == 3
    monkeypatch.setitem(globals(), "SCALE", 2.0)
    monkeypatch.setattr(by_constant, "__defaults__", ([1, 3],))
    assert code(by_constant) != before
    weighted = [type("Weighted", (ACL,), {"name": "mine", "weights": [w]}) for w in (1, 1, 2)]
    for kind in weighted:
        kind.__module__ = __name__
    same, again, other = map(code_behind, weighted)
    assert same == again != other


def one(self):
    return 1


def two(self):
    return 2


def test_plain_values_and_properties_of_a_class_of_ones_own_count_too():
    def made(teacher, rate):
        values = {"name": "mine", "has_teacher": teacher, "rate": property(rate)}
        return type("Changed", (ACL,), values | {"__module__": __name__})

    codes = {code_behind(made(*given)) for given in product((True, False), (one, two))}
    assert len(codes) == 4 and code_behind(made(True, one)) in codes
