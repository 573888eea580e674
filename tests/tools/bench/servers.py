"""Starts servers on free ports, sends requests to them, and reads their memory."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from stages.harness.course import LAST, ROOT
from stages.harness.server import Server
from stages.harness.target import Target, Unavailable, find, redis
from stages.harness.wire import Patience, Reply

FINAL, UVLOOP, REDIS, FAKE, FLOOR, STAGE = (
    *("final", "final, uvloop and hiredis", "redis-server", "fakeredis", "floor", "stage 05"),
)
FAKE_SERVER = "import sys, fakeredis; fakeredis.TcpFakeServer(('127.0.0.1', int(sys.argv[-1]))).serve_forever()"

ASK_VERSION = "import sys; print(*sys.version_info[:2])"  # that of an interpreter


def final(loop: str = "asyncio", parser: str = "python", interpreter: str = sys.executable) -> Target:
    """Return the target final/ with one of the event loops and one of the parsers, run by a Python."""
    command = (interpreter, "-m", "final", "--loop", loop, "--parser", parser)
    return Target("final", LAST, ROOT / "final", command=command)


def pythons() -> dict[str, str]:
    """Map `Python 3.11`, and each later version that is installed, to the path of its interpreter."""
    installed = [*Path.home().glob(".pyenv/versions/*/bin/python3"), *Path("/usr/bin").glob("python3.*")]
    found: dict[int, str] = {}
    for path in (Path(sys.executable), *installed):
        said = subprocess.run([path, "-c", ASK_VERSION], capture_output=True, text=True).stdout.split()
        if len(said) == 2 and int(said[1]) >= 11:
            found.setdefault(int(said[1]), str(path))
    return {f"Python 3.{minor}": found[minor] for minor in sorted(found)}


def python(name: str, *args: str) -> Target:
    """Return the target of a server in Python that takes no options."""
    return Target(name, LAST, command=(sys.executable, *args))


def targets() -> dict[str, Target]:
    """Map the name of each server that this machine has to its target."""
    found = {FINAL: final()}
    if importlib.util.find_spec("uvloop") and importlib.util.find_spec("hiredis"):
        found[UVLOOP] = final("uvloop", "hiredis")
    with suppress(Unavailable):
        found[REDIS] = redis()
    if importlib.util.find_spec("fakeredis"):
        found[FAKE] = python(FAKE, "-c", FAKE_SERVER)
    found[FLOOR] = python(FLOOR, str(Path(__file__).with_name("floor.py")))
    found[STAGE] = find("reference", 5, Path())
    return found


class Running:
    """A server that is running. `name` is its name in the rows."""

    def __init__(self, name: str, server: Server) -> None:
        self.name, self.server, self.port = name, server, server.port
        self.client = server.connect()

    def ask(self, *args: bytes | str | int) -> Reply:
        """Send a request; return the reply as a Python value."""
        return self.client.ask(*args)

    def info(self, section: str) -> dict[str, str]:
        """Return the fields of a section of INFO."""
        text = self.ask("INFO", section)
        assert isinstance(text, bytes)
        return dict(line.split(":", 1) for line in text.decode().splitlines() if ":" in line)

    @cached_property
    def pid(self) -> int:
        """Return the id of its process."""
        return int(self.info("server")["process_id"])

    def memory(self, field: str = "VmRSS") -> float:
        """Return its resident memory in bytes, now or (VmHWM) the maximum since its start; nan without /proc."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return float("nan")
        return int(re.findall(rf"{field}:\s+(\d+) kB", status)[0]) * 1024

    def forget_peak(self) -> None:
        """Let VmHWM begin again with the present memory."""
        with suppress(OSError):
            Path(f"/proc/{self.pid}/clear_refs").write_text("5")


@contextmanager
def running(names: Sequence[str], fsync: str = "", options: Sequence[str] = ()) -> Iterator[list[Running]]:
    """Run those of the servers that this machine has; with `fsync`, each has a log with this policy.

    `options` are for final and redis-server, which have the same options.
    """
    known = targets()
    with ExitStack() as stack:
        started = []
        for name in names:
            if name in known:
                started.append(stack.enter_context(one(name, known[name], fsync, options)))
        yield started


@contextmanager
def one(name: str, target: Target, fsync: str = "", options: Sequence[str] = ()) -> Iterator[Running]:
    """Run a server for the length of the block."""
    with TemporaryDirectory() as folder:
        data = Path(folder) if fsync else None
        more = options if target.is_final or target.is_redis else ()
        server = Server(target, Patience(60), Path(folder), data=data, appendfsync=fsync, options=more)
        try:
            server.await_ready()
            yield Running(name, server)
        finally:
            server.close()
