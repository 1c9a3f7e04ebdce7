"""How kills are judged, on a command that takes a second and may have a fault."""

import random
import sys
import textwrap

import pytest

from dynammo.measure import endurance
from dynammo.measure.endurance import Command, compared, contents, identity_rows, kill_rows, said

LEARNS = """
    import sys, time
    from pathlib import Path
    output = Path(sys.argv[sys.argv.index("--output") + 1])
    there = len(list(output.rglob("session.json")))
    print("checking the data", flush=True)
    for session in range(1, 6):
        folder = output / f"runs/smoke/order0-seed1/session{session}"
        if (folder / "session.json").exists():
            continue
        if output.name == "killed" and (there, session) in STOPS:
            time.sleep(60)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "measured.json").write_text(str(time.time()))
        (folder / "session.json").write_text(ANSWER)
    (output / "figures").mkdir(exist_ok=True)
    (output / "figures/accuracy.csv").write_text("0.9")
"""


@pytest.fixture
def command(tmp_path):
    """A command that learns five sessions, each with an answer of the test's.

    A run that is to be killed waits for it: before which session, by how many there were.
    """

    def make(answer="str(session)", stops=()):
        script = tmp_path / "learns.py"
        text = textwrap.dedent(LEARNS).replace("ANSWER", answer)
        script.write_text(text.replace("STOPS", repr(stops)))
        return Command((sys.executable, str(script)), marks=())

    return make


@pytest.fixture
def soon(monkeypatch):
    """Kills come soon, and of everything."""

    class Dice(random.Random):
        def uniform(self, _low, _high):
            return 1.5

    monkeypatch.setattr(endurance.random, "Random", Dice)


def test_what_two_runs_have_in_common(tmp_path):
    run = tmp_path / "runs/smoke"
    for name in ("order0-seed1/session1/session.json", "order0-seed1/session1/measured.json"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("1")
    (run / "graph.json").write_text("paths of this machine")
    found = contents(tmp_path)
    assert found == {"runs/smoke/order0-seed1/session1/session.json": b"1"}
    reference = found | {"figures/b.csv": b"2", "figures/a.csv": b"3"}
    other = {**reference, "figures/b.csv": b"x", "figures/new.csv": b""}
    del other["figures/a.csv"]
    assert compared("again", other, reference) == {
        **{"run": "again", "files": 3, "identical": 1, "missing": 1, "extra": 1},
        "first_difference": "figures/a.csv",
    }


def test_kills_lose_nothing_where_a_run_goes_on(command, soon, tmp_path):
    works = command(stops=((0, 3), (2, 5)))
    rows = kill_rows(works, tmp_path, works.finish(tmp_path / "reference"), kills=2, seed=0)
    assert [row["kill"] for row in rows] == [1, 2]
    assert all(row["sessions_redone"] == 0 for row in rows)
    assert [row["sessions_before"] for row in rows] == [2, 4]
    assert (rows[-1]["identical_files"], rows[-1]["extra_files"]) == ("6 of 6", 0)


def test_a_run_that_goes_on_otherwise_is_seen(command, soon, tmp_path):
    reference = command().finish(tmp_path / "reference")
    faulty = command("str(session) + bool(there) * ' after a kill'", stops=((0, 3),))
    rows = kill_rows(faulty, tmp_path, reference, kills=1, seed=0)
    assert rows[-1]["identical_files"] == "3 of 6"  # the first two sessions, and the figures


def test_ways_to_run_are_compared_and_leave_nothing(command, tmp_path):
    works = command("' '.join(sys.argv[3:])")
    reference = works.finish(tmp_path / "reference", "--cores", "2")
    ways = {"again": ["--cores", "2"], "3 cores": ["--cores", "3"]}
    again, other = identity_rows(works, tmp_path, reference, ways)
    assert (again["identical"], other["identical"]) == (6, 1)
    assert other["first_difference"] == "runs/smoke/order0-seed1/session1/session.json"
    assert not list(tmp_path.glob("way*/"))


def test_a_run_that_fails_is_told_in_its_own_words(command, tmp_path):
    with pytest.raises(RuntimeError, match="NameError"):
        command("unknown").finish(tmp_path / "reference")
    assert "checking the data" in said(tmp_path / "reference").read_text()
