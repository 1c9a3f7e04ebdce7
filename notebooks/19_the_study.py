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
# # 19 · The study: what holds of the paper
#
# **What you will see.** Many methods on streams of real images, in six class orders (three for
# those that train a whole network, for CIFAR and for ResNet-18): accuracy against cost, and the
# paper's claims one by one. Their bounds were written down before the study was run, though not
# before any pilot ([claims.py](../dynammo/measure/claims.py)). Each verdict comes with an interval
# that says how sure it is.
#
# **Expected:** the numbers in [the study's page](STUDY.md), exactly. This notebook computes them
# from what each method answered for each test image, which is published with the project. Where you
# have run the study yourself (`./run_all.sh --profile study`), it takes your runs.
#
# **Takes** half a minute. The study itself takes nights.

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
profile: str = "study"  # which profile's runs to compare
figures_folder: str = "../figures"  # tables and pictures go into a folder there
runs_folder: str = "../runs"  # where the runs are

# %%
# %matplotlib inline
import json
import shlex
import warnings
from pathlib import Path

import pandas as pd
from IPython.display import display
from scipy.special import stdtrit

from dynammo.data import files
from dynammo.draw import all_streams
from dynammo.draw.accuracy import accuracy_by_family
from dynammo.draw.style import look, save_figure
from dynammo.errors import InputError
from dynammo.measure import claims
from dynammo.measure.intervals import over_runs
from dynammo.measure.summary import summarise
from dynammo.run.archive import unpack
from dynammo.run.collect import collect, learned_methods
from dynammo.run.expected import as_expected
from dynammo.run.profiles import load_runs
from dynammo.run.run_folder import settings_of

place = Path(figures_folder, profile)

# %% [markdown]
# A run of your own, or the published one: an archive of its answers, unpacked beside your runs.


# %%
def has_answers(folder):
    """Whether a run has learned a stream by some method to the end."""
    return (folder / "settings.json").exists() and learned_methods(folder, settings_of(folder))


def folder_of(name):
    """Where a run's answers are, or None if there are none."""
    own, archive = Path(runs_folder, name), place / f"{name}.tar.xz"
    if has_answers(own):
        return own
    if not archive.exists():
        return None
    unpacked = Path(runs_folder, "published", name)
    files.remove_folder(unpacked)  # of an older archive
    unpack(archive, unpacked)
    return unpacked


# %%
planned = load_runs(profile)
folders = {name: folder for name in planned if (folder := folder_of(name))}
if not folders:
    raise InputError(f"No run of '{profile}' is there yet: ./run_all.sh --profile {profile}")
print("Runs:", ", ".join(folders))

# %% [markdown]
# From answers to tables. What older code of this project learned is read as it is: its revision is
# below.


# %%
def asked_of(name, folder):
    """A run's settings; of a published one those that are planned, with the seeds that it has."""
    own = settings_of(folder)
    if folder == Path(runs_folder, name):
        return own
    as_run = ("order_seeds", "train_seeds", "backbone")  # of ResNet-18 the weights that were there
    return planned[name].with_changes({key: getattr(own, key) for key in as_run})


# %%
warnings.filterwarnings("ignore", "Learned by other code")
settings, tables = {}, {}
for name, folder in folders.items():
    asked = asked_of(name, folder)
    settings[name] = asked.with_changes({"methods": learned_methods(folder, asked)})
    tables[name] = collect(folder, settings[name])
titles = {
    name: f"{name.removeprefix(f'{profile}-')}, {claims.length(table['sessions'])}"
    for name, table in tables.items()
}
sessions = {titles[name]: table["sessions"] for name, table in tables.items()}
summaries = {titles[name]: summarise(table) for name, table in tables.items()}
compared = {titles[name]: table["intervals"] for name, table in tables.items()}

# %% [markdown]
# In tables and pictures methods are sorted by their average accuracy on the first stream.

# %%
best = [table.set_index("method").average_accuracy for table in summaries.values()]
best = pd.concat(best, axis=1, keys=range(len(best)))
ordered = best.sort_values(list(best), ascending=False).index

