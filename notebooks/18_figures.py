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
# # 18 · The figures
#
# **What you will see.** Every figure of a run: what is kept and what is forgotten, session after
# session, and what each method costs. Each picture is saved as PNG and SVG with its numbers as csv.
#
# **Expected.** DynaMMo is a point or two under ACL at a quarter of its multiply-accumulates, and
# the last adapter alone is level with DynaMMo or above. The section "As on our machine?" has the
# numbers.
#
# **Takes** about half a minute. It draws what `./run_all.sh` left; if that is not there yet, it is
# made first (9 to 45 minutes).

# %% tags=["parameters"]
run_folder: str = "../runs/demo"  # the run to draw
figures_folder: str = "../figures/by-hand"  # where pictures and numbers go
exported: str = "dynammo"  # whose network to take away: any method of this run

# %%
# %matplotlib inline
from pathlib import Path

import pandas as pd
from IPython.display import display

from dynammo.data import files
from dynammo.draw.accuracy import accuracy_by_family
from dynammo.draw.costs import accuracy_and_cost, average_and_cost, cost_bars, cost_growth_figure
from dynammo.draw.frames import Frames
from dynammo.draw.heat_maps import accuracy_matrices, confusion_and_difference
from dynammo.draw.method import method_diagram
from dynammo.draw.strip import forget_adapt_average
from dynammo.draw.style import look, save_figure
from dynammo.errors import InputError
from dynammo.measure import cost
from dynammo.measure.summary import readable, summarise, training_cost
from dynammo.networks.own import recipe_of
from dynammo.run import command
from dynammo.run.code import code_checksum
from dynammo.run.collect import collect, write_tables
from dynammo.run.expected import as_expected, compare, told
from dynammo.run.learn import last_session
from dynammo.run.provenance import note, own_files, provenance
from dynammo.run.run_folder import load_stream

# %%
run, figures = Path(run_folder), Path(figures_folder)
settings = command.settings_of_run(run)
data = load_stream(settings, settings.order_seeds[0], run)
under = note(settings, data)
if len(data.sessions[-1]) == 1:
    under += "; the last session brings one class only"
origin = provenance(data)
collected = collect(run, settings)


# %%
def save(figure, table, name):
    """Write a figure with its numbers, and show it."""
    save_figure(figure, table, figures / name, origin)
    return figure


# %% [markdown]
# ## The method, with this run's own numbers
# In each session a set of adapters is tuned in the frozen network, and joins the mean of all sets.
# At test time an image takes one pass, through the mean.

# %%
recipe = recipe_of(settings.backbone)
adapted = settings.adapter_stages or recipe.adapter_stages  # some may be parts of stages
save(
    method_diagram(
        classes_per_session=[len(labels) for labels in data.sessions],
        stage_names=list(recipe.stages),
        adapter_stages=[
            stage
            for stage in recipe.stages
            if any(f"{one}.".startswith(f"{stage}.") for one in adapted)
        ],
        backbone_title=recipe.title or settings.backbone,
        memory_budget=settings.memory_budget,
        note=under,
    ),
    None,
    "method",
)

# %% [markdown]
# ## The story in one picture
# Fine-tuning forgets, ACL keeps every session's adapters, and DynaMMo averages them: accuracy on
# each session's classes as sessions go by under the first class order, and the work for one image
# at the end.
#
# (Drawn where the run has all three.)

# %%
told_by = ("fine_tuning", "acl", "dynammo")
if set(told_by) <= set(settings.methods):
    own = collected["accuracy"].query("method in @told_by")
    own = own[own.order_seed == settings.order_seeds[0]]
    final = collected["sessions"].query("session == session.max()").groupby("method").macs.max()
    macs = {name: final[name] for name in told_by}
    first = settings.with_changes({"order_seeds": settings.order_seeds[:1]})
    strip = forget_adapt_average(own, macs, note(first, data))
    display(save(strip, own.assign(macs=own.method.map(macs)), "forget_adapt_average"))

# %% [markdown]
# ## Accuracy after each session
# Over **all** classes seen so far, on test images, one panel for each family of methods. A drop is
# not only forgetting: later sessions tell more classes apart. Joint training, where it was run,
# shows how much of the drop that is. Grey lines repeat DynaMMo, ACL and the bounds in every panel,
# as far down as it reaches.

# %%
save(
    accuracy_by_family(collected["sessions"], note=under),
    collected["sessions"],
    "accuracy_by_session",
)

