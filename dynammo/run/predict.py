"""Images of one's own, named by an exported learner: ``python -m dynammo.run.predict``.

Writes a csv with a row for each image, and a sheet of those that the learner is least sure of.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from dynammo.data.dataset import UNKNOWN
from dynammo.data.files import entry_point, write_csv
from dynammo.data.image_folder import IMAGE_SUFFIXES, SQUARE, is_image, read_image
from dynammo.draw.images import doubtful_sheet
from dynammo.draw.style import save_figure
from dynammo.errors import InputError
from dynammo.run.export import read_card, read_program
from dynammo.training import EVALUATION_BATCH

SHOWN = 24


def predict_folder(export: Path, folder: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Name every image of a folder, however deep.

    Args:
        export: what :func:`dynammo.run.export.export` wrote.

    Returns:
        A row per image: ``file``, ``class`` and its ``probability``, how ``unlike`` all classes it
        is, and whether it is ``none_of_these``; and the images, uint8 [N, H, W, 3].

    Raises:
        InputError: no such export, no images, or one that cannot be read.
    """
    card = read_card(export)
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}: check the path.")
    files = sorted(filter(is_image, folder.rglob("*")))
    if not files:
        raise InputError(f"There are no images in {folder}: it takes {', '.join(IMAGE_SUFFIXES)}.")
    images = np.stack([read_image(file, card["image_size"]) for file in files])
    program = read_program(export / card["program"]).module()
    starts = range(0, len(images), EVALUATION_BATCH)
    with torch.no_grad():
        answers = [program(torch.from_numpy(images[i : i + EVALUATION_BATCH])) for i in starts]
    probabilities, unlike = (torch.cat(parts).numpy() for parts in zip(*answers, strict=True))
    found = pd.DataFrame(
        {
            "file": [file.relative_to(folder).as_posix() for file in files],
            "class": [card["classes"][k] for k in probabilities.argmax(axis=1)],
            "probability": probabilities.max(axis=1).round(4),
            "unlike": unlike.round(4),
            "none_of_these": unlike > card["none_of_these_above"],
        }
    )
    return found, images


@entry_point
def main(arguments: Sequence[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m dynammo.run.predict", description=__doc__)
    add = parser.add_argument
    add("export", type=Path, help="a learner's folder, such as runs/demo/export/dynammo")
    add("images", type=Path, help="a folder of images")
    add("--out", type=Path, default=Path("predictions"), help="csv and sheet are called so")
    options = parser.parse_args(arguments)
    if not options.out.name:
        raise InputError(f"--out {options.out} is a folder: name a file in it, without an ending.")
    if options.out.suffix in (".csv", ".png"):
        options.out = options.out.with_suffix("")
    found, images = predict_folder(options.export, options.images)
    table = write_csv(options.out.with_name(f"{options.out.name}.csv"), found)
    order = np.argsort(found["probability"].to_numpy(), kind="stable")[:SHOWN]
    note = f"{options.export.name}: {len(found)} images; not for clinical use"
    sheet = doubtful_sheet(images[order], found.iloc[order], note)
    picture, _ = save_figure(sheet, None, options.out, {})
    print(found["class"].value_counts().to_string(header=False))
    told, about = "", read_card(options.export)
    if (framing := about.get("framing", UNKNOWN)) != SQUARE:
        told = f"This took {SQUARE}. The learner saw: {framing}. Cut yours alike.\n"
    told += f"{int(found['none_of_these'].sum())} of {len(found)} look like none of these."
    if (passed := about["unseen_that_pass"]) is not None:
        told += f" While it learned, {passed:.0%} of images of classes still to come did not."
    print(told)
    print(f"{table}; least certain: {picture}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
