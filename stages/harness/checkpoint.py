'''The pytest plugin of the checkpoints: what a test in `stages/NN-…/test_checkpoint.py` can use.

A test that talks to a server takes `client` (or `connect`, for several connections). The tests of a file share one
server. It is started when it is first needed, and again after a test has failed. So each test uses new keys: `rng` is
a random generator, seeded by `--seed` and the test's name; `rng.key()` makes a new word.

    @step(1)                                                # of the README's table 'An order to write in'
    def test_ping_is_answered_with_pong(client):
        """PING is answered with PONG.

        The first hint: what to look at.

        The last hint: nearly the answer.
        """
        client.check(b"PING\\r\\n", b"+PONG\\r\\n")            # sends these bytes, expects exactly those
        client.send(b"*1\\r\\n$4\\r\\nPI")                     # the same in steps
        client.send(b"NG\\r\\n")
        client.expect(b"+PONG\\r\\n")
        assert client.ask("ECHO", word := rng.key()) == word  # the same with Python values
        client.expect_closed()                              # the server closes the connection

`client.ask` returns a simple string as str, a bulk string as bytes, an error as `wire.Error`, and None, int, list,
dict, … for the other types. `client.read_reply()` returns the bytes of one reply, checked for RESP's syntax. A test
fails at its end when the server has sent more than was read.

A test that needs its own server takes `start`. With `data=` the server writes its append-only file in that folder:

    def test_a_write_survives_kill_9(start, tmp_path):
        server = start(data=tmp_path, appendfsync="always")
        server.connect().check(request("SET", "k", "v"), b"+OK\\r\\n")
        server.kill()                                       # kill -9; `server.stop()` sends SIGTERM
        again = start(data=tmp_path)
        assert again.connect().ask("GET", "k") == b"v"

`start(…, file_size=N)` limits each of the server's files to N bytes. `start(…, counting=True)` makes
`server.fsyncs()` list each fsync with its time (`time.monotonic()`) and whether the main thread made the call. (A
server may listen before it has made the fsyncs of its start: send PING before you count.) With `fsync_delay=N` each
fsync waits N seconds before it begins, and N more after it is in the list. `start(…, ready=False)` does not wait
until the server accepts connections: use it for a server that has to refuse to start. `server.wait()` is then its exit
status (None: it still runs); `server.errors` and `server.output` are what it wrote. `port=` is a fixed port, `options=`
are more arguments.

A test that looks into modules takes `modules`. The source runs in its own process, with the target's folder first on
`sys.path`. Each keyword argument is a variable of the source. What the source names `result` must be plain data:

    def test_a_request_is_read(modules, rng):
        modules.check("""
            from reader import Reader
            reader = Reader()
            reader.feed(data)
            result = [reader.next(), reader.next()]
            """,
            [[b"PING"], None],
            data=b"PING\\r\\n")

A target without modules (`cmd:`, `HOST:PORT`, `redis`) skips such a test. A run in which all of a stage's own tests
were skipped fails. The marks are listed in `pyproject.toml`.
'''

from __future__ import annotations

import os
import random
import re
import shlex
import shutil
import string
import textwrap
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

from stages.harness import report as teaching
from stages.harness.course import LAST, ROOT
from stages.harness.rooms import in_package, in_rooms
from stages.harness.sandbox import NoAnswer, TooSlow, answer
from stages.harness.server import Server
from stages.harness.steps import steps
from stages.harness.target import Target, Unavailable, find
from stages.harness.wire import Client, Patience

