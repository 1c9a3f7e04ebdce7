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
# # 11 · Which session is an image from?
#
# **The idea.** When an image is to be named, nobody says which session brought its class. In
# *task-incremental* learning somebody does, and only the classes of one session compete. In
# *domain-incremental* learning every session brings the same classes in other images, so the
# session does not matter. In *class-incremental* learning, which is the case here, all classes seen
# compete. DynaMMo and ACL first guess the session, and only then the class.
#
# **What you will see.** How the guess is made, for single images and for all of them; how many
# answers fail by the session and how many by the class; and other rules to guess by, one of them
# yours.
#
# **Expected.** Most wrong answers are wrong about the session: told the session, every method would
# be right for nearly all images. The tables and captions below have the numbers of this run.
#
# **Takes** about two minutes on one core. It looks into what `./run_all.sh` left; if that is not
# there yet, it is made first (9 to 45 minutes).

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
run_folder: str = "../runs/demo"  # the run to look into
figures_folder: str = "../figures/by-hand"  # where pictures and numbers go
order_seed: int = 0  # one of the run's class orders
train_seed: int = 1  # one of its training seeds
runs: int = 0  # how many pairs of seeds rules are compared with; 0: all

# %%
# %matplotlib inline
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from dynammo.catalogue import title
from dynammo.draw import between_sets as pictures
from dynammo.draw.style import save_figure
from dynammo.draw.which_session import answers_figure, heads_figure
from dynammo.heads import TaskHeads
from dynammo.measure import between_sets
from dynammo.methods import DynaMMo
from dynammo.run import ablations, command
from dynammo.run.collect import collect
from dynammo.run.expected import as_expected
from dynammo.run.learn import last_session
from dynammo.run.provenance import note, provenance
from dynammo.run.run_folder import settings_of

# %%
run, figures = Path(run_folder), Path(figures_folder)
settings = command.settings_of_run(run)
one = settings.with_changes({"order_seeds": [order_seed], "train_seeds": [train_seed]})
group = last_session(run, settings, order_seed, train_seed)
chain, data, last = group.chain, group.chain.stream, group.chain.session
learners = {learner.name: learner for learner in group.learners if learner.knows_others}
origin, under = provenance(data), note(one, data)


# %%
def save(figure, table, name):
    """Write a figure with its numbers, and show it."""
    save_figure(figure, table, figures / name, origin)
    return figure


# %% [markdown]
# ## What the heads say
# Each session has a *head*, a linear layer that turns an image's features into one number for each
# of its classes and one for **others**, for everything that is not its own. These numbers are the
# *logits*; `softmax` makes probabilities of them that add up to 1. So the logits of $N$ images
# under $t$ heads are `[N, t, k + 1]`, "others" last. The head that says "others" least is believed.


# %%
def lowest_others(logits):
    """The head, counted from 0, that says "others" least; logits [N, t, k + 1]."""
    return logits.softmax(dim=2)[:, :, -1].argmin(dim=1)


def answer(logits, believed, first):
    """The class of each image: the best of the believed head's own, which start at `first`."""
    own = logits[torch.arange(len(logits)), believed, :-1]
    return first[believed] + own.argmax(dim=1)


# %% [markdown]
# All test images, under each method that has such heads. They differ in the adapters that an image
# passes. *ACL* passes every session's set, one for each head, so its heads read different features.
# *DynaMMo* passes the mean of all sets, the *last adapter* the newest set alone, and *frozen
# features* none: under these all heads read the same.

# %%
seen = data.indices("test", range(1, last + 1))
labels = torch.as_tensor(data.test.labels[seen], device=chain.device)
first = torch.tensor([data.classes(t)[0] for t in range(1, last + 1)], device=chain.device)
session = torch.as_tensor(data.session_of_class, device=chain.device)[labels] - 1  # from 0, too
logits, features = {}, {}
for name, learner in learners.items():
    passes = [chain.features(state, "test", seen) for state in learner.adapter_sets()]
    features[name] = torch.stack(passes, dim=1)
    with torch.no_grad():
        logits[name] = learner.head.session_logits(features[name])

# %% [markdown]
# The library answers the same. (From here on, each `assert` says so of what the cells before
# wrote.)

