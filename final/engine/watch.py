"""WATCH: which clients want to know that a key has changed before their EXEC. It knows no command and no socket.

A key that was already overdue at WATCH counts as missing: that it goes is no change (Redis: `wk->expired`).
"""

from collections.abc import Iterator

from ..data.store import Place, Store
from .client import Client


class Watching:
    """The clients that watch each place."""

    def __init__(self) -> None:
        self.clients: dict[Place, set[Client]] = {}  # no place without one

    def watch(self, client: Client, key: bytes) -> None:
        """Have `client.touched` set when this key of its database changes."""
        if client.touched:
            return  # its EXEC will do nothing in any case
        place = (client.db.index, key)
        client.watched.setdefault(place, client.db.overdue(key))
        self.clients.setdefault(place, set()).add(client)

    def unwatch(self, client: Client) -> None:
        """Forget what the client watches."""
        self._leave(client)
        client.touched = False

    def touch(self, place: Place, store: Store) -> None:
        """The key at a place has changed; `store` is its database, where it may be gone.

        A client that was told need not be told of it, or of another key, a second time.
        """
        for client in list(self.clients.get(place, ())):
            if client.watched[place]:
                if store.held(place[1]) is None:
                    client.watched[place] = False  # what comes after it is a change
                    continue
                if store.overdue(place[1]):
                    continue
            client.touched = True
            self._leave(client)

    def _leave(self, client: Client) -> None:
        for place in client.watched:
            self.clients[place].discard(client)
            if not self.clients[place]:
                del self.clients[place]
        client.watched.clear()

    def missed(self, place: Place) -> None:
        """An overdue key has come where none was: that is no change (Redis: `touchAllWatchedKeysInDb`)."""
        for client in self.clients.get(place, ()):
            client.watched[place] = True

    def __iter__(self) -> Iterator[Place]:
        return iter(self.clients)

    def __len__(self) -> int:
        """The number of places that someone watches."""
        return len(self.clients)
