"""What a run survives: the same bytes again, kills at random moments, a disk that fills up."""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

MEASURED = ("timings.csv", "measured.json")  # times and memory are all that may differ


@dataclass(frozen=True)
class Command:
    """The project's command on one profile.

    Args:
        words: what starts it, without ``--output``.
        marks: by kind of process, what its command line has in it.
    """

    words: tuple[str, ...] = (sys.executable, "-m", "dynammo.run.command", "--profile", "smoke")
    marks: tuple[tuple[str, str], ...] = (
        ("graph", "-m dynammo.run.processes"),
        ("notebook", "-m dynammo.run.execute"),
        ("kernel", "ipykernel_launcher"),
    )

    def start(self, output: Path, *arguments: str) -> subprocess.Popen:
        """Start a run; what it says goes into a file beside its folder."""
        with said(output).open("w") as file:
            return subprocess.Popen(
                [*self.words, "--output", str(output), *arguments],
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def finish(self, output: Path, *arguments: str) -> dict[str, bytes]:
        """Make a run that must succeed; return its contents."""
        if self.start(output, *arguments).wait():
            raise RuntimeError(f"A run failed:\n{said(output).read_text()}")
        return contents(output)

    def start_again(self, output: Path) -> subprocess.Popen:
        """Start as a user would: at once, and again while what was killed is still ending."""
        end = time.monotonic() + 60
        while True:
            process = self.start(output)
            while process.poll() is None and "checking the data" not in said(output).read_text():
                time.sleep(0.1)
            if not process.poll():  # it goes on, or had nothing left to do
                return process
            words = said(output).read_text()
            if "Another command is working" not in words or time.monotonic() > end:
                raise RuntimeError(f"A run could not be started again:\n{words}")

    def process_tree(self, process: subprocess.Popen) -> dict[str, list[psutil.Process]]:
        """Processes of a run by what they are; kernels have sessions of their own."""
        found = {"command": [psutil.Process(process.pid)]}
        for child in found["command"][0].children(recursive=True):
            try:
                words, name = " ".join(child.cmdline()), child.name()
            except psutil.NoSuchProcess:
                continue
            for kind, mark in self.marks:
                if mark in words and "bash" not in name:
                    found.setdefault(kind, []).append(child)
        return found

    def kill_something(self, process: subprocess.Popen, dice: random.Random) -> str:
        """Kill -9 one process of a run, or all of them at once; return which."""
        tree = self.process_tree(process)
        kind = dice.choice(["everything", *tree])
        if kind == "everything":
            command = psutil.Process(process.pid)
            victims = [command, *command.children(recursive=True)]
        else:
            victims = [dice.choice(tree[kind])]
        for victim in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()
        return kind


def said(output: Path) -> Path:
    """Where a run's words go."""
    return output.with_suffix(".log")


def contents(output: Path) -> dict[str, bytes]:
    """What two runs must have in common: figures, tables, weights, predictions, records."""
    kept = [*(output / "figures").rglob("*"), *(output / "runs").rglob("order*/**/*")]
    return {
        path.relative_to(output).as_posix(): path.read_bytes()
        for path in sorted(kept)
        if path.is_file() and path.name not in MEASURED
    }


def compared(
    name: str, found: Mapping[str, bytes], reference: Mapping[str, bytes]
) -> dict[str, str | int]:
    """A row that says how many files of a run are those of the reference."""
    differ = [k for k in reference if found.get(k) != reference[k]]
    return {
        "run": name,
        "files": len(reference),
        "identical": len(reference) - len(differ),
        "missing": len(reference.keys() - found.keys()),
        "extra": len(found.keys() - reference.keys()),
        "first_difference": min(differ, default=""),
    }


def identity_rows(
    command: Command, work: Path, reference: Mapping[str, bytes], ways: Mapping[str, list[str]]
) -> list[dict[str, str | int]]:
    """Runs that must equal the reference, by the arguments that they are made with."""
    rows = []
    for i, (name, arguments) in enumerate(ways.items()):
        output = work / f"way{i}"
        rows.append(compared(name, command.finish(output, *arguments), reference))
        shutil.rmtree(output)
    return rows


def _written(path: Path) -> int | None:
    """When a file was written; None if it is just then being replaced."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def kill_rows(
    command: Command, work: Path, reference: Mapping[str, bytes], kills: int, seed: int
) -> list[dict[str, str | int]]:
    """Kill -9 at random moments until there were enough kills; every run is then finished.

    A run that ends before it is killed, or after the last kill, is compared with the reference.
    """
    dice, rows = random.Random(seed), []
    output = work / "killed"
    process, finished = command.start(output), {}
    while True:
        done = len(rows) >= kills
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=None if done else dice.uniform(3, 40))
        redone = [p for p, when in finished.items() if _written(p) != when]
        if rows and not rows[-1].get("restart"):
            rows[-1] |= {"restart": "went on", "sessions_redone": len(redone)}
        if process.poll() is not None:
            if process.returncode:
                raise RuntimeError(f"After kill {len(rows)}:\n{said(output).read_text()}")
            row = compared("", contents(output), reference)
            if rows:
                rows[-1] |= {"identical_files": f"{row['identical']} of {row['files']}"}
                rows[-1] |= {"extra_files": row["extra"]}
            if done:
                return rows
            shutil.rmtree(output)
            process, finished = command.start(output), {}
            continue
        # Not those in the folders that a killed job left half done.
        finished = {p: _written(p) for p in output.rglob("session*/session.json")}
        kind = command.kill_something(process, dice)
        process.wait()
        rows.append({"kill": len(rows) + 1, "victim": kind, "sessions_before": len(finished)})
        process = command.start_again(output)


def full_disk_rows(
    command: Command, work: Path, reference: Mapping[str, bytes], sizes: tuple[int, ...]
) -> list[dict[str, str | int]]:
    """Run on a disk of so many MB, make room, and give the same command again (needs root)."""
    output, rows = work / "disk", []
    output.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={sizes[0]}M", "tmpfs", str(output)]
    subprocess.run(mount, check=True)
    try:
        for size in sizes:
            remount = ["mount", "-o", f"remount,size={size}M", str(output)]
            subprocess.run(remount, check=True)
            status = command.start(output).wait()
            words = said(output).read_text().replace(str(output), "FOLDER")
            told = [line.strip() for line in words.splitlines() if "No space left" in line]
            row = {"megabytes": size, "exit_status": status, "told": " / ".join(told)}
            if not status:
                same = compared("", contents(output), reference)
                row |= {"identical_files": f"{same['identical']} of {same['files']}"}
                row |= {"extra_files": same["extra"]}
            rows.append(row)
    finally:
        subprocess.run(["umount", str(output)], check=True)
    return rows
