"""DynaMMo companion: dynamic model merging for class-incremental learning, as readable code.

The files beside this one are the paper, and are read in one sitting. A newcomer's walk, 25 minutes:

1. ``adapters`` (5): what is tuned in front of a frozen network's stages.
2. ``training`` (6): step 1 tunes adapters with "others", step 4 a head on features that stay.
3. ``merging`` (2): step 2, the mean over all sessions' sets, kept as a running mean.
4. ``chain`` (6): steps 1 to 3 session by session, with the exemplars of ``memory`` (3).
5. ``methods`` (3): DynaMMo, ACL and a control: which sets an image passes, which head reads them.

What they stand on: ``stream`` (images, session by session), ``backbones``, ``heads``, ``learner``
(what every method has to do), ``settings`` (every knob once), ``catalogue`` (names of methods).
Everything else has a room: ``networks`` are written out, ``data`` makes streams, ``baselines`` are
other papers' methods, ``beyond`` is ours, ``measure`` counts and judges, ``draw`` turns tables into
pictures, ``run`` is the command. The root imports only the root and ``networks``; ``draw`` and
``data`` import nothing that learns; nothing but notebooks and the command imports ``run``.

Paper: Qazi, Almakky, Hashmi, Sanjeev, Yaqub. *DynaMMo: Dynamic Model Merging for Efficient Class
Incremental Learning for Medical Images*. MIUA 2024, arXiv 2404.14099.
"""

__version__ = "2.0.0"
