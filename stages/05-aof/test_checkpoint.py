"""Checkpoint 05: what was answered is kept, whatever happens to the server; and it can be read by others."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stages.harness.checkpoint import SERVERS, Dice, Modules, step
from stages.harness.log import has_records, log_of, logged, records, same, settle
from stages.harness.server import Fsync, Server
from stages.harness.target import Target, redis
from stages.harness.wire import Client, Patience, request

Start = Callable[..., Server]
Written = Callable[[bytes], Path]

OK = b"+OK\r\n"
EVERY_BYTE = bytes(range(256))
RECORD = request("SET", "key", "hello")


def gives_up(server: Server, why: str) -> None:
    """The server ends by itself, and not as if all were well."""
    status = server.wait()
    if status is None:
        server.patience.lost()
        raise AssertionError(f"the server goes on, though {why}")
    if status == 0:
        raise AssertionError(f"the exit status is 0, as if all were well, though {why}")


@pytest.fixture
def server_options(tmp_path: Path) -> dict[str, Any]:
    """The server that the tests share keeps a log, and makes no fsync."""
    return {"data": tmp_path, "appendfsync": "no"}


@pytest.fixture
def log(server: Server) -> Path:
    """The log of the shared server."""
    assert server.data
    logged(server.data)
    return log_of(server.data)


@pytest.fixture
def written(log: Path, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Make folders like that of the shared server, but with a log that we have written."""

    def folder(data: bytes) -> Path:
        assert server.data
        copy = tmp_path_factory.mktemp("written") / "data"
        shutil.copytree(server.data, copy)
        log_of(copy).write_bytes(data)
        return copy

    return folder


