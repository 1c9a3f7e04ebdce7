"""What work costs while it is done: wall-clock seconds and peak memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

MEGABYTE = 2**20


class Stopwatch:
    """Collects one row per measured block: method, part, seconds, peak memory in MB.

    On the CPU the peak is the process's resident memory, looked at every 10 ms: it includes Python,
    torch and the images. On a GPU it is what torch allocated there.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.rows: list[dict[str, str | float]] = []

    @contextmanager
    def measure(self, method: str, part: str) -> Iterator[None]:
        """Measure a block and add its row."""
        process, peak, done = psutil.Process(), [0], threading.Event()

        def watch() -> None:
            while True:
                peak[0] = max(peak[0], process.memory_info().rss)
                if done.wait(0.01):
                    return

        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        watcher = threading.Thread(target=watch, daemon=True)
        start = time.perf_counter()
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
        seconds = time.perf_counter() - start
        if self.device.type == "cuda":
            peak[0] = torch.cuda.max_memory_allocated(self.device)
        row = {"method": method, "part": part, "seconds": seconds}
        self.rows.append(row | {"peak_megabytes": peak[0] / MEGABYTE})
