"""The harness of the checkpoints: whatever a program under test does, the run ends soon and reports it.

A little checkpoint is run by a pytest of its own against a folder of bad modules, or a bad server.
"""

from __future__ import annotations

import os
import py_compile
import runpy
import shutil
import socket
import subprocess
import sys
import textwrap
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from stages.harness import report, target
from stages.harness.checkpoint import Outcome
from stages.harness.sandbox import NoAnswer
from stages.harness.wire import Error, Incomplete, Push, Verbatim, parse
from tests.support.machine import within

ROOT = Path(__file__).parents[2]


@dataclass
class Run:
    """A run: its exit status, its output, and the outcome and report of each test."""

    status: int
    output: str
    outcomes: dict[str, str]
    reports: dict[str, str]
    properties: dict[str, dict[str, str]]


def run(folder: Path, checkpoint: str, target: str, *arguments: str, **environment: str) -> Run:
    """Run a checkpoint's source on a target."""
    results = folder / "results.xml"
    process = subprocess.run(
        [*pytest_command(folder, checkpoint, target), f"--junitxml={results}", *arguments],
        env={**os.environ, **ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert process.returncode != pytest.ExitCode.INTERNAL_ERROR, process.stdout
    run = Run(process.returncode, process.stdout, {}, {}, {})
    for case in ElementTree.parse(results).iter("testcase") if results.exists() else []:
        name = case.attrib["name"]
        found = [part for part in case if part.tag in ("failure", "error", "skipped")]
        run.outcomes[name] = found[0].tag if found else "passed"
        run.reports[name] = (found[0].text or "") if found else ""
        run.properties[name] = {p.attrib["name"]: p.attrib["value"] for p in case.iter("property")}
    return run


ENVIRONMENT = {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "100"}


def pytest_command(folder: Path, checkpoint: str, target: str) -> list[str]:
    """Write the checkpoint as one of stage 03; return the command that runs it."""
    file = folder / "03-trial" / "test_checkpoint.py"
    file.parent.mkdir(exist_ok=True)
    file.write_text("import pytest\nfrom stages.harness.wire import request\n\n" + textwrap.dedent(checkpoint))
    options = ["-p", "stages.harness.checkpoint", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder)]
    return [sys.executable, "-m", "pytest", *options, str(file), f"--target={target}"]


def write(folder: Path, **files: str) -> Path:
    """Write modules into a new folder."""
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
    return folder


# Modules that misbehave

MODULES = """
    def double(x):
        return 2 * x

    def broken(x):
        raise RuntimeError("what the learner sees")

    def complain():
        print("process 7 has failed", file=__import__("sys").stderr)
        return 1
    """

MODULE_TESTS = '''
    def test_right(modules, rng):
        """It doubles."""
        arg = rng.key()
        modules.check("import good\\nresult = good.double(arg)", arg + arg, arg=arg)

    @pytest.mark.points(3)
    @pytest.mark.read("The section")
    def test_wrong(modules):
        """What was checked, in a sentence.

        The first hint.

        The second hint.
        """
        modules.check("import good\\nresult = [good.double(2), 5]", [4, 6])

    def test_one_is_not_true(modules):
        """Types count."""
        modules.check("result = 1", True)

    def test_raises(modules):
        """It raises."""
        modules.check("import good\\nresult = good.broken(1)", 1)

    def test_complains(modules):
        """It says on standard error what is wrong.

        A hint.
        """
        functions = "def unused():\\n    return 1\\n\\ndef used():\\n    return good.complain()\\n\\n"
        modules.check(f"import good\\n{functions}result = used()", 2)

    def test_missing(modules):
        """It is missing.

        A hint.
        """
        modules.check("from good import nothing_such\\nresult = 1", 1)

    def test_syntax(modules):
        """It is no Python.

        A hint.
        """
        modules.check("import syntax\\nresult = 1", 1)

    def test_hangs(modules):
        """It hangs."""
        modules.check("import hangs\\nresult = 1", 1, seconds=0.5)

    def test_leaves(modules):
        """It leaves."""
        modules.check("import leaves\\nresult = 1", 1)

    def test_kills_itself(modules):
        """It is killed."""
        modules.check("import os\\nos.kill(os.getpid(), 9)", 1)

    def test_prints(modules):
        """It prints."""
        modules.check("import prints\\nresult = 1", 1, seconds=60)

    def test_prints_a_little(modules):
        """It prints a little, which is nobody's business."""
        modules.check("print('[2]', flush=True)\\nresult = 1", 1)

    def test_eats(modules):
        """It eats memory."""
        modules.check("import eats\\nresult = 1", 1)

    def test_no_literal(modules):
        """It is no plain data."""
        modules.check("result = object()", 1)

    def test_a_bytearray(modules):
        """It has a bytearray in it.

        The result lists nothing, for there is none.

        Make bytes of it.
        """
        modules.check("result = [bytearray(b'PING')]", [b"PING"])

    def test_a_plain_assert(modules):
        """An assertion of the test's own.

        A hint.
        """
        assert modules.run("result = 1") == 2

    def test_a_text_of_its_own(modules):
        """A check that compares by itself."""
        raise AssertionError("\\n".join(["one is wrong", "two is wrong"]))

    def test_a_long_comparison(modules):
        """A comparison that pytest shortens."""
        assert {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": [6] * 20} == {}
    '''


@pytest.fixture(scope="module")
def on_modules(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run the checkpoint on modules."""
    folder = tmp_path_factory.mktemp("modules")
    target = write(
        folder / "target",
        writer="encode = None",
        good=MODULES,
        syntax="def f(:\n",
        hangs="while True: pass\n",
        leaves="import os; os._exit(0)\n",
        prints="while True: print('x' * 10_000_000)\n",
        eats="x = bytearray(1 << 40)\n",
    )
    return run(folder, MODULE_TESTS, str(target), "--seed=7")


def test_only_right_results_pass(on_modules: Run) -> None:
    """What a module prints is not its result."""
    assert on_modules.status == 1
    passed = {name for name, outcome in on_modules.outcomes.items() if outcome == "passed"}
    assert passed == {"test_right", "test_prints_a_little"}


@pytest.mark.parametrize(
    ("name", "said", "trouble"),
    [
        ("test_one_is_not_true", "True", "assertion"),
        ("test_raises", "RuntimeError: what the learner sees", "error"),
        ("test_missing", "cannot import name 'nothing_such'", "import"),
        ("test_syntax", "SyntaxError", "import"),
        ("test_hangs", "It had not finished after 0.5 seconds", "error"),
        ("test_leaves", "The program ended (exit status 0) before it had answered", "error"),
        ("test_kills_itself", "It was ended by signal 9", "error"),
        ("test_prints", "It printed more than", "error"),
        ("test_eats", "MemoryError", "error"),
        ("test_no_literal", "No plain data came back", "error"),
        ("test_a_bytearray", "A bytearray, which must be bytes, came back: [bytearray(b'PING')]", "error"),
        ("test_a_text_of_its_own", "But:\n    one is wrong\n    two is wrong", "assertion"),
        ("test_a_plain_assert", 'assert modules.run("result = 1") == 2', "assertion"),
    ],
)
def test_a_report_says_what_a_module_did(on_modules: Run, name: str, said: str, trouble: str) -> None:
    """The report has a sentence about it and a `trouble`, by which failures can be counted."""
    assert said in on_modules.reports[name].replace("'result = 1'", '"result = 1"')
    assert on_modules.properties[name]["trouble"] == trouble


def test_code_that_changes_within_a_second_is_compiled_again(tmp_path: Path) -> None:
    """Python takes bytecode for new if the file has the same second and size as the one that was compiled."""
    file = write(tmp_path / "target", value="VALUE = 1\n") / "value.py"
    os.utime(file, (1e9, 1e9))
    py_compile.compile(str(file))
    file.write_text("VALUE = 2\n")
    os.utime(file, (1e9, 1e9))
    test = "def test_value(modules):\n    modules.check('from value import VALUE as result', 2)\n"
    assert run(tmp_path, test, str(file.parent)).outcomes == {"test_value": "passed"}


def test_a_report_shows_nothing_of_the_harness(on_modules: Run) -> None:
    """The traceback has the learner's frames only."""
    assert 'good.py", line 6, in broken' in on_modules.reports["test_raises"]
    for name, text in on_modules.reports.items():
        for ours in ("supervisor.py", "sandbox.py", 'checkpoint.py"', "harness/server.py", "<the checkpoint>"):
            assert ours not in text, name


def test_a_report_has_its_parts_in_order(on_modules: Run) -> None:
    """What was checked and done, what was expected and received, a hint, the notebook, and the command to repeat it."""
    expected = """\
What was checked, in a sentence.

This was run with your code:
    import good
    result = [good.double(2), 5]

Expected as result:
    [4, 6]

Result:
    [4, 5]
        ^

Hint:
    The first hint.
    More: python3 -m stages hint 03 test_wrong

Read:
    notebooks/03-trial.ipynb, “The section”

Run it again:
    pytest 03-trial/test_checkpoint.py::test_wrong --seed=7 --target="""
    assert on_modules.reports["test_wrong"].startswith(expected)
    assert on_modules.properties["test_wrong"]["points"] == "3"


def test_a_wrong_result_is_shown_with_what_the_code_said_and_without_what_it_did_not_use(on_modules: Run) -> None:
    said = on_modules.reports["test_complains"]
    assert "\n\nYour code wrote to standard error:\n    process 7 has failed\n\nHint:" in said
    assert "    import good\n    def used():" in said and "unused" not in said
    assert "standard error" not in on_modules.reports["test_wrong"]


def test_a_report_has_no_lines_of_pytest_about_the_parts_of_an_assertion(on_modules: Run) -> None:
    assert " where " not in on_modules.reports["test_a_plain_assert"]
    assert "AssertionError" not in on_modules.reports["test_a_text_of_its_own"]
    assert "Left contains" in on_modules.reports["test_a_long_comparison"]
    assert "-v" not in on_modules.reports["test_a_long_comparison"]
    assert on_modules.properties["test_right"]["points"] == "1"


def test_the_last_line_says_what_was_tested(on_modules: Run) -> None:
    """The last line of a run names its target."""
    assert on_modules.output.splitlines()[-1].startswith("this was ")
    assert on_modules.output.splitlines()[-1].endswith("/target")


# Steps and points

IN_STEPS = """
    from stages.harness.checkpoint import step

    @step(1)
    @pytest.mark.parametrize("number", [1, 2])
    def test_first(modules, number):
        modules.check("result = 1", 1)

    @step(1)
    @pytest.mark.needs("no-such-program")
    def test_elsewhere():
        raise AssertionError

    @step(2)
    def test_second(modules):
        modules.check("result = 1", 1)

    @pytest.mark.carried
    def test_carried(modules):
        modules.check("result = 1", 1)
    """
TABLE = """
## An order to write in

| step | minutes | points | write | what to know |
|---|--:|--:|---|---|
| 1 | 5 | 30 | `one` | |
| 2 | 5 | 70 | `two`, `one` (more) | |
"""


def test_the_checks_of_a_step_share_its_points_except_one_that_needs_a_program(tmp_path: Path) -> None:
    (tmp_path / "03-trial").mkdir()
    (tmp_path / "03-trial" / "README.md").write_text(TABLE)
    done = run(tmp_path, IN_STEPS, str(write(tmp_path / "target", writer="encode = None")), CI="")
    assert {name: (found["step"], found["points"]) for name, found in done.properties.items()} == {
        "test_first[1]": ("1", "15.0"),
        "test_first[2]": ("1", "15.0"),
        "test_elsewhere": ("1", "0"),
        "test_second": ("2", "70.0"),
        "test_carried": ("0", "0"),
    }
    assert done.outcomes["test_elsewhere"] == "skipped"
    elsewhere = run(tmp_path, IN_STEPS, str(tmp_path / "target"), CI="true")
    assert elsewhere.outcomes["test_elsewhere"] == "failure"


# Servers that misbehave

SERVER = """
    import os, signal, socket, subprocess, sys, threading, time
    if "--wrong" in sys.argv:
        sys.exit("no such option")
    listener = socket.create_server(("127.0.0.1", int(sys.argv[2])))

    def serve(connection):
        while data := connection.recv(100):
            answer(connection, data)

    def answer(connection, data):
        if b"half" in data:
            connection.sendall(b"+hal")
            connection.close()
        elif b"wrong" in data:
            connection.sendall(b"+right\\r\\n-ERR\\r\\n")
        elif b"crash" in data:
            print("last words", file=sys.stderr, flush=True)
            os._exit(3)
        elif b"chat" in data:
            for _ in range(5000):
                print("x" * 1000)
            connection.sendall(b"+OK\\r\\n")
        elif b"escape" in data:
            code = "import os, time; os.setsid(); os.fork() and os._exit(0)"
            code += "; print(os.getpid(), flush=True); time.sleep(100)"
            child = subprocess.Popen([sys.executable, "-S", "-c", code], stdout=subprocess.PIPE)
            connection.sendall(b":" + child.stdout.readline().strip() + b"\\r\\n")
            child.wait()
        elif b"twice" in data:
            connection.sendall(b"+OK\\r\\n+OK\\r\\n")
        elif b"sync" in data:
            with open("log", "w") as file:
                threading.Thread(target=os.fsync, args=[file.fileno()]).start()
                os.fdatasync(file.fileno())
                time.sleep(0.1)
            connection.sendall(b"+OK\\r\\n")
        elif b"grow" in data:
            with open("big", "wb") as file:
                file.write(b"x" * 2000)
            connection.sendall(b"+OK\\r\\n")
        elif b"PING" in data:
            connection.sendall(b"+PONG\\r\\n")

    while True:
        serve(listener.accept()[0])
    """

SERVER_TESTS = '''
    def test_right(client):
        """It answers."""
        client.check(b"PING", b"+PONG\\r\\n")
        client.check(b"chat", b"+OK\\r\\n")

    def test_half(client):
        """It closes in the middle."""
        client.check(b"half\\r\\n", b"+half a reply\\r\\n")

    def test_wrong(client):
        """It answers something else."""
        client.check(b"wrong", b"+right\\r\\n+OK\\r\\n")

    def test_silent(client):
        """It says nothing."""
        client.check(b"silence", b"+OK\\r\\n")

    def test_crash(client):
        """It crashes."""
        client.check(b"crash", b"+OK\\r\\n")

    def test_after_a_crash(client):
        """It is there again."""
        client.check(b"PING", b"+PONG\\r\\n")

    def test_twice(client, server):
        """It answers twice."""
        client.check(b"twice", b"+OK\\r\\n")
        client.more(__import__("time").monotonic() + 1)

    def test_talks_on(client):
        """It does not close."""
        client.check(b"twice", b"+OK\\r\\n")
        client.expect_closed()

    def test_escape(start, record_property):
        """Its child gets away."""
        client = start().connect()
        client.send(b"escape")
        record_property("pid", client.read_reply().decode())

    def test_never_listens(start):
        """It stops before it listens."""
        start(options=["--wrong"])

    def test_fsyncs(start):
        """Its fsyncs are counted."""
        server = start(counting=True)
        server.connect().check(b"sync", b"+OK\\r\\n")
        assert sorted(call.in_main_thread for call in server.fsyncs()) == [False, True]

    def test_file_size(start):
        """Its files do not grow."""
        server = start(file_size=1000)
        server.connect().check(b"grow", b"+OK\\r\\n")

    def test_kill_and_start_again(start):
        """It is killed and started again."""
        server = start()
        server.kill()
        assert server.wait() == -9
        start().connect().check(b"PING", b"+PONG\\r\\n")

    @pytest.mark.until("03")
    def test_replaced(client):
        """Not run on stage 03 or later."""
        assert False
    '''


@pytest.fixture(scope="module")
def on_servers(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run the checkpoint on the wire."""
    folder = tmp_path_factory.mktemp("servers")
    target = write(folder / "target", writer="encode = None", server=SERVER)
    return run(folder, SERVER_TESTS, str(target), "--patience=1")


def test_only_right_replies_pass(on_servers: Run) -> None:
    """A server that died is started again; of a server that replies too often all replies are read."""
    passed = {name for name, outcome in on_servers.outcomes.items() if outcome == "passed"}
    assert passed == {
        "test_right",
        "test_after_a_crash",
        "test_escape",
        "test_fsyncs",
        "test_kill_and_start_again",
    }
    assert "test_replaced" not in on_servers.outcomes


@pytest.mark.parametrize(
    ("name", "said", "trouble"),
    [
        ("test_half", "Received:\n    +hal\n        ^ and nothing more", "assertion"),
        ("test_half", "The server closed the connection", "assertion"),
        ("test_wrong", "    +right\\r\\n\n    -ERR\\r\\n\n    ^\n", "assertion"),
        ("test_silent", "Nothing more came within 1 seconds", "assertion"),
        ("test_crash", "last words\n    It has ended, with exit status 3", "assertion"),
        ("test_twice", "The server sent more than was expected", "assertion"),
        ("test_talks_on", "the end of the connection, and no more replies (those before were right)", "assertion"),
        ("test_never_listens", "It ended with exit status 1 before it accepted connections", "start"),
        ("test_file_size", "OSError: [Errno 27]", "assertion"),
    ],
)
def test_a_report_says_what_a_server_did(on_servers: Run, name: str, said: str, trouble: str) -> None:
    """The report has a sentence about it and a `trouble`."""
    assert said in on_servers.reports[name]
    assert on_servers.properties[name]["trouble"] == trouble


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process adopt its orphans' children")
def test_what_a_server_says_late_is_not_taken_for_the_next_test(tmp_path: Path) -> None:
    """It goes on complaining after the test in which it has begun to."""
    complaining = """
        elif b"complain" in data:
            complain = lambda: print("a complaint", file=sys.stderr, flush=True)
            complain()
            threading.Timer(0.01, complain).start()
            connection.sendall(b"+OK\\r\\n")
        elif b"PING" in data:"""
    server = SERVER.replace('\n        elif b"PING" in data:', complaining)
    target = write(tmp_path / "target", writer="encode = None", server=server)
    checkpoint = """
        from stages.harness import server
        server.QUIET = 1

        def test_first(client):
            client.check(b"complain", b"+OK\\r\\n")

        def test_second(client):
            client.check(b"wrong", b"+OK\\r\\n")
        """
    said = run(tmp_path, checkpoint, str(target))
    assert said.outcomes == {"test_first": "passed", "test_second": "failure"}
    assert "a complaint" not in said.reports["test_second"]


def test_a_server_whose_files_are_limited_writes_no_bytecode(tmp_path: Path) -> None:
    """Half a .pyc file of a learner's module would stop each later start with an EOFError."""
    server = "    import writer" + SERVER
    target = write(tmp_path / "target", writer=f"text = {'x' * 5000!r}\n", server=server)
    checkpoint = """
        def test_limited(start):
            start(file_size=1000).connect().check(b"PING", b"+PONG\\r\\n")
        """
    assert run(tmp_path, checkpoint, str(target)).outcomes == {"test_limited": "passed"}
    assert not list(target.rglob("*.pyc"))


def test_nothing_that_a_server_started_outlives_it(on_servers: Run) -> None:
    """A child that left the session and group of its parent is killed with the server."""
    pid = int(on_servers.properties["test_escape"]["pid"].strip(":\\r\n"))
    assert not Path(f"/proc/{pid}").exists()


def test_nothing_outlives_pytest(tmp_path: Path) -> None:
    """When pytest itself is killed, the server ends all the same."""
    target = write(tmp_path / "target", writer="encode = None", server=SERVER)
    checkpoint = """
        import os
        def test_killed(server):
            open(os.environ["PORT_FILE"], "w").write(str(server.port))
            os.kill(os.getpid(), 9)
        """
    port_file = tmp_path / "port"
    environment = {**os.environ, **ENVIRONMENT, "PORT_FILE": str(port_file)}
    command = pytest_command(tmp_path, checkpoint, str(target))
    assert subprocess.run(command, env=environment, capture_output=True, timeout=250).returncode == -9
    port = int(port_file.read_text())
    assert refused(port, seconds=10)


def refused(port: int, seconds: float) -> bool:
    """Wait until connections to the port are refused; return whether they are."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 0.1).close()
        except ConnectionRefusedError:
            return True
        except OSError:  # it is just being closed
            continue
    return False


# The status of a run

LITTLE = '''
    def test_modules(modules, rng, record_property):
        """On modules."""
        record_property("arg", rng.key().decode())

    @pytest.mark.carried
    def test_wire(client):
        """On the wire."""
        client.check(b"PING\\r\\n", b"+PONG\\r\\n")

    @pytest.mark.not_redis("of ours only")
    @pytest.mark.carried
    def test_ours(server):
        """Of ours only."""

    @pytest.mark.carried
    def test_restart(start):
        """It starts a server."""
        start(port=1)
    '''


@pytest.mark.skipif(not shutil.which("redis-server"), reason="redis-server is not installed")
def test_a_run_that_checks_nothing_fails(tmp_path: Path) -> None:
    """If all of the stage's own tests are skipped, the run fails; tests carried from earlier stages do not count."""
    little = LITTLE.replace("start(port=1)", "start()")
    result = run(tmp_path, little, "redis")
    assert result.outcomes == {
        "test_modules": "skipped",
        "test_wire": "passed",
        "test_ours": "skipped",
        "test_restart": "passed",
    }
    assert result.status == 1
    assert "nothing was checked of stage 03; this was redis-server" in result.output.splitlines()[-1]


def test_a_server_that_is_running_is_not_restarted(tmp_path: Path) -> None:
    """With HOST:PORT, tests that start a server or import modules are skipped with a reason."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        result = run(tmp_path, LITTLE, f"127.0.0.1:{listener.getsockname()[1]}", "--patience=0.1")
    assert result.outcomes["test_restart"] == result.outcomes["test_modules"] == "skipped"
    assert result.outcomes["test_wire"] == "failure"
    assert result.status == 1


def test_without_redis_the_oracle_is_skipped(tmp_path: Path) -> None:
    """Without a redis-server its tests are skipped with the reason; in CI the run fails."""
    result = run(tmp_path, LITTLE, "redis", "-rs", PATH="", CI="")
    assert set(result.outcomes.values()) == {"skipped"}
    assert "neither redis-server nor valkey-server is installed" in result.output
    assert result.status == 1
    assert run(tmp_path, LITTLE, "redis", PATH="", CI="1").status == pytest.ExitCode.USAGE_ERROR


def test_a_seed_repeats_a_run(tmp_path: Path) -> None:
    """Random words are the same with the same seed, and others without it."""
    target = write(tmp_path / "target", writer="encode = None", server=SERVER)
    args = [
        run(tmp_path, LITTLE, str(target), "-k", "modules", *seed).properties["test_modules"]["arg"]
        for seed in (["--seed=1"], ["--seed=1"], [])
    ]
    assert args[0] == args[1] != args[2]


def test_any_program_can_be_tested(tmp_path: Path) -> None:
    """`cmd:` starts any program with `--port N`; tests on modules are skipped."""
    target = write(tmp_path / "target", server=SERVER.replace("sys.argv[2]", "sys.argv[sys.argv.index('--port') + 1]"))
    result = run(tmp_path, LITTLE, f"cmd:{sys.executable} {target / 'server.py'} --color")
    assert result.outcomes["test_modules"] == "skipped"
    assert result.outcomes["test_wire"] == "passed"


def test_the_default_target_is_work_if_it_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `work/` the reference is tested; with it, `work/` at its own stage; at another stage an error says so."""
    monkeypatch.setattr(target, "ROOT", tmp_path)
    (tmp_path / "stages" / "03-writer").mkdir(parents=True)
    find = target.find.__wrapped__
    assert find(None, 3, tmp_path).name == "the reference, not your code"
    write(tmp_path / "work", server="", reader="class Reader: pass")
    assert (find(None, 2, tmp_path).folder, find(None, 1, tmp_path).stage) == (tmp_path / "work", 2)
    with pytest.raises(target.Unavailable, match="type `python3 -m stages start 03`"):
        find(None, 3, tmp_path)


def test_a_missing_target_is_named(tmp_path: Path) -> None:
    """A missing folder ends the run before it begins; a missing program cannot be started."""
    command = pytest_command(tmp_path, LITTLE, "nowhere")
    result = subprocess.run(command, env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True)
    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--target=nowhere: there is no such folder" in result.stderr
    started = run(tmp_path, LITTLE, "cmd:nowhere")
    assert started.properties["test_wire"]["trouble"] == "start"
    assert "nowhere: No such file or directory" in started.reports["test_wire"]


def test_a_stage_is_named_by_its_number() -> None:
    """`stages/03` is completed to the stage's folder; other arguments stay as they are."""
    names = [
        "stages/03",
        "stages/02/test_checkpoint.py::test_x[a::b]",
        "stages/03-writer",
        "stages/77",
        "tests",
    ]
    complete = runpy.run_path(str(ROOT / "conftest.py"))["complete"]
    assert [complete(name, ROOT).removeprefix(f"{ROOT}/") for name in names] == [
        "stages/03-writer",
        "stages/02-resp-reader/test_checkpoint.py::test_x[a::b]",
        "stages/03-writer",
        "stages/77",
        "tests",
    ]


# Counting fsyncs with strace


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
@pytest.mark.skipif(not shutil.which("redis-server"), reason="redis-server is not installed")
def test_the_fsyncs_of_redis_are_counted(tmp_path: Path) -> None:
    """With strace the fsyncs of any program are counted, and `kill` still reaches the program itself."""
    checkpoint = """
        def test_fsyncs(start, tmp_path):
            server = start(data=tmp_path, appendfsync="always", counting=True)
            client = server.connect()
            assert client.ask("PING") == "PONG"  # now it has started
            before = len(server.fsyncs())
            client.check(request("SET", "k", "v"), b"+OK\\r\\n")
            calls = server.fsyncs()
            assert len(calls) == before + 1 and calls[-1].in_main_thread
            server.kill()
            assert server.wait() == -9
            again = start(data=tmp_path)
            again.connect().check(request("GET", "k"), b"$1\\r\\nv\\r\\n")
        """
    result = run(tmp_path, checkpoint, "redis")
    assert result.outcomes == {"test_fsyncs": "passed"}, result.output


# Its reader of RESP


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"+OK\r\n", "OK"),
        (b"-ERR no\r\n", Error("ERR no")),
        (b":-1\r\n", -1),
        (b"(12345678901234567890\r\n", 12345678901234567890),
        (b",-2.5\r\n", -2.5),
        (b"#t\r\n", True),
        (b"_\r\n", None),
        (b"$-1\r\n", None),
        (b"*-1\r\n", None),
        (b"$4\r\n\r\n\0\xff\r\n", b"\r\n\0\xff"),
        (b"*2\r\n*0\r\n$0\r\n\r\n", [[], b""]),
        (b"%1\r\n+a\r\n:1\r\n", {"a": 1}),
        (b"~1\r\n:1\r\n", [1]),
        (b">1\r\n+a\r\n", Push(["a"])),
        (b"=5\r\ntxt:a\r\n", Verbatim(b"txt:a")),
        (b"!2\r\nno\r\n", Error("no")),
        (b"|1\r\n+ttl\r\n:1\r\n+OK\r\n", "OK"),
    ],
)
def test_replies_are_read(data: bytes, value: object) -> None:
    """A complete reply is read, an incomplete one is not."""
    result, end = parse(data + b"+next\r\n")
    assert (result, type(result), end) == (value, type(value), len(data))
    for cut in range(len(data)):
        with pytest.raises(Incomplete):
            parse(data[:cut])


