"""Streams learned session by session: a start from the right place, and nothing learned twice."""

import json

import numpy as np
import pytest

from dynammo.baselines.nearest_class_mean import NearestClassMean
from dynammo.data.files import write_json
from dynammo.errors import InputError
from dynammo.measure.predictions import predict
from dynammo.methods import DynaMMo
from dynammo.run import learn
from dynammo.run.learn import last_session, learn_stream, open_session
from dynammo.run.sessions import load_predictions, read_record, session_folder
from dynammo.settings import Knobs


@pytest.fixture(scope="module")
def settings(tiny_settings):
    changes = {"adapter_epochs": 1, "head_epochs": 2, "methods": ("dynammo", "acl")}
    return tiny_settings.with_changes(changes)


@pytest.fixture(scope="module")
def short(tiny_settings):
    return tiny_settings.with_changes({"adapter_epochs": 1, "methods": ("replay",)})


def learn_session(run, settings, session):
    open_session(run, settings, 0, 1, session).learn_next(progress=False)


def predictions(folder, method):
    return load_predictions(folder, read_record(folder))[method].predicted


def test_a_session_needs_the_one_before(tmp_path, settings):
    with pytest.raises(InputError, match="run session 1 with the same seeds first"):
        open_session(tmp_path, settings, 0, 1, 2)


def test_a_session_refuses_a_start_with_other_settings_or_images(tmp_path, settings, blobs_npz):
    learn_session(tmp_path, settings, 1)
    open_session(tmp_path, settings, 0, 1, 2)
    more_seeds = settings.with_changes({"train_seeds": (1, 2)})
    open_session(tmp_path, more_seeds, 0, 1, 2)  # seeds only say which jobs there are
    other = settings.with_changes({"adapter_alpha": 0.5})
    with pytest.raises(InputError, match="another adapter_alpha.*start again"):
        open_session(tmp_path, other, 0, 1, 2)

    with np.load(blobs_npz) as file:
        arrays = dict(file)
    copy = tmp_path / "copy.npz"
    record = session_folder(tmp_path, 0, 1, 1) / "session.json"
    record.write_text(record.read_text().replace(str(blobs_npz), str(copy)))
    moved = settings.with_changes({"stream": str(copy)})
    np.savez(copy, **arrays)
    open_session(tmp_path, moved, 0, 1, 2)  # the same images under another name
    arrays["train_images"][0, 0, 0, 0] += 1
    np.savez(copy, **arrays)
    with pytest.raises(InputError, match="learned from other images of .*copy.npz.*start again"):
        open_session(tmp_path, moved, 0, 1, 2)


def test_a_session_refuses_a_start_of_which_an_earlier_one_was_run_otherwise(tmp_path, settings):
    for session in (1, 2):
        learn_session(tmp_path, settings, session)
    last_session(tmp_path, settings, 0, 1)
    other = settings.with_changes({"adapter_alpha": 0.5})
    learn_session(tmp_path, other, 1)
    with pytest.raises(InputError, match="session1 was run with another adapter_alpha"):
        last_session(tmp_path, settings, 0, 1)


def test_a_method_whose_earlier_session_is_gone_learns_again_from_there(tmp_path, short):
    learn_stream(tmp_path, short, "replay", 0, 1, progress=False)
    folders = [session_folder(tmp_path, 0, 1, session, "replay") for session in (1, 2)]
    expected = predictions(folders[1], "replay")
    (folders[0] / "session.json").unlink()
    learn_stream(tmp_path, short, "replay", 0, 1, progress=False)
    assert read_record(folders[0])["session"] == 1
    assert np.array_equal(predictions(folders[1], "replay"), expected)


def test_a_session_that_does_not_exist_is_refused(tmp_path, settings):
    with pytest.raises(InputError, match="has no session 3"):
        open_session(tmp_path, settings, 0, 1, 3)


def test_a_stream_goes_on_where_it_was_interrupted(tmp_path, short, monkeypatch):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    learn_stream(whole, short, "replay", 0, 1, progress=False)

    def stop(learner, split):
        if learner.session == 2:
            raise KeyboardInterrupt
        return predict(learner, split)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(learn, "predict", stop)
        learn_stream(broken, short, "replay", 0, 1, progress=False)
    first = session_folder(broken, 0, 1, 1, "replay") / "session.json"
    written = first.stat().st_mtime_ns
    assert learn_stream(broken, short, "replay", 0, 1, progress=False).session == 2
    assert first.stat().st_mtime_ns == written  # session 1 was not learned again
    for session in (1, 2):
        one, other = (session_folder(run, 0, 1, session, "replay") for run in (whole, broken))
        assert np.array_equal(predictions(one, "replay"), predictions(other, "replay"))

    # Only the newest weights are kept, and a finished stream is left alone.
    assert [path.parent.name for path in whole.rglob("state.safetensors")] == ["session2"]
    again = learn_stream(whole, short, "replay", 0, 1, progress=False)
    expected = predictions(again.folder(2), "replay")
    assert np.array_equal(predict(again.learners[0], "test").predicted, expected)


