"""MIGRATE: move keys to another server, while other clients are served.

The client waits (`wait_outside`), and the connection is a conversation of its own (`replication/targets.py`). The order
of steps is what keeps each change of a key on one of the two servers at least:

1. The value is written as DUMP writes it. From then on, `Leaving` notes whether the key is changed (`engine/watch.py`).
2. The target answers RESTORE with OK: it has this value.
3. The key is deleted here, if it was not changed since step 1. Else it stays, and the client gets an error.

If the server ends in between, or the connection breaks, the key stays here; the target may have it too.
"""

import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field

from ..data.store import Store
from ..data.unit import Place
from ..engine.args import OptionCursor, integer
from ..engine.client import Client, Parked
from ..engine.command import IN_DANGEROUS, MOVABLEKEYS, WRITE, Group
from ..engine.conclude import conclude
from ..engine.context import Engine
from ..engine.signature import command, complexity
from ..engine.wait import wait_outside
from ..log.rdb.write import dump, dumped
from ..protocol.errors import ReplyError, syntax_error
from ..protocol.writer import Value, encode_request
from ..replication.targets import Address, refused_by_target

GROUP = Group("generic", "@keyspace", "g")

FIRST_OPTION = 6  # its index in a request
SKIPPED = {b"auth": 1, b"auth2": 2}  # the number of arguments that follow an option
ACCESS = "RW access delete"


@dataclass(eq=False)
class Leaving:
    """A key that is moved, or copied: a `Watcher` that notes any change of it."""

    key: bytes
    db: Store
    deadline: int | None
    copied: bool  # with COPY: only until its value is written
    watched: dict[Place, bool] = field(default_factory=dict)
    dirty_cas: bool = False
    every_change: bool = True


class Migration:
    """One MIGRATE under way: a `Task` for the connection to the target."""

    def __init__(
        self, engine: Engine, parked: Parked, address: Address, database: int, timeout: int, keys: Sequence[bytes],
        chosen: set[bytes],
    ) -> None:  # fmt: skip
        self.engine = engine
        self.parked = parked
        self.db = parked.client.db
        self.address, self.database, self.timeout = address, database, timeout
        self.keys = keys
        self.copy, self.replace = b"copy" in chosen, b"replace" in chosen
        self.compressed = engine.options.rdbcompression == "yes"
        self.leaving: list[Leaving] = []
        self.sent: list[Leaving] = []  # those that were sent, in order
        self.busy = False  # another MIGRATE moves one of the keys

    def requests(self) -> Iterator[bytes]:
        """Yield a RESTORE for each key; between the pieces of a value, b"".

        The clock is read again, and nothing is removed: this is no unit of work, so that nobody settles what it notes.
        """
        self.forget()
        self.sent, self.busy = [], False
        for key in self.keys:
            self.db.unit.stopped = None
            if self.db.held(key) is None or self.db.overdue(key):
                continue
            if not self.copy and self.is_leaving(key):
                self.busy = True
                continue
            leaving = Leaving(key, self.db, self.db.deadline(key), self.copy)
            self.engine.watching.watch(leaving, key)
            self.leaving.append(leaving)
            payload = yield from self.dump(leaving)
            if payload is not None:
                self.sent.append(leaving)
                yield self.restore(leaving, payload)

    def is_leaving(self, key: bytes) -> bool:
        """Return whether another MIGRATE moves this key."""
        watchers = self.engine.watching.clients.get((self.db.index, key), ())
        return any(isinstance(each, Leaving) and not each.copied for each in watchers)

    def dump(self, leaving: Leaving) -> Generator[bytes, None, bytes | None]:
        """Yield b"" between the pieces of a value; return all of them.

        If the value changes in between, a key that is moved stays, and the result is None. A copy is made at once then.
        """
        pieces = []
        for piece in dumped(self.db.held(leaving.key), self.compressed, self.db.remembered(leaving.key)):
            pieces.append(piece)
            yield b""
            if leaving.dirty_cas:
                return self.dump_now(leaving) if leaving.copied else None
        return b"".join(pieces)

    def dump_now(self, leaving: Leaving) -> bytes | None:
        """Return the present value as a whole; None: the key is gone."""
        value, leaving.deadline = self.db.held(leaving.key), self.db.deadline(leaving.key)
        return None if value is None else dump(value, self.compressed, self.db.remembered(leaving.key))

    def restore(self, leaving: Leaving, payload: bytes) -> bytes:
        """Return the request that creates the key there."""
        self.db.unit.stopped = None
        ttl = 0 if leaving.deadline is None else max(leaving.deadline - self.db.unit.now, 1)
        args = [b"RESTORE", leaving.key, b"%d" % ttl, payload]
        return encode_request([*args, b"REPLACE"] if self.replace else args)

    def end(self, replies: list[bytes], failure: ReplyError | None = None) -> None:
        """Delete what has arrived, and answer the client."""
        conclude(self.engine, self.parked, lambda refusal: self.finish(replies, failure, refusal))

    def finish(self, replies: list[bytes], failure: ReplyError | None, refusal: ReplyError | None) -> Value:
        """Delete the keys that have arrived and were not changed, and return the answer.

        With `refusal` nothing may be deleted: by now the disk is full, say, or CLIENT PAUSE holds all that writes.
        """
        arrived = [each for each, reply in zip(self.sent, replies, strict=False) if reply == b"+OK"]
        unchanged = [each for each in arrived if not each.dirty_cas]
        changed = any(each.dirty_cas and not (each.copied or self.has_expired(each)) for each in self.leaving)
        self.forget()
        gone = [each.key for each in unchanged if self.db.delete(each.key)] if not (self.copy or refusal) else []
        if gone:
            self.db.changed(*gone, log=(b"DEL", *gone), event="del")
        for reply in replies:
            if reply != b"+OK":
                return refused_by_target(reply)
        if failure is not None:
            return failure
        if changed:
            return ReplyError("ERR a key was changed meanwhile: it stays here, and the target may have an older value")
        if self.busy:
            return ReplyError("ERR another MIGRATE moves a key at this moment")
        if not self.sent:
            return "NOKEY"
        return "OK" if self.copy or refusal is None else refusal

    def has_expired(self, leaving: Leaving) -> bool:
        """Return whether a key is gone, and would be in any case: its deadline has passed."""
        deadline = leaving.deadline
        return deadline is not None and deadline < self.db.unit.now and leaving.key not in self.db

    def forget(self) -> None:
        """Watch the keys no longer."""
        for each in self.leaving:
            self.engine.watching.unwatch(each)
        self.leaving = []


