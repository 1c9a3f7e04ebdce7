"""``./run_all.sh``: resolve the settings, run the graph, say where the results are."""

from __future__ import annotations

import argparse
import dataclasses
import fcntl
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from dynammo.catalogue import LEARNERS, check_methods
from dynammo.data.files import exit_status, remove_left_overs, write_json
from dynammo.data.make_stream import repeated_images
from dynammo.data.sources import absolute_spec
from dynammo.errors import InputError
from dynammo.run.ablations import study_jobs
from dynammo.run.execute import execute
from dynammo.run.processes import COMMAND
from dynammo.run.provenance import git_revision, provenance
from dynammo.run.run_folder import run_name
from dynammo.run.sessions import comparable, jobs, open_session
from dynammo.settings import DATA_SETTINGS, Settings, load_profile, load_runs, profile_names

ROOT = Path(__file__).resolve().parents[2]
STUDY_NOTEBOOK = ROOT / "notebooks" / "14_the_study.ipynb"


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
    parser.add_argument(
        "--profile",
        default="demo",
        help=f"one of {', '.join(profile_names())} (default: demo); PROFILE/RUN for one run of a "
        "profile that has several",
    )
    parser.add_argument(
        "--stream",
        default="",
        help="other data: a name such as bloodmnist@28, or a path to an .npz or a folder with "
        "train/val/test (FOLDER@128 for images of 128 px); several joined with '+' make one "
        "session each",
    )
    parser.add_argument(
        "--classes-per-session", type=int, default=0, metavar="N", help="new classes a session"
    )
    parser.add_argument(
        "--methods",
        default="",
        metavar="NAME,NAME",
        help=f"which methods to run, or 'all': {', '.join(LEARNERS)}",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change one setting, e.g. --set adapter_epochs=20 --set 'train_seeds=[1,2]'; "
        "dynammo/settings.py lists them",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=ROOT,
        metavar="FOLDER",
        help="where runs/ and figures/ go (default: this project)",
    )
    parser.add_argument("--name", default="", help="name of the run (default: from the above)")
    parser.add_argument(
        "--cores",
        type=int,
        default=2,
        metavar="N",
        help="jobs' threads in all, or with --executor how many jobs at a time (default: 2)",
    )
    parser.add_argument(
        "--executor",
        default="",
        metavar="NAME",
        help="run jobs elsewhere: an installed Snakemake executor plugin, such as slurm",
    )
    parser.add_argument("--fresh", action="store_true", help="forget the run's saved state first")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="list what would run, and run nothing; only data that is not there yet is fetched",
    )
    own = list(itertools.takewhile(lambda word: word != "--", arguments))
    options = parser.parse_args(own)
    options.snakemake = list(arguments)[len(own) + 1 :]
    return options


def resolve(options: argparse.Namespace) -> dict[str, Settings]:
    """Settings of each run that the command line asks for, by the run's name.

    Raises:
        InputError: an unknown profile, setting or method, or a value that cannot be used.
    """
    changes: dict[str, Any] = dict(_assignment(text) for text in options.set)
    if options.stream:
        # A profile's own cut into sessions is for its own stream.
        changes |= {"stream": absolute_spec(options.stream), "classes_per_session": 0}
    if options.classes_per_session < 0 or options.cores < 1:
        raise InputError("--classes-per-session and --cores must be 1 or more.")
    if options.classes_per_session:
        changes["classes_per_session"] = options.classes_per_session
    if options.methods == "all":
        changes["methods"] = list(LEARNERS)
    elif options.methods:
        changes["methods"] = [name.strip() for name in options.methods.split(",")]
    runs = load_runs(options.profile)
    if options.stream and len(runs) > 1:
        runs = {options.profile: load_profile(options.profile)}
    if options.name and len(runs) > 1:
        raise InputError(
            f"--name is for one run, and '{options.profile}' has {len(runs)}: name one of them, "
            f"such as {next(iter(runs)).replace('-', '/', 1)}."
        )
    found = {}
    for name, settings in runs.items():
        name = options.name or run_name(name, options.stream, options.classes_per_session)
        found[name] = settings.with_changes(changes)
        found[name] = dataclasses.replace(found[name], stream=absolute_spec(found[name].stream))
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


@contextmanager
def only_one(run: Path) -> Iterator[int]:
    """Hold the run folder; the lock ends with those that have the yielded file descriptor."""
    run.mkdir(parents=True, exist_ok=True)
    with (run / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"Another command is working on {run}: wait for it, or use --name."
            ) from error
        yield file.fileno()


