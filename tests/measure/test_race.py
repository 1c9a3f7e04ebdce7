"""Ratios of seconds: both ways take turns, targets are judged, on a clock of the test's own."""

import pandas as pd
import pytest
import torch

from dynammo.measure import race as race_module
from dynammo.measure.race import race, readable_races, seconds_of, with_verdict
from dynammo.measure.stopwatch import Stopwatch


class Machine:
    """A clock that two functions move, each by what it takes, and a note of who ran."""

    def __init__(self, slow, fast, slows_down_after=10**9):
        self.now, self.ran, self.slows_down_after = 0.0, "", slows_down_after
        self.slow, self.fast = (lambda: self._work(slow, "s")), (lambda: self._work(fast, "f"))

    def perf_counter(self):
        return self.now

    def _work(self, seconds, name):
        self.ran += name
        self.now += seconds * (5 if len(self.ran) > self.slows_down_after else 1)


@pytest.fixture
def machine(monkeypatch):
    def make(*arguments):
        made = Machine(*arguments)
        monkeypatch.setattr(race_module, "time", made)
        return made

    return make


def test_long_calls_take_turns_for_the_budget(machine):
    made = machine(0.9, 0.6)
    found = race(made.slow, made.fast, budget=5)
    assert found == pytest.approx(
        {"slow_seconds": 0.9, "fast_seconds": 0.6, "ratio": 1.5, "lowest": 1.5, "highest": 1.5}
        | {"rounds": 5}  # the first was timed before the budget began: 4 of 1.5 s are over 5 s
    )
    assert made.ran == "f" + 5 * "sf"  # the first warms up


def test_short_calls_are_repeated(machine):
    made = machine(0.25, 0.05)
    found = race(made.slow, made.fast, budget=0)
    assert (found["rounds"], found["ratio"]) == (3, pytest.approx(5))
    assert made.ran == "fsf" + 3 * ("ss" + 10 * "f")


def test_a_machine_that_slows_down_moves_both(machine):
    made = machine(0.9, 0.6, 5)  # after two rounds
    found = race(made.slow, made.fast, budget=10)
    assert [found[k] for k in ("ratio", "lowest", "highest")] == pytest.approx([1.5] * 3)
    assert found["slow_seconds"] == pytest.approx((0.9 + 4.5) / 2)


def test_the_mean_of_repeats_is_timed(machine):
    made = machine(0.4, 0.1)
    assert seconds_of(made.slow, 3) == pytest.approx(0.4)
    assert made.ran == "sss"


@pytest.mark.parametrize(
    ("ratio", "target", "met"),
    [
        (3.6, {"at_least": 3.6}, "yes"),
        (3.59, {"at_least": 3.6}, "no"),
        (1.02, {"at_most": 1.02}, "yes"),
        (1.03, {"at_most": 1.02}, "no"),
        (1.0, {}, ""),
    ],
)
def test_targets(ratio, target, met):
    assert with_verdict({"ratio": ratio, **target})["met"] == met


def test_a_table_to_read():
    bounds = {"at_least": 3.6, "lowest": 2.1, "highest": 4.25, "note": "equal"}
    row = {"what": "one pass", "backbone": "resnet18", "sessions": 4, "batch": 1, "ratio": 3.917}
    bare = {"what": "bytes", "backbone": "resnet18", "ratio": 1.5, "at_most": 1}
    found = readable_races(pd.DataFrame([with_verdict(row | bounds), with_verdict(bare)]))
    assert found.loc[0].tolist() == [
        *("one pass", "resnet18, T = 4, batch 1", "3.92 (2.1 to 4.25)", "at least 3.6", "✓"),
        "equal",
    ]
    assert found.loc[1].tolist() == ["bytes", "resnet18", "1.5", "at most 1", "✗", ""]


def test_a_stopwatch_notes_seconds_and_memory_of_what_ends():
    stopwatch = Stopwatch(torch.device("cpu"))
    with stopwatch.measure("one", "training"):
        pass
    with pytest.raises(RuntimeError), stopwatch.measure("one", "test"):
        raise RuntimeError
    with stopwatch.measure("two", "test"):
        torch.ones(2**26).sum()  # 256 MB
    before, after = stopwatch.rows
    assert [after["method"], after["part"]] == ["two", "test"]
    assert before["seconds"] < after["seconds"]
    assert after["peak_megabytes"] > before["peak_megabytes"] + 200
