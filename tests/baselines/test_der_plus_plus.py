"""DER++: a memory of answers as well as labels."""

import math

import numpy as np
import pytest
import torch
from helpers_for_baselines import cross_entropy, linear_head, normal
from torch import nn

from dynammo.baselines.der_plus_plus import logit_distance
from dynammo.baselines.whole_network import Classifier
from dynammo.memory import ExemplarMemory
from dynammo.run.sessions import restore_learner
from dynammo.training import generator_for


def test_logit_distance_leaves_out_what_was_not_known_then():
    logits, stored = normal(4, 5), normal(4, 3, seed=1)
    stored[0, 2] = stored[3, 1] = stored[3, 2] = float("nan")
    squares = [
        (logits[i, k].item() - stored[i, k].item()) ** 2
        for i in range(4)
        for k in range(3)
        if not math.isnan(stored[i, k])
    ]
    assert len(squares) == 9
    wanted = logits.requires_grad_()
    loss = logit_distance(wanted, stored)
    assert loss.item() == pytest.approx(np.mean(squares), rel=1e-5)
    loss.backward()
    assert wanted.grad.isfinite().all()
    assert wanted.grad[:, 3:].abs().max() == wanted.grad[0, 2] == wanted.grad[3, 1] == 0


class Means(nn.Module):
    """Features [N, 3] that no flip changes: the mean of every channel."""

    def forward(self, x):
        return x.mean(dim=(2, 3))


def test_der_plus_plus_adds_the_memorys_logits_and_labels(in_session_two, uneven, random_resnet):
    learner = in_session_two(
        "der_plus_plus", der_plus_plus_alpha=0.3, der_plus_plus_beta=0.8, batch_size=8
    )
    exemplars = {k: np.flatnonzero(uneven.train.labels == k)[:2] for k in range(3)}
    learner.memory = ExemplarMemory(6, exemplars)
    memory, answers = np.concatenate(list(exemplars.values())), normal(6, 4, seed=8)
    answers[:, 3] = float("nan")  # class 3 was not known yet
    learner.logits = dict(zip(memory.tolist(), answers, strict=True))
    learner.draws = generator_for("memory", *learner.seeds, 2)
    head = linear_head(4, seed=6, features=3)
    learner.classifier = Classifier(Means(), head)
    weight, bias = (p.detach().double().numpy() for p in (head.weight, head.bias))
    images = normal(6, 3, 32, 32)
    old = random_resnet.normalise(uneven.train.images[memory])
    new, old = (x.double().numpy().mean(axis=(2, 3)) @ weight.T + bias for x in (images, old))
    # A batch for the logits, then a batch for the labels.
    drawn = torch.randint(6, (16,), generator=generator_for("memory", *learner.seeds, 2)).tolist()
    squares = [(old[i, k] - answers[i, k].item()) ** 2 for i in drawn[:8] for k in range(3)]
    labels = [uneven.train.labels[memory[i]] for i in drawn[8:]]
    expected = cross_entropy(new, [3] * 6) + 0.3 * np.mean(squares)
    expected += 0.8 * cross_entropy(old[drawn[8:]], labels)
    found = learner.batch_loss(images, torch.full((6,), 3))
    assert found.item() == pytest.approx(expected, rel=1e-4)


def test_der_plus_plus_keeps_the_logits_of_the_session_that_stored_them(runs, start, blobs):
    run = runs.learned["der_plus_plus"]
    earlier = start("der_plus_plus")
    restore_learner(earlier, run.folders[0], 1)
    for label, positions in run.learner.memory.positions.items():
        stored = torch.stack([run.learner.logits[int(i)] for i in positions])
        author = earlier if label < 2 else run.learner
        expected, _ = author.judge(blobs.train.images[positions])
        known = 2 if label < 2 else 4
        torch.testing.assert_close(stored[:, :known], expected, rtol=1e-4, atol=1e-5)
        assert stored[:, known:].isnan().all()


def test_der_plus_plus_takes_as_many_steps_as_replay_each_with_two_batches_of_memory(start):
    """Counted: images that pass the network in session 2, and calls with a gradient."""
    steps = {}
    for name in ("replay", "der_plus_plus"):
        learner = start(name, adapter_epochs=2, batch_size=8)
        learner.learn_session(progress=False)
        seen = []
        learner.classifier.extractor.register_forward_hook(
            lambda module, given, _, seen=seen: (
                seen.append(len(given[0])) if torch.is_grad_enabled() else None
            )
        )
        learner.learn_session(progress=False)
        steps[name] = seen
    assert len(steps["der_plus_plus"]) == len(steps["replay"]) > 0
    assert max(steps["replay"]) <= 8 + 1
    assert [n - 16 for n in steps["der_plus_plus"]] == steps["replay"]
