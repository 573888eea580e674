"""Merges what a stage gives into the learner's files: three ways, definition by definition; runs no code, needs no git.

*Base* is the reference of the stage before, *now* that of the stage without the bodies that a learner writes, *ours*
the learner's files. A file is cut into parts (`parts_of`): imports, assignments, functions, classes; a class into
its methods. For each part of *now*:

    the learner wrote it            it stays; if the table names it, it grows, and its docstring is brought up to date
    only the stage changed it       the stage's replaces it
    both changed it                 both changes are applied; where they overlap, ours stays: a conflict
    it is new                       it is inserted after the part that comes before it in *now*

What only the learner has stays. What the stage no longer has stays too (`retired`), except unused imports and
constants.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher

from stages.desk.manifest import Function, Row, Sources, first_line

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
Import = ast.Import | ast.ImportFrom
Name = tuple[str, str]  # file, qualified name


@dataclass
class Part:
    """A statement of a module or class: its lines, and the empty lines and comments above it."""

    key: str  # the name of a definition; for other statements a text with a space in it
    gap: list[str]
    lines: list[str]
    node: ast.stmt


@dataclass
class Merged:
    """What a merge has done to one file. All names are qualified."""

    text: str = ""
    added: list[str] = field(default_factory=list)  # given, and inserted or brought up to date
    to_write: list[str] = field(default_factory=list)  # new, without a body
    grows: dict[str, ast.stmt] = field(default_factory=dict)  # the learner's; the value is the stage's, new docstring
    signatures: dict[str, str] = field(default_factory=dict)  # of those that grow: the new one, where it has changed
    retired: list[str] = field(default_factory=list)
    conflicts: dict[str, str] = field(default_factory=dict)  # name -> the stage's side


def parts_of(source: str, class_name: str = "") -> list[Part]:
    """Cut a module, or the class of that name in it, into its parts.

    >>> [part.key for part in parts_of("import os\\nA: int = 1\\ndef f(): pass\\nclass B: pass\\n")]
    ['statement import os', 'A =', 'f', 'B']
    """
    lines, body, at = source.splitlines(), ast.parse(source).body, 0
    if class_name:
        (found_class,) = [each for each in body if isinstance(each, ast.ClassDef) and each.name == class_name]
        body, at = found_class.body, first_line(found_class.body[0]) - 1
    found: list[Part] = []
    seen: Counter[str] = Counter()
    for node in body:
        first, last = first_line(node) - 1, node.end_lineno or 0
        if first < at:  # two statements on one line
            continue
        key = key_of(node)
        seen[key] += 1
        key += f" #{seen[key]}" if seen[key] > 1 else ""
        found.append(Part(key, lines[at:first], lines[first:last], node))
        at = last
    return found


def key_of(node: ast.stmt) -> str:
    """Return what a statement is recognised by in another version of the file."""
    if isinstance(node, Definition):
        return node.name
    if isinstance(node, ast.ImportFrom):
        return f"from {'.' * node.level}{node.module or ''}"
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return " ".join([*map(ast.unparse, targets), "="])
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return "the docstring"
    return f"if {ast.unparse(node.test)}" if isinstance(node, ast.If) else " ".join(["statement", ast.unparse(node)])


def merge_lines(base: list[str], ours: list[str], theirs: list[str]) -> list[str] | None:
    """Apply the changes from `base` to `ours` and to `theirs` to `base`; None when they overlap.

    >>> merge_lines(["a", "b"], ["a", "b", "ours"], ["a", "B", "theirs"])
    ['a', 'B', 'theirs', 'ours']
    """
    changes: list[tuple[int, int, list[str]]] = []
    for lines in (theirs, ours):
        for kind, first, last, start, end in SequenceMatcher(None, base, lines, autojunk=False).get_opcodes():
            change = (first, last, lines[start:end])
            if kind != "equal" and change not in changes:
                if any(overlap(change, other) for other in changes if lines is ours):
                    return None
                changes.append(change)
    result = list(base)
    for first, last, lines in reversed(sorted(changes, key=lambda each: each[:2])):
        result[first:last] = lines
    return result


def overlap(one: tuple[int, int, list[str]], other: tuple[int, int, list[str]]) -> bool:
    """Return whether two changes are about the same lines; two insertions at one place are not."""
    return one[0] < other[1] and other[0] < one[1]


class FileMerge:
    """The merge of one file. `theirs` are the (file, name) that an earlier table has had the learner write."""

    def __init__(self, row: Row, ours: Sources, base: Sources, now: str, theirs: set[Name]) -> None:
        self.row, self.theirs = row, theirs
        self.sources, self.bases, self.now = ours, base, now
        self.away: set[str] = set()
        self.result = Merged()

    def run(self, away: set[str]) -> Merged:
        """Merge; `away` are the names of this file that another row of the table has moved."""
        self.away = away
        ours, base = self.sources.get(self.row.file, ""), self.bases.get(self.row.file, "")
        parts = self.merge(parts_of(ours), parts_of(base), parts_of(self.now), "")
        parts = self.with_imports(parts, imported(base), parts_of(self.now))
        self.result.text = text_of(with_gaps(parts, parts_of(base), parts_of(self.now)), ours)
        return self.result

    def merge(self, ours: list[Part], base: list[Part], now: list[Part], owner: str) -> list[Part]:
        """Merge all parts but the imports; return ours, changed. `owner` is `Class.` or empty."""
        result = list(ours)
        bases = {part.key: part for part in base}
        for place, part in enumerate(now):
            if isinstance(part.node, Import):
                continue
            name = owner + part.key
            mine = next((each for each in result if each.key == part.key), None)
            before = bases.get(part.key)
            come = name in self.row.moved and mine is None
            if come:
                mine, before = self.origin(name, owner)
            new = self.merged(name, mine, before, part)
            if new is None:
                continue
            if mine is not None and not come:
                result[result.index(mine)] = new
            else:
                result.insert(insertion(result, now, place), new)
        kept = {part.key for part in now}
        for part in base:
            mine = next((each for each in result if each.key == part.key), None)
            if mine is None or part.key in kept or isinstance(part.node, Import):
                continue
            others = "\n".join(line for each in result if each is not mine for line in each.lines)
            if owner + part.key in self.away:
                result.remove(mine)
            elif isinstance(part.node, Definition):
                self.result.retired.append(owner + part.key)
            elif part.key.endswith(" =") and same(mine, part) and not used(part.key.split()[0], others):
                result.remove(mine)
        return result

    def origin(self, name: str, owner: str) -> tuple[Part | None, Part | None]:
        """Return the learner's and the reference's part that has moved here, under the name that it has here."""
        file, old = self.row.moved[name], self.row.was.get(name, name)
        return tuple(  # type: ignore[return-value]
            renamed(found_in(sources.get(file, ""), old), name.removeprefix(owner), " " * 4 * bool(owner))
            for sources in (self.sources, self.bases)
        )

    def merged(self, name: str, mine: Part | None, before: Part | None, part: Part) -> Part | None:
        """Merge one part; None when the learner does not have it and need not get it."""
        is_function = isinstance(part.node, Function)
        if isinstance(part.node, ast.ClassDef) and mine is None and before is not None:
            if any(each.split(".")[0] == name for each in self.row.named):  # they have renamed it, or moved it
                self.result.conflicts[name] = "\n".join(part.lines)
            return None
        if isinstance(part.node, ast.ClassDef) and (mine is None or isinstance(mine.node, ast.ClassDef)):
            return self.merged_class(name, mine, before, part)
        if mine is None:
            if name in self.row.write:
                self.result.to_write.append(name)
            elif is_function and name in self.row.named:
                self.result.added.append(name)
            elif before is not None and (is_function or part.lines == before.lines):
                return None  # the learner has taken it out, and it is as it was
            elif part.key == "the docstring" and before is not None:
                return None
            return part
        if is_function and name not in self.row.named:
            return mine
        if name in self.row.write or self.is_theirs(name):
            return self.grown(name, mine, before, part)
        if same(mine, part):
            return mine
        if before is not None and same(mine, before):
            if is_function:
                self.result.added.append(name)
            return Part(part.key, mine.gap, part.lines, part.node)
        if before is not None and same(part, before):
            return mine
        return self.both_changed(name, mine, before, part)

    def is_theirs(self, name: str) -> bool:
        """Return whether the learner wrote the function in an earlier stage."""
        origin = (self.row.moved[name], self.row.was.get(name, name)) if name in self.row.moved else None
        return (self.row.file, name) in self.theirs or origin in self.theirs

    def both_changed(self, name: str, mine: Part, before: Part | None, part: Part) -> Part:
        """Apply both changes, or keep ours and note a conflict."""
        lines = merge_lines(before.lines, mine.lines, part.lines) if before else None
        if lines is not None and (node := parsed(lines)):
            self.result.added.append(name)
            return Part(part.key, mine.gap, lines, node)
        if part.key != "the docstring":
            self.result.conflicts[name] = "\n".join(part.lines)
        return mine

    def grown(self, name: str, mine: Part, before: Part | None, part: Part) -> Part:
        """Keep the learner's function; replace its docstring where it is the one of the stage before."""
        if not (isinstance(mine.node, Function) and isinstance(part.node, Function)):
            self.result.conflicts[name] = "\n".join(part.lines)
            return mine
        self.result.grows[name] = part.node
        old_node = before.node if before and isinstance(before.node, Function) else mine.node
        if signature(old_node) != signature(part.node):
            self.result.signatures[name] = signature(part.node)
        if name in self.row.given:
            self.result.conflicts[name] = "\n".join(part.lines)
        old, new = docstring_lines(mine), docstring_lines(part)
        if before is None or not old or not new or docstring(mine) != docstring(before):
            return mine
        lines = list(mine.lines)
        lines[old.start : old.stop] = part.lines[new.start : new.stop]
        return Part(mine.key, mine.gap, lines, mine.node)

    def merged_class(self, name: str, mine: Part | None, before: Part | None, part: Part) -> Part:
        """Merge a class method by method, its first lines too."""
        if mine is None and before is None and not any(each.startswith(name + ".") for each in self.row.moved):
            own = [f"{name}.{each.key}" for each in members(part) if isinstance(each.node, Function)]
            self.result.to_write += [each for each in own if each in self.row.write]
            self.result.added += [name, *(each for each in own if each in self.row.given)]
            return part
        sides = [head(each) if each else [] for each in (before, mine, part)]
        heading = sides[2]
        if mine and sides[1] != sides[2]:
            heading = (merge_lines(*sides) if before else None) or []
        if not heading:
            self.result.conflicts[name] = "\n".join(sides[2])
            heading = sides[1]
        inside = self.merge(members(mine), members(before), members(part), name + ".")
        lines = [*heading, *(line for each in inside for line in (*each.gap, *each.lines))]
        return Part(part.key, (mine or part).gap, lines, parsed(lines) or part.node)

    def with_imports(self, parts: list[Part], base: dict[str, str], now: list[Part]) -> list[Part]:
        """Add the imports that the stage has added, and drop those that it has dropped and nothing uses."""
        rest = "\n".join(line for part in parts if not isinstance(part.node, Import) for line in part.lines)
        new = {name: home for part in now for name, home in names_of(part).items()}
        defined = {part.key for part in parts} | {
            name for part in parts if part.key.endswith(" =") for name in part.key.split()[:-1]
        }
        result: list[Part] = []
        have: set[str] = set()
        for part in parts:
            mine = names_of(part)
            kept = {
                name: home
                for name, home in mine.items()
                if base.get(name) != home or new.get(name) == home or (name not in new and used(name, rest))
            }
            have |= set(kept)
            if mine and not kept:
                continue
            result.append(part if kept == mine else import_part(part, kept))
        for place, part in enumerate(now):
            missing = {
                name: home
                for name, home in names_of(part).items()
                if name not in have and (base.get(name) != home or used(name, rest))
            }
            for name in sorted(set(missing) & defined):
                self.result.conflicts[f"import of {name}"] = f"{missing.pop(name)}  # your own {name} hides it"
            if not missing:
                continue
            there = next((each for each in result if each.key == part.key and names_of(each)), None)
            both = (names_of(there) if there else {}) | missing
            added = part if both == names_of(part) else import_part(part, both)
            if there:
                result[result.index(there)] = Part(added.key, there.gap, added.lines, added.node)
            else:
                result.insert(insertion(result, now, place), added)
        return result


