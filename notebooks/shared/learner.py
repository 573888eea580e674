"""What the exercises use: `%%solution`, `yours`, `use_yours`, `check` …; importing it makes `%%solution` known.

A function can come from four places, and its code object says from which: a cell that the learner has run, a folded
solution, a file in work/, or an earlier stage. The learner's own code always comes first.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import linecache
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from .finding import Function, define_from_work, find_in_work, from_stage, is_empty, load_work
from .folders import IS_HANDOUT, ROOT, TARGET, WORK

__all__ = [
    "check",
    "continue_in_place",
    "from_stage",
    "is_work_empty",
    "put_yours_into",
    "refused",
    "use_yours",
    "yours",
]

CELL, SOLUTION = "your cell", "the SOLUTION"
_checked: dict[str, str] = {}  # name of a function or CLASS.METHOD -> whose it was
WIDTH = 72  # characters of a value that `check` shows around the first difference


class CheckFailed(AssertionError):
    """A failed check. Jupyter shows its text only, without a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


# Whose code runs


def whose(function: Any) -> str:
    """Return where a function comes from: CELL, SOLUTION, or "work/FILE"; "" if it is not written yet.

    A function without a body is not written, and neither is one that comes from an earlier stage: it has to grow.
    """
    function = getattr(function, "fget", function)  # of a property
    code = getattr(inspect.unwrap(function), "__code__", None) if function else None
    if code is None:
        return ""
    if code.co_filename.startswith("<solution"):
        return SOLUTION
    path = Path(code.co_filename)
    if path.is_relative_to(WORK):
        return f"work/{path.name}"
    if path.is_relative_to(ROOT):
        return ""
    try:
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function)))).body
    except (OSError, SyntaxError):
        return CELL
    return "" if isinstance(node, Function) and is_empty(node) else CELL


def yours(code: Any, *methods: str) -> Any:
    """Return the code that a check should run, and print whose it is; raise CheckFailed if it is not written yet.

    `code` is the notebook's function or class; of a class, `methods` names what the exercise has the learner write.
    It is `code` itself if the learner has written a part in a cell, else the version of work/ if that is complete,
    else `code` with the solution's parts.
    """
    sources = sources_of(code, methods)
    found = find_in_work(code, methods) if looks_in_work(sources.values()) else None
    if found:
        report(dict.fromkeys(sources, f"work/{found}.py"))
        return getattr(load_work(found), code.__name__)
    report(sources)
    return code


def use_yours(code: Any, *methods: str) -> Any:
    """Do what `yours` does, and if that is the code of work/, let the notebook's other cells use it too.

    The code of work/ then uses what the notebook defines, such as its table of commands.
    """
    code = _taken_from_work(code, methods)
    report(sources_of(code, methods))
    return code


def put_yours_into(table: dict[bytes, Any], *commands: Callable[..., Any]) -> None:
    """Do for functions in a table of commands what `use_yours` does, and put them into the table."""
    sources: dict[str, str] = {}
    for command in commands:
        name = command.__name__
        function = _taken_from_work(command, ())
        table[name.rstrip("_").encode()].function = function  # with --target the table has the exercise's empty one
        sources |= sources_of(function, ())
    report(sources)


def _taken_from_work(code: Any, methods: tuple[str, ...]) -> Any:
    """Define the notebook's `code` again, as work/ has it now, if that comes first; return what the notebook has."""
    sources = sources_of(code, methods).values()
    if TARGET == "reference" or code.__module__ != "__main__" or CELL in sources:  # --target has imported it already
        return code
    found = find_in_work(code, methods)
    return define_from_work(found, code, methods, _shell().user_ns) if found else code


def sources_of(code: Any, methods: tuple[str, ...]) -> dict[str, str]:
    """Map the name of a function, or of each method of a class (of `methods`, if any are given), to its `whose`."""
    if not inspect.isclass(code):
        found = {code.__name__: whose(code)}
    else:
        names = methods or tuple(name for name, each in vars(code).items() if inspect.isfunction(each))
        found = {f"{code.__name__}.{name}": whose(getattr(code, name, None)) for name in names}
    _checked.update(found)
    return found