def start(options: argparse.Namespace) -> int:
    """Run the graph of each run in turn; return the worst exit status.

    What one of several runs lacks does not keep the others from being made.
    """
    if not (ROOT / "notebooks" / "Snakefile").exists():
        raise InputError(
            f"The notebooks are not beside {ROOT / 'dynammo'}: this is the library alone. Clone "
            "the repository and run ./run_all.sh there."
        )
    found = resolve(options)
    worst = 0
    for name, settings in found.items():
        try:
            worst = max(worst, _start_run(name, settings, options))
        except InputError as error:
            if len(found) == 1:
                raise
            print(f"error: run '{name}' was left out: {error}", file=sys.stderr)
            worst = max(worst, 2)
    if len(found) > 1 and not options.dry_run:
        _compare_runs(options)
    return worst


def _compare_runs(options: argparse.Namespace) -> None:
    """Draw what the runs of a profile come to together."""
    output, name = options.output.resolve(), STUDY_NOTEBOOK.name
    parameters = {"profile": options.profile, "figures_folder": str(output / "figures")}
    execute(STUDY_NOTEBOOK, output / "runs" / options.profile / "notebooks" / name, parameters)
    print(f"All runs together: {output / 'figures' / options.profile}")


def _start_run(name: str, settings: Settings, options: argparse.Namespace) -> int:
    output = options.output.resolve()
    run, figures = output / "runs" / name, output / "figures" / name
    with only_one(run) as lock:
        for folder in (run, figures):
            remove_left_overs(folder)
        if options.fresh and not options.dry_run:
            for path in (*run.iterdir(), figures):
                if path.name != ".lock" and path.exists():
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        print(f"Run '{name}': checking the data and the settings ...", flush=True)
        _say_what_changes(name, settings, figures)
        chain, _ = open_session(run, settings, settings.order_seeds[0], settings.train_seeds[0], 1)
        chain.adapters(None)  # refuses stages that the backbone does not have
        stream = chain.stream
        for split, count in repeated_images(stream).items():
            print(
                f"warning: {count} of {len(getattr(stream, split))} {split} images are also "
                "training images, so results look better than they are: remove them from one.",
                file=sys.stderr,
            )
        sessions = stream.number_of_sessions
        all_jobs = jobs(settings, settings.methods)
        print(
            f"{stream.name}: {stream.number_of_classes} classes in {sessions} sessions, "
            f"{len(settings.methods)} methods in {len(all_jobs)} chains of sessions, "
            f"{settings.threads} thread(s) each.",
            flush=True,
        )
        graph = {
            "settings": settings.as_dict(),
            "data_settings": list(DATA_SETTINGS),
            "jobs": all_jobs,
            "families": {name: kind.family for name, kind in LEARNERS.items()},
            "comparable": {method: comparable(settings, method) for *_, method in all_jobs},
            "number_of_sessions": sessions,
            "studies": study_jobs(settings, stream.number_of_classes),
            "data_checksum": stream.checksum,
            "figures": str(figures),
            "python": sys.executable,
        }
        configuration = run / (".dry_run.json" if options.dry_run else "graph.json")
        write_json(configuration, graph)
        if not options.dry_run:
            write_json(run / "settings.json", settings.as_dict())
            origin = provenance(stream) | {"git_revision": git_revision(ROOT)}
            write_json(run / "provenance.json", origin)
        begun = time.time()
        status = _snakemake(run, configuration, options, lock)
        if options.dry_run:
            return status
        if status:
            print(
                f"\nThe run stopped; what was finished is kept in {run}. Mend "
                "what the message above names and give the same command again to go on.",
                file=sys.stderr,
            )
            return status
        _closing_words(run, figures, begun)
    return 0


def _say_what_changes(name: str, settings: Settings, figures: Path) -> None:
    """Say so where the figures that are there were made with other settings."""
    origin = figures / "provenance.json"
    if not origin.exists():
        return
    before = json.loads(origin.read_text()).get("settings", {})
    now = settings.as_dict()
    # The run's name says which stream it is; where its file lies may differ.
    changed = [key for key in now if key != "stream" and before.get(key, now[key]) != now[key]]
    if changed:
        print(
            f"note: {figures} was made with other settings ({', '.join(changed)}) and will be "
            f"made again with these. To keep both, add: --name {name}-2",
            flush=True,
        )


