"""Finds functions in the learner's files in work/, and imports modules of work/ and of the stages."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from .folders import WORK, stage_folder

Function = ast.FunctionDef | ast.AsyncFunctionDef
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


def load_work(name: str) -> ModuleType:
    """Import module `name` of work/ as the file is now."""
    _modules.pop(WORK, None)
    return load(WORK, name)


def from_stage(stage: int, module: str, name: str) -> Any:
    """Return the class or function `name` of a stage's reference code."""
    return getattr(load(stage_folder(stage), module), name)


def find_in_work(code: Any, methods: Sequence[str]) -> str | None:
    """Return the name of the module in work/ that defines `code`; None if it is missing or not written yet.

    Of a class, only `methods` must be written, if any are given.
    """
    for path in sorted(WORK.glob("*.py")):
        for node in ast.parse(path.read_text(), str(path)).body:
            if isinstance(node, Function | ast.ClassDef) and node.name == code.__name__:
                parts = [part for part in node.body if getattr(part, "name", "") in methods] or [node]
                if len(parts) < len(methods) or any(_is_unwritten(part, code) for part in parts):
                    return None
                return path.stem
    return None


def _is_unwritten(part: ast.AST, code: Any) -> bool:
    """Whether `part` has no body yet, or still the body of the stage before (`code` is a subclass of that class)."""
    if is_empty(part) if isinstance(part, Function) else "raise NotImplementedError" in ast.unparse(part):
        return True
    name = getattr(part, "name", "")
    earlier = [vars(base).get(name) for base in getattr(code, "__mro__", ()) if base.__module__ != "__main__"]
    sources = [textwrap.dedent(inspect.getsource(each)) for each in earlier if inspect.isfunction(each)]
    return isinstance(part, Function) and _body(part) in [_body(ast.parse(source).body[0]) for source in sources]


def is_empty(function: Function) -> bool:
    """Whether a function is still to be written: after the docstring only `pass`, `...` or NotImplementedError.

    >>> [is_empty(ast.parse(f"def f(): {body}").body[0]) for body in ("return", "'doc'", "raise NotImplementedError")]
    [False, True, True]
    """
    rest = function.body[1 if ast.get_docstring(function) is not None else 0 :]
    return all(ast.unparse(each).partition("(")[0] in ("pass", "...", "raise NotImplementedError") for each in rest)


def _body(function: ast.AST) -> str:
    """Return the source of a function's body in a normal form, without its docstring."""
    assert isinstance(function, Function)
    return "\n".join(map(ast.unparse, function.body[1 if ast.get_docstring(function) else 0 :]))