@pytest.fixture
def redis_server(patience: Patience, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start a real Redis, with the log on."""
    servers: list[Server] = []

    def start(data: Path) -> Server:
        servers.append(Server(redis(), patience, tmp_path_factory.mktemp("redis"), data=data))
        servers[-1].await_ready()
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def modules(modules: Modules, target: Target) -> Modules:
    """Look into the target's modules; not into those of `final/`, which have grown out of the form they have here."""
    if target.is_final:
        pytest.skip("final/ has grown out of the form that its modules have here")
    return modules


# From a request to the file


@step(1)
@pytest.mark.read("Step 1: from a request to the file")
def test_append_only_collects_and_flush_writes(modules: Modules, tmp_path: Path) -> None:
    """`append` collects requests, and the next `flush` writes them to the file, once.

    The result is what was in the file after each step. The steps are append, append, flush, flush, append, flush.

    `append` only adds to `_waiting` what `encode` makes of the arguments.

    `flush` writes `_waiting` and removes from it what `write` says that it has written, until nothing is left.
    """
    one, two = [b"SET", b"key", b"two\r\nlines"], [b"DEL", b"key"]
    both = request(*one) + request(*two)
    modules.check(
        """
        from pathlib import Path
        from aof import Log

        log = Log(Path(path), "no")
        result = []
        for args in (one, two, None, None, one, None):
            log.append(args) if args else log.flush()
            result.append(Path(path).read_bytes())
        """,
        [b"", b"", both, both, both, both + request(*one)],
        path=str(tmp_path / "appendonly.aof"),
        one=one,
        two=two,
    )


@step(1)
@pytest.mark.read("Step 1: from a request to the file")
def test_flush_writes_the_rest_after_a_write_that_took_a_part(modules: Modules, tmp_path: Path) -> None:
    """`flush` goes on until everything is written, also if a write takes only a part; an OSError passes.

    `_file` is a file on a disk that is nearly full: a write takes at most 20 bytes, and the third one of all raises
    OSError. Then there is space again. The result is what the first `flush` raised, and what the file has got after
    the first and the second `flush`.

    `write` returns how many bytes it has written. Remove only these from `_waiting`, and write the rest. If it raises
    OSError, the rest stays in `_waiting`.
    """
    args = [b"SET", b"key", b"x" * 50]
    data = request(*args)
    modules.check(
        """
        from pathlib import Path
        from aof import Log

        class NearlyFull:
            data, writes = b"", 0

            def write(self, data):
                self.writes += 1
                if self.writes == 3:
                    raise OSError("no space left")
                self.data += data[:20]
                return len(data[:20])

        log = Log(Path(path), "no")
        log._file, log.sync = NearlyFull(), lambda: None
        log.append(args)
        try:
            log.flush()
            raised = None
        except OSError as error:
            raised = str(error)
        result = [raised, log._file.data]
        log.flush()
        result.append(log._file.data)
        """,
        ["no space left", data[:40], data],
        path=str(tmp_path / "appendonly.aof"),
        args=args,
    )


@step(1)
@pytest.mark.read("Step 1: from a request to the file")
def test_unsynced_is_set_after_the_write(modules: Modules, tmp_path: Path) -> None:
    """`flush` sets `_unsynced` to True after each write, and leaves it as it is if there is nothing to write.

    The result is `_unsynced` after a `flush` of nothing, of a request, and of another one, of which the disk takes only
    five bytes before it is full. During each write another thread calls `sync`, which sets `_unsynced` to False.

    Set `_unsynced` to True in the loop, below the write. Above it another thread may be faster.
    """
    modules.check(
        """
        from pathlib import Path
        from aof import Log

        class Overtaken:
            space = len(record) + 5

            def write(self, data):
                if not self.space:
                    raise OSError("no space left")
                log._unsynced = False  # as `sync` does in another thread; its fsync comes before this write
                written = min(len(data), self.space)
                self.space -= written
                return written

        log = Log(Path(path), "everysec")
        log._file, log.sync = Overtaken(), lambda: None
        result = []
        for args in (None, [b"DEL", b"key"], [b"DEL", b"key"]):
            if args:
                log.append(args)
            try:
                log.flush()
            except OSError:
                pass
            result.append(log._unsynced)
        """,
        [False, True, True],
        record=request("DEL", "key"),
        path=str(tmp_path / "appendonly.aof"),
    )


@step(1)
@pytest.mark.read("Step 1: from a request to the file")
def test_close_writes_what_is_left_and_closes_the_file(modules: Modules, tmp_path: Path) -> None:
    """`close` calls `flush`, then `sync` unless the policy is `no`, then closes the file; a log that was there is kept.

    The result has, for each policy: the file after `close`, whether it is still open, and whether `sync` was called.
    A function that only notes the call takes the place of `sync`.

    `close` calls `flush` first: it writes what was appended and not yet flushed.
    """
    modules.check(
        """
        import os
        from pathlib import Path
        from aof import Log

        result = {}
        for policy in ("no", "everysec", "always"):
            Path(path).write_bytes(before)
            log, calls = Log(Path(path), policy), []
            log.sync = lambda: calls.append("sync")
            log.append(args)
            log.close()
            opened = []
            for descriptor in range(64):
                try:
                    opened.append(os.path.samestat(os.fstat(descriptor), os.stat(path)))
                except OSError:
                    pass  # there is no such descriptor
            result[policy] = (Path(path).read_bytes(), any(opened), "sync" in calls)
        """,
        {policy: (RECORD * 2, False, policy != "no") for policy in ("no", "everysec", "always")},
        path=str(tmp_path / "appendonly.aof"),
        before=RECORD,
        args=[b"SET", b"key", b"hello"],
    )


# What is logged


@step(2)
@pytest.mark.until(6)
@pytest.mark.read("Step 2: what is logged")
def test_execute_appends_what_has_changed_something(modules: Modules) -> None:
    """`Server.execute` returns the reply of each request, and appends to the log those that have changed something.

    The log is a list here. The result is the replies, what was appended, and `db.changes`. The last request is executed
    without a log.

    Only the count of changes in the store tells: compare `self.db.changes` before and after the request.

    Is the count not right? Each command that has changed something calls `db.changed`, once. Count the call there, not
    the keys: FLUSHALL gives none.
    """
    lines = ["SET key -1", "GET key", "INCR key", "DEL missing", "HSET user f v", "HDEL user f", "EXISTS user"]
    lines += ["SET new v GET", "DEL key new", "FLUSHALL", "APPEND key x"]
    requests = [line.encode().split() for line in lines]
    replies = ["OK", b"-1", 0, 0, 1, 1, 0, None, 2, "OK", 1]
    modules.check(
        """
        from client import Client
        from server import Server

        server, client = Server(), Client(id=1)
        server.log = logged = []
        replies = []
        for args in requests:
            if args[0] == b"APPEND":
                server.log = None
            replies.append(server.execute(client, args))
        result = (replies, logged, server.db.changes)
        """,
        (replies, [requests[number] for number in (0, 2, 4, 5, 7, 8, 9)], 8),
        requests=requests,
    )


# The log before the reply


@step(3)
@pytest.mark.read("Step 3: first the log, then the replies")
def test_the_log_holds_the_requests_as_clients_send_them(client: Client, log: Path, rng: Dice) -> None:
    """The log holds the requests that have changed something, in their order, as a client sends them.

    Does a reply not come? `send_soon` calls `before_sleep` only if `unsent` is empty, so `before_sleep` has to empty
    it. Is the log not right? Start your server with `--dir data --appendonly yes`, send it the same, and look into
    `data/appendonly.aof`: it is what the clients have sent, without what they only asked.

    Is it empty? `data_received` executes requests with `self.server.execute`, which appends them; `before_sleep` calls
    `flush`.

    Append the arguments as they came, once for each request, after it was executed.
    """
    key, value = rng.key(), rng.randbytes(50)
    requests: list[list[bytes]] = [
        [b"SET", key, value],
        [b"APPEND", key, b""],
        [b"DEL", key],
        [b"INCRBY", key, b"41"],
        [b"INCR", key],
        [b"HSET", key + b"2", b"a", value, b"b", b""],
        [b"HDEL", key + b"2", b"a"],
        [b"FLUSHALL"],
        [b"SET", key, b"after"],
    ]
    for number, args in enumerate(requests):
        before = log.stat().st_size
        client.ask(*args)
        settle(client)
        has_records(log.read_bytes()[before:], [args], "This was added to the log, when the reply is there.")
        assert number or records(log.read_bytes())[-1] == args
    before = log.stat().st_size
    client.send(b"".join(request(*args) for args in requests))
    for _ in requests:
        client.read_reply()
    settle(client)
    has_records(log.read_bytes()[before:], requests, "This was added to the log, when all replies are there.")


UNCHANGED = [
    "GET string",
    "HGETALL hash",
    "EXISTS string hash",
    "PING",
    "DEL missing",
    "HDEL hash missing",
    "HDEL missing field",
    "SET string new NX",
    "SET missing new XX",
    "SET string new NX GET",
    "INCR string",
    "HSET string f v",
    "SET string",
    "SET string v NX XX",
]


@step(3)
@pytest.mark.read("Step 3: first the log, then the replies")
def test_what_changed_nothing_is_not_logged(client: Client, log: Path) -> None:
    """A request that has changed nothing is not in the log: reads, errors, the DEL of a missing key, and so on.

    The command does not decide, but what came of it: DEL may change something, or nothing.

    Compare the store's count of changes before and after a request; if it is the same there is nothing to log.
    """
    client.ask("FLUSHALL")
    client.check(request("SET", "string", "text"), OK)
    client.ask("HSET", "hash", "field", "value")
    for line in UNCHANGED:
        settle(client)
        before = log.stat().st_size
        client.ask(*line.split())
        client.check(request("SET", "last", "1"), OK)
        settle(client)
        has_records(
            log.read_bytes()[before:],
            [[b"SET", b"last", b"1"]],
            f"This was added to the log by {line}, then SET last 1.",
        )


@step(3)
@pytest.mark.read("Step 3: first the log, then the replies")
def test_the_log_has_the_order_in_which_requests_were_executed(
    connect: Callable[[], Client], log: Path, rng: Dice
) -> None:
    """When many clients write at the same moment, the log has their requests in the order of their execution.

    Does a reply not come? `before_sleep` sends to each in `unsent`: do not change that list while you go through it.
    Is the order another? All clients append to one string: what do the records in the log add up to, and what does GET
    answer?

    Requests that are executed in the same iteration of the event loop share one write. Is their order lost, in a
    list for each connection, in a set or in a dictionary?

    Append each request to the log right after it was executed, before the next one is.
    """
    key, clients = rng.key(), [connect() for _ in range(20)]
    before = log.stat().st_size
    for round_ in range(10):
        clients[0].send(b"STRLEN %b\r\n" % key * 500)  # while these are executed, what the others send arrives
        for number, client in enumerate(clients):
            client.send(b"".join(b"APPEND %b %d.%d.%d,\r\n" % (key, round_, number, part) for part in range(2)))
    for client in clients:
        for _ in range(20 + 5000 * (client is clients[0])):
            client.read_reply()
        settle(client)
    replayed = b"".join(text for _, _, text in records(log.read_bytes()[before:]))
    value = clients[0].ask("GET", key)
    assert isinstance(value, bytes)
    same(replayed, value, "What the records in the log add up to has to be the value that GET answers.")


@step(3)
@pytest.mark.read("Step 3: first the log, then the replies")
def test_no_reply_is_sent_before_the_log_has_the_change(
    start: Start, target: Target, tmp_path: Path, rng: Dice
) -> None:
    """When the log cannot be written, because the disk is full, no OK is sent, and the server ends.

    Here the file cannot grow beyond 1000 bytes: writing to it fails in the middle of a record. Either a client heard
    OK, or your server went on.

    First flush the log, then send the replies; if `flush` raises OSError, none of them may be sent.

    Collect the replies in `connection.output`, and send them in `before_sleep`, after `log.flush()`. If that fails,
    call `sys.exit` with the text that the docstring of `before_sleep` gives: a server that cannot keep its data
    should not go on, and has to say why.
    """
    policy = "no" if target.folder and not target.is_final else "always"  # with `no`, Redis goes on and tries again
    server = start(data=tmp_path, appendfsync=policy, file_size=1000)
    client = server.connect()
    client.send(request("SET", rng.key(), rng.key(rng.randrange(3000, 9000))))
    deadline = time.monotonic() + client.patience.seconds
    while not client.received and client.more(deadline):
        pass
    if client.received.startswith(b"+"):
        raise AssertionError(f"{client.received!r} was sent, and the log could not be written")
    gives_up(server, "the log could not be written")
    if target.folder and not target.is_final:  # others have their own text
        said = server.errors
        assert "cannot write the log: [Errno" in said, f"it does not say `cannot write the log: `, and why:\n{said}"
        assert "Traceback" not in said, f"it says why in a sentence, without a traceback. It said:\n{said}"


@step(3)
@pytest.mark.read("Step 3: first the log, then the replies")
def test_clients_share_the_flush(modules: Modules, tmp_path: Path) -> None:
    """The requests of all clients in one iteration of the event loop share one write to the log, before any reply.

    In one iteration three connections get a SET. The result is what was written then: to the log, or as a reply.

    `data_received` executes requests and collects their replies; it does not flush the log. `before_sleep` does, once
    for all: under `always` each flush costs an fsync.
    """
    record = request("SET", "key", "hello")
    modules.check(
        """
        import asyncio
        from pathlib import Path
        from aof import Log
        from server import Connection, Server

        class File:
            def write(self, data):
                result.append(("log", bytes(data)))
                return len(data)

        class Transport:
            def write(self, data):
                result.append(("reply", bytes(data)))

        async def one_iteration():
            for _ in range(3):
                connection = Connection(server)
                connection.transport = Transport()
                connection.data_received(data)

        result = []
        server = Server()
        log = Log(Path(path), "no")
        log._file = File()
        getattr(server, "engine", server).log = log  # a stage with an engine has the log there
        asyncio.run(one_iteration())
        """,
        [("log", record * 3), *[("reply", OK)] * 3],
        data=record,
        path=str(tmp_path / "appendonly.aof"),
    )


@step(3)
@pytest.mark.read("Step 3: first the log, then the replies")
def test_send_does_not_change_what_it_gave_to_the_transport(modules: Modules) -> None:
    """`Connection.send` writes `output` once, and does not change that bytearray after it.

    The transport keeps what it is given, as asyncio's does since Python 3.12 while the client does not read. The
    result is what it has when everything was sent.

    `output.clear()` also empties what the transport keeps. Give the bytearray away, and take a new one:
    `self.output = bytearray()`.
    """
    replies = [OK, b":1\r\n"]
    modules.check(
        """
        from server import Connection, Server

        class Transport:
            kept = []

            def write(self, data):
                self.kept.append(data)

            def is_closing(self):
                return False

        connection = Connection(Server())
        connection.transport = Transport()
        for reply in replies:
            connection.output += reply
            connection.send()
        result = [bytes(data) for data in Transport.kept]
        """,
        replies,
        replies=replies,
    )


@step(3)
@pytest.mark.not_redis("Redis lets the umask decide who can read its log")
@pytest.mark.read("Step 3: first the log, then the replies")
def test_only_the_owner_can_read_the_log(start: Start, tmp_path: Path, rng: Dice) -> None:
    """The log can be read and written by its owner only: it holds all clients' data.

    `ls -l appendonly.aof` shows who else can read it: it should begin with `-rw-------`.

    `open` creates a file that others can read. `os.open(path, flags, 0o600)` does not, and `_private` calls it.
    """
    server = start(data=tmp_path, appendfsync="no")  # its umask is 022
    client = server.connect()
    client.check(request("SET", rng.key(), "secret"), OK)
    settle(client)
    assert logged(tmp_path)
    mode = log_of(tmp_path).stat().st_mode & 0o777
    assert not mode & 0o077, f"the mode of {log_of(tmp_path).name} is {mode:o}: not only its owner can use it"


@step(3)
@pytest.mark.read("Step 3: first the log, then the replies")
def test_without_appendonly_no_log_is_read_or_written(start: Start, tmp_path: Path, rng: Dice) -> None:
    """With `--appendonly no` the server neither reads a log nor writes one, and one that is there stays as it is.

    Look into the folder after a run with `--appendonly no`. What is in it?

    Restore and open the log only if `options.appendonly == "yes"`; otherwise `server.log` stays None.
    """
    key = rng.key()
    kept = start(data=tmp_path, appendfsync="no")
    kept.connect().check(request("SET", key, "kept"), OK)
    assert kept.stop() == 0, "the exit status"
    before = logged(tmp_path)
    has_records(before, [[b"SET", key, b"kept"]], "This is the log of a run with --appendonly yes.")
    (empty := tmp_path / "empty").mkdir()
    for folder in (tmp_path, empty):
        server = start(options=["--dir", str(folder), "--appendonly", "no"])
        client = server.connect()
        client.check(request("GET", key), b"$-1\r\n")
        client.check(request("SET", key, "not kept"), OK)
        assert server.stop() == 0, "the exit status"
    same(logged(tmp_path), before, "This is the log of the run before, after one with --appendonly no.")
    assert not list(empty.iterdir()), "files after a run with --appendonly no"


@step(3)
@pytest.mark.read("Step 3: first the log, then the replies")
def test_who_is_leaving_gets_the_last_reply_first(connect: Callable[[], Client], log: Path, rng: Dice) -> None:
    """QUIT and a protocol error end the connection, after the replies that waited for the log.
    What was sent before is in the log; what was sent after is not executed.

    Does no reply come? After a protocol error, too, `data_received` has to call `send_soon` at its end: not in the
    loop, and not in the `try`. Is a reply missing, or is the connection closed too early or never? `send` writes
    `output`, and then closes the transport of a client that is `leaving`.

    The connection cannot be closed where the request is executed: its reply has not been sent yet.

    Is a request executed that came after QUIT? Look at `client.leaving` before you take the next one.
    """
    key = rng.key()
    for before in (b"", request("SET", key, "1")):
        for last, reply in (
            (request("QUIT"), OK),
            (b"*x\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
        ):
            size, client = log.stat().st_size, connect()
            client.check(before + last + request("SET", key, "never"), (OK if before else b"") + reply)
            client.expect_closed()
            settle(connect())
            kept = [[b"SET", key, b"1"]] if before else []
            has_records(log.read_bytes()[size:], kept, "This was added to the log.", client.sent)


@pytest.mark.carried
@pytest.mark.read("Step 3: first the log, then the replies")
def test_a_client_that_reads_slowly_holds_up_nobody(connect: Callable[[], Client], rng: Dice) -> None:
    """A client asks for sixteen megabytes and does not read them yet: the others are answered, then it gets all.

    Is there a BufferError in the output? Since Python 3.12 the transport keeps what it could not send yet without
    a copy, so `output.clear()` after `write(output)` is refused. After that the others are not answered any more,
    or the client gets its replies a second time.

    Give the bytearray away and take a new one: `self.output = bytearray()`.
    """
    slow, other = connect(), connect()
    key, value = rng.key(), rng.randbytes(1 << 20)
    other.check(request("SET", key, value), OK)
    slow.send(request("GET", key) * 16)
    for number in range(5):
        other.check(request("SET", key + b"2", number), OK)
        settle(connect())
    slow.expect((b"$1048576\r\n%b\r\n" % value) * 16)
    slow.check(request("DEL", key), b":1\r\n")  # and nothing a second time


# Reading the log


DAMAGED = [
    RECORD.replace(b"*", b"x"),
    RECORD.replace(b"$", b"x", 1),
    RECORD.replace(b"$5", b"$4"),
    RECORD.replace(b"SET", b"S\xc5T"),  # one bit has changed: a command that does not exist
    bytes(len(RECORD)),  # what a file system may leave after a power failure
]


@step(4)
@pytest.mark.read("Step 4: read the log")
def test_each_request_is_read_with_the_offsets_of_its_start_and_end(
    modules: Modules, rng: Dice, tmp_path: Path
) -> None:
    """`read_requests` yields each request of a log, with the offsets of its start and its end, in bytes.

    The first request starts at 0, the next one where that ends.

    `encode(args)` is what the request looks like in the file: its length is what you add to the offset.
    """
    requests = [[b"SET", rng.key(), b"*1\r\n$4\r\nPING\r\n"], [b"APPEND", b"", EVERY_BYTE * 5], [b"FLUSHALL"]]
    found, end = [], 0
    for args in requests * 2:
        found.append((end, end + len(request(*args)), args))
        end += len(request(*args))
    modules.check(
        """
        from pathlib import Path
        from aof import read_requests

        Path(path).write_bytes(data)
        result = [tuple(each) for each in read_requests(Path(path))]
        """,
        found,
        data=b"".join(request(*args) for args in requests * 2),
        path=str(tmp_path / "appendonly.aof"),
    )


@step(4)
@pytest.mark.read("Step 4: read the log")
def test_every_byte_may_be_the_last(modules: Modules, rng: Dice, tmp_path: Path) -> None:
    """`read_requests` yields the complete requests of a log, wherever it was cut off, and nothing for the rest.

    The result has, for each number of bytes that are left of the log, the number of requests and the end of the last.

    The reader returns None when it needs more bytes. In a file no more will come.
    """
    requests = [[b"SET", rng.key(), b"two\r\nlines"], [b"DEL", b"\r\n"], [b"SET", rng.key(), b""]]
    ends = [0]
    for args in requests:
        ends.append(ends[-1] + len(request(*args)))
    complete = [max(end for end in ends if end <= size) for size in range(ends[-1] + 1)]
    modules.check(
        """
        from pathlib import Path
        from aof import read_requests

        result = []
        for size in range(len(data) + 1):
            Path(path).write_bytes(data[:size])
            ends = [end for _, end, _ in read_requests(Path(path))]
            result.append((len(ends), max(ends, default=0)))
        """,
        [(ends.index(end), end) for end in complete],
        data=b"".join(request(*args) for args in requests),
        path=str(tmp_path / "appendonly.aof"),
    )


@step(4)
@pytest.mark.read("Step 4: read the log")
def test_damage_is_reported_with_the_offset_of_the_request(modules: Modules, tmp_path: Path) -> None:
    r"""`read_requests` raises CorruptLog for bytes that no server writes, with the offset of the request.

    The result lists the damaged logs that were accepted, or whose error names another offset.

    Is it something that does not begin with `*` and a digit from 1 to 9, at the end of the file, too? No request begins
    so. Look at these two bytes before you ask the reader: it would wait for more, or skip them.

    The reader accepts more than a server writes. After it has returned a request, compare: `encode(args)` is what
    must be at this offset of the file. So nothing in between is skipped, such as `*0\r\n` or an empty line.
    """
    after, ends = request("SET", "key", "after"), (b"xyz", b"*x", b"*0\r\n", b"*-1\r\n")
    damaged = [(record, after) for record in (*DAMAGED, b"*0\r\n", b"\r\n", b"PING\r\n") if b"S\xc5T" not in record]
    modules.check(
        """
        from pathlib import Path
        from aof import CorruptLog, read_requests

        result = []
        for whole in (0, 1, 7):
            for bad, rest in damaged:
                Path(path).write_bytes(record * whole + bad + rest)
                try:
                    result.append((bad, list(read_requests(Path(path)))))
                except CorruptLog as error:
                    if f"at byte {len(record) * whole}:" not in str(error):
                        result.append((bad, str(error).replace(path, "…")))
        """,
        [],
        record=RECORD,
        damaged=[*damaged, *((end, b"") for end in ends)],
        path=str(tmp_path / "appendonly.aof"),
    )


@step(4)
@pytest.mark.read("Step 4: read the log")
def test_twice_as_many_requests_take_twice_as_long(modules: Modules, tmp_path: Path) -> None:
    """`read_requests` takes a fraction of a second for fifty thousand requests of 200 bytes.

    Yours took seconds: something is done for each request with all that follows it. `data[start:]` copies all that.

    `data.startswith(prefix, start)` looks at one place without a copy, and `data[start : start + 2]` copies two bytes.
    """
    count, record = 50_000, request("SET", "key", "x" * 200)
    modules.check(
        """
        from pathlib import Path
        from aof import read_requests

        Path(path).write_bytes(record * count)
        result = 0
        for start, end, args in read_requests(Path(path)):
            result += 1
        """,
        count,
        seconds=8,
        count=count,
        record=record,
        path=str(tmp_path / "appendonly.aof"),
    )


# What was answered is kept


@step(5)
@pytest.mark.read("Step 5: restore the data")
def test_restore_replays_each_request_and_cuts_off_half_a_request(modules: Modules, tmp_path: Path) -> None:
    """`restore` calls `replay` for each request, cuts off half a request, and says how much and where.

    The result has, for each log: the requests that were replayed; the size of the file after it; for each line that
    was printed to standard error, whether it has the path, and the numbers in it without the path.

    Remember the end of the last complete request: the file is cut off there, with `os.truncate`.

    A log that has only half a request is cut off at byte 0. One that is complete needs no message.
    """
    size = len(RECORD)
    modules.check(
        """
        import contextlib, io, re
        from pathlib import Path
        from aof import restore

        result = []
        for log in logs:
            Path(path).write_bytes(log)
            replayed = []
            with contextlib.redirect_stderr(io.StringIO()) as said:
                restore(Path(path), replayed.append)
            lines = []
            for line in said.getvalue().splitlines():
                numbers = re.findall(r"\\b[0-9]+", line.replace(path, ""))
                lines.append((path in line, sorted(map(int, numbers))))
            result.append((replayed, Path(path).stat().st_size, lines))
        """,
        [
            ([[b"SET", b"key", b"hello"]] * count, size * count, [(True, sorted([torn, size * count]))] if torn else [])
            for count, torn in ((0, 0), (2, 0), (0, 5), (2, size - 1))
        ],
        logs=[b"", RECORD * 2, RECORD[:5], RECORD * 2 + RECORD[:-1]],
        path=str(tmp_path / "appendonly.aof"),
    )


@step(5)
@pytest.mark.read("Step 5: restore the data")
def test_an_error_during_the_replay_is_damage(modules: Modules, tmp_path: Path) -> None:
    """`restore` raises CorruptLog if a replayed request is answered with an error, and leaves the file as it is.

    The result has, for a known command and for a damaged name, which is no UTF-8: the message up to the offset,
    whether it names the command and the reply, and whether the file is as it was. The log ends in half a request.

    A request was logged because it has succeeded. If it fails now, the data is not what it was then.

    `replay` returns the reply. If it is an exception, raise CorruptLog with the start of this request. `repr` shows any
    name; `decode()` raises UnicodeDecodeError for some, `decode(errors="surrogateescape")` for none.
    """
    modules.check(
        """
        import re
        from pathlib import Path
        from aof import CorruptLog, restore

        result = []
        for log, named in logs:
            Path(path).write_bytes(log)
            try:
                restore(Path(path), lambda args: "OK" if args[0] == b"SET" else ValueError("ERR no number"))
                place, found = "no error", []
            except CorruptLog as error:
                place = str(error).partition(" is damaged ")[2].partition(":")[0]
                found = [re.search(rf"\\b{each}\\b", str(error)) is not None for each in named]
            result.append((place, found, Path(path).read_bytes() == log))
        """,
        [(f"at byte {len(RECORD)}", [True, True], True)] * 2,
        logs=[
            (RECORD + request("INCR", "key") + RECORD[:-1], ["INCR", "ERR no number"]),
            (RECORD + request(b"S\xc5T", "key", "x") + RECORD[:-1], [r"S\\(xc5|udcc5)T", "ERR no number"]),
        ],
        path=str(tmp_path / "appendonly.aof"),
    )


KEPT: list[
    tuple[list[str], str, object]
] = [  # what is written; a question after the restart, and its answer. KEY and VALUE are random
    (["SET KEY VALUE"], "GET KEY", b"VALUE"),
    (["SET KEY first", "SET KEY VALUE"], "GET KEY", b"VALUE"),
    (["SET KEY VALUE", "SET KEY second NX"], "GET KEY", b"VALUE"),
    (["SET KEY first", "SET KEY VALUE XX GET"], "GET KEY", b"VALUE"),
    (["APPEND KEY one", "APPEND KEY VALUE"], "GET KEY", b"oneVALUE"),
    (["SET KEY VALUE", "DEL KEY"], "EXISTS KEY", 0),
    (["INCR KEY", "INCRBY KEY 41", "DECR KEY", "DECRBY KEY 2", "INCR KEY"], "GET KEY", b"40"),
    (["HSET KEY name VALUE age 30", "HSET KEY age 31"], "HGETALL KEY", {b"name": b"VALUE", b"age": b"31"}),
    (["HSET KEY name VALUE age 30", "HDEL KEY age"], "HGETALL KEY", {b"name": b"VALUE"}),
    (["HSET KEY name VALUE", "HDEL KEY name"], "TYPE KEY", "none"),
    (["HSET KEY name VALUE", "SET KEY VALUE"], "GET KEY", b"VALUE"),
    (["SET KEY VALUE GET"], "GET KEY", b"VALUE"),
    (["SET KEY VALUE NX GET"], "GET KEY", b"VALUE"),
    (["SET KEY -1", "INCR KEY"], "GET KEY", b"0"),
    (["SET KEY 41", "DECRBY KEY 41"], "GET KEY", b"0"),
    (["APPEND KEY ''"], "TYPE KEY", "string"),
]


@step(5)
@pytest.mark.read("Step 5: restore the data")
def test_data_survives_kill_9(start: Start, tmp_path: Path, rng: Dice) -> None:
    """After `kill -9` and a new start, all that was answered is there: strings, counters, hashes, any bytes.

    Try it: start with `--appendonly yes`, SET something, `kill -9`, look at appendonly.aof, start again, GET.

    Is a write missing in the file? Each request that has changed something is appended to it, as RESP, and written
    before the reply. What waits in a buffer of your own process is lost with the process.

    Is it in the file, but not there after the start? `restore` calls `replay` for each request in the file.

    Is it another value? A log is not a text file: values have line ends in them, and what looks like a request. The
    lengths say where an argument ends.

    Is only a request missing whose answer is 0 or null? The answer does not say whether something has changed:
    INCR may come to 0, and SET with GET answers null for a new key. Look at `db.changes`.
    """
    names = [
        (rng.key(), rng.key() + b"\r\n*1\r\n$8\r\nFLUSHALL\r\n" + bytes(rng.sample(EVERY_BYTE, 256))) for _ in KEPT
    ]
    large = rng.randbytes(1_000_000)

    def filled(text: bytes, names: tuple[bytes, bytes]) -> bytes:
        return text.replace(b"KEY", names[0]).replace(b"VALUE", names[1])

    first = start(data=tmp_path, appendfsync="no")
    client = first.connect()
    for (lines, *_), own in zip(KEPT, names, strict=True):
        for line in lines:
            client.ask(*(b"" if arg == "''" else filled(arg.encode(), own) for arg in line.split()))
    client.check(request("SET", "", large), OK)
    settle(client)
    first.kill()
    client = start(data=tmp_path, appendfsync="no").connect()
    client.ask("HELLO", 3)  # hashes as maps, for their fields come in any order
    for (lines, question, answer), own in zip(KEPT, names, strict=True):
        reply = client.ask(*(filled(arg.encode(), own) for arg in question.split()))
        expected = (
            {field: filled(value, own) for field, value in answer.items()} if isinstance(answer, dict) else answer
        )
        expected = filled(answer, own) if isinstance(answer, bytes) else expected
        assert reply == expected, f"{question}, after {lines}"
    assert client.ask("GET", "") == large, "a value of a million bytes, with the empty key"


@step(5)
@pytest.mark.read("Step 5: restore the data")
def test_a_clean_stop_keeps_everything(start: Start, written: Written, rng: Dice) -> None:
    """On SIGTERM the server ends with status 0, and the log has what clients have written, after what was there.

    Does each run of the server begin a new log? Then the data of the run before is lost.

    Open the file to append (`"ab"`), never to write (`"wb"`), which empties it.

    At the end `main` calls `log.close()`, and returns.
    """
    keys = [rng.key() for _ in range(50)]
    before = request("SET", keys[0], "from the run before") + request("SET", keys[1], "x")
    folder = written(before)
    server = start(data=folder, appendfsync="no")
    client = server.connect()
    client.check(request("DEL", keys[1]), b":1\r\n")
    client.check(b"".join(request("SET", key, key) for key in keys), OK * len(keys))
    assert server.stop() == 0, "the exit status"
    log = logged(folder)
    same(log[: len(before)], before, "This is the beginning of the log: that of the run before.")
    told = [[b"DEL", keys[1]], *([b"SET", key, key] for key in keys)]
    end = b"".join(request(*args) for args in records(log)[-len(told) :])
    has_records(end, told, "This is the end of the log.")


@step(5)
@pytest.mark.read("Step 5: restore the data")
def test_replaying_adds_nothing_to_the_log(start: Start, written: Written, rng: Dice) -> None:
    """A start reads the log and does not write to it: after it the log is as long as before, and INCR counts right.

    Does a counter grow with each start? Then the replay of INCR was itself appended to the log.

    The requests of the log are executed by `Server.replay`, which appends nothing, not by `Server.execute`.
    """
    key = rng.key()
    data = request("SET", key, 7) + request("INCR", key) * 5 + request("HSET", key + b"2", "f", "v")
    folder = written(data)
    server = start(data=folder, appendfsync="no")
    assert server.connect().ask("GET", key) == b"12", "SET to 7, then INCR five times"
    assert server.stop() == 0, "the exit status"
    same(logged(folder), data, "This is the log after a start and a stop.")


@step(5)
@pytest.mark.read("Step 5: restore the data")
def test_a_torn_log_recovers_to_its_last_complete_record(start: Start, written: Written, rng: Dice) -> None:
    r"""A log that ends within a record, at whatever byte, is cut off there, and the server says where.

    The machine lost power while the last record was being written. What does your server make of half a
    request at the end: an error, a wrong value, a command too many?

    `read_requests` yields only complete requests. Remember the end of the last one.

    Truncate the file to that number of bytes with `os.truncate`: otherwise the next record is appended to half a
    record. And print a line that names the offset.
    """
    key, value, new = rng.key(), rng.key(rng.randrange(3000, 9000)), rng.key()
    good = request("SET", key, value) + request("SET", b"\r\n", value)
    last = request("DEL", b"\r\n")
    cuts = {1, len(last) - 2, len(last) - 1, *rng.sample(range(2, len(last) - 2), 3)}
    folders = {cut: written(good + last[:cut]) for cut in sorted(cuts)}
    servers = {cut: start(data=folder, appendfsync="no", ready=False) for cut, folder in folders.items()}
    for cut, server in servers.items():
        torn = f"the log's last record was torn: {last[:cut]!r}"
        server.await_ready()
        client = server.connect()
        assert client.ask("GET", b"\r\n") == value, torn
        assert client.ask("SET", key, new) == "OK", torn
        settle(client)
        client.close()
        server.kill()
        log = logged(folders[cut])
        same(log[: len(good)], good, f"This is the beginning of the log; {torn}")
        has_records(log[len(good) :], [[b"SET", key, new]], f"This is the end of the log; {torn}")
        said = server.output + server.errors
        assert re.search(rf"\b{len(good)}\b", said), f"{torn} Say that it was cut at byte {len(good)}"


@step(5)
@pytest.mark.read("Step 5: restore the data")
def test_a_damaged_log_stops_the_start(start: Start, written: Written, rng: Dice) -> None:
    """When a part of the log is no request, the server does not start, and leaves the file as it is.

    A torn end is normal after a crash. A damaged middle is not: good records follow it. A server that goes on, or
    cuts there, loses them, and nobody was asked.

    End with a status that is not 0 and a message that names the file: a sentence, not a traceback.

    All of these are damage: other bytes where a `*` or a `$` should be, a length that does not lead to the next
    CRLF, a command that does not exist (an error as the answer to a replayed request), a request of 0 arguments.
    """
    value = rng.key(rng.randrange(3000, 9000))
    before, after = request("SET", "before", value), request("SET", "after", value)
    damages = [*(damaged + after for damaged in DAMAGED), b"*0\r\n"]
    logs = [before + damaged for damaged in damages]
    folders = [written(log) for log in logs]
    servers = [start(data=folder, appendfsync="no", ready=False) for folder in folders]
    for damaged, log, folder, server in zip(damages, logs, folders, servers, strict=True):
        where = f"behind the first request of the log is {damaged.removesuffix(after)!r}"
        gives_up(server, where)
        same(logged(folder), log, f"The file has been changed; {where}")
        said = server.output + server.errors
        assert "appendonly.aof" in said, f"{where}; the message names the file. It was:\n{said}"
        assert "Traceback" not in said, f"{where}; the message is a sentence. It was:\n{said}"


@step(5)
@pytest.mark.not_redis("Redis names the file only; for the offset one asks redis-check-aof")
@pytest.mark.read("Step 5: restore the data")
def test_the_message_says_where_the_damage_is(start: Start, written: Written, rng: Dice) -> None:
    """The message about a damaged log gives the offset of the record that is damaged, in bytes.

    With the offset one can look there (`tail -c +$((OFFSET + 1)) appendonly.aof`), fix it, or cut there.

    `read_requests` yields the offset at which each request starts: CorruptLog takes it.
    """
    before = request("SET", "before", rng.key(rng.randrange(3000, 9000)))
    damaged = rng.choice(DAMAGED)
    folder = written(before + damaged + request("SET", "after", "value") * 10)
    server = start(data=folder, appendfsync="no", ready=False)
    gives_up(server, f"at byte {len(before)} of the log is {damaged!r}")
    said = (server.output + server.errors).replace(str(folder), "")
    places = range(len(before), len(before) + len(damaged) + 1)
    numbers = [int(number) for number in re.findall(r"\b\d+\b", said)]
    assert any(number in places for number in numbers), f"the damage is at byte {len(before)}. The message:\n{said}"


FROM_REDIS = (  # written by redis-server 7.0.15, measured
    b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n"
    b"*3\r\n$3\r\nSET\r\n$4\r\nname\r\n$5\r\nAlice\r\n"
    b"*4\r\n$4\r\nHSET\r\n$5\r\nempty\r\n$1\r\nf\r\n$1\r\nv\r\n"
    b"*1\r\n$8\r\nFLUSHALL\r\n"
    b"*3\r\n$3\r\nSET\r\n$4\r\ntext\r\n$12\r\ntwo\r\nlines\x00\xff\r\n"
    b"*3\r\n$3\r\nSET\r\n$5\r\ncount\r\n$1\r\n1\r\n"
    b"*2\r\n$4\r\nINCR\r\n$5\r\ncount\r\n"
    b"*3\r\n$6\r\nINCRBY\r\n$5\r\ncount\r\n$2\r\n41\r\n"
    b"*3\r\n$6\r\nDECRBY\r\n$5\r\ncount\r\n$1\r\n2\r\n"
    b"*2\r\n$4\r\nDECR\r\n$5\r\ncount\r\n"
    b"*4\r\n$3\r\nset\r\n$4\r\ntext\r\n$1\r\n!\r\n$2\r\nxx\r\n"
    b"*4\r\n$3\r\nSET\r\n$5\r\nother\r\n$1\r\n1\r\n$2\r\nNX\r\n"
    b"*3\r\n$6\r\nAPPEND\r\n$4\r\ntext\r\n$6\r\n\r\n*1\r\n\r\n"
    b"*6\r\n$4\r\nHSET\r\n$4\r\nuser\r\n$4\r\nname\r\n$5\r\nCarol\r\n$3\r\nage\r\n$2\r\n30\r\n"
    b"*4\r\n$4\r\nHSET\r\n$4\r\nuser\r\n$3\r\nage\r\n$2\r\n31\r\n"
    b"*3\r\n$4\r\nhdel\r\n$4\r\nuser\r\n$4\r\nname\r\n"
    b"*4\r\n$4\r\nHSET\r\n$4\r\ngone\r\n$1\r\nf\r\n$1\r\nv\r\n"
    b"*3\r\n$4\r\nHDEL\r\n$4\r\ngone\r\n$1\r\nf\r\n"
    b"*3\r\n$3\r\nSET\r\n$3\r\nold\r\n$1\r\nx\r\n"
    b"*3\r\n$3\r\nDEL\r\n$3\r\nold\r\n$5\r\nolder\r\n"
)


def holds_what_redis_wrote(client: Client) -> None:
    """The data is what FROM_REDIS comes to."""
    assert client.ask("GET", "count") == b"40", "INCR, INCRBY, DECRBY and DECR"
    assert client.ask("GET", "text") == b"!\r\n*1\r\n", "set … xx and APPEND"
    assert client.ask("GET", "other") == b"1", "SET … NX"
    assert client.ask("HGETALL", "user") == [b"age", b"31"], "HSET and hdel"
    assert client.ask("DBSIZE") == 4, "FLUSHALL, DEL and the HDEL of a last field have removed the others"


@step(5)
@pytest.mark.read("Step 5: restore the data")
def test_a_log_that_redis_wrote_is_loaded(start: Start, written: Written) -> None:
    """A log that a real Redis has written with these commands is loaded.

    It begins with `SELECT 0`, has `set` in small letters where a client sent it so, and options.

    The records are executed like requests of a client, so nothing has to be written for it, if the commands accept
    all that they accept from a client.
    """
    holds_what_redis_wrote(start(data=written(FROM_REDIS), appendfsync="no").connect())


@step(5)
@pytest.mark.needs("redis-server")
@pytest.mark.read("Redis reads it, and the other way round")
def test_a_log_that_redis_writes_now_is_loaded(
    start: Start, written: Written, redis_server: Start, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The log of the redis-server that is installed here is loaded as well.

    Run `redis-server --appendonly yes --dir D`, write something, and look into D/appendonlydir.
    """
    folder = tmp_path_factory.mktemp("of-redis")
    real = redis_server(folder)
    client = real.connect()
    for args in records(FROM_REDIS):
        client.ask(*args)
    real.stop()
    holds_what_redis_wrote(start(data=written(logged(folder)), appendfsync="no").connect())


@step(5)
@pytest.mark.needs("redis-server")
@pytest.mark.read("Redis reads it, and the other way round")
def test_a_real_redis_takes_over(
    client: Client, log: Path, server: Server, redis_server: Start, rng: Dice, tmp_path: Path
) -> None:
    """A real `redis-server --appendonly yes`, started on a copy of your folder, has your data.

    Try it, on a copy: Redis moves `appendonly.aof` into a folder `appendonlydir`.

    Redis stops at what it does not understand, and says so in its output: an array of bulk strings for each
    record, nothing between them, and only commands that Redis knows.
    """
    client.ask("FLUSHALL")
    for args in records(FROM_REDIS):
        client.ask(*args)
    value = rng.randbytes(1000)
    client.check(request("SET", "random", value), OK)
    settle(client)
    assert server.data
    copy = shutil.copytree(server.data, tmp_path / "copy-for-redis")
    real = redis_server(copy).connect()
    assert real.ask("GET", "random") == value
    real.check(request("DEL", "random"), b":1\r\n")
    holds_what_redis_wrote(real)


# When it is on the disk


class Counted:
    """Servers whose fsyncs are counted, one for each policy, and `slow`, under everysec: its fsyncs take a second.

    What they have made before they begin counts for nothing.
    """

    def __init__(self, target: Target, patience: Patience, folder: Path) -> None:
        self.servers: dict[str, Server] = {}
        self.asked = 0.0
        for name in ("always", "everysec", "no", "slow"):
            (data := folder / name).mkdir()
            how: dict[str, Any] = {"data": data, "appendfsync": name, "counting": True}
            how |= {"appendfsync": "everysec", "fsync_delay": 0.5} if name == "slow" else {}
            self.servers[name] = Server(target, patience, folder, **how)

    @property
    def running(self) -> bool:
        """Whether they have begun and are still there."""
        return self.asked > 0 and all(server.alive for server in self.servers.values())

    def begin(self) -> None:
        """Write something to each."""
        for server in self.servers.values():
            server.await_ready()
            server.connect().ask("PING")
        self.before = {name: len(server.fsyncs()) for name, server in self.servers.items()}
        self.asked = time.monotonic()
        for server in self.servers.values():
            server.connect().check(request("SET", "first", "1"), OK)

    def fsyncs(self, policy: str) -> list[Fsync]:
        """The fsyncs since the first write."""
        return self.servers[policy].fsyncs()[self.before[policy] :]

    def close(self) -> None:
        """End the servers."""
        for server in self.servers.values():
            server.close()


@pytest.fixture(scope="module")
def held() -> Iterator[list[Counted]]:
    """Hold the servers of `counted` while the tests of this file run."""
    counted: list[Counted] = []
    yield counted
    for servers in counted:
        servers.close()


@pytest.fixture
def counted(
    request: pytest.FixtureRequest,
    held: list[Counted],
    target: Target,
    patience: Patience,
    tmp_path_factory: pytest.TempPathFactory,
) -> Counted:
    """Give the servers, started when they are first needed."""
    if held and not held[0].running:
        held.pop().close()
    if not held:
        held.append(Counted(target, patience, tmp_path_factory.mktemp("counted")))
    servers = request.node.stash[SERVERS] = list(held[0].servers.values())
    if not held[0].running:
        held[0].begin()
    for server in servers:
        for client in server.clients:
            client.close()
        server.begin_test()
    return held[0]


@step(6)
@pytest.mark.read("Step 6: when it is on the disk")
def test_sync_makes_an_fsync_only_after_a_write(modules: Modules, tmp_path: Path) -> None:
    """`sync` makes an fsync if something was written since the last one; `flush` calls it only under `always`.

    The result is the number of fsyncs so far, for each policy, after each step. The steps are append, flush, sync, sync
    again, append and close. At the end it is what `sync` raises if `os.fsync` raises OSError: the disk has failed.

    A second `sync` with nothing written in between has nothing to do: `_unsynced` remembers that.

    `close` calls `sync` unless the policy is `no`.

    Is only the last part wrong? Let the OSError pass: whoever calls `sync` ends the server.
    """
    modules.check(
        """
        import os
        from pathlib import Path
        from aof import Log

        result = {}
        for policy in ("always", "everysec", "no"):
            fsyncs = []
            os.fsync = os.fdatasync = fsyncs.append
            log = Log(Path(path) / policy, policy)
            counts = result[policy] = []
            for steps in ([log.append], [log.flush], [log.sync], [log.sync], [log.append, log.close]):
                for step in steps:
                    step(args) if step == log.append else step()
                counts.append(len(fsyncs))

        def failing(descriptor):
            raise OSError("the disk has failed")

        os.fsync = os.fdatasync = failing
        log = Log(Path(path) / "failing", "everysec")
        log.append(args)
        log.flush()
        try:
            log.sync()
            result["raised"] = None
        except OSError as error:
            result["raised"] = str(error)
        """,
        {
            "always": [0, 1, 1, 1, 2],
            "everysec": [0, 0, 1, 1, 2],
            "no": [0, 0, 1, 1, 1],
            "raised": "the disk has failed",
        },
        path=str(tmp_path),
        args=[b"SET", b"key", b"hello"],
    )


@step(6)
@pytest.mark.read("Step 6: when it is on the disk")
def test_a_write_during_an_fsync_is_remembered(modules: Modules, tmp_path: Path) -> None:
    """What `flush` writes while `sync` is inside fsync gets another fsync from the next `sync`.

    Here the first fsync itself appends and flushes, as the event loop may do while a thread is in fsync. The result is
    the number of fsyncs after the first, the second and the third `sync`.

    What does `_unsynced` say when the fsync returns? The write has set it to True. Did you set it to False after that?

    Set `_unsynced` to False first, then call `os.fsync`.
    """
    modules.check(
        """
        import os
        from pathlib import Path
        from aof import Log

        fsyncs = []

        def slow_fsync(descriptor):
            fsyncs.append(descriptor)
            if len(fsyncs) == 1:
                log.append(args)
                log.flush()

        os.fsync = os.fdatasync = slow_fsync
        log = Log(Path(path), "everysec")
        log.append(args)
        log.flush()
        result = []
        for _ in range(3):
            log.sync()
            result.append(len(fsyncs))
        """,
        [1, 2, 2],
        path=str(tmp_path / "appendonly.aof"),
        args=[b"SET", b"key", b"hello"],
    )


def is_logged(value: bytes, server: Server) -> bool:
    """Return whether a value is in the log now; on Redis, soon: there a write waits while an fsync is under way."""
    assert server.data
    deadline = time.monotonic() + (10 if server.target.is_redis else 0)
    while value not in (log := logged(server.data)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return value in log


@step(6)
@pytest.mark.read("Step 6: when it is on the disk")
def test_only_always_lets_a_reply_wait_for_the_disk(counted: Counted, rng: Dice) -> None:
    """Under `everysec` and `no` a reply comes when the log is written, without an fsync of its own.

    An fsync can take many milliseconds. With these two policies one accepts to lose a little in a power failure, and
    does not wait.

    `flush` writes to the file with every policy, and calls `sync` with `always` only.
    """
    for policy in ("everysec", "no"):
        server = counted.servers[policy]
        client = server.connect()
        before, began = len(counted.fsyncs(policy)), time.monotonic()
        for _ in range(20):
            value = rng.key()
            client.check(request("SET", "key", value), OK)
            settle(client)
            assert is_logged(value, server), f"under {policy} the log was not written when OK came"
        made = len(counted.fsyncs(policy)) - before
        most = 2 + time.monotonic() - began if policy == "everysec" else 0
        assert made <= most, f"{made} fsyncs under {policy}, for twenty writes in a moment"


@step(6)
@pytest.mark.read("Step 6: when it is on the disk")
def test_always_means_an_fsync_before_the_reply(start: Start, tmp_path: Path, rng: Dice) -> None:
    """Under `always` each reply to a write comes after an fsync: when OK comes, it is on the disk.

    `write` gives the bytes to the operating system, which keeps them in memory for a while. `os.fsync` returns when
    they are on the disk. Here an fsync takes a fifth of a second. Does OK come before it?

    The order is: write to the file, `os.fsync(file.fileno())`, then the reply.
    """
    server = start(data=tmp_path, appendfsync="always", counting=True, fsync_delay=0.1)
    client = server.connect()
    settle(client)
    for number in range(1, 4):
        before = len(server.fsyncs())
        client.check(request("SET", rng.key(), "value"), OK)
        made = len(server.fsyncs()) - before
        settle(client)
        assert made, f"OK came for write {number}, and no fsync had been made since it was sent"


@step(6)
@pytest.mark.read("Step 6: when it is on the disk")
def test_requests_of_a_pipeline_share_an_fsync(counted: Counted, rng: Dice) -> None:
    """Under `always` the requests that arrived together share one fsync: a pipeline costs one, not hundreds.

    An fsync for each request would make a pipeline as slow as single requests.

    Execute all requests that have come in and collect their replies; then write the log once, make one
    fsync, and send all replies: that is `before_sleep`.
    """
    before = len(counted.fsyncs("always"))
    client = counted.servers["always"].connect()
    client.check(b"".join(request("SET", rng.key(), number) for number in range(200)), OK * 200)
    settle(client)
    made = len(counted.fsyncs("always")) - before
    assert 1 <= made <= 10, f"{made} fsyncs for 200 requests that were sent at once"


@step(6)
@pytest.mark.read("Step 6: when it is on the disk")
def test_what_is_written_during_an_fsync_gets_the_next_one(counted: Counted, rng: Dice) -> None:
    """Under `everysec` what is written while an fsync works is synced by another fsync, within two seconds.

    Here each fsync takes a second. A second SET comes when the first one's fsync is under way: this fsync need
    not include it, and no other came. What do you remember of the second write when the fsync returns?

    A thread is in `os.fsync` while the event loop goes on and writes. If `sync` sets `_unsynced` to False after
    the fsync, it also forgets what the loop has written meanwhile.

    Set `_unsynced` to False first, then call `os.fsync`: a write in between sets it to True again.
    """
    server = counted.servers["slow"]
    client = server.connect()
    settle(client)
    before = len(server.fsyncs())

    def another_fsync(count: int) -> bool:
        deadline = time.monotonic() + 3 + 4 * server.fsync_delay
        while len(server.fsyncs()) <= count and time.monotonic() < deadline:
            server.wait(0.01)
        return len(server.fsyncs()) > count

    client.check(request("SET", rng.key(), "before the fsync"), OK)
    assert another_fsync(before), "no fsync came after the first write"
    count = len(server.fsyncs())
    client.check(request("SET", rng.key(), "during the fsync"), OK)
    assert another_fsync(count), "a write came during an fsync, and no fsync followed that includes it"


@step(6)
@pytest.mark.read("Step 6: when it is on the disk")
def test_everysec_syncs_within_two_seconds_and_beside_the_loop(counted: Counted) -> None:
    """Under `everysec` an fsync follows within two seconds, made by another thread; under `no` none follows.

    While the main thread is in `os.fsync` no client is served: on a slow disk that can take a second.

    `sync_every_second` calls `sync` in a thread: `await asyncio.to_thread(self.log.sync)`.
    """
    server = counted.servers["everysec"]
    while not counted.fsyncs("everysec") and time.monotonic() < counted.asked + 2.5:
        server.wait(0.02)
    made = counted.fsyncs("everysec")
    assert made, "no fsync in two seconds after a write"
    assert made[0].time - counted.asked < 2.5, "the first fsync after a write came too late"
    assert not any(fsync.in_main_thread for fsync in made), "the main thread has called fsync"
    assert not counted.fsyncs("no"), "an fsync under appendfsync no"
