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
# # 21 · How fast is it?
#
# **What you will see.** Ratios of two ways to the same end, timed in turn on this machine: one pass
# with merged adapters against one pass for every set, the exported program against the network as
# it was learned, tuning in batches against the usual loop, and late sessions against early ones.
#
# **Expected.** A prediction with merged adapters takes $T$ times less than with $T$ sets, give or
# take a tenth. Learning a late session takes as long as learning an early one.
#
# **Takes** half an hour on two cores (`budget = 1` and fewer `parts` for a look). Run nothing else
# beside it.

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
parts: list = ["inference", "export", "head", "tuning", "growth"]  # which to measure
sessions: list = [4, 10, 20]  # T, how many adapter sets ACL keeps
batches: list = [1, 64]  # images at a time
budget: float = 20.0  # seconds a comparison goes on for
many_sessions: int = 50  # of the stream that late sessions are measured on
device: str = "auto"  # a GPU if there is one
cores: int = 0  # to compute with; 0: as many as torch takes
figures_folder: str = "../runs/by-hand/figures"

# %%
# %matplotlib inline
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from dynammo.data.files import write_text
from dynammo.draw.speed import speed_figure
from dynammo.draw.style import save_figure
from dynammo.measure import speed, speed_of_learning
from dynammo.measure.growth import growth_rows, many_classes, patterned_images, storage_row
from dynammo.measure.predictions import session_row
from dynammo.measure.race import machine, readable_races, with_verdict
from dynammo.run.expected import as_expected
from dynammo.run.export import DeployedNetwork, export_program
from dynammo.run.learn import open_session
from dynammo.run.run_folder import choose_device
from dynammo.run.settings import RunSettings

# %%
torch.set_num_threads(cores or torch.get_num_threads())
device = choose_device(device).type
backbones = speed.make_backbones(list(speed.SIZES), device)
counts = dict(zip(speed.SIZES, (320, 64), strict=True))
images = {
    name: patterned_images(np.arange(counts[name]) % 8, size) for name, size in speed.SIZES.items()
}
rows = []
print(machine(device))


def take(part, found):
    """Note rows of a part as they come, if the part is wanted."""
    for row in found if part in parts else ():
        rows.append({"part": part} | with_verdict(row))
        print(f"  {row['what']} ({row['backbone']}): {row['ratio']:.2f}", flush=True)


# %% [markdown]
# ## A prediction
# ACL runs the network once for each of its $T$ sets, DynaMMo once. ResNet-18 has random weights
# here, which take the same time.

# %%
for backbone in backbones:
    take("inference", speed.inference_rows(backbone, sessions, batches, budget))

# %% [markdown]
# ## The exported program
# Batch norm of adapters is folded into their convolutions, and the result is written as one file
# that runs without this project.

# %%
for backbone in backbones if "export" in parts else ():
    with tempfile.TemporaryDirectory() as folder:
        network = DeployedNetwork(speed.outline("dynammo", backbone, 4))
        size = speed.SIZES[backbone.name]
        path = export_program(network, size, Path(folder) / "dynammo.pt2")
        program = torch.export.load(path).module()
    take("export", speed.export_rows(backbone, program, batches, budget))

# %% [markdown]
# ## Tuning heads and adapters
# Features that no longer change are computed once, not in every epoch; images are prepared a batch
# at a time, not one by one. The losses are the same, and so are the epochs (100, of heads).

# %%
plain = RunSettings().with_changes({"head_steps": 0})
some = images["efficientnet_lite0"][: plain.memory_budget]
take("head", (speed_of_learning.head_row(backbones[0], some, n, plain, budget) for n in (1, 4)))
for backbone, epochs in zip(backbones, (3, 1), strict=True):
    settings = plain.with_changes({"backbone": backbone.name, "adapter_epochs": epochs})
    own, size = images[backbone.name], speed.SIZES[backbone.name]
    take("tuning", speed_of_learning.tuning_rows(backbone, own, settings, budget))
    if device != "cpu":
        take("tuning", speed_of_learning.precision_rows(backbone, own, settings, budget))
    take("tuning", [speed_of_learning.limit_row(backbone, size, 32, budget)])
    take("tuning", [speed_of_learning.prefix_row(backbone, size, 32, budget)])

# %% [markdown]
# ## Many sessions
# A stream of easy classes, two a session, learned as notebook 2 does: each session from the folder
# of the one before.

# %%
for backbone in backbones if "growth" in parts else ():
    take("growth", [storage_row(backbone, speed.SIZES[backbone.name], 1, many_sessions)])

# %%
measured = []
with tempfile.TemporaryDirectory() as folder:
    run = Path(folder)
    many_classes(run / "many.npz", 2 * many_sessions, 32)
    changes = {"stream": str(run / "many.npz"), "methods": ["dynammo"], "adapter_epochs": 2}
    changes |= {"memory_budget": 2 * many_sessions, "device": device}
    settings = plain.with_changes(changes | {"threads": torch.get_num_threads()})
    for session in range(1, many_sessions + 1) if "growth" in parts else ():
        group = open_session(run, settings, 0, 1, session)
        stopwatch, answers = group.learn_next(progress=False)
        seconds = {row["part"]: row["seconds"] for row in stopwatch.rows}
        memory = max(row["peak_megabytes"] for row in stopwatch.rows)
        learning = seconds["training"] + seconds["head"]
        measured.append({"learning": learning, "test": seconds["test"], "memory": memory})

# %%
if measured:
    accuracy = session_row(answers["dynammo"])["accuracy"]
    take("growth", growth_rows(measured, settings.backbone, accuracy))

# %% [markdown]
# ## All of it
# Targets that were set before measuring are marked: met or not.

# %%
columns = ["part", "what", "backbone", "sessions", "batch", "slow_seconds", "fast_seconds", "ratio"]
columns += ["lowest", "highest", "rounds", "at_least", "at_most", "met", "note"]
table, place = pd.DataFrame(rows).reindex(columns=columns), Path(figures_folder)
words = readable_races(table)
write_text(place / "speed.md", words.to_markdown(index=False) + "\n")
words

# %%
if {"inference", "export"} <= set(parts):
    figure = speed_figure(table, machine(device))
    save_figure(figure, table, place / "speed", {"machine": machine(device)})
else:
    figure = "drawn where at least inference and export are measured"
figure

# %% [markdown]
# ## As expected?
# What stands at the top of this notebook, beside what came out here.

# %%
expectations = {}
passes = table[table.what == "inference: merged against every set kept"]
if len(passes):
    off = (passes.ratio / passes.sessions.astype(float) - 1).abs().max()
    expectations["T times less, give or take a tenth"] = f"off by up to {off:.0%}", off < 0.1
late = table[table.what.str.contains("seconds of learning")]
if len(late):
    told = ", ".join(f"{ratio:.2f} times" for ratio in late.ratio)
    expectations["a late session takes what an early one does"] = told, (late.ratio < 1.2).all()
as_expected(expectations)

# %% [markdown]
# ## What to take home
# 1. One pass in place of $T$ is a speed-up of nearly $T$: multiply-accumulates tell the time here.
# 2. Storage and learning time stay the same however many sessions there were. Only testing takes
#    longer, because there are more classes to test.
#
# **Before:** [deviations from the paper](20_deviations.ipynb) · **Next:**
# [what a run survives](22_what_survives.ipynb)
