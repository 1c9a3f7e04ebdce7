"""The graph and the command as a user runs them: everything, killed, and on data of one's own."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import forget_plugins

from dynammo import catalogue
from dynammo.methods import adapter_methods
from dynammo.run.book import wanted
from dynammo.run.command import main
from dynammo.run.learn import learn_stream, open_session
from dynammo.run.plugins import load_plugins
from dynammo.run.run_folder import settings_of

FIGURES = [
    "accuracy_and_cost",
    "accuracy_by_session",
    "accuracy_matrices",
    "class_balance",
    "confusion",
    "cost_growth",
    "forget_adapt_average",
    "method",
    "sample_sheet",
]


# One method for each notebook, and all that adapters feed. The other methods differ in the learner
# alone, and tests/baselines runs every one of those.
METHODS = [
    *("fine_tuning", "der_plus_plus", "icarl", "ewc", "der", "acl", "frozen_features", "ranpac"),
    *("dynammo", "dynammo_unified_head", "last_adapter", "replay_twice"),
]
PLUGIN = str(Path(__file__).parents[1] / "example_plugin.py")


def start(output: Path, *arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "dynammo.run.command", "--output", str(output), *arguments]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=output,
        start_new_session=True,
        # A test suite that a shell runs in the background would pass on that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def finish(process: subprocess.Popen) -> str:
    text, _ = process.communicate(timeout=900)
    assert process.returncode == 0, text
    return text


SMOKE = ("--profile", "smoke", "--methods", ",".join(METHODS), "--plugin", PLUGIN)


@pytest.fixture(scope="module", autouse=True)
def _plugin():
    """The plugin is in the catalogue of this file's process, too, for as long as its tests run."""
    before = dict(catalogue.ROWS)
    load_plugins([PLUGIN])
    yield
    forget_plugins(before)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory) -> tuple[Path, str]:
    """A run that was stopped, then killed in a session, and went on each time it was called."""
    output = tmp_path_factory.mktemp("smoke")
    log = output / "runs/smoke/snakemake.log"
    process = wait_for(log, start(output, *SMOKE), "rule prepare_data:")
    time.sleep(2)  # into its notebook
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert text.rstrip().endswith("Stopped. The same command goes on where this one was.")
    assert "Traceback" not in text

    first = output / "runs/smoke/order0-seed1/session1"
    process = wait_for(first, start(output, *SMOKE))
    time.sleep(2)  # into the notebook of session 2
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (output / "figures/smoke/summary.csv").exists()
    return output, finish(start(output, *SMOKE))


def wait_for(path: Path, process: subprocess.Popen, said: str = "") -> subprocess.Popen:
    """Wait until a file or folder is there, and the file has some words in it."""
    deadline = time.time() + 900  # a guard against hanging: slow machines are not wrong
    while not path.exists() or (said and said not in path.read_text()):
        assert process.poll() is None and time.time() < deadline
        time.sleep(0.1)
    return process


def test_smoke_makes_every_figure_with_its_numbers(smoke):
    figures = smoke[0] / "figures" / "smoke"
    for name in FIGURES:
        assert (figures / f"{name}.png").stat().st_size > 5000, name
        assert (figures / f"{name}.svg").read_text().rstrip().endswith("</svg>"), name
    drawn_from_numbers = set(FIGURES) - {"method", "sample_sheet"}
    for name in drawn_from_numbers:
        assert len(pd.read_csv(figures / f"{name}.csv")), name


