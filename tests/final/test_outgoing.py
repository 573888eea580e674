"""Connections that the server itself opens: `final/net/outgoing.py`."""

import asyncio
import socket

from final.net.server import Server
from final.options import Options
from final.replication.outgoing import Line


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
