"""A copy of the stages for tests to change, and the type of the fixture `note`."""

import ast
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from stages.desk.manifest import first_line
from stages.harness.course import ROOT, stage_folder

Note = Callable[[str], None]


def environment() -> dict[str, str]:
    """Return the environment for a pytest within this one: without the variables of this run, without plugins.

    Installed plugins take seconds to load, nbval alone two.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    return kept | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


class StagesCopy:
    """A copy of the stages in `folder`, and the command `python3 -m stages` in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT / "stages", folder / "stages")  # with `__pycache__`: to compile it all takes longer
        for name in ("conftest.py", "pyproject.toml", "requirements.txt"):
            shutil.copy(ROOT / name, folder)
        self.work = folder / "work"

    def shorten(self, stage: int, *names: str) -> None:
        """Leave only the tests with these names in a checkpoint."""
        path = self.folder / "stages" / stage_folder(stage).name / "test_checkpoint.py"
        lines = path.read_text().splitlines(keepends=True)
        for node in reversed(ast.parse("".join(lines)).body):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and node.name not in names:
                del lines[first_line(node) - 1 : node.end_lineno]
        path.write_text("".join(lines))

    def desk(self, *args: object, apart: Sequence[str] = (), **more: str) -> tuple[int, str]:
        """Run `python3 -m stages …`; return its status and its output."""
        done = subprocess.run(
            [*apart, sys.executable, "-B", "-m", "stages", *map(str, args)],
            cwd=self.folder,
            env=environment() | more,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        return done.returncode, done.stdout

    @contextmanager
    def begin(self, *args: str) -> Iterator["RunningCommand"]:
        """Start a command that does not end by itself, and kill it at the end of the block."""
        process = subprocess.Popen(
            [sys.executable, "-B", "-m", "stages", *args],
            cwd=self.folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            yield RunningCommand(process)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class RunningCommand:
    """A command that is running."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def until(self, text: str) -> str:
        """Return its output up to the first line with `text` (the deadline is the time limit of the test)."""
        output = ""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            output += line
            if text in line:
                return output
        raise AssertionError(f"it ended; its output:\n{output}")


def desk(*args: object, **more: str) -> subprocess.CompletedProcess[str]:
    """Run `python3 -m stages …` on the stages themselves."""
    command = [sys.executable, "-B", "-m", "stages", *map(str, args)]
    return subprocess.run(command, cwd=ROOT, env=environment() | more, capture_output=True, text=True, timeout=290)
