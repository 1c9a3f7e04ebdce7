"""What every baseline trains and stores, counted by hand, in its files and without training."""

import pytest
import torch
from helpers_for_baselines import (
    FEATURES,
    FROZEN,
    NO_IMAGES,
    PROXIES,
    REPLAYING,
    TRAINED,
    WIDE,
    every_baseline,
    every_trained,
)
from safetensors.torch import load_file

# By hand: 3 x 16 and 16 x 32 kernels of 3 x 3, and two numbers a channel of batch norm.
NETWORK = 3 * 16 * 9 + 2 * 16 + 16 * 32 * 9 + 2 * 32


def head_numbers(name: str, classes: int, features: int = FEATURES) -> int:
    """By hand: a row and a bias for each class, or proxies, in UCIR with one learned scale."""
    if name == "ucir":
        return classes * features + 1
    if name == "podnet":
        return classes * PROXIES * features
    return classes * (features + 1)


def saved_numbers(folder, what: str) -> dict[str, int]:
    """Numbers in a session's file whose names begin with ``what``, batch statistics and NaN apart.

    Batch statistics follow from the images and no parameter count includes them.
    """
    return {
        name: int((~tensor.isnan()).sum())
        for name, tensor in load_file(folder / "state.safetensors").items()
        if name.startswith(what) and "running" not in name and "num_batches" not in name
    }


@pytest.mark.parametrize("name", TRAINED)
def test_trained_numbers_are_those_of_the_network_and_the_head(runs, name):
    first, second = (counts.trained for counts in runs.learned[name].counts)
    if name == "der":  # a wider head, and the auxiliary one of two classes and "others"
        wider = head_numbers(name, 4, 2 * FEATURES)
        assert second == NETWORK + wider + 3 * (FEATURES + 1)
    else:
        assert [first, second] == [NETWORK + head_numbers(name, k) for k in (2, 4)]


@every_trained
def test_trained_numbers_are_those_that_the_second_session_changed(run):
    first, second = (load_file(folder / "state.safetensors") for folder in run.folders)
    changed = 0
    for name, count in saved_numbers(run.folders[1], "network.").items():
        before = first.get(name)
        moved = before is None or before.shape != second[name].shape
        changed += count if moved or not torch.equal(before, second[name]) else 0
    auxiliary = 3 * (FEATURES + 1) if run.learner.name == "der" else 0  # not kept
    assert run.counts[1].trained == changed + auxiliary


@every_trained
def test_stored_numbers_are_those_in_the_file(run):
    for folder, counts in zip(run.folders, run.counts, strict=True):
        assert counts.stored == sum(saved_numbers(folder, "").values())


def test_stored_numbers_by_hand(runs):
    stored = {name: [c.stored for c in run.counts] for name, run in runs.learned.items()}
    plain = [NETWORK + 2 * (FEATURES + 1), NETWORK + 4 * (FEATURES + 1)]
    for name in ("fine_tuning", "joint", "replay", "lwf", "icarl", "wa"):
        assert stored[name] == plain, name
    assert stored["ewc"] == [2 * plain[0], 2 * plain[1]]  # and the Fisher information
    # 24 exemplars of 2 logits; then 12 of them, and 12 of 4 logits.
    assert stored["der_plus_plus"] == [plain[0] + 24 * 2, plain[1] + 12 * 2 + 12 * 4]
    assert stored["der"] == [plain[0], 2 * NETWORK + 4 * (2 * FEATURES + 1)]
    assert stored["ucir"] == [NETWORK + 2 * FEATURES + 1, NETWORK + 4 * FEATURES + 1]
    assert stored["nearest_class_mean"] == [NETWORK + 2 * FEATURES, NETWORK + 4 * FEATURES]
    # The Gram matrix, a column for each class, and the penalty.
    assert stored["ranpac"] == [NETWORK + WIDE * (WIDE + k) + 1 for k in (2, 4)]
    assert {n: runs.learned[n].counts[1].trained for n in FROZEN} == dict.fromkeys(FROZEN, 0)


@every_baseline
def test_an_outline_counts_what_a_learned_session_leaves(run, start):
    learner = start(run.learner.name)
    learner.outline(2)
    assert learner.trained_numbers() == run.counts[1].trained
    found = sum(p.numel() for p in learner.network().parameters())
    assert found == sum(p.numel() for p in run.learner.network().parameters())
    logits = 12 * 2 + 12 * 4 if run.learner.name == "der_plus_plus" else 0  # of no exemplars yet
    assert learner.stored_numbers() == run.counts[1].stored - logits


@every_baseline
def test_stored_images_are_none_the_budget_or_all(run):
    counts = [c.images for c in run.counts]
    if run.learner.name == "joint":
        assert counts == [48, 96]
    elif run.learner.name in NO_IMAGES:
        assert counts == [0, 0]
    else:
        assert counts == [24, 24]
    assert run.learner.remembers == (run.learner.name in REPLAYING)
