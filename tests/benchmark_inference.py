"""Wall-clock ratio of ACL's passes to DynaMMo's single one: a script, not a timed test.

    python tests/benchmark_inference.py [--backbone resnet18 --image-size 224] [--threads 2]

Prints one row per number of sessions T: median milliseconds of one forward pass, and the ratios
ACL / DynaMMo (should be near T) and DynaMMo / one adapter set (should be near 1). The three
networks are timed in turn, several times over, so a drifting machine moves all of them alike.
"""

import argparse

import numpy as np
import pandas as pd
import torch

from dynammo.cost import latency, outline_learner
from dynammo.settings import Settings

METHODS = ("dynammo", "acl", "last_adapter")


def measure(settings: Settings, sessions: int, image_size: int, batch: int, rounds: int) -> dict:
    """Median seconds and ratios over rounds for T = sessions."""
    shape = ([2] * sessions, image_size, "cpu")
    networks = [outline_learner(name, settings, *shape).network() for name in METHODS]
    times = np.array(
        [[latency(net, image_size, batch, repeats=5) for net in networks] for _ in range(rounds)]
    )
    merged, acl, one = times.T
    return {
        "T": sessions,
        "batch": batch,
        "dynammo_ms": 1000 * np.median(merged),
        "acl_ms": 1000 * np.median(acl),
        "acl / dynammo": np.median(acl / merged),
        "dynammo / one set": np.median(merged / one),
        "lowest": (acl / merged).min(),
        "highest": (acl / merged).max(),
    }


def main() -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 2, 4, 10])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    settings = Settings(backbone=options.backbone)
    rows = [
        measure(settings, sessions, options.image_size, batch, options.rounds)
        for batch in options.batches
        for sessions in options.sessions
    ]
    print(f"{options.backbone}, {options.image_size} px, {options.threads} thread(s)")
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.2f}".format))


if __name__ == "__main__":
    main()
