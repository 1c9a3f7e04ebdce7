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
# # 9 · Merging: is the mean the best average?
#
# **The idea.** Every session leaves a *set* of tuned adapters, small branches in front of the
# stages of a frozen network ([notebook 2](02_incremental_session.ipynb)). DynaMMo keeps the
# **mean** of all sets. There are other ways to make one set of many, and they are easy to write
# down: each says what to make of the $t$ values that one weight has in $t$ sets.
#
# **What you will see.** Three of these rules in cells, and what each makes of the same numbers;
# eight of them and one of your own over the same tuned sets. Nothing but heads is trained here, so
# all differences are those of merging. Among them is the uncomfortable control, the *last set
# alone*: no merging at all.
#
# **Expected.** Most rules lie close together, the plain mean among them, and the last set alone is
# as good or better. Whether a difference is more than its spread over runs is computed below; the
# section "As on our machine?" has the numbers.
#
# **Takes** ten minutes on one core, a third of that with `runs = 1`, but one run shows no spread.
# It merges the sets that `./run_all.sh` left; if they are not there yet, they are made first (9 to
# 45 minutes).

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
run_folder: str = "../runs/demo"  # the run whose adapter sets are merged
figures_folder: str = "../figures/by-hand"  # where picture and numbers go
runs: int = 0  # how many of its pairs of seeds; 0: all
statistics: list = ["averaged", "mixture", "measured again"]  # choices for batch norm

# %%
# %matplotlib inline
from pathlib import Path

import pandas as pd
import torch

from dynammo.beyond import batch_norm, ways_of_merging
from dynammo.beyond.merged_by import MergedBy
from dynammo.beyond.strategies import STRATEGIES
from dynammo.beyond.ways_of_merging import is_learned
from dynammo.draw.comparisons import merging_figure, plain_mean
from dynammo.draw.merging import numbers_figure, pooled_figure
from dynammo.draw.style import save_figure
from dynammo.merging import uniform_mean
from dynammo.run import ablations, command
from dynammo.run.expected import as_expected, compare, told
from dynammo.run.learn import last_session
from dynammo.run.provenance import note, provenance

# %%
run, figures = Path(run_folder), Path(figures_folder)
settings = command.settings_of_run(run, runs)
chain = last_session(run, settings, settings.order_seeds[0], settings.train_seeds[0]).chain
data, sets, initial = chain.stream, chain.adapter_states, chain.adapters(None).state_dict()
under = note(settings, data)

# %% [markdown]
# ## Why should averaging weights work at all?
# A network is not linear: the mean of two sets of weights need not do anything that the two do.
# Two networks trained from different random beginnings, averaged, are usually as bad as chance.
# Here three things help. All sets have a **common beginning**: each session's starts from the one
# before, so they lie near each other. They are **small changes** of a frozen network that does most
# of the work. And a **head is tuned afterwards**, for the features as they are after merging.
# [Notebook 10](10_inside_a_merge.ipynb) looks at what lies between two sets.

# %% [markdown]
# ## A rule for single numbers
# Let $\theta_0$ be the initial set, the one that session 1 began from, and $\theta_i$ the set after
# session $i$. What a rule merges is the *changes* $\tau_i = \theta_i - \theta_0$. Below a rule is a
# function of changes `[t, N]`, one row for each of the $t$ sessions and one column for each of the
# $N$ numbers of a set, and it returns one row `[N]`.
#
# **The mean** counts every session alike. **MagMax** takes the change of greatest magnitude.


# %%
def mean(changes):
    """DynaMMo: the mean of all sessions' changes."""
    return changes.mean(dim=0)


def magmax(changes):
    """Of each number, the change that is largest in size, with its sign."""
    largest = changes.abs().argmax(dim=0, keepdim=True)
    return changes.gather(0, largest)[0]


# %% [markdown]
# **TIES** takes three steps. It *trims* each session's changes: only the largest fifth of them
# stays, the rest become 0. It *elects* a sign for each number, that of the sum. And it averages the
# changes that have this sign, so that sessions do not cancel each other.


