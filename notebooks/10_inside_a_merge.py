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
# # 10 · Inside a merge: what lies between two sets
#
# **The idea.** DynaMMo averages weights, and a network is not linear in its weights. So why is the
# average of two sets of adapters any good? Because of where the sets lie: on a path on which each
# grew out of the one before, so that the loss stays low all along the way from one to another.
#
# **What you will see.** The path of the sets, drawn; what lies on the line between two of them, and
# over the triangle between three; and whether sessions change the weights alike. Each tool is
# written out in a cell first.
#
# **Expected.** Between the first and the last set the loss nowhere rises above its ends, so there
# is no barrier. In the convolutions, which hold nearly all of the numbers, the changes of two
# sessions are nearly at right angles, so they do not undo each other.
#
# **Takes** one or two minutes on one core. It looks into what `./run_all.sh` left; if that is not
# there yet, it is made first (9 to 45 minutes).

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
run_folder: str = "../runs/demo"  # the run to look into
figures_folder: str = "../figures/by-hand"  # where pictures and numbers go
order_seed: int = 0  # one of the run's class orders
train_seed: int = 1  # one of its training seeds
line_points: int = 9  # points on the line between two sets
triangle_steps: int = 4  # points along each side of the triangle, less one

# %%
# %matplotlib inline
import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from IPython.display import display

from dynammo.beyond.ways_of_merging import flat
from dynammo.draw import between_sets as pictures
from dynammo.draw.merging import path_figure
from dynammo.draw.style import save_figure
from dynammo.measure import between_sets
from dynammo.run import command
from dynammo.run.expected import as_expected
from dynammo.run.learn import last_session
from dynammo.run.provenance import note, provenance
from dynammo.run.settings import as_written_out
from dynammo.training import generator_for

# %%
run, figures = Path(run_folder), Path(figures_folder)
settings = command.settings_of_run(run)
one = settings.with_changes({"order_seeds": [order_seed], "train_seeds": [train_seed]})
group = last_session(run, settings, order_seed, train_seed)
chain, unified = group.chain, between_sets.unified_head(group.learners)
data, sets, last = chain.stream, chain.adapter_states, chain.session
beginning = chain.adapters(None)
origin, under = provenance(data), note(one, data)


# %%
def save(figure, table, name):
    """Write a figure with its numbers, and show it."""
    save_figure(figure, table, figures / name, origin)
    return figure


# %% [markdown]
# ## The path of the sets
# *Adapters* are small branches that are tuned in front of the stages of a frozen network. A *set*
# is all adapters of one session: some hundred thousand learned numbers, hence a point in a space of
# as many dimensions. Session 1 starts from a random beginning $\theta_0$, and each later session
# $i$ from the set before it, $\theta_{i-1}$. That makes a path. To see it we need the plane that
# shows most of the distances: the first two *principal components* of the points.


# %%
def plane(points):
    """Coordinates [n, 2] of points [n, N] in their best plane, and the share of it that shows."""
    centred = points - points.mean(dim=0)
    u, lengths, _ = torch.linalg.svd(centred, full_matrices=False)
    return u[:, :2] * lengths[:2], (lengths[:2].square().sum() / lengths.square().sum()).item()


# %%
names = ["beginning", *(f"session {t}" for t in range(1, last + 1)), f"mean of the {last}"]
states = [beginning.state_dict(), *sets, chain.merged_state]
places, share = plane(torch.stack([flat(state) for state in states]))
points = pd.DataFrame({"name": names, "x": places[:, 0], "y": places[:, 1]})
told = f"The plane shows {100 * share:.0f} % of the squared distances · {under}"
arrows = list(zip(names[:last], names[1 : last + 1], strict=True))
save(path_figure(points, arrows, told), points, "inside_path")

# %% [markdown]
# The star is the mean. It lies among the sets, where nothing was ever trained. What does the
# network do at such a point?

