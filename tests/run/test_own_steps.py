"""Steps and methods of one's own: what a cell defines runs through whole streams and tables."""

import ast
import inspect
from functools import partial
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from helpers import same

from dynammo.adapters import Adapter
from dynammo.chain import DYNAMMO, Chain, Steps
from dynammo.draw.accuracy import accuracy_by_family
from dynammo.errors import InputError
from dynammo.learner import Learner, Setup
from dynammo.measure.summary import readable, summarise
from dynammo.merging import running_mean
from dynammo.methods import LastAdapter
from dynammo.run.code import code_behind, python_in
from dynammo.run.collect import collect
from dynammo.run.execute import execute
from dynammo.run.learn import learn_stream
from dynammo.run.places import NOTEBOOKS


class Quiet(Adapter):
    """An adapter whose branch is not heard at first."""

    def __init__(self, channels, hidden_channels, alpha, padding="same"):
        super().__init__(channels, hidden_channels, 0.0, padding)


def smoothed(logits, targets):
    return F.cross_entropy(logits, targets, label_smoothing=0.2)


def newest(mean, newest, count):
    return newest


def first(features, count):
    return np.arange(min(count, len(features)))


class FirstSet(LastAdapter):
    """Only the first session's adapters."""

    name = "first_set"

    def adapter_sets(self):
        return [self.chain.adapter_states[0]]


@pytest.fixture(scope="module")
def settings(tiny_settings):
    changes = {"adapter_epochs": 1, "head_epochs": 2, "methods": ("dynammo", "last_adapter")}
    return tiny_settings.with_changes(changes)


@pytest.fixture
def learned(settings, blobs, pretrained):
    def learn(**parts):
        chain = Chain.on(Setup(settings, blobs, pretrained, 1), Steps(**parts))
        losses = [chain.learn_session(progress=False) for _ in range(2)]
        return chain, losses

    return learn


def test_each_step_may_be_ones_own_and_only_what_follows_from_it_changes(learned):
    plain, losses = learned()
    again, _ = learned(mean=lambda *given: running_mean(*given))
    assert same(again.merged_state, plain.merged_state)

    chain, other = learned(loss=smoothed)
    assert other != losses and not same(chain.adapter_states[0], plain.adapter_states[0])

    chain, other = learned(mean=newest)
    assert other == losses and chain.merged_state is chain.adapter_states[1]

    chain, other = learned(choose=first)
    positions = chain.stream.indices("train", 1)
    labels = chain.stream.train.labels[positions]
    share = len(chain.memory.positions[0])
    assert np.array_equal(chain.memory.positions[0], positions[labels == 0][:share])
    assert other[0] == losses[0] and other[1] != losses[1]  # what "others" are changed

    chain, _ = learned(adapter=Quiet)
    fresh = chain.adapters(None)
    assert {type(one) for one in fresh.adapters} == {Quiet}
    assert all(one.alpha == 0 for one in fresh.adapters)


def test_what_is_not_dynammos_is_told():
    assert DYNAMMO.of_ones_own() == ()
    assert Steps(loss=smoothed, mean=newest).of_ones_own() == (smoothed, newest)


def test_a_run_with_other_steps_is_another_run(settings, tmp_path, blobs_npz):
    """Learned again, not taken for DynaMMo's; the same steps are found, and read in peace."""
    mine = Steps(mean=newest)
    learn_stream(tmp_path, settings, "", 0, 1, progress=False)
    with pytest.warns(UserWarning, match="other code"):
        collect(tmp_path, settings, steps=mine)
    group = learn_stream(tmp_path, settings, "", 0, 1, steps=mine, progress=False)
    found = collect(tmp_path, settings, steps=mine)["sessions"]
    wide = found.pivot_table("accuracy", "session", "method")
    assert wide.dynammo.equals(wide.last_adapter.rename("dynammo"))  # the newest set is the "mean"
    before = (group.folder(2) / "session.json").stat().st_mtime_ns
    group = learn_stream(tmp_path, settings, "", 0, 1, steps=mine, progress=False)
    assert (group.folder(2) / "session.json").stat().st_mtime_ns == before