def test_tables_keep_their_contract(smoke):
    figures = smoke[0] / "figures" / "smoke"
    summary = pd.read_csv(figures / "summary.csv")
    wanted = "method seeds average_accuracy average_accuracy_sd last_accuracy forgetting macs"
    wanted += " parameters_stored parameters_used parameters_trained exemplar_bytes"
    assert set(wanted.split()) <= set(summary.columns)
    assert list(summary.method) == METHODS  # family by family
    for ending, rows in (("md", "|"), ("tex", "&")):
        lines = (figures / f"summary.{ending}").read_text().splitlines()
        assert len([line for line in lines if line.count(rows) > 5]) >= len(METHODS) + 1
    accuracy = pd.read_csv(figures / "accuracy.csv")
    key = ["method", "order_seed", "train_seed", "session", "evaluated_session"]
    assert not accuracy.duplicated(key).any()
    assert len(accuracy) == len(METHODS) * (1 + 2)  # two sessions: 1 and 2 evaluated ones
    assert accuracy.accuracy.between(0, 1).all()
    intervals = pd.read_csv(figures / "intervals.csv")
    assert len(intervals) == 2 * len(METHODS) * (len(METHODS) - 1)  # two measures of every pair
    assert (intervals.low <= intervals["mean"]).all() and set(intervals.covers) == {"images only"}
    for path in figures.glob("*.csv"):
        timed = "seconds" in pd.read_csv(path).columns
        assert timed == (path.name == "timings.csv"), path.name


def test_every_session_has_its_cost_counted_and_measured(smoke):
    figures = smoke[0] / "figures" / "smoke"
    sessions = pd.read_csv(figures / "sessions.csv").set_index(["method", "session"])
    for method, passes in (("acl", 2), ("der", 2), ("dynammo", 1), ("icarl", 1)):
        macs = sessions.macs[method]
        assert macs[2] == pytest.approx(passes * macs[1], rel=2e-3), method
    assert (sessions.exemplar_bytes["icarl"] == 32 * 32 * 32 * 3).all()
    assert (sessions.exemplar_bytes["ranpac"] == 0).all()
    timings = pd.read_csv(figures / "timings.csv")
    trained = timings[timings.part == "training"]
    assert set(trained.method) == {"adapters", *METHODS} - set(adapter_methods(METHODS))
    assert (trained.seconds > 0).all() and (trained.peak_megabytes > 50).all()


def test_the_end_says_where_things_are_and_how_long_they_took(smoke):
    output, text = smoke
    assert str(output / "figures" / "smoke") in text
    assert "02_incremental_session" in text.partition("How long each part took")[2]
    summary = pd.read_csv(output / "figures/smoke/summary.csv").set_index("method")
    points = 100 * (summary.average_accuracy["dynammo"] - summary.average_accuracy["acl"])
    assert f"({points:+.1f} points); ACL takes 2.00 times" in text
    index = output / "runs/smoke/report/index.html"
    assert str(index) in text
    made = {path.stem for path in (output / "runs/smoke/notebooks").glob("*.ipynb")}
    assert set(wanted(output / "runs/smoke")) == made
    page = index.read_text()
    assert "not complete" not in page and "04_replay.html" in page


def test_a_run_records_settings_versions_and_data(smoke):
    run = smoke[0] / "runs" / "smoke"
    assert json.loads((run / "settings.json").read_text())["adapter_epochs"] == 1
    origin = json.loads((smoke[0] / "figures/smoke/provenance.json").read_text())
    assert origin["torch"].startswith("2.") and len(origin["data_checksum"]) == 64


def test_it_leaves_the_network_that_it_learned(smoke):
    card = json.loads((smoke[0] / "runs/smoke/export/dynammo/card.json").read_text())
    assert card["learned by"] == "DynaMMo" and len(card["classes"]) == 8


def test_a_second_call_has_nothing_to_do(smoke):
    record = smoke[0] / "runs/smoke/order0-seed1/session1/session.json"
    before = record.stat().st_mtime_ns
    text = finish(start(smoke[0], *SMOKE))
    assert record.stat().st_mtime_ns == before
    assert "▸" not in text and " steps (" not in text  # no notebook was executed, nor any step
    assert "note:" not in text


