"""Run folders: what a run is called, where its state lies, and that no file is ever half there.

``runs/<name>/`` holds the settings, the data's record and one folder a session; every folder of a
session appears whole, by renaming, so a killed run leaves nothing that looks finished.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dynammo.backbones import make_backbone
from dynammo.chain import Chain, choose_device
from dynammo.errors import InputError
from dynammo.evaluation import Predictions
from dynammo.learners import Learner, make_learners
from dynammo.settings import Settings
from dynammo.streams import Stream, make_stream

# Settings that say which jobs there are, not what a session computes.
JOB_SETTINGS = ("order_seeds", "train_seeds")


def run_name(profile: str, stream: str, classes_per_session: int) -> str:
    """``demo`` for a profile as it is (empty stream), ``demo-pbc8_64-2`` on another stream."""
    parts = [Path(part).name.removesuffix(".npz") for part in stream.split("+") if part]
    name = "-".join([profile, *(["+".join(parts)] if parts else [])])
    if classes_per_session:
        name += f"-{classes_per_session}"
    return re.sub(r"[^\w.+@-]", "_", name)


def prepare_torch(settings: Settings) -> torch.device:
    """Fix the number of threads and choose the device; call once at the start of a notebook."""
    torch.set_num_threads(settings.threads)
    return choose_device(settings.device)


def load_stream(settings: Settings, order_seed: int, run: Path | None = None) -> Stream:
    """The stream of some settings under a class order; drawn images are kept in the run folder."""
    return make_stream(
        settings.stream,
        settings.classes_per_session or None,
        order_seed,
        train_per_class=settings.train_per_class or None,
        phantom_seed=settings.phantom_seed,
        phantom_per_class={
            "train": settings.phantom_train,
            "val": settings.phantom_val,
            "test": settings.phantom_test,
        },
        cache=run and run / "data",
    )


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that the file is either complete or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")
    part.replace(path)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder that takes the place of ``path`` if the block succeeds."""
    part = path.with_name(f".{path.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    yield part
    if path.exists():
        shutil.rmtree(path)
    part.replace(path)


def session_folder(run: Path, order_seed: int, train_seed: int, session: int) -> Path:
    """Where a session's state lies."""
    return run / f"order{order_seed}-seed{train_seed}" / f"session{session}"


def comparable(settings: Settings) -> dict[str, Any]:
    """The settings that a saved session must share with the one that starts from it."""
    return {k: v for k, v in settings.as_dict().items() if k not in JOB_SETTINGS}


def open_session(
    run: Path, settings: Settings, order_seed: int, train_seed: int, session: int
) -> tuple[Chain, list[Learner]]:
    """Chain and learners as they stood before ``session``, from the previous session's folder.

    Raises:
        InputError: the previous session is missing, or was run with other settings or data.
    """
    stream = load_stream(settings, order_seed, run)
    stream.classes(session)  # refuses a session the stream does not have
    backbone = make_backbone(settings.backbone, settings.weights).to(prepare_torch(settings))
    if settings.memory_budget < stream.number_of_classes:
        raise InputError(
            f"A memory of {settings.memory_budget} images cannot hold one of each of "
            f"{stream.number_of_classes} classes: raise memory_budget."
        )
    chain = Chain(settings, stream, backbone, train_seed)
    learners = make_learners(settings.methods, chain)
    earlier = [session_folder(run, order_seed, train_seed, t) for t in range(1, session)]
    for t, folder in enumerate(earlier, start=1):
        if not (folder / "session.json").exists():
            raise InputError(
                f"Session {session} starts from session {t}, which is not in {folder}: run "
                f"session {t} with the same seeds first."
            )
    if earlier:
        _check_same_study(json.loads((earlier[-1] / "session.json").read_text()), settings, stream)
    chain.restore(earlier)
    for learner in learners:
        if earlier:
            learner.restore(earlier[-1])
    return chain, learners


def _check_same_study(saved: Mapping[str, Any], settings: Settings, stream: Stream) -> None:
    now = comparable(settings)
    changed = [key for key in now if saved["settings"].get(key) != now[key]]
    if changed:
        raise InputError(
            f"The saved session was run with another {', '.join(changed)}: start again from "
            "session 1, in another run folder or with ./run_all.sh --fresh."
        )
    if saved["data_checksum"] != stream.checksum:
        raise InputError(
            f"The images of '{settings.stream}' have changed since the saved session: start again "
            "from session 1, in another run folder or with ./run_all.sh --fresh."
        )


def save_session(
    run: Path,
    chain: Chain,
    learners: list[Learner],
    answers: Mapping[str, Predictions],
    losses: list[float],
    seconds: Mapping[str, float],
) -> Path:
    """Write the session's adapters, heads, exemplars, predictions and record; return the folder."""
    order_seed, train_seed = chain.seeds
    folder = session_folder(run, order_seed, train_seed, chain.session)
    with whole_folder(folder) as part:
        chain.save(part)
        for learner in learners:
            learner.save(part)
        np.savez(part / "predictions.npz", **_prediction_arrays(answers))
        record = {
            "order_seed": order_seed,
            "train_seed": train_seed,
            "session": chain.session,
            "class_names": list(chain.stream.class_names),
            "sessions": [list(labels) for labels in chain.stream.sessions],
            "losses": losses,
            "settings": comparable(chain.settings),
            "data_checksum": chain.stream.checksum,
        }
        write_json(part / "seconds.json", dict(seconds))
        write_json(part / "session.json", record)
    return folder


def _prediction_arrays(answers: Mapping[str, Predictions]) -> dict[str, np.ndarray]:
    arrays = {}
    for method, answer in answers.items():
        arrays[f"{method}/predicted"] = answer.predicted
        if answer.lowest_others is not None:
            arrays[f"{method}/lowest_others"] = answer.lowest_others
            arrays[f"{method}/inferred_session"] = answer.inferred_session
    return arrays


def load_predictions(folder: Path, session: int) -> dict[str, Predictions]:
    """Predictions of every method, as :func:`save_session` wrote them."""
    with np.load(folder / "predictions.npz", allow_pickle=False) as saved:
        arrays = dict(saved)
    methods = [key.split("/")[0] for key in arrays if key.endswith("/predicted")]
    return {
        method: Predictions(
            session,
            arrays[f"{method}/predicted"],
            arrays.get(f"{method}/lowest_others"),
            arrays.get(f"{method}/inferred_session"),
        )
        for method in methods
    }


@contextmanager
def stopwatch(seconds: dict[str, float], part: str) -> Iterator[None]:
    """Add the block's wall-clock seconds to ``seconds[part]``."""
    start = time.perf_counter()
    yield
    seconds[part] = seconds.get(part, 0.0) + time.perf_counter() - start


def settings_of(run: Path) -> Settings:
    """Resolved settings of a run, as ``run_all.sh`` wrote them.

    Raises:
        InputError: there is no such run.
    """
    path = run / "settings.json"
    if not path.exists():
        raise InputError(f"There is no run in {run}: make one with ./run_all.sh, or name another.")
    return Settings().with_changes(json.loads(path.read_text()))


def record_stream(run: Path, settings: Settings, stream: Stream) -> None:
    """Write ``data/stream.json``: the classes in order of arrival, and the images' checksum."""
    write_json(
        run / "data" / "stream.json",
        {
            "stream": settings.stream,
            "order_seed": stream.order_seed,
            "class_names": list(stream.class_names),
            "original_labels": list(stream.original_labels),
            "sessions": [list(labels) for labels in stream.sessions],
            "image_size": stream.image_size,
            "synthetic": stream.synthetic,
            "checksum": stream.checksum,
        },
    )