def looks_in_work(sources: Iterable[str]) -> bool:
    """Whether the learner's files come first: no part is from a cell, and not all are from there already."""
    return TARGET != "reference" and any(source in ("", SOLUTION) for source in sources) and CELL not in sources


def report(sources: dict[str, str]) -> None:
    """Print whose code is checked, from name -> what `whose` says; raise CheckFailed if a part is not written."""
    missing = [name for name, source in sources.items() if not source]
    if missing:
        ways = ["write it in the exercise's cell and run that cell"]
        ways.append("write it in work/" if WORK.is_dir() else "write it in a file (`python3 -m stages start`)")
        if not IS_HANDOUT:
            ways.append("run the solution")
        text = f"{', '.join(ways[:-1])}, or {ways[-1]}.".capitalize()
        raise CheckFailed(f"not written yet: {', '.join(missing)}\n{text}")
    for source in dict.fromkeys(sources.values()):
        print(f"checking {source}: {', '.join(name for name, each in sources.items() if each == source)}")


# What later cells continue

_first: dict[str, Any] = {}  # name -> the class or table that was defined first


def continue_in_place(*names: str) -> None:
    """Let a cell with `class NAME(NAME):` change the class itself, for each name, instead of making a subclass.

    Then its objects, and what refers to it in annotations or as a key, have the new methods too. A table, which is a
    dict, keeps its items if its cell is run again. What comes from a file, such as work/store.py, is not changed.
    """
    for name in names:
        there = _shell().user_ns[name]
        if isinstance(there, dict) or there.__module__ == "__main__":
            _first.setdefault(name, there)
    if _merge not in _shell().events.callbacks["post_run_cell"]:
        _shell().events.register("post_run_cell", _merge)


def _merge(_result: object) -> None:
    """Move what the cell has defined under a name of `_first` into what was defined first."""
    namespace = _shell().user_ns
    for name, there in _first.items():
        continued = namespace.get(name, there)
        namespace[name] = there
        if continued is there:
            continue
        if isinstance(there, dict):
            there.update(continued)
            continue
        for part, value in vars(continued).items():
            if part not in ("__dict__", "__weakref__"):
                setattr(there, part, value)


# The check


def check(got: object, expected: object, hint: str = "") -> None:
    """Compare what the code returned with what it should return; raise CheckFailed, with both and `hint`, if not equal.

    Bytes may equal a bytearray, and errors of one type are equal if their texts are. True and 1 are not equal.
    """
    if isinstance(got, Exception) and isinstance(expected, Exception):
        equal = repr(got) == repr(expected)
    else:
        equal = got == expected and (type(got) is bool) == (type(expected) is bool)
    if equal:
        return
    text = difference(got, expected)
    raise CheckFailed(f"{text}\nhint      {hint}" if hint else text)


