"""The two kinds of head on logits that were worked out by hand."""

import math

import pytest
import torch
from helpers import generator
from torch import nn

from dynammo.errors import InputError
from dynammo.heads import TaskHeads, UnifiedHead, session_targets


def linear(rows: list[list[float]], bias: list[float]) -> nn.Linear:
    layer = nn.Linear(len(rows[0]), len(rows))
    layer.weight.data = torch.tensor(rows, dtype=torch.float32)
    layer.bias.data = torch.tensor(bias, dtype=torch.float32)
    return layer


def constant(logits: list[float], feature_size: int = 2) -> nn.Linear:
    """A head whose logits are the same for every image."""
    return linear([[0.0] * feature_size] * len(logits), logits)


def softmax(logits: list[float]) -> list[float]:
    total = sum(math.exp(x) for x in logits)
    return [math.exp(x) / total for x in logits]


def two_task_heads() -> TaskHeads:
    heads = TaskHeads(feature_size=2)
    # On features (a, b): session 1 has classes 0, 1 and others; session 2 class 2 and others.
    heads.add_session(linear([[1, 0], [0, 1], [-1, -1]], [0, 0, 0]))
    heads.add_session(linear([[-1, 0], [1, 0]], [0.5, 0]))
    return heads


def test_a_unified_head_grows_by_rows_and_keeps_the_old_ones():
    head = UnifiedHead(feature_size=2)
    first = linear([[1, 2], [3, 4], [9, 9]], [5, 6, 9])
    second = linear([[7, 8], [9, 9]], [10, 9])
    head.add_session(first)
    head.weight.data[0, 0] = -1.0  # as if it had been trained
    head.add_session(second)
    assert head.weight.tolist() == [[-1, 2], [3, 4], [7, 8]]  # the rows of "others" are left out
    assert head.bias.tolist() == [5, 6, 10]
    assert head.weight.requires_grad and head.bias.requires_grad
    assert {id(p) for p in head.parameters()} == {id(head.weight), id(head.bias)}
    logits = head(torch.tensor([[[1.0, 1.0]], [[0.0, 2.0]]]))
    assert logits.tolist() == [[6, 13, 25], [9, 14, 26]]


def test_heads_share_no_memory_with_the_auxiliary_head():
    for head in (UnifiedHead(2), TaskHeads(2)):
        auxiliary = constant([1.0, 2.0, 3.0]).requires_grad_(False)
        head.add_session(auxiliary)
        before = {k: v.clone() for k, v in head.state_dict().items()}
        auxiliary.weight.fill_(7)
        auxiliary.bias.fill_(7)
        assert all(torch.equal(v, before[k]) for k, v in head.state_dict().items())
        assert all(p.requires_grad for p in head.parameters())


def test_a_unified_heads_loss_is_the_mean_cross_entropy():
    head = UnifiedHead(2)
    head.add_session(constant([1.0, 0.0, 5.0]))
    head.add_session(constant([2.0, 5.0]))
    shares = softmax([1.0, 0.0, 2.0])
    expected = -(math.log(shares[2]) + math.log(shares[1])) / 2
    loss = head.loss(torch.zeros(2, 1, 2), torch.tensor([2, 1]))
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_a_unified_head_refuses_several_passes():
    head = UnifiedHead(2)
    head.add_session(constant([1.0, 2.0]))
    with pytest.raises(InputError, match="task heads"):
        head(torch.zeros(3, 2, 2))


def test_the_session_with_the_lowest_others_wins_then_its_best_class():
    heads = two_task_heads()
    features = torch.tensor([[[2.0, 1.0]], [[-1.0, 3.0]], [[-3.0, 0.0]]])
    logits = [
        ([2, 1, -3], [-1.5, 2]),
        ([-1, 3, -2], [1.5, -1]),
        ([-3, 0, 3], [3.5, -3]),
    ]
    others = heads.others(features)
    expected = [[softmax(first)[-1], softmax(second)[-1]] for first, second in logits]
    torch.testing.assert_close(others, torch.tensor(expected))
    # By hand: image 1 has others 0.005 against 0.971, image 2 0.007 against 0.076, image 3 0.951
    # against 0.001; so sessions 1, 1, 2 and in them classes 0, 1, 2.
    scores = heads(features)
    assert scores.argmax(dim=1).tolist() == [0, 1, 2]
    assert torch.isinf(scores).tolist() == [
        [False, False, True],
        [False, False, True],
        [True, True, False],
    ]
    assert scores[1, 1].item() == pytest.approx(math.log(softmax(logits[1][0])[1]), rel=1e-5)


