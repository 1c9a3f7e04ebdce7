# What the runs of a profile come to together, once they are there.
import json
from pathlib import Path

from dynammo.run.provenance import PACKAGE, files_behind

NOTEBOOK = Path(workflow.basedir) / "14_the_study.ipynb"
FIGURES = Path(config["figures"])


rule together:
    input:
        files_behind(NOTEBOOK),
        PACKAGE / "catalogue.toml",
        FIGURES.glob(f"{config['profile']}-*/summary.csv"),
        notebook=NOTEBOOK,
    output:
        notebook=f"notebooks/{NOTEBOOK.name}",
    params:
        parameters=json.dumps({"profile": config["profile"], "figures_folder": str(FIGURES)}),
    shell:
        "{config[python]:q} -m dynammo.run.execute "
        "{input.notebook:q} {output.notebook:q} {params.parameters:q}"
