"""Files of weights merged on the command line: the numbers, and what is refused."""

import re

import numpy as np
import pytest
import torch
from helpers_for_merging import INITIAL, STATES
from safetensors.torch import load_file, save_file

from dynammo.beyond.ways_of_merging import is_learned
from dynammo.run.merge import WAYS, main
from dynammo.run.places import ROOT

FILES = ["a.safetensors", "b.safetensors", "c.safetensors"]
FISHER = ["--importances", *["below.safetensors"] * 3]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, state in zip(FILES, STATES, strict=True):
        save_file({k: v.contiguous() for k, v in state.items()}, name)
    save_file({k: v.contiguous() for k, v in INITIAL.items()}, "base.safetensors")
    return tmp_path


def merged(*arguments):
    assert main([*FILES, "--out", "out/merged.safetensors", *arguments]) == 0
    return load_file("out/merged.safetensors")


def test_the_mean_is_that_of_the_files(capsys):
    found = merged()
    for name, value in found.items():
        if value.is_floating_point():
            wanted = np.mean([state[name].double().numpy() for state in STATES], axis=0)
            np.testing.assert_allclose(value.numpy(), wanted, rtol=1e-6)
    assert "3 sets of" in capsys.readouterr().out


def test_magmax_takes_the_largest_change_and_its_option():
    name = next(name for name in STATES[0] if name.endswith("conv.weight") or "weight" in name)
    changes = np.stack([(state[name] - INITIAL[name]).double().numpy() for state in STATES])
    largest = np.take_along_axis(changes, np.abs(changes).argmax(0)[None], 0)[0]
    for options, scale in (((), 1), (("--option", "scale=0.5"), 0.5)):
        found = merged("--how", "magmax", "--base", "base.safetensors", *options)
        wanted = INITIAL[name].double().numpy() + scale * largest
        np.testing.assert_allclose(found[name].numpy(), wanted, rtol=1e-5, atol=1e-7)


def test_a_rule_of_ones_own_merges_files(folder, capsys):
    bodies = {"last": "changes[-1]", "fails": "1 / 0", "listed": "changes[0].numpy()"}
    rules = (f"def {name}(changes):\n    return {body}\n" for name, body in bodies.items())
    (folder / "rules.py").write_text("".join(rules))
    found = merged("--how", "rules.py:last", "--base", "base.safetensors")
    wanted = merged("--how", "magmax", "--base", "base.safetensors")
    learned = [name for name, value in STATES[-1].items() if is_learned(name, value)]
    assert all(torch.allclose(found[name], STATES[-1][name], atol=1e-6) for name in learned)
    assert any(not torch.equal(found[name], wanted[name]) for name in learned)
    for how, words in (
        ("rules.py:fails", "The rule rules.py:fails fails: ZeroDivisionError: division by zero"),
        ("rules.py:listed", "this one returned a ndarray"),
    ):
        call = ["--out", "out/other.safetensors", "--base", "base.safetensors", "--how", how]
        assert main([*FILES, *call]) == 2
        assert words in capsys.readouterr().err
    for how, words in (
        ("rules.py:first", "The rule rules.py:first fails: AttributeError"),
        ("none.py:last", "The rule none.py:last fails: FileNotFoundError"),
        ("median", "There is no way 'median': choose of mean, .*FILE.py:FUNCTION"),
        ("rules.py:last", "needs the initial set"),
    ):
        assert main([*FILES, "--out", "out/other.safetensors", "--how", how]) == 2
        assert re.search(words, capsys.readouterr().err)


def test_pooled_statistics_are_wider_than_averaged_ones():
    plain, pooled = merged(), merged("--statistics", "mixture")
    name = next(name for name in plain if name.endswith("running_var"))
    means = torch.stack([s[name.replace("var", "mean")].double() for s in STATES])
    wanted = plain[name].double() + means.var(0, correction=0)
    torch.testing.assert_close(pooled[name].double(), wanted, rtol=1e-5, atol=1e-6)


def test_statistics_that_lack_a_mean_cannot_be_pooled(capsys):
    for name in FILES:
        whole = load_file(name)
        means = [entry for entry in whole if entry.endswith("running_mean")]
        save_file({n: v for n, v in whole.items() if n not in means}, name)
    assert main([*FILES, "--out", "out/m.safetensors", "--statistics", "mixture"]) == 2
    assert f"and no '{means[0]}': average" in capsys.readouterr().err