# %%
for name, learner in learners.items():
    with torch.no_grad():
        library = learner.head(features[name]).argmax(dim=1)
    assert torch.equal(answer(logits[name], lowest_others(logits[name]), first), library), name

# %% [markdown]
# ## Two images
# One whose session DynaMMo finds, and one that it sends to a wrong session: in each case the image
# that it is surest about. A head may be sure of an image that it was never taught: what it learned
# is its own classes, and of others a few *exemplars*, the images that were kept.


# %%
def words_of(index, logits):
    """What each head says of an image, a row for each of its outputs."""
    rows = []
    for head, probabilities in enumerate(logits[index].softmax(dim=1), start=1):
        own = [data.class_names[label] for label in data.classes(head)]
        said = [*probabilities[: len(own)], probabilities[-1]]
        for output, probability in zip([*own, "others"], said, strict=True):
            tag = {"image": seen[index], "head": head, "output": output}
            rows.append(tag | {"probability": float(probability)})
    return rows


# %%
shown = "dynammo" if "dynammo" in logits else min(logits)
others, believed = logits[shown].softmax(dim=2)[:, :, -1], lowest_others(logits[shown])
doubt = others.amin(dim=1)
kinds = [kind for kind in (believed == session, believed != session) if kind.any()]
chosen = [int(torch.where(kind, doubt, 2.0).argmin()) for kind in kinds]
said = pd.DataFrame([row for index in chosen for row in words_of(index, logits[shown])])
save(heads_figure(data, [seen[i] for i in chosen], said, under), said, "inside_heads")

# %% [markdown]
# ## All images
# The further apart a head's two histograms, the better it knows its own.

# %%
scores = between_sets.others_scores(learners[shown])
assert np.allclose(scores.others, others.cpu().numpy().ravel(), atol=1e-5)
save(pictures.others_figure(scores, under), scores, "inside_others")

# %% [markdown]
# ## Right session, then right class
# An answer is right if the session was found **and** the class is right within it:
# $P(\text{right}) = P(\text{session}) \cdot P(\text{class} \mid \text{session})$. The mark in the
# picture is another scenario: with the session *told*, as in task-incremental learning, only the
# class can be wrong.


# %%
def outcomes(logits, believed):
    """Shares of right answers, of wrong classes and of wrong sessions; and with it told."""
    found, right = believed == session, answer(logits, believed, first) == labels
    told = answer(logits, session, first) == labels
    shares = {"right": right, "wrong class": found & ~right, "wrong session": ~found, "told": told}
    return {name: which.double().mean().item() for name, which in shares.items()}


# %%
known = [{"method": name, **outcomes(x, lowest_others(x))} for name, x in logits.items()]
shares = pd.DataFrame(known)
by_session = collect(run, one, list(learners))["sessions"]
accuracy = by_session[by_session.session == last].set_index("method").accuracy
assert np.allclose(shares.set_index("method").right, accuracy[list(logits)], atol=0.005)
save(answers_figure(shares, under), shares, "inside_answers")

# %% [markdown]
# As a table, in %: how often the session is found, the class given the session, and their product.

# %%
table = shares.set_index("method")
found = table.right + table["wrong class"]
parts = {"session found": found, "class, if found": table.right / found, "both": table.right}
(100 * pd.DataFrame(parts | {"told the session": table.told})).rename(title).round(1)

# %%
wrong = (table["wrong session"] / (1 - table.right)).min()
as_expected(
    {
        "most wrong answers: the session": (f"{wrong:.0%} of them or more", wrong > 0.5),
        "told it, nearly all are right": (
            f"{table.told.min():.0%} or more",
            table.told.min() > 0.9,
        ),
    },
    settings,
)

# %% [markdown]
# How often is the right session found, session by session?

# %%
rows = {}
for name, x in logits.items():
    right = pd.Series((lowest_others(x) == session).cpu().numpy(), name=title(name))
    rows[title(name)] = 100 * right.groupby(session.cpu().numpy() + 1).mean()
pd.DataFrame(rows).T.rename(columns=lambda t: f"session {t}").round(1)

# %% [markdown]
# ## Another rule
# "Others" is one way to be unsure. Here are two more. What would they have answered, from the same
# logits?


