"""A server that tests share: each test gets it as it was when it started.

A test that ends early, by its time limit or by a failure, may leave changed options, paused clients or a password.
`clean` resets the server, and starts another one if that fails.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType

from stages.harness.sandbox import NoAnswer
from stages.harness.server import Server
from stages.harness.wire import request

FORGET = [  # these requests reset the server; none is answered with an error
    ["CLIENT", "UNPAUSE"],  # first, as the others would wait
    ["FLUSHALL"],
    ["SCRIPT", "FLUSH"],
    ["FUNCTION", "FLUSH"],
    ["SLOWLOG", "RESET"],
    ["CONFIG", "RESETSTAT"],
    ["ACL", "LOG", "RESET"],
    ["CLIENT", "KILL", "TYPE", "normal"],
    ["CLIENT", "KILL", "TYPE", "pubsub"],
]
OPTIONS, USERS = ["CONFIG", "GET", "*"], ["ACL", "LIST"]


class Shared:
    """A server for the length of a `with` block, started by `start`."""

    def __init__(self, start: Callable[[], AbstractContextManager[Server]]) -> None:
        self.start = start
        self.stack = ExitStack()

    def __enter__(self) -> Shared:
        """Start the server."""
        self.begin()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop the server."""
        self.stack.close()

    def begin(self) -> None:
        """Start a server, and read its options and users."""
        self.server = self.stack.enter_context(self.start())
        self.options = self.server.connect().ask(*OPTIONS)
        self.users = self.server.connect().ask(*USERS)
        assert self.is_clean()

    def clean(self) -> Server:
        """Return the server as it was at the start: without data, without clients, with its first options and users."""
        if not self.is_clean():
            self.stack.close()
            self.begin()
        return self.server

    def is_clean(self) -> bool:
        """Close all connections, delete all data; return whether the server has its first options and users."""
        try:
            while self.server.clients:
                self.server.clients.pop().close()
            client = self.server.connect()
            client.send(b"".join(request(*args) for args in FORGET))
            replies = [client.read_reply() for _ in FORGET]
            same = client.ask(*OPTIONS) == self.options and client.ask(*USERS) == self.users
            client.send(request("QUIT"))
            client.expect(b"+OK\r\n")
            client.expect_closed()  # so that the next client is the only one
        except (AssertionError, NoAnswer, OSError):
            return False
        return same and not [reply for reply in replies if reply.startswith(b"-")]
