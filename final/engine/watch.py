"""WATCH: which clients want to know that a key has changed before their EXEC. It knows no command and no socket."""

from collections.abc import Iterator

from ..data.store import Place
from .client import Client


class Watching:
    """The clients that watch each place."""

    def __init__(self) -> None:
        self.clients: dict[Place, set[Client]] = {}  # no place without one

    def watch(self, client: Client, key: bytes) -> None:
        """Have `client.touched` set when this key of its database changes."""
        place = (client.db.index, key)
        client.watched.add(place)
        self.clients.setdefault(place, set()).add(client)

    def unwatch(self, client: Client) -> None:
        """Forget what the client watches."""
        for place in client.watched:
            self.clients[place].discard(client)
            if not self.clients[place]:
                del self.clients[place]
        client.watched.clear()
        client.touched = False

    def touch(self, place: Place) -> None:
        """The key has changed."""
        for client in self.clients.get(place, ()):
            client.touched = True

    def __iter__(self) -> Iterator[Place]:
        return iter(self.clients)

    def __len__(self) -> int:
        """The number of places that someone watches."""
        return len(self.clients)
