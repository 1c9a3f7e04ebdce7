"""Frozen backbones: what they see and give, that they stay frozen, and functions at stages."""

import numpy as np
import pytest
import torch
from helpers import number_of_hooks, random_images
from PIL import Image
from torch import nn

from dynammo.backbones import Backbone, at_stages, make_backbone
from dynammo.errors import InputError
from dynammo.networks.recipes import RECIPES
from dynammo.networks.resnet18 import ResNet18


def test_the_backbone_is_the_network_without_its_classifier():
    backbone = make_backbone("resnet18", "random")
    network = ResNet18().eval()
    weights = backbone.trainable_network().state_dict()
    network.load_state_dict(weights, strict=False)
    x = random_images(2, 64)
    with torch.no_grad():
        features = backbone(x)
        assert features.shape == (2, backbone.feature_size) == (2, 512)
        torch.testing.assert_close(network.fc(features), network(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", RECIPES)
def test_nothing_in_the_backbone_moves_when_it_is_trained(name):
    backbone = make_backbone(name, "random")
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    surrounding = nn.Sequential(backbone, nn.Linear(backbone.feature_size, 2)).train()
    assert surrounding[1].training
    assert not any(module.training for module in backbone.modules())
    x = random_images(4, 33).requires_grad_()
    surrounding(x).sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0  # gradients pass through it ...
    for name_, parameter in backbone.named_parameters():
        assert not parameter.requires_grad, name_  # ... but reach none of its weights
        assert parameter.grad is None, name_
    after = backbone.state_dict()
    assert len(before) == len(after)
    for key, value in after.items():
        assert torch.equal(value, before[key]), key


@pytest.mark.parametrize("name", RECIPES)
def test_normalise_takes_bytes_to_what_the_weights_expect_channel_by_channel(name):
    backbone = make_backbone(name, "random")
    expected_mean, expected_deviation = {
        "resnet18": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        "efficientnet_lite0": ((0.498,) * 3, (0.502,) * 3),
    }[name]
    images = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3), dtype=np.uint8)
    images[0, 1, 2] = (255, 0, 51)  # red, green, blue
    found = backbone.normalise(images)
    assert found.shape == (2, 3, 5, 4)
    assert found.dtype == torch.float32
    for n, y, x, c in np.ndindex(images.shape):
        expected = (images[n, y, x, c] / 255 - expected_mean[c]) / expected_deviation[c]
        assert found[n, c, y, x].item() == pytest.approx(expected, abs=1e-5)
    torch.testing.assert_close(backbone.normalise(torch.as_tensor(images)), found)


def test_random_weights_follow_their_seed_and_leave_the_global_generator_alone():
    torch.manual_seed(11)
    state = torch.random.get_rng_state()
    first, again, other = (make_backbone("resnet18", "random", seed=s) for s in (5, 5, 6))
    assert torch.equal(torch.random.get_rng_state(), state)
    weight = "layer1.0.conv1.weight"
    assert torch.equal(first.network.state_dict()[weight], again.network.state_dict()[weight])
    assert not torch.equal(first.network.state_dict()[weight], other.network.state_dict()[weight])


def test_pretrained_weights_leave_the_global_generator_alone():
    state = torch.random.get_rng_state()
    make_backbone("efficientnet_lite0", "imagenet")
    assert torch.equal(torch.random.get_rng_state(), state)


def test_any_cnn_can_be_wrapped():
    cnn = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    backbone = Backbone("mine", cnn, RECIPES["resnet18"])
    backbone.train()
    assert not cnn[1].training
    assert backbone(random_images(2, 8)).shape == (2, 4)


@pytest.mark.parametrize(
    ("name", "weights", "words"),
    [
        ("resnet50", "imagenet", ("'resnet50'", "resnet18, efficientnet_lite0")),
        ("", "random", ("backbone ''", "resnet18")),
        ("resnet18", "imagnet", ("'imagnet'", "'imagenet' or 'random'")),
    ],
)
def test_an_unknown_backbone_or_kind_of_weights_is_one_clear_error(name, weights, words):
    with pytest.raises(InputError) as error:
        make_backbone(name, weights)
    assert all(word in str(error.value) for word in words)


def test_images_are_enlarged_on_their_way_into_the_network(random_resnet):
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    backbone = make_backbone("resnet18", "random", enlarge_to=40)
    found = backbone.normalise(images)
    assert found.shape == (2, 3, 40, 40)
    # Pillow's bilinear filter, which torchvision's Resize uses, is the same when enlarging.
    expected = [Image.fromarray(x).resize((40, 40), Image.Resampling.BILINEAR) for x in images]
    torch.testing.assert_close(
        found, random_resnet.normalise(np.stack(expected)), atol=1 / 255 / 0.22, rtol=0
    )  # Pillow rounds to whole pixel values


def test_functions_at_stages_see_the_maps_and_what_they_return_takes_their_place():
    network = nn.Sequential(nn.ReLU(), nn.Identity())
    x, seen = torch.tensor([-1.0, 2.0]), []
    with at_stages(network, before={"0": seen.append}, after={"0": seen.append}):
        assert torch.equal(network(x), torch.relu(x))  # they returned nothing
    assert torch.equal(seen[0], x) and torch.equal(seen[1], torch.relu(x))
    with at_stages(network, before={"1": lambda maps: maps + 1}, after={"1": lambda maps: -maps}):
        assert torch.equal(network(x), -(torch.relu(x) + 1))
    assert number_of_hooks(network) == 0
    assert torch.equal(network(x), torch.relu(x))


def test_functions_at_stages_are_gone_when_the_block_raises():
    network = nn.Sequential(nn.ReLU(), nn.Identity())
    functions = {"0": lambda maps: maps + 1, "1": lambda maps: maps + 1}
    with pytest.raises(ZeroDivisionError), at_stages(network, before=functions, after=functions):
        assert number_of_hooks(network) == 4
        _ = 1 / 0
    assert number_of_hooks(network) == 0
    with (
        pytest.raises(AttributeError),  # the second stage does not exist
        at_stages(network, before=functions | {"gone": functions["0"]}),
    ):
        pass
    assert number_of_hooks(network) == 0
