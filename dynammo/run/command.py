"""``./run_all.sh``: resolve the settings, run the graph, say where the results are."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from dynammo.adapters import AdaptedNetwork
from dynammo.beyond.several_depths import SeveralDepths
from dynammo.catalogue import METHODS
from dynammo.chain import Chain
from dynammo.data.files import entry_point, remove_left_overs, write_json
from dynammo.data.make_stream import repeated_images
from dynammo.errors import InputError
from dynammo.learner import Setup
from dynammo.networks.own import failures_told
from dynammo.run.ablations import ablations
from dynammo.run.code import code_checksum
from dynammo.run.compare import compare_runs
from dynammo.run.expected import compare, told
from dynammo.run.graph import only_one, run_graph
from dynammo.run.jobs import jobs, parameters_of
from dynammo.run.needs import needs
from dynammo.run.options import parse, resolve
from dynammo.run.outdated import checksums
from dynammo.run.places import NOTEBOOKS, ROOT, notebooks_by_name
from dynammo.run.provenance import git_revision, own_files, provenance
from dynammo.run.run_folder import open_setup, settings_of
from dynammo.run.settings import DATA_SETTINGS, RunSettings, changes_of, settings_from

HERE = {"python": sys.executable}  # what jobs are run with
# Notebooks that may be part of a run as its ablations are.
LOOK_CLOSER = (
    "dynammo_in_ten_minutes",
    "merging",
    "inside_a_merge",
    "which_session",
    "when_merging_pays",
    "beyond_the_paper",
    "how_fast",
    "what_survives",
)


def start(options: argparse.Namespace) -> int:
    """Run the graph of each run in turn; return the worst exit status.

    What one of several runs lacks does not keep the others from being made.
    """
    if options.compare:
        compare_runs(options.output.resolve() / "figures", options.compare)
        return 0
    if not (NOTEBOOKS / "Snakefile").exists():
        raise InputError(
            f"The notebooks are not beside {ROOT / 'dynammo'}: this is the library alone. Clone "
            "the repository and run ./run_all.sh there."
        )
    found = resolve(options)
    worst = 0
    for name, settings in found.items():
        try:
            worst = max(worst, _start_run(name, settings, options))
        except InputError as error:
            if len(found) == 1:
                raise
            print(f"error: run '{name}' was left out: {error}", file=sys.stderr)
            worst = max(worst, 2)
    if len(found) > 1 and not options.dry_run:
        worst = max(worst, _draw_together(options))
    return worst


def settings_of_run(run: Path, runs: int = 0) -> RunSettings:
    """Settings of a run, for notebooks that look closer at one: a missing demo is made first."""
    run = run.resolve()
    # Any other has to be there.
    absent = run.parts[-2:] == ("runs", "demo") and not (run / "settings.json").exists()
    if absent and main(["--profile", "demo", "--output", str(run.parents[1])]):
        raise InputError("The demo could not be made: what is above says why.")
    return settings_of(run, runs)


def _draw_together(options: argparse.Namespace) -> int:
    """Have the graph draw what the runs of a profile come to together."""
    output = options.output.resolve()
    run = output / "runs" / options.profile
    with only_one(run) as lock:
        configuration = run / "graph.json"
        figures = output / "figures"
        write_json(configuration, {"profile": options.profile, "figures": str(figures), **HERE})
        status = run_graph(run, configuration, options, lock, graph="together.smk")
    if not status:
        print(f"All runs together: {figures / options.profile}")
        print(f"Book: {run / 'report' / 'index.html'}")
    return status


def _start_run(name: str, settings: RunSettings, options: argparse.Namespace) -> int:
    output = options.output.resolve()
    run, figures = output / "runs" / name, output / "figures" / name
    with only_one(run) as lock:
        for folder in (run, figures):
            remove_left_overs(folder)
        print(f"Run '{name}': checking the data and the settings ...", flush=True)
        _say_what_changes(name, settings, figures)
        if ":" in settings.backbone or settings.plugins:
            # Notebooks run elsewhere, and look for modules here as well, and beside plugins.
            beside = [str(Path(file).parent) for file in settings.plugins]
            known = [os.environ.get("PYTHONPATH"), os.getcwd(), *beside]
            os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, known))
        # Where a cluster's jobs are submitted there need not be the device that they have.
        here = {"device": "cpu"} if options.executor else {}
        setup = _checked_setup(run, settings.with_changes(here))
        stream, graph = setup.stream, _graph(settings, setup) | {"figures": str(figures), **HERE}
        if options.fresh and not options.dry_run:  # what cannot be run has lost nothing until here
            for path in (*run.iterdir(), figures):
                if path.name != ".lock" and path.exists():
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        sessions, methods = stream.number_of_sessions, len(settings.methods)
        print(
            f"{stream.name}: {stream.number_of_classes} classes in {sessions} sessions, "
            f"{methods} methods in {len(graph['jobs'])} series of sessions, "
            f"{settings.threads} thread(s) each.",
            flush=True,
        )
        configuration = run / (".dry_run.json" if options.dry_run else "graph.json")
        write_json(configuration, graph)
        if options.dry_run:
            return run_graph(run, configuration, options, lock)
        write_json(run / "settings.json", settings.as_dict())
        origin = provenance(stream) | {"code_checksum": code_checksum()}
        origin |= own_files(settings) | {"git_revision": git_revision(ROOT)}
        write_json(run / "provenance.json", origin)
        begun = time.time()
        if status := run_graph(run, configuration, options, lock):
            print(
                f"\nThe run stopped; what was finished is kept in {run}. Mend "
                "what the message above names and give the same command again to go on.",
                file=sys.stderr,
            )
            return status
        _closing_words(run, figures, settings, begun)
    return 0


def _checked_setup(run: Path, settings: RunSettings) -> Setup:
    """That of the first class order and seed; InputError where settings do not fit each other."""
    setup = open_setup(run, settings, settings.order_seeds[0], settings.train_seeds[0])
    # As it will be used: refuses stages that it does not have, or that give more than one map.
    when = " where adapters go, or where its stages are read, each of which gives one map"
    with failures_told(f"The backbone {settings.backbone}", when), torch.no_grad():
        adapted = AdaptedNetwork(setup.backbone, Chain.on(setup).adapters(None))
        SeveralDepths(adapted)(setup.backbone.normalise(setup.stream.train.images[:2]))
    for split, count in repeated_images(setup.stream).items():
        print(
            f"warning: {count} of {len(getattr(setup.stream, split))} {split} images are also "
            "training images, so results look better than they are: remove them from one.",
            file=sys.stderr,
        )
    return setup


def _graph(settings: RunSettings, setup: Setup) -> dict[str, Any]:
    """What the graph is told of a run, paths apart."""
    stream = setup.stream
    all_jobs = jobs(settings, settings.methods)
    return {
        "settings": settings.as_dict(),
        "data_settings": list(DATA_SETTINGS),
        "jobs": all_jobs,
        "families": {name: METHODS[name].family for name in settings.methods},
        "parameters": {method: parameters_of(settings, method) for *_, method in all_jobs},
        "number_of_sessions": stream.number_of_sessions,
        "ablations": _notebooks_of_ablations(settings, stream.number_of_classes),
        "checksums": checksums(setup),
        "needs": needs(settings, stream),
    }


def _notebooks_of_ablations(settings: RunSettings, classes: int) -> dict[str, str]:
    """For each of the settings' ablations the notebook called so, or nothing for one of many."""
    notebooks = notebooks_by_name()
    known = dict.fromkeys(ablations(settings, classes), "")
    known |= {name: notebooks[name] for name in LOOK_CLOSER}
    for name in settings.ablations:
        if name not in known:
            raise InputError(f"Unknown ablation '{name}': choose from {', '.join(known)}.")
    return {name: known[name] for name in settings.ablations}


