"""Looks for solutions in a folder that must not have any: bodies of functions that learners write, in any format."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from stages.desk.manifest import below_docstring, functions, read, sources
from stages.desk.starter import old_body
from stages.harness.course import STAGES, stage_folder

Bodies = dict[str, set[str]]  # the function's name, for the report -> its body, normalised in two ways


def bodies(stage: int, but: Collection[str] = ()) -> Bodies:
    """Return the bodies of the functions that learners write in a stage, those of two statements or more.

    The functions named in `but` are left out, and bodies that the stage before has too: only their signature grows.
    """
    found: Bodies = {}
    now, before = sources(stage_folder(stage)), sources(stage_folder(stage - 1)) if stage - 1 in STAGES else {}
    for row in read(stage_folder(stage)):
        text = now.get(row.file, "")
        for name, node in functions(text):
            if name in row.write and name not in but and statements(body := below_docstring(node)) > 1:
                written = "\n".join(text.splitlines()[body[0].lineno - 1 : node.end_lineno])
                file, old = row.origin(name)
                if squeezed("\n".join(old_body(old, before.get(file, "")))) == squeezed(written):
                    continue
                parsed = "\n".join(ast.unparse(statement) for statement in body)
                found[f"{stage_folder(stage).name}/{row.file}: {name}"] = {squeezed(written), squeezed(parsed)}
    return found


def statements(body: list[ast.stmt]) -> int:
    """Count the statements, nested ones included."""
    return sum(isinstance(part, ast.stmt) for each in body for part in ast.walk(each))


def leaks(folder: Path, wanted: Bodies) -> list[str]:
    """List the files of a folder in which one of the bodies `wanted` is found, with the name of the function."""
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        text = " ".join(squeezed(part) for part in forms(path))
        names = [name for name, body in wanted.items() if any(form in text for form in body)]
        found += [f"{path.relative_to(folder)}: {name}" for name in names]
    return found


def forms(path: Path) -> Iterator[str]:
    """Yield a file's text, and each notebook cell's: as it is and, when it is Python, as `ast.unparse` writes it."""
    text = path.read_text(errors="replace")
    parts = [text]
    if path.suffix == ".ipynb":
        for cell in json.loads(text)["cells"]:
            parts.append("".join(cell["source"]))
            parts.append(json.dumps(cell.get("outputs", ()), ensure_ascii=False).replace("\\n", "\n"))
    for part in parts:
        yield part
        try:
            yield ast.unparse(ast.parse(part))
        except (SyntaxError, ValueError):
            continue


def squeezed(text: str) -> str:
    """Return a text without comments and whitespace."""
    return re.sub(r"\s+", "", re.sub(r"#.*$", "", text, flags=re.M))