PATIENCE = pytest.StashKey[Patience]()
step = pytest.mark.step
SERVERS = pytest.StashKey[list[Server]]()
TARGET = pytest.StashKey[Target]()
FAILED = pytest.StashKey[bool]()
TOLD = pytest.StashKey[dict[str, str]]()
MOST_KINDS = 10  # lines of `--brief`


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    group = parser.getgroup("checkpoints")
    group.addoption(
        "--target",
        metavar="WHAT",
        help="reference, work, a folder, final, redis, cmd:PROGRAM or HOST:PORT; always written with '='",
    )
    group.addoption("--target-stage", type=int, metavar="NN", help="the target's stage, when its files do not show it")
    group.addoption("--patience", type=float, default=5, metavar="SECONDS", help="wait up to SECONDS for a reply")
    group.addoption("--step", type=int, metavar="N", help="run only the checks of this step")
    group.addoption("--brief", action="store_true", help="show the first failure, and count the others by their kind")
    group.addoption("--seed", type=int, metavar="N", help="use the random keys and values of an earlier run")


def pytest_configure(config: pytest.Config) -> None:
    """Choose the seed; xdist passes it to its workers."""
    if config.option.seed is None:
        config.option.seed = random.SystemRandom().randrange(1_000_000)
    config.stash[PATIENCE] = Patience(config.option.patience)
    config.stash[TOLD] = {}
    config.pluginmanager.register(Outcome(config))


def pytest_report_header(config: pytest.Config) -> str:
    """Print the seed, with which a run can be repeated."""
    return f"checkpoints: --seed={config.option.seed}"


# Which tests run, and on what


def stage_of(item: pytest.Item) -> int | None:
    """Return the stage to whose checkpoint a test belongs; None for other tests."""
    for folder in item.path.parents:
        if number := re.match(r"(\d\d)-", folder.name):
            return int(number[1])
    return None


def target_of(config: pytest.Config, stage: int) -> Target:
    """Return the target that `--target` and `--target-stage` name, for a stage's checkpoint."""
    target = find(config.option.target, stage, config.invocation_params.dir)
    if config.option.target_stage is None:
        return target
    return Target(**{**vars(target), "stage": config.option.target_stage})


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Find each test's target. Deselect tests that the target's stage replaces, skip those that Redis does not pass.

    With `--step` deselect those of other steps too.
    """
    replaced = []
    shares = Counter((item.path.parent, step_of(item)) for item in items if not item.get_closest_marker("needs"))
    for item in items:
        if (stage := stage_of(item)) is None:
            continue
        item.user_properties.append(("step", step_of(item)))
        item.user_properties.append(("points", worth(item, shares[item.path.parent, step_of(item)])))
        hidden = item.get_closest_marker("hidden")  # when students see it, as Gradescope's `visibility`; '': always
        item.user_properties.append(("hidden", (*hidden.args, "after_published")[0] if hidden else ""))
        try:
            target = target_of(config, stage)
        except Unavailable as error:
            if config.option.target != "redis" or os.environ.get("CI"):
                raise pytest.UsageError(str(error)) from None
            target = Target("redis, which is not installed", LAST, is_redis=True)
            item.add_marker(pytest.mark.skip(reason=str(error)))
        item.stash[TARGET] = target
        needs = item.get_closest_marker("needs")
        if needs and not shutil.which(needs.args[0]) and not os.environ.get("CI"):
            item.add_marker(pytest.mark.skip(reason=f"{needs.args[0]} is not installed"))
        until = item.get_closest_marker("until")
        other = config.option.step not in (None, step_of(item))
        not_redis = item.get_closest_marker("not_redis")
        if other or (until and target.stage >= int(until.args[0])):
            replaced.append(item)
        elif not_redis and target.is_redis:
            item.add_marker(pytest.mark.skip(reason=not_redis.args[0]))
    config.hook.pytest_deselected(items=replaced)
    items[:] = [item for item in items if item not in replaced]
    targets = {item.stash[TARGET] for item in items if TARGET in item.stash}
    for folder in (target.folder for target in targets if target.folder and not target.is_final):
        shutil.rmtree(folder / "__pycache__", ignore_errors=True)  # may be older than the code: has only its second


def step_of(item: pytest.Item) -> int:
    """Return the number of the step to which a test belongs; 0 when it belongs to none."""
    mark = item.get_closest_marker("step")
    return int(mark.args[0]) if mark else 0


def worth(item: pytest.Item, share: int) -> float:
    """Return the points of a test: of its step's points one part of `share`; of a teacher's own test what it says.

    A test that does not run on every machine is worth nothing, nor is one that an earlier checkpoint has too.
    """
    found = steps(item.path.parent)
    if item.get_closest_marker("needs") or (found and not step_of(item)):
        return 0
    if number := step_of(item):
        return sum(each.points for each in found if each.number == number) / share
    points = item.get_closest_marker("points")
    return points.args[0] if points else 1


# What tests take


class Dice(random.Random):
    """A random generator that also makes keys and values."""

    def key(self, length: int = 10) -> bytes:
        """Return a random key or value: `length` letters."""
        return "".join(self.choices(string.ascii_letters, k=length)).encode()


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> Dice:
    """A random generator that depends only on `--seed` and the test's name."""
    return Dice(f"{request.config.option.seed} {request.node.name}")


