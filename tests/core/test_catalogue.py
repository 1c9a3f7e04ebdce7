"""The table of methods: every row leads to its class."""

import pytest

from dynammo.catalogue import FAMILIES, METHODS, check_methods, load, split_setting, title
from dynammo.errors import InputError
from dynammo.learner import Learner


@pytest.mark.parametrize("name", METHODS)
def test_every_row_leads_to_its_class(name):
    kind = load(name)
    assert issubclass(kind, Learner)
    assert kind.name == name


def test_titles_are_told_apart_and_every_family_has_a_method():
    assert len({method.title for method in METHODS.values()}) == len(METHODS)
    assert {method.family for method in METHODS.values()} == set(FAMILIES)
    assert title("my_own") == "my own"  # one that is not in the table


@pytest.mark.parametrize("name", ["dynamo", "", "DynaMMo"])
def test_an_unknown_method_lists_the_known_ones(name):
    for refuse in (load, lambda name: check_methods(["acl", name])):
        with pytest.raises(InputError) as error:
            refuse(name)
        assert f"Unknown method '{name}'" in str(error.value)
        assert ", ".join(METHODS) in str(error.value)
    check_methods(METHODS)


@pytest.mark.parametrize(
    ("setting", "method", "own"),
    [
        ("lwf_temperature", "lwf", "temperature"),
        ("der_temperature", "der", "temperature"),
        ("der_plus_plus_alpha", "der_plus_plus", "alpha"),  # not the knob "plus_plus_alpha" of der
        ("adapter_epochs", "", "adapter_epochs"),
        ("lwf", "", "lwf"),
    ],
)
def test_a_setting_belongs_to_the_method_with_the_longest_name_it_begins_with(setting, method, own):
    assert split_setting(setting) == (method, own)
