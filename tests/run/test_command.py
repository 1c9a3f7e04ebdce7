"""What the command says of its data, and that a run folder is one command's at a time."""

import re

import numpy as np
import pytest

from dynammo.data.files import write_json
from dynammo.errors import InputError
from dynammo.run import command
from dynammo.run.graph import only_one


def test_test_images_that_are_trained_on_too_are_told(tiny_settings, blobs_npz, tmp_path, capsys):
    def warnings(path):
        command._checked_setup(tmp_path, tiny_settings.with_changes({"stream": str(path)}))
        return re.findall("^warning: .*", capsys.readouterr().err, re.MULTILINE)

    assert warnings(blobs_npz) == []
    with np.load(blobs_npz) as file:
        arrays = dict(file)
    arrays["test_images"][:2] = arrays["train_images"][5:7]
    np.savez(tmp_path / "shared.npz", **arrays)
    (told,) = warnings(tmp_path / "shared.npz")
    assert "2 of 48 test images are also training images" in told


def test_a_run_that_is_looked_closer_at_is_made_where_it_is_missing(
    tiny_settings, tmp_path, monkeypatch
):
    run, asked = tmp_path / "runs" / "demo", []
    run.mkdir(parents=True)  # as --dry-run leaves it

    def demo(arguments):
        asked.append(arguments)
        write_json(run / "settings.json", tiny_settings.as_dict())
        return 0

    monkeypatch.setattr(command, "main", demo)
    assert command.settings_of_run(run) == tiny_settings == command.settings_of_run(run)
    assert asked == [["--profile", "demo", "--output", str(tmp_path)]]
    with pytest.raises(InputError, match="There is no run"):
        command.settings_of_run(tmp_path / "runs" / "other")
    assert len(asked) == 1


@pytest.mark.parametrize(("more", "kept"), [([], False), (["--dry-run"], True)])
def test_fresh_forgets_a_run_and_a_dry_run_does_not(
    blobs_npz, tmp_path, monkeypatch, capsys, more, kept
):
    asked = ["--profile", "smoke", "--stream", str(blobs_npz), "--name", "mine"]
    old = tmp_path / "runs/mine/order0-seed1/session1/session.json"
    drawn = tmp_path / "figures/mine/summary.csv"
    for path in (old, drawn):
        path.parent.mkdir(parents=True)
        path.touch()
    monkeypatch.setattr(command, "run_graph", lambda *_arguments, **_more: 1)  # a job fails
    status = command.main([*asked, "--output", str(tmp_path), "--fresh", *more])
    assert status == 1 and old.exists() == kept == drawn.exists()
    assert (tmp_path / "runs/mine/.lock").exists()
    if not more:
        assert "stopped" in capsys.readouterr().err


def test_fresh_loses_nothing_where_the_command_cannot_run(blobs_npz, tmp_path, capsys):
    old = tmp_path / "runs/mine/order0-seed1/session1/session.json"
    old.parent.mkdir(parents=True)
    old.touch()
    asked = ["--profile", "smoke", "--stream", str(blobs_npz), "--name", "mine", "--fresh"]
    asked += ["--output", str(tmp_path), "--set", "memory_budget=3"]
    assert command.main(asked) == 2 and old.exists()
    assert "cannot hold one of each" in capsys.readouterr().err


def test_a_run_folder_is_one_command_s_until_it_has_ended(tmp_path):
    run = tmp_path / "run"
    with (
        only_one(run),
        pytest.raises(InputError, match="Another command is working on .*run: wait for it"),
        only_one(run),
    ):
        pass
    with only_one(run):
        pass
