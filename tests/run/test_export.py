"""A learner as one program: the same answers, nothing left of what only learning needed."""

import json
import sys

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from helpers import shake
from PIL import Image
from torch import nn

from dynammo.chain import Chain
from dynammo.errors import InputError
from dynammo.learner import Setup
from dynammo.methods import learners_on, make_learner
from dynammo.run import onnx
from dynammo.run.export import DeployedNetwork, export, temperature
from dynammo.run.predict import main

METHODS = ("acl", "dynammo", "dynammo_unified_head", "dynammo_ridge")


@pytest.fixture(scope="module")
def learners(tiny_settings, blobs, pretrained):
    """Two sessions with adapters whose batch norm matters."""
    settings = tiny_settings.with_changes({"methods": METHODS, "head_epochs": 2})
    chain = Chain.on(Setup(settings, blobs, pretrained, 1))
    learners = learners_on(chain, METHODS)
    for session in (1, 2):
        adapters = shake(chain.adapters(None), seed=session)
        auxiliary = chain.fresh_auxiliary_head(session)
        chain.go_to(session, (*chain.adapter_states, adapters.state_dict()), auxiliary)
        chain.merge()
        chain.choose_exemplars()
        for learner in learners:
            learner.learn_session()
    return {learner.name: learner for learner in learners}