@pytest.mark.parametrize(
    "data",
    [
        b"OK\r\n",
        b"+a\nb\r\n",
        b"+a\rb\r\n",
        b":x\r\n",
        b"$x\r\n",
        b"$1\r\nab\r\n",
        b"#x\r\n",
        b"_x\r\n",
        b"*1\r\nx",
    ],
)
def test_bytes_that_are_not_resp_are_refused(data: bytes) -> None:
    """They raise an error."""
    with pytest.raises((ValueError, KeyError)):
        parse(data)


# The bytes in reports


@pytest.mark.parametrize(
    ("expected", "received", "lines"),
    [
        (b"+PONG\r\n", b"+PONK\r\n", ["+PONK\\r\\n", "    ^"]),
        (b"*1\r\n:1\r\n", b"*1\r\n:2\r\n", ["*1\\r\\n", ":2\\r\\n", " ^"]),
        (b"a\0b", b"a\0c", ["a\\x00c", "     ^"]),
        (b"abc", b"ab", ["ab", "  ^ and nothing more"]),
        (b"abc\r\nd", b"abc\r\n", ["abc\\r\\n", "^ and nothing more"]),
        (b"abc", b"", ["(nothing)"]),
        (
            b"x" * 1000 + b"a",
            b"x" * 1000 + b"b",
            ["… 840 bytes before …", "x" * 88, "x" * 72 + "b", " " * 72 + "^"],
        ),
        (
            b"a" + b"x" * 1000,
            b"b" + b"x" * 1000,
            ["b" + "x" * 87, "^", "x" * 88, "x" * 72, "… 753 more bytes"],
        ),
    ],
)
def test_a_caret_is_under_the_first_difference(expected: bytes, received: bytes, lines: list[str]) -> None:
    """Bytes are shown as RESP, long ones cut, with a caret under the first byte that differs."""
    assert report.show(received, report.difference(expected, received)) == lines