# %%
def surest(logits):
    """The head whose best own class is most probable."""
    return logits.softmax(dim=2)[:, :, :-1].amax(dim=2).argmax(dim=1)


def loudest(logits):
    """The head whose best own class has the greatest logit."""
    return logits[:, :, :-1].amax(dim=2).argmax(dim=1)


rules = {"lowest others": lowest_others, "surest": surest, "loudest": loudest}

# %%
tried = {
    title(name): {rule: outcomes(x, rules[rule](x))["right"] for rule in rules}
    for name, x in logits.items()
}
(100 * pd.DataFrame(tried).T).round(1)

# %% [markdown]
# These are one run's last session, and differences of a point say little. For the whole stream and
# all seeds, the rule goes into a head, and the head into a method of its own. Its heads are tuned
# as DynaMMo's are, on the run's own adapters, and nothing is saved.


# %%
class ByRule(TaskHeads):
    """One head per session; which of them is believed, a rule says."""

    rule = staticmethod(loudest)

    def forward(self, features):
        """Log-probabilities [N, K] of the believed head's classes, minus infinity elsewhere."""
        logits = self.session_logits(features)  # [N, t, k + 1]
        foreign = torch.arange(logits.shape[1], device=logits.device) != self.rule(logits)[:, None]
        scores = logits.log_softmax(dim=2).masked_fill(foreign[:, :, None], float("-inf"))
        return scores.flatten(1)[:, self.places]  # of t (k + 1) outputs the K that are classes


class DynaMMoByRule(DynaMMo):
    """DynaMMo, read by other heads."""

    name = "dynammo_by_rule"
    head_kind = ByRule


# %%
def followers(chain):
    """DynaMMo with either kind of heads, on one chain."""
    return {"lowest others": DynaMMo(chain), "another rule": DynaMMoByRule(chain)}


followed = ablations.follow(run, settings_of(run, runs), followers)
key = ["order_seed", "train_seed"]
columns = ["average_accuracy", "last_accuracy"]
wide = 100 * ablations.averages(followed).pivot_table(columns, key, "label")
difference = wide.xs("another rule", axis=1, level=1) - wide.xs("lowest others", axis=1, level=1)
pd.DataFrame({"points": difference.mean(), "sd": difference.std()}).round(2)

# %% [markdown]
# ## Now change a line
# * Add a rule that does not look: put this below the rules, run that cell and the next. Why is what
#   is left of the accuracy about that of `told`, divided by the number of sessions?
#   ```python
#   rules["a guess"] = lambda x: torch.randint(last, (len(x),), device=x.device)
#   ```
# * In `ByRule`, write `rule = staticmethod(surest)`, and run on from there.
# * `outcomes(logits[shown], session)` believes the true session. What does it say, and whom would
#   you have to ask for the session in a clinic?

# %% [markdown]
# ## Code it: by the margin
# A head that knows an image has an own class with a logit far above its "others". Write a rule that
# believes the head where this margin is largest.


# %% tags=["exercise"]
def largest_margin(logits):
    """The head, from 0, whose best own logit is furthest above "others"; logits [N, t, k + 1]."""
    raise NotImplementedError("Replace this line.")


# %% tags=["solution"]
def largest_margin(logits):
    """The head, from 0, whose best own logit is furthest above "others"; logits [N, t, k + 1]."""
    margin = logits[:, :, :-1].amax(dim=2) - logits[:, :, -1]
    return margin.argmax(dim=1)


# %% tags=["check"]
two_heads = torch.tensor([[[5.0, 0.0, 4.0], [1.0, 3.0, 0.0]], [[0.0, 1.0, 0.5], [9.0, 9.0, 9.0]]])
chosen_heads = largest_margin(two_heads)
assert chosen_heads.shape == (2,), "One head for each image."
assert chosen_heads[0] == 1, "5 is 1 above its 'others'; 3 is 3 above: head 1, counted from 0."
assert chosen_heads[1] == 0, "9 is not above 9; 1 is half a point above 0.5."
assert torch.equal(largest_margin(two_heads + 7), chosen_heads), "Adding 7 everywhere is no news."
sure = torch.tensor([[[2.0, 2.0, 0.0], [2.3, -9.0, 0.0]], [[3.0, 3.0, 0.0], [2.0, -9.0, 0.0]]])
assert largest_margin(sure).tolist() == [1, 0], "Of logits, not probabilities: 2.3 is above 2."
print("That is the margin. Try it: rules['margin'] = largest_margin, or in the class ByRule.")

