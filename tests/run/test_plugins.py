"""Methods from a file of one's own: in the catalogue, learned beside the others, or refused."""

import json
import os
from pathlib import Path

import pytest
from helpers import forget_plugins

from dynammo import catalogue
from dynammo.errors import InputError
from dynammo.run import command
from dynammo.run.code import code_behind
from dynammo.run.collect import collect
from dynammo.run.jobs import jobs, parameters_of, settings_behind
from dynammo.run.learn import learn_stream
from dynammo.run.options import parse, resolve
from dynammo.run.plugins import load_plugins
from dynammo.run.profiles import load_runs
from dynammo.run.settings import RunSettings, is_setting

EXAMPLE = str(Path(__file__).parents[1] / "example_plugin.py")


ROWS = dict(catalogue.ROWS)


@pytest.fixture(autouse=True)
def _as_it_was():
    """Plugins are of a process: leave the catalogue to the next test as it was."""
    yield
    _forget()


def _forget():
    forget_plugins(ROWS)


def with_plugin(**changes):
    return RunSettings().with_changes({"plugins": [EXAMPLE], **changes})


def test_its_methods_are_in_the_catalogue_with_their_settings():
    assert not is_setting("replay_twice_times")
    settings = with_plugin(methods=["dynammo", "replay_twice"], replay_twice_times=3)
    load_plugins([EXAMPLE])  # once more changes nothing
    assert settings.as_dict()["replay_twice_times"] == 3
    assert settings.knobs(catalogue.load("replay_twice")).times == 3
    assert catalogue.title("replay_twice") == "replay, twice"
    assert catalogue.title("newest_2") == "newest 2"
    assert catalogue.family("newest_2") == "one's own"
    assert list(catalogue.METHODS)[-3:] == ["replay_twice", "newest_2", "first_and_last"]


