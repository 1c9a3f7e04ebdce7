"""What clusters are asked for: more than jobs were measured to take, growing with what they do."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from dynammo.run import needs as module
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


def test_every_measured_peak_is_asked_for_with_room_to_spare():
    table = module.__doc__
    for size, sessions, row in (
        (64, 2, r"64 px, 2 sessions +(\d+)"),
        (128, 4, r"128 and 224 px +(\d+)"),
        (224, 4, r"128 and 224 px +\d+, (\d+)"),
        (64, 8, r"the same, 64 px, 8 sessions +(\d+)"),
        (64, 4, r"replay, 64 px +(\d+)"),
        (64, 4, r"DER, 64 px, 4 and 8 sessions +(\d+)"),
        (64, 8, r"DER, 64 px, 4 and 8 sessions +\d+, (\d+)"),
        (128, 4, r"PODNet, 128 px +(\d+)"),
        (64, 10, r"RanPAC, 10,000 features, 64 px, 10 sessions +(\d+)"),
    ):
        measured = int(re.search(row, table)[1])
        projected = {"ranpac_features": 10_000} if "RanPAC" in row else {}
        kind = "ranpac" if projected else "method"
        found = asked(size, sessions, **projected)[kind]["mem_mb"]
        assert 1.3 * measured < found < 4 * measured, row


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
    path = Path(__file__).parents[2] / "notebooks/cluster/config.yaml"
    assert set(yaml.safe_load(path.read_text())) == {"retries", "latency-wait", "keep-going"}
