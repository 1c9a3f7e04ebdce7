# What the runs of a profile come to together, once they are there.
import json
from pathlib import Path

from dynammo.run.code import PACKAGE, files_behind

NOTEBOOK = Path(workflow.basedir) / "19_the_study.ipynb"
FIGURES = Path(config["figures"])


rule all:
    input:
        "report/index.html",


rule together:
    input:
        files_behind(NOTEBOOK),
        PACKAGE / "catalogue.toml",
        FIGURES.glob(f"{config['profile']}-*/summary.csv"),
        (FIGURES / config["profile"]).glob("*.tar.xz"),
        notebook=NOTEBOOK,
    output:
        notebook=f"notebooks/{NOTEBOOK.name}",
    params:
        parameters=json.dumps(
            {
                "profile": config["profile"],
                "figures_folder": str(FIGURES),
                "runs_folder": str(Path.cwd().parent),
            }
        ),
    resources:
        mem_mb=4000,
        runtime=30,
    shell:
        "{config[python]:q} -m dynammo.run.execute "
        "{input.notebook:q} {output.notebook:q} {params.parameters:q}"


rule report:
    input:
        files_behind(PACKAGE / "run" / "book.py"),
        (PACKAGE / "run" / "book_static").glob("*.css"),
        Path(workflow.basedir).glob("*.ipynb"),
        Path(workflow.basedir).glob("*.md"),
        notebook=rules.together.output.notebook,
    output:
        "report/index.html",
    params:
        figures=str(FIGURES / config["profile"]),
    resources:
        mem_mb=2000,
        runtime=30,
    shell:
        "{config[python]:q} -m dynammo.run.book . {params.figures:q} {input.notebook:q}"
