"""Put a stage into work/: what it gives is merged into your own files, and nothing that you wrote is replaced."""

from __future__ import annotations

import argparse
import ast
import shutil
import textwrap
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from stages.desk.manifest import Row, Sources, read, sources
from stages.desk.merge import FileMerge, Merged
from stages.desk.shared import WORK, Complaint, begun, stage_number
from stages.desk.starter import hidden, starter, write, written
from stages.harness.course import ROOT, STAGES, TASKS, stage_folder


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the stage and the options."""
    parser.add_argument("stage", type=stage_number, help="the stage to begin")
    parser.add_argument("--from-reference", action="store_true", help="use the reference's earlier files, not yours")
    parser.add_argument("--force", action="store_true", help="overwrite files in work/; a copy of work/ is made first")


def run(options: argparse.Namespace) -> int:
    """Write the starter, or merge it into the files of the stage before; print what the learner has to write."""
    stage: int = options.stage
    rows = read(stage_folder(stage))
    if not rows:
        raise Complaint(
            f"{stage_folder(stage).name} has no README.md with a table of its files: get a complete copy of the stages"
        )
    if options.from_reference or stage == 1:
        files = starter(stage)
        put(files, stage, options.force)
        print(f"work/ has now: {', '.join(files)}")
        for row in rows:
            if row.write:
                print(f"You write in {row.file}: {', '.join(row.write)}")
    else:
        check_order(stage, options.force)
        for line in merge_stage(stage, rows, options.force):
            print(line)
    if stage - 1 in STAGES:
        print(f"What changes, without the bodies that you write: python3 -m stages diff {stage - 1:02} {stage:02}")
    print(f"Read stages/{stage_folder(stage).name}/README.md; then: python3 -m stages check {stage:02}")
    return 0


def check_order(stage: int, force: bool) -> None:
    """Raise Complaint when work/ has not begun the stage before, or has begun this one."""
    if not begun(stage - 1) and stage - 1 not in TASKS:
        raise Complaint(
            f"work/ has no stage {stage - 1:02} to build on: copy your own work/ of that stage here,\n"
            f"or type `python3 -m stages start {stage:02} --from-reference`: you then write its functions again"
        )
    if not begun(stage - 1):
        raise Complaint(
            f"work/ has no stage {stage - 1:02} to build on: type `python3 -m stages start {stage - 1:02}`,\n"
            f"or `python3 -m stages start {stage:02} --from-reference` to begin here"
        )
    if begun(stage) and not force:
        raise already(stage, [row.file for row in read(stage_folder(stage)) if row.status == "new"])


def already(stage: int, files: list[str]) -> Complaint:
    """Return the complaint that work/ has a stage already, and that --force would overwrite these files."""
    found = max((each for each in STAGES if begun(each)), default=0)
    go_on = f"check {found:02}" if found >= stage else f"start {found + 1:02}"
    return Complaint(
        f"work/ has {f'stage {found:02}' if found else ', '.join(files)} already, and nothing was written. "
        f"To go on: `python3 -m stages {go_on}`.\n"
        f"With --force, {', '.join(files)} would be overwritten; a copy of work/ is made first"
    )


def put(files: Sources, stage: int, force: bool) -> None:
    """Write the files into work/.

    Raise Complaint when one of them exists; with `force` make a copy of work/ and overwrite it.
    """
    there = [file for file in files if (WORK / file).exists()]
    if there and not force:
        raise already(stage, there)
    if there:
        print(f"A copy of your files is in {kept_copy().name}/.")
    write(files, WORK)


def kept_copy() -> Path:
    """Copy work/ to a folder next to it, with the time in its name; return that folder."""
    name = f"work-{datetime.now():%Y-%m-%d-%H%M%S}"
    taken = len(list(ROOT.glob(f"{name}*")))
    return Path(shutil.copytree(WORK, ROOT / (f"{name}-{taken + 1}" if taken else name)))


# Merging


def merge_stage(stage: int, rows: list[Row], force: bool) -> Iterator[str]:
    """Merge a stage into work/; yield what was done to each file, and what the learner has to write."""
    base = sources(stage_folder(stage - 1)) if stage - 1 in STAGES else {}
    ours = own_files()
    if force:
        ours = {file: text for file, text in ours.items() if file not in {r.file for r in rows if r.status == "new"}}
    now, theirs = hidden(stage), written(stage - 1) if stage - 1 in STAGES else set()
    merged = {
        row.file: FileMerge(row, ours, base, now.get(row.file, ""), theirs).run(
            {name for other in rows for file, name in map(other.origin, other.moved) if file == row.file}
        )
        for row in rows
        if row.status != "carried"
    }
    for file, result in merged.items():
        if not is_python(result.text):  # for example in a file with another indentation
            merged[file] = Merged(ours[file], conflicts={"all of it": now.get(file, "")})
    yield f"A copy of your files as they were is in {kept_copy().name}/."
    write({file: result.text for file, result in merged.items()}, WORK)
    write({f"{file}.new": stage_side(stage, each) for file, each in merged.items() if each.conflicts}, WORK)
    for row in rows:
        if row.file in merged:
            yield from told(row.file, merged[row.file], stage, row.file in ours)


def own_files() -> Sources:
    """Return the learner's files; raise Complaint when one of them has a syntax error."""
    files = sources(WORK)
    for file, text in files.items():
        try:
            ast.parse(text)
        except SyntaxError as error:
            raise Complaint(
                f"work/{file} has a syntax error in line {error.lineno}, so nothing was written: {error.msg}"
            ) from None
    return files


def is_python(text: str) -> bool:
    """Return whether a text is a Python file."""
    try:
        compile(text, "merged", "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


def stage_side(stage: int, merged: Merged) -> str:
    """Return the text of FILE.new: the stage's side of all that both have changed."""
    lines = [f"# Stage {stage:02} gives this; your own file has something else. Take over what you need."]
    for name, text in merged.conflicts.items():
        owner = name.rpartition(".")[0]
        lines += ["", "", *([f"class {owner}:"] if owner and text.startswith(" ") else []), text]
    return "\n".join(lines) + "\n"


def told(file: str, merged: Merged, stage: int, was_there: bool) -> Iterator[str]:
    """Say what was done to a file and what the learner has to do in it."""
    if not was_there:
        yield f"New: work/{file}"
    elif merged.added:
        yield f"Merged into your {file}: {', '.join(merged.added)}"
    if merged.to_write:
        yield f"You write in {file}: {', '.join(merged.to_write)}"
    for name, node in merged.grows.items():
        yield f"Grows in {file}, as you wrote it so far: {name}"
        if name in merged.signatures:
            yield f"    It is now called by another signature: {merged.signatures[name]}"
        yield textwrap.indent(ast.get_docstring(node) or "", "    ")  # type: ignore[arg-type]
    if merged.retired:
        yield f"No longer needed in {file}, and still there: {', '.join(merged.retired)}"
    if merged.conflicts:
        yield f"You and stage {stage:02} both changed in {file}: {', '.join(merged.conflicts)}"
        yield f"    Yours stays; the stage's is in work/{file}.new. Compare them, and take over what is missing."
