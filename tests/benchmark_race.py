"""Timing two ways to the same end as a ratio, on one machine, in turn."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
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


def race(
    slow: Callable[[], object], fast: Callable[[], object], rounds: int, fast_repeats: int = 1
) -> dict[str, float]:
    """Seconds of two functions and their ratio: the median over rounds, its lowest and highest.

    They take turns, so a machine that slows down moves both alike. ``fast`` is called several
    times a round where one call is too short to be timed beside ``slow``; one call warms up.
    """
    fast()
    pairs = [(seconds_of(slow), seconds_of(fast, fast_repeats)) for _ in range(rounds)]
    slow_times, fast_times = np.array(pairs).T
    ratios = slow_times / fast_times
    return {
        "slow_seconds": float(np.median(slow_times)),
        "fast_seconds": float(np.median(fast_times)),
        "ratio": float(np.median(ratios)),
        "lowest": float(ratios.min()),
        "highest": float(ratios.max()),
        "rounds": rounds,
    }
