"""Where numbers come from: what is written into, under and beside every figure."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from dynammo.settings import Settings
from dynammo.streams import Stream

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


# Files that draw, and files that only run notebooks and collect what they left. No session's result
# depends on them.
DRAWING = (
    "looks",
    "plotting",
    "cost_figures",
    "ablation_figures",
    "inside_figures",
    "grids",
    "stream_figures",
    "diagram",
    "study_figures",
    "tables",
)
# Files that compare and explain what sessions left.
COMPARING = (
    "ablations",
    "batch_norm",
    "inside",
    "merged_by",
    "merging_strategies",
    "ridge_controls",
)
AROUND = (
    "report",
    "command",
    "notebooks",
    "student",
    "deployment",
    "claims",
    "released",
    "processes",
    "gather",
)


def library_files() -> list[Path]:
    """Every file of this library that says how results are computed or drawn."""
    folder = Path(__file__).parent
    return sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".toml"))


def result_files() -> list[Path]:
    """The files that the result of a session depends on."""
    others = DRAWING + COMPARING + AROUND
    return [p for p in library_files() if p.suffix == ".py" and p.stem not in others]


def _checksum(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def code_checksum() -> str:
    """SHA-256 over this library's files: the same in every commit that does not touch them.

    Figures carry this rather than the commit, so that making them again in a later commit gives
    the same bytes as long as the code that made them is the same.
    """
    return _checksum(library_files())


def results_checksum() -> str:
    """SHA-256 over the files that the result of a session depends on."""
    return _checksum(result_files())


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