# %% [markdown]
# ## What is forgotten
# Row $i$, column $j$: accuracy on the classes of session $j$ after session $i$. Read a column from
# top to bottom to watch a session fade.

# %%
save(
    accuracy_matrices(collected["accuracy"], note=under),
    collected["accuracy"],
    "accuracy_matrices",
)

# %% [markdown]
# ## Accuracy against cost: the paper's argument in one picture
# On the left, how many points a method is over or under DynaMMo in the same run, so with the same
# class order and seed. On the right, the multiply-accumulates (MACs) of one image after the last
# session, counted by ptflops ("aten" backend) and checked with torch's own counter; FLOPs are twice
# that.

# %%
costs = average_and_cost(collected["sessions"])
save(accuracy_and_cost(costs, note=under), costs, "accuracy_and_cost")

# %% [markdown]
# The same as a table, also written as `summary.csv`, `.md` and `.tex`. Balanced accuracy is the
# mean recall over classes, and macro F1 the mean over classes of F1, which weighs recall and
# precision. AUROC is the mean over classes of the area under the ROC curve, each class against all
# others. Do not compare it between kinds of heads. One head a session gives nothing to the classes
# of sessions that it does not believe, so they tie, and its AUROC is lower at the same accuracy.

# %%
summary = summarise(collected)
readable(summary)

# %% [markdown]
# ## How sure is a difference?
# DynaMMo minus every other method, in points, on the runs that both have and on the same images. In
# brackets are a lower and an upper bound, each of which is right in 95 of 100 such comparisons
# ([intervals.py](../dynammo/measure/intervals.py)). The last column says what could have been
# otherwise: other runs, other test images, or both. With a single run, only other images could. All
# pairs of methods are in `intervals.csv`.

# %%
from dynammo.draw.all_streams import interval_text

pairs = collected["intervals"].query("method == 'dynammo'")
pairs = pairs.assign(points=interval_text(pairs), other=[look(name).title for name in pairs.other])
keys = ["other", "runs", "covers"]
pairs.pivot_table("points", keys, "measure", aggfunc="first", sort=False)

# %% [markdown]
# ## As on our machine?
# How many of this run's numbers are those published with this project, give or take what another
# processor may change? The table shows the means over class orders, in percent.

# %%
compared = compare(collected["sessions"], settings)
print(told(compared))
averages = compared.query("session == 'average'").droplevel("session")
averages[~averages.index.get_level_values("train_seed").str.isdecimal()].round(1)

# %%
mean, expectations = summary.set_index("method"), {}
if {"acl", "dynammo", "last_adapter"} <= set(mean.index):
    points = 100 * (mean.average_accuracy - mean.average_accuracy["dynammo"])
    acl, last = points["acl"], points["last_adapter"]
    passes = mean.macs["acl"] / mean.macs["dynammo"]
    close = abs(passes - data.number_of_sessions) < 0.1
    expectations = {
        "ACL is up to two points above": (f"{acl:+.1f}", 0 < acl < 2.5),
        "at as many times the MACs as sessions": (f"{passes:.2f}", close),
        "the last adapter: level or above": (f"{last:+.1f}", last > -0.5),
    }
as_expected(expectations, settings) if expectations else "of methods that are not all here"

# %% [markdown]
# ## What training took
# Seconds and peak memory of a session, measured here: the mean over sessions and seeds. The peak is
# of the whole process, with Python, torch and the images. Adapters are tuned once for all methods
# that use them, so each of those takes the time of "adapters" and of its own head. A pass that two
# of them need is made once, and its time is the first one's.

# %%
training_cost(collected)

# %% [markdown]
# ## How the cost grows
# ResNet-18 at 224 px, the paper's setting, with 1 to 10 sessions. Counted on the learners' own
# networks, which need not be trained for that. The last panel adds up what must be kept between
# sessions: 4 bytes a number, and the exemplar images.

# %%
growth = pd.DataFrame(cost.paper_cost_growth())
growth_note = "ResNet-18 at 224 px, two classes a session; counted, nothing is trained"
save(cost_growth_figure(growth, note=growth_note), growth, "cost_growth")

# %% [markdown]
# Move the slider from session to session: which bars move?

# %%
times = {f"T = {t}": cost_bars(growth, t, growth_note) for t in sorted(growth["sessions"].unique())}
Frames(times, start="T = 1")

# %% [markdown]
# ## Who is taken for whom?
# After the last session, under the first class order; rows are true classes, and lines part the
# sessions. On the right, what the second method changes: on the diagonal, above 0 is better;
# elsewhere it is worse.

