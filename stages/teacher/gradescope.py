"""Write the zip file that Gradescope asks for: the checkpoint, the grader, `setup.sh` and `run_autograder`."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from stages.desk.shared import Complaint, stage_number
from stages.harness.course import ROOT
from stages.teacher.assess import Limits
from stages.teacher.handout import lay_out

SETUP = """#!/usr/bin/env bash
# Run once, as root, when the image is built. Python 3.11 or newer, and what the checkpoints need.
set -euo pipefail
apt-get update -qq
apt-get install -qq --no-install-recommends python3 python3-venv
if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    apt-get install -qq --no-install-recommends python3.11 python3.11-venv
fi
python=$(command -v python3.11 || command -v python3)
"$python" -m venv /autograder/venv
/autograder/venv/bin/python -m pip install --quiet --disable-pip-version-check {packages}
"""

RUN = """#!/usr/bin/env bash
# Run for each submission, as root.
autograder=${{AUTOGRADER:-/autograder}}
cd "$autograder/source" || exit
exec "${{PYTHON:-$autograder/venv/bin/python}}" -B -m stages grade --one "$autograder/submission" --stage {stage:02} \\
    --results "$autograder/results/results.json" --timeout {seconds:g} --memory {memory}{extra}
"""


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the stage, the file, and limits; the defaults are below Gradescope's own."""
    parser.add_argument("stage", type=stage_number, help="the stage that is the task")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the zip file to write")
    parser.add_argument("--extra", type=Path, metavar="DIR", help="tests of your own")
    parser.add_argument("--timeout", type=float, default=Limits.seconds, metavar="S", help="seconds for a submission")
    parser.add_argument(
        "--memory", type=int, default=256, metavar="MB", help="memory for a submission (default: 256 of 768)"
    )


def run(options: argparse.Namespace) -> int:
    """Write the zip file."""
    if options.extra and not options.extra.is_dir():
        raise Complaint(f"--extra {options.extra} is not a folder")
    with tempfile.TemporaryDirectory() as name:
        source = Path(name, "source")
        fill(source, options.stage, options.extra, options.timeout, options.memory)
        shutil.move(shutil.make_archive(f"{name}/packed", "zip", source), options.out)  # keeps the files' modes
    print(f"{options.out} is ready: Gradescope, Configure Autograder, Upload Autograder")
    return 0


def fill(source: Path, stage: int, extra: Path | None, seconds: float, memory: int) -> None:
    """Write what Gradescope unpacks into /autograder/source. It has no solution, because a submission could find it."""
    lay_out(stage, source, chain=True)
    for folder in ("notebooks", "work"):
        shutil.rmtree(source / folder, ignore_errors=True)
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "stages" / "teacher", source / "stages" / "teacher", ignore=ignore)
    if extra:
        shutil.copytree(extra, source / "extra", ignore=ignore)
    lines = (line.split("#")[0].strip() for line in (source / "requirements.txt").read_text().splitlines())
    packages = " ".join(f"'{line}'" for line in lines if line.startswith(("pytest>", "redis>")))
    (source / "setup.sh").write_text(SETUP.format(packages=packages))
    own_tests = " --extra extra" if extra else ""
    (source / "run_autograder").write_text(RUN.format(stage=stage, seconds=seconds, memory=memory, extra=own_tests))
    for name in ("setup.sh", "run_autograder"):
        (source / name).chmod(0o755)
