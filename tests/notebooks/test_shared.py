"""What the notebooks share: whose code is checked, what a solution replaces, what moves, and what is cleaned up."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from notebooks.shared.learner import CheckFailed, check
from notebooks.shared.tables import LINES, TINTS
from stages.desk import starter
from stages.desk.manifest import sources
from stages.harness.course import stage_folder
from tests.notebooks.test_running import check_nothing_is_left, children
from tests.support.notebook import Kernel, kernel

GIVEN = "from shared.learner import check, yours\nclass Reader:\n    pass"
READER = "class Reader(Reader):\n    def feed(self):\n        {feed}\n    def next(self):\n        {next}"
EMPTY = READER.format(feed='"""Take bytes."""', next="raise NotImplementedError")
SOLUTION = "%%solution\n" + READER.format(feed="return b'solved'", next="return 2")
IMPORTED = """
from shared.learner import use_yours; from shared.folders import stage_folder
import sys; sys.path.append(str(stage_folder({stage})))
"""
CHECK = "check(yours(Reader, 'feed', 'next')().feed(), b'solved', 'Think.')"


@pytest.fixture
def running() -> Iterator[Kernel]:
    """A kernel without a work/, in which the class of the exercises is defined."""
    with kernel(1) as started:
        started.run(GIVEN)
        yield started


def test_an_empty_exercise_is_not_written_yet(running: Kernel) -> None:
    running.run(EMPTY)
    assert "not written yet: Reader.feed, Reader.next" in running.run(CHECK).error
    assert running.run("Reader().next()").shown == "not written yet: Reader.next"


def test_a_solution_stands_in_for_what_is_empty_and_replaces_nothing(running: Kernel) -> None:
    running.run(EMPTY)
    assert running.run(SOLUTION).text == "now runs the SOLUTION: Reader.feed, Reader.next\n"
    assert running.run(CHECK).text == "checking the SOLUTION: Reader.feed, Reader.next\n"
    running.run(READER.format(feed="return b'solver'", next="pass"))
    ran = running.run(SOLUTION).text
    assert ran.startswith("now runs the SOLUTION: Reader.next\nstays as you wrote it: Reader.feed\n")
    ran = running.run(CHECK).text
    assert "checking your cell: Reader.feed\nchecking the SOLUTION: Reader.next" in ran
    assert "differ at byte 5\ngot       b'solver'\nexpected  b'solved'\n" + " " * 17 + "^\nhint      Think." in ran


def test_a_solution_replaces_what_was_written_only_if_told_to(running: Kernel) -> None:
    running.run(READER.format(feed="return b'mine'", next="return 1"))
    assert "now runs" not in running.run(SOLUTION).text
    assert "Reader.feed (yours is replaced)" in running.run(SOLUTION.replace("solution", "solution replace")).text
    assert running.run(CHECK).text == "checking the SOLUTION: Reader.feed, Reader.next\n"


def test_what_is_in_work_comes_before_the_solution_and_after_the_cell(tmp_path: Path) -> None:
    own = "class Reader:\n    def feed(self):\n        return b'solved'\n    def next(self):\n        return 3\n"
    (file := tmp_path / "reader.py").write_text(own)
    with kernel(1, target=str(tmp_path)) as running:
        for cell in (GIVEN, EMPTY):
            running.run(cell)
        said = running.run(SOLUTION).text
        assert said == "work/ has this already, and the next cell checks that: Reader.feed, Reader.next\n"
        assert running.run(CHECK).text == "checking work/reader.py: Reader.feed, Reader.next\n"
        first = file.stat()
        file.write_text(own.replace("solved", "saved!"))
        os.utime(file, (first.st_atime, first.st_mtime))  # within the same second: bytecode tells no difference
        assert "got       b'saved!'" in running.run(CHECK).text
        running.run(READER.format(feed="return b'solved'", next="return 1"))
        assert running.run(CHECK).text == "checking your cell: Reader.feed, Reader.next\n"


def test_a_starter_in_which_nothing_is_written_is_called_so(tmp_path: Path) -> None:
    starter.write(starter.starter(1), tmp_path)
    begin = "from shared.learner import is_work_empty, yours\nclass Server:\n    pass\n"
    with kernel(1, target=str(tmp_path)) as running:
        running.run(begin + "class Server(Server):\n    def stop(self): self.stopping.set()\n")
        assert running.run("print(is_work_empty())").text == "False\n"  # nothing was checked
        running.run("yours(Server, 'stop')")
        assert running.run("print(is_work_empty())").text == "True\n"
        (tmp_path / "server.py").write_text("class Server:\n    def stop(self): return 1\n")
        assert running.run("print(is_work_empty())").text == "False\n"


def test_the_notebook_goes_on_with_what_is_in_work(tmp_path: Path) -> None:
    """The learner's own helpers come along; what the notebook defines is used, such as its table and its classes."""
    reader = "class Reader:\n    def feed(self):\n        return half(TABLE)\n"
    helpers = "TABLE, FOUR = {}, 4\ndef half(table): return b'so' * (FOUR // 4) + table['rest']\n"
    helpers += "def double(): return half(TABLE) * 2\n"
    (tmp_path / "reader.py").write_text(reader + helpers)
    empty = (
        "class Reader(Reader):\n    def feed(self): raise NotImplementedError\ndef double(): raise NotImplementedError"
    )
    with kernel(1, target=str(tmp_path)) as running:
        for cell in (GIVEN, "from shared.learner import use_yours\nTABLE = {'rest': b'lved'}", empty):
            assert not running.run(cell).error
        ran = running.run("mine = use_yours(Reader, 'feed'); again = use_yours(double)")
        assert ran.text == "checking work/reader.py: Reader.feed\nchecking work/reader.py: double\n"
        check = "print(mine is Reader, again is double, Reader().feed(), double())"
        assert running.run(check).text == "True True b'solved' b'solvedsolved'\n"
        (tmp_path / "reader.py").write_text((reader + helpers).replace("* 2", "* 3"))
        assert "checking work" in running.run("use_yours(double)").text
        assert running.run("double()").outputs[0]["data"]["text/plain"] == repr(b"solved" * 3)
        running.run(empty.replace("raise NotImplementedError", "return 1"))
        assert running.run("use_yours(double); print(double())").text == "checking your cell: double\n1\n"


