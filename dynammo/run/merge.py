"""Merge files of weights of one layout: ``python -m dynammo.run.merge A B ... --how WAY``.

Any state dicts as safetensors, of adapters or of whole networks. Batch norm's statistics are
averaged, or pooled (``--statistics mixture``); to measure them again, which takes the network and
images, there is :func:`dynammo.beyond.batch_norm.measure_again`. Whole numbers are the last set's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from dynammo.beyond.batch_norm import mixture_variance
from dynammo.beyond.strategies import NEEDS, STRATEGIES, Strategy
from dynammo.beyond.ways_of_merging import merge_changes
from dynammo.data.files import entry_point, write_whole
from dynammo.errors import InputError
from dynammo.merging import check_same_layout
from dynammo.networks.own import failures_told, own_function
from dynammo.run.plugins import file_of

WAYS = {title.lower().replace(" ", "_"): way for title, way in STRATEGIES.items()}
WAYS = {"mean": WAYS.pop("uniform_mean"), **WAYS}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    told = "\n".join(_described(name, way) for name, way in WAYS.items())
    parser = argparse.ArgumentParser(
        prog="python -m dynammo.run.merge",
        description=__doc__.partition("\n")[0],
        epilog=f"ways and their options:\n{told}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("sets", nargs="+", type=Path, metavar="SET", help="safetensors, in the order of tuning")
    told_of = "see below (default: mean), or FILE.py:FUNCTION, of changes [t, N] from --base to [N]"
    add("--how", default="mean", metavar="WAY", help=told_of)
    add("--out", type=Path, required=True, help="where the merged set goes")
    add("--base", type=Path, help="the set that the others were tuned from")
    add("--importances", nargs="+", type=Path, default=[], help="Fisher information of each set")
    add(
        "--option", action="append", default=[], metavar="NAME=NUMBER", help="of the way: see below"
    )
    told = "of batch norm: averaged, or as those of all sets' values together (mixture)"
    add("--statistics", default="averaged", choices=("averaged", "mixture"), help=told)
    return parser.parse_args(arguments)


def _described(name: str, way: Strategy) -> str:
    options = ", ".join(f"{k}={v:g}" for k, v in way.defaults.items())
    needs = way.needs and f"needs {NEEDS[way.needs]}"
    return "; ".join(filter(None, [f"  {name:16} {way.source}", options, needs]))


def merge_files(options: argparse.Namespace) -> int:
    """Read the sets, merge them, and write the result whole."""
    sets = [read(path) for path in options.sets]
    base = read(options.base) if options.base else None
    importances = [read(path) for path in options.importances]
    given = dict(zip(options.sets, sets, strict=True))
    check_alike(given | ({options.base: base} if base else {}))
    way = WAYS.get(options.how) or own_way(options.how)
    merged = way.merge(sets, base, importances, **_numbers(options.option))
    if options.statistics == "mixture":
        merged = mixture_variance(sets, merged)
    whole = {name: tensor.contiguous() for name, tensor in merged.items()}
    try:
        write_whole(options.out, lambda part: save_file(whole, part, metadata={"format": "pt"}))
    except SafetensorError as error:
        raise InputError(f"{options.out} cannot be written ({error}): make room.") from error
    numbers = sum(tensor.numel() for tensor in whole.values())
    whole_numbers = sum(t.numel() for t in whole.values() if not t.is_floating_point())
    told = f"; {whole_numbers:,} whole numbers are the last set's" if whole_numbers else ""
    print(f"{options.out}: {len(sets)} sets of {numbers:,} numbers merged by {options.how}{told}.")
    return 0


def own_way(name: str) -> Strategy:
    """A rule of one's own, by file and function; InputError where there is none."""
    if not file_of(name):
        known = ", ".join(WAYS)
        raise InputError(f"There is no way '{name}': choose of {known}, or give FILE.py:FUNCTION.")
    told = f"The rule {name}"
    with failures_told(told):
        rule = failures_told(told)(own_function(name, "rule"))
    return Strategy(name, partial(merge_changes, rule=rule), needs="initial")


def read(path: Path) -> dict[str, Tensor]:
    """A state dict from a file; InputError if it cannot be read, or has numbers that are none."""
    if not path.is_file():
        raise InputError(f"There is no file {path}: check the path.")
    try:
        state = load_file(path)
    except SafetensorError as error:
        told = "Save a state dict with safetensors.torch.save_file."
        raise InputError(f"{path} is not a whole safetensors file. {told}") from error
    for name, tensor in state.items():
        if not tensor.isfinite().all():
            raise InputError(f"'{name}' in {path} has numbers that are not finite: tune it again.")
    return state


def check_alike(sets: Mapping[Path, dict[str, Tensor]]) -> None:
    """Raise InputError unless all have the same entries, of the same shapes and kinds."""
    check_same_layout(list(sets.values()), list(sets))
    first, one = next(iter(sets)), next(iter(sets.values()))
    for path, state in sets.items():
        for name, tensor in one.items():
            if tensor.dtype != state[name].dtype:
                raise InputError(
                    f"'{name}' is {tensor.dtype} in {first} but {state[name].dtype} in {path}: "
                    "save both as one kind of number."
                )


def _numbers(assignments: Sequence[str]) -> dict[str, float]:
    found = {}
    for text in assignments:
        name, _, value = text.partition("=")
        try:
            found[name] = int(value) if value.isdigit() else float(value)
        except ValueError as error:
            raise InputError(f"--option takes NAME=NUMBER, not '{text}'.") from error
    return found


@entry_point
def main(arguments: Sequence[str]) -> int:
    """The command."""
    return merge_files(parse(arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
