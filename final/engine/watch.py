"""WATCH: who watches which keys: clients, and commands for which no change may be lost. It knows no command.

A place is a database's index and a key. A key may have expired before WATCH and still be in the database. When it
is then removed, it does not count as changed (Redis: `wk->expired`).
"""

from collections.abc import Iterator
from typing import Protocol

from ..data.store import Store
from ..data.unit import Database, Place


class Watcher(Protocol):
    """Who watches keys: a client, or something that is like one in this."""

    db: Store
    watched: dict[Place, bool]  # True: the key had expired, but was not removed
    dirty_cas: bool  # a watched key has changed
    every_change: bool  # also by those changes that WATCH does not notice, such as XACK

    def __hash__(self) -> int:
        """Each is one of its own."""


class Watching:
    """For each place that is watched, the clients that watch it."""

    def __init__(self) -> None:
        self.clients: dict[Place, set[Watcher]] = {}  # without empty sets

    def watch(self, client: Watcher, key: bytes) -> None:
        """Watch `key` in the client's database: when it changes, `touch` sets `client.dirty_cas`."""
        if client.dirty_cas:
            return  # its next EXEC runs nothing anyway
        place = (client.db.index, key)
        client.watched.setdefault(place, client.db.overdue(key))
        self.clients.setdefault(place, set()).add(client)

    def unwatch(self, client: Watcher) -> None:
        """Make the client watch no place, and reset `client.dirty_cas`."""
        self._remove(client)
        client.dirty_cas = False

    def touch(self, place: Place, store: Database, noticed: bool = True) -> None:
        """The key of `place`, in the database `store`, was changed or removed: set `dirty_cas` of its clients.

        If WATCH does not notice the change (`noticed`), only of those that have `every_change`.

        Such a client then watches no place any more, because `dirty_cas` is set already. A client for which the key
        had expired before WATCH is left out while the key is still expired, and when it is removed.
        """
        for client in list(self.clients.get(place, ())):
            if not (noticed or client.every_change):
                continue
            if client.watched[place]:
                if store.held(place[1]) is None:
                    client.watched[place] = False  # the expired key was removed; from now on every change counts
                    continue
                if store.overdue(place[1]):
                    continue
            client.dirty_cas = True
            self._remove(client)

    def _remove(self, client: Watcher) -> None:
        for place in client.watched:
            self.clients[place].discard(client)
            if not self.clients[place]:
                del self.clients[place]
        client.watched.clear()

    def mark_expired(self, place: Place) -> None:
        """SWAPDB has put an expired key at `place`, where no key was: do not count its removal as a change.

        Redis: `touchAllWatchedKeysInDb`.
        """
        for client in self.clients.get(place, ()):
            client.watched[place] = True

    def __iter__(self) -> Iterator[Place]:
        return iter(self.clients)

    def __len__(self) -> int:
        """The number of places that are watched."""
        return len(self.clients)
