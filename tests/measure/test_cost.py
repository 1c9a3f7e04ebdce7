"""Costs against formulas worked out here, and that counting leaves no trace."""

import sys
import types
from functools import cache

import pytest
import torch
from helpers import random_images
from torch import nn

from dynammo import catalogue
from dynammo.backbones import Backbone, make_backbone
from dynammo.baselines.frozen_features import FrozenFeatures
from dynammo.beyond.dynammo_ridge import DynaMMoRidge
from dynammo.catalogue import METHODS
from dynammo.errors import InputError
from dynammo.heads import UnifiedHead
from dynammo.learner import count_parameters
from dynammo.measure import cost
from dynammo.measure.cost import cost_growth, count_cost, count_macs, outline_learner
from dynammo.methods import ACL, DynaMMo, LastAdapter, adapter_methods
from dynammo.run.settings import RunSettings

RESNET = RunSettings(
    backbone="resnet18", weights="random", adapter_stages=("layer2", "layer4"), adapter_width=0.5
)
# Without its classifier; folding leaves one number of batch norm's two for each of 4800 channels.
FROZEN_RESNET = 11_689_512 - 513 * 1000 - 4800
LITE = RunSettings(weights="random", adapter_stages=("stage3", "stage6"), adapter_width=0.25)
ALL_METHODS = tuple(catalogue.load(name) for name in adapter_methods(METHODS))
ONE_PASS = tuple(kind for kind in ALL_METHODS if kind is not ACL)


def adapter_macs(channels: int, hidden: int, size: int) -> int:
    """Both convolutions of an adapter on a map of that side, padding "same"."""
    return 2 * 9 * channels * hidden * size**2


def adapter_parameters(channels: int, hidden: int) -> int:
    """Weights and biases of both convolutions, two pairs of batch norm, alpha."""
    return (
        (9 * channels * hidden + hidden)
        + (9 * channels * hidden + channels)
        + (2 * hidden + 2 * channels + 1)
    )


def resnet18_macs(size: int) -> int:
    """ResNet-18's convolutions by formula, for a size that 32 divides; no classifier."""
    side = size // 2
    total = side**2 * 64 * 3 * 49
    side //= 2
    channels_in = 64
    for channels, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        side //= stride
        total += side**2 * 9 * channels * (channels_in + 3 * channels)
        if stride == 2:
            total += side**2 * channels * channels_in
        channels_in = channels
    return total


# By size of the features: ResNet-18's third stage; EfficientNet-Lite0's fourth to seventh.
EARLIER_DEPTHS = {512: 256, 1280: 80 + 112 + 192 + 320}


def width_read(kind, feature_size: int) -> int:
    return feature_size + (EARLIER_DEPTHS[feature_size] if kind.reader else 0)


def head_parameters(kind, feature_size: int, sessions: int, classes: int) -> int:
    if issubclass(kind, DynaMMoRidge):  # may read the means of the later stages' maps as well
        return width_read(kind, feature_size) * sessions * classes
    if kind.head_kind is UnifiedHead:
        return (feature_size + 1) * sessions * classes
    return (feature_size + 1) * sessions * (classes + 1)


def head_macs(kind, feature_size: int, sessions: int, classes: int) -> int:
    parameters = head_parameters(kind, feature_size, sessions, classes)
    if issubclass(kind, DynaMMoRidge):  # no biases
        return parameters
    return parameters // (feature_size + 1) * feature_size


@cache
def empty(name: str) -> Backbone:
    """A backbone without values, built and folded once."""
    with torch.device("meta"):
        return make_backbone(name, "random")


def outlined(kind, settings, sessions: int, size: int = 64, device: str = "meta"):
    backbone = empty(settings.backbone) if device == "meta" else None
    return outline_learner(kind.name, settings, [2] * sessions, size, device, backbone)


def test_macs_of_a_convolution_and_a_linear_layer_by_formula():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=2, padding=2, bias=False),  # 16 px to 8 px
        nn.ReLU(),
        nn.Conv2d(8, 6, 3, groups=2, bias=False),  # to 6 px
        nn.Flatten(),
        nn.Linear(6 * 36, 10, bias=False),
    )
    expected = 8 * 8 * 8 * 3 * 25 + 6 * 6 * 6 * 4 * 9 + 6 * 36 * 10
    macs = count_macs(network, 16)
    assert macs.torch == expected
    assert macs.ptflops == pytest.approx(expected, rel=0.02)


