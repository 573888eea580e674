"""The side that copies: connects to a primary, takes its snapshot, executes its stream, and comes back when cut off."""

import asyncio
import sys
from typing import Protocol

from aof import Log
from base import requests
from client import Client
from rdb import load
from reader import ProtocolError, Reader
from store import Store
from writer import Value, encode

RETRY = 1  # seconds until the next try
TIMEOUT = 60  # seconds without a byte, after which the connection is taken for dead
WRITES = {  # commands that a replica executes only for its primary
    "append", "blmove", "blpop", "brpop", "decr", "decrby", "del", "expire", "expireat", "flushall", "getdel",
    "getex", "hdel", "hset", "incr", "incrby", "lmove", "lpop", "lpush", "lrem", "lset", "ltrim", "mset", "persist",
    "pexpire", "pexpireat", "rpop", "rpush", "sadd", "set", "spop", "srem", "zadd", "zincrby", "zpopmin", "zrem",
}  # fmt: skip


class Engine(Protocol):
    """What a replica needs of the engine."""

    db: Store
    log: Log | None
    loader: Client

    def settle(self, args: list[bytes]) -> None:
        """End a unit."""

    def serve(self) -> None:
        """Serve those that wait for what was changed."""

    def apply(self, args: list[bytes]) -> Value:
        """Execute a request of the primary's stream."""


class Replica:
    """What this server knows of its primary; without `address` it has none, and is a primary itself."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.port = 0  # our own
        self.address: tuple[str, int] | None = None
        self.id = b"?"  # of the primary's stream, up to …
        self.offset = -1  # … this offset it is executed
        self.connected = False  # the stream comes in
        self.task: asyncio.Task[None] | None = None

    def follow(self, address: tuple[str, int] | None) -> None:
        """Become the replica of the primary at an address; with None a primary that has all that was copied so far.

        A replica leaves it to its primary when a key is removed: `db.expires`.
        """
        if self.task is not None:
            self.task.cancel()
        self.address, self.task, self.connected = address, None, False
        self.id, self.offset, self.engine.loader = b"?", -1, Client(id=0)
        self.engine.db.expires = address is None
        if address is not None:
            self.task = asyncio.get_running_loop().create_task(self.run(*address))

    async def run(self, host: str, port: int) -> None:
        """Connect, copy, and after each end of a connection try again, RETRY seconds later."""
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
            await asyncio.sleep(RETRY)

    async def copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take part in one connection, until it ends: shake hands, take a snapshot if there is one, then the stream."""
        await self.ask(reader, writer, [b"PING"])
        await self.ask(reader, writer, [b"REPLCONF", b"listening-port", b"%d" % self.port])
        await self.ask(reader, writer, [b"REPLCONF", b"capa", b"psync2"])
        wanted = -1 if self.id == b"?" else self.offset + 1
        answer = await self.ask(reader, writer, [b"PSYNC", self.id, b"%d" % wanted])
        await self.begin(reader, answer)
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

        Raises ValueError for any other answer, and EOFError (`IncompleteReadError`) if the connection ends. Give each
        step TIMEOUT seconds, with `asyncio.wait_for`.
        """
        writer.write(encode(args))
        line = await asyncio.wait_for(reader.readuntil(b"\n"), TIMEOUT)
        if not line.startswith(b"+"):
            raise ValueError(f"{args[0].decode()} was answered with {line!r}")
        return line[1:].rstrip()

    async def begin(self, reader: asyncio.StreamReader, answer: bytes) -> None:
        """Begin as the answer to PSYNC says: `CONTINUE` goes on where we are, `FULLRESYNC id offset` with a snapshot.

        Before a snapshot there may be empty lines, while it is written; then `$`, its length, CRLF, and so many bytes
        (`readexactly`), with no CRLF behind them. Give them to `take`; only after that keep the id and the offset: one
        that is cut off before has nothing to continue. Raises ValueError for another answer.
        """
        match answer.split():
            case [b"CONTINUE", *_]:
                pass
            case [b"FULLRESYNC", replid, offset]:
                while not (line := await asyncio.wait_for(reader.readuntil(b"\n"), TIMEOUT)).startswith(b"$"):
                    if line.strip():
                        raise ValueError(f"instead of a snapshot there is {line!r}")
                self.take(await reader.readexactly(int(line[1:])))
                self.id, self.offset = replid, int(offset)
            case _:
                raise ValueError(f"PSYNC was answered with {answer!r}")

    def take(self, data: bytes) -> None:
        """Replace all data by that of a snapshot, as one unit. If that is damaged, raise ValueError; nothing changes.

        `load` reads it into a new Store. Our log, and our own replicas, need it, too: record FLUSHALL, then the
        `requests` of `base.py`.
        """
        loaded, db = load(data), self.engine.db
        db.clear()
        for key, value in loaded.items():
            db.put(key, value)
            deadline = loaded.deadline(key)
            if deadline is not None:
                db.expire_at(key, deadline)
        self.engine.loader = Client(id=0)
        db.now = 0
        db.changed(log=[b"FLUSHALL"])
        for args in requests(db):
            db.changed(args[1], log=args)
        self.engine.settle([])
        self.engine.serve()

    def receive(self, stream: Reader, data: bytes, writer: asyncio.StreamWriter) -> None:
        """A chunk of the stream has come in: apply each request that is complete, and add its bytes to `self.offset`.

        `REPLCONF GETACK *` is not applied: send `REPLCONF ACK offset` at once. Its bytes count after that. If a request
        fails, our data is not the primary's any more: raise ValueError; but first forget the id and the offset, so that
        the next connection begins with a snapshot.
        """
        stream.feed(data)
        while (args := stream.next()) is not None:
            if args[0].upper() == b"REPLCONF":
                writer.write(self.acknowledgement())
            elif isinstance(reply := self.engine.apply(args), Exception):
                self.id, self.offset = b"?", -1
                raise ValueError(f"{args[0]!r} was answered with {reply}")
            self.offset += len(encode(args))

    def acknowledgement(self) -> bytes:
        """Return the request that tells the primary how far we are."""
        return encode([b"REPLCONF", b"ACK", b"%d" % self.offset])

    async def acknowledge(self, writer: asyncio.StreamWriter) -> None:
        """Tell the primary each second how far we are."""
        while True:
            writer.write(self.acknowledgement())
            await asyncio.sleep(1)
