"""Everything else a user can get wrong: arguments, settings, saved sessions, notebooks.

As in test_bad_inputs.py, each case spoils one thing; all end in one message that names what is
wrong and says what to do.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from helpers import assert_told, run, told

from dynammo.errors import InputError
from dynammo.run.execute import execute
from dynammo.run.learn import open_session
from dynammo.run.sessions import session_folder
from dynammo.run.settings import RunSettings

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def weights(name: str) -> Callable[[Path], str]:
    """A case of a file of weights that is not what its name says."""

    def case(folder: Path) -> str:
        (folder / "weights").mkdir()
        (folder / "weights" / name).write_bytes(b"not weights")
        before = os.environ.get("DYNAMMO_WEIGHTS")
        os.environ["DYNAMMO_WEIGHTS"] = str(folder / "weights")
        try:
            return told(folder, "--set", "backbone=resnet18")
        finally:
            os.environ.pop("DYNAMMO_WEIGHTS")
            if before is not None:
                os.environ["DYNAMMO_WEIGHTS"] = before

    return case


TINY = RunSettings(
    stream="phantom@32",
    phantom_train=4,
    phantom_val=1,
    phantom_test=1,
    memory_budget=8,
    adapter_epochs=1,
    methods=("dynammo",),
    device="cpu",
)


@cache
def learned() -> TemporaryDirectory:
    """A run of one session, learned for all cases that spoil it; gone when the tests are."""
    folder = TemporaryDirectory()
    open_session(Path(folder.name), TINY, 0, 1, 1).learn_next(progress=False)
    return folder


def saved(spoil: Callable[[Path], object]) -> Callable[[Path], str]:
    """A case of a session that goes on from one that was saved, and spoilt."""

    def case(folder: Path) -> str:
        shutil.copytree(learned().name, folder, dirs_exist_ok=True)
        spoil(session_folder(folder, 0, 1, 1))
        with pytest.raises(InputError) as refusal:
            open_session(folder, TINY, 0, 1, 2)
        return str(refusal.value)

    return case


def edit(change: Callable[[dict], object]) -> Callable[[Path], object]:
    """Change a saved session's record."""

    def write(folder: Path) -> None:
        path = folder / "session.json"
        record = json.loads(path.read_text())
        change(record)
        path.write_text(json.dumps(record))

    return write


def cut(name: str) -> Callable[[Path], object]:
    """Cut off the end of a saved file."""
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-40])


def no_notebook(folder: Path) -> str:
    """A notebook that is not there is to be run."""
    with pytest.raises(InputError) as refusal:
        execute(NOTEBOOKS / "99_more.ipynb", folder / "executed.ipynb", {})
    return str(refusal.value)


def file_in_the_way(folder: Path) -> str:
    """Results asked for below something that is no folder."""
    (folder / "taken").touch()
    return told(folder, "--output", str(folder / "taken"))


# What is spoilt: the case, and a part of what must be said.
CASES: dict[str, tuple[Callable[[Path], str], str]] = {
    "unknown profile": (run("--profile", "huge"), "choose one of ablations, "),
    "unknown run of a profile": (run("--profile", "paper/skin7"), "paper/skin8"),
    "mistyped setting": (run("--set", "adapter_epoch=3"), "did you mean 'adapter_epochs'?"),
    "setting without a value": (run("--set", "adapter_epochs"), "NAME=VALUE"),
    "word where a number belongs": (
        run("--set", "adapter_epochs=many"),
        "adapter_epochs is 'many': it must be a valid integer",
    ),
    "fraction where a whole number belongs": (
        run("--set", "memory_budget=80.5"),
        "memory_budget is 80.5: it must be a valid integer",
    ),
    "setting out of range": (
        run("--set", "batch_size=1"),
        "batch_size is 1: it must be greater than or equal to 2",
    ),
    "knobs of methods that are no table": (
        run("--set", "of_methods=1"),
        "of_methods is 1: it must be a valid dictionary",
    ),
    "plugins that are no list": (run("--set", "plugins=5"), "plugins is 5: it must be a list"),
    "setting of one method out of range": (
        run("--set", "lwf_temperature=0.0"),
        "lwf_temperature is 0.0: it must be greater than 0",
    ),
    "number that is none": (run("--set", "adapter_alpha=nan"), "nan: it must be a finite number"),
    "seed twice": (run("--set", "train_seeds=[1,1]"), "each once"),
    "mistyped method": (run("--methods", "dynamo"), "Unknown method 'dynamo'"),
    "unknown ablation": (run("--set", "ablations=['merge']"), "choose from start, placement"),
    "more classes a session than there are": (
        run("--classes-per-session", "9"),
        "Pass fewer classes per session",
    ),
    "all classes in one session": (run("--classes-per-session", "8"), "needs two sessions or more"),
    "negative classes a session": (run("--classes-per-session", "-1"), "must be 1 or more"),
    "run that is no folder's name": (run("--name", ".."), "cannot be called '..'"),
    "run elsewhere": (run("--fresh", "--name", "/results"), "cannot be called '/results'"),
    "cluster that Snakemake does not know": (
        run("--executor", "moon"),
        "no executor 'moon' here: python -m pip install snakemake-executor-plugin-moon",
    ),
    "no cores": (run("--cores", "0"), "must be 1 or more"),
    "memory smaller than the classes": (run("--set", "memory_budget=7"), "raise memory_budget"),
    "stage that the backbone lacks": (
        run("--set", "adapter_stages=['layer1']"),
        "has no stage 'layer1'",
    ),
    "unknown backbone": (run("--set", "backbone=vgg16"), "choose one of resnet18"),
    "unknown weights": (run("--set", "weights=places"), "choose 'imagenet' or 'random'"),
    "weights file of other content": (weights("resnet18-f37072fd.pth"), "Delete it"),
    "device that is not there": (run("--set", "device=cuda:97"), "try 'cpu' or 'auto'"),
    "enlarging to fewer pixels": (run("--set", "enlarge_to=16"), "as they are"),
    "a file where results should go": (file_in_the_way, "Make room or check permissions"),
    "saved session of other code": (
        saved(edit(lambda record: record["parts"][""].update(code="0" * 64))),
        "start again",
    ),
    "saved adapters cut off": (saved(cut("merged_adapters.safetensors")), "Remove it"),
    "saved head of another stream": (
        saved(
            lambda folder: (folder / "head_dynammo.safetensors").write_bytes(
                (folder / "adapters.safetensors").read_bytes()
            )
        ),
        "of another stream",
    ),
    "record of a session cut off": (saved(cut("session.json")), "Remove it"),
    "notebook that is not there": (no_notebook, "There is no notebook"),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_gets_one_message_that_says_what_to_do(name, tmp_path, monkeypatch):
    monkeypatch.setenv("DYNAMMO_DATA", str(tmp_path / "data"))
    assert_told(*CASES[name], tmp_path)
