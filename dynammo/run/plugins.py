"""Methods from a file of one's own: ``./run_all.sh --plugin my_methods.py``.

Every :class:`dynammo.learner.Learner` that the file defines gets a row in the catalogue, in the
process that loads it. Results depend on all of the file, and no other method's on any of it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from dynammo import catalogue
from dynammo.errors import InputError

NAME = re.compile(r"(?!session\d+$)[a-z][a-z0-9_]*")  # folders of adapters are called so


def file_of(name: str) -> str:
    """The file of ``FILE.py:FUNCTION`` or ``package.module:function``; of anything else nothing."""
    place = name.rpartition(":")[0]
    if place.endswith(".py"):
        return place
    found = None
    if place not in ("", "timm"):
        with suppress(ImportError, ValueError):  # said where the function is asked for
            found = find_spec(place)
    return found.origin if found and found.has_location else ""


def load_plugins(paths: Sequence[str | Path]) -> list[str]:
    """Put the methods of some files into the catalogue, once in a process; return their names.

    Raises:
        InputError: no list of files, a file that is not there or fails, has no method, or a method
            without a name of its own that files and settings can have.
    """
    if not isinstance(paths, list | tuple):
        raise InputError(f'plugins is {paths!r}: it must be a list of files, ["my_methods.py"].')
    return [name for path in map(Path, paths) for name in _load(path)]


def _load(path: Path) -> list[str]:
    from dynammo.learner import Learner  # with torch, which settings alone do without
    from dynammo.networks.own import failures_told, module_from_file

    if not path.expanduser().is_file():
        raise InputError(f"There is no plugin {path}: check the path, or give it anew by --plugin.")
    if path.suffix != ".py":
        raise InputError(f"The plugin {path} is not a .py file.")
    with failures_told(f"The plugin {path}"):
        module = module_from_file(path, "plugin")
    kinds = [kind for kind in vars(module).values() if inspect.isclass(kind)]
    kinds = [k for k in kinds if k.__module__ == module.__name__ and issubclass(k, Learner)]
    # What has no name and others derive from is no method, but what they share.
    shared = {base for kind in kinds for base in kind.__mro__[1:] if "name" not in vars(base)}
    kinds = [kind for kind in kinds if kind not in shared]
    if not kinds:
        raise InputError(
            f"{path} defines no learner: derive a class from one of dynammo's. A network alone is "
            f"given as --set backbone={path}:FUNCTION, a way of merging as --how {path}:FUNCTION "
            "of dynammo.run.merge."
        )
    for kind in kinds:
        _add(kind, path)
    return [kind.name for kind in kinds]


def _add(kind: type, path: Path) -> None:
    if not NAME.fullmatch(vars(kind).get("name", "")):
        raise InputError(
            f"{kind.__name__} in {path} needs a name of its own, in small letters, digits and "
            'underscores: name = "my_method".'
        )
    title = vars(kind).get("title", kind.name.replace("_", " "))
    place = f"{kind.__module__}:{kind.__name__}"
    row = catalogue.Method(title, "plugin", place)
    if catalogue.ROWS.setdefault(kind.name, row) != row:
        raise InputError(
            f"There is a method '{kind.name}' already: give {kind.__name__} in {path} another name."
        )