# %%
def ties(changes, density=0.2):
    """Trim each session's changes, elect a sign for each number, average what agrees."""
    sizes = changes.abs()
    kept = max(1, int(density * changes.shape[1]))
    smallest_kept = sizes.topk(kept, dim=1)[0][:, -1:]
    trimmed = torch.where(sizes >= smallest_kept, changes, 0)
    elected = trimmed.sum(dim=0).sign()
    agree = (trimmed != 0) & (trimmed.sign() == elected)
    return (trimmed * agree).sum(dim=0) / agree.sum(dim=0).clamp(min=1)


# %% [markdown]
# What the three make of five made-up numbers in three sessions, nothing trimmed:

# %%
cases = ["all agree", "one is large", "one disagrees", "two cancel", "one outvotes two"]
made_up = torch.tensor([[3, 0.5, 4, 2, 5], [2, -0.4, -3, -2.2, -1], [2.5, 4, 1, 0.4, -2]])
rules = {"mean": mean, "MagMax": magmax, "TIES": lambda changes: ties(changes, density=1)}
numbers_figure(
    pd.DataFrame(made_up.tolist(), columns=cases),
    pd.DataFrame([rule(made_up).tolist() for rule in rules.values()], rules, cases),
    "made-up numbers; TIES trims nothing here",
)

# %% [markdown]
# Now the same rules on the run's own sets; the library gets the same results. A rule is about what
# is *learned*, the weights, biases and $\alpha$; what batch norm *measured* comes further down.
# (From here on, each `assert` checks that the cells before do what the library does.)


# %%
def flat(state):
    """All learned numbers of a set in one row."""
    learned = [name for name in sorted(state) if is_learned(name, state[name])]
    return torch.cat([state[name].double().flatten() for name in learned])


changes = torch.stack([flat(state) - flat(initial) for state in sets])
for rule, library in (
    (mean, uniform_mean(sets)),
    (magmax, ways_of_merging.magmax(sets, initial, scale=1.0)),
    (ties, ways_of_merging.ties(sets, initial, density=0.2, scale=1.0)),
):
    by_hand = flat(initial) + rule(changes)
    assert torch.allclose(by_hand, flat(library), atol=1e-6), rule.__name__
print(f"{changes.shape[0]} sets of {changes.shape[1]:,} numbers each")

# %% [markdown]
# Do such cases occur? Below: the share of numbers on which all sessions agree in sign, and the
# length of each merged change, divided by that of the last set's change. (Four changes that have
# nothing to do with each other agree on one number in eight.)

# %%
same = (changes > 0).all(dim=0) | (changes < 0).all(dim=0)
print(f"all sessions agree in sign for {100 * same.double().mean():.0f} % of the numbers")
last = changes[-1].norm()
lengths = {rule.__name__: float(rule(changes).norm() / last) for rule in (mean, magmax, ties)}
pd.Series(lengths, name="length, in lengths of the last set's change").to_frame().round(2)

# %% [markdown]
# Where sets agree, it is because each grew out of the one before: a change that session 1 made is
# in all later sets, unless a session took it back. What each session changed by itself shows that:

# %%
each = changes.diff(dim=0, prepend=0 * changes[:1])  # from the set before
alike = (each > 0).all(dim=0) | (each < 0).all(dim=0)
share, chance = 100 * alike.double().mean(), 100 * 0.5 ** (len(each) - 1)
print(f"sessions' own changes agree in sign for {share:.0f} %, by chance {chance:.0f} %")

# %% [markdown]
# ## The strategies
# The library has these and five more, each in a few lines with its paper
# ([ways_of_merging.py](../dynammo/beyond/ways_of_merging.py)):
#
# | strategy | merged set | stored, besides the newest |
# |---|---|---|
# | uniform mean (DynaMMo) | $\frac1t\sum_i\theta_i$ | 1 set |
# | moving average | $E_t = \frac12 E_{t-1} + \frac12\theta_t$ | 1 set |
# | task arithmetic | $\theta_0 + 0.3\sum_i\tau_i$ | 1 set |
# | MagMax | $\theta_0 +$ the $\tau_i$ of greatest magnitude, number by number | 1 set |
# | TIES | trim each $\tau_i$ to its largest fifth, elect signs, average what agrees | older sets |
# | DARE | drop half of the convolutions' $\tau_i$ at random, double the rest, average | 1 set |
# | Fisher | $\sum_i F_i\theta_i / \sum_i F_i$ with each set's Fisher information $F_i$ | 2 sets |
# | last set alone | $\theta_t$ | nothing |
#
# (Notebook 6 explains Fisher information. Each $F_i$ is divided by its mean over all numbers.)
#
# Every strategy but TIES can be kept up to date from session to session, without the old sets.

