"""A run's tables: what they are read from, what is refused and what is only warned of."""

import json
import shutil
import sys
import tarfile
import warnings

import pandas as pd
import pytest

from dynammo.data.files import write_json
from dynammo.errors import InputError
from dynammo.run import archive, tensorboard
from dynammo.run.collect import collect, learned_methods
from dynammo.run.learn import learn_stream
from dynammo.run.sessions import session_folder


@pytest.fixture(scope="module")
def settings(tiny_settings):
    changes = {"adapter_epochs": 1, "head_epochs": 2, "methods": ("replay", "dynammo")}
    return tiny_settings.with_changes(changes)


@pytest.fixture(scope="module")
def run(tmp_path_factory, settings):
    folder = tmp_path_factory.mktemp("run")
    for method in ("", "replay"):
        learn_stream(folder, settings, method, 0, 1, progress=False)
    return folder


@pytest.fixture
def edit(run):
    """Change what a record says; it is as it was after the test."""
    before = {}

    def change(path, **changes):
        before.setdefault(path, path.read_text())
        write_json(path, json.loads(path.read_text()) | changes)

    yield change
    for path, text in before.items():
        path.write_text(text)


def record(run, method, session=2):
    return session_folder(run, 0, 1, session, method) / "session.json"


def points(sessions, method):
    return 100 * sessions[sessions.method == method].accuracy.to_numpy()


def read_quietly(run, settings):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return collect(run, settings)


def with_code(path, method, code):
    parts = json.loads(path.read_text())["parts"]
    parts[method]["code"] = code
    return parts


def test_every_session_of_every_method_has_its_rows(run, settings):
    tables = read_quietly(run, settings)
    sessions = tables["sessions"]
    assert list(sessions.method) == ["replay"] * 2 + ["dynammo"] * 2  # in the catalogue's order
    assert list(sessions.session) == [1, 2] * 2 and list(sessions.classes_seen) == [2, 4] * 2
    assert len(tables["accuracy"]) == 2 * (1 + 2)
    assert set(tables["losses"].method) == {"replay", "adapters"}
    assert list(tables["confusion"].groupby("method").size()) == [16, 16]
    found = tables["intervals"].set_index(["method", "measure"])
    gaps = points(sessions, "replay") - points(sessions, "dynammo")
    assert found["mean"]["replay", "average"] == pytest.approx(gaps.mean())
    assert found["mean"]["replay", "last"] == pytest.approx(gaps[-1])
    assert set(found.covers) == {"images only"} and list(found.other["dynammo"]) == ["replay"] * 2
    alone = collect(run, settings, ["dynammo"])["sessions"]
    pd.testing.assert_frame_equal(alone, sessions[2:].reset_index(drop=True))


@pytest.mark.parametrize(("owner", "method"), [("replay", "replay"), ("", "dynammo")])
def test_what_other_code_learned_is_read_with_a_warning(run, settings, edit, owner, method):
    expected = read_quietly(run, settings)
    path = record(run, owner)
    edit(path, parts=with_code(path, method, "of another day"))
    with pytest.warns(UserWarning, match=f"Learned by other code of dynammo/: {method}\\.$"):
        found = collect(run, settings)
    for name, table in expected.items():
        pd.testing.assert_frame_equal(found[name], table)


def test_other_settings_or_images_and_missing_sessions_are_refused(run, settings, edit, tmp_path):
    other = settings.with_changes({"network_learning_rate": 0.01})
    with pytest.raises(InputError, match="replay.*another network_learning_rate.*start again"):
        collect(run, other)
    assert len(collect(run, other, ["dynammo"])["sessions"]) == 2  # it is none of its settings
    with pytest.raises(InputError, match="another adapter_alpha"):
        collect(run, settings.with_changes({"adapter_alpha": 0.5}))
    edit(record(run, "replay"), data_checksum="0" * 64)
    with pytest.raises(InputError, match="other images"):
        collect(run, settings)
    with pytest.raises(InputError, match="is missing: run ./run_all.sh"):
        collect(tmp_path, settings)
    with pytest.raises(InputError, match="is missing"):
        collect(run, settings, ["ewc"])


def test_a_method_that_the_adapters_were_not_learned_with_is_refused(run, settings):
    more = settings.with_changes({"methods": (*settings.methods, "acl")})
    assert len(collect(run, more, settings.methods)["sessions"]) == 4
    with pytest.raises(InputError, match="was run without 'acl'"):
        collect(run, more)


