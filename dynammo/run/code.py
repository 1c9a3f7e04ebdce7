"""Which code and weights a result depends on, and their checksums: what makes it outdated."""

from __future__ import annotations

import ast
import dis
import hashlib
import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import CodeType, NoneType
from typing import Any

import dynammo
from dynammo.backbones import Backbone
from dynammo.errors import InputError
from dynammo.learner import Learner
from dynammo.methods import kind_of
from dynammo.networks.own import LOADED

PACKAGE = Path(dynammo.__file__).resolve().parent
PLAIN = (bool, int, float, str, bytes, NoneType)  # values whose repr says all of them


def files_behind(*starts: Path) -> list[Path]:
    """Files of this library that some files import, directly or not; those of it themselves too.

    Read from the import statements, wherever they stand, so that there is no list to keep.

    Args:
        starts: Python files or notebooks.
    """
    found: set[Path] = set()
    left = [path.resolve() for path in starts]
    while left:
        path = left.pop()
        if path in found:
            continue
        found.add(path)
        left += [PACKAGE / name for name in _imported(path)]
    return sorted(path for path in found if path.is_relative_to(PACKAGE))


def python_in(path: Path) -> str:
    """The code of a Python file, or of all cells of a notebook without IPython's commands."""
    text = path.read_text()
    if path.suffix != ".ipynb":
        return text
    cells = [c for c in json.loads(text)["cells"] if c["cell_type"] == "code"]
    lines = "\n".join("".join(cell["source"]) for cell in cells).splitlines()
    return "\n".join(line for line in lines if line[:1] not in ("%", "!"))


@cache
def _imported(path: Path) -> set[Path]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(python_in(path))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    files = set()
    for name in names:
        package, *parts = name.split(".")
        if package != PACKAGE.name:
            continue
        for length in range(len(parts) + 1):  # importing a.b.c imports a and a.b before
            place = PACKAGE.joinpath(*parts[:length])
            files |= {p for p in (place / "__init__.py", place.with_suffix(".py")) if p.is_file()}
    return {path.relative_to(PACKAGE) for path in files}


def checksum_of(files: Iterable[Path]) -> str:
    """SHA-256 over library files and where they lie in it."""
    digest = hashlib.sha256()
    for path in sorted(files):
        name = path.relative_to(PACKAGE).as_posix()
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def method_files(method: str | type[Learner] = "") -> list[Path]:
    """Files that a method's results depend on; without one, those of the tuned adapters.

    The method's own file, how a session is learned, judged, counted and saved, and the networks:
    so a new method, or a change in one, concerns its own results alone. What the catalogue says of
    methods decides no result.
    """
    networks = (PACKAGE / "networks").glob("*.py")
    if not method:
        return files_behind(PACKAGE / "chain.py", *networks)
    own = [PACKAGE.parent.joinpath(*kind.__module__.split(".")) for kind in kind_of(method).__mro__]
    own = [path.with_suffix(".py") for path in own if path.is_relative_to(PACKAGE)]
    return files_behind(PACKAGE / "run" / "learn.py", *own, *networks)


def code_behind(method: str | type[Learner] = "", own: tuple[Callable, ...] = ()) -> str:
    """SHA-256 over :func:`method_files`, and over code that is elsewhere: a class's, ``own``.

    That is its source, the plain values, arrays and tensors that it uses by name, and the source of
    what it calls by name from the same place, such as a function of another cell. Of one from a
    plugin or a backbone's file, it is all of the file.
    """
    for part in own:
        if not (inspect.isfunction(part) or inspect.isclass(part)):
            raise InputError(f"{part!r} has no source to record: write a function that calls it.")
    code, parts = _library_code(method), [*own, *(kind_of(method).__mro__ if method else ())]
    library = (f"{PACKAGE.name}.", "builtins")
    parts = [part for part in parts if not part.__module__.startswith(library)]
    files = {inspect.getfile(part) for part in parts if part.__module__.startswith(LOADED)}
    elsewhere = [*_sources(parts), *(Path(file).read_text() for file in sorted(files))]
    return hashlib.sha256("".join([code, *elsewhere]).encode()).hexdigest() if elsewhere else code


@cache
def _library_code(method: str | type[Learner]) -> str:
    return checksum_of(method_files(method))


def _sources(parts: Iterable[Callable]) -> list[str]:
    """Source of functions and classes, with the values they use, and of those named in them."""
    found: dict[Callable, str] = {}
    left = list(parts)
    while left:
        part = left.pop(0)
        if part in found:
            continue
        if inspect.isclass(part):
            own = {name: _function_of(one) for name, one in vars(part).items()}
            used = {k: v for k, v in own.items() if k[:2] != "__" or inspect.isfunction(v)}
            found[part] = ""
        else:
            used = _used_by(part)
            found[part] = inspect.getsource(part)
        found[part] += "".join(f"{name}={_told(used[name])}" for name in sorted(used))
        left += [
            used[name]
            for name in sorted(used)
            if (inspect.isfunction(used[name]) or inspect.isclass(used[name]))
            and used[name].__module__ == part.__module__
        ]
    return list(found.values())


def _used_by(function: Callable) -> dict[str, Any]:
    """What a function has by name from outside: globals, defaults, and what it closes over."""
    names = _global_names(function.__code__)
    used = {name: function.__globals__.get(name) for name in names}
    defaults = enumerate(function.__defaults__ or ())
    used |= {f"default {i}": value for i, value in defaults} | (function.__kwdefaults__ or {})
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # of a name that is given its value later
            used[name] = cell.cell_contents
    return used


def _told(value: Any) -> str:
    """All of a plain value, of an array, or of a container of them; of anything else nothing."""
    if inspect.ismodule(value) or inspect.isclass(value):  # torch and Tensor have `detach`, too
        return ""
    if isinstance(value, PLAIN):
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_told(k)}:{_told(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_told, value)) + "]"
    if isinstance(value, set | frozenset):
        return "{" + ",".join(sorted(map(_told, value))) + "}"
    if hasattr(value, "detach"):
        value = value.detach().cpu().double().numpy()
    if hasattr(value, "tobytes"):
        return f"{value.shape}{hashlib.sha256(value.tobytes()).hexdigest()}"
    return ""


def _function_of(member: Any) -> Any:
    """The function behind a property, a class method or a static one; anything else as it is."""
    return getattr(member, "fget", None) or getattr(member, "__func__", member)


def _global_names(code: CodeType) -> set[str]:
    """Global names in a function, and in the functions in it."""
    own = {one.argval for one in dis.get_instructions(code) if one.opname == "LOAD_GLOBAL"}
    inner = (one for one in code.co_consts if isinstance(one, CodeType))
    return own.union(*map(_global_names, inner))


def weights_checksum(backbone: Backbone) -> str:
    """SHA-256 over a backbone's weights as they were loaded."""
    digest = hashlib.sha256()
    for name, tensor in backbone.trainable_network().state_dict().items():
        digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def code_checksum() -> str:
    """SHA-256 over all of this library's files."""
    return checksum_of(p for p in PACKAGE.rglob("*") if p.suffix in (".py", ".toml"))
