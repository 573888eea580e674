"""A starter follows the table: given code is there, the bodies that the learner writes are not."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from stages.desk.manifest import Function, functions, read, row, sources
from stages.desk.merge import signature
from stages.desk.starter import made, starter, write
from stages.harness.course import STAGES, stage_folder

BEFORE = '''
def grown(self, data):
    """Print it."""
    print(data)


def moved(x):
    return x
'''
NOW = '''
"""The module."""


class Reader:
    """Reads."""

    @staticmethod
    async def fresh(
        data: bytes,
    ) -> int:
        """Count them.

        >>> 1
        1
        """
        return len(data)


def grown(self, chunk):
    """Read it."""
    read(chunk)
    answer(chunk)


def given():
    return 1
'''
STARTER = '''
"""The module."""


class Reader:
    """Reads."""

    @staticmethod
    async def fresh(
        data: bytes,
    ) -> int:
        """Count them.

        >>> 1
        1
        """
        raise NotImplementedError


def grown(self, chunk):
    """Read it."""
    print(data)


def given():
    return 1
'''


def test_new_functions_have_no_body_and_changed_ones_have_their_old_body() -> None:
    table = [row({"file": "`a.py`", "status": "grown", "you write": "`Reader.fresh`, `grown`"})]
    assert made(table, {"a.py": NOW}, {"a.py": BEFORE}) == {"a.py": STARTER}


def test_a_function_that_moved_and_changed_has_its_old_body() -> None:
    cells = {"file": "`b.py`", "status": "new", "you write": "`moved`", "moved from": "`moved` from `a.py`"}
    now = 'def moved(x):\n    """Double it."""\n    return 2 * x\n'
    assert made([row(cells)], {"b.py": now}, {"a.py": BEFORE}) == {"b.py": now.replace("2 * x", "x")}


@pytest.mark.parametrize("stage", STAGES)
def test_a_starter_differs_from_its_reference_just_below_the_docstrings_that_the_learner_fills(stage: int) -> None:
    reference, files = sources(stage_folder(stage)), starter(stage)
    assert sorted(files) == sorted(reference)
    to_write = {(row.file, name): row.origin(name) for row in read(stage_folder(stage)) for name in row.write}
    assert to_write
    before = sources(stage_folder(stage - 1)) if stage > 1 else {}
    for file, text in files.items():
        solved, unsolved = dict(functions(reference[file])), dict(functions(text))
        assert list(solved) == list(unsolved)
        for name, node in solved.items():
            assert heading(node) == heading(unsolved[name])
            if ast.dump(node) != ast.dump(unsolved[name]):
                assert (file, name) in to_write, f"{file}: {name}"
            elif (file, name) in to_write:  # only the signature has grown
                old_file, old_name = to_write[file, name]
                assert signature(dict(functions(before[old_file]))[old_name]) != signature(node), f"{file}: {name}"


def heading(node: Function) -> tuple[str, str, str | None]:
    """Return the signature and docstring of a function."""
    return node.name, ast.dump(node.args), ast.get_docstring(node)


@pytest.mark.parametrize("stage", [6, 13])
def test_a_server_that_stops_says_why_active_expiry_has_ended(stage: int, tmp_path: Path) -> None:
    """Until its last step is written, active expiry of stage 06 fails; so the README says what one sees then."""
    texts = sources(stage_folder(stage))
    broken = 'print("expire", flush=True)\n        raise NotImplementedError\n'
    texts["engine.py"] = texts["engine.py"].replace("more = self.db.expire_due(most)\n", broken)
    write(texts, tmp_path)
    command = [sys.executable, "server.py", "--port", "0"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout
        said = [server.stdout.readline().split()[0] for _ in range(2)]
        server.terminate()
        _, errors = server.communicate(timeout=60)
    assert (said, server.returncode) == (["listening", "expire"], 0)
    assert errors.count("Traceback") == 1 and errors.endswith("\nNotImplementedError\n"), errors
