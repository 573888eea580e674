"""Checkpoint 01: many clients at once, and every byte comes back.

The tests that do not mention an echo say `PING` and take any line for an answer, so that they hold for every
later stage and for a real Redis.
"""

from __future__ import annotations

import contextlib
import resource
import select
import signal
import socket
import struct
import time
from collections.abc import Callable

import pytest

from stages.harness.checkpoint import Dice, Modules, step
from stages.harness.server import Server
from stages.harness.target import Target
from stages.harness.wire import Client

Connect = Callable[[], Client]
Start = Callable[..., Server]

MEGABYTE = 1 << 20


def answers(client: Client) -> None:
    """Assert that the client is served: some line comes back."""
    client.send(b"PING\r\n")
    client.expect_line()


def flood(client: Client, limit: int, chunk: bytes = b"x" * MEGABYTE) -> int:
    """Send without reading until nothing more is taken or the limit is reached; return the number of bytes."""
    sent = 0
    while sent < limit and select.select([], [client.socket], [], 0.2)[1]:
        sent += client.socket.send(chunk)
    return sent


# Bytes come back


@step(1)
@pytest.mark.until("02")
@pytest.mark.read("Bytes in, bytes out")
def test_what_a_client_sends_comes_back(client: Client, rng: Dice) -> None:
    """What a client sends comes back to it, byte for byte.

    Look at `data_received`: the event loop calls it with the bytes that were received.

    What you write to `self.transport`, which `connection_made` has kept, is sent to the client.

    `self.transport.write(data)` is all that it takes.
    """
    arg = rng.key()
    client.check(arg + b"\r\n", arg + b"\r\n")


@step(1)
@pytest.mark.until("02")
@pytest.mark.read("Bytes in, bytes out")
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(bytes(range(256)), id="every-byte-there-is"),
        pytest.param(b"\xff\xfe\x80 not UTF-8", id="not-utf-8"),
        pytest.param(b"\0", id="a-zero-byte"),
        pytest.param(b"\r\n\r\n\n\r", id="line-ends-only"),
        pytest.param(b"  spaces around  ", id="spaces-around"),
        pytest.param("naïve ✓".encode(), id="utf-8"),
    ],
)
def test_bytes_are_not_changed_on_the_way(client: Client, data: bytes) -> None:
    """Any bytes come back unchanged: the server does not read them as text.

    Bytes are not text. Does your code decode, strip or split what was received?

    Write the object `data` as it is.
    """
    client.check(data, data)


@step(1)
@pytest.mark.until("02")
@pytest.mark.read("A chunk is not a message")
def test_each_piece_comes_back_at_once(client: Client, rng: Dice) -> None:
    """Each chunk comes back at once: the server does not wait for the end of a line.

    TCP delivers bytes, not messages: a chunk is what has arrived until now.

    Do not collect chunks until something looks complete. Stage 02 does that.

    Write in each call of `data_received` what it was called with, even if it is a single byte.
    """
    for byte in rng.key() + b"\r\n":
        client.check(bytes([byte]), bytes([byte]))


@step(1)
@pytest.mark.until("02")
@pytest.mark.read("A chunk is not a message")
def test_megabytes_come_back_in_order(client: Client, rng: Dice) -> None:
    """Three megabytes come back whole and in order.

    So many bytes arrive in many chunks: `data_received` is called for each.

    Write each chunk when it comes. There is nothing to put together, and no fixed size to read.
    """
    data = rng.randbytes(3 * MEGABYTE)
    client.check(data, data)


@step(1)
@pytest.mark.until("02")
@pytest.mark.read("Saying goodbye")
def test_who_has_finished_sending_still_gets_the_rest(client: Client, rng: Dice) -> None:
    """A client that has finished sending gets everything back before the connection is closed.

    Try `printf hello | nc -N 127.0.0.1 6379`: nc ends its side of the connection, and still reads.

    asyncio closes the transport when the client has finished, after it has sent what was written. Does your code call
    `abort()`, or close the socket?
    """
    data = rng.randbytes(MEGABYTE)
    client.send(data)
    client.socket.shutdown(socket.SHUT_WR)
    client.expect(data)
    client.expect_closed()


# Many clients


@step(1)
@pytest.mark.until("02")
@pytest.mark.read("Many clients, one loop")
def test_each_client_gets_its_own_bytes(connect: Connect, rng: Dice) -> None:
    """Fifty clients send at the same time, and each gets its own bytes, and no others.

    What belongs to one client must not be kept where all of them share it.

    Each connection is an object: keep its transport in `self`, not in a variable of the module or the class.

    `loop.create_server` calls its first argument for each client: it has to make a new `Connection` each time.
    """
    clients = {connect(): rng.key() for _ in range(50)}
    for client, arg in clients.items():
        client.send(arg)
    for client, arg in reversed(clients.items()):
        client.expect(arg)


