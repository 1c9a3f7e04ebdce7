"""DynaMMo companion: dynamic model merging for class-incremental learning, as readable code.

Reading order, each file one idea and importing only from files before it:

``errors, phantom, data, sources, streams, backbones, adapters, merging, heads, memory, training,
learners, metrics, cost, settings, runs, plotting``.

Paper: Qazi, Almakky, Hashmi, Sanjeev, Yaqub. *DynaMMo: Dynamic Model Merging for Efficient Class
Incremental Learning for Medical Images*. MIUA 2024, arXiv 2404.14099.
"""

__version__ = "0.1.0"
