"""What the benchmark compares with: loops written the usual way that give the same results."""

import numpy as np
import pandas as pd
import torch
from benchmark import COLUMNS, machine, speed_figure, with_verdict
from benchmark_inference import unfolded
from benchmark_learning import straightforward_tuning
from benchmark_race import race

from dynammo.adapters import AdaptedNetwork, make_adapters
from dynammo.settings import Settings
from dynammo.training import linear_head, tune_adapters


def test_image_by_image_gives_the_losses_of_tuning_in_batches(blobs, pretrained):
    images, targets = blobs.train.images[:37], blobs.train.labels[:37] % 3
    settings = Settings(adapter_epochs=3, batch_size=12, adapter_learning_rate=0.05)
    losses = {}
    for tune, backbone in (
        (tune_adapters, pretrained),
        (straightforward_tuning, unfolded(pretrained)),
    ):
        network = AdaptedNetwork(backbone, make_adapters(backbone, ("stage6",), 32, seed=0))
        head = linear_head(backbone.feature_size, 3, 0, torch.device("cpu"))
        generator = torch.Generator().manual_seed(3)
        options = {"progress": False} if tune is tune_adapters else {"workers": 1}
        losses[tune] = tune(network, head, images, targets, settings, generator, **options)
    np.testing.assert_allclose(*losses.values(), rtol=1e-3)
    assert losses[tune_adapters][-1] < losses[tune_adapters][0]


def test_a_race_is_the_ratio_of_two_times_taken_in_turn():
    order = []
    found = race(lambda: order.append("slow"), lambda: order.append("fast"), 0, least=3)
    warm_up, rounds = order[:3], order[3:]
    assert warm_up == ["fast", "slow", "fast"]
    assert rounds == [*["slow"] * 20, *["fast"] * 20] * 3
    assert found["lowest"] <= found["ratio"] <= found["highest"]
    assert found["rounds"] == 3


def test_targets_are_met_or_not():
    assert with_verdict({"ratio": 3.6, "at_least": 3.6})["met"] == "yes"
    assert with_verdict({"ratio": 3.5, "at_least": 3.6})["met"] == "no"
    assert with_verdict({"ratio": 1.1, "at_most": 1.02})["met"] == "no"
    assert with_verdict({"ratio": 1.1})["met"] == ""


def test_the_figure_draws_every_speed_up():
    spread = {"lowest": 3.0, "highest": 5.0, "ratio": 4.0}
    inference = "inference: merged against every set kept"
    about = {"backbone": "efficientnet_lite0", "batch": 1, **spread}
    rows = [{"what": inference, "sessions": t, "at_least": t, **about} for t in (4, 10)]
    for what in ("export: batch norm folded against as learned", "adapter tuning: in batches"):
        rows.append({"what": what, **about})
    table = pd.DataFrame(rows).reindex(columns=list(COLUMNS))
    left, right = speed_figure(table, machine("cpu")).axes
    assert [line.get_label() for line in left.get_lines()[:2]] == ["T times", "target: 0.9 T times"]
    assert len(right.get_yticklabels()) == 2
