"""Running a graph of notebooks by Snakemake, one command at a time in a run folder."""

from __future__ import annotations

import argparse
import fcntl
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dynammo.errors import InputError
from dynammo.run.places import NOTEBOOKS
from dynammo.run.processes import COMMAND


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


def run_graph(
    run: Path,
    configuration: Path,
    options: argparse.Namespace,
    lock: int,
    graph: str = "Snakefile",
) -> int:
    """Run the graph; show its progress, keep all it says in the run folder.

    The graph holds the lock too, so that one that outlives a killed command is waited for.
    """
    command = [
        *(sys.executable, "-m", "dynammo.run.processes"),
        *("--snakefile", str(NOTEBOOKS / graph)),
        *("--directory", str(run)),
        *("--configfile", str(configuration)),
        # The lock above ends with the process; Snakemake's own would outlive a killed run.
        *("--nolock", "--rerun-incomplete"),
    ]
    # A command's own jobs end with it. Those of a cluster do not, and may be on another machine.
    environment = {name: value for name, value in os.environ.items() if name != COMMAND}
    if options.executor:
        command += ["--executor", options.executor, "--jobs", str(options.cores)]
        command += ["--workflow-profile", str(NOTEBOOKS / "cluster")]
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
        ) as process,
    ):
        for line in process.stderr:
            file.write(line)
            if re.fullmatch(r"\d+ of \d+ steps \(.*\) done\s*", line):
                print(f"    {line.strip()}", flush=True)
    # A notebook that failed has said so itself; anything else is explained by the log's end.
    if process.returncode and not list((run / "notebooks").glob("*.failed.ipynb")):
        tail = log.read_text().splitlines()[-12:]
        print("\n".join(tail), f"(all of it: {log})", sep="\n", file=sys.stderr)
    return process.returncode
