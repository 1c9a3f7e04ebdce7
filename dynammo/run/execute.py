"""Run one notebook headlessly through Papermill, with the checks Papermill leaves out.

``python -m dynammo.run.execute NOTEBOOK OUTPUT PARAMETERS_JSON`` is what the graph calls.
"""

from __future__ import annotations

import ast
import json
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dynammo.data.files import unwritable
from dynammo.errors import InputError
from dynammo.run.processes import end_with_the_command
from dynammo.run.settings import changes_of, is_setting, settings_from

KERNEL = "python3"


class NotebookFailed(InputError):
    """A cell raised an error; the message names the notebook, the cell and the kept copy."""


def fitted(notebook: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as a notebook takes them.

    What is the notebook's default already is left out, so that the executed copy shows what is not.
    Settings that the notebook does not show go into its parameter ``more``. InputError for anything
    else that it does not have: Papermill would only warn.
    """
    import papermill

    known = papermill.inspect_notebook(str(notebook))
    given = {name: value for name, value in parameters.items() if name in known}
    defaults = {}
    for name in known:
        with suppress(ValueError, SyntaxError):  # one that is computed counts as another
            defaults[name] = ast.literal_eval(known[name]["default"])
    rest = {name: value for name, value in parameters.items() if name not in known}
    if "more" in known:
        changed = changes_of(settings_from(parameters))
        more = {name: value for name, value in changed.items() if name in rest}
        given["more"] = more | dict(parameters.get("more", {}))
        rest = {name: value for name, value in rest.items() if not is_setting(name)}
    if rest:
        raise InputError(
            f"{notebook.name} has no parameter '{min(rest)}': it has {', '.join(sorted(known))}."
        )
    return {name: value for name, value in given.items() if value != defaults.get(name, ...)}


def execute(notebook: Path, output: Path, parameters: Mapping[str, Any]) -> None:
    """Execute a notebook with parameters and keep the executed copy.

    The copy appears under ``output`` only when every cell ran. A failed copy is kept beside it,
    with ``.failed`` in its name.

    Raises:
        InputError: no such notebook or parameter.
        NotebookFailed: a cell raised an error, or the kernel died.
    """
    # Imported here because papermill takes a second, and most of the library does without.
    import papermill

    if not notebook.exists():
        raise InputError(f"There is no notebook {notebook}.")
    given = fitted(notebook, parameters)
    output.parent.mkdir(parents=True, exist_ok=True)
    failed = output.with_name(f"{output.stem}.failed.ipynb")
    failed.unlink(missing_ok=True)
    part = output.with_name(f".{output.name}.part.ipynb")
    # The kernel of this environment, even where the user has others of the same name.
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    try:
        _with_a_kernel(notebook, part, given)
    except papermill.exceptions.PapermillExecutionError as error:
        part.replace(failed)
        raise NotebookFailed(
            f"{notebook.name} stopped in cell {error.cell_index + 1}: {error.ename}: "
            f"{error.evalue}\nThe copy with the error in its place is {failed.resolve()}"
        ) from error
    except RuntimeError as error:
        part.unlink(missing_ok=True)
        raise NotebookFailed(
            f"{notebook.name} stopped: {error}. Most often memory ran out: close other programs, "
            "or run fewer jobs at a time (--cores 1), and give the same command again."
        ) from error
    part.replace(output)


def _with_a_kernel(notebook: Path, output: Path, parameters: Mapping[str, Any]) -> None:
    """Execute a notebook, and again, up to three times, if its kernel did not come up.

    Two kernels that start in the same moment can choose the same port; one of them then dies.
    """
    import papermill

    for left in (2, 1, 0):
        try:
            papermill.execute_notebook(
                str(notebook),
                str(output),
                parameters=parameters,
                kernel_name=KERNEL,
                cwd=str(notebook.parent),
                progress_bar=False,
            )
            return
        except RuntimeError as error:
            if not left or "before replying" not in str(error):
                raise


def main(arguments: list[str]) -> int:
    """Execute one notebook for the graph; print one line before and one after."""
    notebook, output, parameters = Path(arguments[0]), Path(arguments[1]), json.loads(arguments[2])
    name = output.stem
    end_with_the_command()
    print(f"  ▸ {name}", flush=True)
    start = time.perf_counter()
    try:
        execute(notebook, output, parameters)
    except InputError as error:
        print(f"  ✗ {name}: {error}", flush=True)
        return 1
    except OSError as error:
        print(f"  ✗ {name}: {unwritable(error)}", flush=True)
        return 1
    except KeyboardInterrupt:
        return 130
    print(f"  ✓ {name} ({time.perf_counter() - start:.0f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
