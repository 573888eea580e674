"""Apply a fix of one stage's file to every later copy of that file (for those who change the stages)."""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

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
        merged, conflicts = merge(copy.read_text(), base, path.read_text())
        if conflicts:
            print(f"{copy.relative_to(ROOT)}: not changed, because it differs where the fix is; apply the fix by hand")
            status = 1
        elif merged != copy.read_text():
            copy.write_text(merged)
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


def merge(ours: str, base: str, theirs: str) -> tuple[str, int]:
    """Apply the change from `base` to `theirs` to `ours`; return the text and the number of conflicts."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("here", ours), ("committed", base), ("carried", theirs)):
            Path(folder, name).write_text(text)
        merged = subprocess.run(
            ["git", "merge-file", "-p", "here", "committed", "carried"], cwd=folder, capture_output=True, text=True
        )
    if merged.returncode > 127:  # not a number of conflicts, but an error
        raise Complaint(f"git merge-file failed: {merged.stderr.strip()}")
    return merged.stdout, merged.returncode