def test_macs_are_of_one_image_not_of_a_batch_and_grow_with_its_area():
    network = nn.Conv2d(3, 4, 3, padding=1, bias=False)
    assert count_macs(network, 20).torch == 4 * count_macs(network, 10).torch == 20 * 20 * 4 * 27


def test_resnet18_at_224_pixels_costs_the_published_1_8_billion():
    expected = resnet18_macs(224)
    assert expected == pytest.approx(1.814e9, rel=1e-3)
    frozen = outlined(FrozenFeatures, RESNET, 1, size=224)
    macs = count_macs(frozen.network(), 224)
    assert macs.torch == expected + head_macs(FrozenFeatures, 512, 1, 2)
    assert macs.ptflops == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("kind", ONE_PASS)
def test_a_merged_network_costs_one_pass_however_many_sessions(kind):
    counts = {t: count_macs(outlined(kind, RESNET, t).network(), 64).torch for t in (1, 20)}
    assert len({macs - head_macs(kind, 512, t, 2) for t, macs in counts.items()}) == 1


def test_a_merged_efficientnet_costs_one_pass_too():
    counts = {t: count_macs(outlined(DynaMMo, LITE, t).network(), 64).torch for t in (1, 5)}
    assert len({macs - head_macs(DynaMMo, 1280, t, 2) for t, macs in counts.items()}) == 1


def test_a_merged_pass_is_the_backbone_and_one_set_of_adapters_by_formula():
    macs = count_macs(outlined(DynaMMo, RESNET, 7).network(), 64).torch
    expected = resnet18_macs(64) + adapter_macs(64, 32, 16) + adapter_macs(256, 128, 4)
    assert macs == expected + head_macs(DynaMMo, 512, 7, 2)


def test_acl_costs_as_many_passes_as_sessions_exactly():
    one_pass = resnet18_macs(64) + adapter_macs(64, 32, 16) + adapter_macs(256, 128, 4)
    for sessions in (1, 2, 8):
        macs = count_macs(outlined(ACL, RESNET, sessions).network(), 64).torch
        assert macs == sessions * one_pass + 512 * 3 * sessions


@pytest.fixture(scope="module")
def growth():
    """Every method after 1 and after 3 sessions."""
    rows = cost_growth(RESNET, list(METHODS), (1, 3), image_size=64)
    return {(row["method"], row["sessions"]): row for row in rows}


def test_the_two_counters_agree_for_every_method(growth):
    assert set(growth) == {(method, sessions) for method in METHODS for sessions in (1, 3)}
    for row in growth.values():
        assert row["macs"] == pytest.approx(row["macs_torch_counter"], rel=0.03)


def test_only_expansion_costs_more_macs_with_every_session(growth):
    for method in METHODS:
        ratio = growth[method, 3]["macs"] / growth[method, 1]["macs"]
        assert ratio == pytest.approx(
            3 if method in ("acl", "acl_fresh", "der") else 1, rel=1e-3
        ), method


def test_what_methods_store_by_formula(growth):
    network, one_class = 11_689_512 - 513 * 1000, 513
    whole, backbone = network + 6 * one_class, FROZEN_RESNET
    expected = {
        "fine_tuning": whole,
        "replay": whole,
        "ewc": 2 * whole,  # the Fisher information of every weight; the anchor is the network
        "der": 3 * network + 6 * (3 * 512 + 1),
        "nearest_class_mean": backbone + 6 * 512,
        "ranpac": backbone + 2000 * 2000 + 2000 * 6 + 1,  # not the projection, drawn from a seed
    }
    for method, stored in expected.items():
        assert growth[method, 3]["parameters_stored"] == stored, method
    images = RunSettings().memory_budget * 64 * 64 * 3
    assert growth["fine_tuning", 3]["memory_bytes"] == 4 * whole
    assert growth["replay", 3]["memory_bytes"] == 4 * whole + images


def test_the_meta_device_counts_what_a_real_network_costs():
    for kind in (DynaMMo, ACL):
        meta, real = (outlined(kind, RESNET, 2, device=device) for device in ("meta", "cpu"))
        assert count_cost(meta) == count_cost(real)