def test_a_long_list_says_how_much_of_it_is_not_shown() -> None:
    expected, received = ([f"{number}," for number in range(20)] for _ in range(2))
    received[9] = "x,"
    assert report.marked(received, expected) == [
        "… 6 before …",
        "6,",
        "7,",
        "8,",
        "x,",
        "^",
        "10,",
        "11,",
        "12,",
        "… 7 more …",
    ]
    assert report.marked(["1", "2"], ["1"], caret=False) == ["1", "2"]


# What is said briefly

TRACE = """\
Exception in callback _SelectorSocketTransport._add_reader(12)
handle: <Handle _SelectorSocketTransport._add_reader(12)>
Traceback (most recent call last):
  File "/usr/lib/python3.11/asyncio/events.py", line 80, in _run
    self._context.run(self._callback, *self._args)
  File "FILE", line 3, in one
    self.send()
    ^^^^^^^^^^^
  File "FILE", line 6, in send
    return 1 / 0
           ~~^~~
ZeroDivisionError: division by zero
"""
OWN_SERVER = "class Connection:\n    def one(self):\n        self.send()\n\n    def send(self):\n        return 1 / 0\n"


def test_the_same_traceback_is_shown_once_and_without_the_frames_of_asyncio(tmp_path: Path) -> None:
    """A traceback that comes three times is shown once, with a count; it is named by the learner's function."""
    file = tmp_path / "server.py"
    file.write_text(OWN_SERVER)
    trace = TRACE.replace("FILE", str(file))
    assert report.last_lines("listening\n" + 3 * trace) == [
        "listening",
        "Traceback (most recent call last):",
        f'  File "{file}", line 3, in one',
        "    self.send()",
        f'  File "{file}", line 6, in send',
        "    return 1 / 0",
        "           ~~^~~",
        "ZeroDivisionError: division by zero",
        "(and the same 2 times more)",
    ]
    assert report.last_lines(2 * trace)[-1] == "(and the same once more)"
    assert report.last_lines(25 * "socket.send() raised exception.\n" + "end\n") == [
        "socket.send() raised exception.",
        "(and the same line 24 times more)",
        "end",
    ]
    assert report.raised(trace) == "ZeroDivisionError: Connection.send"
    assert report.raised("all is well") == ""