@pytest.fixture
def target(request: pytest.FixtureRequest) -> Target:
    """What is tested."""
    return request.node.stash[TARGET]  # type: ignore[no-any-return]


@pytest.fixture
def patience(request: pytest.FixtureRequest) -> Patience:
    """How long to wait, for the whole run."""
    return request.config.stash[PATIENCE]


@pytest.fixture
def start(
    request: pytest.FixtureRequest, target: Target, patience: Patience, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Server]]:
    """A function that starts a server for this test only; its arguments are those of `server.Server`."""
    servers: list[Server] = []

    def start(*, ready: bool = True, **how: Any) -> Server:
        server = Server(target, patience, tmp_path_factory.mktemp("server"), **how)
        servers.append(server)
        request.node.stash.setdefault(SERVERS, []).append(server)
        if ready:
            server.await_ready()
        return server

    yield start
    for server in servers:
        server.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[list[Server]]:
    """A list with the server that the tests of a file share; empty when none is running."""
    servers: list[Server] = []
    yield servers
    for server in servers:
        server.close()


@pytest.fixture
def server_options() -> dict[str, Any]:
    """How the shared server is started. A checkpoint can override this fixture."""
    return {}


@pytest.fixture
def server(
    request: pytest.FixtureRequest,
    shared: list[Server],
    target: Target,
    patience: Patience,
    tmp_path_factory: pytest.TempPathFactory,
    server_options: dict[str, Any],
) -> Iterator[Server]:
    """The shared server: the one that is running, or a new one after a failure."""
    if shared and not shared[0].alive:
        shared.pop().close()
    if not shared:
        shared.append(Server(target, patience, tmp_path_factory.mktemp("server"), **server_options))
    server = shared[0]
    request.node.stash[SERVERS] = [server]
    server.await_ready()
    server.begin_test()
    yield server
    for client in server.clients:
        client.close()
    if request.node.stash.get(FAILED, False):
        shared.pop().close()


@pytest.fixture
def connect(server: Server) -> Callable[[], Client]:
    """A function that opens a connection to the shared server."""
    return server.connect


@pytest.fixture
def client(server: Server) -> Client:
    """A connection to the shared server."""
    return server.connect()


