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
    slow: Callable[[], object], fast: Callable[[], object], budget: float, least: int = 3
) -> dict[str, float]:
    """Seconds of two functions and their ratio: the median over rounds, its lowest and highest.

    They take turns, so a machine that slows down moves both alike. A call that is too short to be
    timed alone is repeated, for about half a second a round.

    Args:
        budget: seconds to go on for, up to 31 rounds.
        least: rounds to take in any case.
    """
    fast()  # warms up what both share
    once = seconds_of(slow), seconds_of(fast)
    repeats = [min(20, max(1, round(0.5 / one))) for one in once]
    pairs = [once] if once[0] > 0.5 else []
    start = time.perf_counter()
    while len(pairs) < least or (time.perf_counter() - start < budget and len(pairs) < 31):
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