def options_of(args: Sequence[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield the index and the name of each option in a request, up to KEYS."""
    at, name = FIRST_OPTION, b""
    while at < len(args) and name != b"keys":
        name = args[at].lower()
        yield at, name
        at += 1 + SKIPPED.get(name, 0)


def secrets(args: list[bytes]) -> Iterator[int]:
    """Yield the indexes of the user names and passwords in a request."""
    for at, name in options_of(args):
        yield from range(at + 1, min(at + 1 + SKIPPED.get(name, 0), len(args)))


def find_keys(args: list[bytes]) -> Iterator[tuple[int, str]]:
    """Yield the index of each key in a request, and how it is used."""
    behind = next((at + 1 for at, name in options_of(args) if name == b"keys"), len(args))
    if behind == len(args):
        yield 3, ACCESS
    elif not args[3]:
        yield from ((at, ACCESS) for at in range(behind, len(args)))


def parse_port(arg: bytes) -> int:
    """Parse a port as C's `atoi` and `getaddrinfo` do; return -1 for a negative one.

    >>> parse_port(b" 6379x"), parse_port(b"x"), parse_port(b"65537"), parse_port(b"-5")
    (6379, 0, 1, -1)
    """
    found = re.match(rb"\s*([+-]?[0-9]+)", arg)
    number = int(found[1]) if found else 0
    return number % 2**16 if number >= 0 else -1


@command(
    WRITE,
    MOVABLEKEYS,
    IN_DANGEROUS,
    keys=f"{ACCESS}, {ACCESS} incomplete after KEYS from -2 to -1",
    tips="nondeterministic_output",
    find_keys=find_keys,
    secrets=secrets,
)
@complexity("O(N) for N bytes sent, and what DUMP, RESTORE and DEL take")
def migrate(
    engine: Engine, client: Client, host: bytes, port: bytes, key: bytes, destination_db: bytes, timeout: bytes,
    *options: bytes,
) -> Value:  # fmt: skip
    """MIGRATE host port <key | ""> destination-db timeout [COPY] [REPLACE] [[AUTH password] | [AUTH2 username password]] [KEYS key [key ...]]: move keys to another server; answer OK, or NOKEY if there is no such key.

    `timeout` is in milliseconds: how long the target may be silent. With COPY the keys stay here; with REPLACE they are
    overwritten there. The keys that the target has accepted are deleted, also if it has refused others.
    """  # noqa: E501  (the first line is what redis-cli shows)
    chosen: set[bytes] = set()
    login: tuple[bytes, ...] = ()
    keys: Sequence[bytes] = (key,)
    cursor = OptionCursor(options)
    for option in cursor:
        if option in (b"copy", b"replace"):
            chosen.add(option)
        elif option in SKIPPED:
            login = tuple(cursor.values(SKIPPED[option]))
        elif option == b"keys":
            if key:
                raise ReplyError("ERR When using MIGRATE KEYS option, the key argument must be set to the empty string")
            keys = cursor.values(len(cursor))
        else:
            raise syntax_error()
    milliseconds, database = integer(timeout), integer(destination_db)
    db = client.db
    present = [each for each in keys if each in db]
    for each in keys:
        db.look_up(each)
    if not present:
        return "NOKEY"
    address = Address(host.decode(errors="replace"), parse_port(port), login)

    def begin() -> None:
        assert client.parked is not None
        limit = milliseconds if milliseconds > 0 else 1000
        engine.targets.give(
            Migration(engine, client.parked, address, database, limit, [*dict.fromkeys(present)], chosen)
        )

    return wait_outside(begin, ReplyError("ERR MIGRATE cannot wait for another server in a transaction or a script"))
