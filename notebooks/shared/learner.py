"""Finds the learner's own version of a function in work/, so that the checks of a notebook run on it."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from .folders import ROOT, TARGET, stage_folder

WORK = ROOT / "work"
_modules: dict[Path, dict[str, ModuleType]] = {}  # folder -> module name -> the module imported from there


def load(folder: Path, name: str) -> ModuleType:
    """Import module `name` from `folder`; the modules that it imports are searched there first.

    Modules of different stages have the same names. So after the import, the modules of this folder are taken out of
    `sys.modules` again, and kept in `_modules`.
    """
    names = {path.stem for path in folder.glob("*.py")}
    others = {module: sys.modules.pop(module) for module in names if module in sys.modules}
    sys.modules.update(_modules.get(folder, {}))
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))
        _modules[folder] = {module: sys.modules.pop(module) for module in names if module in sys.modules}
        sys.modules.update(others)


def from_stage(stage: int, module: str, name: str) -> Any:
    """Return the class or function `name` of a stage's reference code."""
    return getattr(load(stage_folder(stage), module), name)


def yours(code: Any, *methods: str) -> Any:
    """Return the learner's version of a function or class from work/, or `code`, the notebook's, when there is none.

    When `methods` are given, only these methods of the class must have been written. Prints which version it is.
    """
    name = code.__name__
    found = None if TARGET else _find_in_work(code, methods)
    if found is None:
        unwritten = "" if TARGET or not WORK.is_dir() else " (work/ does not have it yet)"
        print(f"checking {name} of this notebook{unwritten}")
        return code
    print(f"checking your {name} in work/{found}.py")
    _modules.pop(WORK, None)  # the learner may have edited it since
    return getattr(load(WORK, found), name)


def put_yours_into(table: dict[bytes, Any], *commands: Callable[..., Any]) -> None:
    """Replace functions of a command table by the learner's versions from work/, where written (see `yours`)."""
    _modules.pop(WORK, None)  # the learner may have edited it since
    unwritten = "" if TARGET or not WORK.is_dir() else " (work/ does not have it yet)"
    sources: dict[str, list[str]] = {}
    for function in commands:
        name = function.__name__
        found = None if TARGET else _find_in_work(function, ())
        if found:
            table[name.rstrip("_").encode()].function = with_the_notebooks_error(getattr(load(WORK, found), name))
        source = f"checking your {{}} in work/{found}.py" if found else f"checking {{}} of this notebook{unwritten}"
        sources.setdefault(source, []).append(name)
    for source, names in sources.items():
        print(source.format(", ".join(names)))


def _find_in_work(code: Any, methods: Sequence[str]) -> str | None:
    """Return the name of the module in work/ that defines `code`; None when it is missing or not written yet."""
    for path in sorted((WORK).glob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == code.__name__:
                parts = [part for part in node.body if getattr(part, "name", "") in methods] or [node]
                return None if any(_is_unwritten(part, code) for part in parts) else path.stem
    return None


def _is_unwritten(part: ast.stmt, code: Any) -> bool:
    """Whether `part` has no body yet, or still the body of the stage before (`code` is a subclass of that class)."""
    if "raise NotImplementedError" in ast.unparse(part):
        return True
    name = getattr(part, "name", "")
    earlier = [vars(base).get(name) for base in getattr(code, "__mro__", ()) if base.__module__ != "__main__"]
    sources = [textwrap.dedent(inspect.getsource(each)) for each in earlier if inspect.isfunction(each)]
    return _body(part) in [_body(ast.parse(source).body[0]) for source in sources]


def _body(function: ast.stmt) -> str:
    """Return the source of a function's body in a normal form, without its docstring."""
    body = getattr(function, "body", [])
    return "\n".join(ast.unparse(each) for each in body[1 if ast.get_docstring(function) else 0 :])  # type: ignore[arg-type]


def with_the_notebooks_error(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function of work/ raise the notebook's ReplyError; the ReplyError of work/ is a different class."""

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        try:
            return function(*args)
        except Exception as error:
            if type(error).__name__ != "ReplyError":
                raise
            raise importlib.import_module("errors").ReplyError(str(error)) from None

    return call


def refused(call: Callable[[], object]) -> str:
    """Call `call`, which must raise ReplyError or CorruptLog, and return the error's message."""
    try:
        answer = call()
    except Exception as error:
        if type(error).__name__ not in ("ReplyError", "CorruptLog"):
            raise
        return str(error)
    raise AssertionError(f"this must raise an error, but it returned {answer!r}")
