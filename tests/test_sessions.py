"""Sessions on disk: a start from the right place, a stream that goes on, folders that are whole."""

import dataclasses
import json

import numpy as np
import pytest

from dynammo.data import files
from dynammo.errors import InputError
from dynammo.measure.predictions import predict
from dynammo.measure.stopwatch import Meter
from dynammo.run import sessions
from dynammo.run.provenance import SESSIONS, files_behind


@pytest.fixture
def settings(tiny_settings):
    return dataclasses.replace(
        tiny_settings, adapter_epochs=1, head_epochs=2, methods=("dynammo", "acl")
    )


def learn(run, settings, session):
    chain, learners = sessions.open_session(run, settings, 0, 1, session)
    losses = chain.tune(progress=False)
    chain.merge()
    chain.choose_exemplars()
    for learner in learners:
        learner.learn_session()
    answers = {learner.name: predict(learner, "test") for learner in learners}
    return sessions.save_session(
        run, chain, learners, answers, losses, Meter(chain.device)
    ), answers


def test_a_session_needs_the_one_before(tmp_path, settings):
    with pytest.raises(InputError, match="run session 1 with the same seeds first"):
        sessions.open_session(tmp_path, settings, 0, 1, 2)


def test_a_session_refuses_a_start_with_other_settings_or_images(tmp_path, settings, blobs_npz):
    learn(tmp_path, settings, 1)
    sessions.open_session(tmp_path, settings, 0, 1, 2)
    more_seeds = dataclasses.replace(settings, train_seeds=(1, 2))
    sessions.open_session(tmp_path, more_seeds, 0, 1, 2)  # seeds only say which jobs there are
    other = dataclasses.replace(settings, adapter_alpha=0.5)
    with pytest.raises(InputError, match="another adapter_alpha.*start again"):
        sessions.open_session(tmp_path, other, 0, 1, 2)

    with np.load(blobs_npz) as file:
        arrays = dict(file)
    copy = tmp_path / "copy.npz"
    record = sessions.session_folder(tmp_path, 0, 1, 1) / "session.json"
    record.write_text(record.read_text().replace(str(blobs_npz), str(copy)))
    moved = dataclasses.replace(settings, stream=str(copy))
    np.savez(copy, **arrays)
    sessions.open_session(tmp_path, moved, 0, 1, 2)  # the same images under another name
    arrays["train_images"][0, 0, 0, 0] += 1
    np.savez(copy, **arrays)
    with pytest.raises(InputError, match="images of .* changed since"):
        sessions.open_session(tmp_path, moved, 0, 1, 2)


def test_a_session_that_does_not_exist_is_refused(tmp_path, settings):
    with pytest.raises(InputError, match="has no session 3"):
        sessions.open_session(tmp_path, settings, 0, 1, 3)


def test_predictions_come_back_as_they_were_saved(tmp_path, settings):
    folder, answers = learn(tmp_path, settings, 1)
    back = sessions.load_predictions(folder, 1)
    assert back.keys() == answers.keys()
    for method, answer in answers.items():
        np.testing.assert_array_equal(back[method].predicted, answer.predicted)
        np.testing.assert_array_equal(back[method].lowest_others, answer.lowest_others)


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "session1"
    with pytest.raises(ZeroDivisionError), files.whole_folder(target) as part:
        (part / "weights").write_text("half")
        _ = 1 / 0
    assert not target.exists()
    for text in ("first", "second"):  # a second success replaces the first
        with files.whole_folder(target) as part:
            (part / "weights").write_text(text)
    assert (target / "weights").read_text() == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["session1"]


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path):
    (tmp_path / "a").mkdir()
    kept = [tmp_path / "a/weights", tmp_path / "part", tmp_path / ".hidden"]
    gone = [tmp_path / "a/.weights.12.part", tmp_path / "a/.x.ipynb.part.ipynb"]
    for path in (*kept, *gone):
        path.touch()
    for name in (".session1.part", ".session1.old"):
        (tmp_path / "a" / name).mkdir()
        (tmp_path / "a" / name / "half").touch()
    files.remove_left_overs(tmp_path)
    assert set(tmp_path.rglob("*")) == {*kept, tmp_path / "a"}


