"""`python3 -m stages start NN`: the learner's program stays the learner's, from the first stage to the last."""

import ast
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from stages.desk.manifest import functions, read, sources
from stages.desk.merge import merge_lines
from stages.desk.starter import written
from stages.harness.course import COURSE, STAGES, stage_folder
from stages.harness.ports import free_port
from tests.support.stages_copy import StagesCopy

OWN_HEAD = """import time
import traceback
from collections import deque

from notes import saw

BANNER = "my own server"
LAST_SEEN: deque[float] = deque(maxlen=3)


def greet(name: str) -> str:
    return f"{BANNER}: {name}"


"""
NOTES = "SEEN: list[str] = []\n\n\ndef saw(what: str) -> None:\n    SEEN.append(what)\n    del SEEN[:-9]\n"
CACHE = '"""My cache."""\n\nimport time\n\n\nclass Cache:\n    def get(self, key):\n        return time.time(), key\n'


def test_no_table_gives_what_an_earlier_one_has_the_learner_write() -> None:
    found = set()
    for stage in STAGES[1:]:
        own = written(stage - 1)
        found |= {
            (stage, row.file, name)
            for row in read(stage_folder(stage))
            for name in row.given
            if {(row.file, name), row.origin(name)} & own
        }
    assert found == set()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("last", [COURSE, pytest.param(STAGES[-1], marks=pytest.mark.slow)])
def test_ones_own_program_goes_from_the_first_stage_to_the_last(stages_copy: StagesCopy, last: int) -> None:
    learner = Learner(stages_copy)
    for stage in range(1, last + 1):
        learner.start(stage)
        learner.starts_or_names_what_to_do()
        learner.write_what_is_missing(stage)
        learner.answers_ping()
        learner.own_things_are_there(stage)
    files = sources(stages_copy.work)
    for file, name in written(last):
        bodies = dict(functions(files[file]))
        assert is_own(bodies[learner.renamed.get(name, name)]), f"{file}: {name}"