class Modules:
    """Runs source that imports the target's modules, in its own process."""

    def __init__(self, target: Target, patience: Patience) -> None:
        self.target, self.patience = target, patience
        self.folder = ROOT if target.is_final else target.folder or ROOT
        self.errors = ""  # what the last source wrote to standard error

    def run(self, source: str, /, seconds: float | None = None, **names: object) -> object:
        """Run the source with `names` as its variables, and return what it names `result`."""
        return self.run_text(self.text(source, names), seconds)

    def check(self, source: str, expected: object, /, seconds: float | None = None, **names: object) -> None:
        """Run the source with `names` as its variables; assert that its `result` is `expected`, types included."""
        text = self.text(source, names)
        result = self.run_text(text, seconds)
        if repr(result) != repr(expected):
            raise teaching.WrongResult(text, expected, result)

    def text(self, source: str, names: dict[str, object]) -> str:
        """Return the variables and the source as one text."""
        return "".join(f"{name} = {value!r}\n" for name, value in names.items()) + textwrap.dedent(source).strip()

    def run_text(self, text: str, seconds: float | None) -> object:
        """Run the text, and return its `result`. For `final`, modules of the stages are imported from its rooms."""
        source = in_package(text, "final", in_rooms(self.folder / "final")) if self.target.is_final else text
        try:
            result, self.errors = answer(source, self.folder, seconds or self.patience.seconds)
            return result
        except NoAnswer as error:
            error.ran = text
            if seconds:  # the test is about time, and so is its hint
                error.dump = ""
            if isinstance(error, TooSlow):
                self.patience.lost()
            raise


@pytest.fixture
def modules(target: Target, patience: Patience) -> Modules:
    """The target's modules."""
    if target.folder is None:
        pytest.skip(f"{target.name} has no Python modules to look into")
    return Modules(target, patience)


# The outcome


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Fail a test whose server has sent more than was read."""
    yield
    for server in item.stash.get(SERVERS, []):
        for client in server.clients:
            client.expect_nothing()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Replace the report of a failure by the one for learners, and note what the last line of the run needs.

    A program in work/ that is stuck in the same function a second time ends the run.
    """
    report = yield
    stage = stage_of(item)
    if stage is None:
        return report
    own = item.get_closest_marker("carried") is None
    report.checkpoint = (stage, item.stash[TARGET].name, own)  # type: ignore[attr-defined]
    if report.failed and call.excinfo:
        item.stash[FAILED] = True
        for server in item.stash.get(SERVERS, []) if item.config.stash[PATIENCE].in_vain else ():
            server.abort()
        item.config.stash[PATIENCE].in_vain = False
        item.user_properties.append(("trouble", teaching.trouble(call.excinfo.value)))
        kind = teaching.kind(call.excinfo.value, item.stash.get(SERVERS, []))
        first = item.config.stash[TOLD].setdefault(kind, item.name)
        if kind.startswith(teaching.STUCK) and first != item.name and item.stash[TARGET].folder == ROOT / "work":
            item.session.shouldfail = f"{kind} again: the checks after this one were not run"
        if item.config.option.brief:
            report.kind = kind  # type: ignore[attr-defined]
            item.user_properties.append(("kind", kind))
        if item.config.option.tbstyle == "auto":  # pytest's own report: --tb=long
            report.longrepr = teaching.compose(lesson(item, stage, call.excinfo, first, kind))
    return report