# %% [markdown]
# ## What was run
# *Blood* is notebook 1's, *skin* is dermatoscopy, *histology* is lung and colon tissue. *Mixed*
# takes sessions from these three in turn, *cifar* is a part of CIFAR-100, and *resnet* is blood
# under the paper's network ([the files](CARDS.md)). For each run the table says how much of its
# data it used, and which command and revision of the code made it. The hours add up all jobs as if
# one core had done them; two cores need half.


# %%
def told(name, folder):
    """What a run's own record says."""
    origin, used = json.loads((folder / "provenance.json").read_text()), settings[name]
    asked = planned[name].as_dict() | {"methods": list(used.methods), "threads": used.threads}
    other = [f"{k}={json.dumps(v)}" for k, v in used.as_dict().items() if v != asked[k]]
    command = f"./run_all.sh --profile {profile}/{name.removeprefix(f'{profile}-')}"
    return {
        "command": " --set ".join([command, *map(shlex.quote, other)]),
        "training images a class": used.train_per_class or "all",
        "exemplars": used.memory_budget,
        "class orders": len(used.order_seeds),
        "training seeds": len(used.train_seeds),
        "backbone": backbones[name],
        "epochs": used.adapter_epochs,
        "methods": len(used.methods),
        "hours of one core": f"{tables[name]['timings'].seconds.sum() / 3600:.1f}",
        "revision": origin["git_revision"],
        "checksum of the data": origin["data_checksum"][:12],
    }


# %%
backbones = {name: used.backbone.rpartition(":")[2] for name, used in settings.items()}
records = {name: told(name, folder) for name, folder in folders.items()}
written = pd.DataFrame(records).T.rename_axis("run")
files.write_csv(place / "runs.csv", written.reset_index())
written.T

# %% [markdown]
# ## Accuracy against cost
# The paper's argument, one panel a stream: by how many points is each method over DynaMMo, in the
# same runs, and what does it cost? ACL keeps every adapter set, DynaMMo their mean.

# %%
note = "; ".join(sorted(set(backbones.values())))
record = written["checksum of the data"].to_dict()
figure = all_streams.accuracy_and_cost_by_stream(ordered, compared, summaries, note)
told_apart = []
for title, table in compared.items():
    own = table.query("method == 'dynammo' and measure == 'average'")
    macs = own.other.map(summaries[title].set_index("method").macs)
    told_apart.append(own.assign(stream=title, macs=macs))
save_figure(figure, pd.concat(told_apart), place / "accuracy_and_cost", record)
figure

# %% [markdown]
# ## The claims, one by one
# Another class order, another seed or other test images would have given another difference. The
# interval says how far off it could be: its lower and its upper bound are each right in 95 of 100
# such cases ([intervals.py](../dynammo/measure/intervals.py)). A claim holds (✓) where the whole
# interval is within the claim's threshold, and does not (✗) where all of it is outside. Otherwise
# it is *open*: these runs cannot tell. Each ✓ and each ✗ may be wrong in 5 of 100 cases, so of all
# in the table one or two may be.
#
# Both methods are compared on the same runs and the same images. Seeds of one order are averaged
# first, because they share what the order does. The table's last row says what the intervals are
# over.
#
# What a method costs is not judged, because it follows from how a method is built: after $T$
# sessions an image takes $T$ passes through a network that grows, and one through DynaMMo's. The
# second table says how many times DynaMMo's multiply-accumulates that is. (DER's passes have no
# adapters, so each is cheaper.)


# %%
def bounds_over_orders(gaps):
    """Mean of the differences of each class order, and its lower and upper bound."""
    error = gaps.std() / len(gaps) ** 0.5  # the standard error of the mean
    half = stdtrit(len(gaps) - 1, 0.95) * error  # Student's t: few orders tell little
    return gaps.mean(), gaps.mean() - half, gaps.mean() + half


