"""What the command line asks for: runs, their names and settings, and paths in a stream."""

from pathlib import Path

import pytest

from dynammo.data.sources import absolute_spec
from dynammo.errors import InputError
from dynammo.run.options import parse, resolve, run_name


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


def test_other_data_is_used_whole_unless_told_otherwise(blobs_npz):
    quick = resolve(parse(["--profile", "quick"]))["quick"]
    assert quick.classes_per_session and quick.train_per_class
    asked = ["--profile", "quick", "--stream", str(blobs_npz)]
    (own,) = resolve(parse(asked)).values()
    assert (own.stream, own.classes_per_session, own.train_per_class) == (str(blobs_npz), 0, 0)
    (told,) = resolve(parse([*asked, "--set", "train_per_class=7"])).values()
    assert told.train_per_class == 7
    (cut,) = resolve(parse([*asked, "--classes-per-session", "1"])).values()
    assert cut.classes_per_session == 1


def test_a_profile_of_several_runs_is_one_run_on_other_data_and_takes_no_name(blobs_npz):
    assert len(resolve(parse(["--profile", "study"]))) > 1
    (name,) = resolve(parse(["--profile", "study", "--stream", str(blobs_npz)]))
    assert name == "study-blobs"
    with pytest.raises(InputError, match="--name is for one run, and 'study' has"):
        resolve(parse(["--profile", "study", "--name", "mine"]))
