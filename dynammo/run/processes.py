"""Processes that end with the command that started them, however that ended.

A command that is killed cannot stop its jobs itself, and they must not go on writing into a run
that the next command is working on.

``python -m dynammo.run.processes ARGUMENTS`` is Snakemake as such a process.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress

import psutil

COMMAND = "DYNAMMO_COMMAND"  # in the environment of a job: the process it was started by


def end_with(process: int, every: float = 0.5) -> None:
    """End this process and its kernel soon after another one is gone, however that ended."""

    def watch() -> None:
        while _runs(process):
            time.sleep(every)
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # it may have ended by itself
                child.kill()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _runs(process: int) -> bool:
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def end_with_the_command() -> None:
    """End with the command on this machine that started this process, if one did."""
    if COMMAND in os.environ:
        end_with(int(os.environ[COMMAND]))


def main(arguments: list[str]) -> None:
    """Run Snakemake."""
    from snakemake.cli import main as snakemake

    end_with_the_command()
    snakemake(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
