"""Trials before the study: as many for each method, kept as they come, the best chosen."""

import json

import numpy as np
import pandas as pd
import pytest

from dynammo.run import tuning
from dynammo.run.ablations import try_out
from dynammo.run.tuning import chosen, main, planned, trials, tune

ACCURACY = {0.1: 0.8, 0.03: 0.9, 0.01: 0.7}  # of the settings that are tried


@pytest.fixture
def tried(monkeypatch, tmp_path):
    """Two methods with two trials each, judged without learning; what was asked for is noted."""
    asked = []

    def try_out(folder, settings, variants):
        assert variants == {"": {}}
        asked.append(settings)
        own = settings.of_methods.get("replay", {}).get("learning_rate")
        rate = own or settings.adapter_learning_rate
        return pd.DataFrame(
            [
                {"method": m, "order_seed": 7, "train_seed": 1, "session": s, "accuracy": a}
                for m in settings.methods
                for s, a in ((1, ACCURACY[rate] + 0.1), (2, ACCURACY[rate] - 0.1))
            ]
        )

    toml = """
        [common]
        streams = ["blood"]
        [common.settings]
        order_seeds = [7]
        [common.long]
        adapter_epochs = 12
        [groups]
        adapters = ["acl", "dynammo"]
        [trials]
        adapters = [{}, { adapter_learning_rate = 0.01 }]
        replay = [{}, { replay_learning_rate = 0.03 }]
    """
    path = tmp_path / "trials.toml"
    path.write_text(toml)
    monkeypatch.setattr(tuning, "TRIALS", path)
    monkeypatch.setattr(tuning, "try_out", try_out)
    return asked


def test_each_trial_is_a_change_of_the_defaults_under_another_order(tried):
    keys, settings = zip(*planned(), strict=True)
    assert [key["tried_for"] for key in keys] == ["adapters"] * 2 + ["replay"] * 2
    assert {one.order_seeds for one in settings} == {(7,)}
    assert settings[0].methods == ("acl", "dynammo") and settings[2].methods == ("replay",)
    assert [one.adapter_learning_rate for one in settings] == [0.1, 0.01, 0.1, 0.1]
    assert settings[0].memory_budget == 40


def test_what_the_table_has_is_not_tried_again_and_the_best_is_chosen(tried, tmp_path):
    path = tmp_path / "table.csv"
    table = tune(path, tmp_path, ["replay"])
    best = json.dumps({"replay_learning_rate": 0.03})
    assert list(table.changes) == ["{}", best, best, "{}"]  # the long ones: the best first
    assert list(table.length) == ["short", "short", "long", "long"]
    assert [one.adapter_epochs for one in tried] == [10, 10, 12, 12]
    assert table.average_accuracy.tolist() == pytest.approx([0.8, 0.9, 0.9, 0.8])
    assert table.last_accuracy.tolist() == pytest.approx([0.7, 0.8, 0.8, 0.7])
    table = tune(path, tmp_path)
    assert len(tried) == 8 and len(table) == 4 + 4 * 2
    assert tune(path, tmp_path).equals(pd.read_csv(path)) and len(tried) == 8
    assert chosen(table) == {"replay": {"replay_learning_rate": 0.03}, "adapters": {}}
    default = table["average_accuracy"][table["changes"] == "{}"].iloc[0]
    # What was best in short trials is not taken if it is not in long ones.
    long = (table["length"] == "long") & (table["changes"] == best)
    turned = table.assign(average_accuracy=table["average_accuracy"].mask(long, 0.5))
    assert chosen(turned) == {"replay": {}, "adapters": {}}
    # One long trial decides nothing: not alone, and not mixed with the short ones.
    alone = turned[(turned["length"] == "short") | long]
    assert chosen(alone)["replay"] == {"replay_learning_rate": 0.03}
    level = table.assign(average_accuracy=table["average_accuracy"].clip(upper=default + 0.004))
    assert chosen(level) == {"replay": {}, "adapters": {}}


def test_names_without_trials_are_refused(tried, tmp_path, capsys):
    assert main([str(tmp_path / "table.csv"), "acl"]) == 2
    assert "No trials for acl" in capsys.readouterr().err and not tried


def test_what_is_tried_are_settings_that_there_are_and_the_defaults_first():
    _, tried, _ = trials()
    assert list(planned())  # refuses others
    begun = {"adapted_once": {"adapted_once_alpha": 1.0}}  # as the study's adapters, chosen before
    assert all(changes[0] == begun.get(name, {}) for name, changes in tried.items())


def test_what_is_tried_is_judged_on_validation_images_alone(tmp_path, tiny_settings, blobs_npz):
    def judged(split=""):
        with np.load(blobs_npz) as file:
            arrays = dict(file)
        if split:
            arrays[f"{split}_images"][:] = 0
        np.savez(tmp_path / "changed.npz", **arrays)
        changes = {"stream": str(tmp_path / "changed.npz"), "methods": ["nearest_class_mean"]}
        return try_out(tmp_path, tiny_settings.with_changes(changes), {"": {}}).accuracy.tolist()

    assert judged("test") == judged() != judged("val")
