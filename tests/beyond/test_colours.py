"""A white balance in front of a backbone."""

import numpy as np
import pytest
import torch

from dynammo.backbones import make_backbone
from dynammo.beyond.colours import IMAGENET_COLOUR, shift_colours
from dynammo.run.run_folder import open_setup


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_images_whose_mean_colour_is_shifted_look_like_others_on_average(share):
    """A pink field's mean colour moves to ImageNet's, and what is compared with it stays apart."""
    pink = np.random.default_rng(0).integers([180, 90, 120], [255, 170, 200], (300, 8, 8, 3))
    pink = pink.astype(np.uint8)
    for name in ("resnet18", "efficientnet_lite0"):
        backbone = make_backbone(name, "random")
        before = backbone.normalise(pink).double()
        grey = torch.tensor(IMAGENET_COLOUR).view(3, 1, 1)
        target = ((grey - backbone.mean) / backbone.standard_deviation).double()
        shift_colours(backbone, pink, share)
        after = backbone.normalise(pink).double()
        mean = before.mean(dim=(0, 2, 3)).view(3, 1, 1)
        torch.testing.assert_close(after, before + share * (target - mean), atol=1e-5, rtol=0)


def test_a_run_measures_its_first_sessions_training_images(tmp_path, tiny_settings, blobs):
    first = blobs.train.select(blobs.indices("train", 1))
    settings = tiny_settings.with_changes({"colour_shift": 0.5})
    plain, shifted = (open_setup(tmp_path, s, 0, 1).backbone for s in (tiny_settings, settings))
    expected = np.asarray(first).mean(axis=(0, 1, 2)) / 255
    found = (shifted.mean - plain.mean).flatten().numpy()
    np.testing.assert_allclose(found, (expected - IMAGENET_COLOUR) / 2, atol=1e-6)
    assert torch.equal(shifted.standard_deviation, plain.standard_deviation)