def make_if_missing(run: Path) -> None:
    """Make a profile's run if ``run`` is its folder and it has no finished sessions yet.

    For notebooks that are opened before anything was run. Any other folder is left alone.
    """
    name = run.resolve().name
    if run.resolve() != ROOT / "runs" / name or name not in profile_names():
        return
    if list(load_runs(name)) == [name] and not list(run.glob("order*-seed*/session*/session.json")):
        print(f"There is no run '{name}' yet: making it first (./run_all.sh --profile {name}).")
        main(["--profile", name])


def _snakemake(run: Path, configuration: Path, options: argparse.Namespace, lock: int) -> int:
    """Run the graph; show its progress, keep all it says in the run folder.

    The graph holds the lock too, so that one that outlives a killed command is waited for.
    """
    command = [
        *(sys.executable, "-m", "dynammo.run.processes"),
        *("--snakefile", str(ROOT / "notebooks" / "Snakefile")),
        *("--directory", str(run)),
        *("--configfile", str(configuration)),
        # The lock above ends with the process; Snakemake's own would outlive a killed run.
        *("--nolock", "--rerun-incomplete"),
    ]
    environment = dict(os.environ)
    if options.executor:
        # A job that a cluster lost is tried again; files may come late from another machine.
        command += ["--executor", options.executor, "--jobs", str(options.cores)]
        command += ["--retries", "2", "--latency-wait", "60"]
    else:
        command += ["--cores", str(options.cores)]
        environment[COMMAND] = str(os.getpid())
    command += options.snakemake
    if options.dry_run:
        return subprocess.run([*command, "--dry-run", "--quiet", "host"], check=False).returncode
    log = run / "snakemake.log"
    for failed in (run / "notebooks").glob("*.failed.ipynb"):
        failed.unlink()
    with (
        log.open("w", buffering=1) as file,
        subprocess.Popen(
            command,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            pass_fds=[lock],
            env=environment,
        ) as graph,
    ):
        for line in graph.stderr:
            file.write(line)
            if re.fullmatch(r"\d+ of \d+ steps \(.*\) done\s*", line):
                print(f"    {line.strip()}", flush=True)
    # A notebook that failed has said so itself; anything else is explained by the log's end.
    if graph.returncode and not list((run / "notebooks").glob("*.failed.ipynb")):
        tail = log.read_text().splitlines()[-12:]
        print("\n".join(tail), f"(all of it: {log})", sep="\n", file=sys.stderr)
    return graph.returncode


def _closing_words(run: Path, figures: Path, begun: float) -> None:
    report = run / "report" / "index.html"
    times = pd.read_csv(report.with_name("notebooks.csv"))
    parts = times.notebook.str.replace(r"-order\d+-seed\d+(-session\d+)?", "", regex=True)
    print(f"\nDone in {time.time() - begun:.0f} s. How long each part took:")
    for part, seconds in times.seconds.groupby(parts, sort=False):
        count = f"{len(seconds)} x " if len(seconds) > 1 else ""
        print(f"  {part:28} {count}{seconds.mean():.0f} s")
    _say_the_result(pd.read_csv(figures / "summary.csv").set_index("method"))
    pictures = len(list(figures.glob("*.png")))
    print(f"Figures: {figures} ({pictures} pictures, with their numbers as csv)")
    print(f"Report:  {report}")


def _say_the_result(summary: pd.DataFrame) -> None:
    if not {"dynammo", "acl"} <= set(summary.index):
        return
    merged, every = summary.loc["dynammo"], summary.loc["acl"]
    ours, theirs = 100 * merged.average_accuracy, 100 * every.average_accuracy
    print(
        f"Average accuracy over sessions: DynaMMo {ours:.1f} %, ACL {theirs:.1f} % "
        f"({ours - theirs:+.1f} points); ACL takes {every.macs / merged.macs:.2f} times the "
        "multiply-accumulates."
    )


def main(arguments: Sequence[str]) -> int:
    """Entry point; bad input is one line without a traceback."""
    for folder in ("DYNAMMO_DATA", "DYNAMMO_WEIGHTS"):
        if os.environ.get(folder):  # notebooks run in a folder of their own
            os.environ[folder] = str(Path(os.environ[folder]).expanduser().resolve())
    try:
        return exit_status(lambda: start(parse(arguments)))
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on where this one was.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
