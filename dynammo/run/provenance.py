"""Where numbers come from: what is written into, under and beside every figure."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from collections.abc import Collection
from importlib.metadata import version
from pathlib import Path

from dynammo.errors import InputError
from dynammo.networks.own import recipe_of
from dynammo.run.plugins import file_of
from dynammo.run.settings import RunSettings
from dynammo.stream import Stream

RECORDED_PACKAGES = ("torch", "numpy", "ptflops", "scikit-learn", "seaborn", "matplotlib")
PAPER_EPOCHS = 200  # of adapter tuning in the released configurations


def git_revision(folder: Path) -> str:
    """Commit that the code was at, with "+changes" where files differ, or "unknown"."""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty=+changes", "--abbrev=12"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return answer.stdout.strip()


def provenance(stream: Stream) -> dict[str, str]:
    """Where a figure's numbers come from, as short strings; without dates, so it is repeatable."""
    return {
        "stream": stream.name,
        "data_checksum": stream.checksum,
        "python": platform.python_version(),
        **{package: version(package) for package in RECORDED_PACKAGES},
    }


def data_note(stream: Stream) -> str:
    """The line under a picture of data: its name, its size, and whether it is real."""
    kind = "synthetic images, not clinical data" if stream.synthetic else "real images"
    parts = [stream.name, f"{stream.image_size} px", kind, *filter(None, [stream.note])]
    return ", ".join(parts)


def own_files(settings: RunSettings) -> dict[str, str]:
    """Files, or modules, of one's own that a run's results depend on, with their checksums."""
    paths = {plugin: Path(plugin) for plugin in settings.plugins}
    if file := file_of(settings.backbone):
        paths[settings.backbone.rpartition(":")[0]] = Path(file)
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in paths.items()}


def note(settings: RunSettings, stream: Stream, varied: Collection[str] = ()) -> str:
    """The lines under every result that say how far its numbers can be trusted.

    ``varied`` are settings that the result shows several values of: nothing is said of them.
    """
    chains = len(settings.train_seeds) * len(settings.order_seeds)
    runs = _counted(chains, "run")
    seeds = f"{_counted(len(settings.train_seeds), 'training seed')} x "
    seeds += _counted(len(settings.order_seeds), "class order")
    weights = "ImageNet weights" if settings.weights == "imagenet" else "NOT pretrained"
    network = f"{settings.backbone}, {weights}"
    if ":" in settings.backbone and settings.weights == "imagenet":
        network = _title_of(settings.backbone)
    parts = [data_note(stream), network, f"{runs} ({seeds})"]
    if {"backbone", "weights"} & set(varied):
        parts.remove(network)
    if settings.enlarge_to:
        parts[0] += f", enlarged to {settings.enlarge_to} px"
    if settings.colour_shift:
        parts[0] += f", colours moved {settings.colour_shift:.0%} of the way to ImageNet's"
    if settings.adapter_epochs < PAPER_EPOCHS and "adapter_epochs" not in varied:
        parts.append(f"shortened: {settings.adapter_epochs} epochs of the paper's {PAPER_EPOCHS}")
    return "; ".join(parts)


def _title_of(backbone: str) -> str:
    """What one's own network is called: by its recipe, or by its function if that is not here."""
    try:
        title = recipe_of(backbone).title
    except InputError:  # as where tables of an older run are read, which need no network
        title = ""
    return title or backbone.rpartition(":")[2]


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' if count != 1 else ''}"