# %% [markdown]
# ## Batch norm's statistics
# A batch norm layer subtracts a mean and divides by a deviation that it *measured* on the maps of
# one set. Merged weights make other maps. Which mean and variance should the merged layer use?
#
# * **averaged**: the mean of the sets' means and of their variances. What DynaMMo does.
# * **mixture**: the variance of all sessions' values together, the average of $\sigma^2 + \mu^2$
#   less $\bar\mu^2$. The plain average leaves out how far the sessions' means are apart.
# * **measured again**: on the balanced memory, under the merged weights, before the head is tuned.
#
# (The last set alone keeps its own statistics under *averaged*. Under *mixture* it keeps
# its own mean, and gets the variance of all sessions' values together.)


# %%
def mixture(means, variances):
    """Variance of several sessions' values together, from theirs [t, channels]."""
    return (variances + means**2).mean(dim=0) - means.mean(dim=0) ** 2


# %%
averaged, apart = uniform_mean(sets), {}
pooled = batch_norm.mixture_variance(sets, averaged)
for name in (name for name in initial if name.endswith("running_var")):
    variances = torch.stack([state[name].double() for state in sets])
    means = torch.stack([state[name.replace("_var", "_mean")].double() for state in sets])
    assert torch.allclose(mixture(means, variances).float(), pooled[name], rtol=1e-4), name
    ratio, channel = (mixture(means, variances) / variances.mean(dim=0)).max(dim=0)
    apart[name] = float(ratio), int(channel), means, variances

# %% [markdown]
# The channel whose sessions lie furthest apart. The merged layer assumes values that are
# distributed like one of the black curves. In each session they were distributed like its own
# coloured curve.

# %%
name = max(apart, key=lambda name: apart[name][0])
_, channel, means, variances = apart[name]
m, v = means[:, channel], variances[:, channel]
ways = {"averaged": v.mean(), "mixture": mixture(m, v)}
merged = pd.DataFrame({"mean": float(m.mean()), "variance": pd.Series(ways).astype(float)})
sessions = pd.DataFrame({"mean": m.tolist(), "variance": v.tolist()})
where = f"channel {channel} of {name.removesuffix('.running_var')}"
pooled_figure(sessions, merged, f"values that arrive at {where}", under)

# %% [markdown]
# ## A strategy of your own
# Any rule can stand beside the library's. This one is careful: where all sessions agree in sign it
# takes the mean, and everywhere else it changes nothing.


# %%
def only_where_all_agree(changes):
    """The mean, but 0 where sessions disagree in sign."""
    agree = (changes > 0).all(dim=0) | (changes < 0).all(dim=0)
    return torch.where(agree, changes.mean(dim=0), 0)


own = {"only where all agree": only_where_all_agree}  # by name: add yours

# %% [markdown]
# ## Merge
# Each strategy follows the run's sessions from the first to the last, with a head of its own tuned
# on the same memory. In session 1 there is nothing to merge: all take its set as it is.


# %%
def followers(chain):
    """A learner for every strategy and every choice for batch norm, on one chain."""
    strategies = {name: name for name in STRATEGIES} | own
    return {
        f"{name}|{choice}": MergedBy(chain, strategy, choice)
        for name, strategy in strategies.items()
        for choice in statistics
    }


followed = ablations.follow(run, settings, followers)
found = ablations.averages(followed)
found[["strategy", "statistics"]] = found.pop("label").str.split("|", expand=True)

# %%
origin = provenance(data)
figure = merging_figure(found, note=under)
save_figure(figure, found, figures / "ablation_merging", origin)
figure

# %% [markdown]
# As a table: average accuracy over the sessions, and after the last one, in %.

# %%
columns = ["average_accuracy", "last_accuracy"]
(100 * found.pivot_table(columns, "strategy", "statistics")).round(1)