@pytest.fixture(scope="module")
def short(tiny_settings):
    changes = {"adapter_epochs": 1, "methods": ("replay",), "order_seeds": (0,)}
    return dataclasses.replace(tiny_settings, **changes)


def predictions(run, session):
    folder = sessions.session_folder(run, 0, 1, session, "replay")
    return sessions.load_predictions(folder, session)["replay"].predicted


def test_a_stream_goes_on_where_it_was_interrupted(tmp_path, short, monkeypatch):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    sessions.learn_stream(whole, short, "replay", 0, 1, progress=False)

    def stop(learner, split):
        if learner.session == 2:
            raise KeyboardInterrupt
        return predict(learner, split)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(sessions, "predict", stop)
        sessions.learn_stream(broken, short, "replay", 0, 1, progress=False)
    first = sessions.session_folder(broken, 0, 1, 1, "replay") / "session.json"
    written = first.stat().st_mtime_ns
    assert sessions.learn_stream(broken, short, "replay", 0, 1, progress=False).session == 2
    assert first.stat().st_mtime_ns == written  # session 1 was not learned again
    for session in (1, 2):
        assert np.array_equal(predictions(whole, session), predictions(broken, session))

    # Only the newest weights are kept, and a finished stream is left alone.
    assert [path.parent.name for path in whole.rglob("state.safetensors")] == ["session2"]
    again = sessions.learn_stream(whole, short, "replay", 0, 1, progress=False)
    assert np.array_equal(predict(again, "test").predicted, predictions(whole, 2))


@pytest.mark.parametrize("change", ["settings", "code"])
def test_what_other_settings_or_code_left_is_learned_again(tmp_path, short, change):
    sessions.learn_stream(tmp_path, short, "replay", 0, 1, progress=False)
    record = sessions.session_folder(tmp_path, 0, 1, 1, "replay") / "session.json"
    last = record.parent.parent / "session2" / "session.json"
    written = record.stat().st_mtime_ns
    if change == "settings":
        short = dataclasses.replace(short, network_learning_rate=0.01)
    else:
        saved = json.loads(last.read_text())
        files.write_json(last, saved | {"code": "of another day"})
    sessions.learn_stream(tmp_path, short, "replay", 0, 1, progress=False)
    assert record.stat().st_mtime_ns > written


def test_a_session_depends_on_its_own_methods_knobs_only(short):
    lwf, der = sessions.comparable(short, "lwf"), sessions.comparable(short, "der")
    assert {"lwf_weight", "network_learning_rate"} <= set(lwf) and "der_temperature" not in lwf
    assert "der_temperature" in der and "der_plus_plus_alpha" not in der
    adapters = sessions.comparable(short)
    assert "adapter_alpha" in adapters and "network_learning_rate" not in adapters
    assert not [name for name in adapters if name.startswith(("lwf_", "ewc_", "ranpac_"))]


def test_only_methods_without_adapters_may_have_fewer_seeds(short):
    settings = dataclasses.replace(short, train_seeds=(4, 5), baseline_seeds=1)
    jobs = sessions.jobs(settings, ("dynammo", "acl", "replay", "ranpac"))
    assert jobs == [(0, 4, ""), (0, 4, "replay"), (0, 4, "ranpac"), (0, 5, "")]
    orders = dataclasses.replace(settings, order_seeds=(7, 8, 9))
    alone = [job for job in sessions.jobs(orders, ("dynammo", "replay")) if job[2]]
    assert alone == [(7, 4, "replay"), (8, 5, "replay"), (9, 4, "replay")]


def test_adapter_methods_are_sent_to_their_notebook(tmp_path, short):
    with pytest.raises(InputError, match="02_incremental_session"):
        sessions.learn_stream(tmp_path, short, "dynammo", 0, 1)


def test_drawing_code_is_no_part_of_what_results_depend_on():
    names = {path.stem for path in files_behind(SESSIONS)}
    assert {"training", "replay", "merging"} <= names and not {"plotting", "looks"} & names