def test_a_method_of_ones_own_stands_in_tables_and_figures_beside_dynammo(settings, tmp_path):
    learn_stream(tmp_path, settings, FirstSet, 0, 1, progress=False)
    found = collect(tmp_path, settings, ["dynammo", "last_adapter", FirstSet])
    sessions = found["sessions"]
    assert list(sessions.method.unique()) == ["dynammo", "last_adapter", "first_set"]
    table = readable(summarise(found)).set_index("method")
    assert table.family["first set"] == "one's own"
    figure = accuracy_by_family(sessions, note="a test")
    assert any(
        "first set" in text.get_text() for text in figure.findobj(lambda x: hasattr(x, "get_text"))
    )
    first_session = sessions[sessions.session == 1].set_index("method").accuracy
    assert first_session["first_set"] == first_session["dynammo"]


def test_a_notebook_has_a_loss_a_mean_a_learner_and_a_network_of_ones_own(tmp_path):
    tiny = {"phantom_train": 8, "phantom_val": 2, "phantom_test": 4, "train_per_class": 0}
    tiny |= {"classes_per_session": 4, "adapter_epochs": 1, "head_epochs": 2, "head_steps": 0}
    given = {"run_folder": str(tmp_path / "run"), "figures_folder": str(tmp_path / "figures")}
    given |= {"stream": "phantom@32", "order_seeds": [0], "more": tiny | {"memory_budget": 16}}
    execute(NOTEBOOKS / "16_your_own.ipynb", tmp_path / "done.ipynb", given)
    table = pd.read_csv(tmp_path / "figures/your_own.csv")
    assert {"soft_and_wary", "dynammo", "acl"} <= set(table.method)
    record = tmp_path / "run/small/order0-seed1/session2/session.json"
    assert '"backbone": "__main__:small"' in record.read_text()


def test_a_step_whose_source_cannot_be_recorded_is_refused_before_anything_is_tuned(
    settings, tmp_path
):
    steps = Steps(loss=partial(F.cross_entropy, label_smoothing=0.1))
    with pytest.raises(InputError, match="write a function that calls it"):
        learn_stream(tmp_path, settings, "", 0, 1, steps=steps, progress=False)
    assert not list(tmp_path.glob("order*"))


class Drops(Adapter):
    """An adapter with dropout, which draws from torch's global generator."""

    def forward(self, x):
        return F.dropout(super().forward(x), 0.5, self.training)


def test_dropout_of_ones_own_follows_the_seeds_and_leaves_the_global_generator(learned):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one, losses = learned(adapter=Drops)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    other, again = learned(adapter=Drops)
    assert losses == again and same(one.merged_state, other.merged_state)


def definitions(notebook):
    """What the cells of a notebook import and define, as code; nothing of what they run."""
    kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
    found = ast.parse(python_in(notebook)).body
    return "\n".join(ast.unparse(node) for node in found if isinstance(node, kinds))


def test_every_learner_that_a_notebook_writes_out_can_be_recorded(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    recorded = {}
    for notebook in sorted(NOTEBOOKS.glob("[0-9]*.ipynb")):
        (tmp_path / f"of_{notebook.stem}.py").write_text(definitions(notebook))
        module = import_module(f"of_{notebook.stem}")
        kinds = [kind for kind in vars(module).values() if inspect.isclass(kind)]
        own = [k for k in kinds if k.__module__ == module.__name__ and issubclass(k, Learner)]
        recorded |= {kind.__name__: code_behind(kind) for kind in own}
    wanted = "MyFineTuning MyReplay MyDERPlusPlus MyLwF MyWA MyICaRL MyEWC MyDER MyNearestMean"
    assert {*wanted.split(), "MyRanPAC", "MyRidge"} <= recorded.keys()
    assert len(set(recorded.values())) == len(recorded)
