"""Conversations of several clients with one server: who hears what, when, and what the log and the keyspace tell.

A conversation (`tests/support/conversations/*.txt`) has a line for each thing that a client, named by a letter, asks:

    X: RPUSH a 1 -> A *2 $1 a $1 1; X :1 | RPUSH a 1; LPOP a | rpush a; lpop a; del a

After the arrow (`…` stands for whatever comes there): the replies that come now, by client; the records in the log;
the events on keys. ` ; ` in a request makes a pipeline, `CLOSE` hangs up, `UNBLOCK A …` is CLIENT UNBLOCK with A's
id. To measure, and not to guess, write what is asked only, and have Redis fill in the rest:

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
Step = tuple[str, str]  # what is asked, and what follows from it


def conversations() -> dict[str, list[Step]]:
    """Read all of them, by their headings."""
    found = {}
    for path in sorted(FOLDER.glob("*.txt")):
        for section in re.split("^# ", path.read_text(), flags=re.MULTILINE)[1:]:
            heading, *lines = section.strip().splitlines()
            found[heading] = [(line.partition(" ->")[0], line.partition(" ->")[2].strip()) for line in lines]
    return found


class Talk:
    """Clients of one server, the folder of its log, and someone who listens to its keyspace."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.clients: dict[str, wire.Client] = {}
        self.ids: dict[str, wire.Reply] = {}
        self.control = server.connect()
        self.control.ask("DEBUG", "SET-ACTIVE-EXPIRE", 0)  # a key expires when someone asks for it, not now or then
        self.control.ask("FLUSHALL")
        self.listener = server.connect()
        self.listener.ask("PSUBSCRIBE", "__keyevent*")
        self.log = next(folder.glob("*/*.incr.aof")).open("rb")
        self.log.read()

    def ask(self, line: str) -> None:
        """Have a client ask something; do not wait for what follows from it."""
        name, _, text = line.partition(": ")
        if name not in self.clients:
            self.clients[name] = self.server.connect()
            self.ids[name] = self.clients[name].ask("CLIENT", "ID")
        if text == "CLOSE":
            self.clients.pop(name).close()
            self.wait_a_turn()  # until the server has seen it
            return
        requests = [args_of(each) for each in text.split(" ; ")]
        if requests[0][0] == b"UNBLOCK":
            requests[0][:2] = [b"CLIENT", b"UNBLOCK", str(self.ids[requests[0][1].decode()]).encode()]
        self.clients[name].send(b"".join(request(*args) for args in requests))

    def wait_a_turn(self, turns: int = 2) -> None:
        """Have the server answer something that comes after all the rest."""
        for _ in range(turns):
            self.control.ask("PING")

    def heard(self) -> str:
        """What follows from what was asked, once the server has had many a turn to see to it."""
        self.wait_a_turn(20)
        replies = [f"{name} {reply}" for name in sorted(self.clients) for reply in arrived(self.clients[name])]
        events = [args[2:] for args in read_requests(b"".join(arrived_bytes(self.listener)))]
        told = [f"{channel.rpartition(b':')[2].decode()} {key.decode()}" for channel, key in events]
        records = [b" ".join(map(written, args)).decode() for args in read_requests(self.log.read())]
        return " | ".join("; ".join(part) for part in (replies, records, told)).rstrip(" |")

    def end(self) -> None:
        """Hang up, all of them."""
        for client in (*self.clients.values(), self.control, self.listener):
            client.close()


def written(arg: bytes) -> bytes:
    """A word of the log. Of a BLMOVE that had to wait, Redis notes LEFT and RIGHT in small letters: not we."""
    return arg.upper() if arg in (b"left", b"right") else arg


def arrived_bytes(client: wire.Client) -> Iterable[bytes]:
    """The replies that a client has got by now."""
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
    """The same, as one can read them."""
    return [shown(reply) for reply in arrived_bytes(client)]


def read_requests(data: bytes) -> list[list[bytes]]:
    """Cut bytes into arrays of words."""
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
                    line = f"{asked} -> {answered}".rstrip(" ->")
            print(line)


if __name__ == "__main__":
    main()