def same(one: Part, other: Part) -> bool:
    """Return whether two parts are the same code, however it is laid out."""
    return one.lines == other.lines or ast.dump(one.node) == ast.dump(other.node)


def insertion(result: list[Part], now: list[Part], place: int) -> int:
    """Return where in `result` the part `now[place]` belongs: behind the nearest one before it that is there."""
    keys = [part.key for part in result]
    top = sum(key in ("the docstring", "from __future__") for key in keys)
    for part in reversed(now[:place]):
        if part.key in keys:
            return max(top, keys.index(part.key) + 1)
    if isinstance(now[place].node, Import):
        return top
    for part in now[place + 1 :]:
        if part.key in keys:
            return max(top, keys.index(part.key))
    return len(keys)


def with_gaps(parts: list[Part], base: list[Part], now: list[Part]) -> list[Part]:
    """Take over the stage's empty lines and comments above a part, unless the learner has changed them."""
    old, new = ({part.key: part.gap for part in each} for each in (base, now))
    return [
        replace(part, gap=new[part.key]) if part.key in new and part.gap == old.get(part.key) else part
        for part in parts
    ]


def text_of(parts: Iterable[Part], source: str) -> str:
    """Join the parts to a file; what follows the last statement of `source` stays at the end."""
    nodes = ast.parse(source).body
    tail = source.splitlines()[nodes[-1].end_lineno or 0 :] if nodes else source.splitlines()
    lines = [line for part in parts for line in (*part.gap, *part.lines)]
    return "\n".join([*lines, *tail]).lstrip("\n") + "\n"