# %% [markdown]
# ## On the line between two sets
# $\theta(w) = (1-w)\,\theta_1 + w\,\theta_T$, from the first session's set to the last one's: entry
# by entry, what batch norm measured included. Whole numbers, batch norm's counts of batches, are
# taken from the last.


# %%
def between(states, shares):
    """The set with some shares, which add up to 1, of several sets."""
    mixed = {}
    for name, newest in states[-1].items():
        mixed[name] = newest
        if newest.is_floating_point():
            mixed[name] = sum(w * state[name] for w, state in zip(shares, states, strict=True))
    return mixed


# %% [markdown]
# The library's is the same. (From here on, each `assert` checks that the cell before it does
# what the library does.)

# %%
given = [sets[0], sets[-1]], (0.3, 0.7)
by_hand, library = between(*given), between_sets.blend(*given)
for name, value in library.items():
    assert torch.allclose(by_hand[name], value, atol=1e-5), name

# %% [markdown]
# **How is a point judged?** A head that was tuned for one set does not fit another's features. So
# at each point a copy of the head is tuned on equally many images of each class, as DynaMMo does
# after a merge. What is judged then are the features. The head is the *unified* one: one number, a
# *logit*, for each class seen, and the largest logit is the answer.


# %%
def judge(state, epochs, split):
    """Accuracy and loss with a set in place, after the head was tuned for its features."""
    head, memory = copy.deepcopy(unified), chain.memory.balanced_positions()
    sides, wanted = chain.both_sides(state, memory), torch.as_tensor(data.train.labels[memory])
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-3)
    generator = generator_for("head", *chain.seeds, last)
    for _ in range(epochs):
        for batch in torch.randperm(len(memory), generator=generator).split(32):
            flip = (torch.rand(len(batch), generator=generator) < 0.5).long()
            loss = F.cross_entropy(head(sides[flip, batch]), wanted[batch].to(sides.device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    seen = data.indices(split, range(1, last + 1))
    wanted = torch.as_tensor(getattr(data, split).labels[seen], device=sides.device)
    with torch.no_grad():
        logits = head(chain.features(state, split, seen))
    return (logits.argmax(dim=1) == wanted).double().mean(), F.cross_entropy(logits, wanted)


# %%
small = replace(chain, settings=as_written_out(settings, head_epochs=20))
library = between_sets.judge_set(small, unified, chain.merged_state, "val")
accuracy, loss = judge(chain.merged_state, 20, "val")
assert abs(accuracy - library["accuracy"]) < 1e-6
assert abs(loss - library["loss"]) < 1e-4

# %% [markdown]
# If the loss rose in the middle, there would be a **barrier**, and averaging would be a bad idea.
# Two sets without one are called *linearly connected*. The line below is judged by the library,
# which is given the function `between` from above.

# %%
ends = [sets[0], sets[-1]]
line_shares = [(1 - w, w) for w in np.linspace(0, 1, line_points)]
line = between_sets.judge_blends(chain, unified, ends, line_shares, mix=between)
save(pictures.line_figure(line, "session 1", f"session {last}", under), line, "inside_line")

# %% [markdown]
# ## Over the triangle of three
# Every point is a weighted mean of three sets; the star is their plain mean. A maximum inside the
# triangle means that merging makes something that none of the three was.

# %%
chosen = sorted({1, (last + 2) // 2, last})
if len(chosen) == 3:
    corners, shares = [sets[t - 1] for t in chosen], between_sets.triangle(triangle_steps)
    area = between_sets.judge_blends(chain, unified, corners, shares, mix=between)
    names = [f"session {t}" for t in chosen]
    display(save(pictures.triangle_figure(area, names, under), area, "inside_triangle"))
else:
    print("A triangle needs three sessions: look into a run that has them.")

# %% [markdown]
# ## Do sessions pull alike?
# Session $i$'s change is $\theta_i - \theta_{i-1}$, from where it began to where it ended. The
# *cosine* of two changes says whether they go the same way: 1 if they do, −1 if they go opposite
# ways, 0 at right angles. In thousands of dimensions two random directions are nearly at right
# angles, and changes at right angles do not undo each other.


# %%
def cosine(one, other):
    """Cosine of the angle between two vectors."""
    return (one @ other) / (one.norm() * other.norm())


# %%
cosines = between_sets.change_cosines(sets, beginning.state_dict())
for row in cosines[cosines.entry == "adapters.0.conv.weight"].itertuples():
    ways = []
    for t in (row.one, row.other):  # states[t] is session t's set, states[0] the beginning
        ways.append((states[t][row.entry] - states[t - 1][row.entry]).double().flatten())
    assert abs(cosine(*ways) - row.cosine) < 1e-6

# %% [markdown]
# Layer by layer, for every two sessions:

# %%
save(pictures.cosine_figure(cosines, beginning.stage_names, under), cosines, "inside_cosines")

# %% [markdown]
# Each set contains the changes of all sessions before it, since it grew out of them. So the mean of
# $t$ sets keeps all of the first session's change, $(t-1)/t$ of the second's, and $1/t$ of the
# newest's: what is averaged away is new.

# %% [markdown]
# ## As expected?
# What stands at the top of this notebook, beside what came out here.

# %%
top, ends_of_line = line.loss.max(), max(line.loss.iloc[0], line.loss.iloc[-1])
convolutions = cosines[cosines.entry.str.contains(r"conv\w*\.weight")].cosine.abs().mean()
as_expected(
    {
        "the loss nowhere above the ends": (
            f"{top:.3f}, ends at most {ends_of_line:.3f}",
            top <= 1.05 * ends_of_line,
        ),
        "convolutions change at right angles": (f"cosine {convolutions:.2f}", convolutions < 0.3),
    },
    settings,
)

# %% [markdown]
# ## Now change a line
# * In `between`, leave what batch norm measured as the last set has it: put `if "running_" in name:
#   continue` below `mixed[name] = newest`. Run that cell and the one of the line again. How
#   much of the low loss between the sets is due to the statistics? Take the line out again.
# * Take `ends = [beginning.state_dict(), sets[-1]]`, and see what tuning itself added on its way.
#   (The picture goes on calling the left end session 1.) Put `ends` back.
# * Give `line_shares` weights beyond the last set, such as `(-0.5, 1.5)`: does it go on to improve?

# %% [markdown]
# ## Code it: how high is the barrier?
# Between two sets the loss may lie above the straight line from one end's loss to the other's. The
# barrier is the most by which it does (J. Frankle et al.), and 0 if it nowhere does.


# %% tags=["exercise"]
def barrier(weights, losses):
    """Height of the barrier; losses at some weights from 0 to 1, in order (lists or Series)."""
    raise NotImplementedError("Replace this line.")


# %% tags=["solution"]
def barrier(weights, losses):
    """Height of the barrier; losses at some weights from 0 to 1, in order (lists or Series)."""
    weights, losses = np.asarray(weights), np.asarray(losses)
    straight = (1 - weights) * losses[0] + weights * losses[-1]
    return (losses - straight).max()


# %% tags=["check"]
at = [0, 0.25, 0.5, 1]
assert abs(barrier(at, [1, 1, 1, 1])) < 1e-9, "Level ground has no barrier."
assert abs(barrier(at, [1, 1, 3, 1]) - 2) < 1e-9, "A hill of 3 over ends of 1 is 2 high."
assert abs(barrier(at, [4, 3, 2, 0])) < 1e-9, "A straight way down is no barrier: compare with it."
assert abs(barrier(at, [4, 3, 3, 0]) - 1) < 1e-9, "Halfway from 4 to 0 is 2, and 3 is 1 above it."
assert abs(barrier(at, [1, 0, 0, 1])) < 1e-9, "A valley is no barrier, and not a negative one."
print("That is the barrier. For this run: barrier(line['share 2'], line.loss)")

# %% [markdown]
# ## Code it: what does the mean keep?
# The mean of $t$ sets on a path is the beginning, plus a share of each session's change. Write the
# shares, for session 1 to session $t$.


# %% tags=["exercise"]
def shares_kept(t):
    """The shares [t] of the sessions' changes in the mean of t sets on a path."""
    raise NotImplementedError("Replace this line.")


# %% tags=["solution"]
def shares_kept(t):
    """The shares [t] of the sessions' changes in the mean of t sets on a path."""
    return [(t - j + 1) / t for j in range(1, t + 1)]  # change j is in the sets j, ..., t


# %% tags=["check"]
random = np.random.default_rng(0)
changes = random.normal(size=(5, 3))
on_the_path = changes.cumsum(axis=0)  # five sets, from a beginning at 0
kept = np.asarray(shares_kept(5))
assert kept.shape == (5,), "One share for each session."
assert kept[0] == 1, "Session 1's change is in every set, so all of it is kept."
assert abs(kept[-1] - 1 / 5) < 1e-9, "The newest session's change is in one set of five."
assert abs(kept[1] - 4 / 5) < 1e-9, "Session 2's change is in all sets but the first: four of five."
mean = on_the_path.mean(axis=0)
assert np.allclose(kept @ changes, mean), "The shares of the changes must add up to the mean."
print(f"The mean of five sets keeps {', '.join(f'{share:.0%}' for share in kept)} of the changes.")

# %% [markdown]
# ## Exercises
# 1. On the line, the accuracy on which session's classes rises with $w$, and which falls? Is there
#    a $w$ that is better for all of them than both ends?
# 2. A cosine near 0 means that two sessions' changes are at right angles. If all changes are, and
#    equally long, how far is the mean of $t$ sets from their common beginning, against the newest
#    set? Which sessions has the merged set learned least of?
# 3. Why is a head tuned at every point before it is judged? What would the line look like with the
#    head of the last session left as it is?
# 4. In the picture of cosines the rows of `bn1` stand out, batch norm's weights: sessions do pull
#    those alike. What part of the training is the same in every session, whatever its images? (The
#    biases of the convolutions, which are not drawn, have a cosine of 1: batch norm takes away
#    whatever they add, so nothing else moves them.)

# %% [markdown] tags=["solution"]
# ## Solutions
# 1. Read it from the lines of the left panel. In our runs most classes gain towards the newest set,
#    which grew out of those before it. A point that beats both ends for all classes exists where
#    both sets know something the other does not, and the lines bulge upwards.
# 2. Session $j$'s change is in the sets $j, \ldots, t$, so its share in their mean is $(t-j+1)/t$.
#    By Pythagoras the newest set is $\sqrt t$ changes away from the beginning, the mean
#    $\sqrt{(t+1)(2t+1)/(6t)}$: for $t = 4$ that is 2 and 1.37. The mean has learned least of the
#    newest sessions. Had all sets started from the beginning (`adapter_start = "fresh"`), it would
#    have $1/t$ of every session.
# 3. Because features move when weights do, and a head fits the features that it was tuned on. Left
#    as it is, accuracy would fall towards the first set: it would show how well a head fits, and
#    not what the features are worth.
# 4. Weight decay: each step takes the same small share of every weight away. Weights of `bn1` begin
#    at 1 and move little else, so most of their change is that (print the mean of
#    `state["adapters.3.bn1.weight"]` for each of `states`). Convolutions begin with weights of both
#    signs near 0, and what they learn is far larger than what decays.
#
# Under "Now change a line", in the demo: with the last set's statistics everywhere the loss falls
# all the way to the last set. So that it is lowest on the way is due to statistics that are
# averaged with the weights. From the random beginning, half of what tuning gains comes in the
# first eighth of the way. A quarter beyond the last set the loss is lowest of all; half beyond, it
# is back where the first set's is.

# %% [markdown]
# ## References
# * J. Frankle et al., *Linear mode connectivity*, ICML 2020, arXiv 1912.05671.
# * B. Neyshabur et al., *What is being transferred in transfer learning?*, arXiv 2008.11687.
#
# **Before:** [merging](09_merging.ipynb) · **Next:** [which session is an image
# from?](11_which_session.ipynb)
