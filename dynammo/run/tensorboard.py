"""A run as a log that TensorBoard reads: ``python -m dynammo.run.tensorboard RUN``.

Losses by epoch and accuracies by session, of each method and pair of seeds.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from dynammo.data.files import entry_point
from dynammo.errors import InputError
from dynammo.run.collect import collect
from dynammo.run.run_folder import settings_of

NEEDED = "pip install tensorboard"
FOLDER = "tensorboard"
MEASURES = ("accuracy", "mean_class_recall", "macro_f1", "auroc", "session_inference")


def write_log(run: Path) -> Path:
    """Write the log of a run into its folder, anew; what was learned is only read.

    Below it, ``<method>/order0-seed1`` has ``all classes seen/accuracy`` and its like and
    ``accuracy on session/1``, by session, and ``adapters/order0-seed1`` or a method of its own
    ``loss in session/1``, by epoch.

    Returns:
        The folder to give to TensorBoard.

    Raises:
        InputError: the package is missing; no such run, or not a whole one.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise InputError(f"A log needs a package that is not installed: {NEEDED}.") from error
    tables, folder = collect(run, settings_of(run)), run / FOLDER
    for old in folder.rglob("events.*"):
        old.unlink()

    def written(table, tags) -> None:
        for whose, rows in tables[table].groupby(["method", "order_seed", "train_seed"]):
            place = folder / whose[0] / f"order{whose[1]}-seed{whose[2]}"
            with SummaryWriter(str(place)) as log:
                for row in rows.to_dict("records"):
                    for tag, value, step in tags(row):
                        if value == value:  # not NaN: what a method does not have
                            log.add_scalar(tag, value, step)

    written(
        "sessions",
        lambda row: [(f"all classes seen/{name}", row[name], row["session"]) for name in MEASURES],
    )
    written(
        "accuracy",
        lambda row: [
            (f"accuracy on session/{row['evaluated_session']}", row["accuracy"], row["session"])
        ],
    )
    written(
        "losses", lambda row: [(f"loss in session/{row['session']}", row["loss"], row["epoch"])]
    )
    return folder


@entry_point
def main(arguments: Sequence[str]) -> int:
    """The command."""
    if len(arguments) != 1:
        raise InputError("Give one run's folder, such as runs/demo.")
    print(f"tensorboard --logdir {write_log(Path(arguments[0]))}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
