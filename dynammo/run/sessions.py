"""Sessions on disk: what each leaves behind, and how the next one goes on from it.

Below a run's folder there is one chain per pair of seeds, ``order0-seed1``, and in it one folder a
session: ``session1`` for the tuned adapters with all methods fed by them, ``<method>/session1`` for
a method of its own. A folder appears whole, by renaming, so a killed run leaves nothing that looks
finished.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from safetensors import SafetensorError

from dynammo.backbones import make_backbone
from dynammo.catalogue import (
    LEARNERS,
    AdapterLearner,
    Learner,
    adapter_methods,
    make_adapter_learners,
    make_learner,
)
from dynammo.chain import Chain
from dynammo.data.files import remove_folder, whole_folder, write_json
from dynammo.data.make_stream import Stream
from dynammo.errors import InputError
from dynammo.measure.cost import count_cost, exemplar_bytes
from dynammo.measure.predictions import Predictions, predict
from dynammo.measure.stopwatch import Meter
from dynammo.run.provenance import results_checksum
from dynammo.run.run_folder import load_stream, prepare_torch
from dynammo.settings import Settings
from dynammo.setup import Study


def session_folder(
    run: Path, order_seed: int, train_seed: int, session: int, method: str = ""
) -> Path:
    """Where a session's state lies; without a method, that of the adapters."""
    return run / f"order{order_seed}-seed{train_seed}" / method / f"session{session}"


# What adapters are made of and start from; all else of step 1 is every method's.
ADAPTERS_ALONE = (
    "adapter_stages",
    "adapter_width",
    "adapter_alpha",
    "adapter_padding",
    "adapter_start",
)


def comparable(settings: Settings, method: str = "") -> dict[str, Any]:
    """The settings that a session depends on: of a method, or without one of the adapters.

    Seeds and studies say which jobs there are. A method's own knobs, named after it, concern no
    other.
    """
    values = settings.as_dict() | {"methods": adapter_methods(settings.methods)}
    for which_jobs in ("order_seeds", "train_seeds", "baseline_seeds", "studies", "study_seeds"):
        del values[which_jobs]
    others = ("methods", *ADAPTERS_ALONE) if method else ("network_learning_rate",)
    for of_others in others:
        del values[of_others]
    owners = ("", method) if method else ("", *values["methods"])
    return {key: value for key, value in values.items() if _owner(key) in owners}


def _owner(setting: str) -> str:
    """The method that a setting is named after, if any."""
    names = (name for name in LEARNERS if setting.startswith(f"{name}_"))
    return max(names, key=len, default="")


def jobs(settings: Settings, methods: Sequence[str]) -> list[tuple[int, int, str]]:
    """Chains of sessions that some methods need: order seed, training seed, and whose they are.

    That is the name of a method of its own, or nothing for the adapters, which feed several.
    """
    fed = adapter_methods(methods)
    own = [name for name in methods if name not in fed]
    found = []
    for first, order_seed in enumerate(settings.order_seeds):
        seeds = settings.train_seeds
        # Another seed for another order, so that few runs still cover both.
        chosen = [seeds[(first + i) % len(seeds)] for i in range(settings.baseline_seeds)]
        for train_seed in seeds:
            if fed:
                found.append((order_seed, train_seed, ""))
            if not chosen or train_seed in chosen:
                found += [(order_seed, train_seed, name) for name in own]
    return found


def open_study(run: Path, settings: Settings, order_seed: int, train_seed: int) -> Study:
    """The stream and the backbone of some settings, on the device they name.

    Raises:
        InputError: unusable settings or data; a memory too small for the stream.
    """
    stream = load_stream(settings, order_seed, run)
    if settings.memory_budget < stream.number_of_classes:
        raise InputError(
            f"A memory of {settings.memory_budget} images cannot hold one of each of "
            f"{stream.number_of_classes} classes: raise memory_budget."
        )
    device = prepare_torch(settings)
    if 0 < settings.enlarge_to < stream.image_size:
        raise InputError(
            f"enlarge_to is {settings.enlarge_to}, but the images have {stream.image_size} px: "
            "give more, or 0 to take them as they are."
        )
    backbone = make_backbone(
        settings.backbone, settings.weights, enlarge_to=settings.enlarge_to
    ).to(device)
    return Study(settings, stream, backbone, train_seed)