def test_methods_of_the_learners_own_come_along(tmp_path: Path) -> None:
    """The notebook's class has no `part` and no `half`; it has a `next`, which stays."""
    own = "class Reader:\n    def feed(self):\n        return self.part() + self.next()\n"
    own += "    def part(self):\n        return self.half(b'so')\n"
    own += "    @staticmethod\n    def half(text):\n        return text\n"
    own += "    def next(self):\n        return b'no'\n    def unused(self):\n        return b'no'\n"
    (tmp_path / "reader.py").write_text(own)
    with kernel(1, target=str(tmp_path)) as running:
        running.run(GIVEN)
        running.run(
            "class Reader(Reader):\n    def next(self): return b'lved'\n    def feed(self): raise NotImplementedError"
        )
        use = "from shared.learner import use_yours; use_yours(Reader, 'feed')"
        assert running.run(use).text == "checking work/reader.py: Reader.feed\n"
        assert running.run("print(Reader().feed(), hasattr(Reader, 'unused'))").text == "b'solved' False\n"
        (tmp_path / "reader.py").write_text(own.replace("half(b'so')", "half(b're')"))
        assert running.run(f"{use}; print(Reader().feed())").text.endswith("b'relved'\n")


def test_the_body_of_the_stage_before_is_not_written_yet(tmp_path: Path) -> None:
    """The notebook's class is a subclass of one that work/ has, too, and `start` has left its method as it was."""
    earlier = stage_folder(3) / "server.py"
    for file in stage_folder(3).glob("*.py"):
        (tmp_path / file.name).write_text(file.read_text())
    empty = "class Connection(Connection):\n    def data_received(self, data): raise NotImplementedError"
    use = "use_yours(Connection, 'data_received')"
    with kernel(4, target=str(tmp_path)) as running:
        for cell in (IMPORTED.format(stage=3) + "from server import Connection", empty):
            assert not running.run(cell).error
        assert "not written yet: Connection.data_received" in running.run(use).error
        (tmp_path / "server.py").write_text(earlier.read_text().replace("execute(client", "execute(client and client"))
        assert running.run(use).text.startswith("checking work/server.py: Connection.data_received\n")


