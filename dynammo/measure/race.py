"""Timing two ways to the same end as a ratio, on one machine, in turn."""

from __future__ import annotations

import platform
import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch


def seconds_of(function: Callable[[], object], repeats: int = 1) -> float:
    """Mean wall-clock seconds of a call; work that waits on a GPU is waited for."""
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(repeats):
        function()
    if cuda:
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / repeats


def race(slow: Callable[[], object], fast: Callable[[], object], budget: float) -> dict[str, float]:
    """Seconds of two functions and their ratio: the median over rounds, its lowest and highest.

    They take turns, so a machine that slows down moves both alike. A call that is too short to be
    timed alone is repeated, for about half a second a round.

    Args:
        budget: seconds to go on for, from 3 rounds up to 31.
    """
    fast()  # warms up what both share
    once = seconds_of(slow), seconds_of(fast)
    repeats = [min(20, max(1, round(0.5 / one))) for one in once]
    pairs = [once] if once[0] > 0.5 else []
    start = time.perf_counter()
    while len(pairs) < 3 or (time.perf_counter() - start < budget and len(pairs) < 31):
        pairs.append((seconds_of(slow, repeats[0]), seconds_of(fast, repeats[1])))
    slow_times, fast_times = np.array(pairs).T
    ratios = slow_times / fast_times
    return {
        "slow_seconds": float(np.median(slow_times)),
        "fast_seconds": float(np.median(fast_times)),
        "ratio": float(np.median(ratios)),
        "lowest": float(ratios.min()),
        "highest": float(ratios.max()),
        "rounds": len(pairs),
    }


def with_verdict(row: dict) -> dict:
    """Add whether the target was met; empty where there is none."""
    met = ""
    if "at_least" in row:
        met = "yes" if row["ratio"] >= row["at_least"] else "no"
    if "at_most" in row:
        met = "yes" if row["ratio"] <= row["at_most"] else "no"
    return row | {"met": met}


def readable_races(table: pd.DataFrame) -> pd.DataFrame:
    """The table to print: what was compared, the ratio with its spread, the target."""
    rows = []
    for row in table.itertuples():
        where = [row.backbone]
        where += [f"T = {row.sessions:.0f}"] if pd.notna(row.sessions) else []
        where += [f"batch {row.batch:.0f}"] if pd.notna(row.batch) else []
        spread = f" ({row.lowest:.3g} to {row.highest:.3g})" if pd.notna(row.lowest) else ""
        bound = (
            f"at least {row.at_least:.3g}"
            if pd.notna(row.at_least)
            else f"at most {row.at_most:.3g}"
            if pd.notna(row.at_most)
            else ""
        )
        rows.append(
            {
                "what": row.what,
                "with": ", ".join(where),
                "ratio": f"{row.ratio:.3g}{spread}",
                "target": bound,
                "met": {"yes": "✓", "no": "✗"}.get(row.met, ""),
                "note": row.note if isinstance(row.note, str) else "",
            }
        )
    return pd.DataFrame(rows)


def machine(device: str) -> str:
    """The machine in words, from what it says of itself."""
    name = platform.processor() or platform.machine()
    processors = Path("/proc/cpuinfo")
    if device != "cpu":
        name = torch.cuda.get_device_name()
    elif processors.exists():
        found = re.search(r"model name\s*: (.*)", processors.read_text())
        name = found[1] if found else name
    threads = f", {torch.get_num_threads()} threads" if device == "cpu" else ""
    return f"{name}{threads}, torch {torch.__version__}"
