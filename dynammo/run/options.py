"""What the command line of ``run_all.sh`` asks for: options, and the settings of each run."""

from __future__ import annotations

import argparse
import itertools
import re
import tomllib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dynammo.catalogue import METHODS, check_methods
from dynammo.data.sources import absolute_spec
from dynammo.errors import InputError
from dynammo.run.places import ROOT
from dynammo.run.plugins import file_of, load_plugins
from dynammo.run.profiles import load_profile, load_runs, profile_names
from dynammo.run.settings import RunSettings

IN_A_NAME = r"\w.+@-"  # characters that the name of a run, which is a folder's, may have


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line of ``run_all.sh``."""
    parser = argparse.ArgumentParser(
        prog="./run_all.sh",
        description="Run every step of a profile and make its figures. "
        "'./run_all.sh --test' sets up and runs the tests instead; "
        "'./run_all.sh --student [FOLDER]' copies the notebooks without solutions (into student/).",
        epilog="Own data: ./run_all.sh --stream my_cells.npz --classes-per-session 2. "
        "What follows -- goes to Snakemake as it is.",
    )
    add = parser.add_argument
    told = f"one of {', '.join(profile_names())} (default: demo); PROFILE/RUN for one of its runs"
    add("--profile", default="demo", help=told)
    told = "other data: a name such as blood or bloodmnist@28, or a path to an .npz or a folder of "
    told += (
        "classes (FOLDER@128 for images of 128 px); several joined with '+' make one session each"
    )
    add("--stream", default="", help=told)
    told = "new classes a session"
    add("--classes-per-session", type=int, default=0, metavar="N", help=told)
    told = f"which methods to run, or 'all': {', '.join(METHODS)}"
    add("--methods", default="", metavar="NAME,NAME", help=told)
    told = "a file with methods of your own, run beside the others; may be given again"
    add("--plugin", action="append", default=[], type=Path, metavar="FILE", help=told)
    told = "change one setting, e.g. --set adapter_epochs=20 --set 'train_seeds=[1,2]'; "
    told += "dynammo/settings.py and dynammo/run/settings.py list them"
    add("--set", action="append", default=[], metavar="NAME=VALUE", help=told)
    told = "where runs/ and figures/ go (default: this project)"
    add("--output", type=Path, default=ROOT, metavar="FOLDER", help=told)
    add("--name", default="", help="name of the run (default: from the above)")
    told = "jobs' threads in all, or with --executor how many jobs at a time (default: 2)"
    add("--cores", type=int, default=2, metavar="N", help=told)
    told = "run jobs elsewhere: an installed Snakemake executor plugin, such as slurm"
    add("--executor", default="", metavar="NAME", help=told)
    told = "compare runs that are there: settings, and differences run by run; nothing is learned"
    add("--compare", nargs="+", default=[], metavar="RUN", help=told)
    add("--fresh", action="store_true", help="forget the run's saved state first")
    told = "list what would run, and run nothing; only data that is not there yet is fetched"
    add("--dry-run", action="store_true", help=told)
    own = list(itertools.takewhile(lambda word: word != "--", arguments))
    options = parser.parse_args(own)
    options.snakemake = list(arguments)[len(own) + 1 :]
    return options


def check_executor(name: str) -> None:
    """InputError unless Snakemake has such an executor here."""
    plugin = f"snakemake_executor_plugin_{name.replace('-', '_')}"
    if name not in ("local", "dryrun", "touch") and not find_spec(plugin):
        install = f"python -m pip install snakemake-executor-plugin-{name}"
        raise InputError(f"There is no executor '{name}' here: {install}.")


def run_name(profile: str, stream: str, classes_per_session: int) -> str:
    """``demo`` for a profile as it is (empty stream), ``demo-pbc8_64-2`` on another stream."""
    parts = [Path(part).name.removesuffix(".npz") for part in stream.split("+") if part]
    name = "-".join([profile, *(["+".join(parts)] if parts else [])])
    if classes_per_session:
        name += f"-{classes_per_session}"
    return re.sub(rf"[^{IN_A_NAME}]", "_", name)


def resolve(options: argparse.Namespace) -> dict[str, RunSettings]:
    """Settings of each run that the command line asks for, by the run's name.

    Raises:
        InputError: an unknown profile, setting or method, or a value that cannot be used.
    """
    changes: dict[str, Any] = dict(_assignment(text) for text in options.set)
    if options.plugin:
        changes["plugins"] = [str(path) for path in options.plugin]
    if options.stream:
        # A profile's own cut into sessions, and into fewer images, is for its own stream.
        own = {"classes_per_session": 0, "train_per_class": 0}
        changes = {"stream": absolute_spec(options.stream)} | own | changes
    if options.classes_per_session < 0 or options.cores < 1:
        raise InputError("--classes-per-session and --cores must be 1 or more.")
    if options.classes_per_session:
        changes["classes_per_session"] = options.classes_per_session
    if options.executor:
        check_executor(options.executor)
    of_plugins = load_plugins(changes.get("plugins", []))
    if options.methods == "all":
        changes["methods"] = list(METHODS)
    elif options.methods:
        changes["methods"] = [name.strip() for name in options.methods.split(",")]
    runs = load_runs(options.profile)
    if options.stream and len(runs) > 1:
        runs = {options.profile: load_profile(options.profile)}
    if options.name and not re.fullmatch(rf"(?!\.)[{IN_A_NAME}]+", options.name):
        raise InputError(
            f"A run cannot be called '{options.name}': give --name letters, digits and _ . + @ - "
            "alone, and no dot first."
        )
    if options.name and len(runs) > 1:
        raise InputError(
            f"--name is for one run, and '{options.profile}' has {len(runs)}: name one of them, "
            f"such as {next(iter(runs)).replace('-', '/', 1)}."
        )
    found = {}
    for name, settings in runs.items():
        name = options.name or run_name(name, options.stream, options.classes_per_session)
        more = {} if options.methods else {"methods": [*settings.methods, *of_plugins]}
        settings = settings.with_changes(more | changes)
        places = {"stream": absolute_spec(settings.stream)}
        places["plugins"] = [str(Path(file).expanduser().resolve()) for file in settings.plugins]
        if file_of(settings.backbone):
            places["backbone"] = str(Path(settings.backbone).expanduser().resolve())
        found[name] = settings.with_changes(places)
        check_methods(found[name].methods)
    return found


def _assignment(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"--set takes NAME=VALUE, not '{text}'.")
    try:
        return name.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name.strip(), value  # a bare word, such as resnet18