# %%
shown = [m for m in ("acl", "dynammo") if m in settings.methods]
shown = shown if len(shown) == 2 else [settings.methods[0], settings.methods[-1]]
confusion = collected["confusion"].query("method in @shown")
of_one_order = note(settings.with_changes({"order_seeds": settings.order_seeds[:1]}), data)
save(
    confusion_and_difference(confusion, *shown, data.session_of_class, note=of_one_order),
    confusion,
    "confusion",
)

# %% [markdown]
# ## The numbers behind it all

# %%
used = {"settings": {**settings.as_dict(), "stream": data.name}, "code_checksum": code_checksum()}
files.write_json(figures / "provenance.json", origin | used | own_files(settings))
write_tables(figures, collected, summary)
sorted(path.name for path in figures.glob("*.csv"))

# %% [markdown]
# ## A folder to take away
# What was needed for learning can go: the merged adapters' batch norm is folded into their
# convolutions, as the backbone's was before, and network, head and the scaling of pixels are
# written as one program. Anyone with torch can run it, without this project: uint8 images in,
# probabilities out. A card beside it says which classes they are of, and from where on an image
# looks like none of them. `python -m dynammo.run.predict` names a folder of images with it.

# %%
import torch

from dynammo.run.export import export

seeds = settings.order_seeds[0], settings.train_seeds[0]
try:
    group = last_session(run, settings, *seeds, exported)
    learner = next(one for one in group.learners if one.name == exported)
    own = collected["sessions"].query("method == @exported")
    folder = export(learner, run / "export" / exported, own["open_set_fpr95"].mean())
except InputError as error:  # of an archive, an older run, or a network that torch cannot write
    group = None
    print(f"Not exported: {error}")

# %%
if group:
    program = torch.export.load(folder / "network.pt2").module()  # all that its user has to write
    images = data.test.images[:64]
    probabilities, unlike = program(torch.as_tensor(images))
    same = probabilities.argmax(dim=1) == learner.judge(images)[0].cpu().argmax(dim=1)
    print(f"{int(same.sum())} of {len(images)} predictions as before")
    print((folder / "card.json").read_text())

# %% [markdown]
# ## Exercises
# 1. By how many points does DynaMMo fall behind ACL, and how many times fewer MACs does it take?
#    The paper's abstract says 2.76 points and about 10 times. For which number of sessions can
#    "10 times" be true at all?
# 2. Is DynaMMo better than the last adapter alone, worse, or can this run not tell? What would you
#    conclude about merging?
# 3. Find the pair of classes that is confused most. Did they arrive in one session or in two?

# %% [markdown] tags=["solution"]
# ## Solutions
# 1. Read both from the table; in the demo it is 1.2 points on average over the sessions, 3.1 after
#    the last one, and 4.0 times. The heads hardly count, so the ratio is the number of passes,
#    hence of sessions: four here. "About 10 times" can only be true after about ten sessions, such
#    as CIFAR-100's ten sessions of ten classes, whatever the accuracy does.
# 2. Look whether the interval has zero in it:
#
#    ```python
#    collected["intervals"].query("method == 'dynammo' and other == 'last_adapter'")
#    ```
#
#    In the demo zero is inside for the average accuracy: these runs cannot tell. For the last
#    accuracy all of it is below zero, so there the last adapter is better. Both have the same
#    adapters, so what differs is the merging: on images of one source it is not what keeps accuracy
#    up, since each set grew out of those before it. The interval is over other class orders and
#    test images of this stream. Of other streams it says nothing; [the study](STUDY.md) has more.
# 3. Ask the table, and look up the sessions in notebook 1:
#
#    ```python
#    wrong = collected["confusion"].query("method == 'dynammo' and true_class != predicted_class")
#    wrong.nlargest(3, "share")
#    ```
#
#    In the demo it is immature granulocyte and monocyte, look-alikes that arrive in **two**
#    sessions. Monocyte and lymphocyte share one, and are learned apart with all their images.

# %% [markdown]
# ## References
# * M. A. Qazi et al., *DynaMMo*, MIUA 2024, arXiv 2404.14099.
# * A. Chaudhry et al., *Riemannian Walk for Incremental Learning*, ECCV 2018 (forgetting).
# * D. Lopez-Paz, M. Ranzato, *Gradient Episodic Memory*, NeurIPS 2017 (backward transfer).
#
# **Before:** [a method from a file](17_plugin.ipynb) ·
# **Next:** [the study](19_the_study.ipynb)
