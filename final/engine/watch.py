"""WATCH: which clients watch which keys. It knows no command and no socket.

A place is a database's index and a key. A key may have expired before WATCH and still be in the database. When it
is then removed, it does not count as changed (Redis: `wk->expired`).
"""

from collections.abc import Iterator

from ..data.store import Place, Store
from .client import Client


class Watching:
    """For each place that is watched, the clients that watch it."""

    def __init__(self) -> None:
        self.clients: dict[Place, set[Client]] = {}  # without empty sets

    def watch(self, client: Client, key: bytes) -> None:
        """Watch `key` in the client's database: when it changes, `touch` sets `client.dirty_cas`."""
        if client.dirty_cas:
            return  # its next EXEC runs nothing anyway
        place = (client.db.index, key)
        client.watched.setdefault(place, client.db.overdue(key))
        self.clients.setdefault(place, set()).add(client)

    def unwatch(self, client: Client) -> None:
        """Make the client watch no place, and reset `client.dirty_cas`."""
        self._remove(client)
        client.dirty_cas = False

    def touch(self, place: Place, store: Store) -> None:
        """The key of `place`, in the database `store`, was changed or removed: set `dirty_cas` of its clients.

        Such a client then watches no place any more, because `dirty_cas` is set already. A client for which the key
        had expired before WATCH is left out while the key is still expired, and when it is removed.
        """
        for client in list(self.clients.get(place, ())):
            if client.watched[place]:
                if store.held(place[1]) is None:
                    client.watched[place] = False  # the expired key was removed; from now on every change counts
                    continue
                if store.overdue(place[1]):
                    continue
            client.dirty_cas = True
            self._remove(client)

    def _remove(self, client: Client) -> None:
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
