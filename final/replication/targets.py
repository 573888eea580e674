"""Connections to servers that take keys over, each kept for a while: the next task for that server finds it open.

Redis keeps them as well (`migrateGetSocket`), and blocks until the server has answered. Here the event loop goes on: a
`Target` is the conversation with such a server, and a `Task` what is to be said in it. It knows no data and no client.
"""

import errno
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

from ..protocol.errors import ReplyError
from ..protocol.writer import encode_request
from .outgoing import TIMED_OUT, Dial, Line

MOST = 64  # connections that are kept, and that work at once (MIGRATE_SOCKET_CACHE_ITEMS)
KEPT = 10_000  # milliseconds (MIGRATE_SOCKET_CACHE_TTL)
SLICE = 0.002  # seconds in which requests are made, before clients are served in between
LONGEST = 64 * 1024  # bytes of a reply: the replies to RESTORE are short
REFUSED = os.strerror(errno.ECONNREFUSED)


@dataclass(frozen=True)
class Address:
    """A server, and what a connection to it may do."""

    host: str
    port: int
    login: tuple[bytes, ...] = ()  # the arguments of AUTH; none: the connection does not authenticate


class Task(Protocol):
    """Requests for a server, and what becomes of their replies."""

    address: Address
    database: int
    timeout: int  # milliseconds in which the server has to accept the connection, or may be silent

    def requests(self) -> Iterator[bytes]:
        """Begin, and yield each request, encoded. Yield b"" between two steps that take time. May be called again."""

    def end(self, replies: list[bytes], failure: ReplyError | None = None) -> None:
        """Take the replies to the first requests, lines without CRLF, and an error: why there are not more of them."""


def refused_by_target(reply: bytes) -> ReplyError:
    """For an error with which the other server has answered: `reply` begins with `-`."""
    return ReplyError(f"ERR Target instance replied with error: {reply[1:].decode(errors='surrogateescape')}")


class Targets:
    """The connections that are kept, and the tasks that wait for one."""

    def __init__(self, dial: Dial) -> None:
        self.dial = dial
        self.idle: dict[Target, None] = {}  # the one that was used last is at the end
        self.working = 0  # how many are not idle
        self.waiting: deque[Task] = deque()

    def give(self, task: Task) -> None:
        """Have a task done, as soon as not too many others are under way."""
        self.waiting.append(task)
        self.begin_next()

    def begin_next(self) -> None:
        """Begin the task that has waited longest, if there is one, and if it need not wait."""
        if self.waiting and self.working < MOST:
            self.working += 1
            self.begin(self.waiting.popleft())

    def ended(self) -> None:
        """A task has ended."""
        self.working -= 1
        self.begin_next()

    def begin(self, task: Task) -> None:
        """Have a task done now, by a connection that is kept, or by a new one."""
        for target in reversed(self.idle):
            if target.address == task.address:
                del self.idle[target]
                target.begin(task)
                return
        self.open(task)

    def open(self, task: Task) -> None:
        """Have a task done by a new connection."""
        address = task.address
        self.dial(address.host, address.port, Target(self, task), task.timeout / 1000)

    def keep(self, target: "Target") -> None:
        """Keep a connection whose task is done."""
        self.idle[target] = None
        if len(self.idle) > MOST:
            next(iter(self.idle)).close()


