"""Sessions on disk: what each leaves behind, and whether it still holds.

Below a run's folder there is one folder per pair of seeds, ``order0-seed1``, and in it one for each
session: ``session1`` for the tuned adapters with all methods fed by them, ``<method>/session1`` for
a method of its own. A folder appears whole, by renaming, so a killed run leaves nothing that looks
finished.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from dynammo.chain import Chain
from dynammo.data.files import write_json
from dynammo.errors import InputError
from dynammo.learner import Learner, Setup
from dynammo.measure.predictions import Predictions
from dynammo.memory import ExemplarMemory
from dynammo.methods import AdapterLearner
from dynammo.run.outdated import changed, part_record
from dynammo.training import linear_head

AGAIN = "start again from session 1, in another run folder or with ./run_all.sh --fresh."


def session_folder(
    run: Path, order_seed: int, train_seed: int, session: int, method: str = ""
) -> Path:
    """Where a session's state lies; without a method, that of the adapters."""
    return run / f"order{order_seed}-seed{train_seed}" / method / f"session{session}"


def read_record(folder: Path) -> dict[str, Any]:
    """A session's ``session.json``; InputError if the session is not there, or damaged.

    Damaged is also what an older version of this project wrote.
    """
    if not (folder / "session.json").exists():
        raise InputError(f"{folder} is missing: run ./run_all.sh to complete the run.")
    with damage_told(folder):
        record = json.loads((folder / "session.json").read_text())
        record["parts"], record["data_checksum"], record["costs"], record["losses"]
        return record


@contextmanager
def damage_told(folder: Path) -> Iterator[None]:
    """Say which folder it is, and what to do, where a file in it cannot be read."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # whatever reading a damaged file comes to
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{folder} cannot be taken up ({reason}): it is damaged, or of another stream. Remove "
            "it, and give the same command again."
        ) from error


class SavedSet(Mapping):
    """An adapter set in its file, read when it is first used: only ACL and the like need old ones.

    So what a session loads does not grow with the sessions before it.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        self.path = path
        self.device = device

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """The state dict."""
        return load_file(self.path, device=str(self.device))

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)


def save_chain(
    chain: Chain, folder: Path, losses: list[float], checksums: Mapping[str, str]
) -> None:
    """Write the newest session's share of the chain, and what it depends on, into a folder."""
    save_file(chain.adapter_states[-1], folder / "adapters.safetensors")
    save_file(chain.merged_state, folder / "merged_adapters.safetensors")
    save_file(chain.auxiliary.state_dict(), folder / "auxiliary_head.safetensors")
    save_memory(chain.memory, folder)
    tuned = {"parts": {"": part_record(chain.settings, "", chain.steps)}, "losses": losses}
    write_json(folder / "tuned.json", tuned | checksums)


def restore_chain_from(chain: Chain, folders: list[Path]) -> None:
    """Take up the state saved by sessions 1..t, given their folders in that order."""
    device = str(chain.device)
    states = tuple(SavedSet(folder / "adapters.safetensors", chain.device) for folder in folders)
    auxiliary = load_file(folders[-1] / "auxiliary_head.safetensors", device=device)
    budget = chain.settings.memory_budget
    chain.memory = load_memory(folders[-2], budget) if len(folders) > 1 else None
    chain.go_to(len(folders), states, _linear(auxiliary, chain.device))
    chain.merged_state = load_file(folders[-1] / "merged_adapters.safetensors", device=device)
    chain.memory = load_memory(folders[-1], budget)


def tuned_before(run: Path, chain: Chain, session: int, checksums: Mapping[str, str]):
    """What tuning a session gave before, if the same code and settings did: see ``Chain.recall``.

    So a method that is new or changed has only its own head trained, and no adapters tuned again.
    """
    folder = session_folder(run, *chain.seeds, session)
    try:
        record = json.loads((folder / "tuned.json").read_text())
        if changed(record, chain.settings, "", checksums, chain.steps):
            return None
        auxiliary = load_file(folder / "auxiliary_head.safetensors", device=str(chain.device))
        state = load_file(folder / "adapters.safetensors", device=str(chain.device))
        return state, _linear(auxiliary, chain.device), record["losses"]
    except (OSError, ValueError, KeyError, SafetensorError):
        return None  # not there, or damaged: it is tuned again


