"""An exported learner as ONNX, for programs without torch: ``python -m dynammo.run.onnx FOLDER``.

Writes ``network.onnx`` beside the program, once onnxruntime has given the same answers.
"""

from __future__ import annotations

import contextlib
import io
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from dynammo.data.files import entry_point, write_whole
from dynammo.errors import InputError
from dynammo.run.export import read_card, read_program

NEEDED = "pip install onnx onnxscript onnxruntime"
COUNTS = (1, 3, 8)  # images at a time that are tried
AS_FAR = 1e-4  # apart, of probabilities


def to_onnx(folder: Path) -> tuple[Path, float]:
    """Write an export's program as ONNX, opset and all as torch chooses them.

    Its input is ``images``, uint8 [N, H, W, 3]; its outputs are ``probabilities`` [N, K] and
    ``unlike`` [N].

    Returns:
        The file, and how far its answers are from the program's on random images at most.

    Raises:
        InputError: no such export, packages that are missing, or answers that differ.
    """
    card = read_card(folder)
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  torch writes with it
    except ImportError as error:
        raise InputError(f"ONNX needs packages that are not installed: {NEEDED}.") from error
    program, size = read_program(folder / card["program"]), card["image_size"]
    example = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    names = {"input_names": ["images"], "output_names": ["probabilities", "unlike"]}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # of torch's exporter about itself
        written = torch.onnx.export(program, (example,), dynamo=True, verbose=False, **names)
    model = written.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    gaps, drawn = [], np.random.default_rng(0)
    for count in COUNTS:
        images = drawn.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
        with torch.no_grad():
            wanted = program.module()(torch.from_numpy(images))
        for answer, right in zip(session.run(None, {"images": images}), wanted, strict=True):
            gaps.append(np.abs(answer - right.numpy()).max())
    furthest = float(np.max(gaps))  # not a number, if an answer is none
    if not furthest <= AS_FAR:
        raise InputError(
            f"onnxruntime answers {furthest:.1g} apart from the program in {folder}: nothing was "
            "written. Use the program, or other versions of these packages."
        )
    return write_whole(folder / "network.onnx", lambda part: part.write_bytes(model)), furthest


@entry_point
def main(arguments: Sequence[str]) -> int:
    """The command."""
    if len(arguments) != 1:
        raise InputError("Give one folder, such as runs/demo/export/dynammo.")
    path, furthest = to_onnx(Path(arguments[0]))
    print(f"{path}: probabilities within {furthest:.0e} of the program's in onnxruntime.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