def test_of_long_output_the_first_traceback_and_the_last_lines_are_shown() -> None:
    lines = [f"line {number}" for number in range(100)]
    trace = TRACE[TRACE.index("Traceback") :].splitlines()
    said = report.last_lines("\n".join([*lines, *trace, *lines]))
    kept = report.last_lines("\n".join(trace))
    assert said == ["…", *kept, "…", *lines[len(kept) - report.OUTPUT_LINES :]]
    assert report.last_lines("\n".join(lines)) == ["…", *lines[-report.OUTPUT_LINES :]]


def test_a_syntax_error_is_named_by_its_own_file_and_line() -> None:
    """The frames say where the import was."""
    trace = TRACE.replace("line 6, in send", "line 8, in <module>").partition("    return")[0]
    error = '  File "/no/reader.py", line 129\n    retrun 1\n           ^\nSyntaxError: invalid syntax\n'
    assert report.raised(trace + error) == "SyntaxError: line 129 of reader.py"


def test_failures_that_differ_in_a_number_or_a_value_are_of_one_kind() -> None:
    """Otherwise each of them would have a line of its own."""
    for one, other in (
        ("It had not finished after 5 seconds.", "It had not finished after 0.5 seconds."),
        ("A bytearray, which must be bytes, came back: [1]", "A bytearray, which must be bytes, came back: [2]"),
    ):
        assert report.kind(NoAnswer(one, ""), []) == report.kind(NoAnswer(other, ""), [])


