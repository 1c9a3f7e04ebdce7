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
# # 17 · A method from a file
#
# **What you will see.** A method that was written in a file of its own, learned over the whole
# stream. `./run_all.sh --plugin my_methods.py --name mine` runs this notebook for each method in
# the file that trains a network of its own, and draws it beside the others.
#
# Only a method's author knows what to expect of it. By default this notebook learns
# [the example](../tests/example_plugin.py): replay that shows its exemplars twice as often.
#
# **Takes** about a minute and a half on one core with the default parameters.

# %% [markdown]
# ## Parameters
# Words are in the [glossary](GLOSSARY.md).

# %% tags=["parameters"]
method: str = "replay_twice"  # the name of a class in one of the files
run_folder: str = "../runs/by-hand"  # where the sessions' state lies
order_seed: int = 0  # draws the order in which classes arrive
train_seed: int = 1  # draws everything random in training
stream: str = "blood"  # which data: see notebook 1
plugins: list = []  # files with methods; the example if there are none
more: dict = {}  # any other setting by name

# %%
# %matplotlib inline
import inspect
from pathlib import Path

from IPython.display import Code

from dynammo.catalogue import load
from dynammo.draw.accuracy import training_losses
from dynammo.draw.heat_maps import accuracy_matrices
from dynammo.measure.summary import cost_by_session
from dynammo.run.collect import collect
from dynammo.run.learn import learn_stream
from dynammo.run.plugins import load_plugins
from dynammo.run.provenance import note
from dynammo.run.run_folder import load_stream
from dynammo.run.settings import settings_from

plugins = [str(Path(path).resolve()) for path in plugins or ["../tests/example_plugin.py"]]
load_plugins(plugins)
settings = settings_from(globals()).with_changes(
    {"methods": [method], "order_seeds": [order_seed], "train_seeds": [train_seed]}
)
run = Path(run_folder)
under = note(settings, load_stream(settings, order_seed, run))

# %% [markdown]
# ## The method

# %%
Code(inspect.getsource(load(method)), language="python")

# %% [markdown]
# ## All sessions
# Each session is saved as it ends: run this cell again after an interruption and it goes on. If you
# change the file, the method is learned again. Changes in other files that it imports are noticed
# only if they belong to `dynammo`.

# %%
learn_stream(run, settings, method, order_seed, train_seed)
found = collect(run, settings, [method])
training_losses(found["losses"], note=under)

# %% [markdown]
# ## What is forgotten
# Row $i$, column $j$: accuracy on the classes of session $j$ after session $i$.

# %%
accuracy_matrices(found["accuracy"], note=under)

# %% [markdown]
# ## What it costs

# %%
cost_by_session(found)

# %% [markdown]
# ## Exercises
# 1. The example shows each exemplar `times` times, which is the setting `replay_twice_times` in
#    `more`. With which number does an epoch show old and new classes equally often in session 4?

# %% [markdown] tags=["solution"]
# ## Solutions
# 1. 100 images of a new class beside 6 exemplars of an old one: about 17 times. Set
#    `more = {"replay_twice_times": 17}`. A handful of images shown that often is learned by heart.

# %% [markdown]
# ## References
# * A. Chaudhry et al., *On tiny episodic memories in continual learning*, arXiv 1902.10486.
#
# **Before:** [a method of your own](16_your_own.ipynb) · **Next:** [the figures](18_figures.ipynb)
