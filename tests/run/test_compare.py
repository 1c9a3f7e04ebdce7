"""Runs that are there, compared: settings and differences, run by run."""

import json

import pandas as pd
import pytest

from dynammo.run.command import main
from dynammo.run.compare import changed_settings, differences

SETTINGS = {"stream": "blood", "adapter_epochs": 10, "threads": 1}


def sessions(gain=0.0, orders=(0, 1), methods=("acl", "dynammo")):
    rows = [
        {"method": m, "order_seed": o, "train_seed": 1, "session": s, "accuracy": a}
        for m in methods
        for o in orders
        for s, a in ((1, 0.9 + gain), (2, 0.7 + 0.02 * o + gain * (1 + o)))
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def figures(tmp_path):
    """Two runs, the second with more epochs and better by one to two points."""
    for name, epochs, gain in (("one", 10, 0.0), ("two", 20, 0.01)):
        folder = tmp_path / "figures" / name
        folder.mkdir(parents=True)
        sessions(gain).to_csv(folder / "sessions.csv", index=False)
        told = {"settings": SETTINGS | {"adapter_epochs": epochs}, "data_checksum": "same"}
        (folder / "provenance.json").write_text(json.dumps(told))
    return tmp_path / "figures"


def compare(figures, *names):
    return main(["--output", str(figures.parent), "--compare", *names])


def test_differences_are_taken_run_by_run():
    found = differences({"one": sessions(), "two": sessions(0.01, orders=(1, 0, 5))})
    found = found.set_index(["method", "measure"])
    assert found["mean"]["acl", "last"] == pytest.approx(1.5)  # 1 under order 0, 2 under order 1
    assert found["mean"]["acl", "average"] == pytest.approx((1 + 1.5) / 2)
    assert (found["runs"] == 2).all() and (found["low"] < found["mean"]).all()


def test_measures_in_which_each_class_weighs_the_same_are_compared_at_the_end():
    one, two = sessions(), sessions()
    one["macro_f1"], two["macro_f1"] = one["accuracy"], one["accuracy"] - 0.03
    found = differences({"one": one, "two": two}).set_index(["method", "measure"])["mean"]
    assert found["acl", "last macro F1"] == pytest.approx(-3) and found["acl", "last"] == 0
    assert len(found) == 2 * 3


def test_settings_and_differences_are_written_and_told(figures, capsys):
    assert compare(figures, "one", "two") == 0
    told = capsys.readouterr().out
    assert "adapter_epochs  10  20" in told and "threads" not in told and "+1.5 [" in told
    folder = figures / "compare-one-two"
    assert {p.name for p in folder.iterdir()} == {
        *(f"differences.{kind}" for kind in ("csv", "png", "svg")),
        "settings.csv",
    }
    assert set(pd.read_csv(folder / "differences.csv")["method"]) == {"acl", "dynammo"}


def test_a_run_of_another_machine_has_no_other_settings(figures, capsys):
    (figures / "two" / "provenance.json").write_bytes(
        (figures / "one" / "provenance.json").read_bytes()
    )
    assert compare(figures, "one", "two") == 0
    assert "Settings that differ:\nnone\n" in capsys.readouterr().out


def test_runs_that_cannot_be_compared_are_refused(figures, capsys):
    for names, said in (
        (["one"], "two runs or more"),
        (["one", "one"], "two runs or more"),
        (["one", "three"], "no whole run 'three'"),
    ):
        assert compare(figures, *names) == 2
        assert said in capsys.readouterr().err
    sessions(orders=(7,)).to_csv(figures / "two" / "sessions.csv", index=False)
    assert compare(figures, "one", "two") == 2
    assert "no method with a class order and seed" in capsys.readouterr().err
    told = {"settings": SETTINGS, "data_checksum": "other"}
    (figures / "two" / "provenance.json").write_text(json.dumps(told))
    assert compare(figures, "one", "two") == 2
    assert "one, two learned other images under one name" in capsys.readouterr().err
    (figures / "two" / "sessions.csv").unlink()
    assert compare(figures, "one", "two") == 2
    assert "no whole run 'two'" in capsys.readouterr().err
    assert not list(figures.glob("compare-*"))


def test_what_only_one_run_s_methods_have_is_no_difference():
    few = SETTINGS | {"methods": ["dynammo"]}
    many = SETTINGS | {"methods": ["dynammo", "replay"], "replay_epochs": 0, "colour_shift": 0.0}
    assert changed_settings({"few": few, "many": many}).setting.tolist() == ["methods"]
    other = changed_settings({"few": few, "many": many | {"colour_shift": 0.5}})
    assert set(other.setting) == {"methods", "colour_shift"}  # which an older run has not


def test_other_data_are_no_comparison():
    with pytest.raises(ValueError, match=r"other data \(stream differ"):
        changed_settings({"one": SETTINGS, "two": SETTINGS | {"stream": "phantom"}})