# %% [markdown]
# ## As on our machine?
# The uniform mean with averaged statistics is DynaMMo, and the last set alone is the method "last
# adapter". What they got here, beside the numbers that are published with this project
# ([expected.csv](../figures/expected.csv)), in percent.

# %%
known = {"uniform mean|averaged": "dynammo", "last set alone|averaged": "last_adapter"}
after = ablations.over_classes(followed[followed.label.isin(known)])
compared = compare(after.assign(method=after.label.map(known)), settings)
print(told(compared))
compared[compared.index.get_level_values("session") == "average"].round(1)

# %% [markdown]
# ## Is the difference real?
# Each strategy against the uniform mean, **run by run**: same sets, same memory, same images. The
# spread over runs, divided by the root of their number, is the *standard error* of the mean
# difference. A difference of less than two of these may be chance. (A single run has no spread.)

# %%
key = ["order_seed", "train_seed"]
wide = 100 * found.pivot_table("average_accuracy", ["strategy", "statistics"], key)
plain, choice = plain_mean(found)  # "uniform mean" and, for batch norm, "averaged" if it was run
difference = wide - wide.loc[plain, choice]
error = difference.std(axis=1) / difference.shape[1] ** 0.5
over_mean = pd.DataFrame({"points": difference.mean(axis=1), "standard error": error})
over_mean.round(1)

# %%
by_rule = over_mean.points.xs(choice, level="statistics")
near, newest = (by_rule.abs() < 2).mean(), by_rule["last set alone"]
as_expected(
    {
        "most rules within two points of the mean": (f"{near:.0%} of them", near > 0.5),
        "the last set alone: as good or better": (f"{newest:+.1f} points", newest > -0.5),
    },
    settings,
)

# %% [markdown]
# ## When does merging win?
# The mean against the last set alone. Accuracy at the end, by the session that brought the class.
# The last set was tuned on the newest classes, with the old ones only as "others"; still it started
# from all that came before. The mean keeps only $1/t$ of what the newest session added and holds on
# to older ones. So merging should trade newest classes for old ones. Does it, here?

# %%
end = followed[followed.session == followed.session.max()]
shown = [f"{name}|{choice}" for name in ("uniform mean", "last set alone", *own)]
by_session = 100 * end.pivot_table("accuracy", "label", "evaluated_session").loc[shown]
by_session.rename(index=lambda name: name.split("|")[0]).round(1)

# %% [markdown]
# Which of the two weighs more depends on the stream, on the memory and on how long the sets are
# tuned. [Notebook 13](13_when_merging_pays.ipynb) varies them together, and
# [notebook 19](19_the_study.ipynb) has other streams.

# %% [markdown]
# ## Now change a line
# With `runs = 1` and `statistics = ["averaged"]` among the parameters the notebook runs in a minute
# or two.
#
# * In `only_where_all_agree`, write `changes[-1]` instead of `changes.mean(dim=0)`.
# * Add rules to `own`: TIES without trimming, newer sets that count more, and one that answers 0
#   for every number.
#   ```python
#   own["TIES, untrimmed"] = lambda changes: ties(changes, density=1)
#   own["newer counts more"] = lambda changes: sum(
#       (i + 1) * row for i, row in enumerate(changes)
#   ) / sum(range(1, len(changes) + 1))
#   own["nothing"] = lambda changes: 0 * changes[0]
#   ```
#   "Nothing" needs `statistics = ["measured again"]`, since what tuned sets measured does not fit
#   an untuned one. What is left at the end is the frozen network behind random adapters. (Session 1
#   still runs the set that it tuned, so look at the last accuracy.)

# %% [markdown]
# ## Code it: an election without trimming
# TIES elects the sign of the *sum*, so a single large change can outvote two small ones. Write a
# rule in which every session has one vote: the mean of the changes whose sign the majority has, and
# 0 where there is no majority.


# %% tags=["exercise"]
def majority(changes):
    """From changes [t, N] one row [N]: the mean of those whose sign more sessions have.

    A change of 0 has no vote; where votes are even, the result is 0.
    """
    raise NotImplementedError("Replace this line.")


# %% tags=["solution"]
def majority(changes):
    """From changes [t, N] one row [N]: the mean of those whose sign more sessions have.

    A change of 0 has no vote; where votes are even, the result is 0.
    """
    elected = changes.sign().sum(dim=0).sign()
    agree = (changes.sign() == elected) & (elected != 0)
    return (changes * agree).sum(dim=0) / agree.sum(dim=0).clamp(min=1)