@pytest.mark.parametrize("other", ["", "return reply"])
def test_another_function_of_the_same_name_is_passed_over(other: str, tmp_path: Path) -> None:
    """In stage 09 the client may have a function `discard`, in a module that comes first."""
    (tmp_path / "client.py").write_text(f"def discard(reply):\n    'Drop a reply.'\n    {other}\n")
    (tmp_path / "transactions.py").write_text("def discard(db, *, client):\n    return 'OK'\n")
    with kernel(9, target=str(tmp_path)) as running:
        running.run(IMPORTED.format(stage=8) + "def discard(db, *, client): raise NotImplementedError")
        assert running.run("use_yours(discard)").text == "checking work/transactions.py: discard\n"


def test_an_old_body_that_has_moved_is_not_written_yet(tmp_path: Path) -> None:
    """In the starter of stage 06 `Engine.execute` has the body of `Server.execute`, and `set_` that of stage 04."""
    starter.write(starter.starter(6), tmp_path)
    empty = "class Engine:\n    def execute(self, client, args): raise NotImplementedError\n"
    empty += "def set_(db, key, value, *options): raise NotImplementedError"
    with kernel(6, target=str(tmp_path)) as running:
        assert not running.run(IMPORTED.format(stage=5) + empty).error
        for use, name in (("use_yours(Engine, 'execute')", "Engine.execute"), ("use_yours(set_)", "set_")):
            assert f"not written yet: {name}\n" in running.run(use).error
        starter.write(sources(stage_folder(6)), tmp_path)
        assert running.run("use_yours(Engine, 'execute')").text == "checking work/engine.py: Engine.execute\n"


@pytest.mark.parametrize(
    ("got", "expected", "equal"),
    [
        (bytearray(b"a"), b"a", True),
        (True, 1, False),
        (ValueError("no"), ValueError("no"), True),
        (ValueError("no"), ValueError("yes"), False),
        (ValueError("no"), "no", False),
        (None, b"", False),
    ],
)
def test_a_check_compares(got: object, expected: object, equal: bool) -> None:
    if equal:
        check(got, expected)
    else:
        with pytest.raises(CheckFailed, match=r"(?s)^got .*\nexpected .*\n *\^\nhint      Think."):
            check(got, expected, "Think.")


def test_bytes_of_different_kinds_are_told_apart_without_their_colour() -> None:
    assert LINES.keys() == TINTS.keys() and len(set(LINES.values())) == len(LINES)


MOVE = """
from shared.moving import move
from shared.tables import Page
move(lambda data, at: Page(data[:at], data[:at]), data="abcdef", at=(range(7), 2))
"""
DRAG = """
from ipywidgets import SelectionSlider, Text
from ipywidgets.widgets.widget import _instances
for widget in list(_instances.values()):
    if isinstance(widget, SelectionSlider): widget.value = 4
    if isinstance(widget, Text): widget.value = "ABCDEF"
"""


def test_a_picture_is_drawn_again_when_a_control_moves(running: Kernel) -> None:
    assert [output["data"]["text/plain"] for output in running.run(MOVE).outputs] == ["ab"]
    with kernel(1, NOTEBOOK_STATIC="") as live:
        controls, picture = live.run(MOVE).outputs
        assert "application/vnd.jupyter.widget-view+json" in controls["data"]
        assert picture["data"]["text/plain"] == "ab"
        assert live.run(MOVE + DRAG).outputs[-1]["data"]["text/plain"] == "ABCD"


@pytest.mark.parametrize("kill", [os.kill, os.killpg], ids=["process", "group"])  # Jupyter kills the group
def test_nothing_is_left_when_a_kernel_is_killed(kill: Callable[[int, int], None], tmp_path: Path) -> None:
    with kernel(1, TMPDIR=str(tmp_path)) as running:
        ran = running.run(
            "from shared.servers import start; from shared.folders import temporary_folder\n"
            "start(1); (temporary_folder() / 'log').write_text('x')"
        )
        assert not ran.error
        started = children(running.pid)
        assert len(started) == 2 and os.listdir(tmp_path)  # the server, and the program that cleans up
        kill(running.pid, 9)
        check_nothing_is_left(started, tmp_path)