def _say_what_changes(name: str, settings: RunSettings, figures: Path) -> None:
    """Say so where the figures that are there were made with other settings."""
    origin = figures / "provenance.json"
    if not origin.exists():
        return
    before = json.loads(origin.read_text()).get("settings", {})
    # Plugins are compared, not loaded: the files of an earlier run may be gone.
    plugins = {"plugins": own} if (own := before.pop("plugins", [])) else {}
    then, now = changes_of(settings_from(before)) | plugins, changes_of(settings)
    # The run's name says which stream it is; where its file lies may differ.
    changed = [k for k in then | now if k != "stream" and then.get(k) != now.get(k)]
    if changed:
        print(
            f"note: {figures} was made with other settings ({', '.join(changed)}) and will be "
            f"made again with these. To keep both, add: --name {name}-2",
            flush=True,
        )


def _closing_words(run: Path, figures: Path, settings: RunSettings, begun: float) -> None:
    book = run / "report" / "index.html"
    times = pd.read_csv(book.with_name("notebooks.csv"))
    parts = times.notebook.str.replace(r"-order\d+-seed\d+(-session\d+)?", "", regex=True)
    print(f"\nDone in {time.time() - begun:.0f} s. How long each part took:")
    for part, seconds in times.seconds.groupby(parts, sort=False):
        count = f"{len(seconds)} x " if len(seconds) > 1 else ""
        print(f"  {part:28} {count}{seconds.mean():.0f} s")
    _say_the_result(pd.read_csv(figures / "summary.csv").set_index("method"))
    pictures = len(list(figures.glob("*.png")))
    print(f"Figures: {figures} ({pictures} pictures, with their numbers as csv)")
    print(f"Book:    {book}")
    print(told(compare(pd.read_csv(figures / "sessions.csv"), settings)))


def _say_the_result(summary: pd.DataFrame) -> None:
    if not {"dynammo", "acl"} <= set(summary.index):
        return
    merged, every = summary.loc["dynammo"], summary.loc["acl"]
    ours, theirs = 100 * merged.average_accuracy, 100 * every.average_accuracy
    print(
        f"Average accuracy over sessions: DynaMMo {ours:.1f} %, ACL {theirs:.1f} % "
        f"({ours - theirs:+.1f} points); ACL takes {every.macs / merged.macs:.2f} times the "
        "multiply-accumulates."
    )


@entry_point
def main(arguments: Sequence[str]) -> int:
    """The command."""
    for folder in ("DYNAMMO_DATA", "DYNAMMO_WEIGHTS"):
        if os.environ.get(folder):  # notebooks run in a folder of their own
            os.environ[folder] = str(Path(os.environ[folder]).expanduser().resolve())
    try:
        return start(parse(arguments))
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on where this one was.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
