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
# # 14 · The study: what holds of the paper
#
# **What you will see.** Every method on five streams of real images, in three class orders and with
# three training seeds: accuracy against cost, and the paper's claims one by one. Their bounds were
# written down before the study was run ([claims.py](../dynammo/measure/claims.py)). Each verdict
# comes with an interval that says how sure it is.
#
# **Expected:** the numbers in [the study's page](STUDY.md), exactly, since this notebook reads the
# study's committed tables. It draws them again when `./run_all.sh --profile study` has made new
# ones.
#
# **Takes** ten seconds. The study itself takes nights.

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
profile: str = "study"  # which profile's runs to compare
figures_folder: str = "../figures"  # where the runs' tables are; pictures go into a folder there
runs_folder: str = "../runs"  # where the runs themselves are; they may be gone

# %%
# %matplotlib inline
import json
import shlex
from pathlib import Path

import pandas as pd

from dynammo.data import files
from dynammo.draw import all_streams
from dynammo.draw.style import look, save_figure
from dynammo.errors import InputError
from dynammo.measure import claims, intervals
from dynammo.run.profiles import load_runs

place = Path(figures_folder)
planned = load_runs(profile)
runs = [name for name in planned if (place / name / "summary.csv").exists()]
if not runs:
    raise InputError(f"No run of '{profile}' is there yet: ./run_all.sh --profile {profile}")
print("Runs:", ", ".join(runs))

# %%
origins = {name: json.loads((place / name / "provenance.json").read_text()) for name in runs}
sessions, summaries, compared = {}, {}, {}
for name in runs:
    read, file = pd.read_csv(place / name / "sessions.csv"), place / name / "intervals.csv"
    title = f"{name.removeprefix(f'{profile}-')}, {claims.length(read)}"
    sessions[title], summaries[title] = read, pd.read_csv(place / name / "summary.csv")
    compared[title] = pd.read_csv(file) if file.exists() else intervals.over_runs(read)

# %% [markdown]
# ## What was run
# On which data, how much of it, and by which code: each run's own record.

# %%
pd.DataFrame(
    {
        name: {
            "stream": origin["stream"],
            "training images a class": origin["settings"]["train_per_class"] or "all",
            "exemplars": origin["settings"]["memory_budget"],
            "class orders": origin["settings"]["order_seeds"],
            "training seeds": origin["settings"]["train_seeds"],
            "backbone": origin["settings"]["backbone"],
            "epochs": origin["settings"]["adapter_epochs"],
            "data": origin["data_checksum"][:12],
            "code": origin["code_checksum"][:12],
        }
        for name, origin in origins.items()
    }
).T

# %% [markdown]
# By which command and revision, and in how much time: sums over all jobs, so half of it on two
# cores. Where the runs themselves are gone this is kept as it was written down.

# %%
written = place / profile / "runs.csv"
kept = pd.read_csv(written, dtype=str).set_index("run").T.to_dict() if written.exists() else {}
for name, origin in origins.items():
    record, timings = Path(runs_folder, name, "provenance.json"), place / name / "timings.csv"
    if record.exists() and timings.exists():
        asked = planned[name].as_dict() | {k: origin["settings"][k] for k in ("stream", "threads")}
        given = origin["settings"].items()
        other = [f"{k}={json.dumps(v)}" for k, v in given if v != asked[k]]
        command = f"./run_all.sh --profile {profile}/{name.removeprefix(f'{profile}-')}"
        kept[name] = {
            "command": " --set ".join([command, *map(shlex.quote, other)]),
            "revision": json.loads(record.read_text())["git_revision"],
            "hours of one core": f"{pd.read_csv(timings).seconds.sum() / 3600:.1f}",
            "data_checksum": origin["data_checksum"],
            "code_checksum": origin["code_checksum"],
        }
table = pd.DataFrame(kept)[[name for name in runs if name in kept]].T.rename_axis("run")
files.write_csv(written, table.reset_index())
table

# %% [markdown]
# ## Accuracy against cost
# The paper's argument, one panel a stream. The arrow goes from ACL, which keeps every adapter set,
# to DynaMMo, which keeps their mean, and tells both differences.

# %%
note = "; ".join(sorted({f"{x['settings']['backbone']}" for x in origins.values()}))
record = {name: origin["data_checksum"] for name, origin in origins.items()}
figure = all_streams.accuracy_against_macs_by_stream(summaries, note)
both = pd.concat(table.assign(stream=title) for title, table in summaries.items())
save_figure(figure, both, place / profile / "accuracy_against_macs", record)
figure

# %% [markdown]
# ## The claims, one by one
# Another class order, another seed or other test images would have given another difference. The
# interval says how far off it could be: its lower and its upper bound are each right in 95 of 100
# such cases ([intervals.py](../dynammo/measure/intervals.py)). A claim holds (✓) where the whole
# interval is within the claim's bound, and does not (✗) where all of it is outside. Otherwise it is
# *open*: these runs cannot tell. Each ✓ and each ✗ may be wrong in 5 of 100 cases, so of all in the
# table one or two may be.
#
# Both methods are compared on the same runs and the same images. Methods on the adapter chains
# (DynaMMo's three, ACL, the last adapter, frozen features) were run with each seed in each order.
# The rest were run once for each order. Seeds of one order are averaged first, because they share
# what the order does. The table's last row says what the intervals are over. Where a run has no
# `intervals.csv`, they are over runs only, and leave out that other images could have been tested.
#
# What a method costs is not judged: it follows from how it is built.

# %%
judged = claims.judged(compared)
table = all_streams.with_checks(judged)
cost = claims.cost_in_words(sessions)
text = f"{table.reset_index().to_markdown(index=False)}\n\n{cost}\n"
files.write_csv(place / profile / "claims.csv", judged)
files.write_text(place / profile / "claims.md", text)
print(cost)
table

