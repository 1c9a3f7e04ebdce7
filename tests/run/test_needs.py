"""What clusters are asked for: more than jobs were measured to take, growing with what they do."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from dynammo.run.needs import needs
from dynammo.run.settings import RunSettings
from dynammo.stream import Split


def asked(size=64, sessions=4, train=800, **changes):
    def split(count):
        images = np.broadcast_to(np.uint8(0), (count, size, size, 3))
        return Split(images, np.zeros(count, np.int64))

    stream = SimpleNamespace(
        image_size=size,
        number_of_sessions=sessions,
        **{"train": split(train), "val": split(80), "test": split(160)},
    )
    return needs(RunSettings().with_changes(changes), stream)


@pytest.mark.parametrize(
    ("size", "sessions", "measured"),  # as in needs.py
    [
        *((64, 2, 896), (128, 4, 1315), (224, 4, 2381), (64, 8, 996)),  # a session
        (64, 4, 1245),  # replay
        *((64, 4, 1312), (64, 8, 1476)),  # DER
        (128, 4, 2155),  # PODNet
        (64, 10, 6200),  # RanPAC with 10,000 features
    ],
)
def test_every_measured_peak_is_asked_for_with_room_to_spare(size, sessions, measured):
    kind = "ranpac" if measured == 6200 else "method"
    found = asked(size, sessions, ranpac_features=10_000)[kind]["mem_mb"]
    assert 1.3 * measured < found < 4 * measured


@pytest.mark.parametrize("change", [{"size": 128}, {"sessions": 10}, {"enlarge_to": 128}])
def test_more_is_asked_for_larger_images_and_more_sessions(change):
    plain, more = asked(), asked(**change)
    for kind in plain:
        assert more[kind]["mem_mb"] > plain[kind]["mem_mb"]
    assert more["method"]["runtime"] > plain["method"]["runtime"]


def test_time_grows_with_images_and_epochs_and_a_gpu_is_asked_for_by_name():
    plain = asked()
    assert asked(train=8000)["session"]["runtime"] > plain["session"]["runtime"]
    assert asked(adapter_epochs=200)["method"]["runtime"] > 10 * plain["method"]["runtime"]
    assert plain["session"]["runtime"] < plain["method"]["runtime"] < plain["look"]["runtime"]
    longer = asked(replay_epochs=200, methods=["replay"])
    assert longer["method"]["runtime"] > 10 * plain["method"]["runtime"]
    assert longer["session"] == plain["session"]
    assert "gpu" not in plain["method"] and asked(device="cuda")["method"]["gpu"] == 1


@pytest.mark.parametrize("graph", ["Snakefile", "together.smk"])
def test_every_rule_says_what_it_needs(graph):
    text = (Path(__file__).parents[2] / "notebooks" / graph).read_text()
    for rule in re.split(r"^ *rule\b", text, flags=re.MULTILINE)[1:]:  # one has no name
        name = rule.partition(":")[0].strip()
        both = "mem_mb=" in rule and "runtime=" in rule
        assert name == "all" or both or "**needed(" in rule, name


def test_a_cluster_s_own_profile_is_not_overridden():
    """What stands in both profiles is taken from this one alone, whole keys of it."""
    keys = yaml.safe_load((Path(__file__).parents[2] / "notebooks/cluster/config.yaml").read_text())
    assert keys and not [key for key in keys if "resources" in key or "executor" in key]
