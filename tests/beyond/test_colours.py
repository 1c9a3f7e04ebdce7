"""A white balance in front of a backbone."""

import numpy as np
import pytest
import torch

from dynammo.backbones import make_backbone
from dynammo.beyond.colours import IMAGENET_COLOUR, shift_colours
from dynammo.run.provenance import note
from dynammo.run.run_folder import open_setup


@pytest.mark.parametrize("share", [0.5, 1.0])
@pytest.mark.parametrize("name", ["resnet18", "efficientnet_lite0"])
def test_every_image_moves_by_the_same_colour_towards_imagenets(name, share):
    images = np.random.default_rng(0).integers([180, 90, 120], [255, 170, 200], (300, 8, 8, 3))
    images = images.astype(np.uint8)  # pink; more than are read at once
    backbone = make_backbone(name, "random")
    before = backbone.normalise(images).double()
    imagenets = torch.tensor(IMAGENET_COLOUR).view(3, 1, 1)
    target = ((imagenets - backbone.mean) / backbone.standard_deviation).double()
    shift_colours(backbone, images, share)
    moved = share * (target - before.mean(dim=(0, 2, 3)).view(3, 1, 1))
    after = backbone.normalise(images).double()
    torch.testing.assert_close(after, before + moved, atol=1e-5, rtol=0)


def test_a_run_measures_its_first_sessions_training_images(tmp_path, tiny_settings, blobs):
    first = blobs.train.select(blobs.indices("train", 1))
    settings = tiny_settings.with_changes({"colour_shift": 0.5})
    plain, shifted = (open_setup(tmp_path, s, 0, 1).backbone for s in (tiny_settings, settings))
    expected = np.asarray(first).mean(axis=(0, 1, 2)) / 255
    found = (shifted.mean - plain.mean).flatten().numpy()
    np.testing.assert_allclose(found, (expected - IMAGENET_COLOUR) / 2, atol=1e-6)
    assert torch.equal(shifted.standard_deviation, plain.standard_deviation)
    pictured = [note(s, blobs) for s in (tiny_settings, settings)]
    assert ["colours moved 50%" in words for words in pictured] == [False, True]