# %% [markdown]
# ## Code it: which sessions are taken for which?
# A confusion matrix of sessions: in row $i$, column $j$ the share of the images of session $i$ for
# which head $j$ was believed.


# %% tags=["exercise"]
def confused_sessions(session, believed, t):
    """Shares [t, t] of each true session (rows) given to each (columns); both count from 0."""
    raise NotImplementedError("Replace this line.")


# %% tags=["solution"]
def confused_sessions(session, believed, t):
    """Shares [t, t] of each true session (rows) given to each (columns); both count from 0."""
    pairs = torch.zeros(t, t)
    for i in range(t):
        for j in range(t):
            pairs[i, j] = ((session == i) & (believed == j)).sum()
    return pairs / pairs.sum(dim=1, keepdim=True)


# %% tags=["check"]
truth, guess = torch.tensor([0, 0, 0, 0, 1, 1]), torch.tensor([0, 0, 1, 1, 1, 0])
shares_of_rows = confused_sessions(truth, guess, 2)
assert shares_of_rows.shape == (2, 2), "A row and a column for each session."
assert (shares_of_rows.sum(dim=1) - 1).abs().max() < 1e-6, "Each row adds up to 1."
assert shares_of_rows[0, 1] == 0.5, "Two of session 0's four images went to head 1."
assert shares_of_rows[1, 0] == 0.5, "One of session 1's two images went to head 0."
print("That is the confusion of sessions. For this run:")
print("    confused_sessions(session, lowest_others(logits['dynammo']), last)")

# %% [markdown]
# ## Exercises
# 1. ACL and DynaMMo have the same kind of heads. What else could make ACL find the session more
#    often?
# 2. The wrong head is believed. Can the answer still be right?
# 3. Why do "lowest others" and the largest margin nearly always agree? When do they not?
# 4. Why is the loudest head a bad guess, although every head was trained to be loud for its own?
# 5. A column of the table by session may be high because its head rarely says "others",
#    whatever the image. In which histogram do you see that, and whom does it harm?

# %% [markdown] tags=["solution"]
# ## Solutions
# 1. Each of its heads reads features of its own set, which were tuned to part its classes from
#    "others" (the exemplars of that time). Under the merged set all heads read one set of features,
#    which is a compromise, and they were moved there by a few exemplars.
# 2. No. A head can only answer with its own classes, and those of two sessions differ. So the share
#    of sessions found is an upper bound for accuracy.
# 3. "Others" is least where $\log \sum_k e^{z_k}$ of the own logits is furthest above that of
#    "others", and a sum of exponentials is ruled by its largest term. They differ where two own
#    classes are about as loud, as for an image that is one of two similar ones of the same session:
#    together they outweigh a single class that is a little louder elsewhere.
# 4. Each head's loss compares that head's own outputs and no others. Adding the same number to all
#    logits of a head changes neither its softmax nor its loss, so nothing keeps the heads on one
#    scale. "Others" is what makes them comparable: it is in every head.
# 5. In its histogram of other sessions: it reaches far to the left. That head is then believed for
#    images of other sessions too, which are lost there.
#
# Under "Now change a line": a random head is the right one once in $T$ times, and then the answer
# is right as often as with the session told. Whoever could tell you the session in a clinic would
# have to know a part of the diagnosis.

# %% [markdown]
# ## References
# * G. M. van de Ven, A. S. Tolias, *Three scenarios for continual learning*, arXiv 1904.07734.
# * ACL: arXiv 2304.09042 ("others", and the session that says it least).
# * G. Kim et al., *A theoretical study on solving continual learning*, NeurIPS 2022, arXiv
#   2211.02633 (the class is the session times the class within it).
#
# **Before:** [inside a merge](10_inside_a_merge.ipynb) · **Next:** [sets of
# their own](12_own_sets.ipynb)