# %%
figure = all_streams.claims_figure(judged, note)
save_figure(figure, judged, place / profile / "claims", record)
figure

# %% [markdown]
# ## Every method on every stream
# Average accuracy over sessions in %, mean ± standard deviation over runs.

# %%
cells = 100 * both.set_index(["method", "stream"])[["average_accuracy", "average_accuracy_sd"]]
text = cells.average_accuracy.map("{:.1f}".format)
text += cells.average_accuracy_sd.map(" ± {:.1f}".format)
table = text.reset_index(name="text").pivot_table("text", "method", "stream", aggfunc="first")
table = table.loc[both.method.unique(), list(summaries)]
titles = {method: look(method).title for method in table.index}
files.write_text(place / profile / "methods.md", table.rename(titles).to_markdown() + "\n")
table.rename(titles)

# %% [markdown]
# ## What the averages hide
# Averages over sessions flatter a method that is good from the first session on. Here is DynaMMo
# minus every other method, also after the **last** session: the mean with its interval, and the
# standard deviation over runs. In brackets: in how many runs DynaMMo is behind; in how many by more
# than the paper's 2.76 points; of how many. Where the last session brings a single class, the
# column's title says so: that session has no classes of its own to tell apart.


# %%
def behind(measure, other, title):
    """DynaMMo's difference to another method on one stream, in words."""
    found = claims.paired(sessions[title], "dynammo", other, measure)
    pair = compared[title].query("method == 'dynammo' and other == @other and measure == @measure")
    told = all_streams.interval_text(pair).item()
    told += f", ± {found.std():.1f}" if len(found) > 1 else ""
    return f"{told} ({(found < 0).sum()}, {(found < -2.76).sum()} of {len(found)})"


rows = {}
for other in (name for name in both.method.unique() if name != "dynammo"):
    for measure in ("average", "last"):
        told = {t: behind(measure, other, t) for t, s in sessions.items() if other in set(s.method)}
        rows[f"DynaMMo − {titles[other]}", measure] = told
differences = pd.DataFrame(rows).T.rename_axis(["difference", "accuracy"])
text = differences.reset_index().to_markdown(index=False)
files.write_text(place / profile / "differences.md", text + "\n")
differences

# %% [markdown]
# DynaMMo minus the newest set alone, after the last session, by the session that brought the class,
# in points: what does merging gain, and on which classes does it lose?

# %%
gained = {}
for title, name in zip(sessions, runs, strict=True):
    read = pd.read_csv(place / name / "accuracy.csv")
    end = (
        100
        * read[read.session == read.session.max()]
        .groupby(["method", "evaluated_session"])
        .accuracy.mean()
    )
    gained[title] = (end["dynammo"] - end["last_adapter"]).round(1)
gained = pd.DataFrame(gained).rename_axis("session")
gained = gained.map("{:+.1f}".format, na_action="ignore").fillna("")
text = gained.to_markdown(disable_numparse=True)
files.write_text(place / profile / "by_session.md", text + "\n")
gained

# %% [markdown]
# ## Where classes are of unequal size
# A method that names the largest class often is right often. Mean recall over classes, which the
# paper reports for SKIN8, counts every class alike; on balanced streams it is the accuracy. Average
# over sessions in %, mean over runs.

# %%
recall = {t: 100 * read.groupby("method").mean_class_recall.mean() for t, read in sessions.items()}
recall = pd.DataFrame(recall).loc[table.index].round(1).rename(titles)
files.write_text(place / profile / "recall.md", recall.to_markdown(floatfmt=".1f") + "\n")
recall

# %% [markdown]
# ## Exercises
# 1. On which stream does keeping every adapter set buy most? What does it have more of than the
#    others: sessions, classes, sources?
# 2. Which methods are both more accurate and cheaper than DynaMMo on some stream? On all of them?
# 3. Add a claim of your own to `claims.CLAIMS` **before** you look at its numbers, and judge it.
#    How many more runs would an open claim take?

# %% [markdown] tags=["solution"]
# ## Solutions
# 1. Sort the claim's rows, and look at T:
#
#    ```python
#    judged.query("method == 'dynammo' and other == 'acl'").sort_values("mean")[["stream", "mean"]]
#    ```
#
#    With more sessions more sets are averaged, and the stream of ten has the largest gap. But T
#    does not order the others: skin has four sessions and the smallest. What else differs is how
#    well classes can be told at all, and the size of the images.
# 2. Ask each stream's table, and intersect:
#
#    ```python
#    better = []
#    for table in summaries.values():
#        row = table.set_index("method").loc["dynammo"]
#        cheap = table[table.macs < 1.01 * row.macs]
#        better.append(set(cheap[cheap.average_accuracy > row.average_accuracy].method))
#    better, set.intersection(*better)
#    ```
#
#    The 1 % is for heads of slightly other sizes. Read the answer with care: means over three runs
#    are compared with means over nine. And which of them kept images, statistics of all images, or
#    trained the whole network?
# 3. A claim is a sentence, two methods, a measure and a bound:
#
#    ```python
#    mine = claims.Claim("RanPAC is enough", "mine", "average", "dynammo", "ranpac", at_most=0)
#    claims.judged(compared, [mine])
#    ```
#
#    Where runs differ more than images do, twice as narrow an interval takes four times the class
#    orders. The first few bring more than that: of three orders it is hardly known how much they
#    differ, and the interval is nearly twice as wide as if it were.

# %% [markdown]
# ## References
# * M. A. Qazi et al., *DynaMMo*, MIUA 2024, arXiv 2404.14099.
#
# **Before:** [the figures](13_figures.ipynb) · **Next:** [deviations](15_deviations.ipynb)
