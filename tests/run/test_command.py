"""What the command says of its data, and that a run folder is one command's at a time."""

import re

import numpy as np
import pytest

from dynammo.errors import InputError
from dynammo.run import command
from dynammo.run.graph import only_one


def test_test_images_that_are_trained_on_too_are_told(tiny_settings, blobs_npz, tmp_path, capsys):
    def warnings(path):
        command._checked_stream(tmp_path, tiny_settings.with_changes({"stream": str(path)}))
        return re.findall("^warning: .*", capsys.readouterr().err, re.MULTILINE)

    assert warnings(blobs_npz) == []
    with np.load(blobs_npz) as file:
        arrays = dict(file)
    arrays["test_images"][:2] = arrays["train_images"][5:7]
    np.savez(tmp_path / "shared.npz", **arrays)
    (told,) = warnings(tmp_path / "shared.npz")
    assert "2 of 48 test images are also training images" in told


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
