#!/usr/bin/env bash
# Every figure of the demo: ./run_all.sh           (--help: other profiles, data, settings)
# The tests:                ./run_all.sh --test [pytest arguments]
# Notebooks for students:   ./run_all.sh --student [FOLDER]
#
# An active environment that has the pinned packages (environment.yml) is used as it is. Otherwise
# the packages of requirements.txt go into .venv here, once.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usable() { # does this interpreter have what the project needs, and this copy of the project?
  (cd / && "$1" - "$root") <<'PY' >/dev/null 2>&1
import sys
from pathlib import Path
import jupytext, papermill, pytest, snakemake, sphinx_book_theme, torch
import dynammo
assert Path(dynammo.__file__).parent.parent == Path(sys.argv[1])
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
  python="$root/.venv/bin/python"
  wanted=$(cd "$root" && cat requirements.txt pyproject.toml dynammo/__init__.py | cksum)
  if [[ ! -x $python || $(cat "$root/.venv/installed" 2>/dev/null) != "$wanted" ]]; then
    base=$(find_python)
    echo "Setting up .venv with the pinned packages (once; a few minutes) ..."
    "$base" -m venv "$root/.venv"
    "$python" -m pip install --quiet --requirement "$root/requirements.txt"
    "$python" -m pip install --quiet --no-deps --editable "$root"
    echo "$wanted" >"$root/.venv/installed"
  fi
fi

# Snakemake and Jupyter start programs by name; they must be this environment's.
PATH="$(dirname "$python"):$PATH"
export PATH

if [[ ${1:-} == --test ]]; then
  shift
  cd "$root"
  exec "$python" -m pytest "$@"
fi
if [[ ${1:-} == --student ]]; then
  shift
  exec "$python" -m dynammo.run.student "$@"
fi
exec "$python" -m dynammo.run.command "$@"
