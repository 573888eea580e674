"""The side that copies: connects to a primary, takes its snapshot, executes its stream, and comes back when cut off."""

import asyncio
import sys
import traceback
from typing import Protocol

from base import requests
from blocking import Waiting
from client import Client
from errors import unblocked
from rdb import read_snapshot
from reader import ProtocolError, Reader
from store import Store
from writer import Value, encode

RETRY = 1  # seconds until the next try
TIMEOUT = 60  # seconds without a byte, after which the connection is taken for dead
PIECE = 64 * 1024  # bytes of a snapshot that are waited for at once
WRITES = {  # commands that a replica executes only for its primary
    "append", "blmove", "blpop", "brpop", "decr", "decrby", "del", "expire", "expireat",
    "flushall", "getdel", "getex", "hdel", "hset", "incr", "incrby", "lmove", "lpop", "lpush",
    "lrem", "lset", "ltrim", "mset", "persist", "pexpire", "pexpireat", "rpop", "rpush", "sadd",
    "set", "spop", "srem", "zadd", "zincrby", "zpopmin", "zrem",
}  # fmt: skip


class Executor(Protocol):
    """What a replica needs of the engine."""

    db: Store
    waiting: Waiting
    loader: Client

    def apply(self, args: list[bytes]) -> Value:
        """Execute a request of the primary's stream."""