def head(part: Part) -> list[str]:
    """Return the lines of a class above its first statement."""
    node = parsed(part.lines)
    return part.lines[: first_line(node.body[0]) - 1] if isinstance(node, ast.ClassDef) else []


def members(part: Part | None) -> list[Part]:
    """Return the parts of a class."""
    return parts_of("\n".join(part.lines), part.key) if part and head(part) else []


def found_in(source: str, name: str) -> Part | None:
    """Return the part of a file that has the qualified name."""
    owner, _, last = name.rpartition(".")
    for part in parts_of(source):
        if part.key == (owner or last):
            return part if not owner else next((each for each in members(part) if each.key == last), None)
    return None


def renamed(part: Part | None, name: str, indent: str) -> Part | None:
    """Return a definition under another name and at another depth."""
    if part is None:
        return None
    text = re.sub(r"(?m)^( *(?:async +)?(?:def|class) +)\w+", rf"\g<1>{name}", "\n".join(part.lines), count=1)
    lines = textwrap.indent(textwrap.dedent(text), indent).splitlines()
    node = parsed(lines) or part.node
    return Part(name, [""] if indent else ["", ""], lines, node)


def parsed(lines: list[str]) -> ast.stmt | None:
    """Parse the lines of one statement; None when they are none."""
    try:
        return ast.parse(textwrap.dedent("\n".join(lines))).body[0]
    except (SyntaxError, IndexError):
        return None


