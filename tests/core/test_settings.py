"""Knobs: round trips hold, and every wrong value is one error that names it."""

import json
import math

import pytest
from pydantic import ValidationError

from dynammo.baselines.lwf import LwF
from dynammo.baselines.replay import Replay
from dynammo.errors import InputError
from dynammo.run.settings import RunSettings
from dynammo.settings import Knobs


@pytest.mark.parametrize(
    ("wrong", "suggestion"),
    [
        ("adapter_epoch", "did you mean 'adapter_epochs'?"),
        ("memory_buget", "did you mean 'memory_budget'?"),
        ("train_seed", "did you mean 'train_seeds'?"),
        ("zzzzzzzz", "there are backbone, "),
    ],
)
def test_an_unknown_setting_suggests_a_near_one(wrong, suggestion):
    with pytest.raises(InputError) as error:
        RunSettings().with_changes({"adapter_epochs": 2, wrong: 1})
    assert f"Unknown setting '{wrong}'" in str(error.value)
    assert suggestion in str(error.value)


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("adapter_epochs", 2.5, "a valid integer"),
        ("adapter_epochs", "2", "a valid integer"),
        ("adapter_epochs", True, "a valid integer"),
        ("adapter_epochs", None, "a valid integer"),
        ("memory_budget", [80], "a valid integer"),
        ("adapter_learning_rate", "0.1", "a valid number"),
        ("adapter_learning_rate", False, "a valid number"),
        ("stream", 3, "a valid string"),
        ("backbone", None, "a valid string"),
        ("methods", "acl", "a valid tuple"),
        ("methods", ["acl", 3], "a valid string"),
        ("train_seeds", 1, "a valid tuple"),
        ("train_seeds", [1, 2.0], "a valid integer"),
        ("train_seeds", [True], "a valid integer"),
        ("adapter_stages", ["layer1", None], "a valid string"),
        ("adapter_milestones", [0.5, "0.8"], "a valid number"),
    ],
)
def test_a_value_of_the_wrong_type_is_one_clear_error(name, value, kind):
    with pytest.raises(InputError) as error:
        RunSettings().with_changes({name: value})
    assert str(error.value) == f"{name} is {value!r}: it must be {kind}."


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        *((name, 0, "greater than 0") for name in ("adapter_epochs", "head_epochs")),
        *(
            (name, -1, "greater than 0")
            for name in ("phantom_train", "phantom_val", "phantom_test")
        ),
        ("memory_budget", -1, "greater than or equal to 0"),
        ("colour_shift", -0.1, "greater than or equal to 0"),
        ("colour_shift", 1.1, "less than or equal to 1"),
        ("threads", 0, "greater than 0"),
        ("adapter_learning_rate", 0.0, "greater than 0"),
        ("head_learning_rate", -1e-3, "greater than 0"),
        ("adapter_width", -0.5, "greater than 0"),
        ("batch_size", 1, "greater than or equal to 2"),
        ("classes_per_session", -1, "greater than or equal to 0"),
        ("train_per_class", -5, "greater than or equal to 0"),
        ("adapter_momentum", -0.1, "greater than or equal to 0"),
        ("adapter_momentum", 1.0, "less than 1"),
        ("adapter_weight_decay", -5e-4, "greater than or equal to 0"),
        ("adapter_milestones", [0.5, 70], "less than or equal to 1"),
        ("head_milestones", [-0.5], "greater than 0"),
        ("order_seeds", [], "at least 1 item"),
        ("train_seeds", [1, 2, 1], "give each once"),
        ("methods", [], "at least 1 item"),
        ("methods", ["acl", "acl"], "give each once"),
    ],
)
def test_a_value_out_of_range_is_one_clear_error(name, value, words):
    with pytest.raises(InputError) as error:
        RunSettings().with_changes({name: value})
    message = str(error.value)
    assert message.startswith(f"{name} is {value}")
    assert words in message


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["adapter_learning_rate", "adapter_alpha", "adapter_milestones"])
def test_a_number_that_is_none_is_one_clear_error(name, value):
    changed = [0.5, value] if name == "adapter_milestones" else value
    with pytest.raises(InputError) as error:
        RunSettings().with_changes({name: changed})
    assert str(error.value) == f"{name} is {changed}: it must be a finite number."


@pytest.mark.parametrize("name", ["order_seeds", "train_seeds"])
def test_a_seed_below_nought_is_one_clear_error(name):
    with pytest.raises(InputError, match=rf"{name} is \[3, -1\]: .*greater than or equal to 0"):
        RunSettings().with_changes({name: [3, -1]})


def test_checks_also_hold_when_settings_are_built_directly():
    with pytest.raises(InputError, match="batch_size is 1"):
        RunSettings(batch_size=1)
    with pytest.raises(InputError, match="train_seeds is 1: .*a valid tuple"):
        RunSettings(train_seeds=1)
    with pytest.raises(InputError, match="adapter_epoch is 3: .*not permitted"):
        RunSettings(adapter_epoch=3)
    seeds = [1]
    settings = RunSettings(train_seeds=seeds)
    seeds.append(2)
    assert settings.train_seeds == (1,)  # a tuple, so that settings cannot be changed later


