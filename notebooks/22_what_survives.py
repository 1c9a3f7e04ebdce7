# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 22 · What a run survives
#
# **What you will see.** The profile `smoke` (every method, tiny) made again and again: with other
# numbers of cores, killed at random moments, on a disk that fills up, and through a cluster's queue
# where there is one. Every time its files are compared, byte by byte.
#
# **Expected.** All files are identical every time, and no session that was finished is learned
# again. Measured times are the only files that may differ.
#
# **Takes** an hour on two cores with twenty kills.

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
kills: int = 20  # kill -9 of the command, the graph, a notebook, its kernel, or all at once
seed: int = 0  # draws the moments
ways: dict = {"again, 2 cores": [], "3 cores": ["--cores", "3"]}  # name -> arguments
disk_sizes: list = [1, 12, 60, 1000]  # MB, one after the other; only as root
figures_folder: str = "../runs/by-hand/figures"

# %%
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

from dynammo.data.files import write_csv, write_text
from dynammo.measure import endurance
from dynammo.run.expected import as_expected

# %%
work, place = Path(tempfile.mkdtemp()), Path(figures_folder)
command = endurance.Command()


def kept(rows, name):
    """Write a table beside the figures, and show it."""
    table = pd.DataFrame(rows)
    write_csv(place / f"{name}.csv", table)
    shown = table.astype(object).where(table.notna(), "")
    write_text(place / f"{name}.md", shown.to_markdown(index=False) + "\n")
    return shown


# %% [markdown]
# ## The run that all others must equal

# %%
reference = command.finish(work / "reference")
print(len(reference), "files: figures, tables, weights, predictions, records")

# %% [markdown]
# ## Again, with other numbers of cores

# %%
again = kept(endurance.identity_rows(command, work, reference, ways), "identity")
again

# %% [markdown]
# ## Killed at random moments
# After each kill the same command is given again. What was finished before must be kept.

# %%
killed = kept(endurance.kill_rows(command, work, reference, kills, seed), "kills")
killed

# %% [markdown]
# ## A disk that fills up
# Each time there is more room the same command is given again. Mounting a small disk takes root's
# rights; without them this is left out.

# %%
if os.geteuid() == 0 and disk_sizes:
    rows = endurance.full_disk_rows(command, work, reference, tuple(disk_sizes))
    shown = kept(rows, "full_disk")
else:
    shown = "left out: not root"
shown

# %% [markdown]
# ## Through a cluster's queue
# Where Slurm is there (`.ci/slurm` sets up one of a single machine), the run goes through it, with
# one job killed on the way. If Slurm keeps no accounts, the state of jobs is read with `squeue`. We
# first submit a job that uses more memory than it asked for. If Slurm kills it, limits are
# enforced, so a run that passes has asked for enough.

# %%
if shutil.which("sbatch"):
    more = f"{sys.executable} -c 'import time; x = bytearray(10**9); time.sleep(9)'"
    ask = ["sbatch", "--wait", "--mem", "300", "--output", str(work / "more.log"), "--wrap", more]
    enforced = subprocess.run(ask, check=False).returncode != 0
    output, asked = work / "slurm", ["--executor", "slurm", "--cores", "2"]
    asked += ["--", "--slurm-status-command", "squeue"]
    process = command.start(output, *asked)
    running = ["squeue", "--noheader", "--states", "running", "--format", "%i"]
    while not (jobs := subprocess.run(running, capture_output=True, text=True).stdout.split()):
        if process.poll() is not None:
            raise RuntimeError(endurance.said(output).read_text())
    subprocess.run(["scancel", "--signal", "KILL", "--full", jobs[0]], check=True)
    process.wait()
    row = endurance.compared("slurm", endurance.contents(output), reference)
    shown = kept([row | {"jobs that take more memory are killed": enforced}], "cluster")
else:
    shown = "left out: no Slurm here"
shown

# %% [markdown]
# ## As expected?
# What stands at the top of this notebook, beside what came out here.

# %%
shutil.rmtree(work)
expectations = {}
if len(again):
    least, same = again.identical.min(), (again.identical == again.files).all()
    expectations["all files identical"] = f"{least} of {again.files.max()} or more", same
if len(killed):
    redone = pd.to_numeric(killed.sessions_redone).sum()
    told = f"{redone} after {len(killed)} kills"
    expectations["no finished session learned again"] = told, redone == 0
as_expected(expectations)

# %% [markdown]
# ## What to take home
# A run is files that appear whole or not at all, each made by one job from files before it. That is
# all it takes for a killed run to go on, and for another number of cores to give the same bytes.
#
# **Before:** [how fast is it?](21_how_fast.ipynb)
