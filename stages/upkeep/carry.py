"""Apply a fix of one stage's file to every later copy of that file (for those who change the stages)."""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

from stages.desk.merge import merge_lines
from stages.desk.shared import Complaint
from stages.harness.course import ROOT, STAGES, stage_folder
from stages.harness.rooms import in_rooms


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the file."""
    parser.add_argument("file", type=Path, help="the changed file, for instance stages/02-resp-reader/reader.py")


def run(options: argparse.Namespace) -> int:
    """Merge the difference from the last commit into the later copies; return 1 when one of them has a conflict."""
    path = options.file.resolve()
    later = copies(path)
    base = committed(path)
    if path.read_text() == base:
        raise Complaint(
            f"{options.file} has not changed since the last commit: change it first, then carry, then commit all"
        )
    status = 0
    for copy in later:
        here = copy.read_text()
        merged = merge_lines(*(text.splitlines(keepends=True) for text in (base, here, path.read_text())))
        if merged is None:
            print(f"{copy.relative_to(ROOT)}: not changed, because it differs where the fix is; apply the fix by hand")
            status = 1
        elif "".join(merged) != here:
            copy.write_text("".join(merged))
            print(f"{copy.relative_to(ROOT)}: carried")
        else:
            print(f"{copy.relative_to(ROOT)}: has the fix already")
    if not later:
        print("there is no later copy")
    return status


def copies(path: Path) -> list[Path]:
    """Return the copies of a stage's module in the later stages and, in whatever room, in final/."""
    number = next((stage for stage in STAGES if path.parent == stage_folder(stage)), None)
    if number is None or path.suffix != ".py" or path.name == "test_checkpoint.py" or not path.exists():
        raise Complaint(
            f"{path.name}: only a module of a stage can be carried, for instance "
            "`python3 -m stages carry stages/02-resp-reader/reader.py`"
        )
    later = [stage_folder(stage) / path.name for stage in STAGES if stage > number]
    final = [ROOT / "final" / file for name, file in in_rooms(ROOT / "final").items() if name == path.name]
    return [copy for copy in (*later, *final) if copy.exists()]


def committed(path: Path) -> str:
    """Return a file's text in the last commit."""
    shown = subprocess.run(["git", "show", f"HEAD:./{path.name}"], cwd=path.parent, capture_output=True, text=True)
    if shown.returncode:
        raise Complaint(f"{path.name} cannot be compared with the last commit: {shown.stderr.strip()}")
    return shown.stdout
