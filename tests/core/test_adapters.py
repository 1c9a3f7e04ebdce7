"""Adapters compute the paper's formula in front of stages and leave the backbone untouched."""

import pytest
import torch
import torch.nn.functional as F
from helpers import generator, number_of_hooks, random_images
from torch import nn

from dynammo.adapters import AdaptedNetwork, Adapter, make_adapters, stage_shapes
from dynammo.errors import InputError

IMAGES = random_images(2, 64)


def shaken(module: nn.Module, seed: int = 0) -> nn.Module:
    """Random values everywhere, so that no term of the formula is hidden by a nought or a one."""
    random = generator(seed)
    for name, tensor in module.state_dict().items():
        if "running_var" in name:
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=random))
        elif tensor.is_floating_point():
            tensor.copy_(0.3 * torch.randn(tensor.shape, generator=random))
    return module.eval()


def padded(x: torch.Tensor, by: int) -> torch.Tensor:
    return F.pad(x, (by, by, by, by))


def formula(weights: dict, x: torch.Tensor, padding: str, training: bool) -> torch.Tensor:
    """``x + alpha relu(bn2(convT(relu(bn1(conv(x))))))`` from shifted products, in double."""
    weights = {k: v.double() for k, v in weights.items()}
    x = x.double()

    def norm(x, name):
        if training:
            mean = x.mean(dim=(0, 2, 3))
            variance = x.var(dim=(0, 2, 3), unbiased=False)
        else:
            mean, variance = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
        x = (x - mean[:, None, None]) / (variance[:, None, None] + 1e-5).sqrt()
        return x * weights[f"{name}.weight"][:, None, None] + weights[f"{name}.bias"][:, None, None]

    height, width = x.shape[2:]
    # Convolution: out[y, x] = sum over a, b of in[y + a, x + b] w[a, b].
    source = padded(x, 1) if padding == "same" else x
    rows, columns = source.shape[2] - 2, source.shape[3] - 2
    out = weights["conv.bias"][:, None, None]
    for a in range(3):
        for b in range(3):
            window = source[:, :, a : a + rows, b : b + columns]
            out = out + torch.einsum("nchw,mc->nmhw", window, weights["conv.weight"][:, :, a, b])
    out = norm(out, "bn1").clamp(min=0)
    # Its transpose: every input pixel spreads over 3 x 3 output pixels; "same" drops the rim.
    spread = x.new_zeros(x.shape[0], x.shape[1], rows + 2, columns + 2)
    for a in range(3):
        for b in range(3):
            spread[:, :, a : a + rows, b : b + columns] += torch.einsum(
                "nmhw,mc->nchw", out, weights["conv_transposed.weight"][:, :, a, b]
            )
    if padding == "same":
        spread = spread[:, :, 1:-1, 1:-1]
    assert spread.shape[2:] == (height, width)
    out = norm(spread + weights["conv_transposed.bias"][:, None, None], "bn2").clamp(min=0)
    return x + weights["alpha"] * out


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_an_adapter_computes_the_papers_formula(padding, training):
    adapter = shaken(Adapter(4, 3, alpha=0.02, padding=padding)).train(training)
    x = torch.randn(3, 4, 6, 5, generator=generator(1))
    expected = formula(adapter.state_dict(), x, padding, training)
    assert (expected - x).abs().max() > 0.01
    with torch.no_grad():
        torch.testing.assert_close(adapter(x).double(), expected, rtol=1e-5, atol=1e-5)


def test_alpha_starts_as_asked_and_the_adapter_keeps_channels_and_size():
    adapter = Adapter(6, 2, alpha=0.05, padding="valid")
    assert adapter.alpha.item() == pytest.approx(0.05)
    assert adapter.alpha.requires_grad
    assert adapter.conv.weight.shape == (2, 6, 3, 3)
    assert adapter.conv_transposed.weight.shape == (2, 6, 3, 3)
    assert adapter(torch.zeros(2, 6, 3, 4)).shape == (2, 6, 3, 4)


def test_with_alpha_nought_the_network_is_the_bare_backbone(random_resnet):
    adapters = make_adapters(random_resnet, ["layer1", "layer3"], 64, seed=0, alpha=0.0)
    network = AdaptedNetwork(random_resnet, adapters).eval()
    with torch.no_grad():
        assert torch.equal(network(IMAGES), random_resnet(IMAGES))
        assert torch.equal(AdaptedNetwork(random_resnet, None)(IMAGES), random_resnet(IMAGES))


def test_each_adapter_is_put_before_its_own_stage(random_resnet):
    stages = ["layer1.0", "layer2", "layer4.1"]
    adapters = make_adapters(random_resnet, stages, 64, seed=0, alpha=0.02, width=0.1)
    for i, name in enumerate(stages):
        shaken(adapters[name], seed=i)
    net = random_resnet.network
    with torch.no_grad():
        x = net.maxpool(net.relu(net.bn1(net.conv1(IMAGES))))
        x = net.layer1[1](net.layer1[0](adapters["layer1.0"](x)))
        x = net.layer3(net.layer2(adapters["layer2"](x)))
        x = net.layer4[1](adapters["layer4.1"](net.layer4[0](x)))
        expected = net.avgpool(x).flatten(1)
        found = AdaptedNetwork(random_resnet, adapters).eval()(IMAGES)
        assert (found - random_resnet(IMAGES)).abs().max() > 1e-3
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_forward_pass_leaves_no_hook_on_the_backbone(random_resnet):
    before = random_resnet(IMAGES)
    network = AdaptedNetwork(
        random_resnet, make_adapters(random_resnet, ["layer2"], 64, seed=0, alpha=0.02)
    )
    network(IMAGES)
    assert number_of_hooks(random_resnet) == 0
    assert torch.equal(random_resnet(IMAGES), before)


