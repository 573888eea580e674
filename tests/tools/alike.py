"""Writes submissions of stage 02 to try `similar` on: ten that are independent of each other, and ten copies of one.

    python3 -m tests.tools.alike /tmp/alike
    python3 -m stages grade /tmp/alike --stage 02 --out /tmp/graded
    python3 -m stages similar /tmp/alike --stage 02 --out /tmp/similar.html
    python3 -m tests.tools.alike                            measures: the table in stages/TEACHING.md

The independent ones, `tests/support/independent/`, were written from the docstrings, each in another style. The copies
are made of one of them, as somebody does who hides that it is a copy. All get 100 points. What is measured is how much
of one is in the other, in percent, for each independent solution as the one that is copied.
"""

from __future__ import annotations

import ast
import io
from argparse import ArgumentParser
from collections import defaultdict
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

from stages.desk.manifest import Sources, sources
from stages.desk.starter import starter, write
from stages.harness.course import ROOT, stage_folder
from stages.teacher.similar import bodies

INDEPENDENT = ROOT / "tests" / "support" / "independent"
STAGE, COPIED, OTHER = 2, "10", "03"


def filled(definitions: ast.Module) -> Sources:
    """Return the starter with these definitions in it: in the place of those of the same name, or before the first."""
    files = starter(STAGE)
    trees = {file: ast.parse(text) for file, text in files.items()}
    for node in definitions.body:
        tree = trees["server.py" if isinstance(node, ast.ClassDef) and node.name == "Connection" else "reader.py"]
        put(node, tree.body)
    return {file: files[file] if file == "inline.py" else ast.unparse(tree) + "\n" for file, tree in trees.items()}


def put(node: ast.stmt, body: list[ast.stmt]) -> None:
    """Put a definition into a module or class; what is there already keeps its signature and its docstring."""
    name = getattr(node, "name", None)
    there = next((each for each in body if name and getattr(each, "name", None) == name), None)
    if isinstance(node, ast.ClassDef) and isinstance(there, ast.ClassDef):
        for part in node.body:
            put(part, there.body)
    elif isinstance(node, ast.FunctionDef) and isinstance(there, ast.FunctionDef):
        there.body[1:] = node.body
        body.remove(there)
        body.append(there)
    else:
        body.insert(next((place for place, each in enumerate(body) if hasattr(each, "name")), 0), node)


class Rename(ast.NodeTransformer):
    """Gives each local variable another name."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        names = [each for each in ast.walk(node) if isinstance(each, ast.Name)]
        caught = [each for each in ast.walk(node) if isinstance(each, ast.ExceptHandler) and each.name]
        bound = {each.id for each in names if isinstance(each.ctx, ast.Store)} | {str(each.name) for each in caught}
        for each in (each for each in names if each.id in bound):
            each.id = f"my_{each.id[::-1]}"
        for handler in caught:
            handler.name = f"my_{str(handler.name)[::-1]}"
        return node


class Blocks(ast.NodeTransformer):
    """Rewrites each block of statements."""

    def visit(self, node: ast.AST) -> ast.AST:
        self.generic_visit(node)
        for field in ("body", "orelse"):
            if isinstance(block := getattr(node, field, None), list) and not isinstance(
                node, (ast.Module, ast.ClassDef)
            ):
                setattr(node, field, [new for statement in block for new in self.rewritten(statement)])
        return node

    def rewritten(self, statement: ast.stmt) -> list[ast.stmt]:
        """Return what stands in the place of a statement."""
        raise NotImplementedError


class Pad(Blocks):
    """Puts a statement without effect before every other one."""

    def rewritten(self, statement: ast.stmt) -> list[ast.stmt]:
        return [*ast.parse("debug = False").body, statement]


class Split(Blocks):
    """Gives each returned value a name first."""

    def rewritten(self, statement: ast.stmt) -> list[ast.stmt]:
        if not isinstance(statement, ast.Return) or statement.value is None:
            return [statement]
        return [*ast.parse(f"answer = {ast.unparse(statement.value)}\nreturn answer").body]


class Negate(Blocks):
    """Turns `if a: b` into `if not a: pass; else: b`, and swaps the two sides where there are two."""

    def rewritten(self, statement: ast.stmt) -> list[ast.stmt]:
        if isinstance(statement, ast.If):
            statement.test = ast.UnaryOp(ast.Not(), statement.test)
            statement.body, statement.orelse = statement.orelse or [ast.Pass()], statement.body
        return [statement]


class Apart(Blocks):
    """Gives what is added or subtracted a name first."""

    def rewritten(self, statement: ast.stmt) -> list[ast.stmt]:
        if isinstance(statement, ast.AugAssign):
            first = ast.Assign([ast.Name("more", ast.Store())], statement.value)
            return [first, ast.AugAssign(statement.target, statement.op, ast.Name("more", ast.Load()))]
        return [statement]


def reordered(tree: ast.Module) -> None:
    """Turn the order of methods round."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            node.body.reverse()


