"""Profiles: they load, name things that exist, and change what they say."""

import json
import re

import pandas as pd
import pytest

from dynammo.catalogue import FAMILIES, METHODS, check_methods
from dynammo.errors import InputError
from dynammo.run.profiles import load_profile, load_runs, profile_names
from dynammo.run.settings import RunSettings, changes_of
from dynammo.run.tuning import TABLE, chosen, trials


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_loads_and_names_things_that_exist(name):
    for settings in (load_profile(name), *load_runs(name).values()):
        check_methods(settings.methods)
        assert settings.backbone in ("resnet18", "efficientnet_lite0")
        assert settings.weights in ("imagenet", "random")


def test_a_profile_may_have_several_runs_that_change_it_further():
    assert load_runs("demo") == {"demo": load_profile("demo")}
    runs = load_runs("paper")
    assert list(runs) == ["paper-cifar100", "paper-path16", "paper-skin8"]
    assert {run.adapter_alpha for run in runs.values()} == {0.02}
    assert [run.memory_budget for run in runs.values()] == [2000, 80, 40]
    assert load_runs("paper/skin8") == {"paper-skin8": runs["paper-skin8"]}
    with pytest.raises(InputError, match="Unknown run 'paper/skin7'.*paper/skin8"):
        load_runs("paper/skin7")
    with pytest.raises(InputError, match="Unknown run 'demo/x'.*one run only"):
        load_runs("demo/x")


def test_the_study_runs_every_method_alike_and_forgets_what_is_scarce():
    runs = load_runs("study")
    for name in ("blood", "mixed", "skin", "histology"):
        settings = runs[f"study-{name}"]
        assert settings.methods == tuple(METHODS)
        chains = len(settings.order_seeds) * len(settings.train_seeds)
        assert chains == (12 if name == "blood" else 6)
    for settings in runs.values():  # all runs paired, all images, heads that converge
        assert settings.train_per_class == 0 and settings.baseline_runs == 3
        assert settings.head_steps >= 1500


def test_no_order_of_the_study_was_tuned_on():
    common, tried, _ = trials()
    used = {order for run in load_runs("study").values() for order in run.order_seeds}
    assert not used & set(common["settings"]["order_seeds"])
    assert {len(changes) for changes in tried.values()} == {5}  # as many for every method


OWN_RATES = "acl_fresh|dynammo_fresh|adapted_once|frozen_features"


def test_the_study_has_what_the_trials_chose():
    """And what was tried with the defaults has the defaults, at the rate that it was tried with."""
    table, (_, tried, _) = pd.read_csv(TABLE), trials()
    assert {key: set(own.changes) for key, own in table.groupby("tried_for")} == {
        name: {json.dumps(change) for change in changes} for name, changes in tried.items()
    }
    best, defaults = chosen(table), RunSettings(methods=tuple(METHODS)).as_dict()
    for name, settings in load_runs("study").items():
        found = settings.as_dict()
        for method, changes in tried.items():
            for knob in {knob for change in changes for knob in change} & set(found):
                has, wanted = found[knob], best[method].get(knob, defaults[knob])
                if fed := re.match(f"({OWN_RATES})_", knob):
                    shared = f"adapter_{knob[fed.end() :]}"  # what 0 stands for
                    has, wanted = has or found[shared], wanted or defaults[shared]
                # On ResNet-18 adapters have trials of their own (test_study.py).
                if name != "study-resnet" or not knob.endswith(("_learning_rate", "_alpha")):
                    assert has == wanted, (name, knob)


def test_smoke_runs_every_method_and_demo_at_least_one_of_each_family():
    assert load_profile("smoke").methods == tuple(METHODS)
    families = {METHODS[m].family for m in load_profile("demo").methods}
    assert families == set(FAMILIES) - {"own_sets"}


def test_the_demo_profile_is_the_defaults_with_a_choice_of_methods():
    choice = {"methods", "baseline_runs", "ablations"}  # which learn nothing otherwise
    assert changes_of(load_profile("demo")).keys() == choice


def test_a_profile_changes_what_it_says(monkeypatch, tmp_path):
    (tmp_path / "mine.toml").write_text(
        'adapter_epochs = 3\nadapter_stages = ["a", "b.0"]\nadapter_milestones = [0.5]\n'
    )
    monkeypatch.setattr("dynammo.run.profiles.PROFILES", tmp_path)
    settings = load_profile("mine")
    assert settings == RunSettings(
        adapter_epochs=3, adapter_stages=("a", "b.0"), adapter_milestones=(0.5,)
    )


@pytest.mark.parametrize("name", ["demmo", "", "../profiles/demo", "demo.toml"])
def test_an_unknown_profile_lists_those_that_exist(name):
    with pytest.raises(InputError) as error:
        load_profile(name)
    assert f"'{name}'" in str(error.value)
    assert ", ".join(profile_names()) in str(error.value)
