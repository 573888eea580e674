"""Finds functions in the learner's files in work/, and imports modules of work/ and of the stages."""

from __future__ import annotations

import ast
import builtins
import functools
import importlib
import inspect
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from .folders import STAGE, WORK, stage_folder

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
    shutil.rmtree(WORK / "__pycache__", ignore_errors=True)  # may be older than the file: it has only its second
    return load(WORK, name)


def from_stage(stage: int, module: str, name: str) -> Any:
    """Return the class or function `name` of a stage's reference code."""
    return getattr(load(stage_folder(stage), module), name)


def find_in_work(code: Any, methods: Sequence[str]) -> str | None:
    """Return the name of the module in work/ that defines `code`; None if it is missing or not written yet.

    Of a class, only `methods` must be written, if any are given. Several modules may have something of this name: a
    function with the parameters of `code` comes first, and what is not written is passed over.
    """
    found = [
        (path.stem, node)
        for path in sorted(WORK.glob("*.py"))
        for node in ast.parse(path.read_text(), str(path)).body
        if isinstance(node, Function | ast.ClassDef) and node.name == code.__name__
    ]
    for module, node in sorted(found, key=lambda pair: not _has_parameters_of(code, pair[1])):
        parts = [part for part in node.body if getattr(part, "name", "") in methods] if methods else [node]
        if parts and len(parts) >= len(methods) and not any(_is_unwritten(part, code) for part in parts):
            return module
    return None


def _has_parameters_of(code: Any, node: ast.stmt) -> bool:
    """Whether a function of work/ has the parameters of `code`: another module may have another one of this name."""
    if not isinstance(node, Function) or not inspect.isfunction(code):
        return True
    return {each.arg for each in ast.walk(node.args) if isinstance(each, ast.arg)} == {
        *inspect.signature(code).parameters
    }


def _is_unwritten(part: ast.AST, code: Any) -> bool:
    """Whether `part` has no body yet, or still the one that it has in the stage before."""
    if is_empty(part) if isinstance(part, Function) else "raise NotImplementedError" in ast.unparse(part):
        return True
    if not isinstance(part, Function):
        return False
    bases = [vars(base).get(part.name) for base in getattr(code, "__mro__", ()) if base.__module__ != "__main__"]
    earlier = [each for each in bases if inspect.isfunction(each) and not _is_in_work(each)]
    sources = [textwrap.dedent(inspect.getsource(each)) for each in earlier]
    if any(_body(part) == _body(ast.parse(source).body[0]) for source in sources):
        return True
    return any(_definition(part) == _definition(each) for each in _of_the_stage_before() if each.name == part.name)


def _is_in_work(function: FunctionType) -> bool:
    """Whether a function is the one that is looked for: with --target, a notebook builds on the learner's classes."""
    return Path(function.__code__.co_filename).is_relative_to(WORK)


@functools.cache
def _of_the_stage_before() -> list[Function]:
    """Return all functions and methods of the stage before the notebook's; a method may have moved to another class."""
    files = stage_folder(STAGE - 1).glob("*.py") if STAGE > 1 else ()
    return [each for file in files for each in ast.walk(ast.parse(file.read_text())) if isinstance(each, Function)]


def _definition(function: Function) -> tuple[list[str], str, str]:
    """Return a function's decorators, arguments and body in a normal form."""
    return list(map(ast.unparse, function.decorator_list)), ast.unparse(function.args), _body(function)


def define_from_work(module: str, code: Any, methods: Sequence[str], namespace: dict[str, Any]) -> Any:
    """Define a function of work/, or the methods of a class, in `namespace`, and return `code` or its replacement.

    So it uses the names that `namespace` has, such as the notebook's table of commands. What only work/ has, such as
    the learner's own functions, is defined there too.
    """
    path = WORK / f"{module}.py"
    tree = ast.parse(path.read_text(), str(path))
    _define(code.__name__, tree, path, namespace, methods)
    return namespace[code.__name__]


def _define(name: str, tree: ast.Module, path: Path, namespace: dict[str, Any], methods: Sequence[str] = ()) -> None:
    """Define `name`, of a file's `tree`, in `namespace`, and what else it needs.

    If there are `methods`, it is a class that `namespace` has: add these to it, and the helpers that they call.
    """
    node = next((each for each in tree.body if getattr(each, "name", "") == name), None)
    if not isinstance(node, Function | ast.ClassDef):  # a constant, or imported
        there = vars(load_work(path.stem))
        if name in there:  # else it is a variable of a function
            namespace[name] = there[name]
        return
    present = namespace.get(name)
    if methods and isinstance(node, ast.ClassDef):
        methods = _with_helpers(methods, node, present)
        node.body = [part for part in node.body if getattr(part, "name", "") in methods]
        node.bases, node.decorator_list = [], []
    namespace.setdefault(name, None)  # it may need itself
    for needed in {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}:
        if needed not in namespace and not hasattr(builtins, needed):
            _define(needed, tree, path, namespace)
    found: dict[str, Any] = {}
    program = compile(ast.Module([node], []), str(path), "exec", flags=0, dont_inherit=True)
    exec(program, namespace, found)
    for method in methods:
        setattr(present, method, vars(found[name])[method])
    namespace[name] = present if methods else found[name]


def _with_helpers(methods: Sequence[str], node: ast.ClassDef, present: Any) -> list[str]:
    """Return `methods`, and those of the learner's own that they use: the class `present` has none of that name.

    If it has one that comes from work/, that is taken again, for the file may have changed.
    """
    written = {part.name: part for part in node.body if isinstance(part, Function)}
    lacking = {name for name in written if not hasattr(present, name)}
    taken = {name for name, each in vars(present).items() if inspect.isfunction(each) and _is_in_work(each)}
    found = [*methods]
    for method in found:  # it grows meanwhile
        names = {each.attr for each in ast.walk(written[method]) if isinstance(each, ast.Attribute)}
        found += sorted((names & written.keys() & (lacking | taken)) - {*found})
    return found


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
