"""Knobs: profiles load, round trips hold, and every wrong value is one error that names it."""

import dataclasses
import json
import math

import pytest
import torch

from dynammo.backbones import make_backbone
from dynammo.catalogue import FAMILIES, LEARNERS, make_adapter_learners, make_learner
from dynammo.chain import Chain
from dynammo.errors import InputError
from dynammo.settings import (
    DATA_SETTINGS,
    PROFILES,
    Settings,
    load_profile,
    load_runs,
    profile_names,
)
from dynammo.setup import choose_device


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_loads_and_names_things_that_exist(name, blobs, random_resnet):
    for settings in (load_profile(name), *load_runs(name).values()):
        assert isinstance(settings, Settings)
        assert set(settings.methods) <= set(LEARNERS)
        assert settings.backbone in ("resnet18", "efficientnet_lite0")
        assert settings.weights in ("imagenet", "random")
    for method in settings.methods:
        make_learner(method, Chain(settings, blobs, random_resnet, train_seed=0))


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


def test_the_study_runs_every_method_with_three_orders_and_seeds():
    for settings in load_runs("study").values():
        assert settings.methods == tuple(LEARNERS)
        assert len(settings.order_seeds) == len(settings.train_seeds) == 3


def test_smoke_runs_every_method_and_demo_at_least_one_of_each_family():
    assert load_profile("smoke").methods == tuple(LEARNERS)
    assert {LEARNERS[m].family for m in load_profile("demo").methods} == set(FAMILIES)


def test_the_profiles_are_the_toml_files_and_include_demo_and_smoke():
    assert set(profile_names()) == {path.stem for path in PROFILES.glob("*.toml")}
    assert {"demo", "smoke"} <= set(profile_names())


def test_the_demo_profile_is_the_defaults_with_fewer_images_and_a_choice_of_methods():
    demo, default = load_profile("demo").as_dict(), Settings().as_dict()
    changed = {name for name in demo if demo[name] != default[name]}
    assert changed == {"methods", "baseline_seeds", "phantom_train"}


def test_a_profile_changes_what_it_says(monkeypatch, tmp_path):
    (tmp_path / "mine.toml").write_text(
        'adapter_epochs = 3\nadapter_stages = ["a", "b.0"]\nadapter_milestones = [0.5]\n'
    )
    monkeypatch.setattr("dynammo.settings.PROFILES", tmp_path)
    settings = load_profile("mine")
    assert settings == dataclasses.replace(
        Settings(), adapter_epochs=3, adapter_stages=("a", "b.0"), adapter_milestones=(0.5,)
    )


@pytest.mark.parametrize("name", ["demmo", "", "../profiles/demo", "demo.toml"])
def test_an_unknown_profile_lists_those_that_exist(name):
    with pytest.raises(InputError) as error:
        load_profile(name)
    assert f"'{name}'" in str(error.value)
    assert ", ".join(profile_names()) in str(error.value)


@pytest.mark.parametrize(
    ("wrong", "suggestion"),
    [
        ("adapter_epoch", "did you mean 'adapter_epochs'?"),
        ("memory_buget", "did you mean 'memory_budget'?"),
        ("train_seed", "did you mean 'train_seeds'?"),
        ("zzzzzzzz", "there are stream, "),
    ],
)
def test_an_unknown_setting_suggests_a_near_one(wrong, suggestion):
    with pytest.raises(InputError) as error:
        Settings().with_changes({"adapter_epochs": 2, wrong: 1})
    assert f"Unknown setting '{wrong}'" in str(error.value)
    assert suggestion in str(error.value)


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("adapter_epochs", 2.5, "int"),
        ("adapter_epochs", "2", "int"),
        ("adapter_epochs", True, "int"),
        ("adapter_epochs", None, "int"),
        ("memory_budget", [80], "int"),
        ("adapter_learning_rate", "0.1", "float"),
        ("adapter_learning_rate", False, "float"),
        ("stream", 3, "str"),
        ("backbone", None, "str"),
        ("methods", "acl", "list of str"),
        ("methods", ["acl", 3], "list of str"),
        ("train_seeds", 1, "list of int"),
        ("train_seeds", [1, 2.0], "list of int"),
        ("train_seeds", [True], "list of int"),
        ("adapter_stages", ["layer1", None], "list of str"),
        ("adapter_milestones", [0.5, "0.8"], "list of float"),
    ],
)
def test_a_value_of_the_wrong_type_is_one_clear_error(name, value, kind):
    with pytest.raises(InputError) as error:
        Settings().with_changes({name: value})
    message = str(error.value)
    assert f"'{name}' must be of type {kind}" in message
    shown = tuple(value) if isinstance(value, list) else value
    assert repr(shown) in message


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        *((name, 0, "above 0") for name in ("adapter_epochs", "head_epochs", "memory_budget")),
        *((name, -1, "above 0") for name in ("phantom_train", "phantom_val", "phantom_test")),
        ("threads", 0, "above 0"),
        ("adapter_learning_rate", 0.0, "above 0"),
        ("head_learning_rate", -1e-3, "above 0"),
        ("adapter_width", -0.5, "above 0"),
        ("batch_size", 1, "at least 2"),
        ("classes_per_session", -1, "0 or more"),
        ("train_per_class", -5, "0 or more"),
        ("adapter_momentum", -0.1, "0 or more"),
        ("adapter_momentum", 1.0, "below 1"),
        ("adapter_weight_decay", -5e-4, "0 or more"),
        ("adapter_milestones", [0.5, 70], "shares of the epochs"),
        ("head_milestones", [-0.5], "shares of the epochs"),
        ("order_seeds", [], "at least one"),
        ("train_seeds", [1, 2, 1], "each once"),
        ("methods", [], "at least one"),
        ("methods", ["acl", "acl"], "each once"),
    ],
)
def test_a_value_out_of_range_is_one_clear_error(name, value, words):
    with pytest.raises(InputError) as error:
        Settings().with_changes({name: value})
    message = str(error.value)
    assert message.startswith(f"{name} is {value}")
    assert words in message


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["adapter_learning_rate", "adapter_alpha", "adapter_milestones"])
def test_a_number_that_is_none_is_one_clear_error(name, value):
    changed = (0.5, value) if name == "adapter_milestones" else value
    with pytest.raises(InputError, match=f"'{name}' must be a finite number, not {value}"):
        Settings().with_changes({name: changed})