def lesson(
    item: pytest.Item, stage: int, failure: pytest.ExceptionInfo[BaseException], first: str, kind: str
) -> list[teaching.Section]:
    """Return the sections of a failure's report: what was checked, what happened, a hint, where to read on.

    What is wrong whatever is checked is told once, for `first`. Then its `kind` is enough. It has no hint, unless it is
    a loop without an end: that may be about what this check asks for.
    """
    function = getattr(item, "originalname", item.name)
    checked, *hints = teaching.paragraphs(getattr(item, "function", None).__doc__) or [function]
    servers = item.stash.get(SERVERS, [])
    sections: list[teaching.Section] = [("", checked.splitlines())]
    sections += teaching.sections_of(failure, item.path, servers)
    if not isinstance(failure.value, NoAnswer) and servers:
        sections += teaching.output_of(teaching.complaining(servers))
    modules = getattr(item, "funcargs", {}).get("modules")
    if modules and not isinstance(failure.value, NoAnswer):
        sections.append(("Your code wrote to standard error", teaching.last_lines(modules.errors)))
    again = f"pytest {shlex.quote(item.nodeid)} --seed={item.config.option.seed}"
    wanted = item.config.option.target
    last = ("Run it again", [again + (f" --target={shlex.quote(wanted)}" if wanted else "")])
    where = teaching.stuck(failure.value, servers)
    imports = isinstance(failure.value, NoAnswer) and re.search(r": line \d+ of ", kind)  # what a module raises
    starts = teaching.trouble(failure.value) == "start" and not item.config.stash[PATIENCE].started
    if where or imports or starts:
        if first != item.name:
            sections[1:] = [("", [f"It failed as {first} did: {kind}"])]
        if first != item.name or not where:
            return [*sections, last]
        sections.append(("A loop without an end? When the check stopped waiting, the program was here", where))
    more = f"python3 -m stages hint {stage:02} {function}" if len(hints) > 1 else ""
    fits = hints and not (isinstance(failure.value, NoAnswer) and hints[0].startswith("The result"))  # there is none
    if fits:
        item.user_properties.append(("hint", 1))  # so `stages hint` does not begin with it
    sections.append(("Hint", [*(hints[0].splitlines() if fits else []), *([f"More: {more}"] if more else [])]))
    if read := item.get_closest_marker("read"):
        notebook = item.path.parent.name
        sections.append(("Read", [f"notebooks/{notebook}.ipynb, “{read.args[0]}”"]))
    return [*sections, last]


class Outcome:
    """Counts the tests of each stage that ran, and writes the last line of the run; with `--brief` the failures too."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.failures: dict[str, pytest.TestReport] = {}  # test -> its first report of a failure
        self.checked: dict[int, int] = {}
        self.names: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count the stage's own tests (those not marked `carried`) that were not skipped."""
        if hasattr(report, "checkpoint"):
            stage, name, own = report.checkpoint
            ran = report.failed or (report.when == "call" and report.passed)
            self.checked[stage] = self.checked.get(stage, 0) + (own and ran)
            self.names.add(name)
        if hasattr(report, "kind"):
            self.failures.setdefault(report.nodeid, report)

    @property
    def unchecked(self) -> str:
        """The stages of which all own tests were skipped."""
        return ", ".join(f"{stage:02}" for stage, count in sorted(self.checked.items()) if not count)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail a run in which all own tests of a stage were skipped."""
        if self.unchecked and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        terminal = self.config.pluginmanager.get_plugin("terminalreporter")
        if terminal and self.failures:
            terminal.ensure_newline()
            terminal.write_line("\n".join(self.brief()))

    def brief(self) -> Iterator[str]:
        """Yield the lines of the first failure, and how many others there are of each kind."""
        first, *others = self.failures.values()
        shown = first.nodeid.partition("::")[2]
        yield f"\n{shown}\n\n{first.longreprtext}\n"
        kinds: dict[str, list[str]] = {}
        for report in others:
            name = report.nodeid.partition("::")[2]
            kinds.setdefault(report.kind[: teaching.WIDTH], []).append(name)
        if kinds:
            yield "Others that failed:"
        for kind, names in sorted(kinds.items(), key=lambda each: -len(each[1]))[:MOST_KINDS]:
            tests = (name for name in (each.split("[")[0] for each in names) if name != shown.split("[")[0])
            where = f"first in {test}" if (test := next(tests, "")) else "the same check with other values"
            yield f"    {kind} ×{len(names)}, {where}"  # noqa: RUF001
        if more := max(0, len(kinds) - MOST_KINDS):
            yield f"    and {more} other kind{'s' * (more > 1)}"

    def pytest_unconfigure(self, config: pytest.Config) -> None:
        """Write what was tested."""
        terminal = config.pluginmanager.get_plugin("terminalreporter")
        if terminal and self.names:
            nothing = f"nothing was checked of stage {self.unchecked}; " if self.unchecked else ""
            terminal.write_line(f"{nothing}this was {' and '.join(sorted(self.names))}", red=bool(nothing))
