"""WATCH: which clients watch which keys. It knows no command and no socket.

If a watched key had expired before WATCH but was not removed yet, its removal is no change (Redis: `wk->expired`).
"""

from collections.abc import Iterator

from ..data.store import Place, Store
from .client import Client


class Watching:
    """The clients that watch each place."""

    def __init__(self) -> None:
        self.clients: dict[Place, set[Client]] = {}  # no set is empty

    def watch(self, client: Client, key: bytes) -> None:
        """Have `client.touched` set when this key of the client's database changes."""
        if client.touched:
            return  # its EXEC fails in any case
        place = (client.db.index, key)
        client.watched.setdefault(place, client.db.overdue(key))
        self.clients.setdefault(place, set()).add(client)

    def unwatch(self, client: Client) -> None:
        """Remove all that the client watches, and forget that any of it changed."""
        self._remove(client)
        client.touched = False

    def touch(self, place: Place, store: Store) -> None:
        """Mark the clients that watch this place: its key, in the database `store`, was changed or removed.

        A marked client needs no second mark, so it watches nothing more.
        """
        for client in list(self.clients.get(place, ())):
            if client.watched[place]:
                if store.held(place[1]) is None:
                    client.watched[place] = False  # the expired key was removed; the next change counts
                    continue
                if store.overdue(place[1]):
                    continue
            client.touched = True
            self._remove(client)

    def _remove(self, client: Client) -> None:
        for place in client.watched:
            self.clients[place].discard(client)
            if not self.clients[place]:
                del self.clients[place]
        client.watched.clear()

    def missed(self, place: Place) -> None:
        """An expired key replaces a missing one: that is no change (Redis: `touchAllWatchedKeysInDb`)."""
        for client in self.clients.get(place, ()):
            client.watched[place] = True

    def __iter__(self) -> Iterator[Place]:
        return iter(self.clients)

    def __len__(self) -> int:
        """The number of places that are watched."""
        return len(self.clients)