# %% tags=["check"]
rows = torch.tensor([[9.0, 2, 3, 0, 5], [-1.0, 4, -3, 0, 0], [-2.0, 6, 0, 0, 0]])
elected = majority(rows)
assert elected.shape == (5,), "One number for each column."
assert elected.isfinite().all(), "Where nobody is elected, do not divide by 0."
assert elected[0] == -1.5, "Two sessions of three say minus: (-1 - 2) / 2, whatever the 9 says."
assert elected[1] == 4, "Where all agree it is the mean: (2 + 4 + 6) / 3."
assert elected[2] == 0, "One for plus, one for minus: no majority, so no change."
assert elected[3] == 0, "Where nothing changed, nothing changes."
assert elected[4] == 5, "A session without a change has no vote: the one that is left decides."
print("That is a majority vote. To see what it is worth, see below.")

# %% [markdown]
# To see what it is worth, write `own["majority"] = majority` into the cell that defines `own`,
# after the function, and run the cells from there on (ten minutes; a third of that with `runs =
# 1`).

# %% [markdown]
# ## Exercises
# 1. Task arithmetic is $\theta_0 + s\sum_i(\theta_i - \theta_0)$, and the moving average $E_t = d
#    E_{t-1} + (1 - d)\theta_t$. Show that the first with $s = 1/t$ is the uniform mean, and that
#    the second with $d = 0$ is the last set alone.
# 2. In the picture of made-up numbers the last case has the changes 5, −1 and −2. What do mean,
#    MagMax, TIES and `majority` make of it, and why do the last two differ?
# 3. Suppose each session's set had started from random weights of its own, and $\theta_0$ is the
#    first of these beginnings. Which rules still give a useful set?
# 4. The mixture's variance is never smaller than the averaged one. Why? When are they equal?

# %% [markdown] tags=["solution"]
# ## Solutions
# 1. $\theta_0 + \frac1t\sum_i(\theta_i - \theta_0) = \theta_0 + \frac1t\sum_i\theta_i - \theta_0$,
#    and the $\theta_0$ cancel. With $d = 0$, $E_t = 0 \cdot E_{t-1} + 1 \cdot \theta_t$.
# 2. The mean is $\frac23$. MagMax takes the greatest magnitude, 5. TIES elects plus, since
#    $5 - 1 - 2 > 0$, and averages the values of that sign: 5. In `majority` each session has one
#    vote, so minus wins, and it gives $-1.5$.
# 3. Only the last set alone, which needs no other (though it would no longer have grown out of
#    earlier ones). For all others a change $\tau_i$ would contain the difference between two random
#    beginnings, which is large and means nothing, and a hidden channel of one set has nothing to do
#    with the same channel of another.
#    [Notebook 12](12_own_sets.ipynb) tries fresh sets that share one random beginning.
# 4. Their difference is the average of $\mu^2$ less $\bar\mu^2$, the variance of the sessions'
#    means, and a variance is not negative. It is 0 where all sessions measured the same mean.
#
# Under "Now change a line", in one run: taking the newest change where all agree ends where the
# mean does, at 80 %. The more newer sets count, the nearer the end is to that of the last set
# alone (81.4 %). "Nothing" ends at 73 %, seven points below the mean: so much is what tuning
# brought.

# %% [markdown]
# ## References
# * G. Ilharco et al., *Editing models with task arithmetic*, arXiv 2212.04089.
# * D. Marczak et al., *MagMax*, ECCV 2024, arXiv 2407.06322.
# * P. Yadav et al., *TIES-Merging*, NeurIPS 2023, arXiv 2306.01708.
# * L. Yu et al., *DARE*, ICML 2024, arXiv 2311.03099.
# * M. Matena, C. Raffel, *Merging models with Fisher-weighted averaging*, arXiv 2111.09832.
# * K. Jordan et al., *REPAIR*, arXiv 2211.08403 (statistics after merging).
#
# **Before:** [frozen features](08_frozen_features.ipynb) ·
# **Next:** [inside a merge](10_inside_a_merge.ipynb)