def test_a_hint_about_the_result_is_not_shown_without_a_result(on_modules: Run) -> None:
    """The line with the command for more hints is still there."""
    said = on_modules.reports["test_a_bytearray"]
    assert "The result lists" not in said and "Hint:\n    More: " in said


def test_a_brief_run_shows_the_first_failure_and_counts_the_others(tmp_path: Path) -> None:
    """With --brief one report is whole; the others are counted by their kind."""
    target = write(tmp_path / "target", writer="encode = None", good=MODULES)
    checkpoint = """
        @pytest.mark.parametrize("number", range(4))
        def test_raises(modules, number):
            modules.check("import good\\nresult = good.broken(1)", 1)

        def test_wrong(modules):
            modules.check("result = 2", 1)
        """
    output = run(tmp_path, checkpoint, str(target), "--brief", "--no-summary").output
    assert output.count("RuntimeError: what the learner sees") == 1
    assert "    RuntimeError: broken ×3, the same check with other values\n" in output  # noqa: RUF001
    assert "    another result than expected ×1, first in test_wrong\n" in output  # noqa: RUF001


@pytest.mark.parametrize(("kinds", "said"), [(10, "of-kind-9 ×1"), (11, "and 1 other kind"), (12, "and 2 other kinds")])  # noqa: RUF001
def test_a_brief_run_counts_the_kinds_for_which_it_has_no_line(kinds: int, said: str) -> None:
    names = ["first", *(f"of-kind-{number}" for number in range(kinds))]
    outcome = Outcome.__new__(Outcome)
    outcome.failures = {
        name: SimpleNamespace(nodeid=f"file::{name}", longreprtext="", kind=name)  # type: ignore[misc]
        for name in names
    }
    assert [*outcome.brief()][-1].strip().partition(",")[0] == said


