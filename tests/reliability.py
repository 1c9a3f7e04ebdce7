"""What a run survives, tried on the smoke profile: a script, not a test, because it takes long.

    python tests/reliability.py [--only bad_inputs,kills] [--kills 20] [--seed 0]

Prints tables and writes them to figures/reliability/. Whole, it takes about half an hour on two
cores.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import psutil
from test_bad_inputs import CASES
from test_sources import Server, md5, serving

from dynammo.data.download import fetch
from dynammo.data.files import write_csv, write_text
from dynammo.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "figures" / "reliability"
PARTS = ("bad_inputs", "downloads", "identity", "kills", "full_disk")


def start(output: Path, *arguments: str) -> subprocess.Popen:
    """Start a smoke run; what it says goes into a file beside its folder."""
    command = [sys.executable, "-m", "dynammo.run.command", "--profile", "smoke"]
    with said(output).open("w") as file:
        return subprocess.Popen(
            [*command, "--output", str(output), *arguments],
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def said(output: Path) -> Path:
    """Where a run's words go."""
    return output.with_suffix(".log")


def finish(output: Path, *arguments: str) -> None:
    """Make a run that must succeed."""
    if start(output, *arguments).wait():
        sys.exit(f"A run failed:\n{said(output).read_text()}")


def contents(output: Path) -> dict[str, bytes]:
    """What two runs must have in common: figures, tables, weights, predictions, records."""
    kept = [*(output / "figures").rglob("*"), *(output / "runs").rglob("order*/**/*")]
    # Measured times and memory are the only things that may differ.
    return {
        str(path.relative_to(output)): path.read_bytes()
        for path in sorted(kept)
        if path.is_file() and path.name not in ("timings.csv", "measured.json")
    }


def compared(name: str, found: dict[str, bytes], reference: dict[str, bytes]) -> dict:
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


def identity_rows(work: Path, reference: dict[str, bytes]) -> list[dict]:
    """Runs that must equal the reference: again, with one core, with three."""
    rows = []
    for name, arguments in (
        ("again, 2 cores", []),
        ("1 core", ["--cores", "1"]),
        ("3 cores", ["--cores", "3"]),
    ):
        output = work / name.replace(" ", "_").replace(",", "")
        finish(output, *arguments)
        rows.append(compared(name, contents(output), reference))
        print(rows[-1], flush=True)
        shutil.rmtree(output)
    return rows


def process_tree(process: subprocess.Popen) -> dict[str, list[psutil.Process]]:
    """Processes of a run by what they are; kernels have sessions of their own."""
    found: dict[str, list[psutil.Process]] = {"command": [psutil.Process(process.pid)]}
    for child in found["command"][0].children(recursive=True):
        try:
            words = " ".join(child.cmdline())
        except psutil.NoSuchProcess:
            continue
        for kind, mark in (
            ("graph", "-m dynammo.run.processes"),
            ("notebook", "-m dynammo.run.execute"),
            ("kernel", "ipykernel_launcher"),
        ):
            if mark in words and "bash" not in child.name():
                found.setdefault(kind, []).append(child)
    return found


def kill_something(process: subprocess.Popen, dice: random.Random) -> str:
    """Kill -9 one process of a run, or all of them at once; return which."""
    tree = process_tree(process)
    kind = dice.choice(["everything", *tree])
    victims = [p for kind in tree for p in tree[kind]]
    if kind == "everything":
        victims += psutil.Process(process.pid).children(recursive=True)
    else:
        victims = [dice.choice(tree[kind])]
    for victim in victims:
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()
    return kind


def start_again(output: Path, patience: float = 60) -> subprocess.Popen:
    """Start as a user would: at once, and again while what was killed is still ending."""
    end = time.monotonic() + patience
    while True:
        process = start(output)
        while process.poll() is None and "checking the data" not in said(output).read_text():
            time.sleep(0.1)
        if process.poll() is None:
            return process
        if "Another command is working" not in said(output).read_text() or time.monotonic() > end:
            sys.exit(f"A run could not be started again:\n{said(output).read_text()}")