@step(1)
@pytest.mark.read("Many clients, one loop")
def test_a_hundred_clients_are_connected_at_once(connect: Connect, rng: Dice) -> None:
    """A hundred clients are connected at once, and each is answered, in any order.

    Does the server accept the second client only after the first has gone?

    `loop.create_server(factory, host, port)` accepts clients as long as the event loop runs.

    `run` awaits nothing but the event that stops it.
    """
    clients = [connect() for _ in range(100)]
    rng.shuffle(clients)
    for client in clients:
        answers(client)


@step(1)
@pytest.mark.read("Many clients, one loop")
def test_a_thousand_clients_are_connected_at_once(start: Start) -> None:
    """More than a thousand clients are connected at once, and the last one is answered like the first.

    Does your server wait with `select()`? It takes only file descriptors below 1024, and each client needs one.

    `epoll`, `kqueue` and `poll` have no such limit. `selectors.DefaultSelector` chooses the best of them, and so does
    asyncio's own event loop.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2500:
        pytest.skip(f"this machine allows {hard} open files only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2500), hard))
    with contextlib.ExitStack() as opened:
        opened.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        server = start()
        address, seconds = (server.host, server.port), server.patience.seconds
        for number in range(1, 1101):
            client = opened.enter_context(socket.create_connection(address, seconds))
            if number % 100:
                continue
            client.sendall(b"PING\r\n")
            try:
                reply = client.recv(100)
            except OSError as error:
                reply = str(error).encode()
            assert reply.endswith(b"\r\n"), f"client {number} of 1100 was not answered, but: {reply!r}"


@step(1)
@pytest.mark.read("Many clients, one loop")
def test_a_silent_client_holds_up_nobody(connect: Connect) -> None:
    """Other clients are served while one has sent half a line only; it is answered when it goes on.

    Somewhere the server waits for this client, and serves no other meanwhile.

    No method of a connection may wait: no `time.sleep`, no blocking `recv`, no loop until more comes.

    `data_received` takes what has come and returns. The event loop calls it again when there is more.
    """
    silent = connect()
    silent.send(b"PI")
    for _ in range(5):
        answers(connect())
    silent.send(b"NG\r\n")
    silent.expect_line()


# Who is connected


@step(2)
@pytest.mark.read("Saying goodbye")
def test_a_client_that_breaks_off_disturbs_nobody(connect: Connect, server: Server) -> None:
    """Clients that reset their connection disturb no other client, and cause no traceback.

    A connection can end at any moment, also while you are writing to it.

    The event loop calls `connection_lost` then. Remove the connection from `server.connections`.

    `discard` accepts a connection that is no longer there; `remove` raises KeyError.
    """
    answers(stays := connect())
    for _ in range(20):
        rude = connect()
        rude.send(b"PING\r\n" * 100)
        rude.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        rude.close()  # this linger option makes it a reset
    answers(stays)
    answers(connect())
    assert "Traceback" not in server.errors, server.errors


@step(2)
@pytest.mark.read("Many clients, one loop")
def test_the_server_knows_who_is_connected(modules: Modules, target: Target) -> None:
    """`server.connections` has the connections of all clients that are connected, and no others.

    Is a connection removed when its client has gone? If not, the server keeps an object for each client that ever came.

    `connection_made` calls `self.server.connections.add(self)`, and `connection_lost` calls `discard(self)`.
    """
    if target.is_final:
        pytest.skip("final/ has grown out of the form that its modules have here")
    modules.check(
        """
        import asyncio
        from server import Connection, Server

        async def counted(server, wanted):
            for _ in range(50):
                if len(server.connections) == wanted:
                    break
                await asyncio.sleep(0.01)
            return len(server.connections)

        async def visit():
            server = Server()
            listener = await asyncio.get_running_loop().create_server(lambda: Connection(server), "127.0.0.1", 0)
            visitors = [await asyncio.open_connection(*listener.sockets[0].getsockname()) for _ in range(3)]
            there = await counted(server, 3)
            visitors[0][1].close()
            rest = await counted(server, 2)
            visitors[1][1].close()
            return [there, rest, await counted(server, 1)]

        result = asyncio.run(visit())
        """,
        [3, 2, 1],
    )


# Starting and stopping


@step(3)
@pytest.mark.read("Stopping cleanly")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_stops_the_server_cleanly(start: Start, number: int) -> None:
    """Ctrl-C (SIGINT) and `kill` (SIGTERM) stop the server cleanly: exit status 0, no traceback.

    Press Ctrl-C in the terminal where it runs. What do you see? `echo $?` then shows the exit status.

    `run`, which is given, has the event loop call `stop` at a signal. What does `run` await, and what ends that?

    `stop` sets the event that `run` awaits. Then `run` closes the listener and the connections, and returns.
    """
    server = start()
    clients = [server.connect() for _ in range(3)]
    for client in clients:
        answers(client)
    assert server.stop(number) == 0, f"exit status {server.program and server.program.status}"
    assert "Traceback" not in server.errors, server.errors
    for client in clients:
        client.expect_closed()


@step(3)
@pytest.mark.read("Stopping cleanly")
def test_a_stop_does_not_wait_for_a_slow_client(start: Start) -> None:
    """A signal stops the server also while a client does not read what was written to it.

    Does the server wait until everything was sent? This client never reads, so it would wait for ever.

    Close the listener and the transports, then return from `run`. What was not sent by then is lost.
    """
    server = start()
    client = server.connect()
    flood(client, 24 * MEGABYTE, b"PING\r\n" * 100_000)
    status = server.stop()
    client.close()
    assert status is not None, "the server still runs: it waits for a client that does not read"
    assert status == 0, f"exit status {status}"


@step(3)
@pytest.mark.read("Stopping cleanly")
def test_the_port_is_free_again_at_once(start: Start) -> None:
    """After a stop the server can be started again on the same port at once.

    The operating system keeps the addresses of closed connections for a minute, unless SO_REUSEADDR is set.

    asyncio's `create_server` sets it; on a socket of your own, set it before `bind`.
    """
    first = start()
    answers(first.connect())
    assert first.stop() == 0
    answers(start(port=first.port).connect())


@step(3)
@pytest.mark.not_redis("the option of Redis is called --bind")
@pytest.mark.read("Stopping cleanly")
def test_the_server_listens_on_the_host_that_it_is_given(start: Start) -> None:
    """With `--host 127.0.0.2` the server listens on that address, and not on 127.0.0.1.

    Which address does your server listen on, whatever `--host` says?

    Pass `options.host` to `run`, and from there to `loop.create_server`.
    """
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.2", 0))
        except OSError:
            pytest.skip("this machine has no address 127.0.0.2")
    server = start(options=["--host", "127.0.0.2"], ready=False)
    server.host = "127.0.0.2"
    deadline = time.monotonic() + 2 * server.patience.seconds
    while (refused := refuses("127.0.0.2", server.port)) and time.monotonic() < deadline and server.alive:
        server.wait(0.02)
        if not refuses("127.0.0.1", server.port):
            break
    assert not refused, f"with --host 127.0.0.2 nothing listens there. The server said: {server.output + server.errors}"
    answers(server.connect())
    assert refuses("127.0.0.1", server.port), "with --host 127.0.0.2 it listens on 127.0.0.1, too"


def refuses(host: str, port: int) -> bool:
    """Return whether nothing listens there."""
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) != 0


@step(3)
@pytest.mark.read("Stopping cleanly")
def test_a_port_that_is_taken_is_said_in_words(start: Start) -> None:
    """When the port is taken, the server says so, names the port and ends with an exit status that is not 0.

    Start your server twice. It must not show a traceback, but say what happened.

    `create_server` raises OSError. Catch it in `main`.

    `sys.exit("some text")` prints the text to standard error and ends with exit status 1.
    """
    first = start()
    answers(first.connect())
    second = start(port=first.port, ready=False)
    status = second.wait()
    said = second.errors + second.output
    assert status is not None, "the second server is still running"
    assert status > 0, f"exit status {status}"
    assert str(first.port) in said, f"the port is not named in what it said: {said!r}"
    assert "Traceback" not in said, said
    answers(first.connect())


# The client that never reads


@step(4)
@pytest.mark.until("02")
@pytest.mark.read("The client that never reads")
def test_a_client_that_never_reads_is_not_fed_for_ever(connect: Connect) -> None:
    """A client that sends and never reads has to wait: the server does not keep all its echoes in memory.

    The transport keeps what you write until the client reads it. How much may that become?

    The event loop calls `pause_writing` when it is too much. Read nothing more from this client then.

    `self.transport.pause_reading()` is all that it takes.
    """
    client, other = connect(), connect()
    sent = flood(client, limit=96 * MEGABYTE)
    other.check(b"still there?\r\n", b"still there?\r\n")
    client.close()
    assert sent < 96 * MEGABYTE, "the server took 96 MB from a client that read none of its answers"


@step(5)
@pytest.mark.until("02")
@pytest.mark.read("The client that never reads")
def test_a_client_that_reads_again_is_served_again(connect: Connect) -> None:
    """A client that had to wait gets all its bytes as soon as it reads, and is then served like any other.

    Your server has stopped reading from this client. When does it read again?

    The event loop calls `resume_writing` when the client has read enough.

    `self.transport.resume_reading()` is all that it takes.
    """
    client = connect()
    sent = flood(client, limit=96 * MEGABYTE)
    assert sent < 96 * MEGABYTE, "the server never stopped reading from this client"
    client.sent = b"(some megabytes of x)"
    client.expect(b"x" * sent)
    client.check(b"and now?\r\n", b"and now?\r\n")
