#!/usr/bin/env bash
# Regenerate every figure:  ./run_all.sh [--help]
# Set up and run the tests: ./run_all.sh --test [pytest arguments]
#
# An active environment that has the pinned packages (environment.yml) is used as it is. Otherwise
# the packages of requirements.txt go into .venv here, once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

usable() { # does this interpreter have what the project needs?
  "$1" - <<'PY' >/dev/null 2>&1
import sys
from importlib.metadata import version
assert sys.version_info >= (3, 11)
for package in ("torch", "papermill", "snakemake", "jupytext", "ptflops", "pytest", "dynammo-companion"):
    version(package)
import torch
PY
}

find_python() { # a Python new enough to make the environment with
  for candidate in python3 python3.13 python3.12 python3.11 python; do
    if "$candidate" -c 'import sys, venv; assert sys.version_info >= (3, 11)' >/dev/null 2>&1; then
      echo "$candidate"
      return
    fi
  done
  echo "error: Python 3.11 or newer (with venv and pip) is needed: install it, or activate a conda" \
    "environment made with 'conda env create --file environment.yml'." >&2
  exit 2
}

if usable python; then
  python=$(command -v python)
else
  python="$PWD/.venv/bin/python"
  wanted=$(cat requirements.txt pyproject.toml | cksum)
  if [[ ! -x $python || $(cat .venv/installed 2>/dev/null) != "$wanted" ]]; then
    base=$(find_python)
    echo "Setting up .venv with the pinned packages (once; a few minutes) ..."
    "$base" -m venv .venv
    "$python" -m pip install --quiet --requirement requirements.txt
    "$python" -m pip install --quiet --no-deps --editable .
    echo "$wanted" >.venv/installed
  fi
fi

# Snakemake and Jupyter start programs by name; they must be this environment's.
PATH="$(dirname "$python"):$PATH"
export PATH

if [[ ${1:-} == --test ]]; then
  shift
  exec "$python" -m pytest "$@"
fi
exec "$python" -m dynammo.command "$@"