def test_a_sure_class_of_a_session_that_says_others_does_not_win():
    heads = TaskHeads(2)
    heads.add_session(constant([5.0, 0.0, 5.5]))  # class 0 has 0.38, others 0.62
    heads.add_session(constant([0.0, 0.1, 0.05, 0.0]))  # its classes have 0.27 at most, others 0.24
    assert heads(torch.zeros(1, 1, 2)).argmax().item() == 2 + 1


def test_task_head_i_reads_pass_i_and_one_pass_is_read_by_all():
    heads = two_task_heads()
    a, b = torch.tensor([[2.0, 1.0], [0.5, -1.0]]), torch.tensor([[-1.0, 3.0], [1.0, 1.0]])
    two = heads.session_logits(torch.stack([a, b], dim=1))
    first, second = torch.tensor([[1.0, 0], [0, 1], [-1, -1]]), torch.tensor([[-1.0, 0], [1, 0]])
    torch.testing.assert_close(two[:, 0], a @ first.T)
    # Session 2 has one class: nothing stands between it and "others".
    torch.testing.assert_close(two[:, 1, [0, 2]], b @ second.T + torch.tensor([0.5, 0]))
    assert torch.isneginf(two[:, 1, 1]).all()
    one, repeated = a[:, None], torch.stack([a, a], dim=1)
    torch.testing.assert_close(heads.session_logits(one), heads.session_logits(repeated))
    torch.testing.assert_close(heads(one), heads(repeated))


def test_task_heads_refuse_another_number_of_passes():
    with pytest.raises(InputError, match="2 task heads read 1 or 2 passes, not 3"):
        two_task_heads()(torch.zeros(4, 3, 2))


def test_task_heads_loss_labels_foreign_classes_others():
    heads = TaskHeads(2)
    heads.add_session(constant([1.0, 0.0, 2.0]))
    heads.add_session(constant([0.5, -0.5]))
    first, second = softmax([1.0, 0.0, 2.0]), softmax([0.5, -0.5])
    # Session 1 (classes 0 and 1) wants 0, others, 1, others, others; session 2 (class 2 alone)
    # others, 2, others, 2, 2.
    labels = torch.tensor([0, 2, 1, 2, 2])
    expected = -(math.log(first[0]) + 3 * math.log(first[2]) + math.log(first[1])) / 5
    expected -= (2 * math.log(second[1]) + 3 * math.log(second[0])) / 5
    loss = heads.loss(torch.zeros(5, 1, 2), labels)
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_many_uneven_task_heads_are_the_same_as_one_linear_layer_each():
    random = generator()
    layers = [nn.Linear(6, classes + 1) for classes in (3, 1, 2, 4)]
    heads = TaskHeads(6)
    for layer in layers:
        for parameter in layer.parameters():
            parameter.data = torch.randn(parameter.shape, generator=random)
        heads.add_session(layer)
    labels = torch.randint(0, 10, (50,), generator=random)
    for passes in (1, 4):
        features = torch.randn(50, passes, 6, generator=random)
        own = features.expand(-1, 4, -1).unbind(1)
        logits = [layer(x) for layer, x in zip(layers, own, strict=True)]
        firsts = (0, 3, 4, 6)
        expected = sum(
            nn.functional.cross_entropy(x, session_targets(labels, first, x.shape[1] - 1))
            for x, first in zip(logits, firsts, strict=True)
        )
        torch.testing.assert_close(heads.loss(features, labels), expected)
        heads.zero_grad()
        heads.loss(features, labels).backward()
        for layer in layers:
            layer.zero_grad()
        expected.backward()
        torch.testing.assert_close(heads.weight.grad, torch.cat([x.weight.grad for x in layers]))
        torch.testing.assert_close(heads.bias.grad, torch.cat([x.bias.grad for x in layers]))
        others = torch.stack([x.softmax(1)[:, -1] for x in logits], dim=1)
        torch.testing.assert_close(heads.others(features), others)
        answers = [
            first + int(x[i, :-1].argmax())
            for i in range(50)
            for s, (x, first) in enumerate(zip(logits, firsts, strict=True))
            if s == int(others[i].argmin())
        ]
        assert heads(features).argmax(dim=1).tolist() == answers


def test_session_targets_number_own_classes_from_nought_and_all_others_last():
    labels = torch.tensor([0, 1, 2, 3, 4, 5])
    assert session_targets(labels, first_class=2, own_classes=2).tolist() == [2, 2, 0, 1, 2, 2]
    assert session_targets(labels, first_class=0, own_classes=3).tolist() == [0, 1, 2, 3, 3, 3]
    assert session_targets(labels, first_class=5, own_classes=1).tolist() == [1, 1, 1, 1, 1, 0]
    assert session_targets(labels, 0, 3).dtype == torch.int64
