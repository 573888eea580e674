"""Stand between a client and a server, and print the requests and replies that pass."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from stages.desk.shared import Complaint
from stages.harness.wire import Error, Incomplete, Push, Reply, parse

HOST = "127.0.0.1"
LONGEST, MOST = 100, 20  # bytes shown of a value, items shown of a list
NOT_RESP = (ValueError, KeyError, TypeError, RecursionError)  # what `parse` raises for bytes that are no reply
CLIENTS = itertools.count(1)
Address = tuple[str, int]
say = partial(print, flush=True)  # also into a pipe at once


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the port that clients connect to, and the server's address."""
    parser.add_argument("--listen", type=port, default=6380, metavar="PORT", help="the client's port (default: 6380)")
    parser.add_argument("--to", type=address, default=(HOST, 6379), help="the server, [HOST:]PORT (default: 6379)")


def port(text: str) -> int:
    """Parse the number of a port."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; ports are 0 to 65535")
    return int(text)


def address(text: str) -> Address:
    """Parse PORT or HOST:PORT."""
    host, _, number = text.rpartition(":")
    return host.strip("[]") or HOST, port(number)


def run(options: argparse.Namespace) -> int:
    """Run the spy until SIGINT or SIGTERM."""
    if options.to in ((HOST, options.listen), ("localhost", options.listen)):
        raise Complaint(f"the spy cannot connect to its own port {options.listen}: choose another with --listen")
    asyncio.run(listen(options.listen, options.to))
    return 0


async def listen(number: int, to: Address) -> None:
    """Serve every client; connections that are open at the end are cancelled with the event loop."""
    stopping = asyncio.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signal_number, stopping.set)
    try:
        server = await asyncio.start_server(lambda reader, writer: converse(reader, writer, to), HOST, number)
    except OSError as error:
        raise Complaint(f"cannot listen on {HOST}:{number}: {error.strerror}; choose another with --listen") from None
    say(f"listening on {HOST}:{server.sockets[0].getsockname()[1]}, connecting to {to[0]}:{to[1]}")
    await stopping.wait()
    server.close()


async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, to: Address) -> None:
    """Pass bytes between one client and the server, until both have closed or a connection breaks."""
    name, writers = f"client {next(CLIENTS)}", [writer]
    try:
        answers, server = await asyncio.open_connection(*to)
        writers.append(server)
        there, back = Side(f"{name} >", read_request), Side(f"{name} <", read_reply)
        await asyncio.gather(
            pump(reader, server, there, f"{name} closed the connection"),
            pump(answers, writer, back, f"the server closed the connection to {name}"),
        )
    except OSError as error:
        what = "the connection broke" if len(writers) == 2 else f"nothing listens at {to[0]}:{to[1]}"
        say(f"the spy closed the connection to {name}: {what} ({error})")
    except asyncio.CancelledError:  # the spy stops; asyncio would report a task that ends cancelled
        pass
    finally:
        for each in writers:
            each.close()


async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, side: Side, end: str) -> None:
    """Copy bytes from `source` to `sink`. They are printed first, so that no reply is printed before its request."""
    while data := await source.read(1 << 16):
        side.hear(data)
        sink.write(data)
        await sink.drain()
    side.finish()
    say(end)
    with suppress(OSError):  # the connection may be closed already
        sink.write_eof()


@dataclass
class Side:
    """One direction of a connection; `rest` has the bytes of a request or reply that is not complete yet."""

    name: str
    read: Callable[[bytes], tuple[str, int]]
    rest: bytes = b""

    def hear(self, data: bytes) -> None:
        """Add bytes; print every request or reply that is complete now, and bytes that are not RESP as they are."""
        self.rest += data
        while self.rest:
            try:
                text, end = self.read(self.rest)
            except Incomplete:
                return
            except NOT_RESP:
                text, end = f"{escaped(self.rest)} (not RESP)", len(self.rest)
            self.rest = self.rest[end:]
            say(f"{self.name} {text}")

    def finish(self) -> None:
        """Print the bytes that are left at the end."""
        if self.rest:
            say(f"{self.name} {escaped(self.rest)} (incomplete)")


def read_request(data: bytes) -> tuple[str, int]:
    """Parse one request, an array of bulk strings or a line; return how it is shown, and the offset of its end."""
    if not data.startswith(b"*"):
        line, newline, _ = data.partition(b"\n")
        if not newline:
            raise Incomplete
        return escaped(line.strip()) + " (inline)", len(line) + 1
    args, end = parse(data)
    return listed([argument(each) for each in args] if isinstance(args, list) else [], " "), end


def argument(item: Reply) -> str:
    """Return an argument of a request as text, in quotes when it is empty or has a space in it."""
    if not isinstance(item, bytes):
        raise TypeError("the arguments of a request are bulk strings")
    return escaped(item, '"' if b" " in item or not item else "")


def read_reply(data: bytes) -> tuple[str, int]:
    """Parse one reply or push message; return how it is shown, and the offset of its end."""
    reply, end = parse(data)
    return shown(reply), end


def shown(reply: Reply) -> str:
    """Return a reply as text: simple types with their RESP prefix, bulk strings in quotes, aggregates in brackets."""
    match reply:
        case bytes():
            return escaped(reply, '"')
        case str():
            return ("-" if isinstance(reply, Error) else "+") + escaped(reply.encode(errors="surrogateescape"))
        case bool() | None:
            return {True: "#t", False: "#f", None: "null"}[reply]
        case dict():
            return f"{{{listed([f'{shown(key)}: {shown(value)}' for key, value in reply.items()])}}}"
        case list():
            return f"{'push ' * isinstance(reply, Push)}[{listed([shown(item) for item in reply])}]"
    return f"{',' if isinstance(reply, float) else ':'}{reply}"


def listed(items: list[str], between: str = ", ") -> str:
    """Join the items; of more than MOST only the first."""
    more = [f"... ({len(items)} in all)"] if len(items) > MOST else []
    return between.join(items[:MOST] + more)


def escaped(data: bytes, quote: str = "") -> str:
    r"""Return bytes as text, with escapes such as `\r` and `\x00`; of a long value only the beginning."""
    text = data[:LONGEST].replace(b"\\", rb"\\").decode(errors="backslashreplace")
    visible = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
    return quote + visible + quote + (f"... ({len(data)} bytes)" if len(data) > LONGEST else "")