class Target:
    """One connection (a `Conversation`): it logs in, selects the database, and sends what its task yields."""

    def __init__(self, targets: Targets, task: Task) -> None:
        self.targets = targets
        self.address = task.address
        self.task: Task | None = task  # None: it is kept
        self.line: Line | None = None  # None: it is not open yet
        self.reused = False
        self.logged_in = not task.address.login
        self.database = -1  # unknown
        self.preparing = 0  # how many replies come before those to the task's requests
        self.requests: Iterator[bytes] | None = None  # None: all are sent
        self.sent = 0
        self.replies: list[bytes] = []
        self.rest = b""  # of the bytes received: a reply that is not complete

    def opened(self, line: Line) -> None:
        """The server has accepted the connection."""
        self.line = line
        self.prepare()

    def begin(self, task: Task) -> None:
        """Do another task."""
        self.task, self.reused = task, True
        self.prepare()

    def prepare(self) -> None:
        """Log in and select the database, where that is not done yet. The task waits for the replies.

        Redis does not wait, so that keys get into another database if SELECT fails.
        """
        assert self.line is not None and self.task is not None
        requests = [] if self.logged_in else [[b"AUTH", *self.address.login]]
        if self.database != self.task.database:
            requests.append([b"SELECT", b"%d" % self.task.database])
        self.replies, self.preparing = [], len(requests)
        if requests:
            self.line.write(b"".join(map(encode_request, requests)))
            self.line.limit_silence(self.task.timeout)
        else:
            self.send()

    def send(self) -> None:
        """Begin to send the task's requests."""
        assert self.line is not None and self.task is not None
        self.line.limit_silence(0)  # the server has nothing to answer before a long request is complete
        self.replies, self.sent, self.requests = [], 0, self.task.requests()
        self.send_more()

    def send_more(self) -> None:
        """Send more of the task's requests, and the rest in later iterations of the event loop."""
        assert self.line is not None and self.task is not None and self.requests is not None
        deadline = perf_counter() + SLICE
        for request in self.requests:
            if request:
                self.line.write(request)
                self.sent += 1
            if perf_counter() >= deadline:
                self.line.again()
                return
        self.requests = None
        self.line.limit_silence(self.task.timeout)
        self.check()

    def received(self, data: bytes) -> None:
        """The server has sent replies: `+OK` or an error to each request. b"": it is time to send more requests."""
        *lines, self.rest = (self.rest + data).split(b"\r\n")
        self.replies += lines
        known = all(each == b"+OK" or each.startswith(b"-") for each in lines)
        if self.task is None or not known or len(self.replies) > self.expected or len(self.rest) > LONGEST:
            self.replies = []  # whatever it is that speaks here, nothing that it has said counts
            self.close(broken("reading"))
        elif self.preparing and len(self.replies) == self.preparing:
            self.prepared()
        elif self.requests is not None:
            self.send_more()
        else:
            self.check()

    @property
    def expected(self) -> int:
        """The number of replies to what was sent."""
        return self.preparing or self.sent

    def prepared(self) -> None:
        """The server has answered AUTH and SELECT: go on if it has accepted both."""
        assert self.task is not None
        refused = [each for each in self.replies if each != b"+OK"]
        if refused:
            self.close(refused_by_target(refused[0]))
            return
        self.preparing, self.logged_in, self.database = 0, True, self.task.database
        self.send()

    def check(self) -> None:
        """End the task if all its requests are sent and answered."""
        if self.task is not None and self.line is not None and len(self.replies) == self.sent and not self.preparing:
            task, self.task = self.task, None
            self.line.limit_silence(KEPT)
            self.targets.keep(self)
            task.end(self.replies)
            self.targets.ended()

    def close(self, failure: ReplyError | None = None) -> None:
        """Close the connection; if it has a task, end that with an error."""
        self.targets.idle.pop(self, None)
        if self.line is not None:
            self.line.close()
        task, self.task = self.task, None
        if task is not None:
            task.end([] if self.preparing else self.replies, failure)
            self.targets.ended()

    def closed(self, reason: str) -> None:
        """There is no connection, or no more: if the server has closed it while it was kept, open another one."""
        if self.task is not None and self.reused and not self.replies and reason != TIMED_OUT:
            task, self.task = self.task, None
            self.targets.open(task)
        elif self.line is None and reason != REFUSED:
            self.close(ReplyError("IOERR error or timeout connecting to the client"))
        else:
            self.close(broken("writing" if self.line is None or self.line.unsent else "reading"))


def broken(doing: str) -> ReplyError:
    """For a connection that breaks, or is silent for too long, in the middle of a task."""
    return ReplyError(f"IOERR error or timeout {doing} to target instance")