def open_session(
    run: Path, settings: Settings, order_seed: int, train_seed: int, session: int
) -> tuple[Chain, list[AdapterLearner]]:
    """Chain and its learners as they stood before ``session``.

    Raises:
        InputError: the previous session is missing, or was run with other settings, data or code.
    """
    study = open_study(run, settings, order_seed, train_seed)
    study.stream.classes(session)  # refuses a session the stream does not have
    return _chain_after(run, study, session - 1)


def restore_chain(
    run: Path, settings: Settings, order_seed: int, train_seed: int
) -> tuple[Chain, list[AdapterLearner]]:
    """Chain and its learners as they stand after the last session, to look into them.

    Raises:
        InputError: a session is missing, or was run with other settings, data or code.
    """
    study = open_study(run, settings, order_seed, train_seed)
    return _chain_after(run, study, study.stream.number_of_sessions)


def _chain_after(run: Path, study: Study, session: int) -> tuple[Chain, list[AdapterLearner]]:
    chain = Chain(study.settings, study.stream, study.backbone, study.train_seed)
    learners = make_adapter_learners(study.settings.methods, chain)
    folders = [session_folder(run, *study.seeds, t) for t in range(1, session + 1)]
    for t, folder in enumerate(folders, start=1):
        if not (folder / "session.json").exists():
            raise InputError(
                f"Session {t} is not in {folder}, and what comes after starts from it: run "
                f"session {t} with the same seeds first."
            )
    if folders:
        check_same_study(folders[-1], study.settings, study.stream)
        with _damage_told(folders[-1]):
            chain.restore(folders)
            for learner in learners:
                learner.restore(folders[-1])
    return chain, learners


@contextmanager
def _damage_told(folder: Path) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError, RuntimeError, KeyError, BadZipFile, SafetensorError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{folder} cannot be taken up ({reason}): it is damaged, or of another stream. Remove "
            "it, and give the same command again."
        ) from error


def check_same_study(folder: Path, settings: Settings, stream: Stream, method: str = "") -> None:
    """Refuse a session that was run with other settings, images or code.

    It may have had more methods: they share adapters and exemplars, and none needs another's head.
    """
    again = "start again from session 1, in another run folder or with ./run_all.sh --fresh."
    with _damage_told(folder):
        saved = json.loads((folder / "session.json").read_text())
    now = comparable(settings, method)
    before = saved["settings"]
    changed = [key for key in now if before.get(key) != now[key] and key != "methods"]
    if not set(now.get("methods", ())) <= set(before.get("methods", ())):
        changed.append("methods")
    if changed:
        raise InputError(f"{folder} was run with another {', '.join(changed)}: {again}")
    if saved["data_checksum"] != stream.checksum:
        raise InputError(f"The images of '{settings.stream}' changed since {folder}: {again}")
    if saved["code"] != results_checksum():
        raise InputError(f"The code of dynammo/ has changed since {folder}: {again}")


def save_session(
    run: Path,
    chain: Chain,
    learners: list[AdapterLearner],
    answers: Mapping[str, Predictions],
    losses: list[float],
    meter: Meter,
) -> Path:
    """Write the session's adapters, heads, exemplars and record; return the folder."""
    folder = session_folder(run, *chain.seeds, chain.session)
    with whole_folder(folder) as part:
        chain.save(part)
        for learner in learners:
            learner.save(part)
        _write_record(part, chain, "", chain.session, learners, answers, losses, meter)
    return folder


def learn_chain(
    run: Path, settings: Settings, order_seed: int, train_seed: int, *, progress: bool = True
) -> list[Path]:
    """Tune all sessions' adapters and the heads of the methods they feed, in this process.

    The same as notebook 2 does session by session, for comparisons that need many chains. Sessions
    that a call before this one finished are kept.

    Returns:
        The folders of the sessions.
    """
    study = open_study(run, settings, order_seed, train_seed)
    chain = Chain(study.settings, study.stream, study.backbone, study.train_seed)
    learners = make_adapter_learners(settings.methods, chain)
    sessions = range(1, chain.stream.number_of_sessions + 1)
    folders = [session_folder(run, order_seed, train_seed, t) for t in sessions]
    done = _sessions_done(folders, settings, chain.stream, "")
    with _damage_told(folders[done - 1]):
        chain.restore(folders[:done])
        for learner in learners if done else []:
            learner.restore(folders[done - 1])
    for folder in folders[done:]:  # of other settings
        remove_folder(folder)
    for _ in folders[done:]:
        learn_next(run, chain, learners, progress=progress)
    return folders