@pytest.mark.parametrize("name", METHODS)
def test_a_deployed_network_answers_as_the_learner_without_batch_norm(learners, name, blobs):
    network = DeployedNetwork(learners[name])
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    images = blobs.test.images[:6]
    expected, others = learners[name].judge(images)
    probabilities, unlike = network(torch.as_tensor(images))
    if others is None:
        wanted = expected.softmax(dim=1)
        torch.testing.assert_close(unlike, 1 - wanted.amax(dim=1), rtol=1e-4, atol=1e-5)
    else:  # one number of its session's classes, and what is left is "others"
        wanted = expected.exp()
        torch.testing.assert_close(unlike, others.amin(dim=1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(probabilities, wanted, rtol=1e-4, atol=1e-5)
    assert (probabilities.argmax(dim=1) == expected.argmax(dim=1)).all()


def test_methods_off_the_shared_adapters_can_be_taken_away(
    tiny_settings, blobs, pretrained, tmp_path
):
    setup, images = Setup(tiny_settings, blobs, pretrained, 1), blobs.test.images[:6]
    for name in ("icarl", "der", "ridge_frozen", "adapted_once"):
        learner = make_learner(name, setup)
        for _ in (1, 2):
            learner.learn_session(progress=False)
        program = torch.export.load(export(learner, tmp_path / name) / "network.pt2").module()
        answers = [
            x.argmax(dim=1) for x in (program(torch.as_tensor(images))[0], learner.judge(images)[0])
        ]
        assert (answers[0] == answers[1]).all(), name
        assert (tmp_path / name / "network.pt2").stat().st_size < 50e6, name


@pytest.mark.parametrize("name", ["acl", "dynammo_ridge"])
def test_an_exported_program_answers_for_any_number_of_images(learners, name, blobs, tmp_path):
    folder = export(learners[name], tmp_path / "folder" / name, 0.25)
    path = folder / "network.pt2"
    program, network = torch.export.load(path).module(), DeployedNetwork(learners[name])
    if not network.knows_others:
        labels = torch.as_tensor(blobs.val.labels[:])
        network.temperature = temperature(
            network.scores(torch.as_tensor(blobs.val.images[:])), labels
        )
    for count in (1, 2, 5):
        images = torch.as_tensor(blobs.test.images[:count])
        for found, expected in zip(program(images), network(images), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert path.stat().st_size < 25e6  # weights, and no second-order statistics
    card = json.loads((folder / "card.json").read_text())
    assert card["classes"] == list(blobs.class_names) and card["image_size"] == blobs.image_size
    assert card["unseen_that_pass"] == 0.25 and "Not for clinical use" in card["use"]
    unlike = network(torch.as_tensor(blobs.val.images[:]))[1]
    assert (unlike <= card["none_of_these_above"]).double().mean() >= 0.94


def test_a_network_that_torch_cannot_write_is_told(learners, tmp_path, monkeypatch):
    def fail(*_arguments, **_more):
        raise RuntimeError("data-dependent")

    monkeypatch.setattr(torch.export, "export", fail)
    with pytest.raises(InputError, match="torch.export of this network fails.*data-dependent"):
        export(learners["dynammo"], tmp_path / "dynammo", 0.5)


def test_a_solved_head_is_as_sure_as_it_is_right():
    labels = torch.arange(4).repeat(50)
    scores = F.one_hot(labels, 4).double()
    scores[:40] = scores[:40].roll(1, dims=1)  # a fifth is wrong, and all say "1 to 0"
    sure = (scores / temperature(scores, labels)).softmax(dim=1).amax(dim=1)
    torch.testing.assert_close(sure, torch.full((200,), 0.8, dtype=torch.double), rtol=0, atol=1e-3)
    assert scores.softmax(dim=1).amax() < 0.5


def test_only_a_head_that_knows_no_others_is_scaled(learners, blobs, tmp_path):
    images, labels = torch.as_tensor(blobs.val.images[:]), torch.as_tensor(blobs.val.labels[:])
    for name, scaled in (("dynammo", False), ("dynammo_ridge", True)):
        program = torch.export.load(export(learners[name], tmp_path / name) / "network.pt2")
        plain, (found, unlike) = DeployedNetwork(learners[name])(images), program.module()(images)
        torch.testing.assert_close(unlike, plain[1], rtol=1e-4, atol=1e-5)
        likely = [F.nll_loss(each.log(), labels) for each in (found, plain[0])]
        assert (likely[0] < likely[1] - 1e-3) == scaled


def test_a_folder_of_images_is_named(learners, blobs, tmp_path, capsys):
    export(learners["dynammo"], tmp_path / "dynammo")
    images = tmp_path / "images"
    (images / "deep").mkdir(parents=True)
    for i in range(5):
        name = f"deep/{i}.png" if i % 2 else f"{i}.png"
        Image.fromarray(blobs.test.images[i : i + 1][0]).save(images / name)
    (images / "notes.txt").write_text("no image")
    out = tmp_path / "out" / "named"
    assert main([str(tmp_path / "dynammo"), str(images), "--out", f"{out}.csv"]) == 0
    found = pd.read_csv(f"{out}.csv").set_index("file")
    wanted = learners["dynammo"].judge(blobs.test.images[:5])[0]
    for i in range(5):
        row = found.loc[f"deep/{i}.png" if i % 2 else f"{i}.png"]
        assert row["class"] == blobs.class_names[wanted[i].argmax()]
        assert row["probability"] == pytest.approx(wanted[i].max().exp().item(), abs=1e-3)
    assert out.with_suffix(".png").exists()
    told = capsys.readouterr().out
    assert f"{found['none_of_these'].sum()} of 5 look like none" in told
    assert "The learner saw: not known" in told  # an .npz says nothing of its images' framing


def test_folders_that_cannot_be_named_are_refused(learners, tmp_path, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert main([str(empty), str(empty)]) == 2
    assert "no card.json" in capsys.readouterr().err
    assert main([str(empty), str(empty), "--out", "."]) == 2
    assert "--out . is a folder" in capsys.readouterr().err
    export(learners["dynammo"], tmp_path / "dynammo")
    assert main([str(tmp_path / "dynammo"), str(empty)]) == 2
    assert "no images in" in capsys.readouterr().err
    Image.new("RGB", (8, 8)).save(empty / "whole.png")
    (empty / "broken.png").write_bytes((empty / "whole.png").read_bytes()[:40])
    assert main([str(tmp_path / "dynammo"), str(empty)]) == 2
    assert "broken.png" in capsys.readouterr().err
    assert main([str(tmp_path / "dynammo"), str(tmp_path / "none")]) == 2
    assert "There is no folder" in capsys.readouterr().err
    program, card = (tmp_path / "dynammo" / name for name in ("network.pt2", "card.json"))
    (empty / "broken.png").unlink()
    program.write_bytes(program.read_bytes()[:1000])
    assert main([str(tmp_path / "dynammo"), str(empty)]) == 2
    assert "network.pt2 is not whole: copy it again" in capsys.readouterr().err
    program.unlink()
    assert main([str(tmp_path / "dynammo"), str(empty)]) == 2
    assert "no network.pt2 in" in capsys.readouterr().err
    whole = card.read_text()
    for text in (whole[:20], "[]", whole.replace('"classes"', '"kinds"')):
        card.write_text(text)
        assert main([str(tmp_path / "dynammo"), str(empty)]) == 2
        assert "card.json is not whole: export again" in capsys.readouterr().err


def test_an_export_is_written_as_onnx_if_it_answers_alike(learners, tmp_path, capsys, monkeypatch):
    assert onnx.main([str(tmp_path)]) == 2 and onnx.main([]) == 2
    assert "no card.json" in capsys.readouterr().err
    folder = export(learners["acl"], tmp_path / "acl")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert onnx.main([str(folder)]) == 2
    assert "pip install onnx onnxscript onnxruntime" in capsys.readouterr().err
    monkeypatch.undo()
    onnxruntime = pytest.importorskip("onnxruntime")
    assert onnx.main([str(folder)]) == 0
    assert "network.onnx: probabilities within" in capsys.readouterr().out
    written = folder / "network.onnx"
    session = onnxruntime.InferenceSession(str(written))
    images = learners["acl"].stream.test.images[:5]
    expected = learners["acl"].judge(images)[0].exp()
    found, _ = session.run(["probabilities", "unlike"], {"images": images})
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-3, atol=1e-4)
    written.unlink()
    monkeypatch.setattr(onnx, "AS_FAR", -1.0)
    with pytest.raises(InputError, match="apart from the program .* nothing was written"):
        onnx.to_onnx(folder)
    assert not written.exists()


def test_the_learner_is_left_as_it_was(learners, blobs):
    learner = learners["dynammo"]
    before, _ = learner.judge(blobs.test.images[:3])
    state = {k: v.clone() for k, v in learner.chain.merged_state.items()}
    DeployedNetwork(learner)
    assert all(torch.equal(state[k], v) for k, v in learner.chain.merged_state.items())
    assert torch.equal(learner.judge(blobs.test.images[:3])[0], before)
    assert any(p.requires_grad for p in learner.head.parameters())