def test_a_status_that_is_none_is_explained(tmp_path: Path) -> None:
    """A server that has not ended in time has no exit status; the report says so."""
    target = write(tmp_path / "target", writer="encode = None", server=SERVER)
    checkpoint = """
        def test_stop(start):
            server = start()
            assert server.wait(0.1) == 0, f"exit status {server.program.status}"
        """
    said = run(tmp_path, checkpoint, str(target)).reports["test_stop"]
    assert "exit status None" in said and "the server was still running" in said


# What is said without a hint

LOOPS = """\
import asyncio, sys

class Connection(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        if b"loop" in data:
            self.serve()
        elif b"wait" not in data:
            self.transport.write(data)

    def serve(self):
        while True: pass

async def main():
    loop = asyncio.get_running_loop()
    await (await loop.create_server(Connection, "127.0.0.1", int(sys.argv[2]))).serve_forever()

asyncio.run(main())
"""


MODULES_THAT_LOOP = '''

def test_import(modules):
    """It loops.

    A hint.
    """
    modules.check("import loops\\nresult = 1", 1)

def test_slow(modules):
    """It is slow.

    A hint.
    """
    modules.check("import loops\\nresult = 1", 1, seconds=0.2)
'''


def hinted(*tests: tuple[str, str]) -> str:
    """Return a checkpoint: each test has a name, a hint, and a body of one line."""
    made = (f'def test_{name}(start):\n    """A check.\n\n    A hint.\n    """\n    {body}\n' for name, body in tests)
    return "\n\n".join(made)