def difference(got: object, expected: object) -> str:
    r"""Show two values that differ, one above the other, with a caret under the first difference.

    >>> print(difference(b"$4\r\nPIN\r\n", b"$4\r\nPING\r\n"))
    they differ at byte 7
    got       b'$4\r\nPIN\r\n'
    expected  b'$4\r\nPING\r\n'
                         ^
    >>> print(difference(None, [b"GET", b"k"]))
    got       None
    expected  [b'GET', b'k']
              ^
    """
    one, other = pieces(got), pieces(expected)
    same = len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))))
    both_bytes = isinstance(got, bytes | bytearray) and isinstance(expected, bytes | bytearray)
    title = f"they differ at byte {same - 1}\n" if both_bytes else ""
    at = len("".join(one[:same]))
    start = max(0, at - WIDTH // 2)
    rows = []
    for label, text in (("got", "".join(one)), ("expected", "".join(other))):
        cut = ("… " if start else "") + text[start : start + WIDTH] + (" …" if len(text) > start + WIDTH else "")
        rows.append(f"{label:<10}{cut}")
    return title + "\n".join(rows) + "\n" + " " * (10 + (2 if start else 0) + at - start) + "^"


def pieces(value: object) -> list[str]:
    """Cut the text of a value into what is compared: a piece for each byte of bytes, else for each character."""
    if isinstance(value, bytes | bytearray):
        return ["b'", *(repr(bytes([byte]))[2:-1] if byte != 0x27 else "\\'" for byte in value), "'"]
    return list(repr(value))


def refused(call: Callable[[], object]) -> str:
    """Call `call`, which must raise ReplyError or CorruptLog, and return the error's message."""
    try:
        answer = call()
    except Exception as error:
        if type(error).__name__ not in ("ReplyError", "CorruptLog"):
            raise
        return str(error)
    raise CheckFailed(f"got       {answer!r}\nexpected  an error")


# The solution


def solution(line: str, cell: str) -> None:
    """Run a cell that begins with `%%solution`, without the functions that the learner has written in a cell.

    With `%%solution replace` it replaces those too, and says so.
    """
    namespace = _shell().user_ns
    tree = ast.parse(cell)
    kept, defined = [], []
    for owner, body, function in list(functions(tree)):
        holder = namespace.get(owner.name) if owner else None
        name = f"{owner.name}.{function.name}" if owner else function.name
        present = getattr(holder, function.name, None) if owner else namespace.get(name)
        if whose(present) != CELL:
            defined.append(name)
        elif line.strip() == "replace":
            defined.append(f"{name} (yours is replaced)")
        else:
            kept.append(name)
            body.remove(function)
            if owner:  # the class stays the learner's, the rest of the solution is added
                owner.bases = [ast.Name(owner.name, ast.Load())]
                owner.body = owner.body or [ast.Pass()]
    if defined:
        filename = f"<solution {abs(hash(cell)):x}>"
        linecache.cache[filename] = (len(cell), None, cell.splitlines(keepends=True), filename)
        exec(compile(ast.fix_missing_locations(tree), filename, "exec", dont_inherit=True), namespace)
        own = [name for name in defined if TARGET != "reference" and is_in_work(name, namespace)]
        if len(own) < len(defined):
            print(f"now runs {SOLUTION}: {', '.join(name for name in defined if name not in own)}")
        if own:
            print(f"work/ has this already, and the next cell checks that: {', '.join(own)}")
    if kept:
        print(f"stays as you wrote it: {', '.join(kept)}")
        print("To replace it, make the first line `%%solution replace` and run this cell again.")


def is_in_work(name: str, namespace: dict[str, Any]) -> bool:
    """Whether the learner has written a function, or the method CLASS.NAME, in work/."""
    owner, _, method = name.rpartition(".")
    code = namespace.get(owner or name)
    try:
        return hasattr(code, "__name__") and bool(find_in_work(code, (method,) if owner else ()))
    except SyntaxError:  # the check will say so
        return False


def is_work_empty() -> bool:
    """Whether work/ is there, and nothing is written in it of all that the cells above have checked."""
    return WORK.is_dir() and bool(_checked) and not any(is_in_work(name, _shell().user_ns) for name in _checked)


def functions(tree: ast.Module) -> Iterator[tuple[ast.ClassDef | None, list[ast.stmt], Function]]:
    """Yield each function of a cell with its class, and with the list of statements that it is in."""
    for node in tree.body:
        if isinstance(node, Function):
            yield None, tree.body, node
        elif isinstance(node, ast.ClassDef):
            yield from ((node, node.body, part) for part in node.body if isinstance(part, Function))


def _not_written(
    shell: Any, kind: type, error: BaseException, trace: Any, tb_offset: int | None = None
) -> Iterable[str]:
    """Show a NotImplementedError in one line, with the name of the function that raised it."""
    while trace.tb_next:
        trace = trace.tb_next
    text = [f"not written yet: {trace.tb_frame.f_code.co_qualname}"]
    shell._showtraceback(kind, error, text)
    return text


def _shell() -> Any:
    """Return the notebook's IPython shell; None outside a notebook."""
    from IPython import get_ipython

    return get_ipython()


if _shell():
    _shell().register_magic_function(solution, "cell")
    _shell().set_custom_exc((NotImplementedError,), _not_written)