def test_a_killed_run_ends_with_the_same_weights_as_one_in_a_single_process(smoke, tmp_path):
    run = smoke[0] / "runs/smoke"
    settings = settings_of(run)
    learn_stream(tmp_path, settings, "ewc", 0, 1, progress=False)
    for session in (1, 2):
        open_session(tmp_path, settings, 0, 1, session).learn_next(progress=False)

    chains = [folder / "order0-seed1" for folder in (run, tmp_path)]
    names = [str(path.relative_to(chains[1])) for path in chains[1].rglob("*.safetensors")]
    assert {"session2/head_acl.safetensors", "ewc/session2/state.safetensors"} <= set(names)
    for name in names:
        assert (chains[0] / name).read_bytes() == (chains[1] / name).read_bytes(), name


def dry_run(capfd, output: Path, *arguments: str) -> str:
    """What the command would run; the graph, a process of its own, says it to the same place."""
    assert main(["--output", str(output), "--dry-run", *arguments]) == 0
    return "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("change", "again"),
    [
        (["--set", "ewc_strength=5"], {"method", "figures", "report", "all"}),
        (
            ["--set", "adapter_alpha=0.3"],
            {"session1", "session2", "figures", "report", "all"},
        ),
        (["--set", "dynammo_ridge_stiffness=0.3"], {"figures", "report", "all"}),
        (["--set", "ablations=['alpha','merging']"], {"ablation", "figures", "report", "all"}),
        (["--set", "replay_twice_times=4"], {"method", "figures", "report", "all"}),
    ],
)
def test_a_change_runs_again_what_depends_on_it_and_nothing_else(smoke, change, again, capfd):
    text = dry_run(capfd, smoke[0], *SMOKE, *change)
    counts = {job: int(count) for job, count in re.findall(r"^(\w+) +(\d+)$", text, re.MULTILINE)}
    assert set(counts) - {"total"} == again
    name = change[-1].partition("=")[0]
    assert "note:" in text and f"made with other settings ({name})" in text
    if "method" in again:
        assert counts["method"] == 1  # EWC's alone, or the plugin's
    if "ablation" in again:
        assert counts["ablation"] == 2  # one notebook for all settings, one of its own


def test_notebooks_that_measure_the_machine_have_it_alone(tmp_path, capfd):
    asked = ("--profile", "checks", "--cores", "2", "--", "--printshellcmds")
    text = dry_run(capfd, tmp_path, *asked)
    for name in ("21_how_fast", "22_what_survives"):
        job = text.partition(f"wildcards: executed={name}\n")[2].partition("Shell command:")
        assert "threads: 2" in job[0] and "run_folder" not in job[2].partition("\n")[0]


@pytest.mark.slow
def test_own_npz_runs_from_file_to_figures(tmp_path):
    generator = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 40), ("val", 10), ("test", 20)):
        labels = np.arange(count) % 5
        images = generator.integers(0, 40, (count, 32, 32, 3)) + labels[:, None, None, None] * 40
        arrays |= {f"{split}_images": images.astype(np.uint8), f"{split}_labels": labels[:, None]}
    np.savez(tmp_path / "my cells.npz", **arrays)
    finish(
        start(
            tmp_path,
            *("--profile", "smoke", "--stream", "my cells.npz"),  # relative to where one is
            *("--classes-per-session", "3", "--methods", "acl, dynammo"),
        )
    )
    summary = pd.read_csv(tmp_path / "figures/smoke-my_cells-3/summary.csv")
    assert list(summary.method) == ["acl", "dynammo"]


def test_bad_input_is_one_line_and_exit_status_2(tmp_path):
    """What is said of which input is in test_bad_inputs.py and in tests/data."""
    command = [sys.executable, "-m", "dynammo.run.command", "--output", str(tmp_path)]
    command += ["--stream", "bloodmnst"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert answer.returncode == 2
    assert "Did you mean bloodmnist" in answer.stderr
    assert "Traceback" not in answer.stderr and len(answer.stderr.strip().splitlines()) == 1