# %% [markdown]
# ACL and DynaMMo on the first stream. The library's interval over orders is the same, or wider
# where seeds within an order lie further apart than orders do. The last row counts what other test
# images would change as well.

# %%
pair, (stream, first) = ("dynammo", "acl", "average"), next(iter(sessions.items()))
by_run = 100 * first.groupby(["method", "order_seed", "train_seed"]).accuracy.mean()
if {"dynammo", "acl"} <= set(first.method) and len(first.order_seed.unique()) > 1:
    by_order = (by_run["dynammo"] - by_run["acl"]).groupby("order_seed").mean()
    over_orders = over_runs(first).set_index(["method", "other", "measure"]).loc[pair]
    over_images = compared[stream].set_index(["method", "other", "measure"]).loc[pair]
    mean, low, high = bounds_over_orders(by_order)
    assert abs(mean - over_orders["mean"]) < 1e-6 and low > over_orders["low"] - 1e-6
    both = over_orders.rename("over orders"), over_images.rename("and over images")
    by_hand = pd.Series({"mean": mean, "low": low, "high": high}, name="by hand")
    display(pd.concat([by_hand, *both], axis=1).T[["mean", "low", "high"]].astype(float).round(2))

# %%
judged = claims.judged(compared)
table = all_streams.with_checks(judged)
files.write_csv(place / "claims.csv", judged)
files.write_text(place / "claims.md", table.reset_index().to_markdown(index=False) + "\n")
table

# %%
growth = claims.cost_ratios(sessions)
files.write_text(place / "cost_ratios.md", growth.to_markdown() + "\n")
growth

# %%
figure = all_streams.claims_figure(judged, note)
save_figure(figure, judged, place / "claims", record)
figure

# %% [markdown]
# ## Every method on every stream
# Accuracy in %, mean ± standard deviation over runs: the average over sessions, and after the last
# one. Averages flatter a method that is good from the first session on.


# %%
def kept(name, table):
    """The table, which is also written as the study's page shows it."""
    files.write_text(place / f"{name}.md", table.to_markdown(disable_numparse=True) + "\n")
    return table


# %%
def all_methods(measure):
    """A row for each method, a column for each stream."""
    columns = {}
    for stream, table in summaries.items():
        table = 100 * table.set_index("method")[[measure, f"{measure}_sd"]]
        texts = [f"{mean:.1f} ± {sd:.1f}" for mean, sd in table.to_numpy()]
        columns[stream] = pd.Series(texts, table.index).str.removesuffix(" ± nan")
    told = pd.DataFrame(columns).reindex(ordered).fillna("–")
    return told.rename(names).rename_axis("method")


names = {method: look(method).title for method in ordered}
kept("average", all_methods("average_accuracy"))

# %%
kept("last", all_methods("last_accuracy"))

# %% [markdown]
# Do not subtract rows that have other runs. Here are differences **run by run**, in points, with
# intervals over runs and test images. Where the last session brings a single class, the column's
# title says so: that session has no classes of its own to tell apart.

# %%
pairs = [("dynammo", other) for other in ordered if other != "dynammo"]
pairs += [("acl", "ridge_frozen")]
pairs += [("dynammo_ridge", other) for other in ("ridge_frozen", "last_adapter_ridge")]
pairs += [("dynammo_gentle", "ridge_frozen")]


def all_differences(measure):
    """A row for each pair of methods, a column for each stream."""
    rows = {}
    for stream, table in compared.items():
        table = table[table.measure == measure].set_index(["method", "other"])
        rows[stream] = all_streams.interval_text(table)
    told = pd.DataFrame(rows).reindex(pairs).fillna("–")
    told.index = [f"{look(one).title} − {look(other).title}" for one, other in pairs]
    return told.rename_axis("difference")


kept("average_differences", all_differences("average"))

# %%
kept("last_differences", all_differences("last"))

# %% [markdown]
# ## Session by session

# %%
for name, table in tables.items():
    figure = accuracy_by_family(table["sessions"], f"{titles[name]} · {backbones[name]}")
    save_figure(figure, table["sessions"], place / f"{name}_by_session", {name: record[name]})
    display(figure)

