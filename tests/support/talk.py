"""Conversations of several clients with one server: the replies to each client, the log, and keyspace events.

A conversation (`tests/support/conversations/*.txt`) has a line for each request of a client, which a letter names:

    X: RPUSH a 1 -> A *2 $1 a $1 1; X :1 | RPUSH a 1; LPOP a | rpush a; lpop a; del a

After the arrow are the replies that now arrive, by client; the records in the log; the keyspace events. `…` matches
any text, and `A CLOSED` says that the server has closed A's connection: A's next request opens another one. ` ; `
separates the requests of a pipeline, `CLOSE` closes the connection, and `UNBLOCK A …` is CLIENT UNBLOCK
with A's ID, and `@A` is that ID. To write a conversation, write only the requests, and let Redis fill in the rest:

    python -m tests.support.talk tests/support/conversations/blocking.txt
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from final.protocol.reader import Reader
from stages.harness import wire
from stages.harness.server import Server
from stages.harness.wire import Incomplete, parse, request
from tests.support.oracle import args_of, redis_server, shown

FOLDER = Path(__file__).with_name("conversations")
OPTIONS = ("--notify-keyspace-events", "EA", "--enable-debug-command", "yes")
Step = tuple[str, str]  # a request, and what is expected


def conversations() -> dict[str, list[Step]]:
    """Return all conversations, by their headings."""
    found = {}
    for path in sorted(FOLDER.glob("*.txt")):
        for section in re.split("^# ", path.read_text(), flags=re.MULTILINE)[1:]:
            heading, *lines = section.strip().splitlines()
            found[heading] = [(line.partition(" ->")[0], line.partition(" ->")[2].strip()) for line in lines]
    return found


class Talk:
    """Clients of one server, the log in `folder`, and a subscriber to keyspace events."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.clients: dict[str, wire.Client] = {}
        self.ids: dict[str, wire.Reply] = {}
        self.control = server.connect()
        self.control.ask("DEBUG", "SET-ACTIVE-EXPIRE", 0)  # a key expires only when a client asks for it
        self.control.ask("FLUSHALL")
        self.listener = server.connect()
        self.listener.ask("PSUBSCRIBE", "__keyevent*")
        self.log = next(folder.glob("*/*.incr.aof")).open("rb")
        self.log.read()

    def ask(self, line: str) -> None:
        """Send the request of a line; do not wait for a reply."""
        name, _, text = line.partition(": ")
        if name not in self.clients:
            self.clients[name] = self.server.connect()
            self.ids[name] = self.clients[name].ask("CLIENT", "ID")
        if text == "CLOSE":
            self.clients.pop(name).close()
            self.wait_for_server()  # until the server has read the end of the connection
            return
        requests = [args_of(each) for each in text.split(" ; ")]
        if requests[0][0] == b"UNBLOCK":
            requests[0][:2] = [b"CLIENT", b"UNBLOCK", b"@" + requests[0][1]]
        for args in requests:
            args[:] = [str(self.ids[arg[1:].decode()]).encode() if arg[:1] == b"@" else arg for arg in args]
        self.clients[name].send(b"".join(request(*args) for args in requests))

    def wait_for_server(self, pings: int = 2) -> None:
        """Send PINGs, one after the other: the server needs at least one iteration of its event loop for each."""
        for _ in range(pings):
            self.control.ask("PING")

    def heard(self) -> str:
        """Return what followed from the requests: replies, records of the log, keyspace events."""
        self.wait_for_server(20)
        replies = [f"{name} {reply}" for name in sorted(self.clients) for reply in arrived(self.clients[name])]
        self.clients = {name: each for name, each in self.clients.items() if not each.ended}
        messages = [args[2:] for args in read_requests(b"".join(arrived_bytes(self.listener)))]
        events = [f"{channel.rpartition(b':')[2].decode()} {key.decode()}" for channel, key in messages]
        records = [b" ".join(map(written, args)).decode() for args in read_requests(self.log.read())]
        return " | ".join("; ".join(part) for part in (replies, records, events)).rstrip(" |")

    def end(self) -> None:
        """Close all connections."""
        for client in (*self.clients.values(), self.control, self.listener):
            client.close()


def written(arg: bytes) -> bytes:
    """Return an argument in the log. Redis logs LEFT and RIGHT of a BLMOVE that blocked in lower case; we do not."""
    return arg.upper() if arg in (b"left", b"right") else arg


def arrived_bytes(client: wire.Client) -> Iterable[bytes]:
    """Yield the bytes of each reply that a client has received so far."""
    while client.more(0):
        pass
    while client.received:
        try:
            _, end = parse(client.received)
        except Incomplete:
            return
        yield client.received[:end]
        client.received = client.received[end:]


def arrived(client: wire.Client) -> list[str]:
    """Return the replies that a client has received so far, as in a transcript, and CLOSED at their end."""
    return [*map(shown, arrived_bytes(client)), *["CLOSED"] * client.ended]


def read_requests(data: bytes) -> list[list[bytes]]:
    """Split bytes into requests."""
    reader = Reader()
    reader.feed(data)
    return list(iter(reader.next, None))


def main() -> None:
    """Print a file of conversations with what follows in a real Redis."""
    with tempfile.TemporaryDirectory() as folder, redis_server(*OPTIONS, data=Path(folder)) as server:
        talk = None
        for line in Path(sys.argv[1]).read_text().splitlines():
            if line.startswith("# "):
                if talk:
                    talk.end()
                talk = Talk(server, Path(folder))
            elif talk and line:
                asked, _, expected = line.partition(" ->")
                talk.ask(asked)
                answered = talk.heard()
                if "…" not in expected:
                    line = f"{asked} -> {answered}" if answered else asked
            print(line)


if __name__ == "__main__":
    main()
