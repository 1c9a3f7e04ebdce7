"""Any CNN as a backbone, from a function of one's own."""

import sys
from collections import OrderedDict
from hashlib import sha256
from pathlib import Path
from types import ModuleType

import pytest
import torch
from helpers import random_images
from torch import nn

from dynammo.adapters import AdaptedNetwork
from dynammo.backbones import make_backbone
from dynammo.chain import Chain
from dynammo.errors import InputError
from dynammo.measure.cost import cost_growth
from dynammo.methods import learners_on
from dynammo.networks.own import module_from_file
from dynammo.networks.timm_models import timm_recipe
from dynammo.run.command import main
from dynammo.run.learn import last_session, learn_stream
from dynammo.run.outdated import part_record
from dynammo.run.plugins import file_of
from dynammo.run.provenance import note, own_files
from dynammo.run.settings import RunSettings

FILE = """
from dataclasses import replace
from torch import nn
from dynammo.networks.recipes import Recipe

class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.one = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.two = nn.Sequential(nn.Conv2d(8, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU())
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(16, 5))

    def forward(self, x):
        return self.classifier(self.pool(self.two(self.one(x))))

def small():
    return Recipe(
        network=Small, weights=lambda: Small().state_dict(), stages=("one", "two"),
        adapter_stages=("two",), feature_size=SIZE, mean=(0.5,) * 3,
        standard_deviation=(0.5,) * 3, feature_scale=1.0, classifier="CLASSIFIER",
        title="a small network, any weights",
    )

def broken():
    return 1 / 0

def misfit():
    return replace(small(), weights=lambda: {})

class Narrow(Small):
    def forward(self, x):
        return super().forward(x[:, :1])

class TwoMaps(nn.Module):
    def forward(self, x):
        return x, x

class Forked(Small):
    def __init__(self):
        super().__init__()
        self.fork = TwoMaps()

    def forward(self, x):
        return self.classifier(self.pool(self.two(self.fork(self.one(x))[0])))

def forked():
    return replace(small(), network=Forked, weights=lambda: Forked().state_dict(),
                   stages=("one", "fork", "two"))

def grey():
    return replace(small(), mean=(0.5,))

def narrow():
    return replace(small(), network=Narrow, weights=lambda: Narrow().state_dict())

def other():
    return Small()
"""


@pytest.fixture
def written(tmp_path):
    def write(size="16", classifier="classifier"):
        text = FILE.replace("SIZE", size).replace("CLASSIFIER", classifier)
        (tmp_path / "mine.py").write_text(text)
        return f"{tmp_path / 'mine.py'}:small"

    yield write
    forget()


def forget():
    """Load a file of that name again when it is next asked for."""
    for name in [name for name in sys.modules if name.startswith("backbone_mine")]:
        del sys.modules[name]


def test_a_network_of_ones_own_is_adapted_and_learned(written, blobs, tiny_settings):
    backbone = make_backbone(written())
    x = backbone.normalise(blobs.train.images[:4])
    plain = backbone.trainable_network().eval()
    torch.testing.assert_close(backbone(x), plain(x), rtol=1e-4, atol=1e-5)  # folded, and equal
    changes = {"backbone": written(), "adapter_stages": [], "adapter_epochs": 1}
    settings = tiny_settings.with_changes(changes)
    chain = Chain(settings, blobs, backbone, 1)
    adapted = AdaptedNetwork(backbone, chain.adapters(None))
    assert adapted(x).shape == (4, 16)
    (learner,) = learners_on(chain, ["dynammo"])
    chain.tune(progress=False)
    chain.merge()
    chain.choose_exemplars()
    learner.learn_session()
    assert learner.judge(blobs.test.images[:3])[0].shape == (3, 2)
    assert "a small network, any weights;" in note(settings, blobs)
    # What the function does is part of what results depend on.
    before = part_record(settings)
    forget()
    written(size="8")
    assert part_record(settings) != before


def test_a_backbone_that_leaves_the_scale_to_be_measured_is_counted_too(written, tiny_settings):
    name = written()
    path = Path(name.rpartition(":")[0])
    path.write_text(path.read_text().replace("feature_scale=1.0", "feature_scale=None"))
    settings = tiny_settings.with_changes({"backbone": name, "adapter_stages": []})
    (row,) = cost_growth(settings, ["der"], [2], 32)
    assert row["macs"] > 0
    assert 0 < make_backbone(name).feature_scale != 1.0


def test_other_weights_under_the_same_name_are_noticed(written, blobs_npz, tiny_settings, tmp_path):
    name = written()
    path = Path(name.rpartition(":")[0])
    weights = tmp_path / "weights.pt"
    text = path.read_text().replace("Small().state_dict()", f"torch.load({str(weights)!r})")
    path.write_text("import torch\n" + text)
    changes = {"backbone": name, "adapter_stages": [], "methods": ["ridge_frozen"]}
    settings = tiny_settings.with_changes(changes)
    state = module_from_file(path, "backbone").Small().state_dict()
    torch.save(state, weights)
    learn_stream(tmp_path, settings, "ridge_frozen", 0, 1, progress=False)
    last_session(tmp_path, settings, 0, 1, "ridge_frozen")
    torch.save({k: v + 1 for k, v in state.items()}, weights)
    with pytest.raises(InputError, match="session1 was learned with other weights of"):
        last_session(tmp_path, settings, 0, 1, "ridge_frozen")


def test_the_file_of_a_module_is_known_too(written, monkeypatch):
    path = Path(written().rpartition(":")[0])
    monkeypatch.syspath_prepend(path.parent)
    assert file_of("mine:small") == str(path)
    settings = RunSettings().with_changes({"backbone": "mine:small"})
    assert own_files(settings) == {"mine": sha256(path.read_bytes()).hexdigest()}
    nothing = ("resnet18", "timm:regnetx_002", "no_such_module:f", "no.such.module:f")
    assert not any(file_of(name) for name in nothing)