def kill_rows(work: Path, reference: dict[str, bytes], kills: int, seed: int) -> list[dict]:
    """Kill -9 at random moments until there were enough kills; every run is then finished.

    A run that ends before it is killed, or after the last kill, is compared with the reference.
    """
    dice, rows = random.Random(seed), []
    output = work / "killed"
    process, begun, finished = start(output), time.monotonic(), {}
    while True:
        done = len(rows) >= kills
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=None if done else dice.uniform(3, 40))
        redone = [p for p, when in finished.items() if p.stat().st_mtime_ns != when]
        if rows and not rows[-1].get("restart"):
            rows[-1] |= {"restart": "went on", "sessions_redone": len(redone)}
        if process.poll() is not None:
            if process.returncode:
                sys.exit(f"The run after kill {len(rows)} failed:\n{said(output).read_text()}")
            row = compared("", contents(output), reference)
            rows[-1] |= {"identical_files": f"{row['identical']} of {row['files']}"}
            rows[-1] |= {"extra_files": row["extra"]}
            print(f"  finished: {row}", flush=True)
            if done:
                return rows
            shutil.rmtree(output)
            process, finished = start(output), {}
            continue
        finished = {p: p.stat().st_mtime_ns for p in output.rglob("session.json")}
        at = time.monotonic() - begun
        kind = kill_something(process, dice)
        process.wait()
        rows.append({"kill": len(rows) + 1, "victim": kind, "sessions_before": len(finished)})
        print(f"  kill {len(rows)} after {at:.0f} s: {kind}, {len(finished)} done", flush=True)
        process = start_again(output)


def full_disk_rows(work: Path, reference: dict[str, bytes]) -> list[dict]:
    """Run on a disk that fills up, make room, and give the same command again (needs root)."""
    output, rows = work / "disk", []
    output.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", str(output)], check=True)
    try:
        for size in (1, 12, 60, 1000):
            remount = ["mount", "-o", f"remount,size={size}M", str(output)]
            subprocess.run(remount, check=True)
            status = start(output).wait()
            words = said(output).read_text()
            told = [line.strip() for line in words.splitlines() if "No space left" in line]
            row = {"megabytes": size, "exit_status": status, "told": " / ".join(told)}
            row["told"] = row["told"].replace(str(output), "FOLDER")
            if not status:
                same = compared("", contents(output), reference)
                row |= {"identical_files": f"{same['identical']} of {same['files']}"}
                row |= {"extra_files": same["extra"]}
            rows.append(row)
            print(f"  {row}", flush=True)
    finally:
        subprocess.run(["umount", str(output)], check=True)
    return rows


def bad_input_rows() -> list[dict]:
    """What is said of everything that tests/test_bad_inputs.py spoils."""
    rows = []
    for name, (case, _) in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            os.environ["DYNAMMO_DATA"] = str(Path(folder) / "data")
            message = case(Path(folder)).replace(folder, "FOLDER").replace(str(ROOT), "PROJECT")
        rows.append({"input": name, "message": message.removeprefix("error: ")})
    return rows


def download_rows() -> list[dict]:
    """How downloads from a server on this machine end, which fails in every way in turn."""
    os.environ["NO_PROXY"] = "127.0.0.1"
    right, rows = b"right" * 100_000, []
    with serving() as server, tempfile.TemporaryDirectory() as folder:
        for situation, page in (
            ("answers", "/whole"),
            ("fails the first time (503)", "/flaky"),
            ("does not have the file (404)", "/none"),
            ("sends another file", "/other"),
            ("breaks off half way", "/cut"),
            ("stands still half way", "/stall"),
        ):
            Server.files = dict.fromkeys(("/whole", "/flaky", "/cut", "/stall"), right)
            Server.files["/other"], Server.asked = b"another version", []
            path = Path(folder) / page[1:] / "cells.npz"
            try:
                fetch(server.url + page, md5(right), path, attempts=2, pause=0, patience=1)
                end = "the file, checked"
            except InputError as error:
                end = str(error).replace(folder, "FOLDER").replace(server.url, "SERVER")
            left = [file.name for file in path.parent.iterdir()]
            rows.append({"server": situation, "tries": len(server.asked), "ends_with": end})
            rows[-1]["left_in_the_folder"] = ", ".join(left)
    return rows


def main() -> None:
    """Parse the command line, try, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        tables, parts = {}, options.only.split(",")
        if {"identity", "kills", "full_disk"} & set(parts):
            print("The run that all others must equal ...", flush=True)
            finish(work / "reference")
            reference = contents(work / "reference")
        for part in parts:
            if part == "bad_inputs":
                tables[part] = bad_input_rows()
            elif part == "downloads":
                tables[part] = download_rows()
            elif part == "identity":
                tables[part] = identity_rows(work, reference)
            elif part == "kills":
                tables[part] = kill_rows(work, reference, options.kills, options.seed)
            elif part == "full_disk":
                tables[part] = full_disk_rows(work, reference)
    for part, rows in tables.items():
        table = pd.DataFrame(rows)
        shown = table.astype(object).where(table.notna(), "")
        words = shown.to_markdown(index=False, tablefmt="pipe")
        print(f"\n{part}\n{words}")
        write_text(FOLDER / f"{part}.md", words + "\n")
        print(write_csv(FOLDER / f"{part}.csv", table))


if __name__ == "__main__":
    main()
