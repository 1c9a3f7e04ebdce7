"""A run's settings: out of a notebook's variables, those of the data, and the device they name."""

import json

import pytest
import torch

from dynammo.errors import InputError
from dynammo.run.run_folder import choose_device
from dynammo.run.settings import RunSettings, changes_of, is_setting, settings_from


@pytest.mark.parametrize("name", ["cuda:97", "abacus", ""])
def test_a_device_that_does_not_exist_is_one_clear_error(name):
    with pytest.raises(InputError) as error:
        choose_device(name)
    assert f"'{name}'" in str(error.value)
    assert "'auto'" in str(error.value)


def test_auto_takes_a_gpu_only_where_there_is_one():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_settings_from_a_notebooks_variables_ignore_what_is_no_setting():
    variables = {
        "__name__": "__main__",
        "np": object(),
        "adapter_epochs": 3,
        "methods": ["acl"],
        "session": 2,
    }
    assert settings_from(variables) == RunSettings(adapter_epochs=3, methods=("acl",))
    with pytest.raises(InputError, match="adapter_epochs is 'many': it must be a valid integer"):
        settings_from({"adapter_epochs": "many"})
    for variables in ({"plugins": "my.py"}, {"more": {"plugins": "my.py"}}):
        with pytest.raises(InputError, match="plugins is 'my.py': it must be a list of files"):
            settings_from(variables)


def test_a_notebooks_variables_may_be_knobs_of_methods_and_more_in_a_dictionary():
    variables = {"lwf_temperature": 3.0, "lwf": 1, "more": {"der_plus_plus_alpha": 0.5}}
    found = settings_from(variables)
    assert found.of_methods == {"lwf": {"temperature": 3.0}, "der_plus_plus": {"alpha": 0.5}}
    with pytest.raises(InputError, match="Unknown setting 'lwf_warmth'"):
        settings_from({"more": {"lwf_warmth": 3.0}})
    assert is_setting("lwf_temperature") and is_setting("threads")
    assert not is_setting("lwf") and not is_setting("lwf_warmth") and not is_setting("of_method")


def test_what_settings_change_gives_them_back():
    changes = {"train_seeds": [4], "adapter_epochs": 3, "lwf_weight": 2.5}
    settings = RunSettings().with_changes(changes)
    assert changes_of(settings) == changes
    assert RunSettings().with_changes(json.loads(json.dumps(changes_of(settings)))) == settings
    assert changes_of(RunSettings()) == {}