def docstring(part: Part) -> str | None:
    """Return a function's docstring."""
    return ast.get_docstring(part.node) if isinstance(part.node, Function) else None


def docstring_lines(part: Part) -> range:
    """Return the numbers of the lines of a function's docstring, within the part; empty when there is none."""
    if docstring(part) is None or not isinstance(part.node, Function):
        return range(0)
    first = part.node.body[0]
    shift = first_line(part.node)
    own_lines = first.lineno > part.node.lineno
    return range(first.lineno - shift, (first.end_lineno or 0) - shift + 1) if own_lines else range(0)


def signature(node: Function) -> str:
    """Return a function's decorators and its first line, in one line."""
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    above = "".join(f"@{ast.unparse(each)} " for each in node.decorator_list)
    return f"{above}def {node.name}({ast.unparse(node.args)}){returns}"


def names_of(part: Part) -> dict[str, str]:
    """Map each name that a part imports to the statement that imports it alone; empty when it is no import."""
    if not isinstance(part.node, Import):
        return {}
    start = f"{key_of(part.node)} import " if isinstance(part.node, ast.ImportFrom) else "import "
    return {each.asname or each.name.split(".")[0]: start + ast.unparse(each) for each in part.node.names}


def imported(source: str) -> dict[str, str]:
    """Map each name that a file imports at its top level to the statement that imports it alone."""
    return {name: home for part in parts_of(source) for name, home in names_of(part).items()}


def import_part(part: Part, names: dict[str, str]) -> Part:
    """Return an import of exactly these names, in the place of `part`."""
    start = f"{key_of(part.node)} import " if isinstance(part.node, ast.ImportFrom) else "import "
    listed = sorted(home.removeprefix(start) for home in names.values())
    text = start + ", ".join(listed)
    comment = part.lines[0].partition("#")[2]
    lines = [text + (f"  #{comment}" if comment else "")]
    if len(text) > 100 and start != "import ":
        lines = [f"{start}(", *(f"    {each}," for each in listed), ")"]
    return Part(part.key, part.gap, lines, ast.parse("\n".join(lines)).body[0])


def used(name: str, text: str) -> bool:
    """Return whether a name occurs in a text."""
    return re.search(rf"\b{re.escape(name)}\b", text) is not None