def test_two_files_of_one_name_are_two_plugins(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        text = f'from dynammo.methods import ACL\n\n\nclass Mine(ACL):\n    name = "{name}"\n'
        (tmp_path / name / "methods.py").write_text(text)
    paths = [tmp_path / name / "methods.py" for name in ("one", "two")]
    assert load_plugins(paths) == ["one", "two"] == load_plugins(paths)
    assert [catalogue.load(name).name for name in ("one", "two")] == ["one", "two"]


def test_the_command_takes_it():
    words = ["--plugin", EXAMPLE, "--methods", "dynammo,newest_2", "--set", "replay_twice_times=4"]
    settings = resolve(parse(words))["demo"]
    assert settings.methods == ("dynammo", "newest_2") and settings.plugins == (EXAMPLE,)
    assert jobs(settings, settings.methods)[0] == (0, 1, "")  # fed by adapters, as DynaMMo is


def test_notebooks_find_what_lies_beside_it(blobs_npz, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "before")
    monkeypatch.setattr(command, "run_graph", lambda *_arguments, **_more: 1)
    asked = ["--profile", "smoke", "--stream", str(blobs_npz), "--output", str(tmp_path)]
    assert command.main([*asked, "--plugin", EXAMPLE, "--methods", "replay_twice"]) == 1
    found = os.environ["PYTHONPATH"].split(os.pathsep)
    assert found == ["before", os.getcwd(), str(Path(EXAMPLE).parent)]


def test_its_methods_are_run_beside_the_profiles_or_all_others():
    own = ["replay_twice", "newest_2", "first_and_last"]
    plain = resolve(parse(["--profile", "quick"]))["quick"].methods
    found = resolve(parse(["--profile", "quick", "--plugin", EXAMPLE]))["quick"].methods
    assert list(found) == [*plain, *own]
    runs = load_runs("study")
    for words, more in (([], []), (["--plugin", EXAMPLE], own)):
        found = resolve(parse(["--profile", "study", *words]))
        assert list(found) == list(runs)
        for name, settings in found.items():
            assert list(settings.methods) == [*runs[name].methods, *more]
    found = resolve(parse(["--plugin", EXAMPLE, "--methods", "all"]))["demo"].methods
    assert list(found)[-3:] == own and len(found) > 20


def test_an_earlier_run_with_a_plugin_that_is_gone_refuses_nothing(tmp_path, capsys):
    gone = tmp_path / "gone.py"
    gone.write_text(Path(EXAMPLE).read_text())
    methods = ["dynammo", "replay_twice"]
    changes = {"plugins": [str(gone)], "methods": methods, "replay_twice_times": 3}
    before = RunSettings().with_changes(changes)
    (tmp_path / "provenance.json").write_text(json.dumps({"settings": before.as_dict()}))
    gone.unlink()
    _forget()
    command._say_what_changes("mine", RunSettings(), tmp_path)
    assert "made with other settings (methods, plugins)" in capsys.readouterr().out
    command._say_what_changes("mine", with_plugin(methods=methods, replay_twice_times=4), tmp_path)
    told = capsys.readouterr().out  # the same methods, from another file, with another knob
    assert "plugins" in told and "replay_twice_times" in told and "methods" not in told


def test_any_change_of_its_file_is_another_method(tmp_path):
    codes = []
    for number in (2, 2, 3):
        text = Path(EXAMPLE).read_text() + f"\nHELPS = {number}\n"
        (tmp_path / "mine.py").write_text(text)
        load_plugins([tmp_path / "mine.py"])
        codes.append(code_behind("replay_twice"))
        _forget()
    assert codes[0] == codes[1] != codes[2]


def test_the_results_of_others_do_not_depend_on_it():
    methods = ["dynammo", "replay", "replay_twice"]
    settings, plain = with_plugin(methods=methods), RunSettings()
    for method in ("", "dynammo", "replay"):
        assert settings_behind(settings, method) == settings_behind(plain, method)
    assert "plugins" not in parameters_of(settings, "replay")
    assert "plugins" not in parameters_of(settings)
    assert parameters_of(settings, "replay_twice")["plugins"] == [EXAMPLE]
    fed = with_plugin(methods=["dynammo", "newest_2"])
    assert parameters_of(fed)["plugins"] == [EXAMPLE]


def test_it_is_learned_and_collected_beside_the_others(tiny_settings, tmp_path):
    methods = ["dynammo", "first_and_last", "last_adapter", "newest_2"]
    settings = tiny_settings.with_changes({"plugins": [EXAMPLE], "methods": methods})
    learn_stream(tmp_path, settings, "", 0, 1, progress=False)
    found = collect(tmp_path, settings)["sessions"].pivot_table("accuracy", "method", "session")
    assert found.loc["newest_2"].tolist() == found.loc["last_adapter"].tolist()
    assert found.loc["first_and_last"].tolist() == found.loc["dynammo"].tolist()  # of two sets
    assert list(found.index) == sorted(methods)


BASE = "from dynammo.baselines.replay import Replay\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 / 0", "fails: ZeroDivisionError"),
        ("def f(:", "fails: SyntaxError"),
        (BASE, "defines no learner"),
        (f"{BASE}class Mine(Replay):\n    pass", "needs a name of its own"),
        (f"{BASE}class Mine(Replay):\n    name = 'My-Method'", "needs a name of its own"),
        (f"{BASE}class Mine(Replay):\n    name = 'replay'", "a method 'replay' already"),
        (f"{BASE}class Mine(Replay):\n    name = 'session1'", "needs a name of its own"),
    ],
)
def test_files_that_cannot_be_used_are_refused(text, said, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(text)
    before = dict(catalogue.ROWS)
    for _ in range(2):  # a second try says the same
        with pytest.raises(InputError, match=said):
            load_plugins([path])
    assert dict(catalogue.ROWS) == before


def test_a_file_named_in_two_ways_is_one_plugin(tmp_path):
    (tmp_path / "deep").mkdir()
    path = tmp_path / "twice_named.py"
    path.write_text(f"{BASE}class Mine(Replay):\n    name = 'twice_named'\n")
    ways = [path, tmp_path / "deep" / ".." / "twice_named.py"]
    assert load_plugins(ways) == ["twice_named", "twice_named"]


def test_what_two_methods_share_is_no_method(tmp_path):
    path = tmp_path / "family.py"
    shared = "class Shared(Replay):\n    pass\n"
    two = "".join(f"class {n}(Shared):\n    name = 'of_a_family_{n.lower()}'\n" for n in "AB")
    path.write_text(BASE + shared + two)
    assert load_plugins([path]) == ["of_a_family_a", "of_a_family_b"]


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="no plugin .*none.py: check the path"):
        load_plugins([tmp_path / "none.py"])
    (tmp_path / "mine.txt").write_text("")
    with pytest.raises(InputError, match="not a .py file"):
        load_plugins([tmp_path / "mine.txt"])
