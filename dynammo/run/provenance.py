"""Where numbers come from: what is written into, under and beside every figure."""

from __future__ import annotations

import ast
import hashlib
import json
import platform
import subprocess
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path

import dynammo
from dynammo.data.make_stream import Stream
from dynammo.settings import Settings

PACKAGE = Path(dynammo.__file__).resolve().parent
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


# What a session's result comes from: how it is learned, judged, counted and saved.
SESSIONS = PACKAGE / "run" / "sessions.py"


def files_behind(*starts: Path) -> list[Path]:
    """Files of this library that some files import, directly or not; those of it themselves too.

    Read from the import statements, wherever they stand, so that there is no list to keep.

    Args:
        starts: Python files or notebooks.
    """
    found: set[Path] = set()
    left = [path.resolve() for path in starts]
    while left:
        path = left.pop()
        if path in found:
            continue
        found.add(path)
        left += [PACKAGE / name for name in _imported(path)]
    return sorted(path for path in found if path.is_relative_to(PACKAGE))


@cache
def _imported(path: Path) -> set[Path]:
    text = path.read_text()
    if path.suffix == ".ipynb":
        cells = [c for c in json.loads(text)["cells"] if c["cell_type"] == "code"]
        lines = "\n".join("".join(cell["source"]) for cell in cells).splitlines()
        text = "\n".join(line for line in lines if line[:1] not in ("%", "!"))
    names: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    files = set()
    for name in names:
        package, *parts = name.split(".")
        if package != PACKAGE.name:
            continue
        for length in range(len(parts) + 1):  # importing a.b.c imports a and a.b before
            place = PACKAGE.joinpath(*parts[:length])
            files |= {p for p in (place / "__init__.py", place.with_suffix(".py")) if p.is_file()}
    return {path.relative_to(PACKAGE) for path in files}


def checksum_of(files: Iterable[Path]) -> str:
    """SHA-256 over library files and where they lie in it."""
    digest = hashlib.sha256()
    for path in sorted(files):
        name = path.relative_to(PACKAGE).as_posix()
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def code_checksum() -> str:
    """SHA-256 over this library's files: the same in every commit that does not touch them."""
    return checksum_of(p for p in PACKAGE.rglob("*") if p.suffix in (".py", ".toml"))


def results_checksum() -> str:
    """SHA-256 over the files that the result of a session depends on."""
    return checksum_of(files_behind(SESSIONS))


def provenance(stream: Stream) -> dict[str, str]:
    """Where a figure's numbers come from, as short strings; without dates, so it is repeatable."""
    return {
        "stream": stream.name,
        "data_checksum": stream.checksum,
        "code_checksum": code_checksum(),
        "python": platform.python_version(),
        **{package: version(package) for package in RECORDED_PACKAGES},
    }


def data_note(stream: Stream) -> str:
    """The line under a picture of data: its name, its size, and whether it is real."""
    kind = "synthetic images, not clinical data" if stream.synthetic else "real images"
    return f"{stream.name}, {stream.image_size} px, {kind}"


def note(settings: Settings, stream: Stream) -> str:
    """The lines under every result that say how far its numbers can be trusted."""
    chains = len(settings.train_seeds) * len(settings.order_seeds)
    runs = _counted(chains, "run")
    seeds = f"{_counted(len(settings.train_seeds), 'training seed')} x "
    seeds += _counted(len(settings.order_seeds), "class order")
    weights = "ImageNet weights" if settings.weights == "imagenet" else "NOT pretrained"
    parts = [data_note(stream), f"{settings.backbone}, {weights}", f"{runs} ({seeds})"]
    if settings.enlarge_to:
        parts[0] += f", enlarged to {settings.enlarge_to} px"
    if settings.adapter_epochs < PAPER_EPOCHS:
        parts.append(f"shortened: {settings.adapter_epochs} epochs of the paper's {PAPER_EPOCHS}")
    return "; ".join(parts)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' if count != 1 else ''}"
