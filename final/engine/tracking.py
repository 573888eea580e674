"""Client-side caching: which clients may have which keys in their own caches, and are told of changes (`tracking.c`).

A client that tracks in the default mode is remembered for each key that it reads, and told once when that key changes:
then it is no longer remembered. In the mode BCAST nothing is remembered: at the end of each iteration of the event loop
the client is told which keys with its prefixes have changed. Keys count by their names, whatever their database.
"""

import random
from collections import Counter
from collections.abc import Iterable, KeysView

from ..config.options import Options
from ..data.garbage import Garbage
from ..data.unit import Note
from ..protocol.writer import Push
from .client import Client, Tracker
from .command import COMMANDS, KEEPS_CACHING, Command

CHANNEL = b"__redis__:invalidate"  # where a client with RESP2 hears of the keys of others
EFFORT = 100  # keys that `keep_limit` forgets at once; as many more each time that this was not enough
FEW = 64  # clients of one key, among which those that have gone may remain
NOBODY = 0  # in place of a client's id: a key has expired, say, or several clients have changed it


class Tracking:
    """The clients that track, the keys that they have read, and the prefixes for which they have asked."""

    def __init__(self, options: Options, connected: dict[int, Client], garbage: Garbage) -> None:
        """`connected` has all clients by their ids."""
        self.options = options
        self.connected = connected
        self.garbage = garbage
        self.clients: set[Client] = set()  # that track, or have tracked: while there is none, nothing is done
        self.table: dict[bytes, set[int]] = {}  # a key -> ids of clients, also of some that have gone
        self.items = 0  # ids in the table
        self.prefixes: dict[bytes, dict[Client, None]] = {}
        self.lengths: Counter[int] = Counter()  # of the prefixes
        self.changed: dict[bytes, dict[bytes, int]] = {}  # in this iteration: a prefix -> keys -> who has changed them
        self.told = 0  # how many notes of the present unit `tell` has had
        self.pending: list[tuple[Client, list[bytes] | None]] = []  # for the client whose request is running
        self.effort = 0
        self.candidates: list[bytes] = []  # for `random_key`

    def start(self, client: Client, tracker: Tracker) -> None:
        """Let a client track, or go on with other options, and more prefixes."""
        client.tracking, client.informed, tracker.alone = tracker, True, {client.id}
        self.clients.add(client)
        if tracker.redirect:
            self.connected[tracker.redirect].informed = True
        for prefix in tracker.prefixes:
            if prefix not in self.prefixes:
                self.lengths[len(prefix)] += 1
            self.prefixes.setdefault(prefix, {})[client] = None

    def stop(self, client: Client) -> None:
        """Let a client track no more. The table is not searched for it."""
        tracker, client.tracking = client.tracking, None
        for prefix in tracker.prefixes if tracker is not None else ():
            self.prefixes[prefix].pop(client)
            if not self.prefixes[prefix]:
                del self.prefixes[prefix]
                self.lengths[len(prefix)] -= 1
                if not self.lengths[len(prefix)]:
                    del self.lengths[len(prefix)]
                self.changed.pop(prefix, None)

    def gone(self, client: Client) -> None:
        """A client has disconnected. When nobody is left, the table is forgotten."""
        self.stop(client)
        self.clients.discard(client)
        if self.table and not self.clients:
            self.forget()

    def forget(self) -> None:
        """Forget the keys that clients have read."""
        if self.table:
            self.garbage.take_apart(self.table)
        self.table, self.items, self.candidates = {}, 0, []

    def has_run(self, client: Client, command: Command, args: list[bytes]) -> None:
        """A command of a client that tracks has run, by itself, in a transaction or in a script: remember what it read.

        If a script reads anything, all keys that it has declared count as read.
        """
        tracker = client.tracking
        assert tracker is not None
        if command.tracked and not tracker.bcast and tracker.caching is tracker.optin:
            self.remember(client, tracker, client.declared if client.is_script else command.keys_in(args))
        if tracker.caching and not client.deny_blocking:
            self.request_over(client, args)

    def request_over(self, client: Client, args: list[bytes]) -> None:
        """CLIENT CACHING holds until the next request or transaction is over; requests about clients do not count.

        Redis: `resetClient`.
        """
        command = COMMANDS.get(args[0].lower())
        about_clients = command is not None and KEEPS_CACHING in command.flags
        if client.tracking is not None and client.queue is None and not about_clients:
            client.tracking.caching = False

    def remember(self, client: Client, tracker: Tracker, keys: Iterable[bytes]) -> None:
        """A client has read keys."""
        for key in keys:
            ids = self.table.get(key)
            if ids is None:
                self.table[key] = tracker.alone  # one set for all keys that only this client has read: 8 bytes for each
            elif client.id in ids:
                continue
            elif len(ids) == 1:
                self.table[key] = {*ids, client.id}
            else:
                ids.add(client.id)
                if len(ids) > 2 * len(self.connected) + FEW:
                    self.items -= len(ids)
                    ids.intersection_update(self.connected)
                    self.items += len(ids)
            self.items += 1

    def tell(self, at: int, note: Note, client: Client | None) -> None:
        """Tell clients of the change in a note, the one at index `at` of its unit, once. `client` has made it."""
        if at < self.told:
            return
        self.told = at + 1
        if isinstance(note.keys, KeysView):  # all keys of a database; of FLUSHALL only one note is for the log
            if note.log:
                self.flushed(client)
        elif note.touch:
            own = note.event not in ("expired", "evicted")
            who = client.id if client is not None and own and not client.is_script else NOBODY
            for key in note.keys:
                if self.lengths:
                    self.collect(key, who)
                if (ids := self.table.pop(key, None)) is not None:
                    self.invalidate(key, ids, client, own)

    def invalidate(self, key: bytes, ids: set[int], client: Client | None, own: bool = False) -> None:
        """Tell the clients with these ids that a key, which has just left the table, has changed.

        `client` is the one whose request is running, and `own` whether the change is what it has asked for.
        """
        self.items -= len(ids)
        for number in ids:
            reader = self.connected.get(number)
            if reader is None or reader.tracking is None or reader.tracking.bcast:
                continue
            if client is None or number != client.id:
                self.send(reader, [key])
            elif not (own and reader.tracking.noloop):
                self.pending.append((reader, [key]))

    def flushed(self, client: Client | None) -> None:
        """Tell all clients that track that all keys have gone, and forget what they have read."""
        for each in list(self.clients):
            if each.tracking is not None:
                if client is not None and each.id == client.id:
                    self.pending.append((each, None))
                else:
                    self.send(each, None)
        self.forget()

    def settled(self) -> None:
        """A unit is over, and its client has been answered: tell it of its own changes."""
        self.told = 0
        if self.pending:
            pending, self.pending = self.pending, []
            for client, keys in pending:
                self.send(client, keys)

    def send(self, client: Client, keys: list[bytes] | None) -> None:
        """Send a client, or the one to which it has redirected this, a message: these keys have changed; None: all.

        With RESP2, only a client that is subscribed to something can be sent one, and only those of others.
        """
        receiver, redirect = client, client.tracking.redirect if client.tracking is not None else 0
        if redirect:
            if redirect not in self.connected:
                assert client.tracking is not None
                client.tracking.broken = True
                if client.protocol >= 3:
                    client.deliver(Push([b"tracking-redir-broken", redirect]))
                return
            receiver = self.connected[redirect]
        if receiver.protocol >= 3:
            receiver.deliver(Push([b"invalidate", keys]))
        elif redirect and receiver.subscribed:
            receiver.deliver(Push([b"message", CHANNEL, keys]))

    def collect(self, key: bytes, who: int) -> None:
        """Note a change of a key for `broadcast`: one look-up for each length of prefixes, however many there are."""
        for length in self.lengths:
            prefix = key[:length]
            if prefix in self.prefixes:
                if not self.changed:
                    next(iter(self.prefixes[prefix])).wake()  # so that this iteration has an end
                keys = self.changed.setdefault(prefix, {})
                if keys.setdefault(key, who) != who:
                    keys[key] = NOBODY

    def broadcast(self) -> None:
        """The iteration of the event loop ends: send each client in the mode BCAST the keys that have changed."""
        changed, self.changed = self.changed, {}
        for prefix in sorted(changed):
            keys = sorted(changed[prefix])
            for client in list(self.prefixes.get(prefix, ())):  # whoever does not read is disconnected meanwhile
                told = keys
                if client.tracking is not None and client.tracking.noloop:
                    told = [key for key in keys if changed[prefix][key] != client.id]
                if told:
                    self.send(client, told)

    def keep_limit(self) -> None:
        """Forget random keys, and tell their readers, until the table has at most `tracking-table-max-keys`.

        That may take several calls, of which each forgets more (`trackingLimitUsedSlots`).
        """
        most = self.options.tracking_table_max_keys
        self.effort += EFFORT
        for _ in range(self.effort):
            if not most or len(self.table) <= most:  # it is empty if the last reader was just disconnected
                self.effort = 0
                return
            key = self.random_key()
            self.invalidate(key, self.table.pop(key), None)

    def random_key(self) -> bytes:
        """Return a random key of the table; for a while one of those that were in it when this was last listed."""
        while True:
            if not self.candidates:
                self.candidates = list(self.table)
            at = random.randrange(len(self.candidates))
            self.candidates[at], self.candidates[-1] = self.candidates[-1], self.candidates[at]
            if (key := self.candidates.pop()) in self.table:
                return key
