"""Runs: what they are called, and how paths in a stream are read."""

from pathlib import Path

import pytest

from dynammo.data.sources import absolute_spec
from dynammo.run.options import run_name


@pytest.mark.parametrize(
    ("profile", "stream", "classes", "name"),
    [
        ("demo", "", 0, "demo"),
        ("demo", "bloodmnist@28", 0, "demo-bloodmnist@28"),
        ("smoke", "/a b/my cells.npz", 2, "smoke-my_cells-2"),
        ("demo", "x/a.npz+y/b.npz", 0, "demo-a+b"),
    ],
)
def test_a_run_is_named_after_what_it_runs(profile, stream, classes, name):
    assert run_name(profile, stream, classes) == name


def test_paths_in_a_stream_are_made_absolute_and_names_left_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cells.npz").touch()
    (tmp_path / "photos").mkdir()
    (tmp_path / "cells@64").mkdir()
    (tmp_path / "phantom").mkdir()  # a name stays a name, whatever lies here
    spec = "cells.npz+photos@96+phantom+bloodmnist@28+missing.npz+ cells@64+~nobody/x.npz"
    here = Path.cwd()
    assert absolute_spec(spec) == (
        f"{here}/cells.npz+{here}/photos@96+phantom+bloodmnist@28+missing.npz+{here}/cells@64"
        "+~nobody/x.npz"
    )