def _linear(state: Mapping[str, Tensor], device: torch.device) -> torch.nn.Linear:
    outputs, feature_size = state["weight"].shape
    head = linear_head(feature_size, outputs, 0, device)
    head.load_state_dict(state)
    return head


def save_learner(learner: Learner, folder: Path) -> None:
    """Write a learner's state into a folder."""
    state = {name: tensor.contiguous() for name, tensor in learner.state().items()}
    save_file(state, folder / state_file(learner))
    if not isinstance(learner, AdapterLearner) and learner.memory is not None:
        save_memory(learner.memory, folder)


def restore_learner(learner: Learner, folder: Path, session: int) -> None:
    """Take up a learner's state after a session."""
    learner.outline(session)
    if not isinstance(learner, AdapterLearner) and learner.memory is not None:
        learner.memory = load_memory(folder, learner.settings.memory_budget)
    learner.load_state(load_file(folder / state_file(learner), device=str(learner.device)))


def state_file(learner: Learner) -> str:
    """What the file with a learner's weights is called."""
    fed = isinstance(learner, AdapterLearner)
    return f"head_{learner.name}.safetensors" if fed else "state.safetensors"


def save_memory(memory: ExemplarMemory, folder: Path) -> None:
    """Write the exemplars' positions as an ``.npz`` with two arrays a class."""
    arrays = {f"kept/{label}": chosen for label, chosen in memory.positions.items()}
    arrays |= {f"balanced/{label}": chosen for label, chosen in memory.balanced.items()}
    np.savez(folder / "exemplars.npz", **arrays)


def load_memory(folder: Path, budget: int) -> ExemplarMemory:
    """Read what :func:`save_memory` wrote."""
    with np.load(folder / "exemplars.npz", allow_pickle=False) as saved:
        parts = {"kept": {}, "balanced": {}}
        for name in saved.files:
            part, _, label = name.partition("/")
            parts[part][int(label)] = saved[name]
        return ExemplarMemory(budget, parts["kept"], parts["balanced"])


def save_predictions(answers: Mapping[str, Predictions], folder: Path) -> None:
    """Write ``predictions.npz``: the split's labels, and every method's answers."""
    arrays = {}
    for method, answer in answers.items():
        arrays[f"{method}/predicted"] = answer.predicted
        arrays[f"{method}/auroc"] = np.array(answer.auroc)
        if answer.lowest_others is not None:
            arrays[f"{method}/lowest_others"] = answer.lowest_others
            arrays[f"{method}/inferred_session"] = answer.inferred_session
        arrays["labels"] = answer.labels
    np.savez(folder / "predictions.npz", **arrays)


def load_predictions(folder: Path, record: Mapping[str, Any]) -> dict[str, Predictions]:
    """Predictions of every method in a session's folder, given its record."""
    with damage_told(folder):
        with np.load(folder / "predictions.npz", allow_pickle=False) as saved:
            arrays = dict(saved)
        sessions = tuple(tuple(labels) for labels in record["sessions"])
        methods = [key.split("/")[0] for key in arrays if key.endswith("/predicted")]
        return {
            method: Predictions(
                record["session"],
                sessions,
                arrays["labels"],
                arrays[f"{method}/predicted"],
                arrays.get(f"{method}/lowest_others"),
                arrays.get(f"{method}/inferred_session"),
                float(arrays.get(f"{method}/auroc", np.nan)),  # runs of 2.0 have none
            )
            for method in methods
        }


def write_record(
    folder: Path,
    setup: Setup,
    session: int,
    parts: Mapping[str, dict[str, Any]],
    losses: list[float],
    costs: Mapping[str, dict[str, int]],
    checksums: Mapping[str, str],
) -> None:
    """Write ``session.json``: which session it is, what it depends on, its losses and costs."""
    order_seed, train_seed = setup.seeds
    record = {
        "order_seed": order_seed,
        "train_seed": train_seed,
        "session": session,
        "class_names": list(setup.stream.class_names),
        "sessions": [list(labels) for labels in setup.stream.sessions],
        "losses": losses,
        "costs": costs,
        "parts": parts,
    }
    write_json(folder / "session.json", record | checksums)
