"""Runs: a run's settings and its stream.

``runs/<name>/`` holds the settings, the data's record and the sessions
(:mod:`dynammo.run.sessions`).
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from dynammo.backbones import make_backbone
from dynammo.beyond.colours import shift_colours
from dynammo.catalogue import METHODS
from dynammo.data.files import write_json
from dynammo.data.make_stream import make_stream
from dynammo.errors import InputError
from dynammo.learner import Setup
from dynammo.methods import kind_of
from dynammo.run.settings import RunSettings
from dynammo.stream import Stream


def prepare_torch(settings: RunSettings) -> torch.device:
    """Fix the number of threads and choose the device; call once at the start of a notebook."""
    torch.set_num_threads(settings.threads)
    return choose_device(settings.device)


def choose_device(name: str) -> torch.device:
    """Turn the setting ``device`` into a torch device; "auto" takes a GPU if there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        # Sets are averaged, and heads solved, in double precision, which not every device has.
        return torch.zeros(1, device=name, dtype=torch.double).device
    except (RuntimeError, AssertionError, TypeError) as error:
        raise InputError(f"Device '{name}' cannot be used here: try 'cpu' or 'auto'.") from error


def load_stream(settings: RunSettings, order_seed: int, run: Path | None = None) -> Stream:
    """The stream of some settings under a class order; drawn images are kept in the run folder."""
    return make_stream(
        settings.stream,
        settings.classes_per_session or None,
        order_seed,
        train_per_class=settings.train_per_class or None,
        split_seed=settings.split_seed,
        sets_in_turn=settings.sets_in_turn,
        phantom_seed=settings.phantom_seed,
        phantom_per_class={
            "train": settings.phantom_train,
            "val": settings.phantom_val,
            "test": settings.phantom_test,
        },
        cache=run and run / "data",
    )


def open_setup(run: Path, settings: RunSettings, order_seed: int, train_seed: int) -> Setup:
    """The stream and the backbone of some settings, on the device they name.

    Raises:
        InputError: unusable settings or data; a memory too small for the stream.
    """
    stream = load_stream(settings, order_seed, run)
    if not settings.memory_budget:
        _check_that_none_needs_exemplars(settings)
    elif settings.memory_budget < stream.number_of_classes and any(
        kind_of(name).remembers for name in settings.methods
    ):
        raise InputError(
            f"A memory of {settings.memory_budget} images cannot hold one of each of "
            f"{stream.number_of_classes} classes: raise memory_budget."
        )
    if 0 < settings.enlarge_to < stream.image_size:
        raise InputError(
            f"enlarge_to is {settings.enlarge_to}, but the images have {stream.image_size} px: "
            "give more, or 0 to take them as they are."
        )
    device = prepare_torch(settings)
    backbone = make_backbone(settings.backbone, settings.weights, enlarge_to=settings.enlarge_to)
    if settings.colour_shift:
        first = stream.train.select(stream.indices("train", 1))
        shift_colours(backbone, first, settings.colour_shift)
    return Setup(settings, stream, backbone.to(device), train_seed)


def _check_that_none_needs_exemplars(settings: RunSettings) -> None:
    kinds = {name: kind_of(name) for name in (*settings.methods, *METHODS)}
    free = [name for name, kind in kinds.items() if not (kind.remembers and kind.needs_exemplars)]
    if asked := [name for name in settings.methods if name not in free]:
        raise InputError(
            f"memory_budget is 0, and {', '.join(asked)} cannot do without exemplars. These can: "
            f"{', '.join(free)}."
        )


def settings_of(run: Path, runs: int = 0) -> RunSettings:
    """Resolved settings of a run, as ``run_all.sh`` wrote them.

    Args:
        runs: with how many of its pairs of seeds, class orders first, down to as many training
            seeds for each; 0 means all.

    Raises:
        InputError: there is no such run.
    """
    path = run / "settings.json"
    if not path.exists():
        raise InputError(f"There is no run in {run}: make one with ./run_all.sh, or name another.")
    settings = RunSettings().with_changes(json.loads(path.read_text()))
    orders = settings.order_seeds[: runs or None]
    seeds = settings.train_seeds[: max(1, runs // len(orders)) if runs else None]
    return settings.with_changes({"order_seeds": orders, "train_seeds": seeds})


def record_stream(run: Path, settings: RunSettings, stream: Stream) -> None:
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
