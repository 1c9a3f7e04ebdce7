"""The command, the run folder and the notebooks: what ties everything together."""