def test_stages_that_give_no_single_map_are_refused_before_anything_is_learned(
    written, blobs_npz, tmp_path, capsys
):
    name = written().replace(":small", ":forked")
    asked = ["--profile", "smoke", "--stream", str(blobs_npz), "--output", str(tmp_path)]
    assert main([*asked, "--set", f"backbone={name}", "--set", "adapter_stages=[]"]) == 2
    assert "each of which gives one map: AttributeError" in capsys.readouterr().err


def test_what_is_wrong_with_a_backbone_is_said(written, tmp_path):
    for arguments, said in (
        ({"size": "5"}, r"features \(2, 16\) of 2 images, not \(2, 5\)"),
        ({"classifier": "fc"}, "no part 'fc': it has one, "),
        ({"classifier": "pool"}, r"features \(2, 16, 16, 5\)"),
    ):
        with pytest.raises(InputError, match=said):
            make_backbone(written(**arguments))
        forget()
    name = written()
    for other, said in (
        (name.replace(":small", ":broken"), "fails: ZeroDivisionError"),
        (name.replace(":small", ":misfit"), "(?s)fails: RuntimeError: .*Missing key"),
        (
            name.replace(":small", ":narrow"),
            r"fails without its classifier, for images \(2, 3, 64, 64\): RuntimeError",
        ),
        (name.replace(":small", ":grey"), "three numbers each, of R, G, B"),
        (name.replace(":small", ":other"), "returns a Small: it has to return a Recipe"),
        (name.replace(":small", ":none"), "fails: AttributeError"),
        (f"{tmp_path / 'no.py'}:small", "fails: FileNotFoundError"),
        ("no_such_package:function", "fails: ModuleNotFoundError"),
        ("resnet19", "choose one of resnet18, efficientnet_lite0, or give"),
    ):
        with pytest.raises(InputError, match=said):
            make_backbone(other)


class Timm(ModuleType):
    """What is used of timm, which does not import next to every torch."""

    def list_models(self, pattern):
        return ["small"]

    def create_model(self, name, pretrained=False):
        if name != "small":
            raise RuntimeError(f"Unknown model ({name})")
        network = nn.Sequential(OrderedDict(stem=nn.Conv2d(3, 4, 3, 2, 1)))
        for i in range(1, 5):
            network.add_module(f"layer{i}", nn.Sequential(nn.Conv2d(4, 4, 3, 2, 1), nn.ReLU()))
        network.add_module("pool", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
        network.add_module("fc", nn.Linear(4, 7))
        if pretrained:
            nn.init.constant_(network.stem.bias, 3.0)
        network.num_features = 4
        network.pretrained_cfg = {"mean": (0.1,) * 3, "std": (0.2,) * 3, "classifier": "fc"}
        network.feature_info = [
            {"module": module, "reduction": 2 ** (i + 1), "num_chs": 4}
            for i, module in enumerate(("stem", "layer1", "layer2", "layer3", "layer4"))
        ]
        return network


def test_a_network_of_timm_by_its_name(monkeypatch, blobs, tiny_settings):
    monkeypatch.setitem(sys.modules, "timm", Timm("timm"))
    timm_recipe.cache_clear()
    backbone = make_backbone("timm:small")
    assert backbone.stages == ("layer1", "layer2", "layer3", "layer4") == backbone.adapter_stages
    assert backbone.feature_size == 4 and backbone.mean.flatten().tolist() == pytest.approx(
        [0.1] * 3
    )
    assert backbone.network.stem.bias.eq(3).all()  # its own weights
    lengths = backbone(random_images(64, 64, seed=1)).norm(dim=1)
    assert lengths.mean() == pytest.approx(10, rel=0.2)
    settings = tiny_settings.with_changes({"backbone": "timm:small", "adapter_stages": []})
    assert "small (timm)" in note(settings, blobs)
    assert part_record(settings)["code"] == part_record(tiny_settings)["code"]
    with pytest.raises(InputError, match="no network 'smalls': it has small"):
        make_backbone("timm:smalls")
    monkeypatch.setattr(Timm, "create_model", lambda self, name: nn.Flatten())
    timm_recipe.cache_clear()
    with pytest.raises(InputError, match="take a CNN"):
        make_backbone("timm:small")
    monkeypatch.setitem(sys.modules, "timm", None)
    timm_recipe.cache_clear()
    with pytest.raises(InputError, match="timm does not import .*pip install timm"):
        make_backbone("timm:small")


@pytest.mark.parametrize(("name", "size"), [("mobilenet_v2", 1280), ("resnet18_rebuilt", 512)])
def test_the_examples_that_come_with_the_project_take_adapters(name, size, tiny_settings, blobs):
    place = f"{Path(__file__).parents[1] / 'example_backbone.py'}:{name}"
    backbone = make_backbone(place, "random")
    assert not any(isinstance(module, nn.BatchNorm2d) for module in backbone.network.modules())
    changes = {"backbone": place, "weights": "random", "adapter_stages": ()}
    settings = tiny_settings.with_changes(changes)
    chain = Chain(settings, blobs, backbone, 1)
    x = backbone.normalise(blobs.test.images[:2])
    loud = {n: 0.1 + v for n, v in chain.adapters(None).state_dict().items()}
    with torch.no_grad():
        plain, adapted = backbone(x), chain.network(loud)(x)
    assert plain.shape == (2, size) and not torch.allclose(plain, adapted)