def learn_next(
    run: Path, chain: Chain, learners: list[AdapterLearner], *, progress: bool = True
) -> tuple[Meter, dict[str, Predictions]]:
    """Learn and save one session; return what it cost and what the learners predict after it."""
    meter = Meter(chain.device)
    with meter.measure("adapters", "training"):
        losses = chain.tune(progress=progress)
    chain.merge()
    chain.choose_exemplars()
    answers = {}
    for learner in learners:
        with meter.measure(learner.name, "head"):
            learner.learn_session(progress=progress)
        with meter.measure(learner.name, "test"):
            answers[learner.name] = predict(learner, "test")
    save_session(run, chain, learners, answers, losses, meter)
    return meter, answers


def learn_stream(
    run: Path,
    settings: Settings,
    method: str,
    order_seed: int,
    train_seed: int,
    *,
    progress: bool = True,
) -> Learner:
    """Learn all sessions of the stream with one method that is not fed by adapters.

    Each session is saved as it ends, so a call that was interrupted goes on after the last one.
    Sessions that other code, settings or images left are learned again. Only the newest session
    keeps the method's weights; the others keep predictions and records.

    Raises:
        InputError: a method that is fed by adapters, or that there is not.
    """
    if adapter_methods([method]):
        raise InputError(
            f"'{method}' is fed by tuned adapters: run notebook 02_incremental_session."
        )
    study = open_study(run, settings, order_seed, train_seed)
    learner = make_learner(method, study)
    folders = [
        session_folder(run, order_seed, train_seed, t, method)
        for t in range(1, study.stream.number_of_sessions + 1)
    ]
    learner.session = _sessions_done(folders, settings, study.stream, method)
    if learner.session:
        with _damage_told(folders[learner.session - 1]):
            learner.restore(folders[learner.session - 1])
    for folder in folders[learner.session :]:  # of other settings
        remove_folder(folder)
    for session in range(learner.session + 1, len(folders) + 1):
        meter = Meter(learner.device)
        with meter.measure(method, "training"):
            losses = learner.learn_session(progress=progress)
        with meter.measure(method, "test"):
            answers = {method: predict(learner, "test")}
        with whole_folder(folders[session - 1]) as part:
            learner.save(part)
            _write_record(part, study, method, session, [learner], answers, losses, meter)
        if session > 1:
            (folders[session - 2] / "state.safetensors").unlink(missing_ok=True)
    return learner


def _sessions_done(folders: list[Path], settings: Settings, stream: Stream, method: str) -> int:
    """How many sessions from the first on can be kept: the newest whole one with its weights."""
    weights = "state.safetensors" if method else "adapters.safetensors"
    for session in range(len(folders), 0, -1):
        folder = folders[session - 1]
        if not (folder / "session.json").exists() or not (folder / weights).exists():
            continue
        try:
            check_same_study(folder, settings, stream, method)
        except InputError:
            return 0
        return session
    return 0


def _write_record(
    part: Path,
    study: Study,
    method: str,
    session: int,
    learners: list,
    answers: Mapping[str, Predictions],
    losses: list[float],
    meter: Meter,
) -> None:
    order_seed, train_seed = study.seeds
    np.savez(part / "predictions.npz", **_prediction_arrays(answers))
    costs = {x.name: count_cost(x) | {"exemplar_bytes": exemplar_bytes(x)} for x in learners}
    record = {
        "order_seed": order_seed,
        "train_seed": train_seed,
        "session": session,
        "class_names": list(study.stream.class_names),
        "sessions": [list(labels) for labels in study.stream.sessions],
        "losses": losses,
        "costs": costs,
        "settings": comparable(study.settings, method),
        "data_checksum": study.stream.checksum,
        "code": results_checksum(),
    }
    write_json(part / "measured.json", meter.rows)
    write_json(part / "session.json", record)


def _prediction_arrays(answers: Mapping[str, Predictions]) -> dict[str, np.ndarray]:
    arrays = {}
    for method, answer in answers.items():
        arrays[f"{method}/predicted"] = answer.predicted
        if answer.lowest_others is not None:
            arrays[f"{method}/lowest_others"] = answer.lowest_others
            arrays[f"{method}/inferred_session"] = answer.inferred_session
    return arrays


def load_predictions(folder: Path, session: int) -> dict[str, Predictions]:
    """Predictions of every method in a session's folder."""
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
