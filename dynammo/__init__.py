"""DynaMMo companion: dynamic model merging for class-incremental learning, as readable code.

Reading order, each file one idea, importing only from files before it:

* what is learned: ``errors, files, cell_types, phantom, selection, large_files, data,
  image_folder, downloads, sources, gather, streams``
* the parts: ``folding, backbones, adapters, pooled_stages, merging, merging_strategies,
  batch_norm, heads, memory``
* the methods: ``settings, training, study, chain``, then ``learners/``, one file a method
* what is measured: ``metrics, evaluation, cost``
* how it runs: ``provenance, runs, meter, sessions, tables``
* what is compared, explained and taken elsewhere: ``ablations, inside, claims, released,
  deployment``
* how it is drawn and called: ``looks, plotting, cost_figures, grids, stream_figures, diagram,
  ablation_figures, inside_figures, study_figures, processes, notebooks, report, student, command``

Paper: Qazi, Almakky, Hashmi, Sanjeev, Yaqub. *DynaMMo: Dynamic Model Merging for Efficient Class
Incremental Learning for Medical Images*. MIUA 2024, arXiv 2404.14099.
"""

__version__ = "1.0.0"