def test_counters_that_disagree_are_an_error(monkeypatch):
    monkeypatch.setattr(cost.FlopCounterMode, "get_total_flops", lambda _self: 2)
    with pytest.raises(InputError, match="torch 1"):
        count_macs(nn.Conv2d(3, 4, 3), 8)


def test_counting_changes_nothing_about_the_network(random_resnet):
    network = outlined(DynaMMo, RESNET, 2, device="cpu").network()
    keys = list(network.state_dict())
    attributes = [sorted(vars(m)) for m in network.modules()]
    x = random_images(1, 64)
    before = network(x)
    count_macs(network, 64)
    assert list(network.state_dict()) == keys
    assert [sorted(vars(m)) for m in network.modules()] == attributes
    for module in network.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks
    assert torch.equal(network(x), before)


@pytest.mark.parametrize("present", [True, False])
def test_torchvision_is_as_it_was_after_counting(present, monkeypatch):
    stand_in = types.ModuleType("torchvision")
    if present:
        monkeypatch.setitem(sys.modules, "torchvision", stand_in)
    else:
        monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    count_macs(nn.Conv2d(3, 4, 3), 8)
    if present:
        assert sys.modules["torchvision"] is stand_in
    else:
        assert "torchvision" not in sys.modules


def test_shared_parameters_count_once(random_resnet):
    alone = count_parameters(random_resnet)
    assert alone == FROZEN_RESNET
    head = nn.Linear(7, 3)
    both = nn.ModuleList([nn.Sequential(random_resnet), nn.Sequential(random_resnet, head)])
    assert count_parameters(both, head, random_resnet) == alone + 7 * 3 + 3


@pytest.mark.parametrize("kind", ALL_METHODS)
@pytest.mark.parametrize("sessions", [1, 2, 5])
def test_parameters_stored_and_used_by_formula(kind, sessions):
    backbone = FROZEN_RESNET
    one_set = adapter_parameters(64, 32) + adapter_parameters(256, 128)
    # DynaMMo keeps the mean and the newest set, which are the same after the first session.
    kept, run = {
        "frozen_features": (0, 0),
        "ridge_frozen": (0, 0),
        "ridge_frozen_last": (0, 0),
        "last_adapter": (1, 1),
        "last_adapter_ridge": (1, 1),
        "acl": (sessions, sessions),
    }.get(kind.name, (min(sessions, 2), 1))
    head = head_parameters(kind, 512, sessions, 2)
    learner = outlined(kind, RESNET, sessions)
    # The ridge head is solved from a mean and a count of each class and one scatter matrix.
    wide = width_read(kind, 512)
    solved = issubclass(kind, DynaMMoRidge)
    statistics = (wide + 1) * 2 * sessions + wide**2 if solved else 0
    assert learner.stored_numbers() == backbone + kept * one_set + head + statistics
    assert count_parameters(learner.network()) == backbone + run * one_set + head
    trained = (one_set if run else 0) + (0 if solved else head)
    assert learner.trained_numbers() == trained


@pytest.mark.parametrize(
    ("start", "kept"), [("previous", [2, 1, 5]), ("merged", [1, 2, 5]), ("fresh", [1, 1, 5])]
)
def test_sets_are_kept_to_predict_and_to_go_on_from(start, kept):
    settings = RESNET.with_changes({"adapter_start": start})
    learners = [outlined(kind, settings, 5) for kind in (DynaMMo, LastAdapter, ACL)]
    assert [learner.stored_adapter_sets() for learner in learners] == kept


def test_an_outlined_chain_takes_sessions_of_different_sizes():
    learner = outline_learner("dynammo", RESNET, [8, 11, 9], 32)
    assert learner.session == 3
    outputs = 8 + 11 + 9 + (0 if DynaMMo.head_kind is UnifiedHead else 3)
    assert count_parameters(learner.head) == 513 * outputs


def test_valid_padding_as_released_costs_less_than_same():
    valid = RESNET.with_changes({"adapter_padding": "valid"})
    # The first convolution shrinks the map by 2; its transpose spreads that smaller map.
    expected = sum(2 * 9 * c * h * (side - 2) ** 2 for c, h, side in ((64, 32, 24), (256, 128, 6)))
    learner = outlined(DynaMMo, valid, 2, size=96)
    found = count_macs(learner.network(), 96).torch
    assert found == resnet18_macs(96) + expected + head_macs(DynaMMo, 512, 2, 2)