@pytest.mark.parametrize("how", sorted(set(WAYS) - {"fisher"}))
def test_every_way_has_a_result_of_the_same_layout(how):
    found = merged("--how", how, "--base", "base.safetensors")
    assert {k: (v.shape, v.dtype) for k, v in found.items()} == {
        k: (v.shape, v.dtype) for k, v in STATES[0].items()
    }


def test_by_fisher_each_number_is_that_of_the_set_which_it_matters_to():
    learned = {k: v for k, v in STATES[0].items() if is_learned(k, v)}
    files = [f"fisher{i}.safetensors" for i in range(3)]
    for i, file in enumerate(files):  # all that matters does so to the second set
        save_file({k: torch.full(v.shape, float(i == 1)) for k, v in learned.items()}, file)
    found = merged("--how", "fisher", "--importances", *files, "--option", "floor=1e-9")
    for name in learned:
        torch.testing.assert_close(found[name], STATES[1][name], rtol=1e-5, atol=1e-6)


def test_importances_are_measured_as_the_page_says():
    page = (ROOT / "notebooks/RUNNING.md").read_text()
    (lines,) = re.findall(r"```python\n([^`]*fisher_diagonal[^`]*)```", page)
    given = {"torch": torch, "save_file": save_file, "images": torch.rand(2, 3, 8, 8)}
    for name in "ab":
        layers = torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten()
        network = torch.nn.Sequential(*layers, torch.nn.LazyLinear(2)).eval()
        network(given["images"])
        save_file(network.state_dict(), f"{name}.safetensors")
        exec(lines.replace("a_fisher", f"{name}_fisher"), given | {"network": network})
    files = ["a_fisher.safetensors", "b_fisher.safetensors"]
    asked = [*FILES[:2], "--out", "m.safetensors", "--how", "fisher", "--importances", *files]
    assert main(asked) == 0


def spoiled(change):
    state = {name: tensor.clone() for name, tensor in STATES[0].items()}
    change(state, next(name for name in state if "weight" in name))
    return state


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s, n: s[n].view(-1)[:1].fill_(torch.nan), "not finite: tune it again"),
        (lambda s, n: s.update({n: s[n].half()}), "save both as one kind of number"),
        (lambda s, n: s.pop(n), "'conv.weight' is in a.safetensors alone"),
        (lambda s, n: s.update({n: s[n][:1].clone()}), "'conv.weight' is (4, 3, 3, 3) in a"),
    ],
)
def test_sets_that_do_not_go_together_are_refused(change, said, capsys):
    save_file(spoiled(change), "b.safetensors")
    assert main([*FILES, "--out", "merged.safetensors"]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--how", "ties"], "needs the initial set"),
        (["--how", "fisher"], "needs the Fisher information"),
        (["--option", "scale=1"], "has no scale: it has none"),
        (["--option", "sets=1"], "has no sets: it has none"),
        (["--how", "fisher", *FISHER, "--option", "floor=nan"], "Fisher's floor is nan"),
        (["--how", "fisher", *FISHER], "none may be below 0"),
        (["--option", "much"], "takes NAME=NUMBER"),
        (["--how", "ties", "--base", "base.safetensors", "--option", "density=2"], "at most 1"),
        (["--how", "dare", "--base", "base.safetensors", "--option", "seed=0.5"], "a whole number"),
        (["--how", "magmax", "--base", "no.safetensors"], "There is no file no.safetensors"),
        (["--how", "magmax", "--base", "."], "There is no file .:"),
        (["--how", "mean", "--out", "."], ". is a folder: name a file"),
        (["--how", "magmax", "--base", "text.safetensors"], "not a whole safetensors file"),
    ],
)
def test_bad_calls_say_what_to_do_and_leave_nothing(arguments, said, capsys, folder):
    (folder / "text.safetensors").write_text("not weights")
    learned = {n: -v.abs() for n, v in STATES[0].items() if is_learned(n, v)}
    save_file(learned, "below.safetensors")
    assert main([*FILES, "--out", "out/merged.safetensors", *arguments]) == 2
    assert said in capsys.readouterr().err and not (folder / "out").exists()