@pytest.mark.parametrize("name", ["order_seeds", "train_seeds"])
def test_a_seed_below_nought_is_one_clear_error(name):
    with pytest.raises(InputError, match="Seeds must be 0 or above"):
        Settings().with_changes({name: [3, -1]})


def test_checks_also_hold_when_settings_are_built_directly():
    with pytest.raises(InputError, match="batch_size is 1"):
        Settings(batch_size=1)
    with pytest.raises(InputError, match="list of int"):
        Settings(train_seeds=[1])  # a tuple, so that settings cannot be changed later


def test_changes_leave_the_settings_they_start_from_alone():
    settings = Settings()
    changed = settings.with_changes({"adapter_epochs": 3, "train_seeds": [5]})
    assert changed == dataclasses.replace(settings, adapter_epochs=3, train_seeds=(5,))
    assert settings == Settings()
    assert settings.with_changes({}) == settings
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.adapter_epochs = 2


def test_a_whole_number_will_do_where_a_fraction_is_meant():
    assert Settings().with_changes({"adapter_width": 1}).adapter_width == 1


def test_settings_from_a_notebooks_variables_ignore_what_is_no_setting():
    variables = {
        "__name__": "__main__",
        "np": object(),
        "adapter_epochs": 3,
        "methods": ["acl"],
        "session": 2,
    }
    assert Settings.from_names(variables) == dataclasses.replace(
        Settings(), adapter_epochs=3, methods=("acl",)
    )
    with pytest.raises(InputError, match="'adapter_epochs' must be of type int"):
        Settings.from_names({"adapter_epochs": "many"})


def test_settings_survive_json():
    settings = Settings(adapter_stages=("layer1.0",), train_seeds=(4, 2), adapter_width=0.125)
    text = json.dumps(settings.as_dict())
    assert Settings().with_changes(json.loads(text)) == settings
    assert set(settings.as_dict()) == {f.name for f in dataclasses.fields(Settings)}
    assert not any(isinstance(v, tuple) for v in settings.as_dict().values())


def test_the_settings_that_make_the_data_are_settings():
    assert set(DATA_SETTINGS) <= {f.name for f in dataclasses.fields(Settings)}


def test_an_unknown_method_lists_the_known_ones(blobs, random_resnet):
    chain = Chain(Settings(), blobs, random_resnet, train_seed=0)
    with pytest.raises(InputError) as error:
        make_adapter_learners(("acl", "dynamo"), chain)
    assert "Unknown method 'dynamo'" in str(error.value)
    assert all(name in str(error.value) for name in LEARNERS)
    with pytest.raises(InputError, match="Unknown method 'dynamo'"):
        make_learner("dynamo", chain)
    assert [make_learner(name, chain).name for name in LEARNERS] == list(LEARNERS)


@pytest.mark.parametrize("name", ["cuda:97", "abacus", ""])
def test_a_device_that_does_not_exist_is_one_clear_error(name):
    with pytest.raises(InputError) as error:
        choose_device(name)
    assert f"'{name}'" in str(error.value)
    assert "'auto'" in str(error.value)


def test_auto_takes_a_gpu_only_where_there_is_one():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_a_wrong_backbone_or_weights_in_the_settings_is_one_clear_error():
    settings = Settings().with_changes({"backbone": "vgg16", "weights": "places"})
    with pytest.raises(InputError, match="Unknown backbone 'vgg16'"):
        make_backbone(settings.backbone, settings.weights)
    with pytest.raises(InputError, match="Unknown weights 'places'"):
        make_backbone("resnet18", settings.weights)


@pytest.mark.parametrize("name", ["adapter_start", "precision"])
def test_a_word_that_is_no_choice_lists_those_there_are(name):
    with pytest.raises(
        InputError, match=f"{name} is 'other': choose from .*{getattr(Settings(), name)}"
    ):
        Settings(**{name: "other"})
