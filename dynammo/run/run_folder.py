"""Runs: what a run is called, its settings and its stream.

``runs/<name>/`` holds the settings, the data's record and the sessions
(:mod:`dynammo.run.sessions`).
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch

from dynammo.data.files import write_json
from dynammo.data.make_stream import Stream, make_stream
from dynammo.errors import InputError
from dynammo.settings import Settings
from dynammo.setup import choose_device


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


def settings_of(run: Path, seeds: int = 0) -> Settings:
    """Resolved settings of a run, as ``run_all.sh`` wrote them.

    Args:
        seeds: with how many of its training seeds, from the first; 0 means all.

    Raises:
        InputError: there is no such run.
    """
    path = run / "settings.json"
    if not path.exists():
        raise InputError(f"There is no run in {run}: make one with ./run_all.sh, or name another.")
    settings = Settings().with_changes(json.loads(path.read_text()))
    return settings.with_changes({"train_seeds": settings.train_seeds[: seeds or None]})


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
