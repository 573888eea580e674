"""Connections that the server itself opens: `final/net/outgoing.py`."""

import asyncio
import socket

import pytest

from final.config.options import Options
from final.net.outgoing import Outgoing
from final.net.server import Server
from final.replication.outgoing import TIMED_OUT, Line


class Recorded:
    """A conversation that greets, records what happens, and sets `over` at its end."""

    def __init__(self) -> None:
        self.events: list[object] = []
        self.over = asyncio.Event()

    def opened(self, line: Line) -> None:
        line.write(b"hello")
        self.events.append("opened")

    def received(self, data: bytes) -> None:
        self.events.append(data)

    def closed(self, reason: str) -> None:
        self.events.append(reason)
        self.over.set()


async def said_with(port: int, timeout: float = 5) -> list[object]:
    conversation = Recorded()
    Server(Options(port=0)).dial("127.0.0.1", port, conversation, timeout)
    await asyncio.wait_for(conversation.over.wait(), 10)
    return conversation.events


def test_a_conversation_hears_what_the_other_server_sends_and_that_it_has_closed_the_connection() -> None:
    async def echo_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(5))
        writer.close()

    async def main() -> list[object]:
        async with await asyncio.start_server(echo_once, "127.0.0.1", 0) as other:
            return await said_with(other.sockets[0].getsockname()[1])

    assert asyncio.run(main()) == ["opened", b"hello", "the connection was closed"]


def test_a_conversation_is_told_once_that_there_is_no_connection() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert asyncio.run(said_with(port)) == ["Connection refused"]


@pytest.mark.parametrize(("host", "port"), [("", 1), ("\xe4" * 70, 1), ("127.0.0.1", -1), ("a\0b", 1)])
def test_what_is_no_address_ends_a_conversation_too(host: str, port: int) -> None:
    async def main() -> list[object]:
        conversation = Recorded()
        Server(Options(port=0)).dial(host, port, conversation, 10)
        await asyncio.wait_for(conversation.over.wait(), 30)
        return conversation.events

    (reason,) = asyncio.run(main())
    assert isinstance(reason, str) and reason


class Quiet(Recorded):
    """A conversation that allows so many milliseconds of silence."""

    def opened(self, line: Line) -> None:
        line.limit_silence(30)


def test_a_connection_that_is_silent_for_too_long_is_closed() -> None:
    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.read() == b""  # until the connection is closed
        writer.close()
        ended.set()

    async def main() -> list[object]:
        conversation = Quiet()
        async with await asyncio.start_server(wait, "127.0.0.1", 0) as other:
            Server(Options(port=0)).dial("127.0.0.1", other.sockets[0].getsockname()[1], conversation, 5)
            await asyncio.wait_for(conversation.over.wait(), 10)
            await asyncio.wait_for(ended.wait(), 10)
        return conversation.events

    ended = asyncio.Event()
    assert asyncio.run(main()) == [TIMED_OUT]


class Slow(asyncio.Transport):
    """A transport whose other side has not read so many bytes yet."""

    left = 100

    def get_write_buffer_size(self) -> int:
        return self.left

    def abort(self) -> None:
        pass


def test_a_connection_is_not_silent_while_bytes_come_or_go() -> None:
    async def main() -> None:
        server, conversation, transport = Server(Options(port=0)), Recorded(), Slow()
        now = 0
        server.engine.steady = lambda: now
        outgoing = Outgoing(server.iteration, conversation)
        outgoing.transport = transport
        outgoing.limit_silence(1000)
        now, transport.left = 900, 99
        outgoing.check_silence()
        now = 1800
        outgoing.check_silence()
        outgoing.data_received(b"x")
        now = 2799
        outgoing.check_silence()
        assert conversation.events == [b"x"]
        now = 2800
        outgoing.check_silence()
        assert conversation.events == [b"x", TIMED_OUT]

    asyncio.run(main())