@pytest.mark.parametrize("change", ["settings", "code"])
def test_what_other_settings_or_code_left_is_learned_again(tmp_path, short, change):
    learn_stream(tmp_path, short, "replay", 0, 1, progress=False)
    record = session_folder(tmp_path, 0, 1, 1, "replay") / "session.json"
    last = record.parent.parent / "session2" / "session.json"
    written = record.stat().st_mtime_ns
    if change == "settings":
        short = short.with_changes({"network_learning_rate": 0.01})
    else:
        saved = json.loads(last.read_text())
        saved["parts"]["replay"]["code"] = "of another day"
        write_json(last, saved)
    learn_stream(tmp_path, short, "replay", 0, 1, progress=False)
    assert record.stat().st_mtime_ns > written


def tuned(group):
    return [(group.folder(t) / "adapters.safetensors").read_bytes() for t in (1, 2)]


def times_of_adapters(folder):
    rows = json.loads((folder / "measured.json").read_text())
    return [row for row in rows if row["method"] == "adapters"]


def test_answers_without_weights_are_neither_removed_nor_learned_again(tmp_path, short):
    """As an archive brings them: all records, and no weights."""
    group = learn_stream(tmp_path, short, "replay", 0, 1, progress=False)
    (group.folder(2) / "state.safetensors").unlink()
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(InputError, match="answers and no weights"):
        learn_stream(tmp_path, short, "replay", 0, 1, progress=False)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_tuned_adapters_are_recalled_where_only_a_method_is_new(tmp_path, settings, monkeypatch):
    one = settings.with_changes({"methods": ("dynammo",)})
    group = learn_stream(tmp_path, one, "", 0, 1, progress=False)
    folder, adapters = group.folder(2), tuned(group)
    losses, merged = read_record(folder)["losses"], predictions(folder, "dynammo")
    (took,) = times_of_adapters(folder)

    def tuning(*_arguments, **_more):
        raise RuntimeError("tuned again")

    monkeypatch.setattr("dynammo.chain.tune_adapters", tuning)
    group = learn_stream(tmp_path, settings, "", 0, 1, progress=False)
    assert [learner.name for learner in group.learners] == ["dynammo", "acl"]
    assert tuned(group) == adapters
    assert (folder / "head_acl.safetensors").exists()
    assert read_record(folder)["losses"] == losses != []
    assert times_of_adapters(folder) == [took]  # and not how long it took to read them
    assert np.array_equal(predictions(folder, "dynammo"), merged)

    other = settings.with_changes({"adapter_alpha": 0.5})
    # Sets that were tuned with other settings are no use.
    with pytest.raises(RuntimeError, match="tuned again"):
        learn_stream(tmp_path, other, "", 0, 1, progress=False)


def test_a_method_on_adapters_is_learned_with_those_of_the_settings(tmp_path, settings):
    group = learn_stream(tmp_path, settings, "last_adapter", 0, 1, progress=False)
    assert [learner.name for learner in group.learners] == ["dynammo", "acl", "last_adapter"]
    assert group.session == group.chain.session == 2
    assert predictions(group.folder(2), "last_adapter").shape == (48,)


class Mine(DynaMMo):
    """A method on adapters that the catalogue does not know."""

    name = "mine"

    class Knobs(Knobs):
        strength: float = 2.0


class MyMeans(NearestClassMean):
    """A method of its own that it does not know."""

    name = "my_means"


@pytest.mark.parametrize(("kind", "like"), [(Mine, "dynammo"), (MyMeans, "nearest_class_mean")])
def test_a_class_that_is_not_in_the_catalogue_goes_through_a_stream(tmp_path, settings, kind, like):
    group = learn_stream(tmp_path, settings, kind, 0, 1, progress=False)
    assert type(group.learners[-1]) is kind and group.session == 2
    assert group.learners[-1].session == 2
    record = group.folder(2) / "session.json"
    part = read_record(record.parent)["parts"][kind.name]
    assert ("mine_strength" in part["settings"]) == (kind is Mine)

    # It predicts as the class that it inherits all from.
    known = learn_stream(tmp_path / "known", settings, like, 0, 1, progress=False)
    expected = predictions(known.folder(2), like)
    assert np.array_equal(predictions(record.parent, kind.name), expected)

    written = record.stat().st_mtime_ns
    learn_stream(tmp_path, settings, kind, 0, 1, progress=False)
    assert record.stat().st_mtime_ns == written  # and is not learned again