# %% [markdown]
# DynaMMo minus the newest set alone, after the last session, by the session that brought the class,
# in points: what does merging gain, and on which classes does it lose?

# %%
gained = {}
for title, name in zip(sessions, tables, strict=True):
    read = tables[name]["accuracy"]
    end = (
        100
        * read[read.session == read.session.max()]
        .groupby(["method", "evaluated_session"])
        .accuracy.mean()
    )
    gained[title] = (end["dynammo"] - end["last_adapter"]).round(1)
gained = pd.DataFrame(gained).rename_axis("session")
kept("by_session", gained.map("{:+.1f}".format, na_action="ignore").fillna(""))

# %% [markdown]
# ## Where classes are of unequal size
# A method that names the largest class often is right often. Mean recall over classes, which the
# paper reports for SKIN8, counts every class alike, and so does macro F1; on balanced streams the
# recall is the accuracy. AUROC asks of each class whether its images get a higher score for it than
# others do. Average over sessions in %, mean over runs.

# %%
for measure in ("mean_class_recall", "macro_f1", "auroc"):
    alike = {t: 100 * read.groupby("method")[measure].mean() for t, read in sessions.items()}
    alike = pd.DataFrame(alike).reindex(ordered).rename(names)
    display(kept(measure, alike.map("{:.1f}".format, na_action="ignore").fillna("–")))

# %% [markdown]
# ## What each costs at the end
# After the last session: multiply-accumulates (MACs) for one image, numbers stored, both in
# millions, and training images kept. Numbers are weights, and for solved heads also statistics of
# features. An image of 64 px is 12,288 bytes, as much as three thousand numbers.


# %%
def costs(name):
    """A text for each method of a run."""
    table = summaries[titles[name]].set_index("method")
    side = json.loads((folders[name] / "data" / "stream.json").read_text())["image_size"]
    images = table.exemplar_bytes / (3 * side**2)
    columns = table.macs / 1e6, table.parameters_stored / 1e6, images
    texts = [f"{a:.0f} / {b:.1f} / {c:.0f}" for a, b, c in zip(*columns, strict=True)]
    return pd.Series(texts, table.index)


cost = pd.DataFrame({title: costs(name) for name, title in titles.items()}).reindex(ordered)
kept("cost", cost.rename(names).fillna("–"))

# %% [markdown]
# ## As expected?
# Are these the tables on the study's page? Those of your own runs will not be.

# %%
page = Path("STUDY.md").read_text() if Path("STUDY.md").exists() else ""
written = ["claims", "cost_ratios", "average", "last", "cost"]
written += ["average_differences", "last_differences"]
same = {name: (place / f"{name}.md").read_text().strip() for name in written}
as_expected({name: ("on the page", text in page) for name, text in same.items()})

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
#    With more sessions more sets are averaged: the two streams of ten have the largest gaps, and
#    that of three the smallest. But blood and skin have four sessions each, and their gaps lie
#    nearly as far apart. What else differs is how well classes can be told at all, and how many
#    images there are.
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
#    are compared with means over six or twelve. And which of them kept images, statistics of all
#    images, or trained the whole network?
# 3. A claim is a sentence, two methods, a measure and a bound:
#
#    ```python
#    mine = claims.Claim("RanPAC is enough", "mine", "average", "dynammo",
#        "ranpac_no_projection", at_most=0)
#    claims.judged(compared, [mine])
#    ```
#
#    An empty table means that no stream has both methods. Where runs differ more than images do,
#    twice as narrow an interval takes four times the class orders. The first few bring more than
#    that: with three orders the spread itself is badly known, and the interval is nearly twice as
#    wide as with a known spread.

# %% [markdown]
# ## References
# * M. A. Qazi et al., *DynaMMo*, MIUA 2024, arXiv 2404.14099.
#
# **Before:** [the figures](18_figures.ipynb) · **Next:** [deviations](20_deviations.ipynb)