class Replica:
    """What this server knows of its primary; without `address` it has none, and is a primary itself."""

    def __init__(self, engine: Executor) -> None:
        self.engine = engine
        self.port = 0  # our own
        self.address: tuple[str, int] | None = None
        self.id = b"?"  # of the primary's stream, up to …
        self.offset = -1  # … this offset it is executed
        self.connected = False  # the stream comes in
        self.task: asyncio.Task[None] | None = None

    def follow(self, address: tuple[str, int] | None) -> None:
        """Become the replica of the primary at an address; with None a primary that has all that was copied so far.

        A replica leaves it to its primary when a key is removed: `db.expires`. And nobody is served there: who waits
        for an element would take it out, so these clients are told, and their connections closed.
        """
        if self.task is not None:
            self.task.cancel()
        self.address, self.task, self.connected = address, None, False
        self.id, self.offset, self.engine.loader = b"?", -1, Client(id=0)
        self.engine.db.expires = address is None
        if address is not None:
            self.task = asyncio.get_running_loop().create_task(self.run(*address))
            for client in list(self.engine.waiting.waits):
                self.engine.waiting.unpark(client)
                client.leaving = True
                client.deliver(unblocked())

    async def run(self, host: str, port: int) -> None:
        """Connect, copy, and after each end of a connection try again, RETRY seconds later.

        Any other exception is a bug of ours: show it, and copy no more, for nobody knows what our data is now.
        """
        while True:
            try:
                reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), TIMEOUT)
                try:
                    await self.copy(reader, writer)
                finally:
                    self.connected = False
                    writer.close()
            except (OSError, EOFError, ValueError, ProtocolError, asyncio.LimitOverrunError) as error:
                print(f"the connection to the primary {host}:{port} is lost: {error!r}", file=sys.stderr)
            except Exception:
                traceback.print_exc()
                return
            await asyncio.sleep(RETRY)

    async def copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take part in one connection, until it ends: shake hands, take a snapshot if there is one, then the stream."""
        await self.begin(reader, await self.handshake(reader, writer))
        self.connected = True
        acknowledging = asyncio.get_running_loop().create_task(self.acknowledge(writer))
        try:
            stream = Reader()
            while data := await asyncio.wait_for(reader.read(1 << 16), TIMEOUT):
                self.receive(stream, data, writer)
        finally:
            acknowledging.cancel()
        raise EOFError("it was closed")

    async def ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, args: list[bytes]) -> bytes:
        """Send a request to the primary; return its answer, a simple string, without the `+` and CRLF.

        Wait for the answer for TIMEOUT seconds at most, with `asyncio.wait_for`. Raises ValueError for any other
        answer, and EOFError (`IncompleteReadError`) if the connection ends.
        """
        writer.write(encode(args))
        line = await asyncio.wait_for(reader.readuntil(b"\n"), TIMEOUT)
        if not line.startswith(b"+"):
            raise ValueError(f"{args[0].decode()} was answered with {line!r}")
        return line[1:].rstrip()

    async def handshake(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """Introduce this server to the primary, and ask for the stream; return the answer to PSYNC, the last request.

        `ask` each of these, one after the other:

        | request                        | what it says                                         |
        |--------------------------------|------------------------------------------------------|
        | `PING`                         | Are you there?                                       |
        | `REPLCONF listening-port PORT` | our own port, `self.port`                            |
        | `REPLCONF capa psync2`         | we know that CONTINUE can have an id                 |
        | `PSYNC id number`              | the stream that we have, and the number of the next  |
        |                                | byte, `offset + 1`; without a stream: `PSYNC ? -1`   |
        """
        await self.ask(reader, writer, [b"PING"])
        await self.ask(reader, writer, [b"REPLCONF", b"listening-port", b"%d" % self.port])
        await self.ask(reader, writer, [b"REPLCONF", b"capa", b"psync2"])
        wanted = -1 if self.id == b"?" else self.offset + 1
        return await self.ask(reader, writer, [b"PSYNC", self.id, b"%d" % wanted])

    async def begin(self, reader: asyncio.StreamReader, answer: bytes) -> None:
        """Begin as the answer to PSYNC says: `CONTINUE id` or `FULLRESYNC id offset`; for another raise ValueError.

        CONTINUE: the stream goes on where we are. Its id can be a new one; keep it.

        FULLRESYNC: a snapshot follows. Before it there may be empty lines, while it is written; any other line but
        `$length` is a ValueError. Then come so many bytes, with no CRLF behind them. Give them to `take`. Only after
        that keep the id and the offset: who is cut off before has nothing to continue.

        Wait for each line for TIMEOUT seconds at most, as in `ask`. All of a large snapshot may take longer. So read it
        in pieces of at most PIECE bytes, with `readexactly`, and wait for each piece for TIMEOUT seconds at most.
        """
        match answer.split():
            case [b"CONTINUE", replid]:
                self.id = replid
            case [b"FULLRESYNC", replid, offset]:
                while not (line := await asyncio.wait_for(reader.readuntil(b"\n"), TIMEOUT)).startswith(b"$"):
                    if line.strip():
                        raise ValueError(line)
                data, size = bytearray(), int(line[1:])
                while len(data) < size:
                    piece = reader.readexactly(min(PIECE, size - len(data)))
                    data += await asyncio.wait_for(piece, TIMEOUT)
                self.take(bytes(data))
                self.id, self.offset = replid, int(offset)
            case _:
                raise ValueError(answer)

    def take(self, data: bytes) -> None:
        """Replace all data by that of a snapshot, as one unit. If that is damaged, raise ValueError; nothing changes.

        `read_snapshot` makes a Store of it. Then `apply` a transaction, as if it had come in the stream: MULTI,
        FLUSHALL, the `requests` of `base.py` that make the data, EXEC. So our log, our own replicas and those who watch
        a key have it, too. Give the engine a new `loader` before: the old one may have half a transaction in its queue.
        """
        loaded = read_snapshot(data)
        self.engine.loader = Client(id=0)
        for args in ([b"MULTI"], [b"FLUSHALL"], *requests(loaded), [b"EXEC"]):
            self.engine.apply(args)

    def receive(self, stream: Reader, data: bytes, writer: asyncio.StreamWriter) -> None:
        """A chunk of the stream has come in: `apply` each request that is complete, and add its bytes to `self.offset`.

        `len(encode(args))` is their number. If the reply is an exception, our data is not the primary's any more: raise
        ValueError, but first forget the id and the offset (`?` and -1), so that the next connection begins with a
        snapshot. The reply to EXEC is a list; exceptions in it are not looked at.

        `REPLCONF GETACK *`, in upper or lower case, is not applied: write the `acknowledgement` at once. Its own bytes
        count after that.
        """
        stream.feed(data)
        while (args := stream.next()) is not None:
            if args[0].upper() == b"REPLCONF":
                writer.write(self.acknowledgement())
            elif isinstance(reply := self.engine.apply(args), Exception):
                self.id, self.offset = b"?", -1
                raise ValueError(f"{args} was answered with {reply}")
            self.offset += len(encode(args))

    def acknowledgement(self) -> bytes:
        """Return the request that tells the primary how far we are, `REPLCONF ACK offset`, encoded."""
        return encode([b"REPLCONF", b"ACK", b"%d" % self.offset])

    async def acknowledge(self, writer: asyncio.StreamWriter) -> None:
        """Tell the primary each second how far we are."""
        while True:
            writer.write(self.acknowledgement())
            await asyncio.sleep(1)