def test_where_a_program_is_stuck_is_told_once_before_the_hint(tmp_path: Path) -> None:
    """One that waits for events is not stuck; a test about time has its hint; who ignores the signal is ended, too."""
    target = write(tmp_path / "target", writer="encode = None", server=LOOPS, loops="while True: pass")
    deaf = "import faulthandler, signal; faulthandler.disable(); signal.signal(signal.SIGABRT, signal.SIG_IGN)\n"
    write(tmp_path / "deaf", writer="encode = None", server=deaf + LOOPS)
    bodies = {name: f"start().connect().check(b'{name}', b'+OK')" for name in ("loop", "wait")}
    checkpoint = hinted(("loop", bodies["loop"]), ("wait", bodies["wait"]), ("again", bodies["loop"]))
    checkpoint += MODULES_THAT_LOOP
    reports = run(tmp_path, checkpoint, str(target), "--patience=0.3").reports
    calls = "    server.py, line 14, in Connection.serve\n    server.py, line 9, in Connection.data_received\n"
    assert f"the program was here:\n{calls}\nHint:\n    A hint.\n\nRun it again" in reports["test_loop"]
    assert "Nothing more came within" in reports["test_loop"] and "SIGABRT" not in reports["test_loop"]
    assert "It failed as test_loop did: stuck in Connection.serve" in reports["test_again"]
    assert "A hint." not in reports["test_again"]
    assert "A hint." in reports["test_wait"] and "was here" not in reports["test_wait"]
    assert "the program was here:\n    loops.py, line 1\n\nHint:" in reports["test_import"]
    assert "A hint." in reports["test_slow"] and "was here" not in reports["test_slow"]
    begin = time.monotonic()
    reports = run(tmp_path, hinted(("loop", bodies["loop"])), str(tmp_path / "deaf"), "--patience=0.3").reports
    assert "A hint." in reports["test_loop"] and time.monotonic() - begin < within(10)


def test_a_server_that_cannot_start_is_told_once_and_without_a_hint(tmp_path: Path) -> None:
    """After one that has started the hint may be about what this one found: then it is shown."""
    checkpoint = hinted(("one", "start()"), ("two", "start()"))
    reports = run(tmp_path, checkpoint, str(write(tmp_path / "broken", writer="encode = None", server="x = ("))).reports
    assert "SyntaxError: '(' was never closed" in reports["test_one"]
    assert "It failed as test_one did: the server did not start" in reports["test_two"]
    assert not any("A hint." in text for text in reports.values())
    target = write(tmp_path / "target", writer="encode = None", server=SERVER)
    checkpoint = hinted(("one", "start()"), ("two", "start(options=['--wrong'])"))
    assert "A hint." in run(tmp_path, checkpoint, str(target)).reports["test_two"]


def test_modules_that_cannot_be_imported_are_told_without_a_hint(on_modules: Run) -> None:
    """What a test imports may be missing because it is still to be written: then the hint is shown."""
    assert "A hint." not in on_modules.reports["test_syntax"]
    assert "A hint." in on_modules.reports["test_missing"]
