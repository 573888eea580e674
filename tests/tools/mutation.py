"""Measures the checkpoints: changes each function that a learner writes in many small ways, and counts the failures.

    python3 -m tests.tools.mutation             every mutant of every stage: several minutes on two cores
    python3 -m tests.tools.mutation 03 --sample 40 --seed 7

A mutant is the stage's reference with one small change: a comparison swapped, a constant changed, a statement
removed, a condition negated, None returned, arithmetic changed, a case removed. It is killed if the stage's checkpoint
fails on it, or an earlier one: a function that grows is checked by both. Survivors are printed: either the mutant
behaves like the reference, or a check is missing. Docstrings, annotations, decorators, and `assert` (for the type
checker) are not changed.
"""

from __future__ import annotations

import argparse
import ast
import copy
import difflib
import random
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from stages.desk.manifest import read, sources
from stages.desk.starter import write
from stages.harness.course import STAGES, stage_folder
from tests.support import checkpoints

SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
}
DROPPED = (ast.Expr, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Delete, ast.Raise, ast.Break, ast.Continue)
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
LEFT_ALONE = ("annotation", "returns", "decorator_list", "ctx")


@dataclass(frozen=True)
class Mutant:
    """A file of a stage with one change."""

    stage: int
    file: str
    function: str
    text: str
    change: str

    def survives(self) -> bool:
        """Return whether the checkpoint passes on it, and the earlier ones too, which `check` runs as well."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write({**sources(stage_folder(self.stage)), self.file: self.text}, folder / "server")
            for stage in reversed([each for each in STAGES if each <= self.stage]):
                run = checkpoints.run(stage, folder / "server", folder, "-x", "--patience=2")
                assert run.status in (0, 1), run.output  # 0: passed, 1: failed; else pytest itself failed
                if run.status:
                    return False
        return True


def mutants(stage: int) -> Iterator[Mutant]:
    """Yield all mutants of the functions that a learner writes in a stage."""
    for row in read(stage_folder(stage)):
        if not row.write:
            continue
        tree = ast.parse((stage_folder(stage) / row.file).read_text())
        plain = ast.unparse(tree)
        seen = {plain}
        for name, node in functions_of(tree):
            for _ in changes(node) if name in row.write else ():
                text = ast.unparse(tree)
                if text not in seen:
                    seen.add(text)
                    yield Mutant(stage, row.file, name, text, difference(plain, text))


def functions_of(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """List a tree's functions and methods with their qualified names, as `manifest.functions` does for a text."""
    for node in tree.body:
        if isinstance(node, FUNCTION):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.{part.name}", part) for part in node.body if isinstance(part, FUNCTION))


def changes(node: ast.AST) -> Iterator[None]:
    """Change the tree at or below a node, yield, and undo the change; repeat with each possible change."""
    for name, value in ast.iter_fields(node):
        if name in LEFT_ALONE or isinstance(node, ast.Assert):
            continue
        if isinstance(value, ast.AST):
            for other in replacements(value):
                setattr(node, name, other)
                yield
                setattr(node, name, value)
            yield from changes(value)
        elif isinstance(value, list):
            for place, part in enumerate(value):
                if not isinstance(part, ast.AST) or is_docstring(part):
                    continue
                for other in replacements(part):
                    value[place] = other
                    yield
                    value[place] = part
                yield from changes(part)


def is_docstring(node: ast.AST) -> bool:
    """Return whether a statement is only a string."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def replacements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that may replace a node."""
    if type(node) in SWAPPED:
        yield SWAPPED[type(node)]()
    if isinstance(node, DROPPED):
        yield ast.Pass()
    match node:
        case ast.Constant(value=bool(flag)):
            yield ast.Constant(not flag)
        case ast.Constant(value=int(number)):
            yield ast.Constant(number + 1)
        case ast.Constant(value=str(text)):
            yield ast.Constant(text + "x")
        case ast.Constant(value=bytes(data)):
            yield ast.Constant(data + b"x")
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node.operand
        case ast.If() | ast.While() | ast.IfExp():
            yield with_field(node, "test", ast.UnaryOp(ast.Not(), node.test))
        case ast.Return(value=ast.Constant(value=None)) | ast.Return(value=None):
            yield ast.Pass()
        case ast.Return():
            yield ast.Return(ast.Constant(None))
        case ast.comprehension(ifs=[_, *_]):
            yield with_field(node, "ifs", [])
        case ast.Match(cases=[_, _, *_]):
            for place in range(len(node.cases)):
                yield with_field(node, "cases", node.cases[:place] + node.cases[place + 1 :])
        case ast.match_case(guard=ast.expr()):
            yield with_field(node, "guard", None)


def with_field(node: ast.AST, name: str, value: object) -> ast.AST:
    """Return a copy of a node with one field changed."""
    other = copy.copy(node)
    setattr(other, name, value)
    return other


def difference(before: str, after: str) -> str:
    """Return the lines that differ."""
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm=""))[2:]
    return "\n".join(f"      {line}" for line in lines if not line.startswith("@@"))


def main() -> None:
    """Print the survivors, and the number of mutants that each checkpoint kills."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("stages", nargs="*", type=int, default=STAGES, metavar="NN")
    parser.add_argument("--sample", type=int, metavar="N", help="only N mutants of each stage, chosen by --seed")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--jobs", type=int, default=2, metavar="N")
    options = parser.parse_args()
    for stage in options.stages:
        found = list(mutants(stage))
        chosen = found
        if options.sample and options.sample < len(found):
            chosen = random.Random(options.seed).sample(found, options.sample)
        killed = 0
        with ThreadPoolExecutor(options.jobs) as pool:
            for mutant, survives in zip(chosen, pool.map(Mutant.survives, chosen), strict=True):
                killed += not survives
                if survives:
                    print(f"   {mutant.file}, {mutant.function}:\n{mutant.change}", flush=True)
        sampled = f", chosen from {len(found)} by --seed {options.seed}" if chosen is not found else ""
        share = killed / len(chosen)
        print(f"stage {stage:02}: {killed} of {len(chosen)} mutants killed{sampled}: {share:.1%}\n", flush=True)


if __name__ == "__main__":
    main()