class Learner:
    """Writes bodies of their own, and other things, into `work/`."""

    def __init__(self, stages_copy: StagesCopy) -> None:
        self.stages_copy, self.work = stages_copy, stages_copy.work
        self.renamed = {"Reader._read_bulk": "Reader._bulk"}
        self.to_do: set[str] = set()

    def start(self, stage: int) -> None:
        """Type `start NN`; note which functions it says are to write or to grow."""
        own = self.own_bodies()
        status, said = self.stages_copy.desk("start", f"{stage:02}")
        assert status == 0, said
        assert own <= self.own_bodies(), "a body of the learner's has been changed"
        named = re.findall(r"^(?:You write in \S+|Grows in .*? so far): (.*)", said, re.M)
        self.to_do = {name for names in named for name in names.split(", ")}
        assert "both changed in" not in said, said
        if stage == 1:
            self.add_own_things()

    def own_bodies(self) -> set[str]:
        """Return the bodies that the learner has written; the first line of each names the function."""
        return {
            "\n".join(map(ast.unparse, node.body[1:]))
            for text in sources(self.work).values()
            for _, node in functions(text)
            if is_own(node)
        }

    def add_own_things(self) -> None:
        """Add imports, constants, a helper, attributes, and files of which one is called like stage 04's."""
        path = self.work / "server.py"
        text = path.read_text()
        text = text.replace("import argparse\n", "import argparse\n" + "import itertools as it\n", 1)
        text = text.replace("\n\nclass Connection", "\n\n" + OWN_HEAD + "class Connection", 1)
        text = text.replace(
            "        self.server = server\n", "        self.server = server\n        self.born = time.time()\n", 1
        )
        text = text.replace(
            "        self.stopping = ", "        self.served = it.count(1)\n        self.stopping = ", 1
        )
        path.write_text(text)
        (self.work / "notes.py").write_text(NOTES)
        (self.work / "store.py").write_text(CACHE)

    def own_things_are_there(self, stage: int) -> None:
        """Assert that all of them are still there, once."""
        text = (self.work / "server.py").read_text()
        for line in (*OWN_HEAD.splitlines(), "        self.born = time.time()", "        self.served = it.count(1)"):
            assert not line or text.splitlines().count(line) == 1, line
        assert (self.work / "notes.py").read_text() == NOTES
        store = (self.work / "store.py").read_text()
        assert CACHE.partition("class")[2] in store
        assert ("class Store" in store) == (stage >= 4)
        if stage >= 2:
            assert "_read_bulk" not in (self.work / "reader.py").read_text()

    def write_what_is_missing(self, stage: int) -> None:
        """Write the functions of a stage's table, and those that grow, each with a first line of one's own."""
        reference = sources(stage_folder(stage))
        for row in read(stage_folder(stage)):
            for name in row.write:
                self.write(row.file, name, reference[row.file], stage)
        if stage == 2:
            path = self.work / "reader.py"
            path.write_text(path.read_text().replace("_read_bulk", "_bulk"))

    def write(self, file: str, name: str, reference: str, stage: int) -> None:
        """Replace one function in work/ by the reference's, with an own line above its first statement."""
        path = self.work / file
        lines = path.read_text().splitlines()
        here, there = dict(functions(path.read_text()))[name], dict(functions(reference))[name]
        new = reference.splitlines()[there.lineno - 1 : there.end_lineno]
        first = there.body[1].lineno - there.lineno
        mark = " " * there.body[1].col_offset + f'mine = "{name}, as I wrote it in stage {stage}"  # noqa: F841'
        decorators = [f"{' ' * there.col_offset}@{ast.unparse(each)}" for each in there.decorator_list]
        top = min([here.lineno, *(each.lineno for each in here.decorator_list)])
        lines[top - 1 : here.end_lineno] = [*decorators, *new[:first], mark, *new[first:]]
        path.write_text("\n".join(lines) + "\n")

    def ping(self) -> tuple[bytes, str]:
        """Start the server, send PING; return the reply and what it wrote to standard error."""
        port = free_port()
        command = [sys.executable, "-B", str(self.work / "server.py"), "--port", str(port)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
            assert server.stdout and server.stderr
            reply = b""
            if server.stdout.readline():
                with socket.create_connection(("127.0.0.1", port), 20) as client:
                    client.settimeout(3)
                    try:
                        client.sendall(b"PING\r\n")
                        reply = client.recv(100)
                    except OSError:
                        pass
            server.send_signal(signal.SIGKILL)
            return reply, server.stderr.read()

    def answers_ping(self) -> None:
        """Assert that PING gets a reply."""
        reply, said = self.ping()
        assert reply in (b"PING\r\n", b"+OK\r\n", b"+PONG\r\n"), said

    def starts_or_names_what_to_do(self) -> None:
        """Assert that PING gets a reply, or that the traceback names a function to write or to grow."""
        reply, said = self.ping()
        named = set(re.findall(r"^  File .*, in (\w+)$", said, re.M))
        assert reply or named & {name.split(".")[-1] for name in self.to_do}, said


def is_own(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Return whether a function has the line that the learner writes first."""
    return any("as I wrote it" in ast.unparse(each) for each in node.body)


@pytest.mark.parametrize(
    ("ours", "theirs", "merged"),
    [
        ("a b c", "a B c", "a B c"),
        ("a b c mine", "a b c theirs", "a b c theirs mine"),
        ("a mine b c", "a b C", "a mine b C"),
        ("a b c", "a c", "a c"),
        ("a B c", "a B c", "a B c"),
        ("a X c", "a Y c", None),
        ("a c", "a Y c", None),
    ],
)
def test_lines_are_merged_three_ways(ours: str, theirs: str, merged: str | None) -> None:
    result = merge_lines(["a", "b", "c"], ours.split(), theirs.split())
    assert result == (merged.split() if merged else None)


def test_what_both_have_changed_stays_and_the_other_side_lies_beside_it(stages_copy: StagesCopy) -> None:
    stages_copy.desk("start", "03", "--from-reference")
    path = stages_copy.work / "server.py"
    changed = path.read_text().replace("self.client = Client(id=next(server.client_ids))", "self.client = Client(id=7)")
    path.write_text(changed.replace("self.client_ids = itertools.count(1)", "self.client_ids = itertools.count(100)"))
    errors = stages_copy.work / "errors.py"
    errors.write_text(errors.read_text() + '\n\ndef syntax_error() -> str:\n    return "mine"\n')
    status, said = stages_copy.desk("start", "04")
    assert status == 0
    assert "You and stage 04 both changed in errors.py: syntax_error" in said and "work/errors.py.new" in said
    assert 'return "mine"' in errors.read_text() and "def wrong_type" in errors.read_text()
    assert (
        "def syntax_error" in Path(f"{errors}.new").read_text() and "def wrong" not in Path(f"{errors}.new").read_text()
    )
    server = path.read_text()
    assert "Client(id=7)" in server and "count(100)" in server and "self.db = Store()" in server


def test_a_function_that_moves_takes_the_learners_body_along(stages_copy: StagesCopy) -> None:
    stage, before = stage_folder(2), stage_folder(1)
    for folder in (stage, before):
        for path in (stages_copy.folder / "stages" / folder.name).glob("*.py"):
            if path.name != "test_checkpoint.py":
                path.unlink()
    old = 'class Server:\n    """Serves."""\n\n    def execute(self, args):\n        """Run."""\n        return args\n'
    new = 'class Server:\n    """Serves."""\n'
    engine = 'class Engine:\n    """Runs."""\n\n    def run(self, args, db):\n        """Run it."""\n        return 2\n'
    table = "\n## The files\n\n| file | status | you write | given | moved from |\n|---|---|---|---|---|\n"
    first, second = (stages_copy.folder / "stages" / folder.name for folder in (before, stage))
    (first / "server.py").write_text(old)
    (first / "README.md").write_text(table + "| `server.py` | new | `Server.execute` | `Server` | |\n")
    (second / "server.py").write_text(new)
    (second / "reader.py").write_text(engine + "\n\nReader = Engine\n")
    (second / "README.md").write_text(
        table + "| `reader.py` | new | `Engine.run` | `Engine` | `Engine.run` was `Server.execute` from `server.py` |\n"
        "| `server.py` | grown | | | |\n"
    )
    stages_copy.work.mkdir()
    (stages_copy.work / "server.py").write_text(old.replace("return args", "return [*args]  # mine"))
    status, said = stages_copy.desk("start", "02")
    assert status == 0, said
    assert (stages_copy.work / "reader.py").read_text() == engine.replace("(self, args, db)", "(self, args)").replace(
        "return 2", "return [*args]  # mine"
    ) + "\n\nReader = Engine\n"
    assert (stages_copy.work / "server.py").read_text() == new
    assert "It is now called by another signature: def run(self, args, db)\n    Run it." in said


def test_a_class_that_the_learner_has_renamed_is_not_given_again(stages_copy: StagesCopy) -> None:
    stages_copy.desk("start", "01")
    path = stages_copy.work / "server.py"
    path.write_text(re.sub(r"\bConnection\b", "Session", path.read_text()))
    own = path.read_text()
    status, said = stages_copy.desk("start", "02")
    assert status == 0
    assert "You and stage 02 both changed in server.py: Connection" in said
    merged = path.read_text()
    assert "class Session" in merged and "class Connection" not in merged
    assert own.partition("class Session")[2] in merged
    assert "self.reader = Reader()" in (stages_copy.work / "server.py.new").read_text()


def test_a_second_start_changes_nothing_unless_it_is_forced(stages_copy: StagesCopy) -> None:
    stages_copy.desk("start", "01")
    stages_copy.desk("start", "02")
    before = sources(stages_copy.work)
    status, said = stages_copy.desk("start", "02")
    assert status == 2 and "work/ has stage 02 already, and nothing was written" in said
    (stages_copy.work / "reader.py").write_text(before["reader.py"] + "\n\nMINE = 1\n")
    assert stages_copy.desk("start", "02", "--force")[0] == 0
    assert sources(stages_copy.work) == before
    assert any("MINE = 1" in copy.read_text() for copy in stages_copy.folder.glob("work-*/reader.py"))