def test_a_log_for_tensorboard_has_every_accuracy_and_loss(run, settings, monkeypatch, capsys):
    write_json(run / "settings.json", settings.as_dict())
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert tensorboard.main([str(run)]) == 2
    assert "pip install tensorboard" in capsys.readouterr().err
    monkeypatch.undo()
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tables = collect(run, settings)
    for _ in range(2):  # the second log takes the place of the first
        assert tensorboard.main([str(run)]) == 0
        assert "tensorboard --logdir" in capsys.readouterr().out
        log = EventAccumulator(str(run / "tensorboard" / "dynammo" / "order0-seed1")).Reload()
        found = [event.value for event in log.Scalars("all classes seen/accuracy")]
        wanted = tables["sessions"][tables["sessions"].method == "dynammo"].accuracy
        assert found == pytest.approx(wanted.to_list())
        assert [event.step for event in log.Scalars("accuracy on session/1")] == [1, 2]
    log = EventAccumulator(str(run / "tensorboard" / "adapters" / "order0-seed1")).Reload()
    wanted = tables["losses"].query("method == 'adapters' and session == 2").loss
    assert [e.value for e in log.Scalars("loss in session/2")] == pytest.approx(wanted.to_list())


def test_an_archive_has_all_that_tables_are_made_of(run, settings, tmp_path, capsys):
    write_json(run / "settings.json", settings.as_dict())
    file, again, other = tmp_path / "run.tar.xz", tmp_path / "again.tar.xz", tmp_path / "other"
    killed = record(run, "replay").parent  # its folder, as a killed job leaves it half done
    shutil.copytree(killed, killed.with_name(f".{killed.name}.1234.part"))
    assert archive.main([str(run), str(file)]) == 0 == archive.main([str(run), str(again)])
    assert file.read_bytes() == again.read_bytes()
    assert archive.main([str(other), str(file), "--unpack"]) == 0
    assert "4 sessions are new" in capsys.readouterr().out
    assert not list(other.rglob("*.safetensors"))
    ours, theirs = (collect(folder, settings) for folder in (run, other))
    for name, table in ours.items():
        pd.testing.assert_frame_equal(table, theirs[name])
    mine = record(other, "replay")
    mine.write_text(mine.read_text() + " ")  # a run of one's own
    for method in ("replay", ""):
        shutil.rmtree(record(other, method, session=1).parent)
    assert archive.unpack(file, other) == [record(other, "", session=1).parent]  # no mixed series
    assert mine.read_text().endswith(" ") and not list(other.glob(".*"))


def test_methods_that_a_run_has_under_all_seeds_are_known(run, settings):
    more = settings.with_changes({"methods": ("replay", "ranpac", "dynammo", "acl")})
    assert learned_methods(run, more) == ["replay", "dynammo"]
    assert learned_methods(run, more.with_changes({"train_seeds": (1, 2)})) == []


def test_what_is_no_archive_and_no_run_is_refused(tmp_path, capsys):
    assert archive.main([str(tmp_path), str(tmp_path / "a.tar.xz")]) == 2
    assert "no finished session" in capsys.readouterr().err
    (tmp_path / "b.tar.xz").write_bytes(b"nothing")
    assert archive.main([str(tmp_path), str(tmp_path / "b.tar.xz"), "--unpack"]) == 2
    assert "cannot be unpacked" in capsys.readouterr().err
    cut = tmp_path / "cut.tar.xz"
    with tarfile.open(cut, "w:xz") as file:
        file.add(__file__, "order0-seed1/session.json")
    cut.write_bytes(cut.read_bytes()[:-200])
    assert archive.main([str(tmp_path / "run"), str(cut), "--unpack"]) == 2
    assert "cannot be unpacked" in capsys.readouterr().err
    with tarfile.open(tmp_path / "c.tar.xz", "w:xz") as file:
        file.add(tmp_path / "b.tar.xz", "../elsewhere")
    assert archive.main([str(tmp_path / "run"), str(tmp_path / "c.tar.xz"), "--unpack"]) == 2
    assert "is no archive of a run" in capsys.readouterr().err


def test_a_setting_that_there_was_not_yet_has_its_default(run, settings, edit):
    path = record(run, "replay")
    parts = json.loads(path.read_text())["parts"]
    del parts["replay"]["settings"]["enlarge_to"]
    edit(path, parts=parts)
    read_quietly(run, settings)
    del parts["replay"]["settings"]["head_epochs"]  # which is not the default here
    edit(path, parts=parts)
    with pytest.raises(InputError, match="another head_epochs"):
        collect(run, settings)
