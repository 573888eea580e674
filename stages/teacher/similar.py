"""Compare what students wrote with each other, with the reference, and with last year's: which pairs are alike?"""

from __future__ import annotations

import argparse
import ast
import os
import re
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from stages.desk.manifest import Sources, below_docstring, functions, sources
from stages.desk.shared import Complaint, stage_number
from stages.desk.starter import starter
from stages.harness.course import stage_folder
from stages.teacher.submission import take
from stages.teacher.text import labels


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the submissions, the stage, and where to write."""
    parser.add_argument("submissions", type=Path, help="a folder of folders and zip files")
    parser.add_argument("--stage", type=stage_number, required=True, help="the stage that was the task")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="an HTML file: both sides of each pair")
    parser.add_argument("--earlier", type=Path, metavar="DIR", help="submissions of another year, to compare with")


def run(options: argparse.Namespace) -> int:
    """Print the pairs that are alike, the most alike first, and write them with both sides."""
    if find_spec("copydetect") is None:
        raise Complaint("copydetect is not installed: type `python3 -m pip install 'copydetect>=0.5'`")
    given = {body for text in starter(options.stage).values() for body in bodies(text)}
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        lay_out(sources(stage_folder(options.stage)), given, base / "reference" / f"stage {options.stage:02}.py")
        for name, folder in (("now", options.submissions), ("earlier", options.earlier)):
            for label, source in labels(sorted(folder.glob("[!.]*")) if folder else ()).items():
                collect(source, options.stage, given, base / name / (re.sub(r"[^\w .@~-]", "_", label) + ".py"))
        if not (base / "now").exists():
            raise Complaint(f"there is no code in {options.submissions} that a student has written")
        for one, other, share in compare(base / "now", list(base.iterdir()), options.out):
            print(f"{share:4.0%}  {one}  {other}")
    print(f"{options.out} shows them side by side")
    return 0


def compare(folder: Path, others: list[Path], out: Path) -> list[tuple[str, str, float]]:
    """Compare the files of a folder with those of others; return the pairs that are alike, and how much, 0 to 1.

    A pair is alike when a third of what one has written is in the other.
    """
    os.environ.setdefault("MPLBACKEND", "agg")  # copydetect draws, and needs no screen
    from copydetect import CopyDetector

    detector = CopyDetector([str(folder)], list(map(str, others)), out_file=str(out), autoopen=False, silent=True)
    detector.run()
    detector.generate_html_report()
    pairs = []
    for *shares, one, other, _, _, _ in detector.get_copied_code_list():
        *_, where, name = Path(other).with_suffix("").parts
        pairs.append((Path(one).stem, f"{name} ({where})" if where != folder.name else name, max(shares)))
    return sorted(pairs, key=lambda pair: -pair[2])


def collect(source: Path, stage: int, given: set[str], file: Path) -> None:
    """Write what a student has written into a file. What cannot be read is named, and stops nothing."""
    with tempfile.TemporaryDirectory() as name:
        try:
            files = sources(take(source, Path(name, "submission"), stage))
            lay_out(files, given, file)
        except Exception as error:
            print(f"{source.name!r} is left out: {type(error).__name__}: {error}", file=sys.stderr)


def lay_out(files: Sources, given: set[str], file: Path) -> None:
    """Write the functions of some files into one file, without those that are given; no file when there are none."""
    if own := [body for text in files.values() for body in bodies(text) if body not in given]:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n\n".join(own))


def bodies(text: str) -> list[str]:
    """Return the bodies of all functions, without docstrings and comments, in one layout."""
    return ["\n".join(ast.unparse(part) for part in below_docstring(node)) for _, node in functions(text)]