def half(tree: ast.Module) -> None:
    """Take every other function from another solution."""
    other = {each.name: each for each in functions(independent(OTHER))}
    for each in [each for each in functions(tree) if each.name in other][::2]:
        each.body = other[each.name].body


def functions(tree: ast.Module) -> list[ast.FunctionDef]:
    """Return all functions and methods."""
    return [each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)]


COPIES: dict[str, list[Callable[[ast.Module], object]]] = {
    "verbatim": [],
    "reordered": [reordered],
    "renamed": [Rename().visit],
    "padded": [Pad().visit],
    "split": [Split().visit],
    "negated": [Negate().visit],
    "apart": [Apart().visit],
    "renamed-and-reordered": [reordered, Rename().visit],
    "half": [half],
    "everything": [reordered, Apart().visit, Split().visit, Negate().visit, Pad().visit, Rename().visit],
}


def independent(name: str) -> ast.Module:
    """Return the definitions of an independent solution."""
    return ast.parse((INDEPENDENT / f"{name}.txt").read_text())


def submissions(copied: str = COPIED) -> dict[str, Sources]:
    """Return all submissions: name -> files."""
    found = {path.stem: filled(independent(path.stem)) for path in sorted(INDEPENDENT.glob("*.txt"))}
    for name, changes in COPIES.items():
        tree = independent(copied)
        for change in changes:
            change(tree)
        found[f"copy-{name}"] = filled(ast.fix_missing_locations(tree))
    return found


def measure() -> None:
    """Print the least and the greatest share of each kind of pair, and how many pairs `similar` would report."""
    from copydetect import CodeFingerprint, compare_files, defaults

    given = {body for text in starter(STAGE).values() for body in bodies(text)}
    shares: dict[str, dict[frozenset[str], float]] = defaultdict(dict)
    for copied in (path.stem for path in sorted(INDEPENDENT.glob("*.txt")) if path.stem != OTHER):
        marks = {}
        for name, files in (submissions(copied) | {"reference": sources(stage_folder(STAGE))}).items():
            own = "\n\n".join(body for text in files.values() for body in bodies(text) if body not in given)
            marks[name] = CodeFingerprint(f"{name}.py", defaults.NOISE_THRESHOLD, 1, fp=io.StringIO(own))
        for one, other in combinations(marks, 2):
            pair = {one, other}
            copies = [name for name in pair if name.startswith("copy-")]
            if not copies or (len(copies) == 1 and copied in pair):
                kind = copies[0] if copies else "the reference" if "reference" in pair else "independent"
                shares[kind][frozenset(pair)] = 100 * max(compare_files(marks[one], marks[other])[1])
    for kind, found in shares.items():
        reported = sum(share > 100 * defaults.DISPLAY_THRESHOLD for share in found.values())
        print(f"{kind:26} {min(found.values()):4.0f} to {max(found.values()):3.0f}, {reported} of {len(found)} found")


if __name__ == "__main__":
    parser = ArgumentParser(description="Write submissions to try `similar` on, or measure how alike they are.")
    parser.add_argument("folder", nargs="?", type=Path, help="to write them to; without it, measure")
    folder = parser.parse_args().folder
    if folder is None:
        measure()
    else:
        for name, files in submissions().items():
            write(files, folder / name)
