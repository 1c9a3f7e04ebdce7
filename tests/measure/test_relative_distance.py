"""How far apart two adapter sets are: what is learned counts, what is measured does not."""

import pytest
import torch

from dynammo.errors import InputError
from dynammo.measure.between_sets import relative_distance


def test_relative_distance_by_hand():
    reference = {
        "conv.weight": torch.tensor([3.0, 0.0]),
        "alpha": torch.tensor([4.0]),
        "bn1.running_mean": torch.tensor([100.0]),
        "bn1.num_batches_tracked": torch.tensor(7),
    }
    state = {
        "conv.weight": torch.tensor([3.0, 2.0]),
        "alpha": torch.tensor([5.5]),
        "bn1.running_mean": torch.tensor([0.0]),
        "bn1.num_batches_tracked": torch.tensor(9),
    }
    # |(0, 2, 1.5)| / |(3, 0, 4)| = 2.5 / 5; measured statistics do not count.
    assert relative_distance(state, reference) == pytest.approx(0.5)
    assert relative_distance(reference, reference) == 0.0


def test_sets_of_different_layout_have_no_distance():
    one, other = {"conv.weight": torch.zeros(4, 3)}, {"conv.weight": torch.zeros(5, 3)}
    with pytest.raises(InputError, match="'conv.weight' is .*one width"):
        relative_distance(one, other)
    with pytest.raises(InputError, match="differ in their entries .alpha, conv.weight.*stages"):
        relative_distance(one, {"alpha": torch.zeros(1)})