@pytest.mark.parametrize("stages", [["layer2", "layer3"], ["layer3", "gone"]])
def test_a_failing_forward_pass_leaves_no_hook_either(random_resnet, stages):
    adapters = make_adapters(random_resnet, ["layer2", "layer3"], 64, seed=0, alpha=0.02)
    adapters["layer3"].conv = nn.Conv2d(1, 1, 1)  # does not fit the map
    adapters.stage_names = tuple(stages)
    network = AdaptedNetwork(random_resnet, adapters)
    with pytest.raises((RuntimeError, AttributeError)):
        network(IMAGES)
    assert number_of_hooks(random_resnet) == 0


def test_networks_that_share_a_backbone_do_not_meet(random_resnet):
    sets = [make_adapters(random_resnet, ["layer2"], 64, seed=s, alpha=1.0) for s in (1, 2)]
    first, second = (AdaptedNetwork(random_resnet, s).eval() for s in sets)
    with torch.no_grad():
        alone = first(IMAGES)
        assert not torch.equal(second(IMAGES), alone)
        assert torch.equal(first(IMAGES), alone)


def test_training_mode_reaches_the_adapters_but_not_the_backbone(random_resnet):
    network = AdaptedNetwork(
        random_resnet, make_adapters(random_resnet, ["layer4"], 64, seed=0, alpha=0.02)
    )
    network.train()
    assert all(m.training for m in network.adapters.modules())
    assert not any(m.training for m in network.backbone.modules())


def test_stage_shapes_are_those_of_the_maps_that_enter(random_resnet):
    # Strides of ResNet: 4 before layer1, then 2 in layers 2, 3 and 4.
    assert stage_shapes(random_resnet, ["layer1", "layer2", "layer4.0", "layer4.1"], 64) == {
        "layer1": (64, 16, 16),
        "layer2": (64, 16, 16),
        "layer4.0": (256, 4, 4),
        "layer4.1": (512, 2, 2),
    }
    assert number_of_hooks(random_resnet) == 0


def test_stage_shapes_of_an_odd_size_round_up(pretrained):
    shapes = stage_shapes(pretrained, ["stage1", "stage2", "stage4", "stage6"], 33)
    assert shapes == {
        "stage1": (32, 17, 17),
        "stage2": (16, 17, 17),
        "stage4": (40, 5, 5),
        "stage6": (112, 3, 3),
    }


def test_width_gives_the_hidden_channels_at_least_one(random_resnet):
    stages = ["layer1", "layer3"]
    for width, hidden in ((1.0, (64, 128)), (0.25, (16, 32)), (1e-6, (1, 1)), (1.5, (96, 192))):
        adapters = make_adapters(random_resnet, stages, 32, seed=0, alpha=0.02, width=width)
        assert tuple(adapters[s].conv.out_channels for s in stages) == hidden


def test_adapters_follow_their_seed_and_leave_the_global_generator_alone(random_resnet):
    torch.manual_seed(4)
    before = torch.random.get_rng_state()
    first, again, other = (
        make_adapters(random_resnet, ["layer1", "layer2"], 32, seed=s, alpha=0.02).state_dict()
        for s in (7, 7, 8)
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not torch.equal(first["adapters.0.conv.weight"], other["adapters.0.conv.weight"])


@pytest.mark.parametrize(
    ("stages", "size", "options", "words"),
    [
        ([], 64, {}, ("adapter_stages is empty",)),
        (["layer5"], 64, {}, ("'resnet18' has no stage 'layer5'", "layer1, layer2")),
        (["layer1", "layer1.7"], 64, {}, ("no stage 'layer1.7'",)),
        ([""], 64, {}, ("no stage ''",)),
        (["fc"], 64, {}, ("maps with channels", "'fc'")),
        (["layer1"], 64, {"width": 0}, ("adapter_width is 0", "above 0")),
        (["layer1"], 64, {"width": -1.0}, ("adapter_width is -1.0",)),
        (["layer1"], 64, {"padding": "reflect"}, ("'reflect'", "'same' or 'valid'")),
        (
            ["layer1", "layer4"],
            32,
            {"padding": "valid"},
            ("before 'layer4' is 2 x 2", "adapter_padding = 'same'"),
        ),
    ],
)
def test_adapters_that_do_not_fit_are_one_clear_error(random_resnet, stages, size, options, words):
    with pytest.raises(InputError) as error:
        make_adapters(random_resnet, stages, size, seed=0, alpha=0.02, **options)
    assert all(word in str(error.value) for word in words)
    assert number_of_hooks(random_resnet) == 0


def test_valid_padding_works_down_to_maps_of_three_by_three(random_resnet):
    assert stage_shapes(random_resnet, ["layer4"], 48)["layer4"] == (256, 3, 3)
    adapters = make_adapters(random_resnet, ["layer4"], 48, seed=0, alpha=0.02, padding="valid")
    assert AdaptedNetwork(random_resnet, adapters).eval()(random_images(2, 48)).shape == (2, 512)
