"""Run folders: names, files that are whole or absent, and sessions that refuse a wrong start."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from dynammo import evaluation, runs
from dynammo.errors import InputError
from dynammo.sources import absolute_spec


@pytest.fixture
def settings(tiny_settings):
    return dataclasses.replace(
        tiny_settings, adapter_epochs=1, head_epochs=2, methods=("dynammo", "acl")
    )


def learn(run, settings, session):
    chain, learners = runs.open_session(run, settings, 0, 1, session)
    losses = chain.tune(progress=False)
    chain.merge()
    chain.choose_exemplars()
    for learner in learners:
        learner.learn_session()
    answers = {learner.name: evaluation.predict(learner, "test") for learner in learners}
    return runs.save_session(run, chain, learners, answers, losses, {"tuning": 1.0}), answers


def test_a_session_needs_the_one_before(tmp_path, settings):
    with pytest.raises(InputError, match="run session 1 with the same seeds first"):
        runs.open_session(tmp_path, settings, 0, 1, 2)


def test_a_session_refuses_a_start_with_other_settings_or_images(tmp_path, settings, blobs_npz):
    learn(tmp_path, settings, 1)
    runs.open_session(tmp_path, settings, 0, 1, 2)
    more_seeds = dataclasses.replace(settings, train_seeds=(1, 2))
    runs.open_session(tmp_path, more_seeds, 0, 1, 2)  # seeds only say which jobs there are
    other = dataclasses.replace(settings, adapter_alpha=0.5)
    with pytest.raises(InputError, match="another adapter_alpha.*start again"):
        runs.open_session(tmp_path, other, 0, 1, 2)

    with np.load(blobs_npz) as file:
        arrays = dict(file)
    copy = tmp_path / "copy.npz"
    record = runs.session_folder(tmp_path, 0, 1, 1) / "session.json"
    record.write_text(record.read_text().replace(str(blobs_npz), str(copy)))
    moved = dataclasses.replace(settings, stream=str(copy))
    np.savez(copy, **arrays)
    runs.open_session(tmp_path, moved, 0, 1, 2)  # the same images under another name
    arrays["train_images"][0, 0, 0, 0] += 1
    np.savez(copy, **arrays)
    with pytest.raises(InputError, match="images of .* have changed"):
        runs.open_session(tmp_path, moved, 0, 1, 2)


def test_a_session_that_does_not_exist_is_refused(tmp_path, settings):
    with pytest.raises(InputError, match="has no session 3"):
        runs.open_session(tmp_path, settings, 0, 1, 3)


def test_predictions_come_back_as_they_were_saved(tmp_path, settings):
    folder, answers = learn(tmp_path, settings, 1)
    back = runs.load_predictions(folder, 1)
    assert back.keys() == answers.keys()
    for method, answer in answers.items():
        np.testing.assert_array_equal(back[method].predicted, answer.predicted)
        np.testing.assert_array_equal(back[method].lowest_others, answer.lowest_others)


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "session1"
    with pytest.raises(ZeroDivisionError), runs.whole_folder(target) as part:
        (part / "weights").write_text("half")
        _ = 1 / 0
    assert not target.exists()
    for text in ("first", "second"):  # a second success replaces the first
        with runs.whole_folder(target) as part:
            (part / "weights").write_text(text)
    assert (target / "weights").read_text() == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["session1"]


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
    assert runs.run_name(profile, stream, classes) == name


def test_paths_in_a_stream_are_made_absolute_and_names_left_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cells.npz").touch()
    (tmp_path / "photos").mkdir()
    (tmp_path / "phantom").mkdir()  # a name stays a name, whatever lies here
    spec = "cells.npz+photos@96+phantom+bloodmnist@28+missing.npz"
    here = Path.cwd()
    assert absolute_spec(spec) == (
        f"{here}/cells.npz+{here}/photos@96+phantom+bloodmnist@28+missing.npz"
    )
