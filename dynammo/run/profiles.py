"""Profiles: TOML files that name settings, of one run or of several that belong together."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from dynammo.errors import InputError
from dynammo.run.settings import RunSettings

PROFILES = Path(__file__).parent / "profiles"


def profile_names() -> list[str]:
    """Names of the profiles that come with the project."""
    return sorted(path.stem for path in PROFILES.glob("*.toml"))


def load_profile(name: str) -> RunSettings:
    """Settings of a profile: the defaults of :class:`RunSettings` with the profile's changes.

    Raises:
        InputError: no profile of that name.
    """
    return RunSettings().with_changes(_read_profile(name)[0])


def load_runs(name: str) -> dict[str, RunSettings]:
    """The runs of a profile: settings by the run's name, which adds to the profile's.

    Most profiles are one run, called as they are. One with tables ``[runs.<run>]`` has several,
    which change the profile's settings further; ``<profile>/<run>`` asks for one of them.

    Raises:
        InputError: no profile or run of that name.
    """
    profile, slash, wanted = name.partition("/")
    common, runs = _read_profile(profile)
    if slash and wanted not in runs:
        parts = ", ".join(f"{profile}/{run}" for run in runs) or "one run only"
        raise InputError(f"Unknown run '{name}': profile {profile} has {parts}.")
    found = {f"{profile}-{run}": common | own for run, own in runs.items() if wanted in (run, "")}
    found = found or {profile: common}
    return {run: RunSettings().with_changes(changes) for run, changes in found.items()}


def _read_profile(name: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    if name not in profile_names():
        raise InputError(f"Unknown profile '{name}': choose one of {', '.join(profile_names())}.")
    changes = tomllib.loads((PROFILES / f"{name}.toml").read_text())
    return changes, changes.pop("runs", {})
