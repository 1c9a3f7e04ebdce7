"""The loop that ours is timed against does the same: else the ratio would mean nothing."""

import numpy as np
import pytest
import torch
from helpers import generator, same

from dynammo.measure.growth import patterned_images
from dynammo.measure.speed import unfolded
from dynammo.measure.speed_of_learning import _learner
from dynammo.measure.usual_loop import straightforward_tuning
from dynammo.training import tune_adapters


def test_images_one_by_one_give_the_losses_and_weights_of_batches(tiny_settings, pretrained):
    targets = np.arange(17) % 3  # batches of 9 and 8
    images, plain = patterned_images(targets, 32), unfolded(pretrained)
    settings = tiny_settings.with_changes({"adapter_epochs": 2, "batch_size": 9})
    settings = settings.with_changes({"adapter_milestones": [0.5]})
    ours, head = _learner(pretrained, 32)
    before = {k: v.clone() for k, v in ours.adapters.state_dict().items()}
    fast = tune_adapters(ours, head, images, targets, settings, generator(), progress=False)
    usual, other, looks = *_learner(plain, 32), []
    slow = straightforward_tuning(
        usual, other, images, targets, settings, generator(), workers=0,
        each_epoch=lambda: looks.append(usual.training),
    )  # fmt: skip
    assert slow == pytest.approx(fast, rel=1e-3)
    assert looks == [False, False]
    found, known = usual.adapters.state_dict(), ours.adapters.state_dict()
    assert not same(known, before)
    for name, value in known.items():
        assert torch.allclose(found[name], value, rtol=1e-2, atol=1e-4), name
    assert torch.allclose(other.weight, head.weight, rtol=1e-2, atol=1e-4)