def test_changes_leave_the_settings_they_start_from_alone():
    settings = RunSettings()
    changed = settings.with_changes({"adapter_epochs": 3, "train_seeds": [5]})
    assert changed == RunSettings(adapter_epochs=3, train_seeds=(5,))
    assert settings == RunSettings()
    assert settings.with_changes({}) == settings
    with pytest.raises(ValidationError, match="frozen"):
        settings.adapter_epochs = 2


def test_a_whole_number_will_do_where_a_fraction_is_meant():
    assert RunSettings().with_changes({"adapter_width": 1}).adapter_width == 1


def test_settings_survive_json():
    settings = RunSettings(adapter_stages=("layer1.0",), train_seeds=(4, 2), adapter_width=0.125)
    text = json.dumps(settings.as_dict())
    assert RunSettings().with_changes(json.loads(text)) == settings
    own = {f"frozen_features_{rate}" for rate in ("learning_rate", "head_learning_rate")}
    assert set(settings.as_dict()) == RunSettings.model_fields.keys() - {"of_methods"} | own
    assert not any(isinstance(v, tuple) for v in settings.as_dict().values())


@pytest.mark.parametrize("name", ["adapter_start", "precision"])
def test_a_word_that_is_no_choice_lists_those_there_are(name):
    with pytest.raises(
        InputError, match=f"{name} is 'other': it must be .*'{getattr(RunSettings(), name)}'"
    ):
        RunSettings(**{name: "other"})


def test_knobs_of_a_method_are_settings_under_its_name():
    settings = RunSettings().with_changes({"lwf_temperature": 4.0, "der_plus_plus_alpha": 0.25})
    assert settings.knobs(LwF) == LwF.Knobs(temperature=4.0)
    assert settings.knobs_by_name(LwF) == {
        "lwf_learning_rate": 0.0,
        "lwf_temperature": 4.0,
        "lwf_epochs": 0,
        "lwf_weight": LwF.Knobs().weight,
    }
    assert settings.of_methods == {"lwf": {"temperature": 4.0}, "der_plus_plus": {"alpha": 0.25}}
    again = settings.with_changes({"lwf_weight": 7.0})
    assert again.knobs(LwF) == LwF.Knobs(temperature=4.0, weight=7.0)
    assert settings.knobs(LwF).weight == LwF.Knobs().weight  # as it was


def test_a_class_of_ones_own_has_the_knobs_that_it_shares_with_its_base():
    class Own(Replay):
        class Knobs(Knobs):
            twice: bool = True
            learning_rate: float = 0.0

    changes = {"replay_epochs": 3, "replay_learning_rate": 0.5}
    knobs = RunSettings().with_changes(changes).knobs(Own)
    assert knobs.model_dump() == {"twice": True, "learning_rate": 0.5}


def test_a_knob_at_its_default_is_as_if_it_had_not_been_named():
    settings = RunSettings()
    default = settings.knobs(LwF).temperature
    assert settings.with_changes({"lwf_temperature": default}) == settings
    changed = settings.with_changes({"lwf_temperature": default + 1})
    assert changed != settings
    assert changed.with_changes({"lwf_temperature": default}) == settings


def test_knobs_may_be_given_by_method_and_are_checked():
    changed = RunSettings().with_changes({"of_methods": {"lwf": {"temperature": 3.0}}})
    assert changed == RunSettings().with_changes({"lwf_temperature": 3.0})
    with pytest.raises(InputError, match="lwf_temperature is 0.0"):
        RunSettings().with_changes({"of_methods": {"lwf": {"temperature": 0.0}}})


def test_changed_knobs_of_methods_survive_json():
    changes = {"methods": ["lwf", "acl"], "lwf_weight": 2.5, "der_plus_plus_alpha": 0.25}
    settings = RunSettings().with_changes(changes)
    values = json.loads(json.dumps(settings.as_dict()))
    assert RunSettings().with_changes(values) == settings
    # Of the methods that are run, knobs at their defaults are told as well.
    assert values["lwf_temperature"] == LwF.Knobs().temperature
    assert values["der_plus_plus_alpha"] == 0.25 and "wa_temperature" not in values


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lwf_temperature": 0.0}, "lwf_temperature is 0.0: it must be greater than 0"),
        ({"lwf_temperature": "hot"}, "lwf_temperature is 'hot': it must be a valid number"),
        ({"lwf_temperatur": 2.0}, "'lwf_temperatur': did you mean 'lwf_temperature'"),
        ({"acl_temperature": 2.0}, "Unknown setting 'acl_temperature'"),
        ({"der_plus_plus_alhpa": 1.0}, "did you mean 'der_plus_plus_alpha'"),
    ],
)
def test_a_wrong_knob_of_a_method_is_one_clear_error(changes, words):
    with pytest.raises(InputError, match=words):
        RunSettings().with_changes(changes)
